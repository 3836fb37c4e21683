//! The connection table: full keys, a seeded hash, entries in a slab.

use super::chunks::Chunks;
use crate::decode::flow_key::FlowKey;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Index of an entry in a [`FlowTable`]; reused after removal, so that it comes with a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    index: u32,
    generation: u32,
}

/// What a [`FlowTable`] holds: it knows its own key.
pub trait Keyed {
    /// Its key, which never changes.
    fn flow_key(&self) -> FlowKey;
    /// Is `key` its key?
    fn has_key(&self, key: &FlowKey) -> bool;
}

/// Entries by [`FlowKey`].
///
/// ```text
///  hash(key) --> HashTable<u32> --> slab: chunks of [value with its key, generation | None, generation | ...]
/// ```
///
/// Keys are an attacker's bytes: the hash is seeded, and the full key is compared.
#[derive(Debug)]
pub struct FlowTable<T> {
    index: HashTable<u32>,
    slab: Chunks<Slot<T>>,
    free: Vec<u32>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    generation: u32,
}

impl<T> Default for FlowTable<T> {
    fn default() -> Self {
        FlowTable {
            index: HashTable::new(),
            slab: Chunks::default(),
            free: Vec::new(),
            hasher: RandomState::default(),
        }
    }
}

impl<T: Keyed> FlowTable<T> {
    /// Memory of an entry's slot and of its place in the index, in bytes.
    pub const ENTRY: usize = size_of::<Slot<T>>() + 8;

    /// Connections held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Is it empty?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The hash of `key`: computed once a packet, used for every look-up.
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The entry of `key`, whose hash is `hash`.
    #[must_use]
    pub fn find(&self, hash: u64, key: &FlowKey) -> Option<FlowId> {
        let slab = &self.slab;
        let is_it = |slot: &Slot<T>| slot.value.as_ref().is_some_and(|value| value.has_key(key));
        let found = self.index.find(hash, |index| slab.get(*index).is_some_and(is_it))?;
        Some(FlowId { index: *found, generation: slab.get(*found)?.generation })
    }

    /// Adds an entry, whose key must have none.
    pub fn insert(&mut self, value: T) -> FlowId {
        let hash = self.hash(&value.flow_key());
        let slab = &mut self.slab;
        let index = self.free.pop().unwrap_or_else(|| slab.push(Slot { value: None, generation: 0 }));
        let mut generation = 0;
        if let Some(slot) = slab.get_mut(index) {
            slot.value = Some(value);
            generation = slot.generation;
        }
        let (slab, hasher) = (&self.slab, &self.hasher);
        let value_of = |index: &u32| slab.get(*index)?.value.as_ref();
        let hash_of = |index: &u32| value_of(index).map_or(0, |value| hasher.hash_one(value.flow_key()));
        self.index.insert_unique(hash, index, hash_of);
        FlowId { index, generation }
    }

    /// The value `id` stands for, if it is still held.
    #[must_use]
    pub fn get(&self, id: FlowId) -> Option<&T> {
        let slot = self.slab.get(id.index).filter(|slot| slot.generation == id.generation)?;
        slot.value.as_ref()
    }

