//! IP reassembly.

use super::{Bytes, Cuts, small_limits};
use crate::capture::link_type::LinkType;
use crate::decode::Decoder;
use crate::decode::segment::Decoded;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::time::Timestamp;

/// Bytes of an IPv4 and a TCP header without options.
const HEADER: usize = 20;

/// First a datagram cut, shuffled and partly doubled: it comes out as it went in. Then any fragments at all, into a
/// pool with small caps: the caps hold.
pub fn defrag(input: &[u8]) {
    let mut input = Bytes(input);
    let (seed, len) = (input.byte(), usize::from(input.u16() % 3_000));
    let payload: Vec<u8> = input.take(len).to_vec();
    cut_and_joined(seed, &payload);
    any_fragments(input);
}

fn cut_and_joined(seed: u8, payload: &[u8]) {
    let mut datagram = tcp_header();
    datagram.extend_from_slice(payload);
    let mut cuts = Cuts::new(seed);
    let units = datagram.len().div_ceil(8);
    let mut fragments = Vec::new();
    let mut from = 0;
    while from < units {
        let to = (from + cuts.next(40)).min(units);
        let bytes = datagram.get(from * 8..(to * 8).min(datagram.len())).unwrap_or_default();
        fragments.push(ipv4(7, from, to < units, bytes));
        from = to;
    }
    shuffle(&mut fragments, &mut cuts);
    let mut decoder = Decoder::new(&Limits::default(), false);
    let mut joined = 0;
    for fragment in &fragments {
        // A copy of a fragment changes nothing, not even of the last one.
        for _ in 0..cuts.next(2) {
            if let Some(found) = payload_of(&mut decoder, fragment, 0) {
                assert_eq!(found, payload, "the datagram comes out as it went in");
                joined += 1;
            }
        }
    }
    let expected = if fragments.len() == 1 { 1..=2 } else { 1..=1 };
    assert!(expected.contains(&joined), "joined {joined} times");
    assert_eq!(decoder.held_fragment_bytes(), 0, "nothing is left");
}

fn any_fragments(mut input: Bytes<'_>) {
    let limits = small_limits();
    let mut decoder = Decoder::new(&limits, false);
    let mut clock = 0;
    while !input.is_empty() {
        let (id, place, len) = (input.byte() % 8, input.u16(), usize::from(input.byte()));
        clock += i64::from(input.byte());
        let fragment = ipv4(u16::from(id), usize::from(place & 0x1fff), place & 0x8000 != 0, input.take(len));
        let _ = payload_of(&mut decoder, &fragment, clock);
        assert!(decoder.held_fragment_bytes() <= limits.fragment_bytes, "bytes within their cap");
        assert!(decoder.held_fragment_datagrams() <= limits.fragment_datagrams, "datagrams within their cap");
    }
    decoder.finish();
    assert_eq!(decoder.held_fragment_bytes(), 0);
}

fn payload_of(decoder: &mut Decoder, packet: &[u8], millis: i64) -> Option<Vec<u8>> {
    let at = Moment::new(Timestamp::from_nanos(millis * 1_000_000), 1, 0);
    let len = u32::try_from(packet.len()).unwrap_or(0);
    match decoder.decode(at, LinkType::RAW, 0, packet, len) {
        Decoded::Segment(segment) => Some(segment.payload.to_vec()),
        _ => None,
    }
}

fn tcp_header() -> Vec<u8> {
    let mut header = vec![0; HEADER];
    for (place, value) in [(1, 80), (3, 81), (12, 5 << 4), (13, 0x18)] {
        if let Some(byte) = header.get_mut(place) {
            *byte = value;
        }
    }
    header
}

/// A fragment at `unit` times eight bytes.
fn ipv4(id: u16, unit: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let total = u16::try_from(HEADER + bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    let place = (u16::try_from(unit & 0x1fff).unwrap_or(0) | u16::from(more) << 13).to_be_bytes();
    let id = id.to_be_bytes();
    let mut packet = vec![0x45, 0];
    packet.extend([total, id, place].concat());
    packet.extend([64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend_from_slice(bytes);
    packet
}

fn shuffle(items: &mut [Vec<u8>], cuts: &mut Cuts) {
    for last in (1..items.len()).rev() {
        items.swap(last, cuts.next(last + 1) - 1);
    }
}
