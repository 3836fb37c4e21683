//! `--format text`: a summary, then a line per connection that a person can scan.

use super::escape::{cell, terminal};
use super::model::{Close, Connection, Evidence, Input, Summary};
use crate::time::Timestamp;
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// How the text report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextStyle {
    /// Colour by ANSI sequences.
    pub color: bool,
    /// Under each connection, its reasons and evidence.
    pub verbose: bool,
}

/// Gathers connections, then writes the report.
#[derive(Debug)]
pub struct TextReport {
    style: TextStyle,
    rows: Vec<Row>,
    /// Counts by kind, by label or cause, by who began it.
    tally: BTreeMap<(u8, String), BTreeMap<String, u64>>,
}

/// One connection's line.
#[derive(Debug)]
struct Row {
    opened_at: Timestamp,
    cells: [String; 7],
    kind: String,
    details: Vec<String>,
}

const HEADINGS: [&str; 7] = ["STREAM", "OPENED", "CLIENT", "SERVER", "LIFE", "END", "BY"];
/// Columns of the close reason shown in a line.
const REASON_WIDTH: usize = 32;
/// Columns of a host and path.
const TARGET_WIDTH: usize = 48;

impl TextReport {
    /// An empty report.
    #[must_use]
    pub fn new(style: TextStyle) -> Self {
        TextReport { style, rows: Vec::new(), tally: BTreeMap::new() }
    }

    /// Adds a connection.
    pub fn add(&mut self, connection: &Connection<'_>) {
        self.count(connection);
        self.rows.push(self.row(connection));
    }

