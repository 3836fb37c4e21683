//! Compact JSON, as `serde_json` writes it, but several times faster for what a connection's entry holds.
//!
//! `serde_json` looks at each byte of every key and value for what must be escaped. Keys are names of fields here and
//! need none; values are looked at in one go, and left to `serde_json` if one byte needs it.

use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeSeq, SerializeStruct, Serializer};
use serde_json::{Error, Result};

/// Appends `value`, made of structs, sequences, options, strings and plain values, to `out`.
///
/// # Errors
/// `value` holds something else: a map, a tuple, an enum with content, bytes.
pub(super) fn append(out: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    value.serialize(Json(out))
}

struct Json<'a>(&'a mut Vec<u8>);

/// A struct or a sequence being written.
struct Items<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
    end: u8,
}

impl<'a> Json<'a> {
    fn begin(self, start: u8, end: u8) -> Items<'a> {
        self.0.push(start);
        Items { out: self.0, is_first: true, end }
    }

    #[inline]
    fn digits(self, mut number: u64) {
        let mut text = [b'0'; 20];
        let mut len = 0;
        for place in text.iter_mut().rev() {
            *place += u8::try_from(number % 10).unwrap_or(0);
            len += 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend_from_slice(text.get(text.len() - len..).unwrap_or_default());
    }
}

impl Items<'_> {
    #[inline]
    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
    }
}

impl SerializeStruct for Items<'_> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_field<T: ?Sized + Serialize>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(Json(self.out))
    }

    fn end(self) -> Result<()> {
        self.out.push(self.end);
        Ok(())
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<()> {
        self.separate();
        value.serialize(Json(self.out))
    }

    fn end(self) -> Result<()> {
        self.out.push(self.end);
        Ok(())
    }
}

fn unsupported<T>() -> Result<T> {
    Err(Error::custom("no part of a report's connection"))
}

/// Integers narrower than 64 bits are written like those.
macro_rules! unsigned {
    ($($method:ident: $number:ty),*) => {
        $(#[inline]
        fn $method(self, value: $number) -> Result<()> {
            self.digits(u64::from(value));
            Ok(())
        })*
    };
}

/// What no report holds.
macro_rules! unsupported {
    ($($method:ident($($kind:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<$result> {
            unsupported()
        })*
    };
}

impl<'a> Serializer for Json<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeStruct = Items<'a>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    unsigned!(serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        serde_json::to_writer(self.0, &value)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        let is_plain =
            value.bytes().fold(true, |plain, byte| plain & (byte >= b' ' && byte != b'"' && byte != b'\\'));
        if !is_plain {
            return serde_json::to_writer(self.0, value);
        }
        self.0.push(b'"');
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'"');
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    #[inline]
    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Items<'a>> {
        Ok(self.begin(b'[', b']'))
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Items<'a>> {
        Ok(self.begin(b'{', b'}'))
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _name: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<()> {
        unsupported()
    }

    unsupported! {
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_f32(f32) -> ();
        serialize_char(char) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Serialize)]
    struct Sample {
        text: String,
        number: u64,
        small: u16,
        seconds: f64,
        list: Vec<Option<bool>>,
        nested: Option<Box<Sample>>,
    }

    proptest! {
        #[test]
        fn the_text_is_what_serde_json_writes(
            text in "\\PC*|[\x00-\x7f]*",
            number: u64,
            small: u16,
            seconds: f64,
            list: Vec<Option<bool>>,
        ) {
            let inner = Sample { text: text.clone(), number: 0, small, seconds, list: list.clone(), nested: None };
            let sample = Sample { text, number, small, seconds, list, nested: Some(Box::new(inner)) };
            let mut out = Vec::new();
            append(&mut out, &sample).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&sample).unwrap());
        }
    }

    #[test]
    fn a_map_is_refused() {
        let map = std::collections::BTreeMap::from([(1, 2)]);
        assert!(append(&mut Vec::new(), &map).is_err());
    }
}
