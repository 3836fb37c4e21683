//! `--format json`: one document, written as the connections come.

use super::compact;
use super::model::{Connection, Generator, Input, SCHEMA, Summary};
use crate::anomaly::AnomalyCounts;
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

/// Writes one JSON document without holding any connection.
#[derive(Debug)]
pub struct JsonWriter<W: Write> {
    out: W,
    empty: bool,
    /// One connection's text, so that the output sees one write and not one a field.
    line: Vec<u8>,
}

impl<W: Write> JsonWriter<W> {
    /// Begins the document.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn begin(mut out: W) -> io::Result<Self> {
        write!(out, "{{\n  \"schema\": {:?},\n  \"generator\": ", SCHEMA)?;
        serde_json::to_writer(&mut out, &generator())?;
        write!(out, ",\n  \"connections\": [")?;
        Ok(JsonWriter { out, empty: true, line: Vec::new() })
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn connection(&mut self, connection: &Connection<'_>) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(if self.empty { b"\n    " } else { b",\n    " });
        self.empty = false;
        compact::append(&mut self.line, connection)?;
        self.out.write_all(&self.line)
    }

    /// Ends the document.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn finish(&mut self, inputs: &[Input], summary: &Summary, counts: &AnomalyCounts) -> io::Result<()> {
        write!(self.out, "{}],\n  \"inputs\": ", if self.empty { "" } else { "\n  " })?;
        serde_json::to_writer(&mut self.out, inputs)?;
        write!(self.out, ",\n  \"summary\": ")?;
        serde_json::to_writer(&mut self.out, summary)?;
        write!(self.out, ",\n  \"anomalies\": ")?;
        serde_json::to_writer(&mut self.out, &anomalies(counts))?;
        self.out.write_all(b"\n}\n")?;
        self.out.flush()
    }
}
