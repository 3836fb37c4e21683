//! All connections of a capture side by side: the "what to do" list.

use super::facts::Facts;
use super::finding::{Confidence, Diagnosis, Finding, Id};
use super::trace::Trace;
use super::traces::Traces;
use super::words::counted;
use super::{clusters, many, path, reconnect, shared};
use crate::limits::{Limits, TRACE_BYTES};
use crate::moment::Moment;
use crate::verdict::verdict::packet;
use crate::work;
use std::collections::BTreeMap;

/// Gathers connections, then says what they show together.
#[derive(Clone, Debug)]
pub struct Survey {
    limits: Limits,
    traces: Traces,
    remembered: usize,
    /// Diagnoses that advise something, by cause.
    causes: BTreeMap<(Id, String), Finding>,
    /// Connections or causes that are not remembered, to keep within the limits.
    pub forgotten: u64,
}

/// What a connection was counted for, so that it can be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    id: u64,
    cause: Option<((Id, String), Vec<Moment>)>,
}

impl Survey {
    /// A survey of nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Survey { limits, traces: Traces::default(), remembered: 0, causes: BTreeMap::new(), forgotten: 0 }
    }

    /// Takes a connection, by its number in the report if it is listed, with what its own packets said. `Some`: it is listed.
    pub fn add(&mut self, id: Option<u64>, facts: &Facts<'_>, diagnoses: &[Diagnosis]) -> Option<Counted> {
        if self.remembered < self.limits.surveyed_connections {
            self.traces.push(Trace::of(id, facts, diagnoses));
            self.remembered += 1;
        } else {
            self.forgotten = self.forgotten.saturating_add(1);
        }
        // One cause a connection: the strongest.
        let id = id?;
        let cause = diagnoses.first().and_then(|strongest| self.add_cause(id, strongest));
        Some(Counted { id, cause })
    }

    /// Memory of the connections remembered, as estimated, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.remembered * TRACE_BYTES
    }

    /// Forgets a connection: what was said of it did not hold.
    pub fn take_back(&mut self, counted: &Counted) {
        self.traces.forget(counted.id);
        self.remembered = self.traces.len();
        let Some((key, packets)) = &counted.cause else { return };
        let Some(finding) = self.causes.get_mut(key) else { return };
        finding.count = finding.count.saturating_sub(1);
        finding.connections.retain(|id| *id != counted.id);
        finding.packets.retain(|packet| !packets.contains(packet));
        if finding.count == 0 {
            self.causes.remove(key);
        }
    }

    fn add_cause(&mut self, id: u64, diagnosis: &Diagnosis) -> Option<((Id, String), Vec<Moment>)> {
        let advice = diagnosis.advice.as_ref()?;
        let key = (diagnosis.id, diagnosis.title.clone());
        if self.causes.len() >= self.limits.finding_connections && !self.causes.contains_key(&key) {
            self.forgotten = self.forgotten.saturating_add(1);
            return None;
        }
        let limits = &self.limits;
        let finding = self.causes.entry(key.clone()).or_insert_with(|| Finding {
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
        Some((key, diagnosis.packets.clone()))
    }

    /// What to do, that which would have saved most connections first. Empty where all ended well.
    #[must_use]
    pub fn findings(&mut self) -> Vec<Finding> {
        let mut traces = self.traces.open();
        let mut found = shared::find(&traces, &self.limits);
        shared::keep_distinct(&mut traces);
        found.extend(clusters::find(&traces, &self.limits));
        let sets = many::together(&traces);
        found.extend(many::find(&traces, &sets, &self.limits));
        found.extend(reconnect::find(&traces, &sets, &self.limits));
        found.extend(path::find(&traces, &self.limits));
        let explained = Explained::by(&found);
        for ((_, title), cause) in &self.causes {
            found.extend(rolled_up(cause, title, &explained));
        }
        found.sort_by_key(|finding| {
            (std::cmp::Reverse(finding.count), std::cmp::Reverse(finding.confidence), finding.id)
        });
        tell_apart(&mut found);
        found
    }
}

/// Two findings of the same words are two: each says where it begins.
fn tell_apart(found: &mut [Finding]) {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for finding in found.iter() {
        *seen.entry(finding.text.clone()).or_default() += 1;
    }
    for finding in found.iter_mut().filter(|finding| seen.get(&finding.text).is_some_and(|count| *count > 1))
    {
        if let Some(first) = finding.packets.iter().min() {
            finding.text += &format!(", first in {}", packet(*first));
        }
    }
}

/// Does what many connections show together say more of their ends than each one's own cause?
const fn explains(together: Id, own: Id) -> bool {
    match together {
        Id::IdleLimit | Id::LifetimeLimit | Id::ManyAtOnce => {
            matches!(own, Id::NoClose | Id::Abort | Id::IdleLimit | Id::PingTooSlow | Id::ProxyEnded)
        }
        Id::StateLost => matches!(own, Id::Abort | Id::ForeignReset),
        Id::SharedConnectionLost => {
            matches!(own, Id::NoClose | Id::Abort | Id::ForeignReset | Id::TcpTimeout | Id::IcmpError)
        }
        Id::PathLost => matches!(own, Id::TcpTimeout | Id::PingUnanswered),
        _ => false,
    }
}

/// Which connections are in which findings: each finding lists many, and there may be as many as connections.
pub(super) struct Explained(Vec<(u64, Id)>);

impl Explained {
    pub(super) fn by(found: &[Finding]) -> Self {
        let all = found.iter().flat_map(|finding| finding.connections.iter().map(|id| (*id, finding.id)));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all.dedup();
        Explained(all)
    }

    /// Does what `connection` shows together with others say more than its `own` cause?
    fn is_better(&self, connection: u64, own: Id) -> bool {
        let first = self.0.partition_point(|(id, _)| *id < connection);
        let of_it = self.0.iter().skip(first).take_while(|(id, _)| *id == connection);
        of_it.inspect(|_| work::step()).any(|(_, together)| explains(*together, own))
    }
}

/// A cause of single connections, without those that a cause of many together explains better.
pub(super) fn rolled_up(cause: &Finding, title: &str, explained: &Explained) -> Option<Finding> {
    let mut cause = cause.clone();
    let before = cause.connections.len();
    work::steps(before);
    cause.connections.retain(|id| !explained.is_better(*id, cause.id));
    let removed = before.saturating_sub(cause.connections.len()) as u64;
    cause.count = cause.count.saturating_sub(removed);
    if cause.count == 0 {
        return None;
    }
    if cause.count > 1 {
        cause.text = format!("{} {title}; one of them: {}", counted(cause.count, "connection"), cause.text);
    }
    Some(cause)
}
