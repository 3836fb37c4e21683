//! TCP sequence numbers, modulo 2^32 (RFC 9293 §3.4).

use std::fmt;

/// A 32-bit TCP sequence number. It has no order of its own: only distances of less than 2^31 mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// The number `count` bytes on.
    #[must_use]
    pub const fn advance(self, count: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(count))
    }

    /// Signed distance from `earlier` to `self`: negative if `self` lies before it.
    #[must_use]
    #[expect(clippy::cast_possible_wrap, reason = "the wrap is the meaning: distances are modulo 2^32")]
    pub const fn distance_from(self, earlier: SeqNum) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_wraps_around() {
        assert_eq!(SeqNum(5).distance_from(SeqNum(u32::MAX - 4)), 10);
        assert_eq!(SeqNum(u32::MAX - 4).distance_from(SeqNum(5)), -10);
    }
}
