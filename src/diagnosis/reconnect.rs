//! How clients come back after they lost a connection.

use super::facts::How;
use super::finding::{Confidence, Finding, Id};
use super::many::Together;
use super::trace::Trace;
use super::words::{counted, duration};
use crate::decode::segment::Endpoint;
use crate::limits::Limits;
use crate::work;
use foldhash::quality::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;
use std::net::IpAddr;

/// Reconnects that show a policy.
const ENOUGH: usize = 3;
/// The same where every loss was announced by a Close: sessions of a busy user may follow closely.
const ENOUGH_ANNOUNCED: usize = 5;
/// Reconnects that make a herd.
const HERD: usize = 5;
/// A reconnect faster than this did not wait, in seconds.
const AT_ONCE: f64 = 0.1;
/// A server that restarts or is overloaded should be left alone for longer than this, in seconds.
const PAUSE: f64 = 1.0;
/// Later than this, it is no reconnect but a new visit, in seconds.
const FORGOTTEN: f64 = 600.0;

/// What one client opened at one target after earlier connections there had ended.
#[derive(Debug, Default)]
struct Sequence {
    /// Those that followed on a loss.
    returns: Vec<Return>,
    /// How long after an end that was no loss another followed, in seconds.
    fresh: Vec<f64>,
}

impl Sequence {
    /// Does the client replace connections whether it lost them or was done with them? Then it works through a list,
    /// and its next one is no reconnect.
    fn is_work(&self) -> bool {
        let slowest = self.returns.iter().map(|back| back.delay).fold(AT_ONCE, f64::max);
        let as_fast = self.fresh.iter().filter(|delay| **delay <= slowest).count();
        2 * as_fast >= self.returns.len()
    }
}

/// A connection that followed on one that was lost.
#[derive(Clone, Copy, Debug)]
struct Return {
    lost: usize,
    next: usize,
    delay: f64,
}

/// How well a client waits before it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// Delays grow, with jitter.
    A,
    /// Delays grow, without jitter.
    B,
    /// A constant delay of at least one second.
    C,
    /// A constant delay of less.
    D,
    /// At once, again and again.
    F,
}

/// Grades the delays of one client's reconnects, in their order; `None`: they follow no pattern, or are too few.
#[must_use]
pub(super) fn grade(delays: &[f64]) -> Option<Grade> {
    if delays.len() < ENOUGH {
        return None;
    }
    let at_once = delays.iter().filter(|delay| **delay < AT_ONCE).count();
    if at_once >= ENOUGH && 2 * at_once >= delays.len() {
        return Some(Grade::F);
    }
    let mut sorted = delays.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (sorted.first()?, sorted.last()?);
    let median = sorted.get(sorted.len() / 2)?;
    if max - min <= 0.2 * median {
        return Some(if *median >= 1.0 { Grade::C } else { Grade::D });
    }
    let mut ratios: Vec<f64> =
        delays.windows(2).filter_map(|pair| Some(pair.get(1)? / pair.first()?.max(0.001))).collect();
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.get(ratios.len() / 2)?;
    (1.3..=2.5).contains(middle).then(|| if variation(&ratios) >= 0.1 { Grade::A } else { Grade::B })
}

/// Coefficient of variation.
#[expect(clippy::cast_precision_loss, reason = "a handful of values")]
fn variation(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    variance.sqrt() / mean.max(f64::MIN_POSITIVE)
}

/// What the reconnects in `traces` show; `sets` ended together.
pub(super) fn find(traces: &[&Trace], sets: &[Together], limits: &Limits) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut returns_of: HashMap<usize, f64> = HashMap::new();
    for group in groups(traces) {
        let sequence = sequence(traces, &group);
        let returns = &sequence.returns;
        if !sets.is_empty() {
            returns_of.extend(returns.iter().map(|back| (back.lost, back.delay)));
        }
        found.extend(against_advice(traces, returns, limits));
        if !sequence.is_work() {
            found.extend(graded(traces, returns, limits));
        }
    }
    found.extend(sets.iter().filter_map(|set| herd(traces, set, &returns_of, limits)));
    found
}

/// A client and its target, or the server where its request was not seen.
type Key = (IpAddr, u64, Option<Endpoint>);

