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
        let gone: Vec<u64> = before.revised.iter().copied().collect();
        let name = terminal(&path.to_string_lossy());
        let (first_id, first_input) = (summary.connections, inputs.len());
        let mut unwritten = None;
        let read = read(open(path)?, &mut |mut connection| {
            if before.revised.contains(&connection.id) {
                return Ok(());
            }
            summary.count(&connection.verdict);
            connection.id = summary.connections;
            let front = connection.front_leg.filter(|id| !before.revised.contains(id));
            connection.front_leg = front.map(|id| renumbered(id, first_id, &gone));
            if several {
                name_files(&mut connection, first_input);
            }
            writer.connection(connection, false).map_err(|error| {
                unwritten = Some(error);
                io::ErrorKind::Other.into()
            })
        });
        if let Some(error) = unwritten {
            return Err(error.into());
        }
        let mut rest = read.with_context(|| format!("reading {name}"))?;
        if !rest.is_whole {
            tell!("{name}: no totals at its end: the report was cut short");
            is_whole = false;
        }
        if several {
            rest.summary.name_files(first_input);
        }
        summary.merge(std::mem::take(&mut rest.summary), |id| renumbered(id, first_id, &gone));
        inputs.append(&mut rest.inputs);
        rest.anomalies.iter().for_each(|(name, count)| anomalies.add_named(name, *count));
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

/// The number that a connection has among those of all reports, `first_id` of which come before its own report's.
fn renumbered(id: u64, first_id: u64, gone: &[u64]) -> u64 {
    // Those taken back have no number any more; reports count from 1.
    let gone = gone.partition_point(|one| *one < id) as u64;
    first_id.saturating_add(id).saturating_sub(gone)
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("reading {}", terminal(&path.to_string_lossy())))?;
    Ok(Box::new(BufReader::new(file)))
}
