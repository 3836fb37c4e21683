//! Copies of one packet in a capture: `-i any` on a router or bridge, mirrored ports, several interfaces.

use crate::decode::segment::Segment;
use crate::limits::Limits;
use crate::time::Timestamp;
use foldhash::fast::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

/// Slots of the memory; a power of two. 16 bytes each: it stays in the processor's cache.
const SLOTS: usize = 8_192;

/// Remembers recent packets by a fingerprint of everything a copy shares: addresses, the TCP header, the IP
/// identification and the length, but neither TTL nor MAC addresses.
///
/// A retransmission has a new IP identification or, without one, comes later than a copy does.
#[derive(Debug)]
pub struct CopyFilter {
    slots: Vec<(u64, Timestamp)>,
    hasher: RandomState,
}

impl Default for CopyFilter {
    fn default() -> Self {
        CopyFilter { slots: vec![(0, Timestamp::MIN); SLOTS], hasher: RandomState::default() }
    }
}

impl CopyFilter {
    /// Is `segment` a copy of a packet seen shortly before? Remembers it if not. `flow` tells its connection and
    /// direction.
    pub fn is_copy(&mut self, flow: u64, segment: &Segment<'_>, limits: &Limits) -> bool {
        let fingerprint = self.fingerprint(flow, segment);
        #[expect(clippy::cast_possible_truncation, reason = "masked to the table's size")]
        let slot = (fingerprint as usize) & (SLOTS - 1);
        let Some((held, at)) = self.slots.get_mut(slot) else { return false };
        let has_id = segment.ip_id.is_some_and(|id| id != 0);
        let window = if has_id { limits.copy_window } else { limits.copy_window_anonymous };
        let near = !segment.at.at.has_passed(window, *at) && !at.has_passed(window, segment.at.at);
        if *held == fingerprint && near {
            return true;
        }
        (*held, *at) = (fingerprint, segment.at.at);
        false
    }

    fn fingerprint(&self, flow: u64, segment: &Segment<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(flow);
        let ack = segment.ack.map_or(0, |ack| ack.0);
        hasher.write_u64(u64::from(segment.seq.0) << 32 | u64::from(ack));
        let head = u64::from(segment.flags.0) << 32 | u64::from(segment.window) << 16;
        hasher.write_u64(head | u64::from(segment.ip_id.unwrap_or(0)));
        hasher.write_u32(segment.payload_len());
        hasher.write(segment.options);
        hasher.finish()
    }
}
