//! A list that grows chunk by chunk: one block that doubles would be copied, and would need half as much memory again while it
//! is.

/// Items of a chunk; a power of two.
pub(super) const CHUNK: usize = 64;

/// Items by the order in which they came. Its first chunk grows as it has to: most captures are small.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let index = index as usize;
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    /// Adds an item; gives its index.
    pub(super) fn push(&mut self, item: T) -> u32 {
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(item),
            None => {
                let room = if self.chunks.is_empty() { 1 } else { CHUNK };
                let mut chunk = Vec::with_capacity(room);
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
        self.len += 1;
        u32::try_from(self.len - 1).unwrap_or(u32::MAX)
    }

    /// Gives the memory back of the chunk that `index` lies in, if `is_done` for all of its items; they are no longer there.
    pub(super) fn release(&mut self, index: u32, is_done: impl Fn(&T) -> bool) {
        let Some(chunk) = self.chunks.get_mut(index as usize / CHUNK) else { return };
        // From the end: what is removed in order is soon told not to be the last.
        if chunk.iter().rev().all(is_done) {
            *chunk = Vec::new();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).step_by(CHUNK).zip(&self.chunks).flat_map(|(first, chunk)| (first..).zip(chunk))
    }
}
