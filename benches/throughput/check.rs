//! Is the report right? Speed without the right answer is worth nothing.

use crate::workload::Truth;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// The part of the report that is compared. Connections are skipped unread, so that this process stays small.
#[derive(Deserialize)]
struct Report {
    summary: Truth,
}

/// What differs between the report and the truth, one line each.
pub fn differences(report: &Path, truth: &Truth) -> io::Result<Vec<String>> {
    let report: Report = serde_json::from_reader(BufReader::new(File::open(report)?))?;
    let found = report.summary;
    let mut lines = Vec::new();
    let mut compare = |name: &str, expected: String, found: String| {
        if expected != found {
            lines.push(format!("{name}: expected {expected}, reported {found}"));
        }
    };
    compare("connections", truth.connections.to_string(), found.connections.to_string());
    let others = (truth.other_tcp_connections, found.other_tcp_connections);
    compare("other_tcp_connections", others.0.to_string(), others.1.to_string());
    compare("by_kind", format!("{:?}", truth.by_kind), format!("{:?}", found.by_kind));
    compare("by_label", format!("{:?}", truth.by_label), format!("{:?}", found.by_label));
    compare("by_cause", format!("{:?}", truth.by_cause), format!("{:?}", found.by_cause));
    Ok(lines)
}
