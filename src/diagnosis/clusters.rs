//! One limit seen on several connections: the same silence, or the same age, at their ends.

use super::facts::How;
use super::finding::{Confidence, Finding, Id};
use super::idle_limits::{LIMITS, Style, Timer, tolerance};
use super::trace::Trace;
use super::words::{counted, duration, either};
use crate::decode::segment::Endpoint;
use crate::limits::Limits;
use crate::side::Side;
use crate::work;
use std::collections::BTreeMap;

/// Connections that must agree before a limit is claimed.
const AGREEING: usize = 3;
/// Shorter times are work, not waiting, in seconds.
const SHORTEST: f64 = 1.0;
/// Ends nearer than this in time may have one cause other than their own timers, in seconds.
const APART: f64 = 0.5;
/// Measured times of one timer agree this well, in seconds, or to 1 %.
const AGREEMENT: f64 = 0.1;

/// Who ended connections, and how.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ended {
    By(Side, How),
    ByProxy,
}

impl Ended {
    const fn who(self) -> &'static str {
        match self {
            Ended::By(side, _) => side.name(),
            Ended::ByProxy => "that proxy",
        }
    }

    const fn how(self) -> &'static str {
        match self {
            Ended::By(_, How::Rst) => "were reset",
            Ended::By(..) | Ended::ByProxy => "ended",
        }
    }

    const fn whose_limit(self) -> &'static str {
        match self {
            Ended::By(..) => "the server or the proxy before it",
            Ended::ByProxy => "the proxy",
        }
    }
}

/// Which connections these are: `3 connections to 10.0.0.1:80`; of a proxy those on both of its sides.
fn which(server: Endpoint, by: Ended, agreeing: &[(f64, &Trace)]) -> String {
    let all = counted(agreeing.len() as u64, "connection");
    let place = format!("{}:{}", server.address, server.port);
    match by {
        Ended::By(..) => format!("{all} to {place}"),
        Ended::ByProxy => {
            let is_front = |trace: &Trace| trace.other_leg().is_some_and(|leg| leg.is_back);
            let front = agreeing.iter().filter(|(_, trace)| is_front(trace)).count();
            let back = agreeing.len() - front;
            format!("{all} at the proxy {place} ({front} to it, {back} from it)")
        }
    }
}

type Measure = fn(&Trace) -> Option<f64>;

/// The limits that several connections of one server ran into.
pub(super) fn find(traces: &[&Trace], limits: &Limits) -> Vec<Finding> {
    let mut by_end: BTreeMap<(Endpoint, Ended), Vec<&Trace>> = BTreeMap::new();
    for trace in traces.iter().filter(|trace| trace.is_dropped()) {
        // The two legs that a proxy ended are one end, though each by another side of its own.
        if let Some(proxy) = trace.proxy() {
            by_end.entry((proxy, Ended::ByProxy)).or_default().push(trace);
        } else if let (Some(how), Some(by)) = (trace.end().how, trace.end().by) {
            by_end.entry((trace.server(), Ended::By(by, how))).or_default().push(trace);
        }
    }
    let idle: Measure =
        |trace| trace.idle().filter(|idle| trace.longest_silence() <= idle + tolerance(*idle));
    let age: Measure = |trace| Some(trace.lifetime());
    let mut found = Vec::new();
    for ((server, by), group) in by_end {
        let by_idle = agreeing(&group, idle);
        if by_idle.len() >= AGREEING {
            found.push(idle_finding(server, by, &by_idle, limits));
            continue;
        }
        let by_age = agreeing(&group, age);
        if by_age.len() >= AGREEING {
            found.extend(lifetime_finding(server, by, &by_age, limits));
        }
    }
    found
}

/// The largest set of connections that agree in `measure`, whose ends lie apart in time.
fn agreeing<'t>(group: &[&'t Trace], measure: Measure) -> Vec<(f64, &'t Trace)> {
    let mut measured: Vec<(f64, &Trace)> = group
        .iter()
        .filter_map(|trace| Some((measure(trace)?, *trace)))
        .filter(|(time, _)| *time >= SHORTEST)
        .collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut best: &[(f64, &Trace)] = &[];
    let mut start = 0;
    for end in 1..=measured.len() {
        let Some((last, _)) = measured.get(end - 1) else { break };
        work::step();
        while measured.get(start).is_some_and(|(first, _)| last - first > (last * 0.01).max(AGREEMENT)) {
            work::step();
            start += 1;
        }
        let window = measured.get(start..end).unwrap_or_default();
        if window.len() > best.len() {
            best = window;
        }
    }
    if ends_apart(best) >= AGREEING { best.to_vec() } else { Vec::new() }
}

