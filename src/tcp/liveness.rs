//! Does the peer still answer? Counts sendings of the same bytes that draw nothing.

use crate::moment::Moment;

/// Sendings of the same bytes since the other side's last packet.
///
/// A retransmission timer or keepalive that fires again and again without any packet from the peer is the only
/// proof of a dead peer or path that a capture can hold. New data sent meanwhile neither adds nor resets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unanswered {
    /// Stream offset of the first bytes sent since then, plus 1, so that a keepalive at offset -1 fits.
    from: u64,
    /// Stream offset of the bytes that are sent again, plus 1.
    offset: u64,
    /// How often they were sent since the peer's last packet.
    pub sendings: u32,
    /// Their first sending that was noted.
    pub first: Moment,
    /// Their latest sending.
    pub last: Moment,
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
    pub fn sent(&mut self, offset: u64, again: bool, at: Moment) {
        if self.sendings == 0 {
            *self = Unanswered { from: offset, offset, sendings: 1, first: at, last: at };
        } else if offset == self.offset {
            self.sendings = self.sendings.saturating_add(1);
            self.last = at;
        } else if again && (offset < self.offset || self.sendings == 1) {
            // Other bytes' turn. Those behind `from` were first sent since the peer's last packet, so this is at
            // least their second sending; of older ones only this sending counts.
            let sendings = if offset >= self.from { 2 } else { 1 };
            *self = Unanswered { from: self.from, offset, sendings, first: self.first, last: at };
        } else if !again {
            // New bytes that the capture holds out of order.
            self.from = self.from.min(offset);
        }
    }

    /// The other side sent something: it lives.
    pub fn answered(&mut self) {
        if self.sendings != 0 {
            *self = Unanswered::default();
        }
    }
}

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

    #[test]
    fn an_answer_resets() {
        let mut unanswered = Unanswered::default();
        unanswered.sent(10, false, Moment::default());
        unanswered.answered();
        assert_eq!(unanswered, Unanswered::default());
    }
}
