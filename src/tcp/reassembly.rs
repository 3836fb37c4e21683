//! Out-of-order segments of one direction, held until the hole before them fills or is given up.

use crate::moment::Moment;
use crate::work;
use std::collections::BTreeMap;

/// A segment's payload that waits for the bytes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The packet that carried it.
    pub at: Moment,
    /// The acknowledgment it carried, as an offset in the peer's stream.
    pub peer_acked: Option<u64>,
    /// The bytes captured.
    pub bytes: Box<[u8]>,
    /// Bytes behind them that the snaplen cut.
    pub missing: u32,
}

impl Held {
    fn len(&self) -> u64 {
        self.bytes.len() as u64 + u64::from(self.missing)
    }
}

/// Memory that one held segment takes besides its bytes: its entries in both maps, and the allocator's share.
const SEGMENT_OVERHEAD: usize = 128;

/// Segments beyond a hole, keyed by the stream offset of their first byte; they never overlap.
///
/// ```text
///  delivered | hole |held|held|held| hole |  held  |
///            next   ^run           ^end   ^run     ^end
/// ```
///
/// Runs without a hole are kept beside the segments: what lies within a run needs no look at its segments, and each
/// hole that a segment fills makes one run of two. So the work for a segment grows with its captured bytes and with the
/// holes it fills, never with what is held.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutOfOrder {
    segments: BTreeMap<u64, Held>,
    /// Runs without a hole: from the first byte's offset to the one behind the last.
    runs: BTreeMap<u64, u64>,
    bytes: usize,
}

/// What became of a segment offered to [`OutOfOrder::insert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// It overlapped bytes held already, and differed from them.
    pub differs: bool,
    /// Bytes of memory the queue grew by.
    pub grown: usize,
}

impl OutOfOrder {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Memory it takes, in bytes: the payload, and what each segment costs besides.
    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Offset of the first held byte.
    pub(crate) fn first_offset(&self) -> Option<u64> {
        self.segments.keys().next().copied()
    }

    /// What the first segment held from `offset` on acknowledged.
    pub(crate) fn acked_behind(&self, offset: u64) -> Option<u64> {
        self.segments.range(offset..).next().and_then(|(_, held)| held.peer_acked)
    }

    /// Holds the parts of `segment` that are not held yet: the bytes seen first win.
    pub(crate) fn insert(&mut self, offset: u64, segment: &Held) -> Inserted {
        let before = self.bytes;
        let end = offset + segment.len();
        if offset == end {
            return Inserted { differs: false, grown: 0 };
        }
        let differs = self.differs(offset, segment);
        let mut run = offset..end;
        let mut at = offset;
        while let Some((start, stop)) = self.run_touching(run.start, end) {
            work::step();
            self.runs.remove(&start);
            run = run.start.min(start)..run.end.max(stop);
            if at < start {
                self.hold(at, segment, offset, start.min(end));
            }
            at = at.max(stop);
        }
        if at < end {
            self.hold(at, segment, offset, end);
        }
        self.runs.insert(run.start, run.end);
        Inserted { differs, grown: self.bytes.saturating_sub(before) }
    }

    /// The first run that overlaps or touches `from..to`.
    fn run_touching(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let before = self.runs.range(..=from).next_back().filter(|(_, end)| **end >= from);
        before.or_else(|| self.runs.range(from..=to).next()).map(|(start, end)| (*start, *end))
    }

    /// Does it contradict what is held, where both have captured bytes?
    fn differs(&self, offset: u64, segment: &Held) -> bool {
        let end = offset + segment.bytes.len() as u64;
        let before = self.segments.range(..=offset).next_back();
        let behind = self.segments.range(offset..end).skip_while(|(start, _)| **start == offset);
        before.into_iter().chain(behind).any(|(start, held)| {
            work::step();
            overlap_differs(offset, segment, *start, held)
        })
    }

    /// Holds bytes `from..to` of `segment`, whose first byte stands at `offset`.
    fn hold(&mut self, from: u64, segment: &Held, offset: u64, to: u64) {
        let captured = segment.bytes.len();
        let start = usize::try_from(from - offset).unwrap_or(captured).min(captured);
        let end = usize::try_from(to - offset).unwrap_or(captured).min(captured);
        let bytes: Box<[u8]> = segment.bytes.get(start..end).unwrap_or_default().into();
        let missing = u32::try_from((to - from).saturating_sub(bytes.len() as u64)).unwrap_or(u32::MAX);
        self.bytes += bytes.len() + SEGMENT_OVERHEAD;
        self.segments.insert(from, Held { at: segment.at, peer_acked: segment.peer_acked, bytes, missing });
    }

