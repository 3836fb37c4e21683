//! WebSockets, where two connections may be one: its legs before and behind a proxy. How they ended, and what cut most of
//! them.

use super::model::Connection;
use super::text::words::address;
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// Servers told apart.
const SERVERS_MAX: usize = 65_536;
/// Lengths of silence told apart, in tenths of a second, for each server.
const SILENCES_MAX: usize = 256;
/// Of two legs' kinds the one that is their WebSocket's comes first.
const KINDS: [&str; 5] = ["abnormal", "refused", "unknown", "open", "coded"];

/// What cut WebSockets short, as far as a sentence about many tells it apart.
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

/// Abnormal ends that many WebSockets share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharedEnd<'a> {
    /// How many share it.
    pub count: u64,
    /// Their server; `None` where a proxy cut them.
    pub server: Option<&'a str>,
    /// What cut them.
    pub by: Cutter,
    /// The silence before their ends that they share, in seconds. `None` of a timeout: its silence is how long the other
    /// end went on trying.
    pub silence_s: Option<f64>,
}

/// Counts of WebSockets; both legs of one count once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    kinds: BTreeMap<String, u64>,
    cuts: HashMap<(Cutter, Option<String>), Cut>,
    /// The connection counted last: its leg behind a proxy may follow on it.
    last: Option<Leg>,
}

/// One connection, as far as it counts here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leg {
    id: u64,
    kind: String,
    cutter: Cutter,
    server: String,
    /// The silence before its end, in tenths of a second.
    silence: Option<i64>,
    ended_at: Timestamp,
}

impl Leg {
    fn of(connection: &Connection<'_>) -> Leg {
        let verdict = &connection.verdict;
        let cutter = match (verdict.closed_by.as_deref(), verdict.cause.as_deref()) {
            (_, Some("timeout")) => Cutter::Timeout,
            (Some("server"), _) => Cutter::Server,
            (Some("client"), _) => Cutter::Client,
            (Some("proxy"), _) => Cutter::Proxy,
            (Some("network"), _) => Cutter::Between,
            _ => Cutter::Unclear,
        };
        Leg {
            id: connection.id,
            kind: verdict.kind.clone().into_owned(),
            cutter,
            server: address(&connection.server.address.to_string(), connection.server.port),
            silence: connection.idle_before_end_s.map(tenths),
            ended_at: connection.ended_at,
        }
    }

    /// Was it lost for a reason of its own: not because its end at the proxy dropped it?
    fn began_to_end(&self, proxy: Cutter) -> bool {
        self.kind == "abnormal" && ![proxy, Cutter::Proxy, Cutter::Unclear].contains(&self.cutter)
    }

    /// The WebSocket that it is with `back`, its leg behind the proxy: where its end began is what cut it.
    fn with(&self, back: &Leg) -> Leg {
        let place = |leg: &Leg| KINDS.iter().position(|kind| *kind == leg.kind).unwrap_or(KINDS.len());
        let worse = if place(back) < place(self) { back } else { self };
        let (own, behind) = (self.began_to_end(Cutter::Server), back.began_to_end(Cutter::Client));
        match (own, behind) {
            _ if worse.kind != "abnormal" => worse.clone(),
            (true, true) if back.ended_at < self.ended_at => back.clone(),
            (true, _) => self.clone(),
            (false, true) => back.clone(),
            // Nothing is known of the other leg's end that the proxy may have passed on.
            (false, false) if [&self.kind, &back.kind].iter().any(|kind| *kind == "unknown") => worse.clone(),
            (false, false) if worse.cutter == Cutter::Unclear => worse.clone(),
            (false, false) => Leg { cutter: Cutter::Proxy, ..worse.clone() },
        }
    }

    fn key(&self) -> (Cutter, Option<String>) {
        (self.cutter, (self.cutter != Cutter::Proxy).then(|| self.server.clone()))
    }
}

impl Sockets {
    /// Counts `connection` in, as a WebSocket of its own or as one with the connection counted before.
    pub fn count(&mut self, connection: &Connection<'_>) {
        let leg = Leg::of(connection);
        match self.last.take().filter(|front| connection.front_leg == Some(front.id)) {
            Some(front) => {
                self.take_back(&front);
                self.add(&front.with(&leg));
            }
            None => self.add(&leg),
        }
        self.last = Some(leg);
    }

    fn add(&mut self, leg: &Leg) {
        *self.kinds.entry(leg.kind.clone()).or_default() += 1;
        let key = leg.key();
        if leg.kind == "abnormal" && (self.cuts.len() < SERVERS_MAX || self.cuts.contains_key(&key)) {
            self.cuts.entry(key).or_default().add(leg.silence);
        }
    }

    fn take_back(&mut self, leg: &Leg) {
        if let Some(count) = self.kinds.get_mut(&leg.kind) {
            *count = count.saturating_sub(1);
        }
        if leg.kind == "abnormal"
            && let Some(cut) = self.cuts.get_mut(&leg.key())
        {
            cut.take_back(leg.silence);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// How many ended as `kind` says.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        self.kinds.get(kind).copied().unwrap_or(0)
    }

    /// What most abnormal ends share. `None`: no other is as common as these, or nothing ended abnormally.
    #[must_use]
    pub fn worst_cut(&self) -> Option<SharedEnd<'_>> {
        let most = self.cuts.values().map(|cut| cut.count).max().filter(|most| *most > 0)?;
        let mut worst = self.cuts.iter().filter(|(_, cut)| cut.count == most);
        let ((by, server), cut) = worst.next().filter(|_| worst.next().is_none())?;
        let silence_s = cut.shared_silence_s().filter(|_| *by != Cutter::Timeout);
        Some(SharedEnd { count: most, server: server.as_deref(), by: *by, silence_s })
    }
}

/// Abnormal ends that one server's WebSockets share, or those that proxies ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cut {
    count: u64,
    /// By tenths of a second.
    silences: BTreeMap<i64, u64>,
}

impl Cut {
    fn add(&mut self, silence: Option<i64>) {
        self.count += 1;
        if let Some(tenths) = silence
            && (self.silences.len() < SILENCES_MAX || self.silences.contains_key(&tenths))
        {
            *self.silences.entry(tenths).or_default() += 1;
        }
    }

    fn take_back(&mut self, silence: Option<i64>) {
        self.count = self.count.saturating_sub(1);
        if let Some(count) = silence.and_then(|tenths| self.silences.get_mut(&tenths)) {
            *count = count.saturating_sub(1);
        }
    }

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
