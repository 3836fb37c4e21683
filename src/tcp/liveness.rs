//! Does the peer still answer? Counts sendings of the same bytes that draw nothing.

use crate::moment::Moment;
use crate::pack::{Pack, Packer, Unpacker, pack_fields};
use std::time::Duration;

/// Below it an implementation of RFC 6298 should not set its retransmission timer; many do.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Sendings of the same bytes since the other side's last packet.
///
/// A retransmission timer or keepalive that fires again and again without any packet from the peer is the only
/// proof of a dead peer or path that a capture can hold. New data sent meanwhile neither adds nor resets.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Unanswered {
    /// How often they were sent since the peer's last packet; 0: what follows means nothing.
    pub sendings: u32,
    /// How often in a row the wait had grown to about twice the one before, as a retransmission timer's does
    /// (RFC 6298 §5.5).
    pub doublings: u32,
    /// Stream offset of the first bytes sent since then, plus 1, so that a keepalive at offset -1 fits.
    from: u64,
    /// Stream offset of the bytes that are sent again, plus 1.
    offset: u64,
    /// Their first sending that was noted.
    pub first: Moment,
    /// Their latest sending.
    pub last: Moment,
    /// Nanoseconds between the last two sendings.
    wait: u64,
}

/// Keepalive probes of one side (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalives {
    /// Probes sent.
    pub sent: u32,
    /// The latest.
    pub last: Option<Moment>,
}

impl Keepalives {
    pub(crate) fn note(&mut self, at: Moment) {
        self.sent = self.sent.saturating_add(1);
        self.last = Some(at);
    }
}

impl Unanswered {
    /// The side sent bytes (or a keepalive probe, or its FIN) from `offset` (plus 1) on; `again`: not for the first
    /// time.
    #[inline]
    pub fn sent(&mut self, offset: u64, again: bool, at: Moment) {
        if self.sendings == 0 {
            *self = Unanswered { from: offset, offset, sendings: 1, first: at, last: at, ..Self::default() };
        } else {
            self.sent_on(offset, again, at);
        }
    }

    /// The peer has not answered what was sent before.
    fn sent_on(&mut self, offset: u64, again: bool, at: Moment) {
        if offset == self.offset {
            self.sendings = self.sendings.saturating_add(1);
            self.waited(at);
            self.last = at;
        } else if again && (offset < self.offset || self.sendings == 1) {
            // Other bytes' turn. Those behind `from` were first sent since the peer's last packet, so this is at
            // least their second sending; of older ones only this sending counts.
            let sendings = if offset >= self.from { 2 } else { 1 };
            *self = Unanswered { from: self.from, offset, sendings, last: at, ..*self };
            (self.wait, self.doublings) = (0, 0);
        } else if !again {
            // New bytes that the capture holds out of order.
            self.from = self.from.min(offset);
        }
    }

    /// Compares the wait before this sending with the one before.
    fn waited(&mut self, at: Moment) {
        let wait = at.at.nanos_since(self.last.at).max(0).cast_unsigned();
        let doubled = self.wait / 2 * 3..=self.wait.saturating_mul(3);
        let has_doubled = self.wait != 0 && doubled.contains(&wait);
        self.doublings = if has_doubled { self.doublings.saturating_add(1) } else { 0 };
        self.wait = wait;
    }

    /// Do they prove the peer dead: at least `limit` of them, and one more where all came within a second, the least
    /// retransmission timeout (RFC 6298 §2.4)? A short outage draws several quick ones.
    #[must_use]
    pub fn proves_death(&self, limit: u32) -> bool {
        let limit = limit.max(1);
        let is_brief = !self.last.at.has_passed(LEAST_TIMEOUT, self.first.at);
        self.sendings > limit || (self.sendings == limit && !is_brief)
    }

    /// The other side sent something: it lives.
    #[inline]
    pub fn answered(&mut self) {
        self.sendings = 0;
    }
}

/// Of an answered side nothing means anything.
impl PartialEq for Unanswered {
    fn eq(&self, other: &Self) -> bool {
        let all = |one: &Self| (one.doublings, one.from, one.offset, one.first, one.last, one.wait);
        self.sendings == other.sendings && (self.sendings == 0 || all(self) == all(other))
    }
}

impl Eq for Unanswered {}

impl Pack for Unanswered {
    fn pack(&self, into: &mut Packer) {
        let Unanswered { sendings, doublings, from, offset, first, last, wait } = *self;
        sendings.pack(into);
        if sendings > 0 {
            (doublings, (from, offset)).pack(into);
            (first, (last, wait)).pack(into);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let sendings = u32::unpack(from);
        if sendings == 0 {
            return Unanswered::default();
        }
        let (doublings, (first_offset, offset)) = Pack::unpack(from);
        let (first, (last, wait)) = Pack::unpack(from);
        Unanswered { sendings, doublings, from: first_offset, offset, first, last, wait }
    }
}

pack_fields!(Keepalives { sent, last });

#[cfg(test)]
mod tests {
    use super::*;

    fn sendings(offsets: &[(u64, bool)]) -> u32 {
        let mut unanswered = Unanswered::default();
        for (offset, again) in offsets {
            unanswered.sent(*offset, *again, Moment::default());
        }
        unanswered.sendings
    }

    #[test]
    fn new_data_between_retransmissions_neither_counts_nor_resets() {
        assert_eq!(sendings(&[(10, false), (20, false), (10, true), (30, false), (10, true)]), 3);
    }

    #[test]
    fn a_tail_loss_probe_does_not_hide_the_retransmissions_after_it() {
        assert_eq!(sendings(&[(10, false), (20, false), (20, true), (10, true), (10, true)]), 3);
    }

    #[test]
    fn sendings_before_the_last_answer_do_not_count() {
        assert_eq!(sendings(&[(20, false), (10, true), (10, true)]), 2);
    }

    #[test]
    fn first_sendings_out_of_order_count_like_any() {
        assert_eq!(sendings(&[(14, false), (10, false), (10, true), (10, true)]), 3);
    }

    fn doublings(waits_ms: &[i64]) -> u32 {
        let mut unanswered = Unanswered::default();
        let mut now = 0;
        for wait in [0].iter().chain(waits_ms) {
            now += wait * 1_000_000;
            let at = Moment::new(crate::time::Timestamp::from_nanos(now), 1, 0);
            unanswered.sent(10, now != 0, at);
        }
        unanswered.doublings
    }

    #[test]
    fn only_waits_that_double_are_back_off() {
        assert_eq!(doublings(&[200, 410, 830, 1660]), 3);
        assert_eq!(doublings(&[200, 200, 200, 200]), 0, "a keepalive's steady pace");
        assert_eq!(doublings(&[200, 410, 830, 100]), 0);
        assert_eq!(doublings(&[200]), 0);
    }

    #[test]
    fn an_answer_resets() {
        let mut unanswered = Unanswered::default();
        unanswered.sent(10, false, Moment::default());
        unanswered.answered();
        assert_eq!(unanswered.sendings, 0);
        unanswered.sent(20, false, Moment::default());
        let mut fresh = Unanswered::default();
        fresh.sent(20, false, Moment::default());
        assert_eq!(unanswered, fresh, "nothing of what was answered is left");
    }
}
