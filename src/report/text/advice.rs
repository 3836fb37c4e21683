//! What to do, over the whole capture.

use super::words::counted;
use crate::report::diagnosis::Finding;
use crate::report::escape::terminal;
use std::io::{self, Write};

/// Findings shown; the JSON report holds all.
const SHOWN: usize = 8;

/// Writes the findings, the one that would have saved the most connections first.
pub(super) fn write(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWhat to do:")?;
    for finding in findings.iter().take(SHOWN) {
        let count = counted(finding.count, "connection");
        writeln!(out, "  {count}, {}: {}", finding.confidence, terminal(&finding.text))?;
        writeln!(out, "      {}", terminal(&finding.advice))?;
    }
    match findings.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  ({more} more in the JSON report)"),
    }
}
