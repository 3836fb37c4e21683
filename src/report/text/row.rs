//! One connection's line.

use super::files::FileNames;
use super::paint;
use super::words::{address, day, duration, time_of_day};
use crate::report::escape::{cell, terminal};
use crate::report::model::{Close, Connection};
use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// The columns, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    File,
    Stream,
    Opened,
    Client,
    Server,
    Via,
    Life,
    Idle,
    End,
    By,
    Request,
}

impl Column {
    /// Every column, in order.
    pub(super) const ALL: [Column; 11] = [
        Column::File,
        Column::Stream,
        Column::Opened,
        Column::Client,
        Column::Server,
        Column::Via,
        Column::Life,
        Column::Idle,
        Column::End,
        Column::By,
        Column::Request,
    ];

    /// What stands above it.
    pub(super) const fn heading(self) -> &'static str {
        match self {
            Column::File => "FILE",
            Column::Stream => "STREAM",
            Column::Opened => "OPENED",
            Column::Client => "CLIENT",
            Column::Server => "SERVER",
            Column::Via => "VIA",
            Column::Life => "LIFE",
            Column::Idle => "IDLE",
            Column::End => "END",
            Column::By => "BY",
            Column::Request => "REQUEST",
        }
    }

    /// Numbers stand to the right.
    pub(super) const fn is_right_aligned(self) -> bool {
        matches!(self, Column::Stream | Column::Life | Column::Idle)
    }
}

/// Columns of the close reason shown in a line.
const REASON_WIDTH: usize = 32;
/// Columns of a host and path, which may be as long as their sender likes.
const REQUEST_WIDTH: usize = 100;
/// Columns of VLANs and tunnels.
const VIA_WIDTH: usize = 32;

/// One connection's line, ready for a terminal.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) opened_at: String,
    pub(super) cells: [Cow<'a, str>; Column::ALL.len()],
    pub(super) kind: Cow<'a, str>,
    pub(super) details: Vec<Cow<'a, str>>,
}

impl<'a> Row<'a> {
    pub(super) fn new(connection: &'a Connection<'_>, files: &'a FileNames, details: Vec<String>) -> Row<'a> {
        let idle = connection.idle_before_end_s.filter(|_| connection.verdict.kind != "open");
        let opened_at = connection.opened_at.to_rfc3339();
        let cells = Column::ALL.map(|column| match column {
            Column::File => files.name(&connection.file).into(),
            Column::Stream => stream(connection).into(),
            Column::Opened => time_of_day(&opened_at, 3).to_owned().into(),
            Column::Client => address(&connection.client.address.to_string(), connection.client.port).into(),
            Column::Server => address(&connection.server.address.to_string(), connection.server.port).into(),
            Column::Via => cell(&connection.encapsulation.join(", "), VIA_WIDTH).into(),
            Column::Life => duration(connection.duration_s).into(),
            Column::Idle => idle.map(duration).unwrap_or_default().into(),
            Column::End => end(connection).into(),
            Column::By => connection.verdict.closed_by.as_deref().unwrap_or_default().into(),
            Column::Request => request(connection).into(),
        });
        let kind = connection.verdict.kind.as_ref().into();
        Row { opened_at, cells, kind, details: details.into_iter().map(Cow::Owned).collect() }
    }

    /// The day on which it was opened.
    pub(super) fn day(&self) -> &str {
        day(&self.opened_at)
    }

    pub(super) fn cell(&self, column: Column) -> &str {
        self.cells.get(column as usize).map_or("", |text| text)
    }

    /// The line by itself, as live capture shows it; it has no number of TCP's, only that of a stream of HTTP/2.
    pub(super) fn line(&self, ended_at: &str, h2_stream: Option<u32>, color: bool) -> String {
        let end = self.cell(Column::End);
        let fill = 14_usize.saturating_sub(end.width());
        let mut line = format!(
            "{}  {}{:fill$}  {:<7}",
            time_of_day(ended_at, 3),
            paint(&self.kind, end, color),
            "",
            self.cell(Column::By),
        );
        let _ = write!(line, "  {} -> {}", self.cell(Column::Client), self.cell(Column::Server));
        if let Some(stream) = h2_stream {
            let _ = write!(line, " HTTP/2 stream {stream}");
        }
        if !self.cell(Column::Via).is_empty() {
            let _ = write!(line, " via {}", self.cell(Column::Via));
        }
        let _ = write!(line, "  lived {}", self.cell(Column::Life));
        if !self.cell(Column::Idle).is_empty() {
            let _ = write!(line, ", idle {}", self.cell(Column::Idle));
        }
        let _ = write!(line, "  {}", self.cell(Column::Request));
        line.truncate(line.trim_end().len());
        line
    }
}

/// `7`; `7/11` is stream 11 of HTTP/2 on it.
fn stream(connection: &Connection<'_>) -> String {
    let number = |stream: Option<u32>| stream.map(|stream| stream.to_string()).unwrap_or_default();
    let tcp = number(connection.tcp_stream);
    if connection.h2_stream.is_some() { format!("{tcp}/{}", number(connection.h2_stream)) } else { tcp }
}

/// What was asked for: `example.org/ws`; the host only where it says more than the server's address.
pub(in crate::report) fn request(connection: &Connection<'_>) -> String {
    let handshake = &connection.handshake;
    let path = handshake.path.as_deref().unwrap_or_default();
    let server = &connection.server;
    let own = server.address.to_string();
    let known = [address(&own, server.port), own];
    let host = handshake
        .host
        .as_deref()
        .filter(|host| path.starts_with('/') && !known.contains(&(*host).to_owned()));
    cell(&format!("{}{path}", host.unwrap_or_default()), REQUEST_WIDTH)
}

/// `1001 "bye"`, `1006 timeout`, `refused 401`, `unknown (gap)`.
pub(in crate::report) fn end(connection: &Connection<'_>) -> String {
    let verdict = &connection.verdict;
    let label = terminal(&verdict.label);
    match (verdict.kind.as_ref(), &verdict.cause, &verdict.blind) {
        (_, Some(cause), _) => format!("{label} {cause}"),
        (_, _, Some(blind)) => format!("{label} ({blind})"),
        ("refused", ..) => match (connection.handshake.status, connection.teardown.kind.as_ref()) {
            (Some(status), _) => format!("refused {status}"),
            (None, "none") => "refused".to_owned(),
            (None, tcp) => format!("refused ({tcp})"),
        },
        ("coded", ..) => coded(connection),
        _ => label,
    }
}

fn coded(connection: &Connection<'_>) -> String {
    let closes = [&connection.close.client, &connection.close.server];
    let seen = closes.into_iter().flatten();
    let first =
        seen.clone().min_by(|a: &&Close<'_>, b: &&Close<'_>| (&a.at, a.packet).cmp(&(&b.at, b.packet)));
    let mut end = connection.verdict.label.clone().into_owned();
    if let Some(close) = first {
        if close.body == "malformed" {
            end += " (malformed)";
        }
        if !close.reason.is_empty() {
            let _ = write!(end, " \"{}\"", cell(&close.reason.replace('"', "\\\""), REASON_WIDTH));
        }
    }
    if !connection.verdict.clean {
        end += if seen.count() < 2 { " (unanswered)" } else { " (not clean)" };
    }
    end
}
