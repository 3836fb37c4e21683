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
    /// Seconds that the report's rows take alone.
    pub rows: f64,
}

/// What is aimed at on one workload.
struct Aims {
    name: &'static str,
    /// Wall time by that of tcpdump's read loop.
    wall: f64,
    /// Wall time by that of the floor, where the aims were set: there the floor was so many times as fast as tcpdump.
    floor: f64,
    /// CPU time of tshark by ours.
    cpu: f64,
    megabytes: f64,
}

const AIMS: [Aims; 5] = [
    Aims { name: "small", wall: 0.60, floor: 0.60 * 2.2, cpu: 150.0, megabytes: 32.0 },
    Aims { name: "bulk", wall: 0.40, floor: 0.40 * 3.2, cpu: 100.0, megabytes: 32.0 },
    Aims { name: "churn", wall: 1.00, floor: 1.00 * 1.4, cpu: 100.0, megabytes: 64.0 },
    Aims { name: "idle", wall: 1.00, floor: 1.00 * 1.3, cpu: f64::NAN, megabytes: 256.0 },
    Aims { name: "noise", wall: 0.45, floor: 0.45 * 2.9, cpu: 100.0, megabytes: 32.0 },
];

/// The measured part of the page: everything between its two marks.
pub fn render(results: &[Result], codes: &[Row], setting: &str, versions: &[String]) -> String {
    let mut page = format!("{setting}\n\n");
    for version in versions {
        let _ = writeln!(page, "- {version}");
    }
    let suricata =
        results.iter().flat_map(|result| &result.summaries).any(|(peer, _)| *peer == Peer::Suricata);
    page.push_str("\n| workload | packets | GB | tcpdump s | cat / tcpdump | floor / tcpdump | rows / tcpdump | wsclose s (CPU) | wall / tcpdump | aim | wall / floor | aim | with `--summary` | tshark CPU / ours | aim | peak MB | aim |");
    page.push_str(if suricata { " Suricata CPU / ours, peak MB |\n" } else { "\n" });
    page.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    page.push_str(if suricata { "---|\n" } else { "\n" });
    for result in results {
        row(&mut page, result, suricata);
    }
    page.push_str("\nClose codes where 2 % of the packets arrive behind the next one:\n\n| program | right | invented |\n|---|---|---|\n");
    for Row { program, right, truth, invented } in codes {
        let _ = writeln!(page, "| {program} | {right} of {truth} | {invented} |");
    }
    page
}

fn row(page: &mut String, result: &Result, suricata: bool) {
    let of = |peer| result.summaries.iter().find(|(one, _)| *one == peer).map(|(_, summary)| summary);
    let wall = |peer| of(peer).map_or(f64::NAN, |summary| summary.median.wall.as_secs_f64());
    let cpu = of(Peer::Wsclose).map_or(f64::NAN, |summary| summary.median.cpu.as_secs_f64());
    let memory = of(Peer::Wsclose).map_or(f64::NAN, |summary| summary.peak_memory as f64 / 1e6);
    let Some(aims) = AIMS.iter().find(|aims| aims.name == result.name) else { return };
    let (tcpdump, floor, ours) = (wall(Peer::Tcpdump), wall(Peer::Floor), wall(Peer::Wsclose));
    let mut cells = vec![
        result.name.to_owned(),
        result.truth.packets.to_string(),
        format!("{:.3}", result.truth.bytes as f64 / 1e9),
        format!("{tcpdump:.3}"),
        format!("{:.2}", wall(Peer::Cat) / tcpdump),
        format!("{:.2}", floor / tcpdump),
        format!("{:.2}", result.rows / tcpdump),
        format!("{ours:.3} ({cpu:.3})"),
        format!("{:.2}", ours / tcpdump),
        format!("{:.2}", aims.wall),
        format!("{:.2}", ours / floor),
        format!("{:.2}", aims.floor),
        format!("{:.2}", wall(Peer::WscloseSummary) / tcpdump),
        result.tshark_cpu.map_or("-".into(), |tshark| format!("{:.0}", tshark / cpu)),
        if aims.cpu.is_nan() { "-".into() } else { format!("{:.0}", aims.cpu) },
        format!("{memory:.1}"),
        format!("{:.0}", aims.megabytes),
    ];
    if suricata {
        cells.push(of(Peer::Suricata).filter(|summary| summary.ok).map_or("-".into(), |summary| {
            format!("{:.0}, {:.0}", summary.median.cpu.as_secs_f64() / cpu, summary.peak_memory as f64 / 1e6)
        }));
    }
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// `page` with `measured` between its marks; `None`: it has none.
pub fn insert(page: &str, measured: &str) -> Option<String> {
    const BEGIN: &str = "<!-- measured: begin -->\n";
    const END: &str = "<!-- measured: end -->";
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{measured}\n{END}{tail}"))
}
