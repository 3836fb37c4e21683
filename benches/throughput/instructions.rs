//! How many instructions a small capture takes, by callgrind: noise-free, and compared with the committed figures; and
//! that ten times as much takes ten times as many.

use crate::workload::WORKLOADS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a change may add before it must say why, in percent.
const TOLERANCE: f64 = 3.0;

/// Scale of the captures: a few ten thousand packets each.
pub const SCALE: f64 = 0.01;

/// The workload that is counted once more at [`LARGE_SCALE`]: as many connections at a time, ten times as many in all.
pub const GROWING: &str = "churn";

/// Scale of the larger capture.
pub const LARGE_SCALE: f64 = 0.1;

/// What a packet of the larger capture may take more than one of the smaller, in percent.
const GROWTH: f64 = 10.0;

/// Prints what a packet takes in a small capture, of which `counted` holds the counts, and in one of ten times its length;
/// of both it is given how many packets they have. False: the cost grows faster than the capture.
pub fn check_growth(counted: &Counts, small: u64, (large, packets): (&Path, u64)) -> io::Result<bool> {
    let start = count_of(&["--version".as_ref()])?;
    let each = |counted: u64, packets: u64| counted.saturating_sub(start) as f64 / packets as f64;
    let before = each(counted.get(GROWING).copied().unwrap_or_default(), small);
    let after = each(count(large)?, packets);
    let change = (after / before - 1.0) * 100.0;
    let holds = change <= GROWTH;
    println!(
        "{GROWING}: {before:.0} instructions a packet of {small}, {after:.0} of {packets}: {change:+.2} %{}",
        if holds { "" } else { "  TOO MUCH: the cost grows faster than the capture" }
    );
    Ok(holds)
}

/// Instructions by workload.
pub type Counts = BTreeMap<String, u64>;

/// The committed figures.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Figures {
    /// They hold for this compiler alone.
    rustc: String,
    instructions: Counts,
}

fn committed() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json").into()
}

/// Counts all workloads and compares; with `update`, writes the figures down instead. False: one got dearer.
pub fn check(
    mut capture: impl FnMut(&str) -> io::Result<PathBuf>,
    update: bool,
) -> io::Result<(bool, Counts)> {
    let rustc = rustc()?;
    let mut now = Figures { rustc, ..Figures::default() };
    for (name, _) in WORKLOADS {
        now.instructions.insert(name.to_owned(), count(&capture(name)?)?);
    }
    if update {
        let mut text = serde_json::to_string_pretty(&now)?;
        text.push('\n');
        fs::write(committed(), text)?;
    }
    let before: Figures = serde_json::from_slice(&fs::read(committed())?)?;
    let is_same = before.rustc == now.rustc;
    if !is_same {
        println!("compiled by {}, the committed figures by {}: not compared", now.rustc, before.rustc);
    }
    let mut holds = true;
    println!("workload    instructions    committed   change");
    for (name, count) in &now.instructions {
        let committed = before.instructions.get(name).copied().unwrap_or_default();
        let change = (*count as f64 / committed as f64 - 1.0) * 100.0;
        let dearer = is_same && (change > TOLERANCE || change.is_nan());
        holds &= !dearer;
        println!(
            "{name:8} {count:15} {committed:12} {change:+7.2} %{}",
            if dearer { "  TOO MUCH" } else { "" }
        );
    }
    if !holds {
        println!(
            "over {TOLERANCE} % more: mend it, or `make instructions UPDATE=--update` and say why in the commit"
        );
    }
    Ok((holds, now.instructions))
}

fn rustc() -> io::Result<String> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("--version")
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The instructions of one run on one thread.
fn count(capture: &Path) -> io::Result<u64> {
    let args = ["analyze", "--threads", "1", "--format", "json", "-o", "/dev/null"].map(OsStr::new);
    count_of(&[&args[..], &[capture.as_os_str()]].concat())
}

/// The instructions of one run with these arguments.
fn count_of(args: &[&OsStr]) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_wsclose")])
        .args(args)
        .output()
        .map_err(|error| io::Error::other(format!("valgrind: {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find_map(|line| line.split("Collected : ").nth(1));
    line.and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("callgrind counted nothing: {text}")))
}
