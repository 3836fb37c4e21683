//! What `--top` shows, counted: ends by label with their rates, servers, the last abnormal ends, the capture's own numbers.
//!
//! Time is told from outside, in seconds since the capture began. What packets may choose is bounded.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use wsclose::report::escape::terminal;
use wsclose::report::model::{Address, Connection, Stats};

/// Labels with a row of their own.
const LABELS: usize = 64;
/// Servers that are told apart.
const SERVERS: usize = 1_024;
/// Abnormal ends kept.
const LAST: usize = 50;
/// Notices kept.
const NOTICES: usize = 100;
/// Seconds over which a rate is taken.
pub(crate) const RATE_SECONDS: usize = 60;
/// What a value beyond those with a row of their own is called.
const OTHER: &str = "other";

/// Events, and how many of them fell into each of the last [`RATE_SECONDS`].
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    pub(crate) total: u64,
    seconds: [u64; RATE_SECONDS],
    /// The second that was counted last.
    latest: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Rate { total: 0, seconds: [0; RATE_SECONDS], latest: 0 }
    }
}

impl Rate {
    fn add(&mut self, now: u64, count: u64) {
        self.turn_to(now);
        self.total = self.total.saturating_add(count);
        let second = usize::try_from(now).unwrap_or(0) % RATE_SECONDS;
        if let Some(slot) = self.seconds.get_mut(second) {
            *slot = slot.saturating_add(count);
        }
    }

    /// Forgets the seconds that have gone by.
    fn turn_to(&mut self, now: u64) {
        let gone = now.saturating_sub(self.latest).min(RATE_SECONDS as u64);
        for back in 0..gone {
            let second = usize::try_from(now - back).unwrap_or(0) % RATE_SECONDS;
            if let Some(slot) = self.seconds.get_mut(second) {
                *slot = 0;
            }
        }
        self.latest = self.latest.max(now);
    }

    /// How many in the last minute.
    pub(crate) fn last_minute(&self, now: u64) -> u64 {
        let mut rate = self.clone();
        rate.turn_to(now);
        rate.seconds.iter().sum()
    }
}

/// The ends of one label.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) label: String,
    pub(crate) kind: String,
    pub(crate) rate: Rate,
}

/// The ends at one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) ended: u64,
    pub(crate) abnormal: u64,
    pub(crate) refused: u64,
}

/// An abnormal end.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    id: u64,
    pub(crate) time: String,
    pub(crate) label: String,
    pub(crate) cause: String,
    pub(crate) closed_by: String,
    pub(crate) client: String,
    pub(crate) server: String,
    pub(crate) seconds: f64,
    pub(crate) why: String,
}

/// How much came in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Speed {
    pub(crate) packets: f64,
    pub(crate) bits: f64,
}

/// All that is shown.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) interfaces: String,
    /// Seconds since the capture began.
    pub(crate) now: u64,
    pub(crate) stats: Stats,
    pub(crate) speed: Speed,
    pub(crate) all: Rate,
    pub(crate) dropped: Rate,
    pub(crate) revised: u64,
    ends: HashMap<String, Ends>,
    servers: HashMap<Option<SocketAddr>, Server>,
    /// The latest first.
    pub(crate) last: VecDeque<Lost>,
    pub(crate) notices: VecDeque<String>,
}

impl Figures {
    pub(crate) fn new(interfaces: &[String]) -> Figures {
        let interfaces: Vec<String> = interfaces.iter().map(|name| terminal(name)).collect();
        Figures { interfaces: interfaces.join(", "), ..Figures::default() }
    }

    /// Counts a connection that was listed.
    pub(crate) fn count(&mut self, connection: &Connection<'_>) {
        let verdict = &connection.verdict;
        self.all.add(self.now, 1);
        let now = self.now;
        self.ends_of(&verdict.label, &verdict.kind).rate.add(now, 1);
        let server = self.server_of(&connection.server);
        server.ended += 1;
        server.abnormal += u64::from(verdict.kind == "abnormal");
        server.refused += u64::from(verdict.kind == "refused");
        if verdict.kind == "abnormal" {
            self.last.push_front(Lost::of(connection));
            self.last.truncate(LAST);
        }
    }

    /// Takes back what was counted of a connection that was called dead too early. Rates keep it.
    pub(crate) fn take_back(&mut self, id: u64, label: &str, server: &Address) {
        self.revised += 1;
        self.all.total = self.all.total.saturating_sub(1);
        let ends = self.ends_of(label, "");
        ends.rate.total = ends.rate.total.saturating_sub(1);
        let server = self.server_of(server);
        server.ended = server.ended.saturating_sub(1);
        server.abnormal = server.abnormal.saturating_sub(1);
        self.last.retain(|lost| lost.id != id);
    }

