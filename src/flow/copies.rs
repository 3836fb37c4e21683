//! Copies of one packet in a capture: `-i any` on a router or bridge, mirrored ports, several interfaces.

use crate::decode::segment::Segment;
use crate::limits::Limits;
use crate::time::Timestamp;
use foldhash::fast::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

/// Slots of the memory; a power of two. 16 bytes each: it stays in the processor's cache.
const SLOTS: usize = 2_048;

/// Remembers recent packets by a fingerprint of everything a copy shares: addresses, the TCP header, the IP
/// identification and the length, but neither TTL nor MAC addresses.
///
/// A retransmission has a new IP identification or, without one, comes later than a copy does.
#[derive(Debug)]
pub struct CopyFilter {
    slots: Vec<(u64, Timestamp)>,
    seed: u64,
    /// How near in time copies are, in nanoseconds: with an IP identification, and without.
    windows: [i64; 2],
}

/// Mixes two words: the halves of their product, folded.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product >> 64) as u64 ^ product as u64
}

/// The slot of `segment`. Unlike the fingerprint it takes no seed: which packets push out which is then the same in
/// every run, and a replay is exact.
#[expect(clippy::cast_possible_truncation, reason = "the table's size is the upper bits' range")]
fn slot(segment: &Segment<'_>) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let ack = segment.ack.map_or(0, |ack| ack.0);
    let ports = segment.key.ports();
    let ports = u64::from(if segment.from_lower { ports } else { ports.rotate_left(16) });
    let mixed = (u64::from(segment.seq.0) << 32 | u64::from(ack)) ^ ports.rotate_left(16);
    (mixed.wrapping_mul(ODD) >> (u64::BITS - SLOTS.ilog2())) as usize
}

impl CopyFilter {
    /// A filter that has seen nothing.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let nanos = |window: Duration| i64::try_from(window.as_nanos()).unwrap_or(i64::MAX);
        CopyFilter {
            slots: vec![(0, Timestamp::MIN); SLOTS],
            seed: RandomState::default().hash_one(SLOTS) | 1,
            windows: [nanos(limits.copy_window), nanos(limits.copy_window_anonymous)],
        }
    }

    /// Is `segment` a copy of a packet seen shortly before? Remembers it if not. `flow` tells its connection and
    /// direction.
    #[inline]
    pub fn is_copy(&mut self, flow: u64, segment: &Segment<'_>) -> bool {
        let fingerprint = self.fingerprint(flow, segment);
        let [with_id, anonymous] = self.windows;
        let Some((held, at)) = self.slots.get_mut(slot(segment)) else { return false };
        if *held == fingerprint {
            let has_id = segment.ip_id.is_some_and(|id| id != 0);
            let window = if has_id { with_id } else { anonymous };
            let (now, then) = (segment.at.at.nanos(), at.nanos());
            if now.abs_diff(then) < window.unsigned_abs() {
                return true;
            }
        }
        (*held, *at) = (fingerprint, segment.at.at);
        false
    }

    #[inline]
    fn fingerprint(&self, flow: u64, segment: &Segment<'_>) -> u64 {
        let ack = segment.ack.map_or(0, |ack| ack.0);
        let numbers = u64::from(segment.seq.0) << 32 | u64::from(ack);
        let head = u64::from(segment.window) << 16 | u64::from(segment.ip_id.unwrap_or(0));
        let head = head << 32 | u64::from(segment.payload_len());
        let fingerprint = fold(flow ^ numbers, self.seed ^ head ^ u64::from(segment.flags.0) << 24);
        // A forged packet may share every number with a real one, but hardly its first bytes.
        let payload = segment.payload.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
        fold(fingerprint ^ payload, self.seed ^ self.options(segment.options))
    }

    /// A word that tells options apart: nearly always NOP, NOP, Timestamps, twelve bytes, of which the first say so.
    #[inline]
    fn options(&self, options: &[u8]) -> u64 {
        const TIMESTAMPS: u32 = u32::from_le_bytes([1, 1, 8, 10]);
        let Ok(&[a, b, c, d, ref times @ ..]) = <&[u8; 12]>::try_from(options) else {
            return self.other_options(options);
        };
        let times = u64::from_le_bytes(*times);
        let kinds = u32::from_le_bytes([a, b, c, d]) ^ TIMESTAMPS;
        if kinds == 0 { times } else { self.other_options(options) }
    }

    #[cold]
    fn other_options(&self, options: &[u8]) -> u64 {
        options.iter().fold(0, |sum, byte| fold(sum ^ u64::from(*byte), self.seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::flow_key::{EncapsulationId, Endpoint, FlowKey};
    use crate::decode::segment::TcpFlags;
    use crate::moment::Moment;
    use crate::seq::SeqNum;
    use std::net::Ipv4Addr;

    fn segment(ms: i64, ip_id: u16, ttl: u8) -> Segment<'static> {
        let end = |port| Endpoint { address: Ipv4Addr::LOCALHOST.into(), port };
        let (key, from_lower) = FlowKey::between(end(1), end(2), EncapsulationId::default());
        Segment {
            at: Moment::new(Timestamp::from_nanos(ms * 1_000_000), 1, 0),
            key,
            from_lower,
            seq: SeqNum(1),
            ack: Some(SeqNum(2)),
            flags: TcpFlags(TcpFlags::ACK),
            window: 3,
            ttl,
            ip_id: Some(ip_id),
            options: &[],
            payload: b"hello",
            missing: 0,
        }
    }

    fn is_copy(first: &Segment<'_>, second: &Segment<'_>) -> bool {
        let mut filter = CopyFilter::new(&Limits::default());
        assert!(!filter.is_copy(7, first));
        filter.is_copy(7, second)
    }

    #[test]
    fn the_same_packet_behind_a_router_is_a_copy() {
        assert!(is_copy(&segment(0, 9, 64), &segment(20, 9, 63)));
    }

    #[test]
    fn a_retransmission_is_none() {
        assert!(!is_copy(&segment(0, 9, 64), &segment(200, 10, 64)));
        assert!(
            !is_copy(&segment(0, 0, 64), &segment(200, 0, 64)),
            "without an identification, by its delay"
        );
    }

    #[test]
    fn another_flow_or_payload_is_none() {
        let mut filter = CopyFilter::new(&Limits::default());
        assert!(!filter.is_copy(7, &segment(0, 9, 64)));
        assert!(!filter.is_copy(8, &segment(0, 9, 64)));
        assert!(!filter.is_copy(8, &Segment { missing: 1, ..segment(0, 9, 64) }));
        assert!(!filter.is_copy(8, &Segment { payload: b"12345678", ..segment(0, 8, 64) }));
        assert!(!filter.is_copy(8, &Segment { payload: b"1234567x", ..segment(0, 8, 64) }));
    }
}
