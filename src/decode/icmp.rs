//! ICMP (RFC 792) and ICMPv6 (RFC 4443) errors that quote a TCP segment.

use super::ip;
use super::layer::{Context, Datagram};
use super::segment::{EncapsulationId, Endpoint, IcmpError, IcmpErrorKind};
use super::span::Span;
use crate::moment::Moment;
use crate::seq::SeqNum;
use etherparse::{Icmpv4Slice, Icmpv6Slice, IpNumber};

/// Reads an ICMPv4 message; `None` unless it is an error about a TCP segment.
pub(super) fn read_v4(datagram: &Datagram<'_>, at: Moment) -> Option<IcmpError> {
    let message = Icmpv4Slice::from_slice(datagram.payload.bytes).ok()?;
    let kind = kind_v4(message.type_u8(), message.code_u8(), message.bytes5to8())?;
    quoted(datagram, at, kind, datagram.payload.skip(8).ok()?)
}

/// Reads an ICMPv6 message; `None` unless it is an error about a TCP segment.
pub(super) fn read_v6(datagram: &Datagram<'_>, at: Moment) -> Option<IcmpError> {
    let message = Icmpv6Slice::from_slice(datagram.payload.bytes).ok()?;
    let kind = kind_v6(message.type_u8(), message.code_u8(), message.bytes5to8())?;
    quoted(datagram, at, kind, datagram.payload.skip(8).ok()?)
}

/// RFC 792, RFC 1191 §4 (the MTU), RFC 1812 §5.2.7.1 (codes 9 to 13).
fn kind_v4(icmp_type: u8, code: u8, [_, _, mtu_high, mtu_low]: [u8; 4]) -> Option<IcmpErrorKind> {
    Some(match (icmp_type, code) {
        (3, 0 | 1 | 5..=8 | 11 | 12) => IcmpErrorKind::Unreachable,
        (3, 3) => IcmpErrorKind::PortUnreachable,
        (3, 4) => IcmpErrorKind::PacketTooBig { mtu: u16::from_be_bytes([mtu_high, mtu_low]).into() },
        (3, 9 | 10 | 13) => IcmpErrorKind::AdministrativelyProhibited,
        (11, 0) => IcmpErrorKind::TimeExceeded,
        (3 | 4 | 11 | 12, _) => IcmpErrorKind::Other { icmp_type, code },
        _ => return None,
    })
}

/// RFC 4443 §3. Types below 128 are errors.
fn kind_v6(icmp_type: u8, code: u8, mtu: [u8; 4]) -> Option<IcmpErrorKind> {
    Some(match (icmp_type, code) {
        (1, 0 | 2 | 3) => IcmpErrorKind::Unreachable,
        (1, 1 | 5 | 6) => IcmpErrorKind::AdministrativelyProhibited,
        (1, 4) => IcmpErrorKind::PortUnreachable,
        (2, _) => IcmpErrorKind::PacketTooBig { mtu: u32::from_be_bytes(mtu) },
        (3, 0) => IcmpErrorKind::TimeExceeded,
        (..128, _) => IcmpErrorKind::Other { icmp_type, code },
        _ => return None,
    })
}

/// Reads the quoted head of the segment: its ports, and its sequence number where the quotation reaches so far.
fn quoted(outer: &Datagram<'_>, at: Moment, kind: IcmpErrorKind, quote: Span<'_>) -> Option<IcmpError> {
    // The quotation is cut by design, and its length fields speak of the whole.
    let inner = ip::read(quote, &mut Context::new(0, 0), false).ok()?;
    let is_first = inner.piece.is_none_or(|piece| piece.offset == 0);
    if IpNumber(inner.protocol) != IpNumber::TCP || !is_first {
        return None;
    }
    let (&[s0, s1, d0, d1], rest) = inner.payload.bytes.split_first_chunk::<4>()?;
    Some(IcmpError {
        at,
        reporter: outer.source,
        kind,
        source: Endpoint { address: inner.source, port: u16::from_be_bytes([s0, s1]) },
        destination: Endpoint { address: inner.destination, port: u16::from_be_bytes([d0, d1]) },
        encapsulation: EncapsulationId::default(),
        seq: rest.first_chunk().map(|bytes| SeqNum(u32::from_be_bytes(*bytes))),
    })
}
