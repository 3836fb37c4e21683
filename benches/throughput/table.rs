//! The table of docs/performance.md.

use crate::measure::Summary;
use crate::peers::Peer;
use crate::reordered::Row;
use crate::workload::Truth;
use std::fmt::Write as _;

/// What one workload took.
pub struct Result {
    pub name: &'static str,
    pub truth: Truth,
    pub summaries: Vec<(Peer, Summary)>,
    /// CPU time of tshark on all packets, in seconds, extrapolated from the first ones.
    pub tshark_cpu: Option<f64>,
}

/// What is aimed at: wall time by tcpdump's, CPU time of tshark by ours, megabytes.
const TARGETS: [(&str, f64, f64, f64); 5] = [
    ("small", 0.60, 150.0, 32.0),
    ("bulk", 0.40, 100.0, 32.0),
    ("churn", 1.00, 100.0, 64.0),
    ("idle", 1.00, f64::NAN, 256.0),
    ("noise", 0.45, 100.0, 32.0),
];

/// The measured part of the page: everything between its two marks.
pub fn render(results: &[Result], codes: &[Row], setting: &str, versions: &[String]) -> String {
    let mut page = format!("{setting}\n\n");
    for version in versions {
        let _ = writeln!(page, "- {version}");
    }
    page.push_str("\n| workload | packets | GB | cat s | tcpdump s | floor / tcpdump | wsclose s (CPU) | wall / tcpdump | aim | with `--summary` | tshark CPU / ours | aim | peak MB | aim |\n");
    page.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for result in results {
        row(&mut page, result);
    }
    page.push_str("\nClose codes where 2 % of the packets arrive behind the next one:\n\n| program | right | invented |\n|---|---|---|\n");
    for Row { program, right, truth, invented } in codes {
        let _ = writeln!(page, "| {program} | {right} of {truth} | {invented} |");
    }
    page
}

fn row(page: &mut String, result: &Result) {
    let of = |peer| result.summaries.iter().find(|(one, _)| *one == peer).map(|(_, summary)| summary);
    let wall = |peer| of(peer).map_or(f64::NAN, |summary| summary.median.wall.as_secs_f64());
    let cpu = of(Peer::Wsclose).map_or(f64::NAN, |summary| summary.median.cpu.as_secs_f64());
    let memory = of(Peer::Wsclose).map_or(f64::NAN, |summary| summary.peak_memory as f64 / 1e6);
    let (_, wall_aim, cpu_aim, memory_aim) = TARGETS
        .into_iter()
        .find(|(name, ..)| *name == result.name)
        .unwrap_or(("", f64::NAN, f64::NAN, f64::NAN));
    let tcpdump = wall(Peer::Tcpdump);
    let _ = writeln!(
        page,
        "| {} | {} | {:.3} | {:.3} | {tcpdump:.3} | {:.2} | {:.3} ({cpu:.3}) | {:.2} | {wall_aim:.2} | {:.2} | {} | {} | {memory:.1} | {memory_aim:.0} |",
        result.name,
        result.truth.packets,
        result.truth.bytes as f64 / 1e9,
        wall(Peer::Cat),
        wall(Peer::Floor) / tcpdump,
        wall(Peer::Wsclose),
        wall(Peer::Wsclose) / tcpdump,
        wall(Peer::WscloseSummary) / tcpdump,
        result.tshark_cpu.map_or("-".into(), |tshark| format!("{:.0}", tshark / cpu)),
        if cpu_aim.is_nan() { "-".into() } else { format!("{cpu_aim:.0}") },
    );
}

/// `page` with `measured` between its marks; `None`: it has none.
pub fn insert(page: &str, measured: &str) -> Option<String> {
    const BEGIN: &str = "<!-- measured: begin -->\n";
    const END: &str = "<!-- measured: end -->";
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{measured}\n{END}{tail}"))
}
