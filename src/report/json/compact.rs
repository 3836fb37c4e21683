//! JSON without blanks, for the types of the report: what `serde_json` writes, byte for byte (a test compares), in two thirds
//! of its time.
//!
//! A connection is a hundred short strings and small numbers. `serde_json` looks for what must be escaped byte by byte, in the
//! names of the members too, though these are constants of the types. Here a string is looked at 16 bytes at a time, and what
//! is more than a copy of plain ASCII is left to `serde_json`.

use super::Harmless;
use serde::Serialize;
use serde::ser::{self, Error as _, Impossible};
use serde_json::Error;
use serde_json::ser::Serializer as Whole;

/// Appends JSON to a buffer.
pub(super) struct Compact<'o> {
    out: &'o mut Vec<u8>,
}

/// Appends `value` to `out`.
///
/// # Errors
/// It holds what the report's types don't: a byte string, an enum with fields, or a map whose keys aren't strings.
pub(super) fn append(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    value.serialize(&mut Compact { out })
}

/// Bytes of a longer text that are looked at together.
const BLOCK: usize = 16;

/// May `text` stand between quotation marks as it is, and on a terminal too?
///
/// Some bytes are looked at twice, so that whole blocks or words will do.
fn is_plain(text: &[u8]) -> bool {
    if let Some(end) = text.last_chunk() {
        let (blocks, _) = text.as_chunks();
        return blocks.iter().all(is_plain_block) && is_plain_block(end);
    }
    if let (Some(start), Some(end)) = (text.first_chunk(), text.last_chunk()) {
        return is_plain_word(u64::from_le_bytes(*start)) && is_plain_word(u64::from_le_bytes(*end));
    }
    if let (Some(start), Some(end)) = (text.first_chunk(), text.last_chunk()) {
        let (start, end) = (u32::from_le_bytes(*start), u32::from_le_bytes(*end));
        return is_plain_word(u64::from(start) | (u64::from(end) << 32));
    }
    text.iter().all(|byte| is_plain_byte(*byte))
}

const fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
}

/// Without an early exit, so that all bytes are looked at at once.
fn is_plain_block(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(true, |plain, byte| plain & is_plain_byte(*byte))
}

/// The same for eight bytes in one word: a byte's highest bit is set where it is, or by what was subtracted from it.
const fn is_plain_word(word: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const fn zero_where(word: u64, byte: u8) -> u64 {
        word ^ (EACH * byte as u64)
    }
    let (quote, backslash, delete) =
        (zero_where(word, b'"'), zero_where(word, b'\\'), zero_where(word, 0x7f));
    let below_blank = word.wrapping_sub(EACH * b' ' as u64);
    let zero = (quote.wrapping_sub(EACH) & !quote)
        | (backslash.wrapping_sub(EACH) & !backslash)
        | (delete.wrapping_sub(EACH) & !delete);
    (word | below_blank | zero) & (EACH << 7) == 0
}

// Each of these is called from a hundred places: inlined there, their code would not stay in the processor's cache from one
// connection to the next, which takes as long as it saves.
impl Compact<'_> {
    /// Writes a string with its quotation marks.
    #[inline(never)]
    fn string(&mut self, text: &str) -> Result<(), Error> {
        if !is_plain(text.as_bytes()) {
            return text.serialize(&mut Whole::with_formatter(&mut *self.out, Harmless));
        }
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
        Ok(())
    }

    /// Writes the name of a member that its type has: a constant, never a packet's or a file's.
    #[inline(never)]
    fn name(&mut self, name: &'static str) {
        self.separate(b'{');
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Writes the comma before a member or an element, unless it is the first: no value ends with a bracket that opens.
    fn separate(&mut self, opened: u8) {
        if self.out.last() != Some(&opened) {
            self.out.push(b',');
        }
    }

    #[inline(never)]
    fn number(&mut self, number: u64) -> Result<(), Error> {
        match u8::try_from(number) {
            Ok(digit @ 0..=9) => {
                self.out.push(b'0' | digit);
                Ok(())
            }
            _ => number.serialize(&mut Whole::new(&mut *self.out)),
        }
    }

    #[inline(never)]
    fn literal(&mut self, literal: &'static str) -> Result<(), Error> {
        self.out.extend_from_slice(literal.as_bytes());
        Ok(())
    }

    #[inline(never)]
    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }
}

