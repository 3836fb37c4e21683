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
    let mut shown = findings.iter().take(SHOWN).peekable();
    while let Some(finding) = shown.next() {
        let count = counted(finding.count, "connection");
        writeln!(out, "  {count}, {}", terminal(&format!("{}: {}", finding.confidence, finding.text)))?;
        // One advice for several is given once, under the last of them.
        if shown.peek().is_none_or(|next| next.advice != finding.advice) {
            writeln!(out, "      {}", terminal(&finding.advice))?;
        }
    }
    match findings.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  ({more} more in the JSON report)"),
    }
}