/// What each client opened at each target where that is more than one, in the order in which it opened.
///
/// Of many connections most may be their client's only one: none but those of one hash is compared and given a group.
fn groups(traces: &[&Trace]) -> Vec<Vec<u32>> {
    let homes = homes(traces);
    let key = |trace: &Trace| -> Key {
        let (address, server) = place(trace);
        let home = || homes.get(&(address, server)).copied().unwrap_or_default();
        match if trace.target == 0 { home() } else { trace.target } {
            0 => (address, 0, Some(server)),
            target => (address, target, None),
        }
    };
    let hasher = RandomState::default();
    // Half a hash does: there may be a million of them.
    let hash = |trace| u32::try_from(hasher.hash_one(key(trace)) >> u32::BITS).unwrap_or(u32::MAX);
    let mut hashed: Vec<(u32, u32)> = Vec::with_capacity(traces.len());
    hashed.extend((0..).zip(traces).map(|(index, trace)| (hash(trace), index)));
    hashed.sort_unstable();
    let mut groups: BTreeMap<Key, Vec<u32>> = BTreeMap::new();
    let at = |index: &u32| traces.get(*index as usize).copied();
    for alike in hashed.chunk_by(|one, other| one.0 == other.0).filter(|alike| alike.len() > 1) {
        for (index, trace) in alike.iter().filter_map(|(_, index)| Some((*index, at(index)?))) {
            groups.entry(key(trace)).or_default().push(index);
        }
    }
    for group in groups.values_mut() {
        group.sort_by_key(|index| at(index).map(|trace| (trace.opened, trace.target == 0)));
    }
    groups.into_values().collect()
}

fn place(trace: &Trace) -> (IpAddr, Endpoint) {
    (trace.client().address, trace.server())
}

/// The target, 0 for none, of each client that failed before its request at a server: such attempts belong to its target
/// there.
fn homes(traces: &[&Trace]) -> HashMap<(IpAddr, Endpoint), u64, RandomState> {
    let mut homes: HashMap<_, u64, RandomState> =
        traces.iter().filter(|trace| trace.target == 0).map(|trace| (place(trace), 0)).collect();
    if homes.is_empty() {
        return homes;
    }
    for trace in traces.iter().filter(|trace| trace.target != 0) {
        if let Some(home) = homes.get_mut(&place(trace))
            && (*home == 0 || trace.target < *home)
        {
            *home = trace.target;
        }
    }
    homes
}

/// Pairs each connection with the one that ended last before it.
fn sequence(traces: &[&Trace], group: &[u32]) -> Sequence {
    let indices = || group.iter().map(|index| *index as usize);
    let mut lost: Vec<usize> =
        indices().filter(|index| traces.get(*index).is_some_and(|t| t.end().has_ended)).collect();
    lost.sort_by_key(|index| traces.get(*index).map(|trace| trace.ended()));
    let mut waiting: Vec<usize> = Vec::new();
    let mut lost = lost.into_iter().peekable();
    let mut found = Sequence::default();
    for next in indices() {
        let Some(trace) = traces.get(next) else { continue };
        work::step();
        while let Some(index) =
            lost.next_if(|index| traces.get(*index).is_some_and(|t| t.ended() <= trace.opened))
        {
            work::step();
            waiting.push(index);
        }
        let Some(index) = waiting.pop() else { continue };
        let Some(previous) = traces.get(index) else { continue };
        let delay = trace.opened.at.seconds_since(previous.until);
        // Sessions with queries of their own follow on each other without being reconnects.
        let same_query = previous.query == trace.query;
        let returns = previous.is_lost() && (same_query || !previous.is_closed());
        if returns && delay < FORGOTTEN {
            found.returns.push(Return { lost: index, next, delay });
        } else if !previous.is_lost() {
            found.fresh.push(delay);
        }
    }
    found
}

/// Reconnects at once after a Close that asked for a pause, or for none to come.
fn against_advice(traces: &[&Trace], returns: &[Return], limits: &Limits) -> Option<Finding> {
    let told = |trace: &&Trace| match trace.end().how {
        Some(How::Close(Some(code))) => {
            !trace.client_left() && (matches!(code.0, 1012 | 1013) || trace.is_final())
        }
        _ => false,
    };
    let hasty: Vec<&Return> =
        returns.iter().filter(|back| back.delay < PAUSE && traces.get(back.lost).is_some_and(told)).collect();
    let first = hasty.first()?;
    let (lost, next) = (traces.get(first.lost)?, traces.get(first.next)?);
    let Some(How::Close(Some(code))) = lost.end().how else { return None };
    let count = hasty.len() as u64;
    let (asked, advice) = if lost.is_final() {
        ("says that it must not come back as it is", "let the client stop and change what was refused")
    } else {
        ("asks for a pause", "wait a random 5 to 30 s after 1012 and 1013, then back off")
    };
    Some(Finding {
        id: Id::ReconnectIgnoresCode,
        confidence: Confidence::Certain,
        text: format!(
            "client {} came back to {}:{} {} after Close {}, which {asked}{}",
            next.client().address,
            next.server().address,
            next.server().port,
            duration(first.delay),
            code.0,
            times(count)
        ),
        advice: advice.to_owned(),
        count,
        connections: ids(traces, hasty.iter().map(|back| back.next), limits),
        packets: hasty
            .iter()
            .filter_map(|back| Some(traces.get(back.next)?.opened))
            .take(limits.finding_packets)
            .collect(),
    })
}

