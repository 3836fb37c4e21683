//! What the decoder hands on: one TCP segment, or an ICMP error about one.

use super::flow_key::FlowKey;
pub use super::flow_key::{EncapsulationId, Endpoint};
use crate::moment::Moment;
use crate::pack::{Pack, Packer, Unpacker, pack_fields};
use crate::seq::SeqNum;
use std::net::IpAddr;

/// The flag bits of a TCP header (RFC 9293 §3.1).
///
/// ```text
///   7   6   5   4   3   2   1   0
/// +---+---+---+---+---+---+---+---+
/// |CWR|ECE|URG|ACK|PSH|RST|SYN|FIN|
/// +---+---+---+---+---+---+---+---+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push function.
    pub const PSH: u8 = 0x08;
    /// Acknowledgment field is significant.
    pub const ACK: u8 = 0x10;

    /// Is FIN set?
    #[must_use]
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }
    /// Is SYN set?
    #[must_use]
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }
    /// Is RST set?
    #[must_use]
    pub const fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }
    /// Is ACK set?
    #[must_use]
    pub const fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }
}

/// One TCP segment, borrowed from the packet (or from the defragmented datagram) it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The packet that carried it (the last fragment's, for a fragmented datagram).
    pub at: Moment,
    /// Its connection: both ends, VLANs and tunnels.
    pub key: FlowKey,
    /// Did the lower endpoint send it?
    pub from_lower: bool,
    /// Sequence number of the first payload byte (of the SYN, if set).
    pub seq: SeqNum,
    /// Acknowledgment number, where the ACK flag is set.
    pub ack: Option<SeqNum>,
    /// Flag bits.
    pub flags: TcpFlags,
    /// Window field as it stands, unscaled.
    pub window: u16,
    /// IPv4 TTL or IPv6 hop limit.
    pub ttl: u8,
    /// IPv4 identification; `None` in IPv6.
    pub ip_id: Option<u16>,
    /// TCP options as they stand (0 to 40 bytes; fewer where the snaplen cut them).
    pub options: &'a [u8],
    /// Payload, up to where the capture holds it.
    pub payload: &'a [u8],
    /// Payload bytes on the wire that the snaplen cut off.
    pub missing: u32,
}

impl Pack for IcmpErrorKind {
    fn pack(&self, into: &mut Packer) {
        let (kind, value) = match *self {
            IcmpErrorKind::Unreachable => (0, 0),
            IcmpErrorKind::PortUnreachable => (1, 0),
            IcmpErrorKind::AdministrativelyProhibited => (2, 0),
            IcmpErrorKind::PacketTooBig { mtu } => (3, mtu),
            IcmpErrorKind::TimeExceeded => (4, 0),
            IcmpErrorKind::Other { icmp_type, code } => (5, u32::from(u16::from_be_bytes([icmp_type, code]))),
        };
        into.put_bits(kind, 3);
        value.pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        match (from.bits(3), u32::unpack(from)) {
            (0, _) => IcmpErrorKind::Unreachable,
            (1, _) => IcmpErrorKind::PortUnreachable,
            (2, _) => IcmpErrorKind::AdministrativelyProhibited,
            (3, mtu) => IcmpErrorKind::PacketTooBig { mtu },
            (4, _) => IcmpErrorKind::TimeExceeded,
            (_, other) => {
                let [_, _, icmp_type, code] = other.to_be_bytes();
                IcmpErrorKind::Other { icmp_type, code }
            }
        }
    }
}

pack_fields!(IcmpError { at, reporter, kind, source, destination, encapsulation, seq });

impl Segment<'_> {
    /// Sender.
    #[must_use]
    pub fn source(&self) -> Endpoint {
        self.key.endpoint(self.from_lower)
    }

    /// Receiver.
    #[must_use]
    pub fn destination(&self) -> Endpoint {
        self.key.endpoint(!self.from_lower)
    }

    /// VLANs and tunnels it came in.
    #[must_use]
    pub fn encapsulation(&self) -> EncapsulationId {
        self.key.encapsulation()
    }

    /// Payload bytes on the wire, captured or not.
    #[must_use]
    pub fn payload_len(&self) -> u32 {
        u32::try_from(self.payload.len()).unwrap_or(u32::MAX).saturating_add(self.missing)
    }
}

/// What kind of ICMP or ICMPv6 error a router or host sent about a segment (RFC 792, RFC 1812, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpErrorKind {
    /// Network, host, address unreachable, no route.
    Unreachable,
    /// Port unreachable: a host that has no such socket, or a firewall that says so.
    PortUnreachable,
    /// Communication administratively prohibited: a firewall.
    AdministrativelyProhibited,
    /// Fragmentation needed, or packet too big, with the next hop's MTU.
    PacketTooBig {
        /// MTU of the next hop in bytes; 0 where the router does not say.
        mtu: u32,
    },
    /// TTL or hop limit exceeded in transit.
    TimeExceeded,
    /// Any other type and code.
    Other {
        /// ICMP type.
        icmp_type: u8,
        /// ICMP code.
        code: u8,
    },
}

impl IcmpErrorKind {
    /// Does it say that the segment's destination can't be reached? A connection attempt ends with it (RFC 9293 §3.9.2.2
    /// leaves an established connection alone).
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            IcmpErrorKind::Unreachable
                | IcmpErrorKind::PortUnreachable
                | IcmpErrorKind::AdministrativelyProhibited
        )
    }
}

/// An ICMP error that quotes the head of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The packet that carried it.
    pub at: Moment,
    /// Who sent the error.
    pub reporter: IpAddr,
    /// Kind of error.
    pub kind: IcmpErrorKind,
    /// Sender of the segment that drew it.
    pub source: Endpoint,
    /// Where that segment was going.
    pub destination: Endpoint,
    /// VLANs and tunnels the error came in.
    pub encapsulation: EncapsulationId,
    /// Sequence number of the quoted segment, where the quotation reaches so far.
    pub seq: Option<SeqNum>,
}

/// What a packet turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A TCP segment.
    Segment(Segment<'a>),
    /// An ICMP error about one.
    Icmp(IcmpError),
    /// Something else, a fragment that waits for its others, or a packet that can't be read (counted).
    Nothing,
}