/// How many ends are left when those at one moment count once.
fn ends_apart(agreeing: &[(f64, &Trace)]) -> usize {
    let mut ends: Vec<_> = agreeing.iter().map(|(_, trace)| trace.until).collect();
    ends.sort_unstable();
    let mut count = 0;
    let mut last = None;
    for end in ends {
        if last.is_none_or(|last| end.seconds_since(last) > APART) {
            count += 1;
        }
        last = Some(end);
    }
    count
}

fn median(agreeing: &[(f64, &Trace)]) -> f64 {
    agreeing.get(agreeing.len() / 2).map_or(0.0, |(time, _)| *time)
}

fn spread(agreeing: &[(f64, &Trace)], measure: impl Fn(&Trace) -> f64) -> f64 {
    let times = || agreeing.iter().map(|(_, trace)| measure(trace));
    times().fold(f64::MIN, f64::max) - times().fold(f64::MAX, f64::min)
}

fn idle_finding(server: Endpoint, by: Ended, agreeing: &[(f64, &Trace)], limits: &Limits) -> Finding {
    let time = median(agreeing);
    let products = products(time, |timer| timer != Timer::Lifetime);
    let known = known(&products);
    let count = agreeing.len() as u64;
    let same_age = spread(agreeing, |trace| trace.lifetime()) <= tolerance(time);
    let what = if same_age { "idle or lifetime limit" } else { "idle limit" };
    Finding {
        id: Id::IdleLimit,
        confidence: Confidence::Likely,
        text: format!(
            "{} {}, by {}, each {} after its last frame: one {what}{known}",
            which(server, by, agreeing),
            by.how(),
            by.who(),
            duration(time)
        ),
        advice: format!(
            "send pings at least every {}, or raise the limit of {} at {}",
            duration(time / 2.0),
            duration(time),
            by.whose_limit()
        ),
        count,
        connections: ids(agreeing, limits),
        packets: packets(agreeing, limits),
    }
}

fn lifetime_finding(
    server: Endpoint,
    by: Ended,
    agreeing: &[(f64, &Trace)],
    limits: &Limits,
) -> Option<Finding> {
    let time = median(agreeing);
    // Scripts that do the same thing live equally long; a limit cuts them at whatever they do.
    if spread(agreeing, |trace| trace.idle().unwrap_or(0.0)) <= tolerance(time) {
        return None;
    }
    let products = products(time, |timer| timer == Timer::Lifetime);
    let known = known(&products);
    let count = agreeing.len() as u64;
    Some(Finding {
        id: Id::LifetimeLimit,
        confidence: if products.is_empty() { Confidence::Possible } else { Confidence::Likely },
        text: format!(
            "{} {}, by {}, each {} after the handshake, idle or not: one lifetime limit{known}",
            which(server, by, agreeing),
            by.how(),
            by.who(),
            duration(time)
        ),
        advice: "raise the limit, or let the client reconnect before it runs out".to_owned(),
        count,
        connections: ids(agreeing, limits),
        packets: packets(agreeing, limits),
    })
}

fn products(time: f64, timer: impl Fn(Timer) -> bool) -> Vec<&'static str> {
    LIMITS
        .iter()
        .filter(|limit| timer(limit.timer) && !matches!(limit.style, Style::Close(_) | Style::Silent))
        .filter(|limit| (limit.seconds - time).abs() <= tolerance(limit.seconds))
        .map(|limit| limit.product)
        .collect()
}

fn known(products: &[&str]) -> String {
    if products.is_empty() { String::new() } else { format!(", as that of {}", either(products)) }
}

fn ids(agreeing: &[(f64, &Trace)], limits: &Limits) -> Vec<u64> {
    let mut ids: Vec<u64> = agreeing.iter().filter_map(|(_, trace)| trace.id()).collect();
    ids.sort_unstable();
    ids.truncate(limits.finding_connections);
    ids
}

fn packets(agreeing: &[(f64, &Trace)], limits: &Limits) -> Vec<crate::moment::Moment> {
    let mut packets: Vec<_> = agreeing.iter().map(|(_, trace)| trace.ended()).collect();
    packets.sort_unstable();
    packets.truncate(limits.finding_packets);
    packets
}
