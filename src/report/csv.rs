//! `--format csv`: a row a connection (RFC 4180), harmless to open in a spreadsheet.

use super::columns::{COLUMNS, Kind, Value};
use super::escape::terminal;
use super::model::Connection;
use csv::{Terminator, WriterBuilder};
use std::borrow::Cow;
use std::io::{self, Write};

/// Writes one row a connection.
pub struct CsvWriter<W: Write> {
    rows: csv::Writer<W>,
}

impl<W: Write> CsvWriter<W> {
    /// Writes the row of column names.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut writer = CsvWriter::go_on(out);
        writer.begin_again()?;
        Ok(writer)
    }

    /// Goes on behind rows that are there, and so without the row of column names.
    pub fn go_on(out: W) -> Self {
        CsvWriter { rows: WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out) }
    }

    /// Writes the row of column names anew, into a file that takes over from another.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn begin_again(&mut self) -> io::Result<()> {
        self.rows.write_record(COLUMNS.iter().map(|column| column.name))?;
        self.rows.flush()
    }

    /// Writes a connection.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn connection(&mut self, connection: &Connection<'_>) -> io::Result<()> {
        for column in COLUMNS {
            let cell = (column.of)(connection).map(cell).unwrap_or_default();
            debug_assert!(column.kind == Kind::Text || !cell.starts_with('\''));
            self.rows.write_field(cell.as_ref())?;
        }
        self.rows.write_record(None::<&[u8]>)?;
        Ok(())
    }

    /// Sees to it that all has been written.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.rows.flush()
    }
}

fn cell(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Text(text) => harmless(&text).into(),
        Value::Integer(number) => number.to_string().into(),
        Value::Real(number) => number.to_string().into(),
        Value::Flag(flag) => if flag { "true" } else { "false" }.into(),
        Value::Time(time) => time.to_rfc3339().into(),
    }
}

/// `text` escaped as for a terminal, and with `'` before what a spreadsheet would take for a formula.
///
/// Spreadsheets look at the first character, some of them behind blanks.
fn harmless(text: &str) -> String {
    let escaped = terminal(text);
    let is_formula = escaped.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '|', '%']);
    if is_formula { format!("'{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_a_formula_and_none_breaks_its_line() {
        assert_eq!(harmless("=1+1"), "'=1+1");
        assert_eq!(harmless("  @SUM(A1)"), "'  @SUM(A1)");
        assert_eq!(harmless("\t=cmd|' /C calc'!A0"), "\\u{9}=cmd|' /C calc'!A0");
        assert_eq!(harmless("a\r\nb\0"), "a\\u{d}\\u{a}b\\u{0}");
        assert_eq!(harmless("/chat?a=1,\"b\""), "/chat?a=1,\"b\"");
    }
}
