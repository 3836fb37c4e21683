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
    /// PPP, with or without the HDLC-like `ff 03`.
    PPP = 9 "PPP",
    /// Raw IP as some BSDs number it.
    RAW_BSD = 12 "RAW",
    /// Raw IP as OpenBSD numbers it.
    RAW_OPENBSD = 14 "RAW",
    /// PPP in HDLC-like framing.
    PPP_HDLC = 50 "PPP_HDLC",
    /// PPPoE session packets.
    PPP_ETHER = 51 "PPP_ETHER",
    /// Raw IPv4 or IPv6, told by the version nibble.
    RAW = 101 "RAW",
    /// Cisco HDLC.
    C_HDLC = 104 "C_HDLC",
    /// IEEE 802.11.
    IEEE802_11 = 105 "IEEE802_11",
    /// OpenBSD loopback: a 4-byte address family in network byte order.
    LOOP = 108 "LOOP",
    /// Linux "cooked" capture.
    LINUX_SLL = 113 "LINUX_SLL",
    /// IEEE 802.11 with a radiotap header.
    IEEE802_11_RADIOTAP = 127 "IEEE802_11_RADIOTAP",
    /// PPP with a direction byte in front.
    PPP_WITH_DIR = 204 "PPP_WITH_DIR",
    /// Raw IPv4.
    IPV4 = 228 "IPV4",
    /// Raw IPv6.
    IPV6 = 229 "IPV6",
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
