//! Packs what is kept of a connection at rest into few bytes, and unpacks it.
//!
//! ```text
//!  | numbers, some bytes each ........ | bits, from the end backwards |
//!
//!  time    0 in nanoseconds | 1 in microseconds, as most captures have it; a number, its sign in its lowest bit
//!  number  00 zero | 01 one byte | 10 one of 16 before it, by its slot, 4 bits | 11 its length, 3 bits; 1 to 8 bytes
//!  moment  0 to 30: that one of those before it, 5 bits | 31 a new one: time and packet as distances from the one before
//! ```
//!
//! A connection names the same few packets and numbers again and again: they are written once. The moment of zeros that stands
//! for none is known from the beginning. What was packed is unpacked by the same code in the same order; beyond the end there
//! are zeros. The bits say of what kind and length each value is: connections that did the same have the same ones, so that they
//! may stand apart ([`Packer::close`]).

use crate::moment::Moment;
use crate::time::Timestamp;

mod values;

/// Numbers and moments that can be named again.
const NUMBERS: usize = 16;
const MOMENTS: usize = 31;
const MOMENT_BITS: u32 = 5;

/// How a number stands there.
const ZERO: u64 = 0;
const BYTE: u64 = 1;
const AGAIN: u64 = 2;
const LONG: u64 = 3;

/// What can be packed.
pub(crate) trait Pack: Sized {
    /// Writes it.
    fn pack(&self, into: &mut Packer);
    /// Reads what [`Pack::pack`] has written.
    fn unpack(from: &mut Unpacker<'_>) -> Self;
}

/// What was written or read so far and may be named again.
#[derive(Debug)]
struct Known {
    /// Each in its slot, the latest one.
    numbers: [u64; NUMBERS],
    moments: [Moment; MOMENTS],
    moments_len: usize,
    last: Moment,
}

impl Default for Known {
    fn default() -> Self {
        Known {
            numbers: [0; NUMBERS],
            moments: [Moment::default(); MOMENTS],
            moments_len: 1,
            last: Moment::default(),
        }
    }
}

/// Where a number stands among those that are known.
fn slot(number: u64) -> usize {
    // 2^64 divided by the golden ratio: numbers that follow each other are spread.
    let slot = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - NUMBERS.ilog2());
    usize::try_from(slot).unwrap_or(0)
}

impl Known {
    fn note_number(&mut self, number: u64) {
        if let Some(known) = self.numbers.get_mut(slot(number)) {
            *known = number;
        }
    }

    fn note_moment(&mut self, moment: Moment) {
        if let Some(slot) = self.moments.get_mut(self.moments_len) {
            (*slot, self.moments_len) = (moment, self.moments_len + 1);
        }
    }

    fn moments(&self) -> &[Moment] {
        self.moments.get(..self.moments_len).unwrap_or_default()
    }
}

/// Packs one connection after another.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    bytes: Vec<u8>,
    /// Whole bytes of bits, the first ones first, and those that make up none yet.
    bits: Vec<u8>,
    loose: u64,
    loose_len: u32,
    known: Known,
}

impl Packer {
    /// Adds what was packed to `out`, and begins anew.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let (bytes, bits) = self.close();
        out.extend_from_slice(bytes);
        out.extend(bits.iter().rev());
        self.begin_at(Moment::default());
    }

    /// What was packed: the numbers, and the bits, which [`Packer::finish`] puts behind them in reverse.
    pub(crate) fn close(&mut self) -> (&[u8], &[u8]) {
        let bytes = self.loose.to_le_bytes();
        self.bits
            .extend_from_slice(bytes.get(..self.loose_len.div_ceil(u8::BITS) as usize).unwrap_or_default());
        (self.loose, self.loose_len) = (0, 0);
        (&self.bytes, &self.bits)
    }

    /// Forgets what was packed; the first moment will be told by its distance from `start`.
    pub(crate) fn begin_at(&mut self, start: Moment) {
        self.bytes.clear();
        self.bits.clear();
        self.known = Known { last: start, ..Known::default() };
    }

    /// `value`, which takes `count` bits, at most 32.
    pub(crate) fn put_bits(&mut self, value: u64, count: u32) {
        self.loose |= value << self.loose_len;
        self.loose_len += count;
        if self.loose_len >= u32::BITS {
            let [four @ .., _, _, _, _] = self.loose.to_le_bytes();
            self.bits.extend_from_slice(&four);
            (self.loose, self.loose_len) = (self.loose >> u32::BITS, self.loose_len - u32::BITS);
        }
    }

    fn put_number(&mut self, number: u64) {
        match u8::try_from(number) {
            Ok(0) => self.put_bits(ZERO, 2),
            Ok(byte) => {
                self.put_bits(BYTE, 2);
                self.bytes.push(byte);
            }
            Err(_) => self.put_long(number),
        }
    }

    fn put_long(&mut self, number: u64) {
        let slot = slot(number);
        if self.known.numbers.get(slot) == Some(&number) {
            self.put_bits(AGAIN | (slot as u64) << 2, 2 + NUMBERS.ilog2());
            return;
        }
        let bytes = number.to_le_bytes();
        let len = bytes.len() - (number.leading_zeros() / u8::BITS) as usize;
        self.put_bits(LONG | (len as u64 - 1) << 2, 2 + 3);
        self.put_bytes(bytes.get(..len).unwrap_or_default());
        self.known.note_number(number);
    }

    /// Numbers near zero are short, whatever their sign.
    fn put_signed(&mut self, number: i64) {
        self.put_number((number << 1 ^ number >> 63).cast_unsigned());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn put_moment(&mut self, moment: Moment) {
        if let Some(place) = self.known.moments().iter().position(|one| *one == moment) {
            self.put_bits(place as u64, MOMENT_BITS);
            return;
        }
        self.put_bits(MOMENTS as u64, MOMENT_BITS);
        self.put_next_moment(moment);
        self.known.note_moment(moment);
    }

    /// A moment that is not named again, by its distance from the one before.
    pub(crate) fn put_next_moment(&mut self, moment: Moment) {
        let last = std::mem::replace(&mut self.known.last, moment);
        moment.at.nanos().wrapping_sub(last.at.nanos()).pack(self);
        self.put_signed(i64::from(moment.packet).wrapping_sub(i64::from(last.packet)));
        moment.file.pack(self);
    }
}

