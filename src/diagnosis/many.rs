//! Many connections that ended at once: a restart, a reload, a device that failed.

use super::facts::How;
use super::finding::{Confidence, Finding, Id};
use super::trace::Trace;
use super::words::{counted, within};
use crate::decode::segment::Endpoint;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::verdict::verdict::ClosedBy;
use crate::work;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Connections that make many.
const MANY: usize = 3;
/// Ends nearer than this belong together, in seconds.
const GAP: f64 = 0.5;
/// The same.
const GAP_TIME: Duration = Duration::from_millis(500);
/// Connections that lived shorter end all the time, in seconds.
const AGE: f64 = 0.5;
/// And shorter than so many times the span of their ends.
const AGE_SPANS: f64 = 5.0;
/// Share of the connections then open to the server that must end.
const SHARE: f64 = 0.5;

/// Connections to one server that ended together; indices into the survey's traces.
#[derive(Clone, Debug)]
pub(super) struct Together {
    pub server: Endpoint,
    pub members: Vec<usize>,
    /// Connections open to that server when the first ended.
    pub open: usize,
}

/// The sets of connections that ended at once, and not by their clients.
pub(super) fn together(traces: &[&Trace]) -> Vec<Together> {
    // There may be a million of them.
    let mut by_server: BTreeMap<Endpoint, Vec<u32>> = BTreeMap::new();
    for (index, trace) in (0..).zip(traces) {
        if trace.end().is_established {
            by_server.entry(trace.server()).or_default().push(index);
        }
    }
    by_server.into_iter().flat_map(|(server, indices)| of_server(traces, server, &indices)).collect()
}

/// How many connections to one server were open at a time: its openings and ends, each in order.
struct Open {
    opened: Vec<Timestamp>,
    ended: Vec<Timestamp>,
}

impl Open {
    fn new(traces: &[&Trace], indices: &[u32]) -> Self {
        let sorted = |time: fn(&Trace) -> Timestamp| {
            let mut times = Vec::with_capacity(indices.len());
            times.extend(indices.iter().filter_map(|index| traces.get(*index as usize)).copied().map(time));
            times.sort_unstable();
            times
        };
        Open { opened: sorted(|trace| trace.opened.at), ended: sorted(|trace| trace.until) }
    }

    /// Opened by then, and not ended before.
    fn at(&self, time: Timestamp) -> usize {
        let opened = self.opened.partition_point(|at| *at <= time);
        opened.saturating_sub(self.ended.partition_point(|at| *at < time))
    }
}

fn of_server(traces: &[&Trace], server: Endpoint, indices: &[u32]) -> Vec<Together> {
    let at = |index: &usize| traces.get(*index);
    let open = Open::new(traces, indices);
    let mut found = Vec::new();
    for (by_client, dropped) in [(false, false), (false, true), (true, true)] {
        let ends = |index: &usize| {
            at(index).is_some_and(|t| {
                is_ended_for_it(t) && t.client_left() == by_client && t.is_dropped() == dropped
            })
        };
        let mut ending: Vec<usize> = indices.iter().map(|index| *index as usize).filter(ends).collect();
        ending.sort_by_key(|index| at(index).map(|trace| trace.ended()));
        chains(traces, server, &open, &ending, &mut found);
    }
    found
}

/// Cuts ends, in their order, where time passes between them.
fn chains(traces: &[&Trace], server: Endpoint, open: &Open, ending: &[usize], found: &mut Vec<Together>) {
    let at = |index: &usize| traces.get(*index);
    let mut members: Vec<usize> = Vec::new();
    for index in ending.iter().copied() {
        let Some(trace) = traces.get(index) else { continue };
        let first = members.first().and_then(at).map(|first| first.until);
        let last = members.last().and_then(at).map(|last| last.until);
        let joins = last.is_some_and(|last| trace.until.seconds_since(last) <= GAP)
            && first.is_some_and(|first| trace.opened.at <= first);
        if !joins {
            close(traces, server, open, std::mem::take(&mut members), found);
        }
        members.push(index);
    }
    close(traces, server, open, members, found);
}

