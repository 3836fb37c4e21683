//! Header compression, read by one who only listens (RFC 7541).
//!
//! An observer may have missed part of the dynamic table's history. A decoder that takes part in the connection must
//! fail then; this one goes on: entries made since are known, those before are unknown, and fields that name them are
//! reported as such. No published decoder does that, hence this one.

use super::huffman;
use super::static_table::STATIC_TABLE;
use crate::side::Side;
use crate::work;
use std::collections::VecDeque;
use std::sync::Arc;

/// Size of the dynamic table until its encoder says otherwise (RFC 9113 §6.5.2).
const DEFAULT_SIZE: usize = 4_096;
/// What an entry counts besides its name and value (RFC 7541 §4.1).
const ENTRY_OVERHEAD: usize = 32;
/// Longest integer that makes sense: five bytes hold more than any length here.
const INTEGER_MAX: usize = 1 << 28;

/// A header block that no encoder writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBlock;

/// Takes the fields of a header block.
pub trait Fields {
    /// Is the value of the field `name` of use?
    fn wants(&self, name: &[u8]) -> bool;
    /// A field that is of use.
    fn field(&mut self, name: &[u8], value: &[u8]);
    /// A field whose name's table entry was made while nobody looked.
    fn unknown(&mut self);
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// Index in the static table.
    Static(usize),
    /// Shared: one long name may stand in many entries at the cost of two bytes each.
    Own(Arc<[u8]>),
    Unknown,
}

impl Name {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Name::Static(index) => {
                index.checked_sub(1).and_then(|at| STATIC_TABLE.get(at)).map(|field| field.0)
            }
            Name::Own(bytes) => Some(bytes),
            Name::Unknown => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Name,
    value: Box<[u8]>,
    /// As it counts for the table.
    size: usize,
}

/// The dynamic table of one direction, and what reads its header blocks.
///
/// ```text
///  index 62 ......................  62 + known
///  | newest ... oldest entry known | unknown, if `is_partial` |
///  +----------- size <= most ------+
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// Of all entries.
    size: usize,
    /// What the encoder says of the table's size.
    limit: usize,
    /// What is kept of it at the most.
    cap: usize,
    is_partial: bool,
}

impl Decoder {
    /// An empty table of which at most `cap` bytes are kept.
    #[must_use]
    pub fn new(cap: usize) -> Decoder {
        Decoder { entries: VecDeque::new(), size: 0, limit: DEFAULT_SIZE, cap, is_partial: false }
    }

    /// A table that has entries, nobody knows which. Its size may have been agreed on before, too: as much is kept as
    /// there is room for, since the encoder names nothing that it has dropped.
    #[must_use]
    pub fn joined(cap: usize) -> Decoder {
        Decoder { limit: cap, is_partial: true, ..Decoder::new(cap) }
    }

    /// Forgets all entries: some were made, nobody knows which.
    pub fn lose(&mut self) {
        self.entries = VecDeque::new();
        self.size = 0;
        self.is_partial = true;
    }

