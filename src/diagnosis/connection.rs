//! All that one connection's own packets say of its end.

use super::facts::Facts;
use super::finding::Diagnosis;
use super::{before_close, ending, icmp, idle, keepalive, proxy, reset, stream, timeout};
use crate::limits::Limits;
use crate::verdict::verdict::{ClosedBy, Kind};

/// The causes of one connection's end, the strongest first. Empty where it is open, or where a Close may have passed
/// unseen.
#[must_use]
pub fn diagnose(facts: &Facts<'_>, limits: &Limits) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    proxy::diagnose(facts, &mut found);
    match facts.verdict.kind {
        Kind::Open | Kind::Unknown(_) => return found,
        Kind::Refused => {
            icmp::diagnose(facts, &mut found);
            timeout::diagnose(facts, &mut found);
            ending::handshake(facts, &mut found);
        }
        Kind::Coded(_) => {
            keepalive::diagnose(facts, &mut found);
            idle::diagnose(facts, &mut found);
            before_close::diagnose(facts, &mut found);
            stream::broken(facts, &mut found);
        }
        Kind::Abnormal(_) => {
            icmp::diagnose(facts, &mut found);
            timeout::diagnose(facts, &mut found);
            keepalive::diagnose(facts, &mut found);
            idle::diagnose(facts, &mut found);
            let is_of_stream = stream::diagnose(facts, &mut found);
            if !is_of_stream && facts.verdict.closed_by != Some(ClosedBy::Proxy) {
                reset::diagnose(facts, &mut found);
            }
        }
    }
    if found.is_empty() {
        ending::no_close(facts, &mut found);
    }
    // What can be acted on comes first, then the surest, then the weightiest.
    found.sort_by_key(|one| (one.advice.is_none(), std::cmp::Reverse(one.confidence), one.id));
    for one in &mut found {
        one.packets.sort_unstable();
        one.packets.dedup();
        one.packets.truncate(limits.finding_packets);
    }
    found
}