/// An array or object, up to the bracket that closes it.
pub(super) struct Members<'c, 'o> {
    to: &'c mut Compact<'o>,
    bracket: u8,
}

impl<'c, 'o> Members<'c, 'o> {
    fn open(to: &'c mut Compact<'o>, [open, bracket]: [u8; 2]) -> Self {
        to.byte(open);
        Members { to, bracket }
    }

    fn end(self) -> Result<(), Error> {
        self.to.byte(self.bracket);
        Ok(())
    }
}

impl ser::SerializeStruct for Members<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.to.name(key);
        value.serialize(&mut *self.to)
    }

    fn end(self) -> Result<(), Error> {
        self.end()
    }
}

impl ser::SerializeMap for Members<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.to.separate(b'{');
        let start = self.to.out.len();
        key.serialize(&mut *self.to)?;
        if self.to.out.get(start) != Some(&b'"') {
            return Err(Error::custom("the name of a member is a string"));
        }
        self.to.literal(":")
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.to)
    }

    fn end(self) -> Result<(), Error> {
        self.end()
    }
}

impl ser::SerializeSeq for Members<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.to.separate(b'[');
        value.serialize(&mut *self.to)
    }

    fn end(self) -> Result<(), Error> {
        self.end()
    }
}

/// What the report's types do not hold.
fn foreign<T>() -> Result<T, Error> {
    Err(Error::custom("no type of the report"))
}

impl<'c, 'o> ser::Serializer for &'c mut Compact<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Members<'c, 'o>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Members<'c, 'o>;
    type SerializeStruct = Members<'c, 'o>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.literal(if value { "true" } else { "false" })
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        value.serialize(&mut Whole::new(&mut *self.out))
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.number(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.number(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.number(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.number(value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        value.serialize(&mut Whole::new(&mut *self.out))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        value.serialize(&mut Whole::new(&mut *self.out))
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.string(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.string(value)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        foreign()
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.literal("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.string(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        foreign()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Members<'c, 'o>, Error> {
        Ok(Members::open(self, *b"[]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        foreign()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        foreign()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        foreign()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'c, 'o>, Error> {
        Ok(Members::open(self, *b"{}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'c, 'o>, Error> {
        Ok(Members::open(self, *b"{}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        foreign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value};

    /// What `serde_json` writes.
    fn whole(value: &Value) -> String {
        let mut out = Vec::new();
        value.serialize(&mut Whole::with_formatter(&mut out, Harmless)).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn compact(value: &Value) -> String {
        let mut out = Vec::new();
        append(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,40}",
            "[a-z]{0,40}",
            "\\PC{0,20}",
            proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<u64>().prop_map(Value::from),
            (0_u64..20).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::Number)),
            text().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::btree_map(text(), inner, 0..6)
                    .prop_map(|members| Value::Object(Map::from_iter(members))),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_is_written_as_serde_json_writes_it(value in values()) {
            prop_assert_eq!(compact(&value), whole(&value));
        }
    }

    #[test]
    fn each_byte_at_each_place_is_looked_at() {
        for byte in 0..=0x7f_u8 {
            for place in 0..40 {
                for after in [0, 1, 15, 16] {
                    let text = format!("{}{}{}", "a".repeat(place), char::from(byte), "b".repeat(after));
                    assert_eq!(compact(&text.as_str().into()), whole(&text.into()));
                }
            }
        }
    }

    #[test]
    fn a_bracket_at_a_value_s_end_opens_nothing() {
        let value =
            serde_json::json!({"a": ["[", "{", "["], "b": [], "c": {}, "{": "{", "|": [[], {}, [{}]]});
        assert_eq!(compact(&value), whole(&value));
    }

    #[test]
    fn what_no_report_holds_is_refused() {
        let mut out = Vec::new();
        assert!(append(&mut out, &std::collections::BTreeMap::from([(1, 2)])).is_err());
        assert!(append(&mut out, &Ok::<u8, u8>(1)).is_err());
    }
}
