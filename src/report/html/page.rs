//! The page around pictures and table.

use super::shown::Shown;
use super::table::{self, Files, Row, kind_class};
use crate::report::figures::Figures;
use crate::report::model::{Input, Summary};
use crate::report::sockets::{Cutter, SharedEnd, Sockets};
use crate::report::text::heading::legs;
use crate::report::text::words::{counted, duration, grouped};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Connections and packets that a finding names on the page.
const FINDING_CONNECTIONS: usize = 12;
/// The kinds in the order of the summary, with their meaning.
const KINDS: [(&str, &str); 5] = [
    ("abnormal", "lost without a Close (1006)"),
    ("refused", "the opening handshake failed"),
    ("unknown", "a Close may have passed unseen"),
    ("coded", "closed with a Close frame"),
    ("open", "open when the capture ended"),
];

/// What stands above the table.
pub(super) struct Head<'a> {
    pub(super) inputs: &'a [Input],
    pub(super) summary: &'a Summary,
    pub(super) anomalies: &'a BTreeMap<String, u64>,
    pub(super) figures: &'a Figures,
    /// The numbers of the connections that the table lists.
    pub(super) listed: BTreeSet<u64>,
}

/// The page up to the first row of the table.
pub(super) fn head(head: &Head<'_>, pictures: &Markup) -> String {
    let answer = answer(head.summary, &head.figures.sockets);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("wsclose ", env!("CARGO_PKG_VERSION")));
                title { "WebSocket ends: " (answer) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#connections" { "To the table of connections" }
                header {
                    h1 { "How these WebSockets ended" }
                    p class="answer" { (answer) }
                    (inputs(head))
                }
                main {
                    section aria-labelledby="h-kinds" { h2 id="h-kinds" { "In short" } (kinds(head.summary)) }
                    section aria-labelledby="h-pictures" { h2 id="h-pictures" { "Pictures" } div class="pictures" { (pictures) } }
                    section aria-labelledby="h-findings" { h2 id="h-findings" { "What to do" } (findings(head)) }
                    (PreEscaped("<section aria-labelledby=\"connections\">"))
                    h2 id="connections" { "Connections" }
                    (left_out(head.summary.connections, head.listed.len()))
                    (controls())
                    (PreEscaped("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of connections\"><table id=\"table\">"))
                    (table::head())
                }
            }
        }
    };
    // The rows come next, one by one.
    let page = page.into_string();
    page.strip_suffix("</main></body></html>").map(str::to_owned).unwrap_or(page)
}

/// The page behind the last row.
pub(super) fn foot() -> String {
    let end = html! {
        (PreEscaped("</table></div><p id=\"none\" hidden>No connection matches.</p></section></main>"))
        footer { p { "Written by wsclose " (env!("CARGO_PKG_VERSION")) ". Packet numbers are Wireshark's " code { "frame.number" } "." } }
        script { (PreEscaped(SCRIPT)) }
    };
    end.into_string() + "</body></html>\n"
}

/// Nothing but the page's own style and script, by their hashes; nothing is fetched or sent, nothing runs from text.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// The report in one sentence, of WebSockets: two legs of one count once.
fn answer(summary: &Summary, sockets: &Sockets) -> String {
    let (all, abnormal, refused) = (sockets.all(), sockets.of("abnormal"), sockets.of("refused"));
    match (summary.connections, abnormal) {
        (0, _) => {
            return format!(
                "No WebSocket among {}.",
                counted(summary.other_tcp_connections, "TCP connection")
            );
        }
        (_, 0) => return without_abnormal(sockets),
        _ => {}
    }
    let start = match all {
        1 => "The one WebSocket ended abnormally".to_owned(),
        _ => format!("{} of {} ended abnormally", grouped(abnormal), counted(all, "WebSocket")),
    };
    let cut = match sockets.worst_cut() {
        Some(shared) if abnormal == 1 => format!(", {}", cut_by(&shared)),
        Some(shared) => {
            let them = if shared.count == abnormal { "all".to_owned() } else { grouped(shared.count) };
            format!("; {them} of them {}", cut_by(&shared))
        }
        None => String::new(),
    };
    let refused = match refused {
        0 => String::new(),
        _ => format!("; {} more {} refused", grouped(refused), was(refused)),
    };
    format!("{start}{cut}{refused}.")
}

