//! The table of connections: a row each, which opens into its ladder.

use super::ladder::{self, Rung};
use super::shown::Shown;
use crate::analyzer::ladder::Leg;
use crate::report::diagnosis::Diagnosis;
use crate::report::model::{Connection, Endpoint, Input};
use crate::report::text::row::{end, request};
use crate::report::text::words::{address, counted, duration, stream_filter, untold};
use crate::time::Timestamp;
use maud::{Markup, html};
use std::collections::HashMap;

/// The columns: what stands above them, and whether they are sorted as numbers.
const COLUMNS: [(&str, bool); 9] = [
    ("#", true),
    ("Opened", false),
    ("Client", false),
    ("Server", false),
    ("Life", true),
    ("Silence", true),
    ("End", false),
    ("By", false),
    ("Request", false),
];

/// A connection's row, and what its ladder is drawn from.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) opened_at: Timestamp,
    pub(super) id: u64,
    /// The row as it stands in the table.
    line: Markup,
    /// Why it ended so: what opens it.
    why: Shown,
    /// The input that holds its first packet.
    file: String,
    /// What is told beside the ladder.
    details: Markup,
    /// Proxy or network, where that began the end.
    middle: Option<&'static str>,
    kind: String,
    by: String,
    rungs: Vec<Rung>,
    /// Packets that are not among them, where all were read.
    left_out: u64,
}

/// The inputs' numbers, as verdicts name them; none where there is but one.
#[derive(Debug, Default)]
pub(super) struct Files(HashMap<String, usize>);

impl Files {
    pub(super) fn new(inputs: &[Input]) -> Files {
        let numbered = inputs.iter().map(|input| input.path.clone()).zip(1..).filter(|_| inputs.len() > 1);
        Files(numbered.collect())
    }

    fn number(&self, path: &str) -> Option<usize> {
        self.0.get(path).copied()
    }
}

/// How bad an end is, the worst first: where not all connections find room, these are listed.
pub(super) fn severity(connection: &Connection<'_>) -> u8 {
    let verdict = &connection.verdict;
    match (verdict.kind.as_ref(), verdict.label.as_ref()) {
        ("abnormal", _) => 0,
        ("refused", _) => 1,
        ("coded", "1000" | "1001" | "1005") if verdict.clean => 5,
        ("coded", _) => 2,
        ("unknown", _) => 3,
        _ => 4,
    }
}