    /// The entry `id` stands for, if it is still held.
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, id: FlowId) -> Option<&mut T> {
        let slot = self.slab.get_mut(id.index).filter(|slot| slot.generation == id.generation)?;
        slot.value.as_mut()
    }

    /// Removes the entry `id` stands for.
    pub fn remove(&mut self, id: FlowId) -> Option<T> {
        let slot = self.slab.get_mut(id.index).filter(|slot| slot.generation == id.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        if let Ok(found) =
            self.index.find_entry(self.hasher.hash_one(value.flow_key()), |index| *index == id.index)
        {
            found.remove();
        }
        self.free.push(id.index);
        Some(value)
    }

    /// Removes the entry `id` stands for, and gives back the memory of what is empty. No other may be added after that.
    pub fn remove_for_good(&mut self, id: FlowId) -> Option<T> {
        let value = self.remove(id);
        self.free = Vec::new();
        self.slab.release(id.index, |slot| slot.value.is_none());
        if self.is_empty() {
            self.index = HashTable::new();
        }
        value
    }

    /// The ids held, in slab order.
    #[must_use]
    pub fn ids(&self) -> Vec<FlowId> {
        self.iter().map(|(id, _)| id).collect()
    }

    /// All entries, in slab order.
    pub fn iter(&self) -> impl Iterator<Item = (FlowId, &T)> {
        self.slab.iter().filter_map(|(index, slot)| {
            let value = slot.value.as_ref()?;
            Some((FlowId { index, generation: slot.generation }, value))
        })
    }

    /// Up to `count` entries from slot `cursor` on, wrapping around: a sample for eviction.
    pub fn sample(&self, cursor: usize, count: usize) -> impl Iterator<Item = (FlowId, &T)> {
        let len = self.slab.len().max(1);
        (0..count.min(len)).filter_map(move |step| {
            let index = u32::try_from((cursor + step) % len).ok()?;
            let slot = self.slab.get(index)?;
            let value = slot.value.as_ref()?;
            Some((FlowId { index, generation: slot.generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::flow_key::{EncapsulationId, Endpoint};
    use crate::flow::chunks::CHUNK;
    use std::net::Ipv4Addr;

    impl<T> Keyed for (FlowKey, T) {
        fn flow_key(&self) -> FlowKey {
            self.0
        }

        fn has_key(&self, key: &FlowKey) -> bool {
            self.0 == *key
        }
    }

    fn key(port: u16, vlan: u32) -> FlowKey {
        let at = |port| Endpoint { address: Ipv4Addr::LOCALHOST.into(), port };
        FlowKey::between(at(port), at(80), EncapsulationId(vlan)).0
    }

    #[test]
    fn both_directions_find_one_entry_and_another_vlan_does_not() {
        let mut table = FlowTable::default();
        let id = table.insert((key(1000, 0), "a"));
        let find = |key: FlowKey| table.find(table.hash(&key), &key);
        assert_eq!(find(key(1000, 0)), Some(id));
        assert_eq!(find(key(1000, 7)), None);
    }

    #[test]
    fn entries_of_many_chunks_are_all_found() {
        let mut table = FlowTable::default();
        let ports = 0..u16::try_from(3 * CHUNK + 1).unwrap();
        let ids: Vec<FlowId> = ports.clone().map(|port| table.insert((key(port, 0), port))).collect();
        for (port, id) in ports.zip(&ids) {
            assert_eq!(table.find(table.hash(&key(port, 0)), &key(port, 0)), Some(*id));
            assert_eq!(table.get(*id), Some(&(key(port, 0), port)));
        }
        assert_eq!(table.ids(), ids);
        assert_eq!(table.sample(CHUNK - 1, 2).map(|(_, (_, port))| *port).collect::<Vec<_>>(), [63, 64]);
    }

    #[test]
    fn what_is_removed_for_good_gives_its_memory_back_chunk_by_chunk() {
        let mut table = FlowTable::default();
        let ports = 0..u16::try_from(2 * CHUNK + 1).unwrap();
        let ids: Vec<FlowId> = ports.map(|port| table.insert((key(port, 0), port))).collect();
        let mut is_held = vec![true; ids.len()];
        // Out of order within a chunk, and across them.
        for index in (0..ids.len()).rev().step_by(2).chain((0..ids.len()).skip(1).step_by(2)) {
            let port = u16::try_from(index).unwrap();
            assert_eq!(table.remove_for_good(ids[index]), Some((key(port, 0), port)));
            is_held[index] = false;
            let held = || (0..).zip(&is_held).filter(|(_, is_held)| **is_held).map(|(port, _)| port);
            assert_eq!(
                table.iter().map(|(_, (_, port))| *port).collect::<Vec<_>>(),
                held().collect::<Vec<u16>>()
            );
            assert!(held().all(|port| table.find(table.hash(&key(port, 0)), &key(port, 0)).is_some()));
            assert_eq!(table.remove_for_good(ids[index]), None);
        }
        assert_eq!((table.len(), table.slab.iter().count()), (0, 0));
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_id() {
        let mut table = FlowTable::default();
        let old = table.insert((key(1, 0), "old"));
        assert_eq!(table.remove(old).map(|(_, value)| value), Some("old"));
        let new = table.insert((key(2, 0), "new"));
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.get_mut(new).map(|(_, value)| *value), Some("new"));
        assert_eq!(table.len(), 1);
    }
}
