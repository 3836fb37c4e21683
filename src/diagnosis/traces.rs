//! The traces of all connections, kept in few bytes.

use super::trace::{Trace, Unusual};
use crate::pack::{Pack as _, Packer, Unpacker};

/// Traces in one block: what they take unpacked, 4,096 bytes, is what allocators call small, and have to give where connections
/// were; they round neither that up, nor by much what they usually take packed.
const BLOCK: usize = 64;

/// Blocks that are not packed: most captures have no more, and it takes time.
const OPENED: usize = 176;

/// Traces in the order in which they came.
///
/// ```text
///  opened: 64 traces each | blocks: the same packed, some 45 bytes a trace | latest: up to 64 more
///            +-> Unusual 104, of the few that have any of it
/// ```
#[derive(Clone, Debug, Default)]
pub(super) struct Traces {
    /// The first ones, and those that have been asked for.
    opened: Vec<Vec<Trace>>,
    blocks: Vec<Block>,
    latest: Vec<Trace>,
}

#[derive(Clone, Debug)]
struct Block {
    bytes: Box<[u8]>,
    len: u8,
    /// The lowest and the highest number in the report, of those that are listed.
    ids: Option<(u64, u64)>,
    unusual: Box<[Unusual]>,
}

impl Block {
    fn of(traces: &[Trace]) -> Self {
        let (mut packer, mut bytes) = (Packer::default(), Vec::new());
        for trace in traces {
            packer.put_next_moment(trace.opened);
            packer.put_next_moment(trace.packed_end());
            trace.pack(&mut packer);
        }
        packer.finish(&mut bytes);
        let ids = || traces.iter().filter_map(Trace::id);
        Block {
            // A copy: allocators leave one that shrinks as large as it grew.
            bytes: bytes.as_slice().into(),
            ids: ids().min().zip(ids().max()),
            len: u8::try_from(traces.len()).unwrap_or(u8::MAX),
            unusual: traces.iter().filter_map(Trace::unusual).copied().collect(),
        }
    }

    fn unpack(&self) -> Vec<Trace> {
        let mut from = Unpacker::new(&self.bytes);
        let mut unusual = self.unusual.iter();
        let next = |_| {
            let (opened, ended) = (from.next_moment(), from.next_moment());
            let mut trace = Trace::unpack(&mut from);
            trace.set_moments(opened, ended);
            trace.set_unusual(|| unusual.next().copied());
            trace
        };
        (0..self.len).map(next).collect()
    }
}

impl Traces {
    pub(super) fn len(&self) -> usize {
        let packed: usize = self.blocks.iter().map(|block| usize::from(block.len)).sum();
        self.opened.iter().map(Vec::len).sum::<usize>() + packed + self.latest.len()
    }

    pub(super) fn push(&mut self, trace: Trace) {
        self.latest.push(trace);
        if self.latest.len() < BLOCK {
            return;
        }
        if self.blocks.is_empty() && self.opened.len() < OPENED {
            self.opened.push(std::mem::replace(&mut self.latest, Vec::with_capacity(BLOCK)));
        } else {
            self.blocks.push(Block::of(&self.latest));
            self.latest.clear();
        }
    }

    /// Forgets the connection with this number in the report.
    pub(super) fn forget(&mut self, id: u64) {
        let is_other = |trace: &Trace| trace.id() != Some(id);
        self.opened.iter_mut().chain([&mut self.latest]).for_each(|traces| traces.retain(is_other));
        // Connections are numbered as they come: hardly more than one block is unpacked.
        let may_hold = |block: &&mut Block| block.ids.is_some_and(|(low, high)| (low..=high).contains(&id));
        for block in self.blocks.iter_mut().filter(may_hold) {
            let mut traces = block.unpack();
            traces.retain(is_other);
            *block = Block::of(&traces);
        }
    }

    /// All of them. They stay unpacked: nobody asks before the end, or but now and then.
    pub(super) fn open(&mut self) -> Vec<&Trace> {
        self.opened.extend(self.blocks.drain(..).map(|block| block.unpack()));
        let mut all = Vec::with_capacity(self.len());
        all.extend(self.opened.iter().flatten().chain(&self.latest));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::time::Timestamp;

    fn trace(index: u32) -> Trace {
        let at = |packet| Moment::new(Timestamp::from_parts(1_790_000_000 + i64::from(packet), 7), packet, 0);
        let unusual = index.is_multiple_of(10).then_some(at(index + 7));
        Trace::at(index, at(index), at(index + 5), unusual)
    }

    #[test]
    fn what_was_packed_comes_out_in_order_with_what_few_have() {
        let mut traces = Traces::default();
        let count = u32::try_from(OPENED * BLOCK + 5 * BLOCK / 2).unwrap();
        for round in 1..=2 {
            (0..count).for_each(|index| traces.push(trace(index)));
            assert_eq!(traces.len(), (round * count) as usize);
            let expected: Vec<Trace> = (0..round).flat_map(|_| (0..count).map(trace)).collect();
            assert_eq!(traces.open(), expected.iter().collect::<Vec<_>>(), "what was asked for before stays");
        }
    }

    #[test]
    fn one_is_forgotten_wherever_it_is_kept() {
        let mut traces = Traces::default();
        let count = u32::try_from(OPENED * BLOCK).unwrap();
        (0..count).for_each(|index| traces.push(trace(index)));
        let all = count + u32::try_from(7 * BLOCK / 2).unwrap();
        (count..all).for_each(|index| traces.push(trace(index)));
        let forgotten = [3, count + 10, all - 1].map(trace);
        forgotten.iter().filter_map(Trace::id).for_each(|id| traces.forget(id));
        let left: Vec<Trace> = (0..all).map(trace).filter(|trace| !forgotten.contains(trace)).collect();
        assert_eq!(traces.len(), left.len());
        assert_eq!(traces.open(), left.iter().collect::<Vec<_>>());
    }
}