/// Unpacks one connection.
#[derive(Debug)]
pub(crate) struct Unpacker<'a> {
    /// From the next number on, up to the next bits where they stand behind.
    bytes: &'a [u8],
    /// From the next bits on, where they stand apart.
    bits: Option<&'a [u8]>,
    loose: u64,
    loose_len: u32,
    known: Known,
}

impl<'a> Unpacker<'a> {
    /// Reads what [`Packer::finish`] has given.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Unpacker { bytes, bits: None, loose: 0, loose_len: 0, known: Known::default() }
    }

    /// The same, where the packer began at `start`.
    pub(crate) fn starting_at(self, start: Moment) -> Self {
        Unpacker { known: Known { last: start, ..Known::default() }, ..self }
    }

    /// Reads what [`Packer::close`] has given.
    pub(crate) fn of_parts(bytes: &'a [u8], bits: &'a [u8]) -> Self {
        Unpacker { bits: Some(bits), ..Unpacker::new(bytes) }
    }

    /// The next `count` bits, at most 32.
    pub(crate) fn bits(&mut self, count: u32) -> u64 {
        if self.loose_len < count {
            self.load_bits(count);
        }
        let value = self.loose & ((1 << count) - 1);
        (self.loose, self.loose_len) = (self.loose >> count, self.loose_len - count);
        value
    }

    /// Sees to it that `count` bits are there.
    fn load_bits(&mut self, count: u32) {
        if let Some((four, rest)) = self.bits.and_then(<[u8]>::split_first_chunk) {
            self.loose |= u64::from(u32::from_le_bytes(*four)) << self.loose_len;
            (self.bits, self.loose_len) = (Some(rest), self.loose_len + u32::BITS);
        }
        while self.loose_len < count {
            let byte = match &mut self.bits {
                Some(bits) => bits.split_off_first(),
                None => self.bytes.split_off_last(),
            };
            self.loose |= u64::from(byte.copied().unwrap_or(0)) << self.loose_len;
            self.loose_len += u8::BITS;
        }
    }

    fn byte(&mut self) -> u8 {
        self.bytes.split_off_first().copied().unwrap_or(0)
    }

    fn take_bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at_checked(len).unwrap_or((self.bytes, &[]));
        self.bytes = rest;
        taken
    }

    fn number(&mut self) -> u64 {
        match self.bits(2) {
            ZERO => 0,
            BYTE => u64::from(self.byte()),
            AGAIN => {
                let place = self.bits(NUMBERS.ilog2());
                usize::try_from(place).ok().and_then(|at| self.known.numbers.get(at).copied()).unwrap_or(0)
            }
            _ => {
                let len = self.bits(3) + 1;
                let number = self.long(len);
                self.known.note_number(number);
                number
            }
        }
    }

    /// The next `len` bytes, 1 to 8, as a number.
    fn long(&mut self, len: u64) -> u64 {
        let Some(eight) = self.bytes.first_chunk() else {
            return (0..len).fold(0, |sum, index| sum | u64::from(self.byte()) << (8 * index));
        };
        let number = u64::from_le_bytes(*eight) & (u64::MAX >> (u64::BITS as u64 - 8 * len));
        self.bytes = usize::try_from(len).ok().and_then(|len| self.bytes.get(len..)).unwrap_or_default();
        number
    }

    fn signed(&mut self) -> i64 {
        let folded = self.number();
        (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed()
    }

    fn moment(&mut self) -> Moment {
        let place = usize::try_from(self.bits(MOMENT_BITS)).unwrap_or(MOMENTS);
        if let Some(moment) = self.known.moments().get(place) {
            return *moment;
        }
        let moment = self.next_moment();
        self.known.note_moment(moment);
        moment
    }

    /// What [`Packer::put_next_moment`] has written.
    pub(crate) fn next_moment(&mut self) -> Moment {
        let last = self.known.last;
        let at = Timestamp::from_nanos(last.at.nanos().wrapping_add(i64::unpack(self)));
        let packet = i64::from(last.packet).wrapping_add(self.signed());
        let moment = Moment::new(at, u32::try_from(packet).unwrap_or(0), u16::unpack(self));
        self.known.last = moment;
        moment
    }
}