    /// Takes over the capture's own numbers.
    pub(crate) fn set(&mut self, stats: Stats) {
        let seconds = stats.uptime_s - self.stats.uptime_s;
        if seconds > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
            let each = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            let packets = each(stats.packets, self.stats.packets);
            self.speed = Speed { packets, bits: 8.0 * each(stats.bytes, self.stats.bytes) };
        }
        let lost = |stats: &Stats| stats.dropped_by_kernel.saturating_add(stats.dropped_by_interface);
        self.dropped.add(self.now, lost(&stats).saturating_sub(lost(&self.stats)));
        self.stats = stats;
    }

    /// Keeps a notice, to be shown now and told at the end.
    pub(crate) fn note(&mut self, notice: &str) {
        self.notices.push_back(terminal(notice));
        if self.notices.len() > NOTICES {
            self.notices.pop_front();
        }
    }

    /// Labels, the most frequent first.
    pub(crate) fn by_label(&self) -> Vec<&Ends> {
        let mut ends: Vec<&Ends> = self.ends.values().filter(|ends| ends.rate.total > 0).collect();
        ends.sort_by(|one, other| other.rate.total.cmp(&one.rate.total).then(one.label.cmp(&other.label)));
        ends
    }

    /// Servers, the one with most abnormal ends first.
    pub(crate) fn worst(&self) -> Vec<&Server> {
        let mut servers: Vec<&Server> = self.servers.values().filter(|server| server.ended > 0).collect();
        let badness = |server: &Server| (server.abnormal, server.refused, server.ended);
        servers.sort_by(|one, other| badness(other).cmp(&badness(one)).then(one.name.cmp(&other.name)));
        servers
    }

    fn ends_of(&mut self, label: &str, kind: &str) -> &mut Ends {
        let is_known = self.ends.len() < LABELS || self.ends.contains_key(label);
        let (label, kind) = if is_known { (label, kind) } else { (OTHER, "") };
        self.ends.entry(label.to_owned()).or_insert_with(|| Ends {
            label: terminal(label),
            kind: kind.to_owned(),
            rate: Rate::default(),
        })
    }

    fn server_of(&mut self, address: &Address) -> &mut Server {
        let address = SocketAddr::new(address.address, address.port);
        let is_known = self.servers.len() < SERVERS || self.servers.contains_key(&Some(address));
        let (key, name) =
            if is_known { (Some(address), address.to_string()) } else { (None, OTHER.to_owned()) };
        self.servers.entry(key).or_insert_with(|| Server { name, ..Server::default() })
    }
}

impl Lost {
    fn of(connection: &Connection<'_>) -> Lost {
        let verdict = &connection.verdict;
        let text = |text: &Option<std::borrow::Cow<'_, str>>| terminal(text.as_deref().unwrap_or("-"));
        let end = |end: &Address| SocketAddr::new(end.address, end.port).to_string();
        Lost {
            id: connection.id,
            time: connection.ended_at.to_rfc3339().chars().skip(11).take(8).collect(),
            label: terminal(&verdict.label),
            cause: text(&verdict.cause),
            closed_by: text(&verdict.closed_by),
            client: end(&connection.client),
            server: end(&connection.server),
            seconds: connection.duration_s,
            why: terminal(&verdict.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_the_last_minute_and_no_more() {
        let mut rate = Rate::default();
        rate.add(0, 2);
        rate.add(30, 3);
        assert_eq!((rate.total, rate.last_minute(30)), (5, 5));
        assert_eq!(rate.last_minute(59), 5);
        assert_eq!(rate.last_minute(60), 3, "what came in second 0 is a minute old");
        assert_eq!(rate.last_minute(90), 0);
        rate.add(1_000_000, 1);
        assert_eq!((rate.total, rate.last_minute(1_000_000)), (6, 1));
    }

    #[test]
    fn labels_and_servers_that_packets_choose_are_bounded() {
        let mut figures = Figures::default();
        for number in 0..=u16::MAX {
            figures.ends_of(&number.to_string(), "coded").rate.add(0, 1);
            let server = Address { address: [10, 0, 0, 1].into(), port: number };
            figures.server_of(&server).ended += 1;
        }
        assert_eq!(figures.by_label().len(), LABELS + 1);
        assert_eq!(figures.by_label()[0].label, OTHER);
        assert_eq!(figures.worst().len(), SERVERS + 1);
        assert_eq!(figures.worst()[0].name, OTHER);
        assert_eq!(figures.worst().iter().map(|server| server.ended).sum::<u64>(), 65_536);
    }

    #[test]
    fn speed_is_what_came_between_two_looks() {
        let mut figures = Figures::default();
        let stats = |uptime_s, packets, bytes, dropped_by_kernel| Stats {
            uptime_s,
            packets,
            bytes,
            dropped_by_kernel,
            ..Stats::default()
        };
        figures.set(stats(1.0, 100, 1_000, 0));
        figures.set(stats(3.0, 300, 26_000, 7));
        assert_eq!(figures.speed, Speed { packets: 100.0, bits: 100_000.0 });
        assert_eq!((figures.dropped.total, figures.dropped.last_minute(0)), (7, 7));
    }
}
