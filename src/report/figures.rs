//! What the pictures of a report are drawn from: counts over its connections, each from fields of the JSON report.
//!
//! All of it is bounded: bins, not values; the rest of many addresses in one sum. Only reconnects need times, of so many
//! connections at most.

use super::model::{Connection, Verdict};
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
/// Lengths of silence told apart, in tenths of a second, for each server.
const SILENCES_MAX: usize = 256;
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

/// What cut connections short, as far as a sentence about many tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cutter {
    /// Their server.
    Server,
    /// Their clients.
    Client,
    /// A proxy, each of whose two legs has a server of its own.
    Proxy,
    /// A reset that neither end sent.
    Between,
    /// An end, or the path to it, stopped answering.
    Timeout,
    /// The packets do not tell.
    Unclear,
}

impl Cutter {
    fn of(verdict: &Verdict<'_>) -> Cutter {
        match (verdict.closed_by.as_deref(), verdict.cause.as_deref()) {
            (_, Some("timeout")) => Cutter::Timeout,
            (Some("server"), _) => Cutter::Server,
            (Some("client"), _) => Cutter::Client,
            (Some("proxy"), _) => Cutter::Proxy,
            (Some("network"), _) => Cutter::Between,
            _ => Cutter::Unclear,
        }
    }
}

/// Abnormal ends that many connections share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharedEnd<'a> {
    /// How many connections share it.
    pub count: u64,
    /// Their server; `None` where a proxy cut them.
    pub server: Option<&'a str>,
    /// What cut them.
    pub by: Cutter,
    /// The silence before their ends that they share, in seconds. `None` of a timeout: its silence is how long the other
    /// end went on trying.
    pub silence_s: Option<f64>,
}

/// Abnormal ends that one server's connections share, or those that proxies ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cut {
    count: u64,
    /// By tenths of a second.
    silences: BTreeMap<i64, u64>,
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
    cuts: HashMap<(Cutter, Option<String>), Cut>,
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
            self.count_cut(connection, &server);
        }
        self.note_times(connection, (client.clone(), server.clone()), is_open);
        self.clients.add(client, &verdict.kind);
        self.servers.add(server, &verdict.kind);
    }

    fn count_cut(&mut self, connection: &Connection<'_>, server: &str) {
        let by = Cutter::of(&connection.verdict);
        let key = (by, (by != Cutter::Proxy).then(|| server.to_owned()));
        if self.cuts.len() >= ADDRESSES_MAX && !self.cuts.contains_key(&key) {
            return;
        }
        let cut = self.cuts.entry(key).or_default();
        cut.count += 1;
        let tenths = connection.idle_before_end_s.map(tenths);
        if let Some(tenths) = tenths
            && (cut.silences.len() < SILENCES_MAX || cut.silences.contains_key(&tenths))
        {
            *cut.silences.entry(tenths).or_default() += 1;
        }
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

    /// What most abnormal ends share, where it is worth a sentence.
    #[must_use]
    pub fn worst_cut(&self) -> Option<SharedEnd<'_>> {
        let worst = self.cuts.iter().max_by_key(|(key, cut)| (cut.count, std::cmp::Reverse(*key)));
        let ((by, server), cut) = worst?;
        let (by, silence_s) = (*by, cut.shared_silence_s().filter(|_| *by != Cutter::Timeout));
        Some(SharedEnd { count: cut.count, server: server.as_deref(), by, silence_s })
    }
}

impl Cut {
    /// The silence that four in five ends have within half a second of each other, unless it is a mere pause between two
    /// frames.
    fn shared_silence_s(&self) -> Option<f64> {
        let (tenths, _) =
            self.silences.iter().max_by_key(|(tenths, count)| (**count, std::cmp::Reverse(**tenths)))?;
        let near: u64 = self
            .silences
            .range(tenths.saturating_sub(5)..=tenths.saturating_add(5))
            .map(|(_, count)| count)
            .sum();
        let is_shared = *tenths >= 20 && near.saturating_mul(5) >= self.count.saturating_mul(4);
        is_shared.then_some(*tenths as f64 / 10.0)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and NaN is 0")]
fn tenths(seconds: f64) -> i64 {
    (seconds * 10.0).round() as i64
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
