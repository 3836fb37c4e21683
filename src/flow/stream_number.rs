//! Wireshark's `tcp.stream` numbers.

use super::chunks::Chunks;
use crate::decode::flow_key::FlowKey;
use crate::decode::segment::{EncapsulationId, Segment};
use crate::limits::Limits;
use crate::seq::SeqNum;
use crate::work;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash};

/// Numbers TCP conversations as tshark does: by addresses and ports alone, per file, a new number for a SYN whose
/// sequence number differs from the one its sender began with.
#[derive(Debug, Default)]
pub struct StreamNumbers {
    files: HashMap<u16, FileNumbers, RandomState>,
}

/// IPv4 conversations apart: of these there may be millions, and their keys are a quarter as long.
///
/// ```text
///  hash(key) --> HashTable<u32> --> chunks of entries
///  IPv4 entry, 28 bytes:  low address 4 | high address 4 | ports 4 | number 4 | base 2 x 4 | is known 2 x 1
/// ```
#[derive(Debug, Default)]
struct FileNumbers {
    next: u32,
    v4: Conversations<[u32; 3]>,
    v6: Conversations<FlowKey>,
}

#[derive(Debug)]
struct Conversations<K> {
    index: HashTable<u32>,
    entries: Chunks<(K, Conversation)>,
    hasher: RandomState,
}

impl<K> Default for Conversations<K> {
    fn default() -> Self {
        Conversations { index: HashTable::new(), entries: Chunks::default(), hasher: RandomState::default() }
    }
}

impl<K: Eq + Hash> Conversations<K> {
    fn find(&self, key: &K) -> Option<u32> {
        let is_it = |index: &u32| self.entries.get(*index).is_some_and(|(other, _)| other == key);
        self.index.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Adds a conversation that is not there; gives its index.
    fn add(&mut self, key: K, conversation: Conversation) -> u32 {
        let hash = self.hasher.hash_one(&key);
        let index = self.entries.push((key, conversation));
        let (entries, hasher) = (&self.entries, &self.hasher);
        let hash_of = |index: &u32| {
            work::step();
            entries.get(*index).map_or(0, |(key, _)| hasher.hash_one(key))
        };
        self.index.insert_unique(hash, index, hash_of);
        index
    }
}

#[derive(Clone, Copy, Debug)]
struct Conversation {
    number: u32,
    /// First sequence number of the lower and of the higher endpoint.
    base: [SeqNum; 2],
    is_known: [bool; 2],
}

impl Conversation {
    fn begin(next: &mut u32) -> Self {
        let number = *next;
        *next = next.wrapping_add(1);
        Conversation { number, base: [SeqNum(0); 2], is_known: [false; 2] }
    }

    /// Takes a segment of the lower (0) or higher (1) endpoint; gives the conversation's number from then on.
    fn take(&mut self, segment: &Segment<'_>, direction: usize, next: &mut u32) -> u32 {
        let is_syn = segment.flags.syn() && !segment.flags.ack();
        let base = self.base_of(direction);
        if is_syn && base.is_some_and(|base| base != segment.seq) {
            *self = Conversation::begin(next);
        }
        if self.base_of(direction).is_none()
            && let (Some(base), Some(is_known)) =
                (self.base.get_mut(direction), self.is_known.get_mut(direction))
        {
            // Without a SYN, tshark takes the number before the first one seen for it.
            let before = u32::from(!segment.flags.syn());
            (*base, *is_known) = (SeqNum(segment.seq.0.wrapping_sub(before)), true);
        }
        self.number
    }

    fn base_of(&self, direction: usize) -> Option<SeqNum> {
        if *self.is_known.get(direction)? { self.base.get(direction).copied() } else { None }
    }
}

impl StreamNumbers {
    /// The number of `segment`'s conversation. Must be asked for each connection's first packet and for each SYN.
    pub fn number(&mut self, segment: &Segment<'_>, limits: &Limits) -> Option<u32> {
        let file = self.files.entry(segment.at.file).or_default();
        let key = segment.key.within(EncapsulationId::default());
        let direction = usize::from(!segment.from_lower);
        let room = limits.stream_numbers.saturating_sub(file.v4.entries.len() + file.v6.entries.len());
        match key.v4() {
            Some(key) => number(&mut file.v4, key, room, &mut file.next, segment, direction),
            None => number(&mut file.v6, key, room, &mut file.next, segment, direction),
        }
    }

    /// Forgets file `file`, which has been read.
    pub fn forget_file(&mut self, file: u16) {
        self.files.remove(&file);
    }
}

fn number<K: Eq + Hash>(
    conversations: &mut Conversations<K>,
    key: K,
    room: usize,
    next: &mut u32,
    segment: &Segment<'_>,
    direction: usize,
) -> Option<u32> {
    work::step();
    let index = match conversations.find(&key) {
        Some(index) => index,
        None if room == 0 => return None,
        None => conversations.add(key, Conversation::begin(next)),
    };
    let (_, conversation) = conversations.entries.get_mut(index)?;
    Some(conversation.take(segment, direction, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_conversation_takes_28_bytes() {
        assert_eq!(size_of::<([u32; 3], Conversation)>(), 28);
    }
}
