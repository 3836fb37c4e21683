//! How many ended how, and by whom.

use super::paint;
use super::words::grouped;
use crate::report::build::Outline;
use crate::report::model::Verdict;
use crate::websocket::close_code::CloseCode;
use std::collections::BTreeMap;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

/// Counts by kind, by detail (code, cause, status, ...), by who began it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: BTreeMap<(usize, String), BTreeMap<String, u64>>,
    refused: u64,
    waiting: u64,
}

/// Connections that did not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unopened {
    /// Their handshake failed.
    pub(super) refused: u64,
    /// Their request was not sent, or not answered yet, when the capture ended.
    pub(super) waiting: u64,
}

/// The kinds in the order of the summary, with their meaning.
const KINDS: [(&str, &str); 5] = [
    ("coded", "closed with a Close frame"),
    ("abnormal", "abnormal: lost without a Close (1006)"),
    ("refused", "refused: the opening handshake failed"),
    ("unknown", "unknown: a Close may have passed unseen"),
    ("open", "open when the capture ended"),
];

/// How far an opening came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing of a WebSocket was seen.
    Silent,
    /// A request, and no whole answer.
    Asked,
    /// Further, or the capture lacks it.
    Beyond,
}

/// What ended it (`teardown.kind`), the status of the answer to its request, and how far it came.
type End<'a> = (&'a str, Option<u16>, Stage);

impl Tally {
    pub(super) fn count(&mut self, outline: Outline<'_>) {
        let Outline { verdict, teardown, handshake, status, is_silent } = outline;
        let stage = match handshake {
            "request" => Stage::Asked,
            "none" if is_silent => Stage::Silent,
            _ => Stage::Beyond,
        };
        self.refused += u64::from(verdict.kind == "refused");
        self.waiting += u64::from(verdict.kind == "open" && stage != Stage::Beyond);
        *self.place(verdict, (teardown, status, stage)) += 1;
    }

    /// Those that did not become a WebSocket, or not in the capture.
    pub(super) fn unopened(&self) -> Unopened {
        Unopened { refused: self.refused, waiting: self.waiting }
    }

    /// Takes back what [`Tally::count`] counted of a connection that was neither refused nor reset nor closed.
    pub(super) fn uncount(&mut self, verdict: &Verdict<'_>) {
        let count = self.place(verdict, ("", None, Stage::Beyond));
        *count = count.saturating_sub(1);
    }

    fn place(&mut self, verdict: &Verdict<'_>, end: End<'_>) -> &mut u64 {
        let order = KINDS.iter().position(|(kind, _)| *kind == verdict.kind).unwrap_or(KINDS.len());
        let by = verdict.closed_by.as_deref().unwrap_or_default().to_owned();
        let detail = detail(verdict, end);
        let counts = self.counts.entry((order, detail)).or_default();
        counts.entry(by).or_default()
    }

    pub(super) fn write(&self, out: &mut impl Write, color: bool) -> io::Result<()> {
        if !self.counts.is_empty() {
            writeln!(out)?;
        }
        let width = self.counts.keys().map(|(_, detail)| detail.width()).max().unwrap_or(0);
        for (order, (kind, meaning)) in KINDS.iter().enumerate() {
            let of_kind: Vec<_> = self.counts.iter().filter(|((of, _), _)| *of == order).collect();
            let total: u64 = of_kind.iter().flat_map(|(_, by)| by.values()).sum();
            if total == 0 {
                continue;
            }
            writeln!(out, "{}", paint(kind, &format!("{:>6}  {meaning}", grouped(total)), color))?;
            let told = |((_, detail), by): &(&(usize, String), &BTreeMap<String, u64>)| {
                !detail.is_empty() && by.values().any(|count| *count > 0)
            };
            for ((_, detail), by) in of_kind.into_iter().filter(told) {
                let count = grouped(by.values().sum());
                let fill = width.saturating_sub(detail.width());
                let line = format!("{count:>13}  {detail}{:fill$}  {}", "", who(by));
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

fn who(by: &BTreeMap<String, u64>) -> String {
    let mut who: Vec<_> = by.iter().filter(|(who, count)| **count > 0 && !who.is_empty()).collect();
    who.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    who.iter().map(|(who, count)| format!("{who} {}", grouped(**count))).collect::<Vec<_>>().join(", ")
}

/// What tells ends of one kind apart.
fn detail(verdict: &Verdict<'_>, (end, status, stage): End<'_>) -> String {
    match (verdict.kind.as_ref(), &verdict.cause, &verdict.blind) {
        ("coded", ..) => code(&verdict.label),
        ("abnormal", Some(cause), _) => format!("{cause}: {}", cause_meaning(cause, end)),
        ("unknown", _, Some(blind)) => format!("{blind}: {}", blind_meaning(blind)),
        ("refused", ..) => match status {
            Some(status) => format!("status {status}"),
            // A part of an answer may have come.
            None if stage == Stage::Asked => "not answered whole".to_owned(),
            None => "no answer".to_owned(),
        },
        ("open", ..) => match stage {
            Stage::Silent => "no Upgrade request yet".to_owned(),
            Stage::Asked => "an Upgrade request that was not answered yet".to_owned(),
            Stage::Beyond => String::new(),
        },
        _ => String::new(),
    }
}

fn code(label: &str) -> String {
    match label.parse().ok().and_then(|code| CloseCode(code).name()) {
        Some(name) => format!("{label} {name}"),
        None => label.to_owned(),
    }
}

/// What ended is TCP, or a stream of HTTP/2, or that stream with its connection.
fn cause_meaning(cause: &str, end: &str) -> &'static str {
    match (cause, end) {
        ("rst", "rst_stream") => "RST_STREAM cut the HTTP/2 stream off",
        ("rst", _) => "TCP was reset",
        ("fin", "end_stream") => "END_STREAM ended the HTTP/2 stream, the WebSocket was not closed",
        ("fin", "goaway") => "GOAWAY gave up the HTTP/2 connection, the WebSocket was not closed",
        ("fin", _) => "TCP was closed, the WebSocket was not",
        _ => "one end had stopped answering",
    }
}

fn blind_meaning(blind: &str) -> &'static str {
    match blind {
        "gap" => "the capture lost packets",
        "encrypted" => "TLS without its keys",
        "truncated" => "packets were cut by the snaplen",
        "one-sided" => "one direction was not captured to its end",
        "started-late" => "the capture began too late to tell",
        "desynchronized" => "frame boundaries were lost",
        "evicted" => "dropped to keep within the limits",
        _ => "the capture reports lost packets",
    }
}
