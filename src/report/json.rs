//! `--format json`: one document, written as the connections come.

use super::escape;
use super::model::{Connection, Generator, Input, SCHEMA, Summary};
use crate::anomaly::AnomalyCounts;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// This program, as reports name it.
#[must_use]
pub fn generator() -> Generator {
    Generator { name: "wsclose".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// The anomalies by name.
#[must_use]
pub fn anomalies(counts: &AnomalyCounts) -> BTreeMap<String, u64> {
    counts.iter().map(|(anomaly, count)| (anomaly.name().to_owned(), count)).collect()
}

/// Appends `value` to `out` as JSON without any character that a terminal would act on or that could deceive a reader.
///
/// # Errors
/// `value` can't be written as JSON; none of the report's types is such.
pub(super) fn append(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    let before = out.len();
    value.serialize(&mut Serializer::new(&mut *out))?;
    // One look at the whole costs an eighth of one at each of its strings, and there is hardly ever anything to find.
    if out.get(before..).is_some_and(is_printable) {
        return Ok(());
    }
    out.truncate(before);
    value.serialize(&mut Serializer::with_formatter(out, Harmless)).map_err(io::Error::from)
}

/// `serde_json` escapes what JSON asks for. C1 controls and bidirectional overrides are legal in JSON, and still reach
/// the terminal of whoever prints it.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if is_printable(fragment.as_bytes()) {
            return out.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for character in fragment.chars() {
            if escape::is_harmless(character) {
                write!(out, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// Are these bytes of ASCII, and none of them DEL? Other controls are not in what `serde_json` writes: it escapes them.
/// Nearly all is so, and eight bytes at a time tell it quickly.
#[inline]
fn is_printable(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let (words, rest) = bytes.as_chunks::<8>();
    // One more than DEL sets a byte's upper bit, as what is not ASCII has it set.
    let odd = words.iter().fold(0, |odd, word| {
        let word = u64::from_le_bytes(*word);
        odd | word | ((word & (ONES * 0x7f)) + ONES)
    });
    odd & (ONES * 0x80) == 0 && rest.iter().all(|byte| *byte < 0x7f)
}

/// Writes one JSON document without holding any connection.
#[derive(Debug)]
pub struct JsonWriter<W: Write> {
    out: W,
    empty: bool,
    /// What is written next, so that the output sees one write and not one a field.
    text: Vec<u8>,
}

impl<W: Write> JsonWriter<W> {
    /// Begins the document.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut writer = JsonWriter { out, empty: true, text: Vec::new() };
        writer.member("{\n  \"schema\": ", SCHEMA)?;
        writer.member(",\n  \"generator\": ", &generator())?;
        writer.text.extend_from_slice(b",\n  \"connections\": [");
        writer.write()?;
        Ok(writer)
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn connection(&mut self, connection: &Connection<'_>) -> io::Result<()> {
        self.member(if self.empty { "\n    " } else { ",\n    " }, connection)?;
        self.empty = false;
        self.write()
    }

    /// Ends the document.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn finish(&mut self, inputs: &[Input], summary: &Summary, counts: &AnomalyCounts) -> io::Result<()> {
        self.text.extend_from_slice(if self.empty { b"" } else { b"\n  " });
        self.member("],\n  \"inputs\": ", inputs)?;
        self.member(",\n  \"summary\": ", summary)?;
        self.member(",\n  \"anomalies\": ", &anomalies(counts))?;
        self.text.extend_from_slice(b"\n}\n");
        self.write()?;
        self.out.flush()
    }

    fn member(&mut self, before: &str, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        self.text.extend_from_slice(before.as_bytes());
        append(&mut self.text, value)
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.text);
        self.text.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_no_character_that_a_terminal_acts_on_and_reads_back_the_same() {
        let hostile = "a\u{9b}31m\u{7f}\u{202e}\u{e0041}\u{1b}\"\\ grüße 日本";
        let mut out = Vec::new();
        append(&mut out, hostile).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.chars().all(escape::is_harmless), "{text}");
        assert!(text.contains("grüße 日本"));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
        // Names of members too: `wsclose merge` takes them from whatever reports it is given.
        let mut out = Vec::new();
        append(&mut out, &BTreeMap::from([(hostile, 1)])).unwrap();
        assert!(String::from_utf8(out).unwrap().chars().all(escape::is_harmless));
    }
}
