//! `--format ndjson`: one object a line, each written whole and flushed.

use super::json::{anomalies, append, generator};
use super::model::{Connection, Input, Line, SCHEMA, Summary};
use crate::anomaly::AnomalyCounts;
use std::io::{self, Write};

/// Writes one JSON object a line.
#[derive(Debug)]
pub struct NdjsonWriter<W: Write> {
    out: W,
    text: Vec<u8>,
}

impl<W: Write> NdjsonWriter<W> {
    /// Writes the first line.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn begin(out: W, inputs: Vec<Input>) -> io::Result<Self> {
        let mut writer = NdjsonWriter { out, text: Vec::new() };
        writer.begin_again(inputs)?;
        Ok(writer)
    }

    /// Writes the first line anew, into a file that takes over from another.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn begin_again(&mut self, inputs: Vec<Input>) -> io::Result<()> {
        self.line(&Line::Begin { schema: SCHEMA.to_owned(), generator: generator(), inputs })
    }

    /// Writes a connection.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn connection(&mut self, connection: Connection<'_>) -> io::Result<()> {
        self.line(&Line::Connection(Box::new(connection)))
    }

    /// Writes any line.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.line(line)
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn finish(&mut self, inputs: Vec<Input>, summary: Summary, counts: &AnomalyCounts) -> io::Result<()> {
        self.line(&Line::Summary { inputs, summary, anomalies: anomalies(counts) })
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.text.clear();
        append(&mut self.text, line)?;
        self.text.push(b'\n');
        self.out.write_all(&self.text)?;
        self.out.flush()
    }
}
