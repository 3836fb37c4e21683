//! What the pictures of a report are drawn from: counts over its connections, each from fields of the JSON report.
//!
//! All of it is bounded: bins, not values; the rest of many addresses in one sum. Only reconnects need times, of so many
//! connections at most.

use super::model::Connection;
use super::sockets::Sockets;
use super::text::words::address;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Bins of a histogram for each power of ten.
pub const BINS_PER_DECADE: usize = 8;
/// The first bin's lower end, in seconds; what is shorter counts there.
const FIRST_S: f64 = 1e-4;
/// Up to 10^7 s, which is four months; what is longer counts in the last.
const BINS: usize = BINS_PER_DECADE * 11;
/// Columns of the timeline.
const COLUMNS_MAX: i64 = 60;
/// Labels told apart in the timeline; more codes than that is a scan, not a service.
const LABELS_MAX: usize = 64;
/// Addresses told apart, and pairs of them whose reconnects are counted.
const ADDRESSES_MAX: usize = 65_536;
/// Connections whose times are remembered for reconnects, 32 bytes each: an end may be reported long after the
/// connection that followed on it, so that all are needed.
const TIMES_MAX: usize = 1 << 20;
/// Widths of a column of the timeline, each a multiple of the one before, in milliseconds.
const WIDTHS_MS: [i64; 17] = [
    1,
    10,
    100,
    1_000,
    5_000,
    15_000,
    60_000,
    300_000,
    900_000,
    3_600_000,
    14_400_000,
    86_400_000,
    604_800_000,
    // Clocks that jump from 1970 to today or beyond still make few columns.
    4 * 604_800_000,
    48 * 604_800_000,
    480 * 604_800_000,
    4_800 * 604_800_000,
];

/// How many durations fall into each bin; bins are as wide as they are long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bins: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { bins: vec![0; BINS] }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn add(&mut self, seconds: f64) {
        if let Some(bin) = self.bins.get_mut(bin_of(seconds)) {
            *bin += 1;
        }
    }

    /// Each bin between the first and the last that is not empty: its number and its count.
    pub fn bins(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let first = self.bins.iter().position(|count| *count > 0).unwrap_or(BINS);
        let last = self.bins.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        self.bins.iter().copied().enumerate().take(last).skip(first)
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bins.iter().sum()
    }
}

/// The bin that a duration falls into.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, and NaN is 0")]
pub fn bin_of(seconds: f64) -> usize {
    // A value on the edge belongs above it, whatever the logarithm's last bit says.
    let place = ((seconds / FIRST_S).log10() * BINS_PER_DECADE as f64 + 1e-9).floor();
    (place.max(0.0) as usize).min(BINS - 1)
}

/// The lower end of a bin, in seconds.
#[must_use]
pub fn bin_start(bin: usize) -> f64 {
    FIRST_S * 10_f64.powf(bin as f64 / BINS_PER_DECADE as f64)
}

/// Ends over time, by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Index into [`WIDTHS_MS`].
    width: usize,
    columns: BTreeMap<i64, BTreeMap<String, u64>>,
    labels: BTreeSet<String>,
}

impl Timeline {
    fn add(&mut self, at: Timestamp, label: &str) {
        let label =
            if self.labels.contains(label) || self.labels.len() < LABELS_MAX { label } else { "other" };
        self.labels.insert(label.to_owned());
        let column = at.nanos().div_euclid(self.width_ms().saturating_mul(1_000_000));
        *self.columns.entry(column).or_default().entry(label.to_owned()).or_default() += 1;
        while self.span() > COLUMNS_MAX && self.width + 1 < WIDTHS_MS.len() {
            self.widen();
        }
    }

    fn span(&self) -> i64 {
        let ends = self.columns.keys().next().zip(self.columns.keys().next_back());
        ends.map_or(0, |(first, last)| last.saturating_sub(*first).saturating_add(1))
    }

    fn widen(&mut self) {
        let before = self.width_ms();
        self.width += 1;
        let factor = self.width_ms() / before;
        for (column, counts) in std::mem::take(&mut self.columns) {
            let wide = self.columns.entry(column.div_euclid(factor)).or_default();
            counts.into_iter().for_each(|(label, count)| *wide.entry(label).or_default() += count);
        }
    }

    /// How long a column is, in milliseconds.
    #[must_use]
    pub fn width_ms(&self) -> i64 {
        WIDTHS_MS.get(self.width).copied().unwrap_or(i64::MAX)
    }

    /// Each column that is not empty: when it begins, and how many ended with each label.
    pub fn columns(&self) -> impl Iterator<Item = (Timestamp, &BTreeMap<String, u64>)> {
        let width = self.width_ms().saturating_mul(1_000_000);
        self.columns
            .iter()
            .map(move |(column, counts)| (Timestamp::from_nanos(column.saturating_mul(width)), counts))
    }
}

/// How many connections of an address ended how: by kind.
pub type Kinds = BTreeMap<String, u64>;

/// Ends by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    counts: HashMap<String, Kinds>,
    /// Of addresses beyond those that are told apart.
    pub beyond: Kinds,
}

impl Addresses {
    fn add(&mut self, address: String, kind: &str) {
        let is_told_apart = self.counts.len() < ADDRESSES_MAX || self.counts.contains_key(&address);
        let kinds = if is_told_apart { self.counts.entry(address).or_default() } else { &mut self.beyond };
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }

