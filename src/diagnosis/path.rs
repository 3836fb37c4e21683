//! Several connections that fell silent together: the path between was lost, not each peer by itself.
//!
//! ```text
//!  a  ---x heard ........... sent in vain >>>
//!  b  ------x heard ... sent in vain >>>
//!  c  -----x heard ................. sent in vain >>>
//!           |-------| at some moment in here the path was lost
//! ```

use super::finding::{Confidence, Finding, Id};
use super::trace::{Dead, Trace};
use super::words::{counted, within};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::Side;
use crate::work;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Connections that make a common cause.
const SEVERAL: usize = 3;
/// A connection that was not heard of for longer before it was missed tells no moment, in seconds.
const LONGEST_DOUBT: f64 = 120.0;
/// A connection that is seen alive so long after the moment refutes the loss, in seconds.
const ALIVE_AFTER: f64 = 1.0;
/// Losses told of one server.
const LOSSES: usize = 16;

/// A finding for each loss.
pub(super) fn find(traces: &[&Trace], limits: &Limits) -> Vec<Finding> {
    let mut by_server: BTreeMap<(IpAddr, Side), Vec<(&Trace, Dead)>> = BTreeMap::new();
    for trace in traces {
        let telling = trace.dead().filter(|dead| dead.first.at.seconds_since(dead.heard.at) <= LONGEST_DOUBT);
        if let Some(dead) = telling {
            by_server.entry((trace.server().address, dead.silent)).or_default().push((trace, dead));
        }
    }
    let alive = alive(traces, by_server.keys().map(|(server, _)| *server));
    let mut found = Vec::new();
    for ((server, silent), mut dead) in by_server {
        let alive = alive.get(&server).map(Vec::as_slice).unwrap_or_default();
        for _ in 0..LOSSES {
            let Some(moment) = commonest_moment(&dead) else { break };
            let (lost, rest): (Vec<_>, Vec<_>) = dead.iter().partition(|(_, dead)| dead.spans(moment));
            if lost.len() < SEVERAL {
                break;
            }
            if !is_refuted(alive, &lost, moment) {
                found.push(finding(server, silent, &lost, limits));
            }
            dead = rest;
        }
    }
    found
}

/// The moment that lies between the last sign of life and the first vain sending of most connections.
fn commonest_moment(dead: &[(&Trace, Dead)]) -> Option<Moment> {
    let mut edges: Vec<(Moment, bool)> =
        dead.iter().flat_map(|(_, dead)| [(dead.heard, false), (dead.first, true)]).collect();
    edges.sort_unstable();
    work::steps(edges.len());
    let (mut open, mut most, mut best) = (0_usize, 0, None);
    for (at, ends) in edges {
        if ends {
            open = open.saturating_sub(1);
        } else {
            open += 1;
            if open > most {
                (most, best) = (open, Some(at));
            }
        }
    }
    best
}

/// The connections to each of these servers that did not fall silent.
fn alive<'t>(
    traces: &[&'t Trace],
    servers: impl Iterator<Item = IpAddr>,
) -> BTreeMap<IpAddr, Vec<&'t Trace>> {
    let mut alive: BTreeMap<IpAddr, Vec<&Trace>> = servers.map(|server| (server, Vec::new())).collect();
    if alive.is_empty() {
        return alive;
    }
    for trace in traces.iter().filter(|trace| trace.dead().is_none()) {
        if let Some(of_server) = alive.get_mut(&trace.server().address) {
            of_server.push(trace);
        }
    }
    alive
}

/// Did as many connections between the same hosts live on? `alive` are those to that server.
fn is_refuted(alive: &[&Trace], lost: &[(&Trace, Dead)], moment: Moment) -> bool {
    work::steps(alive.len());
    let clients: BTreeSet<IpAddr> = lost.iter().map(|(trace, _)| trace.client().address).collect();
    let latest = lost.iter().map(|(_, dead)| dead.first).max().unwrap_or(moment);
    let alive = alive.iter().filter(|trace| {
        clients.contains(&trace.client().address)
            && trace.opened <= moment
            && trace.until.seconds_since(latest.at) > ALIVE_AFTER
    });
    alive.count() >= lost.len()
}

fn finding(server: IpAddr, silent: Side, lost: &[(&Trace, Dead)], limits: &Limits) -> Finding {
    let count = lost.len() as u64;
    let clients: BTreeSet<IpAddr> = lost.iter().map(|(trace, _)| trace.client().address).collect();
    let heard = lost.iter().map(|(_, dead)| dead.heard).max().unwrap_or_default();
    let first = lost.iter().map(|(_, dead)| dead.first).min().unwrap_or_default();
    let client = match clients.first() {
        Some(only) if clients.len() == 1 => format!("client {only}"),
        _ => counted(clients.len() as u64, "client"),
    };
    // Hosts do not die in the same moment; one host may.
    let (what, confidence) = if silent == Side::Client && clients.len() > 1 {
        ("the network path was lost".to_owned(), Confidence::Certain)
    } else {
        (format!("the network path was lost, or {silent}'s host died"), Confidence::Likely)
    };
    let mut packets: Vec<Moment> = lost.iter().map(|(_, dead)| dead.first).collect();
    packets.sort_unstable();
    packets.truncate(limits.finding_packets);
    Finding {
        id: Id::PathLost,
        confidence,
        text: format!(
            "{} between {client} and {server} fell silent together: {what} at {}, within {}; nothing came from {silent} after that, and none ended in order",
            counted(count, "connection"),
            heard.at.time_of_day(),
            within(first.at.seconds_since(heard.at)),
        ),
        advice: format!(
            "look for what cut the path between {client} and {server} at that time (link, route, firewall, NAT); ping in both directions to notice sooner, and reconnect with backoff"
        ),
        count,
        connections: lost
            .iter()
            .filter_map(|(trace, _)| trace.id())
            .take(limits.finding_connections)
            .collect(),
        packets,
    }
}
