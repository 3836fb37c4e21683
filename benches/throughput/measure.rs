//! Runs one program on one file and says what it cost.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wait4::Wait4 as _;

/// What a run cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time.
    pub cpu: Duration,
    /// Peak resident set in bytes. A child starts from this process's own pages, so this one must stay small.
    pub peak_memory: u64,
    /// It ran and exited with 0.
    pub ok: bool,
}

/// Runs the command with its output thrown away.
pub fn run(command: &mut Command) -> io::Result<Cost> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn()?;
    let used = child.wait4()?;
    let cpu = used.rusage.utime + used.rusage.stime;
    Ok(Cost { wall: start.elapsed(), cpu, peak_memory: used.rusage.maxrss, ok: used.status.success() })
}

/// The median, the fastest and the slowest run by wall time, and the largest memory.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub median: Cost,
    pub fastest: Duration,
    pub slowest: Duration,
    pub peak_memory: u64,
    pub ok: bool,
}

/// Sums up runs of one program; `None` without any.
pub fn summarize(costs: &[Cost]) -> Option<Summary> {
    let mut sorted = costs.to_vec();
    sorted.sort_by_key(|cost| cost.wall);
    Some(Summary {
        median: *sorted.get(sorted.len() / 2)?,
        fastest: sorted.first()?.wall,
        slowest: sorted.last()?.wall,
        peak_memory: sorted.iter().map(|cost| cost.peak_memory).max()?,
        ok: sorted.iter().all(|cost| cost.ok),
    })
}
