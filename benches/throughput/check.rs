//! Is the report right, connection by connection? Speed without the right answer is worth nothing.

use crate::ends::{Ends, read_report};
use crate::workload::Truth;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// What differs between the report and the truth, one line each.
pub fn differences(report: &Path, truth: &Truth) -> io::Result<Vec<String>> {
    let mut ends = Ends::default();
    let report = BufReader::with_capacity(1 << 20, File::open(report)?);
    let found: Truth = read_report(report, |end| ends.add(end))?;
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
    for ((part, expected), (_, found)) in truth.ends.parts().into_iter().zip(ends.parts()) {
        let name = format!("{part} of each connection (how many have one, and the sum of their hashes)");
        compare(&name, format!("{expected:?}"), format!("{found:?}"));
    }
    Ok(lines)
}
