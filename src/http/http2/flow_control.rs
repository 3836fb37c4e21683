//! How much each side may still send (RFC 9113 §5.2): a sender whose window is used up must wait, with a Close too.

use crate::moment::Moment;
use crate::side::{PerSide, Side};

/// Window until SETTINGS say otherwise, in bytes (RFC 9113 §6.9.2).
pub const INITIAL_WINDOW: i64 = 65_535;

/// What one side may still send, on a stream or on the whole connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    left: i64,
    /// The packet with which it was used up.
    pub exhausted: Option<Moment>,
}

impl Window {
    /// A window of `size` bytes.
    #[must_use]
    pub const fn new(size: i64) -> Window {
        Window { left: size, exhausted: None }
    }

    /// Its sender sent a DATA frame of `length` bytes, padding included.
    pub fn sent(&mut self, length: u32, at: Moment) {
        self.left = self.left.saturating_sub(i64::from(length));
        if self.left <= 0 && length > 0 {
            self.exhausted.get_or_insert(at);
        }
    }

    /// Its receiver allows `by` bytes more; fewer, if that is negative.
    pub fn change(&mut self, by: i64, at: Moment) {
        self.left = self.left.saturating_add(by);
        if self.left > 0 {
            self.exhausted = None;
        } else {
            self.exhausted.get_or_insert(at);
        }
    }
}

/// The windows of a whole connection, and what new streams begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// What each side may still send on all streams together.
    pub connection: PerSide<Window>,
    /// What each side may send on a new stream, as the other side's SETTINGS say.
    pub initial: PerSide<i64>,
}

impl Default for Windows {
    fn default() -> Self {
        Windows {
            connection: PerSide::from_fn(|_| Window::new(INITIAL_WINDOW)),
            initial: PerSide::from_fn(|_| INITIAL_WINDOW),
        }
    }
}

impl Windows {
    /// The windows of a stream that opens now.
    #[must_use]
    pub fn of_new_stream(&self) -> PerSide<Window> {
        PerSide::from_fn(|side| Window::new(self.initial[side]))
    }

    /// `side`'s new streams may send `size` bytes from now on; gives the difference, which open streams take too.
    pub fn set_initial(&mut self, side: Side, size: u32) -> i64 {
        let initial = self.initial.get_mut(side);
        let change = i64::from(size) - *initial;
        *initial = i64::from(size);
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_window_is_exhausted_from_its_last_byte_until_it_is_enlarged() {
        let at = |packet| Moment::new(Timestamp::from_nanos(0), packet, 0);
        let mut window = Window::new(10);
        window.sent(9, at(1));
        assert_eq!(window.exhausted, None);
        window.sent(1, at(2));
        window.sent(0, at(3));
        assert_eq!(window.exhausted, Some(at(2)));
        window.change(5, at(4));
        assert_eq!(window.exhausted, None);
        // Smaller SETTINGS may leave less than nothing.
        window.change(-20, at(5));
        assert_eq!(window.exhausted, Some(at(5)));
    }
}
