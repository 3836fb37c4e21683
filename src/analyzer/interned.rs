//! Values that many connections at rest have in common, held once.

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

/// Values by number, each held as long as somebody uses it.
///
/// ```text
///  hash(value) --> HashTable<u32> --> slots: [value, uses | value, uses | ...]
/// ```
#[derive(Debug)]
pub(crate) struct Interned<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Slot<T> {
    value: T,
    uses: u32,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
        }
    }
}

impl<T: Default> Interned<T> {
    /// Memory of it, what lies behind the values left out, in bytes. Slots stay until the last value is released.
    pub(crate) fn memory(&self) -> usize {
        self.slots.len() * (size_of::<Slot<T>>() + 2 * size_of::<u32>())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The value that `number` stands for.
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize).map(|slot| &slot.value)
    }

    /// Uses `value` once more; gives its number. `None`: it is new, and there are `most`.
    pub(crate) fn hold<Q>(&mut self, value: &Q, most: usize) -> Option<u32>
    where
        T: Borrow<Q> + From<Q::Owned>,
        Q: Hash + Eq + ToOwned + ?Sized,
    {
        let hash = self.hasher.hash_one(value);
        let slots = &self.slots;
        let is_it =
            |number: &u32| slots.get(*number as usize).is_some_and(|slot| slot.value.borrow() == value);
        if let Some(number) = self.index.find(hash, is_it).copied() {
            let slot = self.slots.get_mut(number as usize)?;
            slot.uses = slot.uses.checked_add(1)?;
            return Some(number);
        }
        (self.len() < most).then(|| self.add(hash, value.to_owned().into()))
    }

    fn add<Q>(&mut self, hash: u64, value: T) -> u32
    where
        T: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let slot = Slot { value, uses: 1 };
        let number = match self.free.pop() {
            Some(number) => number,
            None => u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
        };
        match self.slots.get_mut(number as usize) {
            Some(empty) => *empty = slot,
            None => self.slots.push(slot),
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash_of =
            |number: &u32| slots.get(*number as usize).map_or(0, |slot| hasher.hash_one(slot.value.borrow()));
        self.index.insert_unique(hash, number, hash_of);
        number
    }

    /// One that used the value no longer does.
    pub(crate) fn release<Q>(&mut self, number: u32)
    where
        T: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let Some(slot) = self.slots.get_mut(number as usize) else { return };
        slot.uses = slot.uses.saturating_sub(1);
        if slot.uses > 0 {
            return;
        }
        let value = std::mem::take(&mut slot.value);
        let hash = self.hasher.hash_one(value.borrow());
        if let Ok(found) = self.index.find_entry(hash, |other| *other == number) {
            found.remove();
            self.free.push(number);
        }
        if self.index.is_empty() {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_held_once_and_as_long_as_somebody_uses_it() {
        let mut held = Interned::<Box<[u8]>>::default();
        let (one, two) = (held.hold(b"one".as_slice(), 2), held.hold(b"two".as_slice(), 2));
        assert_eq!((one, two), (Some(0), Some(1)));
        assert_eq!(held.hold(b"one".as_slice(), 2), one);
        assert_eq!(held.hold(b"three".as_slice(), 2), None, "there is room for two");
        held.release::<[u8]>(0);
        assert_eq!(held.get(0).map(|value| &**value), Some(b"one".as_slice()), "one use is left");
        held.release::<[u8]>(0);
        assert_eq!((held.len(), held.hold(b"three".as_slice(), 2)), (1, Some(0)));
        assert_eq!(held.get(0).map(|value| &**value), Some(b"three".as_slice()));
        held.release::<[u8]>(7);
        assert_eq!((held.len(), held.hold(b"two".as_slice(), 2)), (2, two), "what was never held is nothing");
    }

    #[test]
    fn without_a_value_it_takes_no_memory() {
        let mut held = Interned::<Box<[u8]>>::default();
        for _ in 0..2 {
            let (one, two) = (held.hold(b"one".as_slice(), 2), held.hold(b"two".as_slice(), 2));
            assert!(held.memory() > 0);
            one.into_iter().chain(two).for_each(|number| held.release::<[u8]>(number));
            assert_eq!((held.len(), held.memory()), (0, 0));
        }
    }
}
