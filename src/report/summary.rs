//! Totals over the connections of a report.

use super::model::{Connection, Summary};
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

fn increment(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}
