//! All TCP connections that are followed: those at work, and those at rest, which are packed.

use super::conversation::{Conversation, Parts, Resting};
use crate::decode::flow_key::FlowKey;
use crate::decode::segment::Segment;
use crate::flow::table::{FlowId, FlowTable, Keyed};
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::work;
use std::collections::VecDeque;
use std::time::Duration;

/// Connections put to rest at a time, at most, which is every 32 packets: as many may rest as wake.
const MOST: usize = 32;
/// Of so many that may be put to rest next something is read before any of them is packed: it was not needed for long, and
/// is far from the processor.
const AHEAD: usize = 8;
/// Connections looked at for one that can be put to rest.
const TRIES: usize = 4;
/// Ended connections, besides as many as are followed, that may stand among those awake until they are cleared out.
const ENDED: usize = 1_024;

/// Connections by their key.
///
/// ```text
///  begin --> awake, a box of 768 bytes and its parts -- rest_after without a packet --> at rest, some 90 bytes
///              ^                                                                          |
///              +------------------------- packet, end, ICMP error ------------------------+
/// ```
///
/// Only what goes on undisturbed is put to rest, and only where memory is short: to rest and wake takes about a microsecond.
#[derive(Debug)]
pub(super) struct Conversations {
    table: FlowTable<Place>,
    /// Those that began or woke, the first one first; no more than half of them and `ENDED` have ended since.
    awake: VecDeque<FlowId>,
    parts: Parts,
    /// What they take besides their entries in the table and their common parts, in bytes.
    memory: usize,
    /// Beyond so many bytes the quiet ones are put to rest.
    awake_bytes: usize,
    rest_after: Duration,
    rested: u64,
}

/// A connection in the table.
#[derive(Debug)]
enum Place {
    Awake(Box<Conversation>),
    Resting(Resting),
}

impl Keyed for Place {
    #[inline]
    fn has_key(&self, key: &FlowKey) -> bool {
        match self {
            Place::Awake(conversation) => conversation.ends() == key,
            Place::Resting(resting) => resting.flow_key() == *key,
        }
    }

    fn flow_key(&self) -> FlowKey {
        match self {
            Place::Awake(conversation) => *conversation.ends(),
            Place::Resting(resting) => resting.flow_key(),
        }
    }
}

impl Place {
    fn serial(&self) -> u64 {
        match self {
            Place::Awake(conversation) => conversation.serial(),
            Place::Resting(resting) => resting.serial(),
        }
    }

    fn idle(&self, now: Timestamp) -> i64 {
        match self {
            Place::Awake(conversation) => conversation.idle(now),
            Place::Resting(resting) => resting.idle(now),
        }
    }

    fn counted(&self, parts: &Parts) -> usize {
        match self {
            Place::Awake(conversation) => conversation.counted(),
            Place::Resting(resting) => resting.memory(parts),
        }
    }
}

