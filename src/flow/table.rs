//! The connection table: full keys, a seeded hash, entries in a slab.

use super::key::FlowKey;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Index of an entry in a [`FlowTable`]; reused after removal, so that it comes with a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    index: u32,
    generation: u32,
}

/// Entries by [`FlowKey`].
///
/// ```text
///  hash(key) --> HashTable<u32> --> slots: [Some(key, value) | None | ...]
/// ```
///
/// Keys are an attacker's bytes: the hash is seeded, and the full key is compared.
#[derive(Debug)]
pub struct FlowTable<T> {
    index: HashTable<u32>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    entry: Option<(FlowKey, T)>,
}

impl<T> Default for FlowTable<T> {
    fn default() -> Self {
        FlowTable {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::default(),
        }
    }
}

impl<T> FlowTable<T> {
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
        let slots = &self.slots;
        let found = self.index.find(hash, |index| {
            slots
                .get(*index as usize)
                .and_then(|slot| slot.entry.as_ref())
                .is_some_and(|(held, _)| held == key)
        })?;
        Some(FlowId { index: *found, generation: slots.get(*found as usize)?.generation })
    }

    /// Adds an entry for `key`, which must have none.
    pub fn insert(&mut self, key: FlowKey, value: T) -> FlowId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut generation = 0;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.entry = Some((key, value));
            generation = slot.generation;
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hasher.hash_one(key), index, |index| {
            slots
                .get(*index as usize)
                .and_then(|slot| slot.entry.as_ref())
                .map_or(0, |(key, _)| hasher.hash_one(key))
        });
        FlowId { index, generation }
    }

    /// The value `id` stands for, if it is still held.
    #[must_use]
    pub fn get(&self, id: FlowId) -> Option<&T> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.entry.as_ref().map(|(_, value)| value)
    }

    /// The entry `id` stands for, if it is still held.
    #[must_use]
    pub fn get_mut(&mut self, id: FlowId) -> Option<(&FlowKey, &mut T)> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.entry.as_mut().map(|(key, value)| (&*key, value))
    }

    /// Removes the entry `id` stands for.
    pub fn remove(&mut self, id: FlowId) -> Option<(FlowKey, T)> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let (key, value) = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(key), |index| *index == id.index) {
            found.remove();
        }
        self.free.push(id.index);
        Some((key, value))
    }

    /// The ids held, in slab order.
    #[must_use]
    pub fn ids(&self) -> Vec<FlowId> {
        self.iter().map(|(id, _, _)| id).collect()
    }

    /// All entries, in slab order.
    pub fn iter(&self) -> impl Iterator<Item = (FlowId, &FlowKey, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let (key, value) = slot.entry.as_ref()?;
            Some((FlowId { index: u32::try_from(index).ok()?, generation: slot.generation }, key, value))
        })
    }

    /// Up to `count` entries from slot `cursor` on, wrapping around: a sample for eviction.
    pub fn sample(&self, cursor: usize, count: usize) -> impl Iterator<Item = (FlowId, &T)> {
        let len = self.slots.len().max(1);
        (0..count.min(len)).filter_map(move |step| {
            let index = (cursor + step) % len;
            let slot = self.slots.get(index)?;
            let (_, value) = slot.entry.as_ref()?;
            Some((FlowId { index: u32::try_from(index).ok()?, generation: slot.generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::segment::{EncapsulationId, Endpoint};
    use std::net::Ipv4Addr;

    fn key(port: u16, vlan: u32) -> FlowKey {
        let at = |port| Endpoint { address: Ipv4Addr::LOCALHOST.into(), port };
        FlowKey::between(at(port), at(80), EncapsulationId(vlan)).0
    }

    #[test]
    fn both_directions_find_one_entry_and_another_vlan_does_not() {
        let mut table = FlowTable::default();
        let id = table.insert(key(1000, 0), "a");
        let find = |key: FlowKey| table.find(table.hash(&key), &key);
        assert_eq!(find(key(1000, 0)), Some(id));
        assert_eq!(find(key(1000, 7)), None);
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_id() {
        let mut table = FlowTable::default();
        let old = table.insert(key(1, 0), "old");
        assert_eq!(table.remove(old).map(|(_, value)| value), Some("old"));
        let new = table.insert(key(2, 0), "new");
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.get_mut(new).map(|(_, value)| *value), Some("new"));
        assert_eq!(table.len(), 1);
    }
}
