//! Link-layer header types.

use std::fmt;

/// A link-layer header type, as registered at <https://www.tcpdump.org/linktypes.html>. Unknown values survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkType(pub u16);

macro_rules! link_types {
    ($($(#[doc = $doc:literal])+ $constant:ident = $number:literal $name:literal,)+) => {
        impl LinkType {
            $($(#[doc = $doc])+ pub const $constant: LinkType = LinkType($number);)+

            /// The registered name without its `LINKTYPE_` prefix, if it is one of those known here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($name),)+ _ => None }
            }
        }
    };
}

link_types! {
    /// BSD loopback: a 4-byte address family in the capturing host's byte order.
    NULL = 0 "NULL",
    /// Ethernet.
    ETHERNET = 1 "ETHERNET",
    /// Token Ring.
    IEEE802_5 = 6 "IEEE802_5",
    /// SLIP.
    SLIP = 8 "SLIP",
    /// PPP, with or without the HDLC-like `ff 03`.
    PPP = 9 "PPP",
    /// FDDI.
    FDDI = 10 "FDDI",
    /// Raw IP as some BSDs number it.
    RAW_BSD = 12 "RAW",
    /// Raw IP as OpenBSD numbers it.
    RAW_OPENBSD = 14 "RAW",
    /// PPP in HDLC-like framing.
    PPP_HDLC = 50 "PPP_HDLC",
    /// PPPoE session packets.
    PPP_ETHER = 51 "PPP_ETHER",
    /// ATM with LLC.
    ATM_RFC1483 = 100 "ATM_RFC1483",
    /// Raw IPv4 or IPv6, told by the version nibble.
    RAW = 101 "RAW",
    /// Cisco HDLC.
    C_HDLC = 104 "C_HDLC",
    /// IEEE 802.11.
    IEEE802_11 = 105 "IEEE802_11",
    /// Frame Relay.
    FRELAY = 107 "FRELAY",
    /// OpenBSD loopback: a 4-byte address family in network byte order.
    LOOP = 108 "LOOP",
    /// Linux "cooked" capture.
    LINUX_SLL = 113 "LINUX_SLL",
    /// Log of OpenBSD's packet filter.
    PFLOG = 117 "PFLOG",
    /// IEEE 802.11 with a Prism header.
    IEEE802_11_PRISM = 119 "IEEE802_11_PRISM",
    /// IEEE 802.11 with a radiotap header.
    IEEE802_11_RADIOTAP = 127 "IEEE802_11_RADIOTAP",
    /// Cable modems.
    DOCSIS = 143 "DOCSIS",
    /// IEEE 802.11 with an AVS header.
    IEEE802_11_AVS = 163 "IEEE802_11_AVS",
    /// Bluetooth, between host and controller.
    BLUETOOTH_HCI_H4 = 187 "BLUETOOTH_HCI_H4",
    /// USB on Linux, with a short header.
    USB_LINUX = 189 "USB_LINUX",
    /// Packets with a per-packet information header in front.
    PPI = 192 "PPI",
    /// IEEE 802.15.4 with its check sequence.
    IEEE802_15_4_WITHFCS = 195 "IEEE802_15_4_WITHFCS",
    /// Bluetooth, between host and controller, with a direction in front.
    BLUETOOTH_HCI_H4_WITH_PHDR = 201 "BLUETOOTH_HCI_H4_WITH_PHDR",
    /// PPP with a direction byte in front.
    PPP_WITH_DIR = 204 "PPP_WITH_DIR",
    /// USB on Linux.
    USB_LINUX_MMAPPED = 220 "USB_LINUX_MMAPPED",
    /// CAN bus.
    CAN_SOCKETCAN = 227 "CAN_SOCKETCAN",
    /// Raw IPv4.
    IPV4 = 228 "IPV4",
    /// Raw IPv6.
    IPV6 = 229 "IPV6",
    /// IEEE 802.15.4 without its check sequence.
    IEEE802_15_4_NOFCS = 230 "IEEE802_15_4_NOFCS",
    /// Log of Linux's netfilter.
    NFLOG = 239 "NFLOG",
    /// USB on Windows.
    USBPCAP = 249 "USBPCAP",
    /// Bluetooth Low Energy.
    BLUETOOTH_LE_LL = 251 "BLUETOOTH_LE_LL",
    /// What Wireshark exports of a protocol.
    WIRESHARK_UPPER_PDU = 252 "WIRESHARK_UPPER_PDU",
    /// Messages of Linux's netlink.
    NETLINK = 253 "NETLINK",
    /// Bluetooth, as Linux monitors it.
    BLUETOOTH_LINUX_MONITOR = 254 "BLUETOOTH_LINUX_MONITOR",
    /// Bluetooth Low Energy with a header in front.
    BLUETOOTH_LE_LL_WITH_PHDR = 256 "BLUETOOTH_LE_LL_WITH_PHDR",
    /// Apple's packets with their process in front.
    PKTAP = 258 "PKTAP",
    /// Linux "cooked" capture, version 2.
    LINUX_SLL2 = 276 "LINUX_SLL2",
}

impl fmt::Display for LinkType {
    /// The registered name, or `LINKTYPE_147` for a number without one.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => out.write_str(name),
            None => write!(out, "LINKTYPE_{}", self.0),
        }
    }
}
