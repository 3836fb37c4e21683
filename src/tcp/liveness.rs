//! Does the peer still answer? Counts sendings of the same bytes that draw nothing.

use crate::moment::Moment;

/// Sendings of the same bytes since the other side's last packet.
///
/// A retransmission timer or keepalive that fires again and again without any packet from the peer is the only
/// proof of a dead peer or path that a capture can hold. New data sent meanwhile neither adds nor resets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unanswered {
    /// Stream offset of the bytes that are sent again, plus 1 (0: none), so that a keepalive at offset -1 fits.
    offset_plus_one: u64,
    /// How often they were sent since the peer's last packet.
    pub sendings: u32,
    /// Their first sending.
    pub first: Moment,
    /// Their latest sending.
    pub last: Moment,
}

impl Unanswered {
    /// The side sent bytes (or a keepalive probe, or its FIN) from `offset` on.
    pub fn sent(&mut self, offset_plus_one: u64, at: Moment) {
        // A lower offset than the one watched is an older segment's turn: timers send the oldest bytes first.
        if self.sendings == 0 || offset_plus_one < self.offset_plus_one {
            *self = Unanswered { offset_plus_one, sendings: 1, first: at, last: at };
        } else if self.offset_plus_one == offset_plus_one {
            self.sendings = self.sendings.saturating_add(1);
            self.last = at;
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

    #[test]
    fn new_data_between_retransmissions_neither_counts_nor_resets() {
        let mut unanswered = Unanswered::default();
        for offset in [10, 20, 10, 30, 10] {
            unanswered.sent(offset, Moment::default());
        }
        assert_eq!(unanswered.sendings, 3);
        unanswered.answered();
        assert_eq!(unanswered.sendings, 0);
    }
}
