//! Totals over the connections of a report.

use super::diagnosis::Finding;
use super::model::{Summary, Verdict};
use super::numbers::{renamed, with_files};
use crate::analyzer::record::{Beside, ConnectionRecord};
use crate::analyzer::track::Track;
use crate::work;
use std::collections::{BTreeMap, HashMap};

impl Summary {
    /// Counts a connection with this verdict in.
    pub fn count(&mut self, verdict: &Verdict<'_>) {
        self.connections += 1;
        increment(&mut self.by_kind, &verdict.kind);
        increment(&mut self.by_label, &verdict.label);
        if let Some(cause) = &verdict.cause {
            increment(&mut self.by_cause, cause);
        }
        if let Some(by) = &verdict.closed_by {
            increment(&mut self.by_closed_by, by);
        }
    }

    /// Adds what another report's `other` says beside its connections, which are counted in one by one and have been
    /// renumbered by `renumber`.
    ///
    /// Findings of the same words, whatever file their packets are of, become one; those of different numbers stay apart, since what they are drawn from is
    /// no longer there.
    pub fn merge(&mut self, other: Summary, renumber: impl Fn(u64) -> u64) {
        self.other_tcp_connections = self.other_tcp_connections.saturating_add(other.other_tcp_connections);
        self.proxied_pairs = self.proxied_pairs.saturating_add(other.proxied_pairs);
        self.encrypted_connections = self.encrypted_connections.saturating_add(other.encrypted_connections);
        let mut places: HashMap<_, _> = self.findings.iter().map(bare).zip(0..).collect();
        for mut finding in other.findings {
            finding.connections.iter_mut().for_each(|id| *id = renumber(*id));
            let place = *places.entry(bare(&finding)).or_insert(self.findings.len());
            match self.findings.get_mut(place) {
                Some(known) => {
                    known.count = known.count.saturating_add(finding.count);
                    known.connections.append(&mut finding.connections);
                    known.packets.append(&mut finding.packets);
                }
                None => self.findings.push(finding),
            }
        }
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.count));
    }
}

/// What a finding says, whatever file its packets are of.
fn bare(finding: &Finding) -> (String, String) {
    work::step();
    (finding.id.clone(), renamed(&finding.text, |named| format!("packet {}", named.packet)))
}

impl Summary {
    /// Gives each packet that its findings name its file, `before` of which come ahead of the report's own.
    pub fn name_files(&mut self, before: usize) {
        self.findings.iter_mut().for_each(|one| one.text = with_files(&one.text, before));
    }

    /// Takes back what [`Summary::count`] counted of a connection with this verdict.
    pub fn uncount(&mut self, verdict: &Verdict<'_>) {
        self.connections = self.connections.saturating_sub(1);
        decrement(&mut self.by_kind, &verdict.kind);
        decrement(&mut self.by_label, &verdict.label);
        if let Some(cause) = &verdict.cause {
            decrement(&mut self.by_cause, cause);
        }
        if let Some(by) = &verdict.closed_by {
            decrement(&mut self.by_closed_by, by);
        }
    }
}

/// Finds pairs of legs among the connections that are listed. Legs leave the analyzer one behind the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Legs {
    /// The leg before a proxy that was listed last, and its number.
    front: Option<(Track, u64)>,
}

impl Legs {
    /// The number of the leg before the proxy, where `record`, listed as number `id`, is the one behind it.
    pub fn front_of(&mut self, record: &ConnectionRecord, id: u64) -> Option<u64> {
        match record.beside.as_deref()? {
            Beside { is_back: true, .. } => {
                self.front = Some((Track::of(record), id));
                None
            }
            Beside { track, .. } => self.front.take().filter(|(front, _)| front == track).map(|(_, id)| id),
        }
    }
}

fn decrement(counts: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(name);
        }
    }
}

fn increment(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(findings: usize, file: &str) -> Summary {
        let finding = |number| Finding {
            id: "abort".to_owned(),
            confidence: "likely".to_owned(),
            text: format!("RST in packet {number}{file}"),
            advice: String::new(),
            count: 1,
            connections: vec![1],
            packets: Vec::new(),
        };
        Summary { findings: (0..findings).map(finding).collect(), ..Summary::default() }
    }

    #[test]
    fn findings_of_the_same_words_become_one_whatever_their_file() {
        let mut sum = summary(3, " of file 1");
        sum.merge(summary(4, ""), |id| id + 7);
        assert_eq!(sum.findings.iter().map(|one| one.count).collect::<Vec<_>>(), [2, 2, 2, 1]);
        assert_eq!(sum.findings[0].connections, [1, 8]);
    }

    #[test]
    fn twice_the_findings_take_twice_the_work() {
        let cost = |findings| {
            work::of(|| {
                let mut sum = summary(findings, "");
                sum.merge(summary(findings, " of file 2"), |id| id);
            })
        };
        assert!(cost(2_000) <= 2 * cost(1_000) + 10);
    }
}