impl Row {
    pub(super) fn new(connection: &Connection<'_>) -> Self {
        let verdict = &connection.verdict;
        let rung = |item: &crate::report::model::Evidence<'_>| Rung {
            at: item.at,
            packet: item.packet,
            file: Some(&item.file).filter(|file| **file != connection.file).map(|file| file.to_string()),
            from_client: item.from == "client",
            leg: Leg::Whole,
            what: item.what.clone().into_owned(),
        };
        Row {
            opened_at: connection.opened_at,
            id: connection.id,
            line: line(connection),
            why: Shown::new(&verdict.why),
            file: connection.file.clone().into_owned(),
            details: details(connection),
            middle: match verdict.closed_by.as_deref() {
                Some("proxy") => Some("proxy"),
                Some("network") => Some("network"),
                _ => None,
            },
            kind: verdict.kind.clone().into_owned(),
            by: verdict.closed_by.as_deref().unwrap_or("nobody").to_owned(),
            rungs: connection.evidence.iter().map(rung).collect(),
            left_out: 0,
        }
    }

    /// Shows its last packets, `left_out` others left out, beside those that are evidence, which went over `own`.
    pub(super) fn add_rungs(&mut self, mut rungs: Vec<Rung>, own: Leg, left_out: u64) {
        let evidence = std::mem::take(&mut self.rungs);
        let known = |rungs: &[Rung], one: &Rung| {
            rungs.iter().position(|it| (it.leg, it.packet, it.at) == (own, one.packet, one.at))
        };
        for mut one in evidence {
            one.leg = own;
            match known(&rungs, &one).and_then(|place| rungs.get_mut(place)) {
                Some(rung) => rung.add_evidence(&one.what),
                None => rungs.push(one),
            }
        }
        rungs.sort_by_key(|rung| (rung.at, rung.packet));
        (self.rungs, self.left_out) = (rungs, left_out);
    }

    /// The row with what it opens into; `is_drawn`: with its picture, and not the list alone.
    pub(super) fn render(&self, is_drawn: bool, files: &Files) -> Markup {
        html! {
            tbody id=(format!("c{}", self.id)) data-kind=(Shown::new(&self.kind)) data-by=(Shown::new(&self.by)) {
                (self.line)
                tr class="detail" {
                    td colspan=(COLUMNS.len()) {
                        details {
                            summary { (self.why) }
                            div class="inside" {
                                @if is_drawn && !self.rungs.is_empty() {
                                    div class="draw" tabindex="0" role="region" aria-label="Ladder diagram" { (ladder::draw(&self.rungs, self.begun(), self.middle)) }
                                }
                                div {
                                    (self.list(files))
                                    p { "Capture: " (Shown::new(&self.file)) @if let Some(number) = files.number(&self.file) { " (file " (number) ")" } }
                                    (self.details)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// When it was opened, or its other leg was, if that came before: packets' times count from there.
    fn begun(&self) -> Timestamp {
        self.rungs.first().map_or(self.opened_at, |rung| rung.at.min(self.opened_at))
    }

    /// The same packets in words.
    fn list(&self, files: &Files) -> Markup {
        let opened = self.begun();
        html! {
            ol class="packets" {
                @for rung in &self.rungs {
                    li {
                        span class="at" { "+" (ladder::offset(rung.at, opened)) }
                        " packet " (rung.packet)
                        @if let Some(file) = &rung.file {
                            " of " @match files.number(file) { Some(number) => { "file " (number) } None => { (Shown::new(file)) } }
                        }
                        ", " (rung.sender()) ": "
                        (Shown::new(&rung.what))
                    }
                }
            }
            @if self.left_out > 0 { p { (counted(self.left_out, "earlier packet")) " that prove nothing are not shown." } }
        }
    }
}

/// The table's head.
pub(super) fn head() -> Markup {
    html! {
        thead {
            tr {
                @for (place, (name, is_number)) in COLUMNS.iter().enumerate() {
                    th scope="col" data-column=(place) data-number=(is_number) { (name) }
                }
            }
        }
    }
}

fn line(connection: &Connection<'_>) -> Markup {
    let silence = connection.idle_before_end_s.filter(|_| connection.verdict.kind != "open");
    let opened_at = connection.opened_at.to_rfc3339();
    let name = |end: &crate::report::model::Address| address(&end.address.to_string(), end.port);
    html! {
        tr class="line" {
            td data-value=(connection.id) { a href=(format!("#c{}", connection.id)) { (connection.id) } }
            td data-value=(opened_at) { (day_and_time(&opened_at)) }
            td { (name(&connection.client)) }
            td { (name(&connection.server)) }
            td class="number" data-value=(connection.duration_s) { (duration(connection.duration_s)) }
            td class="number" data-value=(silence.unwrap_or(-1.0)) { (silence.map(duration).unwrap_or_default()) }
            td { span class=(format!("end {}", kind_class(&connection.verdict.kind))) { (Shown::new(&end(connection))) } }
            td { (Shown::new(connection.verdict.closed_by.as_deref().unwrap_or_default())) }
            td class="request" { (Shown::new(&request(connection))) }
        }
    }
}

/// A kind as a class of the style sheet.
pub(super) fn kind_class(kind: &str) -> &'static str {
    match kind {
        "coded" => "k-coded",
        "abnormal" => "k-abnormal",
        "refused" => "k-refused",
        "unknown" => "k-unknown",
        _ => "k-open",
    }
}

/// `2026-11-22 20:14:38.123`.
fn day_and_time(rfc3339: &str) -> String {
    rfc3339.get(..23).unwrap_or(rfc3339).replace('T', " ")
}

fn details(connection: &Connection<'_>) -> Markup {
    let kind = &*connection.verdict.kind;
    html! {
        @if let Some(stream) = connection.tcp_stream {
            p class="filter" { "In Wireshark: " code { @if let Some(filter) = stream_filter(connection) { (filter) } @else { "tcp.stream eq " (stream) } } }
        }
        dl {
            @if let Some(stream) = connection.h2_stream { dt { "HTTP/2 stream" } dd { (stream) } }
            dt { "Client was told" } dd { (told(&connection.endpoints.client, kind)) }
            dt { "Server was told" } dd { (told(&connection.endpoints.server, kind)) }
            @for (name, value) in asked(connection) { dt { (name) } dd { (Shown::new(value)) } }
            @for one in &connection.diagnosis { dt { "Diagnosis, " (Shown::new(&one.confidence)) } dd { (diagnosis(one)) } }
            @if !connection.anomalies.is_empty() { dt { "Odd" } dd { (Shown::new(&connection.anomalies.join(", "))) } }
        }
    }
}

fn told(endpoint: &Endpoint<'_>, kind: &str) -> Markup {
    html! {
        @match endpoint.code {
            Some(code) => { (code) " (" (Shown::new(&endpoint.certainty)) ")" }
            None => (untold(kind, &endpoint.certainty)),
        }
        ": " (Shown::new(&endpoint.why))
    }
}

fn diagnosis(one: &Diagnosis<'_>) -> Markup {
    html! { (Shown::new(&one.text)) @if let Some(advice) = &one.advice { br; strong { "Advice: " } (Shown::new(advice)) } }
}

/// What the handshake tells of the ends.
fn asked<'a>(connection: &'a Connection<'_>) -> impl Iterator<Item = (&'static str, &'a str)> {
    let handshake = &connection.handshake;
    let values = [
        ("Host", handshake.host.as_deref()),
        ("Path", handshake.path.as_deref()),
        ("Origin", handshake.origin.as_deref()),
        ("User agent", handshake.user_agent.as_deref()),
        ("Server software", handshake.server.as_deref()),
        ("Subprotocol", handshake.subprotocol.as_deref()),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, value?)))
}