    /// Memory of the entries, in bytes: they count a little more than they take.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.size + self.entries.capacity() * size_of::<Entry>()
    }

    /// Reads a whole header block. After an error the table is lost.
    ///
    /// # Errors
    /// The block is malformed: its receiver must give the connection up (RFC 9113 §4.3).
    pub fn decode(&mut self, block: &[u8], fields: &mut dyn Fields) -> Result<(), BadBlock> {
        let mut rest = block;
        while let Some(first) = rest.first().copied() {
            work::step();
            let step = self.representation(first, rest, fields);
            rest = match step {
                Ok(behind) => behind,
                Err(error) => {
                    self.lose();
                    return Err(error);
                }
            };
        }
        Ok(())
    }

    fn representation<'b>(
        &mut self,
        first: u8,
        input: &'b [u8],
        fields: &mut dyn Fields,
    ) -> Result<&'b [u8], BadBlock> {
        match first {
            0x80.. => {
                let (rest, index) = integer(input, 7)?;
                self.indexed(index, fields)?;
                Ok(rest)
            }
            0x40..0x80 => self.literal(input, 6, fields),
            0x20..0x40 => {
                let (rest, size) = integer(input, 5)?;
                self.limit = size;
                self.evict();
                // Nothing is left in it, seen or not.
                self.is_partial &= size > 0;
                Ok(rest)
            }
            _ => self.literal(input, 4, fields),
        }
    }

    fn indexed(&self, index: usize, fields: &mut dyn Fields) -> Result<(), BadBlock> {
        let at = index.checked_sub(1).ok_or(BadBlock)?;
        if let Some((name, value)) = STATIC_TABLE.get(at) {
            if fields.wants(name) {
                fields.field(name, value);
            }
            return Ok(());
        }
        match self.entries.get(at - STATIC_TABLE.len()) {
            Some(Entry { name, value, .. }) => match name.bytes() {
                Some(name) if fields.wants(name) => fields.field(name, value),
                Some(_) => {}
                None => fields.unknown(),
            },
            None if self.is_partial => fields.unknown(),
            None => return Err(BadBlock),
        }
        Ok(())
    }

    /// A literal field, whose name may be an index of `prefix` bits; with six of them it makes an entry.
    fn literal<'b>(
        &mut self,
        input: &'b [u8],
        prefix: u32,
        fields: &mut dyn Fields,
    ) -> Result<&'b [u8], BadBlock> {
        const WITH_INDEXING: u32 = 6;
        let (rest, index) = integer(input, prefix)?;
        let (rest, name) = match index {
            0 => {
                let (rest, name) = string(rest)?;
                (rest, Name::Own(name.decoded()?.into()))
            }
            index => (rest, self.name(index)?),
        };
        let (rest, value) = string(rest)?;
        let is_wanted = name.bytes().is_some_and(|name| fields.wants(name));
        if name == Name::Unknown {
            fields.unknown();
        }
        if !is_wanted && prefix != WITH_INDEXING {
            return Ok(rest);
        }
        let value = value.decoded()?;
        if let Some(name) = name.bytes().filter(|_| is_wanted) {
            fields.field(name, &value);
        }
        if prefix == WITH_INDEXING {
            self.insert(name, value);
        }
        Ok(rest)
    }

    fn name(&self, index: usize) -> Result<Name, BadBlock> {
        match index.checked_sub(1 + STATIC_TABLE.len()) {
            None => Ok(Name::Static(index)),
            Some(at) => match self.entries.get(at) {
                Some(entry) => Ok(entry.name.clone()),
                None if self.is_partial => Ok(Name::Unknown),
                None => Err(BadBlock),
            },
        }
    }

    fn insert(&mut self, name: Name, value: Vec<u8>) {
        // The length of a name that is not known is not either: the entry counts too little, which only keeps others
        // longer than the encoder does.
        let size = name.bytes().map_or(0, <[u8]>::len) + value.len() + ENTRY_OVERHEAD;
        self.entries.push_front(Entry { name, value: value.into(), size });
        self.size = self.size.saturating_add(size);
        self.evict();
    }

    /// Drops the oldest entries until the rest fit (RFC 7541 §4.4).
    fn evict(&mut self) {
        while self.size > self.limit.min(self.cap)
            && let Some(entry) = self.entries.pop_back()
        {
            work::step();
            self.size -= entry.size;
            // The encoder still has those that only the cap drops.
            self.is_partial |= self.limit > self.cap;
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }
}

/// Whose is a header block: the client's request, or the server's answer? Its first field is one of the pseudo-header
/// fields (RFC 9113 §8.3). `None`: its name is unknown.
#[must_use]
pub fn sender(block: &[u8]) -> Option<Side> {
    let first = *block.first()?;
    let prefix = match first {
        0x80.. => 7,
        0x40..0x80 => 6,
        0x20..0x40 => return None,
        _ => 4,
    };
    let (rest, index) = integer(block, prefix).ok()?;
    let name = match STATIC_TABLE.get(index.wrapping_sub(1)) {
        Some((name, _)) => name.to_vec(),
        None if index == 0 => string(rest).and_then(|(_, name)| name.decoded()).ok()?,
        None => return None,
    };
    match name.as_slice() {
        b":status" => Some(Side::Server),
        [b':', ..] => Some(Side::Client),
        _ => None,
    }
}

/// A string as it stands in the block.
#[derive(Clone, Copy)]
struct Coded<'b> {
    bytes: &'b [u8],
    is_huffman: bool,
}

impl Coded<'_> {
    fn decoded(self) -> Result<Vec<u8>, BadBlock> {
        if !self.is_huffman {
            return Ok(self.bytes.to_vec());
        }
        let mut out = Vec::new();
        huffman::decode(self.bytes, &mut out).map_err(|_| BadBlock)?;
        Ok(out)
    }
}

/// An integer that begins in the last `prefix` bits of the first byte (RFC 7541 §5.1).
fn integer(input: &[u8], prefix: u32) -> Result<(&[u8], usize), BadBlock> {
    let (first, mut rest) = input.split_first().ok_or(BadBlock)?;
    let full = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & full;
    if value < full {
        return Ok((rest, value));
    }
    let mut shift = 0;
    loop {
        let (byte, behind) = rest.split_first().ok_or(BadBlock)?;
        rest = behind;
        value = value.saturating_add(usize::from(*byte & 0x7f) << shift);
        if value > INTEGER_MAX || shift > 28 {
            return Err(BadBlock);
        }
        if byte & 0x80 == 0 {
            return Ok((rest, value));
        }
        shift += 7;
    }
}

fn string(input: &[u8]) -> Result<(&[u8], Coded<'_>), BadBlock> {
    let is_huffman = input.first().is_some_and(|first| first & 0x80 != 0);
    let (rest, length) = integer(input, 7)?;
    let (bytes, rest) = rest.split_at_checked(length).ok_or(BadBlock)?;
    Ok((rest, Coded { bytes, is_huffman }))
}

#[cfg(test)]
mod tests;