    /// Takes the first held segment if it starts at or before `next`.
    pub(crate) fn take_ready(&mut self, next: u64) -> Option<(u64, Held)> {
        let entry = self.segments.first_entry()?;
        if *entry.key() > next {
            return None;
        }
        work::step();
        let (offset, held) = entry.remove_entry();
        self.bytes = self.bytes.saturating_sub(held.bytes.len() + SEGMENT_OVERHEAD);
        if let Some((_, end)) = self.runs.pop_first() {
            let rest = offset + held.len();
            if rest < end {
                self.runs.insert(rest, end);
            }
        }
        Some((offset, held))
    }
}

/// Do the captured bytes of two segments differ where they overlap?
fn overlap_differs(a_offset: u64, a: &Held, b_offset: u64, b: &Held) -> bool {
    let from = a_offset.max(b_offset);
    let to = (a_offset + a.bytes.len() as u64).min(b_offset + b.bytes.len() as u64);
    fn part(held: &Held, offset: u64, from: u64, to: u64) -> Option<&[u8]> {
        let start = usize::try_from(from.checked_sub(offset)?).ok()?;
        let end = usize::try_from(to.checked_sub(offset)?).ok()?;
        held.bytes.get(start..end)
    }
    from < to && part(a, a_offset, from, to) != part(b, b_offset, from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bytes: &[u8]) -> Held {
        Held { at: Moment::default(), peer_acked: None, bytes: bytes.into(), missing: 0 }
    }

    fn drain(queue: &mut OutOfOrder) -> Vec<(u64, Vec<u8>)> {
        std::iter::from_fn(|| queue.take_ready(u64::MAX))
            .map(|(at, held)| (at, held.bytes.to_vec()))
            .collect()
    }

    #[test]
    fn first_bytes_win_over_a_later_overlap() {
        let mut queue = OutOfOrder::default();
        queue.insert(10, &held(b"bbb"));
        let inserted = queue.insert(8, &held(b"AABXBCC"));
        assert!(inserted.differs);
        assert_eq!(drain(&mut queue), [(8, b"AA".to_vec()), (10, b"bbb".to_vec()), (13, b"CC".to_vec())]);
        assert_eq!((queue.memory(), queue.runs.len()), (0, 0));
    }

    #[test]
    fn a_segment_inside_another_adds_nothing() {
        let mut queue = OutOfOrder::default();
        queue.insert(0, &held(b"abcdef"));
        assert_eq!(queue.insert(2, &held(b"cd")), Inserted { differs: false, grown: 0 });
    }

    #[test]
    fn segments_that_touch_are_one_run() {
        let mut queue = OutOfOrder::default();
        queue.insert(10, &held(b"cd"));
        queue.insert(14, &held(b"gh"));
        queue.insert(8, &held(b"ab"));
        assert_eq!(queue.runs.iter().map(|(from, to)| (*from, *to)).collect::<Vec<_>>(), [(8, 12), (14, 16)]);
        queue.insert(9, &held(b"bcdefgh"));
        assert_eq!(queue.runs.iter().map(|(from, to)| (*from, *to)).collect::<Vec<_>>(), [(8, 16)]);
        let bytes: Vec<_> = drain(&mut queue).into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert_eq!(bytes, b"abcdefgh");
    }

    #[test]
    fn a_segment_over_many_held_ones_costs_as_many_steps_as_it_fills_holes() {
        // Every other byte is held. A segment of which the snaplen left nothing covers them all, again and again.
        let cost = |segments: u32| {
            let mut queue = OutOfOrder::default();
            let covering = Held { missing: 2 * segments, ..held(b"") };
            work::of(|| {
                for segment in 0..segments {
                    queue.insert(2 * u64::from(segment), &held(b"x"));
                }
                for _ in 0..segments {
                    queue.insert(0, &covering);
                }
            })
        };
        // Miri takes a thousand times as long.
        let count = if cfg!(miri) { 50 } else { 1_000 };
        assert!(cost(2 * count) <= 2 * cost(count) + 10, "{} {}", cost(count), cost(2 * count));
        assert!(cost(count) <= 4 * u64::from(count), "{}", cost(count));
    }

    #[test]
    fn memory_counts_what_a_segment_costs_besides_its_bytes() {
        let mut queue = OutOfOrder::default();
        for offset in 0..100 {
            queue.insert(2 * offset, &held(b"x"));
        }
        assert_eq!(queue.memory(), 100 * (1 + SEGMENT_OVERHEAD));
    }

    #[test]
    fn bytes_cut_by_the_snaplen_keep_their_place() {
        let mut queue = OutOfOrder::default();
        let cut = Held { missing: 4, ..held(b"ab") };
        queue.insert(5, &cut);
        queue.insert(11, &held(b"z"));
        assert_eq!(queue.take_ready(5).map(|(at, held)| (at, held.missing)), Some((5, 4)));
        assert_eq!(queue.take_ready(11).map(|(at, _)| at), Some(11));
    }
}
