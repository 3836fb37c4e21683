//! The TCP header (RFC 9293 §3.1), whole or cut by the snaplen.

use super::flow_key::{EncapsulationId, Endpoint, FlowKey};
use super::layer::Datagram;
use super::segment::{Segment, TcpFlags};
use super::span::Span;
use crate::anomaly::Anomaly;
use crate::moment::Moment;
use crate::seq::SeqNum;
use etherparse::TcpHeaderSlice;
use etherparse::checksum::Sum16BitWords;
use std::net::IpAddr;

const TCP: u8 = 6;
const MIN_LEN: usize = 20;

/// Reads the TCP segment that `datagram` carries.
///
/// ```text
///  0       2       4               8              12  13      14      16      18      20
/// |source |dest.  |seq            |ack            |off|flags |window |chksum |urgent |options ...|
/// |<---------------- must be captured --------------------->|
/// ```
pub(super) fn read<'a>(datagram: &Datagram<'a>, at: Moment, verify: bool) -> Result<Segment<'a>, Anomaly> {
    let span = datagram.payload;
    let (&[s0, s1, d0, d1, seq0, seq1, seq2, seq3, ack0, ack1, ack2, ack3, offset, flags], _) =
        span.take::<14>()?;
    let header_len = usize::from(offset >> 4) * 4;
    if header_len < MIN_LEN || header_len > span.wire {
        return Err(Anomaly::PacketMalformed);
    }
    if verify && span.missing() == 0 && !checksum_holds(datagram, span) {
        return Err(Anomaly::ChecksumBad);
    }
    let (window, options) = window_and_options(span.bytes, header_len);
    let payload = span.bytes.get(header_len..).unwrap_or_default();
    let missing = span.wire.saturating_sub(header_len).saturating_sub(payload.len());
    let flags = TcpFlags(flags);
    let ack = SeqNum(u32::from_be_bytes([ack0, ack1, ack2, ack3]));
    let source = Endpoint { address: datagram.source, port: u16::from_be_bytes([s0, s1]) };
    let destination = Endpoint { address: datagram.destination, port: u16::from_be_bytes([d0, d1]) };
    let (key, from_lower) = FlowKey::between(source, destination, EncapsulationId::default());
    Ok(Segment {
        at,
        key,
        from_lower,
        seq: SeqNum(u32::from_be_bytes([seq0, seq1, seq2, seq3])),
        ack: flags.ack().then_some(ack),
        flags,
        window,
        ttl: datagram.ttl,
        ip_id: datagram.ip_id,
        options,
        payload,
        missing: u32::try_from(missing).unwrap_or(u32::MAX),
    })
}

/// The window, and the options as far as they were captured.
fn window_and_options(bytes: &[u8], header_len: usize) -> (u16, &[u8]) {
    if let Ok(header) = TcpHeaderSlice::from_slice(bytes) {
        return (header.window_size(), bytes.get(MIN_LEN..header_len).unwrap_or_default());
    }
    // Cut inside of the header.
    let window = match bytes.get(14..16) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    };
    (window, bytes.get(MIN_LEN..).unwrap_or_default())
}

/// Does the checksum over pseudo header and segment hold (RFC 9293 §3.1, RFC 8200 §8.1)?
fn checksum_holds(datagram: &Datagram<'_>, span: Span<'_>) -> bool {
    let mut sum = match (datagram.source, datagram.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut sum = Sum16BitWords::new();
            sum = sum.add_4bytes(source.octets());
            sum.add_4bytes(destination.octets())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut sum = Sum16BitWords::new();
            sum = sum.add_16bytes(source.octets());
            sum.add_16bytes(destination.octets())
        }
        _ => return false,
    };
    let len = u32::try_from(span.wire).unwrap_or(u32::MAX);
    sum = sum.add_4bytes(len.to_be_bytes());
    sum = sum.add_2bytes([0, TCP]);
    sum.add_slice(span.bytes).ones_complement() == 0
}