/// Packs a struct field by field; those named behind `without` are left out, and are absent when it is unpacked.
macro_rules! pack_fields {
    ($name:ident { $($field:ident),+ $(,)? } $(without { $($absent:ident),+ })?) => {
        impl $crate::pack::Pack for $name {
            fn pack(&self, into: &mut $crate::pack::Packer) {
                let $name { $($field,)+ $($($absent: _),+)? } = self;
                $($crate::pack::Pack::pack($field, into);)+
            }

            fn unpack(from: &mut $crate::pack::Unpacker<'_>) -> Self {
                $(let $field = $crate::pack::Pack::unpack(from);)+
                $name { $($field,)+ $($($absent: Default::default()),+)? }
            }
        }
    };
}

/// Packs an enum without fields by its place in a list of all its values.
macro_rules! pack_values {
    ($name:ty: $bits:literal bits, $first:expr $(, $value:expr)* $(,)?) => {
        impl $crate::pack::Pack for $name {
            fn pack(&self, into: &mut $crate::pack::Packer) {
                let place = [$first $(, $value)*].iter().position(|value| value == self);
                into.put_bits(place.unwrap_or(0) as u64, $bits);
            }

            fn unpack(from: &mut $crate::pack::Unpacker<'_>) -> Self {
                let place = usize::try_from(from.bits($bits)).unwrap_or(0);
                [$first $(, $value)*].get(place).copied().unwrap_or($first)
            }
        }
    };
}

pub(crate) use {pack_fields, pack_values};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side::Side;
    use proptest::prelude::*;

    type Numbers = (Vec<u64>, Vec<i64>);
    type All = (Numbers, (Vec<Option<Moment>>, (Vec<bool>, Side)));

    fn moment() -> impl Strategy<Value = Moment> {
        let times = prop_oneof![0..4_i64, any::<i64>()];
        let packets = prop_oneof![0..4_u32, any::<u32>()];
        (times, packets, prop_oneof![9 => Just(0), 1 => any::<u16>()])
            .prop_map(|(at, packet, file)| Moment::new(Timestamp::from_nanos(at), packet, file))
    }

    fn numbers() -> impl Strategy<Value = Numbers> {
        let some = prop_oneof![Just(0), 0..300_u64, any::<u64>()];
        (prop::collection::vec(some, 0..60), prop::collection::vec(any::<i64>(), 0..20))
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            numbers in numbers(),
            moments in prop::collection::vec(prop::option::of(moment()), 0..80),
            flags in prop::collection::vec(any::<bool>(), 0..40),
            side in prop_oneof![Just(Side::Client), Just(Side::Server)],
        ) {
            let mut packer = Packer::default();
            // Twice: nothing of one connection may reach into the next.
            for _ in 0..2 {
                let all = (numbers.clone(), (moments.clone(), (flags.clone(), side)));
                all.pack(&mut packer);
                let (bytes, bits) = packer.close();
                prop_assert_eq!(&All::unpack(&mut Unpacker::of_parts(bytes, bits)), &all);
                let mut packed = Vec::new();
                packer.finish(&mut packed);
                prop_assert_eq!(&All::unpack(&mut Unpacker::new(&packed)), &all);
            }
        }

        #[test]
        fn bytes_of_any_kind_are_read_without_end_or_fault(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut from = Unpacker::new(&bytes);
            for _ in 0..100 {
                let _ = (Moment::unpack(&mut from), i64::unpack(&mut from), <[u32; 4]>::unpack(&mut from));
            }
        }
    }

    #[test]
    fn the_same_packet_again_takes_five_bits() {
        let at = |packet| Moment::new(Timestamp::from_parts(1_790_000_000, 0), packet, 0);
        let len = |moments: &[Moment]| {
            let mut packer = Packer::default();
            moments.iter().for_each(|moment| moment.pack(&mut packer));
            let mut packed = Vec::new();
            packer.finish(&mut packed);
            packed.len()
        };
        assert_eq!(len(&[at(1)]), 7 + 1 + 2);
        assert_eq!(len(&[at(1); 9]), 7 + 1 + 2 + 5);
        assert_eq!(
            len(&[Moment::default(); 8]),
            5,
            "none takes as little, and what follows it is no farther"
        );
        assert!(len(&[at(1), Moment::default(), at(2)]) <= len(&[at(1), at(2)]) + 1);
    }
}
