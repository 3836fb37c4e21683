//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers and extension headers.

use super::layer::{Context, Datagram, Piece};
use super::span::Span;
use crate::anomaly::Anomaly;
use etherparse::checksum::Sum16BitWords;
use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice,
};
use std::net::{IpAddr, Ipv6Addr};

/// Most extension headers read in one packet: a chain of 8-byte ones could otherwise fill a jumbogram.
const EXTENSIONS_MAX: usize = 32;

/// Reads an IP header of either version, told by its first four bits, and any extension headers.
pub(super) fn read<'a>(span: Span<'a>, context: &mut Context, verify: bool) -> Result<Datagram<'a>, Anomaly> {
    let datagram = match span.first()? >> 4 {
        4 => read_v4(span, context, verify)?,
        6 => read_v6(span, context)?,
        _ => return Err(Anomaly::PacketMalformed),
    };
    // What stands outside of this datagram was cut with the padding.
    context.fcs_len = 0;
    skip_extensions(datagram)
}

fn read_v4<'a>(span: Span<'a>, context: &Context, verify: bool) -> Result<Datagram<'a>, Anomaly> {
    let header = Ipv4HeaderSlice::from_slice(span.bytes).map_err(|_| v4_fault(span))?;
    let bytes = header.slice();
    if verify && Sum16BitWords::new().add_slice(bytes).ones_complement() != 0 {
        return Err(Anomaly::ChecksumBad);
    }
    let whole = match usize::from(header.total_len()) {
        // Segmentation offload: the hardware, or nobody, would have filled it in.
        0 => span.limit(span.wire.saturating_sub(context.fcs_len)),
        len if len < bytes.len() => return Err(Anomaly::PacketMalformed),
        len => span.claim(len),
    };
    let offset = usize::from(header.fragments_offset().value()) * 8;
    let piece = Piece { id: header.identification().into(), offset, more: header.more_fragments() };
    Ok(Datagram {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        ttl: header.ttl(),
        ip_id: Some(header.identification()),
        protocol: header.protocol().0,
        piece: header.is_fragmenting_payload().then_some(piece),
        payload: whole.skip(bytes.len())?,
    })
}

/// A header length below 20 is wrong whatever the snaplen did.
fn v4_fault(span: Span<'_>) -> Anomaly {
    match span.bytes.first() {
        Some(first) if first & 0x0f < 5 => Anomaly::PacketMalformed,
        _ => span.too_short(),
    }
}

fn read_v6<'a>(span: Span<'a>, context: &Context) -> Result<Datagram<'a>, Anomaly> {
    let header = Ipv6HeaderSlice::from_slice(span.bytes).map_err(|_| span.too_short())?;
    let rest = span.skip(header.header_len())?;
    let payload = match usize::from(header.payload_length()) {
        0 => match jumbo_len(header.next_header(), rest.bytes) {
            Some(len) => rest.claim(len),
            // BIG TCP or another offload.
            None => rest.limit(rest.wire.saturating_sub(context.fcs_len)),
        },
        len => rest.claim(len),
    };
    Ok(Datagram {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        ttl: header.hop_limit(),
        ip_id: None,
        protocol: header.next_header().0,
        piece: None,
        payload,
    })
}

/// The Jumbo Payload option's length (RFC 2675 §2), which must stand in a hop-by-hop header.
fn jumbo_len(next: IpNumber, bytes: &[u8]) -> Option<usize> {
    const PAD1: u8 = 0x00;
    const JUMBO: u8 = 0xc2;
    if next != IpNumber::IPV6_HEADER_HOP_BY_HOP {
        return None;
    }
    let header = Ipv6RawExtHeaderSlice::from_slice(bytes).ok()?;
    let mut options = header.payload();
    loop {
        options = match options {
            [JUMBO, 4, a, b, c, d, ..] => return usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok(),
            [PAD1, rest @ ..] => rest,
            [_, len, rest @ ..] => rest.get(usize::from(*len)..)?,
            _ => return None,
        };
    }
}

/// Skips IPv6 extension headers, and AH in either version, up to a protocol or a fragment header of a true fragment.
pub(super) fn skip_extensions(mut datagram: Datagram<'_>) -> Result<Datagram<'_>, Anomaly> {
    if datagram.piece.is_some() {
        return Ok(datagram);
    }
    for _ in 0..EXTENSIONS_MAX {
        let v6 = datagram.source.is_ipv6();
        match IpNumber(datagram.protocol) {
            IpNumber::IPV6_FRAGMENTATION_HEADER if v6 => {
                skip_fragment_header(&mut datagram)?;
                if datagram.piece.is_some() {
                    return Ok(datagram);
                }
            }
            IpNumber::AUTHENTICATION_HEADER => skip_authentication(&mut datagram)?,
            number if v6 && Ipv6RawExtHeaderSlice::header_type_supported(number) => {
                skip_generic(&mut datagram)?
            }
            _ => return Ok(datagram),
        }
    }
    Err(Anomaly::PacketMalformed)
}

fn skip_generic(datagram: &mut Datagram<'_>) -> Result<(), Anomaly> {
    let span = datagram.payload;
    let header = Ipv6RawExtHeaderSlice::from_slice(span.bytes).map_err(|_| span.too_short())?;
    if IpNumber(datagram.protocol) == IpNumber::IPV6_ROUTE_HEADER
        && let Some(last) = final_destination(header.payload())
    {
        datagram.destination = last;
    }
    datagram.protocol = header.next_header().0;
    datagram.payload = span.skip(header.slice().len())?;
    Ok(())
}

/// The connection's own destination, where a routing header says that the one in the IPv6 header is only the next
/// hop (RFC 8200 §4.4, RFC 6275 §6.4, RFC 8754 §2).
fn final_destination(payload: &[u8]) -> Option<IpAddr> {
    const SOURCE_ROUTE: u8 = 0;
    const MOBILE: u8 = 2;
    const SEGMENT_ROUTING: u8 = 4;
    // The payload starts after next header and length: type, segments left, 4 bytes, addresses.
    let (head, addresses) = payload.split_first_chunk::<6>()?;
    let [kind, segments_left, ..] = *head;
    if segments_left == 0 {
        return None;
    }
    let last: [u8; 16] = match kind {
        SOURCE_ROUTE | MOBILE => *addresses.last_chunk()?,
        SEGMENT_ROUTING => *addresses.first_chunk()?,
        _ => return None,
    };
    Some(Ipv6Addr::from(last).into())
}

fn skip_fragment_header(datagram: &mut Datagram<'_>) -> Result<(), Anomaly> {
    let span = datagram.payload;
    let header = Ipv6FragmentHeaderSlice::from_slice(span.bytes).map_err(|_| span.too_short())?;
    let offset = usize::from(header.fragment_offset().value()) * 8;
    let piece = Piece { id: header.identification(), offset, more: header.more_fragments() };
    datagram.protocol = header.next_header().0;
    datagram.payload = span.skip(header.slice().len())?;
    // An "atomic" fragment is whole (RFC 6946).
    datagram.piece = header.is_fragmenting_payload().then_some(piece);
    Ok(())
}

fn skip_authentication(datagram: &mut Datagram<'_>) -> Result<(), Anomaly> {
    let span = datagram.payload;
    let header = IpAuthHeaderSlice::from_slice(span.bytes).map_err(|_| span.too_short())?;
    datagram.protocol = header.next_header().0;
    datagram.payload = span.skip(header.slice().len())?;
    Ok(())
}
