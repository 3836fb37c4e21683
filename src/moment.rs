//! Where in the capture something happened: what makes each claim checkable in Wireshark.

use crate::time::Timestamp;

/// A packet's place in the capture: its file, its number there and its time.
///
/// Sixteen bytes, `Copy`, and on every event, so that each claim of a verdict names its packet. A connection holds a
/// dozen that may be absent, so that absence must cost nothing:
///
/// ```text
///  0               8       12    14  15  16
///  | at            | packet| file|niche| -|      Some(moment): niche = 0; None: niche = 1
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment {
    /// The time in the packet's record.
    pub at: Timestamp,
    /// 1-based number in its file, as Wireshark's `frame.number`.
    pub packet: u32,
    /// Index of the input file (0 for a live capture).
    pub file: u16,
    niche: Niche,
}

/// Always zero. Its 255 other values are free to stand for `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
enum Niche {
    #[default]
    Zero,
}

impl Moment {
    /// Packet number `packet` of file `file`, at time `at`.
    #[must_use]
    pub const fn new(at: Timestamp, packet: u32, file: u16) -> Self {
        Moment { at, packet, file, niche: Niche::Zero }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_moment_takes_no_more_memory() {
        assert_eq!((size_of::<Moment>(), size_of::<Option<Moment>>()), (16, 16));
    }
}