/// Did it end otherwise than a session normally does? A client's own Close is its free choice.
fn is_ended_for_it(trace: &Trace) -> bool {
    let ordinary = match trace.end().how {
        Some(How::Close(code)) => {
            trace.client_left() || code.is_none_or(|code| !matches!(code.0, 1001 | 1011..=1014))
        }
        Some(How::Fin | How::Rst) => false,
        None => true,
    };
    trace.end().has_ended && !ordinary
}

fn close(traces: &[&Trace], server: Endpoint, open: &Open, members: Vec<usize>, found: &mut Vec<Together>) {
    work::steps(members.len());
    if members.len() < MANY {
        return;
    }
    let Some(first) = members.first().and_then(|index| traces.get(*index)) else { return };
    let open = open.at(first.until);
    #[expect(clippy::cast_precision_loss, reason = "a share of connections")]
    let share = members.len() as f64 / open.max(1) as f64;
    let by_timer =
        members.iter().all(|index| traces.get(*index).is_some_and(|trace| trace.end().is_idle_limit));
    // Clients that left together are one only where they share an address.
    let addresses = |index: &usize| traces.get(*index).map(|trace| trace.client().address);
    let one_client = members.iter().all(|index| addresses(index) == Some(first.client().address));
    let shares_cause = one_client || !first.client_left();
    // Few of several may be chance; short lives end all the time.
    let is_telling = members.len() == open || members.len() >= 2 * MANY;
    let last = members.last().and_then(|index| traces.get(*index)).unwrap_or(first);
    let span = last.until.seconds_since(first.until);
    let old_enough = AGE.max(AGE_SPANS * span);
    let lasting =
        members.iter().all(|index| traces.get(*index).is_some_and(|trace| trace.lifetime() >= old_enough));
    if share >= SHARE && is_telling && lasting && !by_timer && shares_cause {
        found.push(Together { server, members, open });
    }
}

/// A finding for each set; the two legs of a proxy make one.
pub(super) fn find(traces: &[&Trace], sets: &[Together], limits: &Limits) -> Vec<Finding> {
    let mut events: Vec<Event<'_>> = Vec::new();
    let mut waiting = Waiting::default();
    for set in sets {
        let event = Event::of(traces, set);
        let place = waiting.other_legs(&events, &event);
        match place.and_then(|place| Some((place, events.get_mut(place)?))) {
            Some((place, other)) => {
                waiting.remove(other, place);
                other.join(event);
            }
            None => {
                waiting.add(&event, events.len());
                events.push(event);
            }
        }
    }
    events.iter().filter_map(|event| finding(event, limits)).collect()
}

/// Places of the events at proxies whose other legs may still come, by proxy and time: of a long capture there are many.
#[derive(Default)]
struct Waiting(BTreeSet<(Endpoint, Timestamp, usize)>);

impl Waiting {
    fn add(&mut self, event: &Event<'_>, place: usize) {
        if let Some((proxy, begin)) = event.proxy.zip(event.begin()) {
            self.0.insert((proxy, begin, place));
        }
    }

    fn remove(&mut self, event: &Event<'_>, place: usize) {
        if let Some((proxy, begin)) = event.proxy.zip(event.begin()) {
            self.0.remove(&(proxy, begin, place));
        }
    }

    /// The first of `events` of whose connections those of `event` are the other legs.
    fn other_legs(&self, events: &[Event<'_>], event: &Event<'_>) -> Option<usize> {
        let (proxy, begin) = event.proxy.zip(event.begin())?;
        let first = (proxy, begin.saturating_sub(GAP_TIME), 0);
        let last = (proxy, begin.saturating_add(GAP_TIME), usize::MAX);
        let places = self.0.range(first..=last).map(|(.., place)| *place);
        places
            .inspect(|_| work::step())
            .filter(|place| events.get(*place).is_some_and(|other| other.is_other_leg_of(event)))
            .min()
    }
}

/// What ended one set of connections, and their other legs with them.
struct Event<'t> {
    server: Endpoint,
    open: usize,
    members: Vec<&'t Trace>,
    other_legs: Vec<&'t Trace>,
    /// The proxy of which all of them are legs.
    proxy: Option<Endpoint>,
}