impl Conversations {
    pub(super) fn new(limits: &Limits) -> Self {
        Conversations {
            table: FlowTable::default(),
            awake: VecDeque::new(),
            parts: Parts::default(),
            memory: 0,
            // Packed before any is dropped.
            awake_bytes: limits.awake_bytes.min(limits.connection_bytes / 2),
            rest_after: limits.rest_after,
            rested: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Memory they take, out-of-order segments left out, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.memory + self.parts.memory() + self.table.len() * FlowTable::<Place>::ENTRY
    }

    /// How many are noted as awake.
    #[cfg(test)]
    pub(super) fn noted(&self) -> usize {
        self.awake.len()
    }

    /// How often one was put to rest.
    pub(super) fn rested(&self) -> u64 {
        self.rested
    }

    #[inline]
    pub(super) fn hash(&self, key: &FlowKey) -> u64 {
        self.table.hash(key)
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &FlowKey) -> Option<FlowId> {
        self.table.find(hash, key)
    }

    pub(super) fn holds(&self, id: FlowId) -> bool {
        self.table.get(id).is_some()
    }

    /// Reads something of what `segment` will need of its connection.
    #[inline]
    pub(super) fn touch(&self, id: FlowId, segment: &Segment<'_>) -> u64 {
        match self.table.get(id) {
            Some(Place::Awake(conversation)) => conversation.touch(segment),
            Some(Place::Resting(resting)) => resting.touch(),
            None => 0,
        }
    }

    /// The connection, unless it rests.
    #[inline]
    pub(super) fn awake(&self, id: FlowId) -> Option<&Conversation> {
        match self.table.get(id)? {
            Place::Awake(conversation) => Some(conversation),
            Place::Resting(_) => None,
        }
    }

    /// The connection, unless it rests.
    #[inline]
    pub(super) fn awake_mut(&mut self, id: FlowId) -> Option<&mut Conversation> {
        match self.table.get_mut(id)? {
            Place::Awake(conversation) => Some(conversation),
            Place::Resting(_) => None,
        }
    }

    /// The connection; wakes it.
    #[inline]
    pub(super) fn get_mut(&mut self, id: FlowId) -> Option<&mut Conversation> {
        if self.awake(id).is_none() {
            self.wake(id);
        }
        self.awake_mut(id)
    }

    fn wake(&mut self, id: FlowId) {
        let Some(place) = self.table.get_mut(id) else { return };
        let before = place.counted(&self.parts);
        place.wake(&mut self.parts);
        self.memory = (self.memory + place.counted(&self.parts)).saturating_sub(before);
        self.note_awake(id);
    }

    fn note_awake(&mut self, id: FlowId) {
        self.awake.push_back(id);
        // One that lasts may stand before any number of those that have ended.
        if self.awake.len() > 2 * self.table.len() + ENDED {
            work::steps(self.awake.len());
            let table = &self.table;
            self.awake.retain(|id| table.get(*id).is_some());
        }
    }

    /// Takes those that have ended off the front.
    fn forget_ended(&mut self) {
        while self.awake.front().is_some_and(|first| !self.holds(*first)) {
            self.awake.pop_front();
        }
    }

    /// Adds a connection that is not there.
    pub(super) fn insert(&mut self, mut conversation: Conversation) -> FlowId {
        conversation.recount();
        self.memory += conversation.counted();
        let id = self.table.insert(Place::Awake(Box::new(conversation)));
        self.note_awake(id);
        id
    }

    pub(super) fn remove(&mut self, id: FlowId) -> Option<Box<Conversation>> {
        let place = self.table.remove(id)?;
        self.take(place)
    }

    /// Removes a connection when there will be no others: gives back the memory that many took, bit by bit.
    pub(super) fn remove_for_good(&mut self, id: FlowId) -> Option<Box<Conversation>> {
        self.awake = VecDeque::new();
        let place = self.table.remove_for_good(id)?;
        self.take(place)
    }

    fn take(&mut self, mut place: Place) -> Option<Box<Conversation>> {
        self.memory = self.memory.saturating_sub(place.counted(&self.parts));
        place.wake(&mut self.parts);
        match place {
            Place::Awake(conversation) => Some(conversation),
            Place::Resting(_) => None,
        }
    }

    /// Counts the memory of a connection that may have changed.
    pub(super) fn recount(&mut self, id: FlowId) {
        let Some(conversation) = self.awake_mut(id) else { return };
        let (was, is) = conversation.recount();
        self.memory = (self.memory + is).saturating_sub(was);
    }

    /// Puts a few of those to rest that have been quiet, where memory is short.
    #[inline]
    pub(super) fn rest(&mut self, now: Timestamp) {
        if self.memory() > self.awake_bytes {
            self.rest_some(now);
        }
    }

    fn rest_some(&mut self, now: Timestamp) {
        let quiet_since = now.saturating_sub(self.rest_after);
        for turn in 0..MOST {
            if turn.is_multiple_of(AHEAD) {
                self.touch_quiet(quiet_since);
            }
            // One that does not rest has its turn again; those behind it have hardly been quiet for longer.
            if !self.rest_next(quiet_since) {
                return;
            }
        }
    }

    /// Reads something of each part of those that may be put to rest next, if the first of them has been quiet.
    fn touch_quiet(&self, quiet_since: Timestamp) {
        let mut next = self.awake.iter().take(AHEAD).filter_map(|id| self.awake(*id)).peekable();
        if next.peek().is_some_and(|first| first.tcp.last_at() <= quiet_since) {
            std::hint::black_box(next.fold(0, |sum, conversation| sum ^ conversation.touch_all()));
        }
    }

    /// Puts one to rest, however lately it was heard of: memory is all used. False: none was found that can be.
    pub(super) fn make_room(&mut self) -> bool {
        work::steps(TRIES);
        (0..TRIES.min(self.awake.len())).any(|_| self.rest_next(Timestamp::MAX))
    }

    /// Puts the one that has been awake the longest to rest, if nothing was heard of it after `quiet_since`, and it can be.
    fn rest_next(&mut self, quiet_since: Timestamp) -> bool {
        self.forget_ended();
        let Some(id) = self.awake.pop_front() else { return false };
        let Some(place) = self.table.get_mut(id) else { return false };
        let before = place.counted(&self.parts);
        let rests = place.rest(quiet_since, &mut self.parts);
        self.memory = (self.memory + place.counted(&self.parts)).saturating_sub(before);
        if rests {
            self.rested += 1;
        } else {
            self.awake.push_back(id);
        }
        rests
    }

    /// All ids with their connections' serial numbers.
    pub(super) fn serials(&self) -> impl Iterator<Item = (u64, FlowId)> {
        self.table.iter().map(|(id, place)| (place.serial(), id))
    }

    /// The longest idle ([`Conversation::idle`]) of `count` connections from slot `cursor` on.
    pub(super) fn longest_idle(&self, cursor: usize, count: usize, now: Timestamp) -> Option<FlowId> {
        let sample = self.table.sample(cursor, count);
        sample.max_by_key(|(_, place)| place.idle(now)).map(|(id, _)| id)
    }
}

impl Place {
    fn wake(&mut self, parts: &mut Parts) {
        if let Place::Resting(resting) = self {
            *self = Place::Awake(Box::new(resting.wake(parts)));
        }
    }

    /// Puts it to rest if it has been quiet and can be. True: it rests now.
    fn rest(&mut self, quiet_since: Timestamp, parts: &mut Parts) -> bool {
        let Place::Awake(conversation) = self else { return false };
        let rests = conversation.tcp.last_at() <= quiet_since && conversation.can_rest();
        if rests {
            *self = Place::Resting(Resting::of(conversation, parts));
        }
        rests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_at_rest_takes_48_bytes_of_the_table() {
        assert_eq!((size_of::<Resting>(), FlowTable::<Place>::ENTRY), (32, 48));
    }
}