fn times(count: u64) -> String {
    if count > 1 { format!(", {count} times") } else { String::new() }
}

/// A client that does not back off.
fn graded(traces: &[&Trace], returns: &[Return], limits: &Limits) -> Option<Finding> {
    let delays: Vec<f64> = returns.iter().map(|back| back.delay).collect();
    let all_announced =
        returns.iter().all(|back| traces.get(back.lost).is_some_and(|trace| trace.is_closed()));
    if all_announced && delays.len() < ENOUGH_ANNOUNCED {
        return None;
    }
    let what = match grade(&delays)? {
        Grade::A | Grade::B => return None,
        Grade::C => "always after the same delay",
        Grade::D => "always after the same short delay",
        Grade::F => "at once",
    };
    let first = traces.get(returns.first()?.next)?;
    let mut sorted = delays.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    Some(Finding {
        id: Id::NoBackoff,
        confidence: Confidence::Likely,
        text: format!(
            "client {} came back to {}:{} after {}, {} times: {what}",
            first.client().address,
            first.server().address,
            first.server().port,
            duration(median),
            delays.len()
        ),
        advice: "add exponential backoff with jitter: a random first delay of up to 5 s, then growing"
            .to_owned(),
        count: delays.len() as u64,
        connections: ids(traces, returns.iter().map(|back| back.next), limits),
        packets: returns
            .iter()
            .filter_map(|back| Some(traces.get(back.next)?.opened))
            .take(limits.finding_packets)
            .collect(),
    })
}

/// Did those that were lost together come back together?
fn herd(
    traces: &[&Trace],
    set: &Together,
    returns: &HashMap<usize, f64>,
    limits: &Limits,
) -> Option<Finding> {
    let mut delays: Vec<(f64, usize)> =
        set.members.iter().filter_map(|index| Some((*returns.get(index)?, *index))).collect();
    delays.sort_by(|a, b| a.0.total_cmp(&b.0));
    work::steps(delays.len());
    // They are in order: those within a second of one stand right behind it.
    let within = |(first, (start, _)): (usize, &(f64, usize))| {
        let end = delays.partition_point(|(delay, _)| *delay <= start + 1.0);
        (end.saturating_sub(first), *start)
    };
    let (peak, start) = delays.iter().enumerate().map(within).max_by_key(|(count, _)| *count)?;
    if delays.len() < HERD || 10 * peak <= 3 * delays.len() {
        return None;
    }
    let mut clients: Vec<IpAddr> =
        delays.iter().filter_map(|(_, index)| Some(traces.get(*index)?.client().address)).collect();
    clients.sort_unstable();
    clients.dedup();
    Some(Finding {
        id: Id::ThunderingHerd,
        confidence: Confidence::Likely,
        text: format!(
            "{peak} of {} ({}) that lost their connections to {}:{} together came back within one second of each other, {} later",
            counted(delays.len() as u64, "connection"),
            counted(clients.len() as u64, "client address").replace("addresss", "addresses"),
            set.server.address,
            set.server.port,
            duration(start)
        ),
        advice:
            "let clients wait a random delay before the first reconnect, so that they do not come all at once"
                .to_owned(),
        count: peak as u64,
        connections: ids(traces, delays.iter().map(|(_, index)| *index), limits),
        packets: delays
            .iter()
            .filter_map(|(_, index)| Some(traces.get(*index)?.ended()))
            .take(limits.finding_packets)
            .collect(),
    })
}

fn ids(traces: &[&Trace], indices: impl Iterator<Item = usize>, limits: &Limits) -> Vec<u64> {
    let mut ids: Vec<u64> = indices.filter_map(|index| traces.get(index)?.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(limits.finding_connections);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_graded() {
        let cases: [(&[f64], Option<Grade>); 8] = [
            (&[1.2, 1.9, 4.4, 7.0], Some(Grade::A)),
            (&[1.0, 2.0, 4.0, 8.0], Some(Grade::B)),
            (&[5.0, 5.0, 5.01], Some(Grade::C)),
            (&[0.2, 0.2, 0.21], Some(Grade::D)),
            (&[0.02, 0.021, 0.019], Some(Grade::F)),
            (&[0.02, 0.02, 3.0, 0.05, 9.0], Some(Grade::F)),
            (&[0.02, 0.02], None),
            (&[9.0, 1.0, 30.0, 2.0], None),
        ];
        for (delays, expected) in cases {
            assert_eq!(grade(delays), expected, "{delays:?}");
        }
    }
}