impl<'t> Event<'t> {
    fn of(traces: &[&'t Trace], set: &Together) -> Self {
        let members: Vec<&Trace> =
            set.members.iter().filter_map(|index| traces.get(*index).copied()).collect();
        let proxy_of = |trace: &Trace| trace.other_leg().map(|leg| leg.proxy);
        let proxy = members.first().and_then(|first| proxy_of(first));
        let proxy = proxy.filter(|_| members.iter().all(|trace| proxy_of(trace) == proxy));
        Event { server: set.server, open: set.open, members, other_legs: Vec::new(), proxy }
    }

    fn begin(&self) -> Option<Timestamp> {
        self.members.first().map(|first| first.until)
    }

    fn is_other_leg_of(&self, other: &Event<'_>) -> bool {
        let (Some(begin), Some(others)) = (self.begin(), other.begin()) else { return false };
        let one_proxy = self.proxy.is_some() && self.proxy == other.proxy && self.server != other.server;
        one_proxy && self.other_legs.is_empty() && begin.seconds_since(others).abs() <= GAP
    }

    /// Takes the other legs; what ended first was the cause.
    fn join(&mut self, other: Event<'t>) {
        if other.begin() < self.begin() {
            let later = std::mem::replace(self, other);
            self.other_legs = later.members;
        } else {
            self.other_legs = other.members;
        }
    }

    /// What it was, in words: what to call it, how, and what to do.
    fn story(&self) -> (Id, &'static str, &'static str) {
        let members = &self.members;
        let by = |who: ClosedBy| members.iter().all(|trace| trace.end().closed_by == Some(who));
        if members.iter().all(|trace| trace.was_unknown()) {
            return (
                Id::StateLost,
                "by resets that only answer a segment: whoever sent them no longer knew the connections",
                "look for what lost its table of connections then: a NAT, firewall or load balancer that was flushed, reloaded or failed over, or a host that restarted",
            );
        }
        let (how, advice) = if by(ClosedBy::Proxy) {
            (
                "ended by the proxy between: it was stopped or reloaded",
                "let the proxy drain connections bit by bit when it stops or reloads",
            )
        } else if by(ClosedBy::Network) {
            (
                "reset by something on the path between",
                "look for what changed on the path at that time: a firewall, a NAT, a route",
            )
        } else if by(ClosedBy::Client) {
            (
                "dropped by their one client: a proxy or process there stopped or reloaded",
                "let it close its connections with a Close before it stops, and drain them bit by bit",
            )
        } else if members.iter().all(|trace| !trace.is_dropped()) {
            (
                "with a Close: a shutdown or restart that was announced",
                "let clients come back after a random delay, then back off",
            )
        } else {
            (
                "without a Close: the process there was killed or restarted, or a proxy or device in its place was",
                "let the server send Close 1001 or 1012 before it stops, and drain connections bit by bit",
            )
        };
        (Id::ManyAtOnce, how, advice)
    }
}

fn finding(event: &Event<'_>, limits: &Limits) -> Option<Finding> {
    let members = &event.members;
    let (first, last) = (members.first()?, members.last()?);
    let (id, how, advice) = event.story();
    let whole = if members.len() == event.open { "all" } else { "many" };
    let legs = match (event.other_legs.len() as u64, event.proxy) {
        (0, _) | (_, None) => String::new(),
        (count, Some(proxy)) => {
            let legs = counted(count, "other leg");
            format!("; their {legs} at the proxy {}:{} ended with them", proxy.address, proxy.port)
        }
    };
    let all = || members.iter().chain(&event.other_legs);
    Some(Finding {
        id,
        confidence: if members.len() >= 2 * MANY { Confidence::Certain } else { Confidence::Likely },
        text: format!(
            "{whole} at once: {} of {} open to {}:{} ended within {} from {} on, {how}{legs}",
            members.len(),
            counted(event.open as u64, "connection"),
            event.server.address,
            event.server.port,
            within(last.until.seconds_since(first.until)),
            first.until.time_of_day()
        ),
        advice: advice.to_owned(),
        count: all().count() as u64,
        connections: all().filter_map(|trace| trace.id()).take(limits.finding_connections).collect(),
        packets: all().map(|trace| trace.ended()).take(limits.finding_packets).collect(),
    })
}
