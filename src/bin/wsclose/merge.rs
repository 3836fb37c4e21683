//! `wsclose merge`: several reports as one.

use crate::args::MergeArgs;
use crate::offline::{EXIT_INCOMPLETE, is_same_file};
use crate::output::{Writer, sink};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;
use wsclose::anomaly::AnomalyCounts;
use wsclose::report::escape::terminal;
use wsclose::report::model::{Input, Summary};
use wsclose::report::numbers::name_files;
use wsclose::report::read::{Rest, read};

pub(crate) fn run(args: &MergeArgs) -> Result<ExitCode> {
    if let Some(output) = &args.output
        && let Some(report) = args.reports.iter().find(|report| is_same_file(report, output))
    {
        bail!("{} is an input; the report would overwrite it", terminal(&report.to_string_lossy()));
    }
    let common = args.to_common();
    let before = args.reports.iter().map(|path| look_ahead(path)).collect::<Result<Vec<Rest>>>()?;
    let known: Vec<Input> = before.iter().flat_map(|rest| rest.inputs.clone()).collect();
    let mut writer = Writer::open(sink(&common)?, &common, &known, false)?;
    let (mut summary, mut inputs, mut anomalies) = (Summary::default(), Vec::new(), AnomalyCounts::default());
    let mut is_whole = true;
    // Packet numbers begin anew in each file.
    let several = args.reports.len() > 1;
    for (path, before) in args.reports.iter().zip(&before) {
        let name = terminal(&path.to_string_lossy());
        let (first_id, first_input) = (summary.connections, inputs.len());
        let mut rest = read(open(path)?, &mut |mut connection| {
            if before.revised.contains(&connection.id) {
                return Ok(());
            }
            summary.count(&connection.verdict);
            connection.id = summary.connections;
            let front = connection.front_leg.filter(|id| !before.revised.contains(id));
            connection.front_leg = front.map(|id| renumbered(id, first_id, before));
            if several {
                name_files(&mut connection, first_input);
            }
            writer.connection(connection, false)
        })
        .with_context(|| format!("reading {name}"))?;
        if !rest.is_whole {
            anstream::eprintln!("wsclose: {name}: no totals at its end: the report was cut short");
            is_whole = false;
        }
        if several {
            rest.summary.name_files(first_input);
        }
        add(rest, first_id, &mut summary, &mut inputs, &mut anomalies);
    }
    writer.finish(inputs, &summary, &anomalies)?;
    Ok(if is_whole { ExitCode::SUCCESS } else { EXIT_INCOMPLETE.into() })
}

/// What a report says beside its connections, if it can be read twice: its inputs' names, and what was taken back.
fn look_ahead(path: &Path) -> Result<Rest> {
    if !path.is_file() {
        return Ok(Rest::default());
    }
    // What is wrong with it is said where it is read in earnest.
    Ok(read(open(path)?, &mut |_| Ok(())).unwrap_or_default())
}

fn add(
    mut rest: Rest,
    first_id: u64,
    summary: &mut Summary,
    inputs: &mut Vec<Input>,
    anomalies: &mut AnomalyCounts,
) {
    inputs.append(&mut rest.inputs);
    rest.anomalies.iter().for_each(|(name, count)| anomalies.add_named(name, *count));
    let findings = std::mem::take(&mut rest.summary);
    summary.merge(findings, |id| renumbered(id, first_id, &rest));
}

/// The number that a connection has among those of all reports, `first_id` of which come before its own report's.
fn renumbered(id: u64, first_id: u64, report: &Rest) -> u64 {
    // Those taken back have no number any more; reports count from 1.
    let gone = report.revised.range(..id).count() as u64;
    first_id.saturating_add(id).saturating_sub(gone)
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("reading {}", terminal(&path.to_string_lossy())))?;
    Ok(Box::new(BufReader::new(file)))
}
