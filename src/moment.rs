//! Where in the capture something happened: what makes each claim checkable in Wireshark.

use crate::time::Timestamp;

/// A packet's place in the capture: its file, its number there and its time.
///
/// Sixteen bytes, `Copy`, and on every event, so that each claim of a verdict names its packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment {
    /// The time in the packet's record.
    pub at: Timestamp,
    /// 1-based number in its file, as Wireshark's `frame.number`.
    pub packet: u32,
    /// Index of the input file (0 for a live capture).
    pub file: u16,
}
