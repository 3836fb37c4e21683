//! `wsclose annotate`: a capture whose packets say what they prove.

use crate::args::{AnnotateArgs, CommonArgs};
use crate::keys::KeyLogs;
use crate::offline::{EXIT_INCOMPLETE, is_same_file, must_be_a_file, options};
use crate::output::Selection;
use crate::show::each_block;
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::process::ExitCode;
use wsclose::analyzer::Analyzer;
use wsclose::analyzer::members::Members;
use wsclose::analyzer::record::ConnectionRecord;
use wsclose::capture::CaptureError;
use wsclose::capture::rewrite::{Changes, Rewritten, rewrite};
use wsclose::limits::Limits;
use wsclose::report::annotate::Annotations;
use wsclose::report::build::{self, Context};
use wsclose::report::diagnosis::Diagnoser;
use wsclose::report::escape::{named, terminal};
use wsclose::report::text::counted;

pub(crate) fn run(args: &AnnotateArgs) -> Result<ExitCode> {
    let name = args.file.to_string_lossy();
    must_be_a_file(&args.file, "annotate")?;
    if is_same_file(&args.file, &args.output) {
        bail!("{} would be overwritten", terminal(&name));
    }
    let limits = args.limits.limits();
    let mut found = search(args, &limits)?;
    if found.connections == 0 {
        bail!("{} holds no WebSocket connection that was asked for", terminal(&name));
    }
    if let Some(mut members) = found.members.take() {
        each_block(&args.file, &limits, |block| members.handle_block(block))?;
        found.annotations.keep_only(members.into_packets());
    }
    let mut written = Rewritten::default();
    match write(args, &found, &limits, &mut written)? {
        // Of a damaged capture the sound packets have been written, and what is wrong with the others was said.
        Err(error) if found.is_whole || !error.is_damage() => return Err(error.into()),
        _ => tell(args, &found, written),
    }
    Ok(if found.is_whole { ExitCode::SUCCESS } else { EXIT_INCOMPLETE.into() })
}

/// What the capture holds of what was asked for.
struct Found {
    annotations: Annotations,
    /// Finds the packets, where only those of the connections are kept.
    members: Option<Members>,
    connections: u64,
    is_whole: bool,
    /// Where the capture's damage begins, if only some packets are asked for: others may lie behind it.
    until: Option<u64>,
}

fn search(args: &AnnotateArgs, limits: &Limits) -> Result<Found> {
    let common = CommonArgs {
        only: args.only.clone(),
        closed_by: args.closed_by.clone(),
        ws_port: args.ws_port.clone(),
        encrypted: args.encrypted,
        limits: args.limits.clone(),
        ..CommonArgs::default()
    };
    let selection = Selection::new(&common);
    let mut options = options(&common);
    KeyLogs::new(&args.keylog).fill(&mut options, std::slice::from_ref(&args.file))?;
    let mut analyzer = Analyzer::new(options);
    let files = [args.file.to_string_lossy().into_owned()];
    let context = Context { files: &files, redact: false };
    let mut found = Found {
        annotations: Annotations::new(limits.comment_bytes),
        members: selection.is_narrowed().then(|| Members::new(limits)),
        connections: 0,
        is_whole: true,
        until: None,
    };
    let mut diagnoser = Diagnoser::new(limits.clone());
    let mut take = |record: &ConnectionRecord| take(record, &selection, context, &mut diagnoser, &mut found);
    let info = each_block(&args.file, limits, |block| {
        analyzer.handle_block(block);
        std::iter::from_fn(|| analyzer.poll_record()).for_each(|record| take(&record));
    })?;
    analyzer.finish();
    std::iter::from_fn(|| analyzer.poll_record()).for_each(|record| take(&record));
    found.annotations.findings(&diagnoser.findings(context));
    found.is_whole = info.complete;
    if let Some(error) = &info.error {
        found.until = error.offset.filter(|_| selection.is_narrowed());
        tell!("{}", named(&info.path, &error.reason));
    }
    Ok(found)
}

fn take(
    record: &ConnectionRecord,
    selection: &Selection,
    context: Context<'_>,
    diagnoser: &mut Diagnoser,
    found: &mut Found,
) {
    let id = found.connections + 1;
    let mut connection = build::connection(id, record, context);
    let is_listed = selection.lists(record, &connection.verdict);
    connection.diagnosis = diagnoser.take(is_listed.then_some(id), record, context);
    if is_listed {
        found.connections = id;
        found.annotations.connection(&connection, record.last.packet);
        if let Some(members) = &mut found.members {
            members.add(record);
        }
    }
}

/// Writes the output, all of it that can be written. The error outside is of the output, the one inside may be.
fn write(
    args: &AnnotateArgs,
    found: &Found,
    limits: &Limits,
    written: &mut Rewritten,
) -> Result<Result<(), CaptureError>> {
    let creating = || format!("creating {}", args.output.display());
    let mut out = BufWriter::new(File::create(&args.output).with_context(creating)?);
    let annotations = &found.annotations;
    let names = if args.no_names { Vec::new() } else { annotations.names() };
    let about = annotations.about();
    let changes = Changes {
        about: &about,
        names: &names,
        packets: Some(annotations),
        until: found.until,
        ..Changes::default()
    };
    let outcome = rewrite(&args.file, &changes, &mut out, limits, written);
    out.flush().with_context(|| format!("writing {}", args.output.display()))?;
    Ok(outcome)
}

fn tell(args: &AnnotateArgs, found: &Found, written: Rewritten) {
    let output = terminal(&args.output.to_string_lossy());
    let connections = counted(found.connections, "connection");
    let packets = counted(found.annotations.packets() as u64, "packet");
    tell!("{output}: comments on {packets} of {connections}; {} in all", counted(written.packets, "packet"));
    if written.uncommented > 0 {
        let packets = counted(written.uncommented, "packet");
        tell!("{packets} could take no comment: their blocks have no room for options");
    }
    if found.annotations.left_out() > 0 {
        let left_out = counted(found.annotations.left_out(), "comment");
        tell!("{left_out} left out, to keep to the limit comment_bytes");
    }
}
