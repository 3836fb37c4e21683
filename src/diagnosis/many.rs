//! Many connections that ended at once: a restart, a reload, a device that failed.

use super::facts::How;
use super::finding::{Confidence, Finding, Id};
use super::trace::Trace;
use super::words::{counted, duration};
use crate::decode::segment::Endpoint;
use crate::limits::Limits;
use std::collections::BTreeMap;

/// Connections that make many.
const MANY: usize = 3;
/// Ends nearer than this belong together, in seconds.
const GAP: f64 = 0.5;
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
pub(super) fn together(traces: &[Trace]) -> Vec<Together> {
    let mut by_server: BTreeMap<Endpoint, Vec<usize>> = BTreeMap::new();
    for (index, trace) in traces.iter().enumerate() {
        if trace.is_established {
            by_server.entry(trace.server).or_default().push(index);
        }
    }
    by_server.into_iter().flat_map(|(server, indices)| of_server(traces, server, indices)).collect()
}

fn of_server(traces: &[Trace], server: Endpoint, indices: Vec<usize>) -> Vec<Together> {
    let at = |index: &usize| traces.get(*index);
    let mut ending: Vec<usize> =
        indices.iter().copied().filter(|index| at(index).is_some_and(is_ended_for_it)).collect();
    ending.sort_by_key(|index| at(index).map(|trace| trace.ended));
    let mut found = Vec::new();
    let mut members: Vec<usize> = Vec::new();
    for index in ending {
        let Some(trace) = traces.get(index) else { continue };
        let first = members.first().and_then(at).map(|first| first.ended.at);
        let last = members.last().and_then(at).map(|last| last.ended.at);
        let joins = last.is_some_and(|last| trace.ended.at.seconds_since(last) <= GAP)
            && first.is_some_and(|first| trace.opened.at <= first);
        if !joins {
            close(traces, server, &indices, std::mem::take(&mut members), &mut found);
        }
        members.push(index);
    }
    close(traces, server, &indices, members, &mut found);
    found
}

/// Did someone other than the client end it, and not as a session's normal end?
fn is_ended_for_it(trace: &Trace) -> bool {
    let ordinary = match trace.how {
        Some(How::Close(code)) => code.is_none_or(|code| !matches!(code.0, 1001 | 1011..=1014)),
        Some(How::Fin | How::Rst) => false,
        None => true,
    };
    trace.has_ended && !ordinary && !trace.client_left()
}

fn close(
    traces: &[Trace],
    server: Endpoint,
    indices: &[usize],
    members: Vec<usize>,
    found: &mut Vec<Together>,
) {
    let Some(first) = members.first().and_then(|index| traces.get(*index)) else { return };
    let is_open = |index: &&usize| {
        traces.get(**index).is_some_and(|t| t.opened.at <= first.ended.at && t.ended.at >= first.ended.at)
    };
    let open = indices.iter().filter(is_open).count();
    #[expect(clippy::cast_precision_loss, reason = "a share of connections")]
    let share = members.len() as f64 / open.max(1) as f64;
    let by_timer = members.iter().all(|index| traces.get(*index).is_some_and(|trace| trace.is_idle_limit));
    if members.len() >= MANY && share >= SHARE && !by_timer {
        found.push(Together { server, members, open });
    }
}

/// A finding for each set.
pub(super) fn find(traces: &[Trace], sets: &[Together], limits: &Limits) -> Vec<Finding> {
    sets.iter().filter_map(|set| finding(traces, set, limits)).collect()
}

fn finding(traces: &[Trace], set: &Together, limits: &Limits) -> Option<Finding> {
    let members: Vec<&Trace> = set.members.iter().filter_map(|index| traces.get(*index)).collect();
    let (first, last) = (members.first()?, members.last()?);
    let count = members.len() as u64;
    let announced = members.iter().filter(|trace| !trace.is_dropped()).count();
    let (how, advice) = if announced == members.len() {
        (
            "with a Close: a shutdown or restart that was announced",
            "nothing is wrong with that; let clients come back after a random delay",
        )
    } else {
        (
            "without a Close: its process was killed or restarted, or a proxy or device in its place was",
            "let the server send Close 1001 or 1012 before it stops, and drain connections bit by bit",
        )
    };
    let all = if members.len() == set.open { "all " } else { "" };
    Some(Finding {
        id: Id::ManyAtOnce,
        confidence: if members.len() >= 2 * MANY { Confidence::Certain } else { Confidence::Likely },
        text: format!(
            "{all}{} of {} open to {}:{} ended within {} from {} on, {how}",
            count,
            counted(set.open as u64, "connection"),
            set.server.address,
            set.server.port,
            duration(last.ended.at.seconds_since(first.ended.at)),
            first.ended.at.time_of_day()
        ),
        advice: advice.to_owned(),
        count,
        connections: members.iter().filter_map(|trace| trace.id).take(limits.finding_connections).collect(),
        packets: members.iter().map(|trace| trace.ended).take(limits.finding_packets).collect(),
    })
}
