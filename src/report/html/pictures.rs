//! The charts of a report, from its figures.

use super::charts::{Chart, Column, Mark, Part};
use crate::diagnosis::idle_limits::LIMITS;
use crate::report::figures::{Addresses, BINS_PER_DECADE, Figures, Histogram, Kinds, bin_of, bin_start};
use crate::report::model::Summary;
use crate::report::text::words::{counted, duration};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Labels with a colour of their own in the timeline; the rest are one.
const LABELS: usize = 7;
/// Addresses with a bar of their own.
const ADDRESSES: usize = 10;
/// The kinds, in the order in which they are stacked.
const KINDS: [&str; 5] = ["abnormal", "refused", "unknown", "coded", "open"];
/// The part of a chart that counts one thing only.
const COUNT: &str = "count";

/// All pictures.
pub(super) fn pictures(figures: &Figures, summary: &Summary) -> Markup {
    html! {
        (ends(figures, summary))
        (silences(&figures.silences))
        (durations("lifetimes", "Lifetimes", "from the first packet to the end, of connections that ended.", &figures.lifetimes))
        (addresses("servers", "Ends by server", "Server", &figures.servers))
        (addresses("clients", "Ends by client", "Client", &figures.clients))
        (durations("reconnects", "Reconnect delays", "from the latest end of the same client's connections to the same server to its next opening.", &figures.reconnects()))
        (durations("round-trips", "Ping round trips", "from Ping to Pong where the capture was taken: each sender's median.", &figures.round_trips))
    }
}

fn ends(figures: &Figures, summary: &Summary) -> Markup {
    let mut labels: Vec<(&String, &u64)> =
        summary.by_label.iter().filter(|(label, _)| *label != "open").collect();
    labels.sort_by_key(|(label, count)| (std::cmp::Reverse(**count), *label));
    let own: Vec<String> = labels.into_iter().take(LABELS).map(|(label, _)| label.clone()).collect();
    let width = figures.ends.width_ms();
    let first = figures.ends.columns().next().map(|(at, _)| at).unwrap_or_default();
    let columns: Vec<Column> = figures
        .ends
        .columns()
        .map(|(at, counts)| {
            let place = usize::try_from(at.nanos_since(first) / width.saturating_mul(1_000_000)).unwrap_or(0);
            let text = at.to_rfc3339();
            Column { name: text.clone(), place, tick: None, parts: by_label(&own, counts) }
        })
        .collect();
    let columns = with_time_ticks(columns, width);
    let mut parts = own;
    if columns.iter().any(|column| column.parts.iter().any(|part| part.name == "other")) {
        parts.push("other".to_owned());
    }
    let about = format!("by label; each column is {}.", span(width));
    let empty = "No connection ended in this capture.";
    Chart { id: "ends", title: "Ends over time", about, of: "From", columns, marks: Vec::new(), parts, empty }
        .upright()
}

#[expect(clippy::cast_precision_loss, reason = "a width of weeks in milliseconds is far below 2^52")]
fn span(width_ms: i64) -> String {
    match width_ms {
        86_400_000 => "a day".to_owned(),
        604_800_000 => "a week".to_owned(),
        _ => duration(width_ms as f64 / 1e3),
    }
}

fn by_label(own: &[String], counts: &BTreeMap<String, u64>) -> Vec<Part> {
    let count = |name: &String| counts.get(name).copied().unwrap_or(0);
    let mut parts: Vec<Part> =
        own.iter().map(|name| Part { name: name.clone(), count: count(name) }).collect();
    let other: u64 = counts.iter().filter(|(name, _)| !own.contains(name)).map(|(_, count)| count).sum();
    if other > 0 {
        parts.push(Part { name: "other".to_owned(), count: other });
    }
    parts.retain(|part| part.count > 0);
    parts
}

/// Names some columns by their time of day, or by their day where they are long.
fn with_time_ticks(mut columns: Vec<Column>, width_ms: i64) -> Vec<Column> {
    let mut next = 0;
    for column in &mut columns {
        if column.place >= next {
            let range = if width_ms >= 14_400_000 {
                0..10
            } else if width_ms < 1_000 {
                11..23
            } else {
                11..19
            };
            column.tick = column.name.get(range).map(str::to_owned);
            next = column.place + 10;
        }
    }
    columns
}

fn silences(silences: &Histogram) -> Markup {
    let columns = bins(silences);
    let first = columns.first().map_or(0, |column| column.place);
    let shown = first..first + columns.len();
    let marks = limits().into_iter().filter(|(seconds, _)| shown.contains(&bin_of(*seconds)));
    let marks: Vec<Mark> = marks
        .map(|(seconds, products)| Mark {
            place: ((seconds / bin_start(first)).log10() * BINS_PER_DECADE as f64).max(0.0),
            name: mark_name(seconds),
            about: products,
        })
        .collect();
    let columns = from_zero(columns, first);
    let about =
        "from the last payload to the end. Marked: known idle limits of proxies, servers and firewalls."
            .to_owned();
    let (id, title, of, parts) = ("silences", "Silence before abnormal ends", "From", vec![COUNT.to_owned()]);
    Chart { id, title, about, of, columns, marks, parts, empty: "No end was abnormal." }.upright()
}