    /// The addresses with the most abnormal ends, then with the most.
    #[must_use]
    pub fn worst(&self) -> Vec<(&str, &Kinds)> {
        let mut all: Vec<_> = self.counts.iter().map(|(address, kinds)| (address.as_str(), kinds)).collect();
        let rank = |kinds: &Kinds| (kinds.get("abnormal").copied().unwrap_or(0), kinds.values().sum::<u64>());
        all.sort_by(|a, b| rank(b.1).cmp(&rank(a.1)).then_with(|| a.0.cmp(b.0)));
        all
    }
}

/// When a connection between one pair of addresses was opened, and when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    pair: u32,
    opened: Timestamp,
    ended: Option<Timestamp>,
}

/// What the pictures are drawn from.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Ends over time, by label; connections still open have none.
    pub ends: Timeline,
    /// Silence before abnormal ends.
    pub silences: Histogram,
    /// How long connections lasted that ended.
    pub lifetimes: Histogram,
    /// Ends by server address and port.
    pub servers: Addresses,
    /// Ends by client address.
    pub clients: Addresses,
    /// Median time from ping to pong of each side that sent answered pings.
    pub round_trips: Histogram,
    /// Client address and server, by number.
    pairs: HashMap<(String, String), u32>,
    times: Vec<Times>,
    /// The WebSockets that the connections are.
    pub sockets: Sockets,
}

impl Figures {
    /// Counts `connection` in.
    pub fn count(&mut self, connection: &Connection<'_>) {
        let verdict = &connection.verdict;
        let client = connection.client.address.to_string();
        let server = address(&connection.server.address.to_string(), connection.server.port);
        let is_open = verdict.kind == "open";
        if !is_open {
            self.ends.add(connection.ended_at, &verdict.label);
            self.lifetimes.add(connection.duration_s);
        }
        for traffic in [&connection.traffic.client, &connection.traffic.server] {
            traffic.ping_round_trip_s.into_iter().for_each(|seconds| self.round_trips.add(seconds));
        }
        if verdict.kind == "abnormal" {
            connection.idle_before_end_s.into_iter().for_each(|seconds| self.silences.add(seconds));
        }
        self.sockets.count(connection);
        self.note_times(connection, (client.clone(), server.clone()), is_open);
        self.clients.add(client, &verdict.kind);
        self.servers.add(server, &verdict.kind);
    }

    fn note_times(&mut self, connection: &Connection<'_>, pair: (String, String), is_open: bool) {
        let is_known = self.pairs.contains_key(&pair);
        if self.times.len() >= TIMES_MAX || (self.pairs.len() >= ADDRESSES_MAX && !is_known) {
            return;
        }
        let next = u32::try_from(self.pairs.len()).unwrap_or(u32::MAX);
        let pair = *self.pairs.entry(pair).or_insert(next);
        let ended = (!is_open).then_some(connection.ended_at);
        self.times.push(Times { pair, opened: connection.opened_at, ended });
    }

    /// For each connection whose client address had one to the same server before: from the latest end of these to its
    /// opening.
    #[must_use]
    pub fn reconnects(&self) -> Histogram {
        let mut delays = Histogram::default();
        let numbered = || self.times.iter().enumerate();
        let mut ends: Vec<(u32, Timestamp, usize)> =
            numbered().filter_map(|(number, it)| Some((it.pair, it.ended?, number))).collect();
        ends.sort_unstable();
        for (number, it) in numbered() {
            let before = ends.partition_point(|(pair, end, _)| (*pair, *end) <= (it.pair, it.opened));
            // One that ended as it was opened stands among them itself.
            let others = ends.get(..before).unwrap_or_default().iter().rev().filter(|end| end.2 != number);
            if let Some((_, end, _)) = others.take(1).find(|(pair, ..)| *pair == it.pair) {
                delays.add(it.opened.seconds_since(*end));
            }
        }
        delays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_what_their_ends_say() {
        for bin in 0..BINS {
            assert_eq!(bin_of(bin_start(bin)), bin);
            assert_eq!(bin_of(bin_start(bin) * 1.3), bin);
        }
        assert_eq!((bin_of(0.0), bin_of(-1.0), bin_of(f64::NAN), bin_of(1e30)), (0, 0, 0, BINS - 1));
    }

    #[test]
    fn a_timeline_of_any_length_has_few_columns_and_loses_no_end() {
        let mut timeline = Timeline::default();
        for step in 0..40 {
            timeline.add(Timestamp::from_nanos(1_795_380_000_000_000_000 + (1 << step)), "1006");
            assert!(timeline.span() <= COLUMNS_MAX);
        }
        timeline.add(Timestamp::default(), "1000");
        let counted: u64 = timeline.columns().flat_map(|(_, counts)| counts.values()).sum();
        assert_eq!(counted, 41);
    }

    #[test]
    fn labels_beyond_the_limit_are_one() {
        let mut timeline = Timeline::default();
        (0..200).for_each(|code| timeline.add(Timestamp::default(), &code.to_string()));
        let counts: Vec<_> = timeline.columns().flat_map(|(_, counts)| counts.iter()).collect();
        assert_eq!(counts.len(), LABELS_MAX + 1);
        assert_eq!(counts.iter().map(|(_, count)| **count).sum::<u64>(), 200);
    }
}
