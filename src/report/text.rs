//! `--format text`: a summary, then a line per connection that a person can scan.
//!
//! ```text
//! 3 WebSocket connections in a.pcap                                  heading.rs
//! 2026-11-22 20:14:38 to 20:16:11 UTC, 422 packets, ...
//!
//!      2  closed with a Close frame                                  tally.rs
//!             2  1001 Going Away     server 2
//!      1  abnormal: lost without a Close (1006)
//!             1  fin: ...            client 1
//!
//! What to do:                                                        advice.rs
//!
//! STREAM  OPENED        CLIENT  SERVER  LIFE  IDLE  END  BY  REQUEST  row.rs, table.rs
//!      0  20:14:38.176  ...                                         rows.rs keeps them until the end
//!     FIN by client in packet 12; ...                                details.rs, more with --verbose
//! ```
//!
//! Whatever comes from packets, and every file name, is escaped on its way in (`escape.rs`).

mod advice;
mod details;
mod files;
pub(super) mod heading;
pub(super) mod row;
mod rows;
mod table;
mod tally;
pub(super) mod words;

pub use words::{counted, untold};

use super::build::Outline;
use super::model::{Address, Connection, Input, Summary, Verdict};
use crate::anomaly::AnomalyCounts;
use crate::moment::Moment;
use anstyle::{AnsiColor, Style};
use files::FileNames;
use row::Row;
use rows::Rows;
use std::io::{self, Write};
use std::net::SocketAddr;
use tally::Tally;

/// How the text report looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextStyle {
    /// Colour by ANSI sequences.
    pub color: bool,
    /// Under each connection, its reasons and evidence.
    pub verbose: bool,
    /// Columns to fit the table into; `None`: as wide as it comes.
    pub width: Option<usize>,
    /// Only some connections were asked for, and the summary is to say so.
    pub narrowed: bool,
    /// Encrypted connections that look like a WebSocket are listed already.
    pub lists_encrypted: bool,
    /// The ports of WebSockets are named already.
    pub names_ports: bool,
}

/// Gathers connections, then writes the report.
#[derive(Debug)]
pub struct TextReport {
    style: TextStyle,
    files: FileNames,
    rows: Rows,
    tally: Tally,
}

impl TextReport {
    /// An empty report on inputs with these paths.
    #[must_use]
    pub fn new(style: TextStyle, files: &[String]) -> Self {
        TextReport { style, files: FileNames::new(files), rows: Rows::default(), tally: Tally::default() }
    }

    /// Counts a connection that is not to be listed.
    pub fn count(&mut self, outline: Outline<'_>) {
        self.tally.count(outline);
    }

    /// Adds a connection.
    pub fn add(&mut self, connection: &Connection<'_>) {
        self.tally.count(connection.into());
        let row = row(connection, &self.files, self.style.verbose);
        self.rows.push(connection.opened_at, &row);
    }

    /// Writes a connection's line now, for live capture; the summary counts it all the same.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn write_line(&mut self, out: &mut impl Write, connection: &Connection<'_>) -> io::Result<()> {
        self.tally.count(connection.into());
        let row = row(connection, &self.files, self.style.verbose);
        let ended_at = connection.ended_at.to_rfc3339();
        writeln!(out, "{}", row.line(&ended_at, connection.h2_stream, self.style.color))?;
        write_details(out, &row)?;
        out.flush()
    }

    /// Takes back what was counted of a connection.
    pub fn uncount(&mut self, verdict: &Verdict<'_>) {
        self.tally.uncount(verdict);
    }

    /// Writes that what was said of a connection does not hold.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn write_revision(
        &mut self,
        out: &mut impl Write,
        between: (&Address, &Address),
        verdict: &Verdict<'_>,
        at: Moment,
    ) -> io::Result<()> {
        self.tally.uncount(verdict);
        let [client, server] = [between.0, between.1].map(|end| SocketAddr::new(end.address, end.port));
        let (time, label, packet) = (at.at.to_rfc3339(), &verdict.label, at.packet);
        writeln!(
            out,
            "{time}  revised: {client} to {server} is not {label}: packet {packet} shows it alive"
        )?;
        out.flush()
    }

    /// Writes the report.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn write(
        &mut self,
        out: &mut impl Write,
        inputs: &[Input],
        summary: &Summary,
        anomalies: &AnomalyCounts,
    ) -> io::Result<()> {
        self.rows.sort();
        heading::write(out, inputs, summary, self.tally.unopened(), &self.style)?;
        self.tally.write(out, self.style.color)?;
        heading::write_notices(out, inputs, anomalies)?;
        advice::write(out, &summary.findings)?;
        if self.rows.is_empty() { Ok(()) } else { self.write_table(out) }
    }

    fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        let table = table::Layout::fit(&self.rows, self.style.width);
        let days = self.rows.are_of_several_days();
        writeln!(out, "\n{}", table.headings())?;
        let mut before: Option<Row<'_>> = None;
        for row in self.rows.iter() {
            let day_before = before.as_ref().map_or("", Row::day);
            if days && row.day() != day_before {
                writeln!(out, "{}", row.day())?;
            }
            writeln!(out, "{}", table.line(&row, self.style.color))?;
            match before.and_then(|before| details::likewise(&before.details, &row.details)) {
                Some(short) => writeln!(out, "    {short}")?,
                None => write_details(out, &row)?,
            }
            before = Some(row);
        }
        let dropped = table.dropped();
        if dropped.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n(no room in this terminal for: {})", dropped.join(", "))
    }
}

/// A connection's row.
fn row<'a>(connection: &'a Connection<'_>, files: &'a FileNames, verbose: bool) -> Row<'a> {
    let details = if verbose { details::of(connection, files) } else { details::brief(connection) };
    Row::new(connection, files, details)
}

fn write_details(out: &mut impl Write, row: &Row<'_>) -> io::Result<()> {
    row.details.iter().try_for_each(|detail| writeln!(out, "    {detail}"))
}

/// `text` in the colour of `kind`.
fn paint(kind: &str, text: &str, color: bool) -> String {
    if !color {
        return text.to_owned();
    }
    let color = match kind {
        "coded" => AnsiColor::Green,
        "abnormal" => AnsiColor::Red,
        "refused" => AnsiColor::Magenta,
        "unknown" => AnsiColor::Yellow,
        _ => AnsiColor::Blue,
    };
    let style = Style::new().fg_color(Some(color.into()));
    format!("{style}{text}{style:#}")
}
