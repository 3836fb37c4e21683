//! Several WebSockets in one HTTP/2 connection that end with it: one event, not many.

use super::finding::{Confidence, Finding, Id};
use super::trace::Trace;
use super::words::counted;
use crate::decode::segment::Endpoint;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::verdict::verdict::packet;
use std::collections::{BTreeMap, BTreeSet};

/// A TCP connection, and the event that ended it.
type Key = (Endpoint, Endpoint, Moment);

fn key(trace: &Trace) -> Option<Key> {
    trace.ended_with_connection().then(|| (trace.client(), trace.server(), trace.ended()))
}

/// A finding for each TCP connection that took several WebSockets with it.
pub(super) fn find(traces: &[&Trace], limits: &Limits) -> Vec<Finding> {
    let mut groups: BTreeMap<Key, Vec<&Trace>> = BTreeMap::new();
    for trace in traces {
        if let Some(key) = key(trace) {
            groups.entry(key).or_default().push(trace);
        }
    }
    groups
        .into_iter()
        .filter(|(_, group)| group.len() > 1)
        .map(|(key, group)| finding(key, &group, limits))
        .collect()
}

fn finding((client, server, ended): Key, group: &[&Trace], limits: &Limits) -> Finding {
    let by = group.first().and_then(|trace| trace.end().closed_by).map_or("unknown", |by| by.name());
    let carried = counted(group.len() as u64, "WebSocket");
    let (end, advice) = match group.first().and_then(|trace| trace.goaway()) {
        Some(error) => (
            format!("that {by} gave up together by GOAWAY ({error}) in {}", packet(ended)),
            format!("see {by}'s log for {error} at {}", ended.at.time_of_day()),
        ),
        None => (
            format!("that ended with it in {} (by {by})", packet(ended)),
            "look for what ended that one TCP connection; a limit of WebSockets per connection would lose fewer at once"
                .to_owned(),
        ),
    };
    Finding {
        id: Id::SharedConnectionLost,
        confidence: Confidence::Certain,
        text: format!(
            "one TCP connection, {}:{} to {}:{}, carried {carried} over HTTP/2 {end}",
            client.address, client.port, server.address, server.port
        ),
        advice,
        count: group.len() as u64,
        connections: group.iter().filter_map(|trace| trace.id()).take(limits.finding_connections).collect(),
        packets: vec![ended],
    }
}

/// Keeps only the first of those that ended with one TCP connection: for what counts events and not WebSockets.
pub(super) fn keep_distinct(traces: &mut Vec<&Trace>) {
    let mut seen = BTreeSet::new();
    traces.retain(|trace| key(trace).is_none_or(|key| seen.insert(key)));
}
