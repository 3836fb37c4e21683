//! Totals over the connections of a report.

use super::model::{Connection, Summary};

impl Summary {
    /// Counts `connection` in.
    pub fn count(&mut self, connection: &Connection) {
        let verdict = &connection.verdict;
        self.connections += 1;
        *self.by_kind.entry(verdict.kind.clone()).or_default() += 1;
        *self.by_label.entry(verdict.label.clone()).or_default() += 1;
        if let Some(cause) = &verdict.cause {
            *self.by_cause.entry(cause.clone()).or_default() += 1;
        }
        if let Some(by) = &verdict.closed_by {
            *self.by_closed_by.entry(by.clone()).or_default() += 1;
        }
    }
}
