//! TCP: segments in any order, overlapping, lost, contradicting each other.

use super::{Bytes, small_limits};
use crate::decode::flow_key::{EncapsulationId, Endpoint, FlowKey};
use crate::decode::segment::{Segment, TcpFlags};
use crate::moment::Moment;
use crate::seq::SeqNum;
use crate::side::{PerSide, Side};
use crate::tcp::connection::Connection;
use crate::tcp::stream_event::{StreamEvent, StreamSink};
use crate::time::Timestamp;
use std::net::Ipv4Addr;

/// Where both sides' numbering begins: shortly before it wraps.
const INITIAL: u32 = u32::MAX - 300;

/// Takes events and checks that they leave nothing out and say nothing twice.
#[derive(Default)]
struct Ordered {
    next: PerSide<u64>,
    /// Do all segments agree about each byte?
    is_consistent: bool,
}

impl StreamSink for Ordered {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        let next = self.next.get_mut(side);
        match event {
            StreamEvent::Data { offset, bytes, wire, .. } => {
                assert_eq!(offset, *next, "data follow on what came before");
                assert!(!bytes.is_empty());
                *next += bytes.len() as u64;
                assert_eq!(wire.end, *next);
                if self.is_consistent {
                    let right = (offset..).map(|at| content(side, at));
                    assert!(bytes.iter().copied().eq(right.take(bytes.len())), "bytes are conserved");
                }
            }
            StreamEvent::Gap(gap) => {
                assert_eq!(gap.offset, *next, "a hole follows on what came before");
                assert!(gap.len > 0);
                *next += gap.len;
            }
        }
    }
}

/// The byte that `side` sends at `offset`.
fn content(side: Side, offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ (side as u8)
}

/// `options | side and flags, offset, length, acknowledgment, time | ...`: each such segment, with the bytes that
/// belong there or, if the options say so, others.
pub fn reassembly(input: &[u8]) {
    let mut input = Bytes(input);
    let options = input.byte();
    let mut ordered = Ordered { is_consistent: options & 1 == 0, ..Ordered::default() };
    let limits = small_limits();
    let mut tcp = Connection::new(Moment::default());
    let mut clock = 0;
    if options & 2 == 0 {
        let syn = |side| segment(side, TcpFlags::SYN, 0, &[], 0, None, 0, Moment::default());
        for side in Side::BOTH {
            let syn = Segment { seq: SeqNum(INITIAL.wrapping_sub(1)), ..syn(side) };
            tcp.handle_segment(side, &syn, &limits, &mut ordered);
        }
    }
    while !input.is_empty() {
        let (kind, place, len) = (input.byte(), u32::from(input.u16() % 6_000), u64::from(input.byte()) * 4);
        let (acked, waits) = (u32::from(input.u16() % 6_000), input.byte());
        clock += i64::from(waits) * 20_000_000;
        let side = if kind & 1 == 0 { Side::Client } else { Side::Server };
        let twist = if ordered.is_consistent { 0 } else { waits & 0x11 };
        let bytes: Vec<u8> =
            (u64::from(place)..u64::from(place) + len).map(|at| content(side, at) ^ twist).collect();
        let at = Moment::new(Timestamp::from_nanos(clock), 1, 0);
        let missing = if kind & 0x30 == 0x30 { u32::from(waits) } else { 0 };
        let flags = [0, TcpFlags::FIN, TcpFlags::RST, TcpFlags::SYN];
        let flags = if kind & 0x0c == 0x0c { flags.get(usize::from(kind >> 6)) } else { None };
        let ack = (kind & 2 != 0).then_some(acked);
        let found = segment(side, flags.copied().unwrap_or(0), place, &bytes, missing, ack, waits, at);
        // Behind a mid-stream start offsets count from what was seen first: contents can't be told there.
        ordered.is_consistent &= options & 2 == 0 && flags.is_none_or(|flags| *flags != TcpFlags::SYN);
        if !tcp.handle_plain(side, &found, &mut ordered) {
            tcp.handle_segment(side, &found, &limits, &mut ordered);
        }
        check(&tcp, &ordered);
        assert!(tcp.held_segments() <= 2 * limits.out_of_order_segments, "segments within their cap");
        assert!(tcp.held_bytes() <= 2 * limits.out_of_order_bytes, "bytes within their cap");
    }
    tcp.flush(&mut ordered);
    check(&tcp, &ordered);
    assert_eq!(tcp.held_bytes(), 0, "nothing stays behind");
}

fn check(tcp: &Connection, ordered: &Ordered) {
    for side in Side::BOTH {
        assert_eq!(tcp.halves[side].next, ordered.next[side], "all that was passed over is told");
    }
}

#[expect(clippy::too_many_arguments, reason = "a segment has so many fields")]
fn segment<'a>(
    side: Side,
    flags: u8,
    place: u32,
    payload: &'a [u8],
    missing: u32,
    ack: Option<u32>,
    window: u8,
    at: Moment,
) -> Segment<'a> {
    let end = |side: Side| Endpoint { address: Ipv4Addr::LOCALHOST.into(), port: 1 + side as u16 };
    let (key, from_lower) = FlowKey::between(end(side), end(side.other()), EncapsulationId::default());
    Segment {
        at,
        key,
        from_lower,
        seq: SeqNum(INITIAL.wrapping_add(place)),
        ack: ack.map(|acked| SeqNum(INITIAL.wrapping_add(acked))),
        flags: TcpFlags(flags | if ack.is_some() { TcpFlags::ACK } else { 0 }),
        window: u16::from(window),
        ttl: 64,
        ip_id: None,
        options: &[],
        payload,
        missing,
    }
}