const fn was(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

fn without_abnormal(sockets: &Sockets) -> String {
    let (all, of) = (sockets.all(), |kind: &str| sockets.of(kind));
    let rest: Vec<String> = [
        ("refused", format!("{} refused", was(of("refused")))),
        ("unknown", "ended unseen".to_owned()),
        ("open", format!("{} still open", was(of("open")))),
    ]
    .into_iter()
    .filter(|(kind, _)| of(kind) > 0)
    .map(
        |(kind, words)| {
            if all == 1 { format!("it {words}") } else { format!("{} {words}", grouped(of(kind))) }
        },
    )
    .collect();
    let rest = if rest.is_empty() { String::new() } else { format!("; {}", rest.join(", ")) };
    match all {
        1 => format!("The one WebSocket is not known to have ended abnormally{rest}."),
        _ => format!("None of {} is known to have ended abnormally{rest}.", counted(all, "WebSocket")),
    }
}

fn cut_by(shared: &SharedEnd<'_>) -> String {
    let server = shared.server.unwrap_or("server");
    let cut = match shared.by {
        Cutter::Server => format!("cut by {server}"),
        Cutter::Client if shared.count == 1 => format!("cut by a client of {server}"),
        Cutter::Client => format!("cut by clients of {server}"),
        Cutter::Proxy => "cut by a proxy between client and server".to_owned(),
        Cutter::Between => format!("reset by something between the ends on the way to {server}"),
        Cutter::Timeout => format!("timed out: an end, or the path to {server}, had stopped answering"),
        Cutter::Unclear => format!("at {server}"),
    };
    let silence = shared.silence_s.map(|seconds| format!(" after {} of silence", duration(seconds)));
    cut + &silence.unwrap_or_default()
}

fn inputs(head: &Head<'_>) -> Markup {
    let packets = head.inputs.iter().map(|input| input.packets).fold(0, u64::saturating_add);
    let first = head.inputs.iter().filter_map(|input| input.first_packet_at.as_deref()).min();
    let last = head.inputs.iter().filter_map(|input| input.last_packet_at.as_deref()).max();
    html! {
        p class="inputs" {
            @if let (Some(first), Some(last)) = (first, last) { (moment(first)) " to " (moment(last)) " UTC, " }
            (counted(packets, "packet")) ", " (counted(head.summary.other_tcp_connections, "other TCP connection"))
            @if head.summary.encrypted_connections > 0 { ", " (counted(head.summary.encrypted_connections, "TLS connection")) " not decrypted" }
        }
        details {
            summary { (counted(head.inputs.len() as u64, "input")) }
            ol {
                @for input in head.inputs {
                    li {
                        (Shown::new(&input.path)) ": " (counted(input.packets, "packet"))
                        @if input.dropped_packets > 0 { ", " (counted(input.dropped_packets, "packet")) " lost by the capture itself" }
                        @if let Some(error) = &input.error { strong { ", not read whole: " } (Shown::new(&error.reason)) }
                    }
                }
            }
            @if !head.anomalies.is_empty() {
                p { "Oddities: " @for (place, (name, count)) in head.anomalies.iter().enumerate() { @if place > 0 { ", " } (Shown::new(name)) " " (grouped(*count)) } }
            }
        }
    }
}

/// `2026-11-22 20:14:38`.
fn moment(rfc3339: &str) -> Shown {
    Shown::new(&rfc3339.get(..19).unwrap_or(rfc3339).replace('T', " "))
}

fn kinds(summary: &Summary) -> Markup {
    let list = |counts: &BTreeMap<String, u64>| {
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        html! { @for (name, count) in counts { li { (Shown::new(name)) " " strong { (grouped(*count)) } } } }
    };
    html! {
        ul class="kinds" {
            @for (kind, meaning) in KINDS {
                @if let Some(count) = summary.by_kind.get(kind) {
                    li class=(kind_class(kind)) { strong class="big" data-kind-count=(kind) { (grouped(*count)) } span { (kind) } small { (meaning) } }
                }
            }
        }
        @if let Some(legs) = legs(summary.proxied_pairs) {
            p { "Counted by connection; " (legs) "." }
        }
        div class="lists" {
            div { h3 { "By label" } ul data-list="by_label" { (list(&summary.by_label)) } }
            @if !summary.by_cause.is_empty() { div { h3 { "Abnormal, by cause" } ul data-list="by_cause" { (list(&summary.by_cause)) } } }
            @if !summary.by_closed_by.is_empty() { div { h3 { "Begun by" } ul data-list="by_closed_by" { (list(&summary.by_closed_by)) } } }
        }
    }
}

fn findings(head: &Head<'_>) -> Markup {
    let findings = &head.summary.findings;
    html! {
        @if findings.is_empty() { p { "Nothing was found that calls for advice." } }
        ol class="findings" {
            @for finding in findings {
                li {
                    p { strong { (counted(finding.count, "connection")) ", " (Shown::new(&finding.confidence)) ": " } (Shown::new(&finding.text)) }
                    p class="advice" { (Shown::new(&finding.advice)) }
                    @if !finding.connections.is_empty() {
                        p class="where" {
                            "Connections "
                            @for id in finding.connections.iter().take(FINDING_CONNECTIONS) { (link(*id, &head.listed)) " " }
                            @if finding.connections.len() > FINDING_CONNECTIONS { "…" }
                        }
                    }
                }
            }
        }
    }
}

/// A connection's number, which leads to its row where it has one.
fn link(id: u64, listed: &BTreeSet<u64>) -> Markup {
    html! { @if listed.contains(&id) { a href=(format!("#c{id}")) { (id) } } @else { (id) } }
}

fn left_out(connections: u64, shown: usize) -> Markup {
    let left_out = connections.saturating_sub(shown as u64);
    html! {
        @if shown == 0 && connections > 0 {
            p class="left-out" { "Connections are counted above; none is listed." }
        } @else if left_out > 0 {
            p class="left-out" {
                "The " (grouped(shown as u64)) " worst of " (counted(connections, "connection")) " are listed: abnormal ends first, then refusals, "
                "other codes, unknown ends. The pictures and numbers above count all. " code { "--format csv" } " and "
                code { "--format json" } " list the other " (grouped(left_out)) "."
            }
        }
    }
}

/// For readers with JavaScript, which unhides it.
fn controls() -> Markup {
    html! {
        form id="controls" hidden {
            label { "Search " input id="search" type="search" autocomplete="off"; }
            label { "Kind " select id="kind" { option value="" { "all" } @for (kind, _) in KINDS { option value=(kind) { (kind) } } } }
            label { "Begun by " select id="by" { option value="" { "all" } @for by in crate::report::filter::CLOSED_BY { option value=(by) { (by) } } } }
            button type="button" id="open-all" { "Open all shown" }
            output id="count" role="status" {}
        }
    }
}

/// A row, ready to be written.
pub(super) fn row(row: &Row, is_drawn: bool, files: &Files) -> String {
    row.render(is_drawn, files).into_string()
}