/// Each known idle limit once, in seconds, with the products that have it.
fn limits() -> Vec<(f64, String)> {
    let mut all: Vec<(f64, String)> = Vec::new();
    for limit in LIMITS {
        match all.last_mut().filter(|(seconds, _)| *seconds == limit.seconds) {
            Some((_, products)) => *products = format!("{products}; {}", limit.product),
            None => all.push((limit.seconds, format!("{}: {}", duration(limit.seconds), limit.product))),
        }
    }
    // A mark needs room for its name: near ones are left to the numbers.
    let mut last = 0.0;
    all.retain(|(seconds, _)| {
        let has_room = *seconds >= last * 1.35;
        last = if has_room { *seconds } else { last };
        has_room
    });
    all
}

fn mark_name(seconds: f64) -> String {
    if seconds < 3_600.0 { format!("{seconds:.0} s") } else { duration(seconds) }
}

fn durations(id: &str, title: &str, about: &str, histogram: &Histogram) -> Markup {
    let columns = bins(histogram);
    let first = columns.first().map_or(0, |column| column.place);
    let about = about.to_owned();
    let (of, marks, parts) = ("From", Vec::new(), vec![COUNT.to_owned()]);
    let empty = "There were none in this capture.";
    Chart { id, title, about, of, columns: from_zero(columns, first), marks, parts, empty }.upright()
}

fn bins(histogram: &Histogram) -> Vec<Column> {
    let every = match histogram.bins().count() {
        0..20 => BINS_PER_DECADE / 2,
        20..50 => BINS_PER_DECADE,
        _ => 2 * BINS_PER_DECADE,
    };
    let column = |(bin, count): (usize, u64)| {
        let (from, to) = (bin_start(bin), bin_start(bin + 1));
        let is_named = bin.is_multiple_of(every);
        Column {
            name: format!("{} to {}", short(from), short(to)),
            place: bin,
            tick: is_named.then(|| short(from)),
            parts: vec![Part { name: COUNT.to_owned(), count }],
        }
    };
    histogram.bins().map(column).collect()
}

/// A bin's end in few digits.
fn short(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.2} ms", seconds * 1e3),
        ..0.01 => format!("{:.1} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        ..10.0 => format!("{seconds:.1} s"),
        ..120.0 => format!("{seconds:.0} s"),
        _ => duration(seconds),
    }
}

fn from_zero(mut columns: Vec<Column>, first: usize) -> Vec<Column> {
    columns.iter_mut().for_each(|column| column.place -= first);
    let is_named = columns.iter().any(|column| column.tick.is_some());
    if let Some(first) = columns.first_mut().filter(|_| !is_named) {
        first.tick = first.name.split(" to ").next().map(str::to_owned);
    }
    columns
}

fn addresses(id: &str, title: &str, of: &str, addresses: &Addresses) -> Markup {
    let worst = addresses.worst();
    let parts = |kinds: &Kinds| -> Vec<Part> {
        KINDS
            .iter()
            .map(|kind| Part { name: (*kind).to_owned(), count: kinds.get(*kind).copied().unwrap_or(0) })
            .collect()
    };
    let (own, rest) = worst.split_at(worst.len().min(ADDRESSES));
    let mut columns: Vec<Column> = own
        .iter()
        .enumerate()
        .map(|(place, (name, kinds))| Column {
            name: (*name).to_owned(),
            place,
            tick: None,
            parts: parts(kinds),
        })
        .collect();
    let mut others = addresses.beyond.clone();
    for (_, kinds) in rest {
        kinds.iter().for_each(|(kind, count)| *others.entry(kind.clone()).or_default() += count);
    }
    if !others.is_empty() {
        let and_more = if addresses.beyond.is_empty() { "" } else { " and more" };
        let name = format!("{}{and_more}", counted(rest.len() as u64, "other"));
        columns.push(Column { name, place: columns.len(), tick: None, parts: parts(&others) });
    }
    let seen = |kind: &&&str| {
        columns.iter().any(|column| column.parts.iter().any(|part| part.name == ***kind && part.count > 0))
    };
    let parts = KINDS.iter().filter(seen).map(|kind| (*kind).to_owned()).collect();
    let about = "by kind, those with the most abnormal ends first.".to_owned();
    Chart { id, title, about, of, columns, marks: Vec::new(), parts, empty: "There were none." }.lying()
}
