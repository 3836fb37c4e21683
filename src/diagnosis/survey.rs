//! All connections of a capture side by side: the "what to do" list.

use super::facts::Facts;
use super::finding::{Confidence, Diagnosis, Finding, Id};
use super::trace::Trace;
use super::words::counted;
use super::{clusters, many, reconnect};
use crate::limits::Limits;
use std::collections::BTreeMap;

/// Gathers connections, then says what they show together.
#[derive(Clone, Debug)]
pub struct Survey {
    limits: Limits,
    traces: Vec<Trace>,
    /// Diagnoses that advise something, by cause.
    causes: BTreeMap<(Id, String), Finding>,
    /// Connections or causes that are not remembered, to keep within the limits.
    pub forgotten: u64,
}

impl Survey {
    /// A survey of nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Survey { limits, traces: Vec::new(), causes: BTreeMap::new(), forgotten: 0 }
    }

    /// Takes a connection, by its number in the report if it is listed, with what its own packets said.
    pub fn add(&mut self, id: Option<u64>, facts: &Facts<'_>, diagnoses: &[Diagnosis]) {
        if self.traces.len() < self.limits.surveyed_connections {
            let is_idle_limit = diagnoses.iter().any(|one| matches!(one.id, Id::IdleLimit | Id::PingTooSlow));
            self.traces.push(Trace::of(id, facts, is_idle_limit));
        } else {
            self.forgotten = self.forgotten.saturating_add(1);
        }
        // One cause a connection: the strongest.
        if let (Some(id), Some(strongest)) = (id, diagnoses.first()) {
            self.add_cause(id, strongest);
        }
    }

    fn add_cause(&mut self, id: u64, diagnosis: &Diagnosis) {
        let Some(advice) = &diagnosis.advice else { return };
        let key = (diagnosis.id, diagnosis.title.clone());
        if self.causes.len() >= self.limits.finding_connections && !self.causes.contains_key(&key) {
            self.forgotten = self.forgotten.saturating_add(1);
            return;
        }
        let limits = &self.limits;
        let finding = self.causes.entry(key).or_insert_with(|| Finding {
            id: diagnosis.id,
            confidence: Confidence::Possible,
            text: diagnosis.text.clone(),
            advice: advice.clone(),
            count: 0,
            connections: Vec::new(),
            packets: Vec::new(),
        });
        finding.count += 1;
        finding.confidence = finding.confidence.max(diagnosis.confidence);
        if finding.connections.len() < limits.finding_connections {
            finding.connections.push(id);
        }
        let room = limits.finding_packets.saturating_sub(finding.packets.len());
        finding.packets.extend(diagnosis.packets.iter().take(room));
    }

    /// What to do, that which would have saved most connections first. Empty where all ended well.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = clusters::find(&self.traces, &self.limits);
        let sets = many::together(&self.traces);
        found.extend(many::find(&self.traces, &sets, &self.limits));
        found.extend(reconnect::find(&self.traces, &sets, &self.limits));
        let explained: Vec<u64> = found
            .iter()
            .filter(|finding| matches!(finding.id, Id::IdleLimit | Id::LifetimeLimit | Id::ManyAtOnce))
            .flat_map(|finding| finding.connections.iter().copied())
            .collect();
        for ((_, title), cause) in &self.causes {
            found.extend(rolled_up(cause, title, &explained));
        }
        found.sort_by_key(|finding| {
            (std::cmp::Reverse(finding.count), std::cmp::Reverse(finding.confidence), finding.id)
        });
        found
    }
}

/// A cause of single connections, without those that a cause of many together explains better.
fn rolled_up(cause: &Finding, title: &str, explained: &[u64]) -> Option<Finding> {
    let is_weak =
        matches!(cause.id, Id::NoClose | Id::Abort | Id::IdleLimit | Id::PingTooSlow | Id::ProxyEnded);
    let mut cause = cause.clone();
    if is_weak {
        let before = cause.connections.len();
        cause.connections.retain(|id| !explained.contains(id));
        let removed = before.saturating_sub(cause.connections.len()) as u64;
        cause.count = cause.count.saturating_sub(removed);
    }
    if cause.count == 0 {
        return None;
    }
    if cause.count > 1 {
        cause.text = format!("{} {title}; one of them: {}", counted(cause.count, "connection"), cause.text);
    }
    Some(cause)
}
