//! Totals over the connections of a report.

use super::model::{Connection, Summary, Verdict};
use std::collections::BTreeMap;

impl Summary {
    /// Counts `connection` in.
    pub fn count(&mut self, connection: &Connection<'_>) {
        let verdict = &connection.verdict;
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
}

impl Summary {
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