    /// Writes a connection's line now, for live capture; the summary counts it all the same.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn write_line(&mut self, out: &mut impl Write, connection: &Connection<'_>) -> io::Result<()> {
        self.count(connection);
        let row = self.row(connection);
        let [_, opened, client, server, life, end, by] = &row.cells;
        let end = self.paint(&row.kind, end);
        writeln!(
            out,
            "{}  {client} -> {server}  {end}  by {by}, opened {opened}, lived {life}",
            time_of_day(connection.ended_at)
        )?;
        for detail in &row.details {
            writeln!(out, "    {detail}")?;
        }
        out.flush()
    }

    fn count(&mut self, connection: &Connection<'_>) {
        let verdict = &connection.verdict;
        let detail =
            verdict.cause.as_ref().or(verdict.blind.as_ref()).unwrap_or(&verdict.label).clone().into_owned();
        let by = verdict.closed_by.as_deref().unwrap_or("-").to_owned();
        *self.tally.entry((order(&verdict.kind), detail)).or_default().entry(by).or_default() += 1;
    }

    fn row(&self, connection: &Connection<'_>) -> Row {
        let verdict = &connection.verdict;
        Row {
            opened_at: connection.opened_at,
            cells: [
                connection.tcp_stream.map_or_else(|| "-".to_owned(), |stream| stream.to_string()),
                time_of_day(connection.opened_at),
                address(connection.client.address, connection.client.port),
                target(connection),
                life(connection.duration_s),
                end(connection),
                verdict.closed_by.as_deref().unwrap_or("-").to_owned(),
            ],
            kind: verdict.kind.clone().into_owned(),
            details: if self.style.verbose { details(connection) } else { Vec::new() },
        }
    }

    /// Writes the report.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn write(&mut self, out: &mut impl Write, inputs: &[Input], summary: &Summary) -> io::Result<()> {
        self.rows.sort_by_key(|row| row.opened_at);
        self.write_summary(out, inputs, summary)?;
        if self.rows.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let table = self.table().to_string();
        let mut lines = table.lines();
        if let Some(headings) = lines.next() {
            writeln!(out, "{}", headings.trim_end())?;
        }
        for (line, row) in lines.zip(&self.rows) {
            writeln!(out, "{}", line.trim_end())?;
            for detail in &row.details {
                writeln!(out, "    {detail}")?;
            }
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(HEADINGS);
        for row in &self.rows {
            let mut cells = row.cells.clone();
            if let Some(end) = cells.get_mut(5) {
                *end = self.paint(&row.kind, end);
            }
            table.add_row(cells);
        }
        for column in [0, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    fn write_summary(&self, out: &mut impl Write, inputs: &[Input], summary: &Summary) -> io::Result<()> {
        let packets: u64 = inputs.iter().map(|input| input.packets).sum();
        let names: Vec<String> = inputs.iter().map(|input| cell(&input.path, TARGET_WIDTH)).collect();
        let of = match names.as_slice() {
            [one] => one.clone(),
            many => format!("{} files", many.len()),
        };
        let noun = if summary.connections == 1 { "WebSocket connection" } else { "WebSocket connections" };
        writeln!(
            out,
            "{} {noun} in {of} ({packets} packets, {} other TCP connections)",
            summary.connections, summary.other_tcp_connections
        )?;
        for (kind, meaning) in KINDS {
            let Some(count) = summary.by_kind.get(kind) else { continue };
            let parts: Vec<String> = self
                .tally
                .iter()
                .filter(|((of_kind, _), _)| *of_kind == order(kind))
                .map(|((_, detail), by)| part(kind, detail, by))
                .collect();
            let head = self.paint(kind, &format!("{count:>6} {meaning}"));
            writeln!(
                out,
                "{head}{}",
                if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
            )?;
        }
        for input in inputs.iter().filter(|input| !input.complete) {
            let reason = input.error.as_ref().map_or("not read to its end", |error| &error.reason);
            writeln!(out, "       {} was not read whole: {}", terminal(&input.path), terminal(reason))?;
        }
        Ok(())
    }

    fn paint(&self, kind: &str, text: &str) -> String {
        if !self.style.color {
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
}

/// The kinds in the order of the summary, with their meaning.
const KINDS: [(&str, &str); 5] = [
    ("coded", "closed with a Close frame"),
    ("abnormal", "abnormal (1006: lost without a Close)"),
    ("refused", "refused (the opening handshake failed)"),
    ("open", "open at the end of the capture"),
    ("unknown", "unknown (a Close may have passed unseen)"),
];

fn order(kind: &str) -> u8 {
    KINDS.iter().position(|(name, _)| *name == kind).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

/// `1001 x3 (server 2, client 1)`.
fn part(kind: &str, detail: &str, by: &BTreeMap<String, u64>) -> String {
    let total: u64 = by.values().sum();
    let who: Vec<String> = by.iter().map(|(who, count)| format!("{who} {count}")).collect();
    match kind {
        "open" => return "-".to_owned(),
        "refused" => return who.join(", "),
        _ => {}
    }
    match by.len() {
        1 => format!("{detail} x{total} ({})", by.keys().next().map_or("", String::as_str)),
        _ => format!("{detail} x{total} ({})", who.join(", ")),
    }
}

fn time_of_day(at: Timestamp) -> String {
    at.time_of_day()
}

fn address(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

/// The server's address with the path asked for.
fn target(connection: &Connection<'_>) -> String {
    let server = address(connection.server.address, connection.server.port);
    let path = connection.handshake.path.as_deref().unwrap_or_default();
    cell(&format!("{server}{path}"), TARGET_WIDTH)
}

fn life(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 600.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.1} min", seconds / 60.0)
    }
}

/// `1001 "bye"`, `1006 timeout`, `refused 401`, `unknown (gap)`.
fn end(connection: &Connection<'_>) -> String {
    let verdict = &connection.verdict;
    match (verdict.kind.as_ref(), &verdict.cause, &verdict.blind) {
        (_, Some(cause), _) => format!("{} {cause}", verdict.label),
        (_, _, Some(blind)) => format!("{} ({blind})", verdict.label),
        ("refused", ..) => match connection.handshake.status {
            Some(status) => format!("refused {status}"),
            None => "refused".to_owned(),
        },
        ("coded", ..) => coded(connection),
        _ => verdict.label.clone().into_owned(),
    }
}

fn coded(connection: &Connection<'_>) -> String {
    let closes = [&connection.close.client, &connection.close.server];
    let first = closes
        .into_iter()
        .flatten()
        .min_by(|a: &&Close<'_>, b: &&Close<'_>| (&a.at, a.packet).cmp(&(&b.at, b.packet)));
    let reason = first.map_or("", |close| close.reason.as_ref());
    let unclean = if connection.verdict.clean { "" } else { " (unanswered)" };
    match reason {
        "" => format!("{}{unclean}", connection.verdict.label),
        reason => format!("{} \"{}\"{unclean}", connection.verdict.label, cell(reason, REASON_WIDTH)),
    }
}

/// What `--verbose` shows under a connection.
fn details(connection: &Connection<'_>) -> Vec<String> {
    let mut lines = vec![terminal(&connection.verdict.why)];
    lines.extend(connection.evidence.iter().map(evidence));
    if !connection.anomalies.is_empty() {
        lines.push(format!("anomalies: {}", connection.anomalies.join(", ")));
    }
    lines
}

fn evidence(item: &Evidence<'_>) -> String {
    format!("packet {:<7} {}  {:<6}  {}", item.packet, time_of_day(item.at), item.from, terminal(&item.what))
}
