//! `wsclose analyze`: saved captures.

use crate::args::{AnalyzeArgs, CommonArgs, Format};
use crate::keys::KeyLogs;
use crate::output::{Output, Selection, Totals, is_read_on_terminal};
use crate::read_ahead::{for_each_block, is_of_files};
use crate::reporter::{HandOver, Reporter, hand_over};
#[cfg(unix)]
use crate::signals;
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wsclose::analyzer::{Follower, Options, halves};
#[cfg(feature = "live")]
use wsclose::capture::filter::{PacketFilter, hides_parts};
#[cfg(feature = "live")]
use wsclose::capture::link_type::LinkType;
use wsclose::capture::merge::MergedSource;
use wsclose::capture::pipe::StopFlag;
#[cfg(unix)]
use wsclose::capture::pipe::is_pipe;
use wsclose::capture::{CaptureError, InputInfo};
use wsclose::limits::Limits;
use wsclose::report::escape::{named, terminal};
use wsclose::report::text::counted;
use wsclose::time::Timestamp;

/// Some input could not be read whole.
pub(crate) const EXIT_INCOMPLETE: u8 = 1;
/// A connection matched `--fail-on`.
const EXIT_MATCHED: u8 = 3;

/// A reader, a follower and a reporter: there is no work for more.
const THREADS_MAX: usize = 3;

pub(crate) fn run(args: &AnalyzeArgs) -> Result<ExitCode> {
    let mut options = options(&args.common);
    KeyLogs::new(&args.common.keylog).fill(&mut options, &args.files)?;
    let mut selection = Selection::new(&args.common);
    (selection.since, selection.until) = (args.since, args.until);
    check_inputs(&args.files)?;
    if args.since.zip(args.until).is_some_and(|(since, until)| since > until) {
        bail!("--since is later than --until");
    }
    check_filter(&args.common)?;
    check_output(args)?;
    let mut source = MergedSource::open_until(&args.files, &options.limits, &stop_of_pipes(&args.files)?);
    let threads = threads(args);
    if is_all_unread(args, &source.infos()) {
        return Ok(tell_unread(&source.infos()));
    }
    let (mut follower, settler) = halves(options);
    let mut reporter = Reporter { settler, output: Output::open(&args.common, selection, &source.infos())? };
    let mut read = Ok(());
    let at_once = !is_of_files(&source);
    reporter.serve(threads, at_once, |to| {
        read = read_all(args, &mut source, &mut follower, to);
        match &read {
            Err(error) if is_output_error(error) => return std::mem::replace(&mut read, Ok(())),
            _ => {}
        }
        // A filter that a later packet's link type does not allow ends the reading. What was read is reported all the
        // same.
        follower.finish();
        hand_over(&mut follower, to)
    })?;
    let infos = source.infos();
    if is_all_unread(args, &infos) {
        return Ok(tell_unread(&infos));
    }
    reporter.settler.finish();
    reporter.drain()?;
    reporter.output.read_again(&args.files, follower.keys(), &limits(&args.common))?;
    finish(&mut reporter, &follower, &infos)?;
    read?;
    let is_whole = warn_of_incomplete(&args.common, &infos) & warn_of_unsupported(&follower, &infos);
    warn_of_overlap(&infos);
    Ok(exit_status(is_whole, reporter.output.failed > 0))
}

/// What a report comes to: were its inputs read whole, and did a connection match `--fail-on`?
pub(crate) fn exit_status(is_whole: bool, has_failed: bool) -> ExitCode {
    match (is_whole, has_failed) {
        (_, true) => EXIT_MATCHED.into(),
        (false, false) => EXIT_INCOMPLETE.into(),
        (true, false) => ExitCode::SUCCESS,
    }
}

/// Was no input a capture? People are told that alone; programs get their document, which says so too.
fn is_all_unread(args: &AnalyzeArgs, infos: &[InputInfo]) -> bool {
    let is_for_programs = matches!(args.common.format, Format::Json | Format::Ndjson);
    !is_for_programs && infos.iter().all(|info| info.format.is_none() && info.error.is_some())
}

fn tell_unread(infos: &[InputInfo]) -> ExitCode {
    infos.iter().for_each(tell_incomplete);
    EXIT_INCOMPLETE.into()
}

fn tell_incomplete(info: &InputInfo) {
    let reason = info.error.as_ref().map_or("not read to its end", |error| error.reason.as_str());
    tell!("{}", named(&info.path, reason));
}

fn finish(reporter: &mut Reporter, follower: &Follower, infos: &[InputInfo]) -> Result<()> {
    let other_connections = follower.other_connections() + reporter.settler.other_connections();
    let totals = Totals {
        other_connections,
        encrypted_connections: follower.encrypted_connections(),
        anomalies: follower.anomalies().and(reporter.settler.anomalies()),
    };
    Ok(reporter.output.finish(totals, infos)?)
}

/// Threads to use: those asked for, else as many as there are processors, up to what helps.
fn threads(args: &AnalyzeArgs) -> usize {
    let available = || std::thread::available_parallelism().map_or(1, usize::from);
    args.threads.map_or_else(available, |threads| usize::from(threads.get())).min(THREADS_MAX)
}

fn is_output_error(error: &anyhow::Error) -> bool {
    error.downcast_ref::<CaptureError>().is_none()
}

/// What a filter hides of a connection that it lets through is as good as lost: no end without a Close is called abnormal then.
#[cfg(feature = "live")]
pub(crate) fn allow_for(filter: Option<&str>, follower: &mut Follower) {
    if filter.is_some_and(hides_parts) {
        follower.note_losses(Timestamp::MIN, Timestamp::MAX);
        tell!(
            "--filter chooses by size or TCP header, and may hide a Close or an acknowledgment: no end is called abnormal"
        );
    }
}

/// A filter that is valid for none of the usual link types is a wrong one: better said before anything is read.
#[cfg(feature = "live")]
fn check_filter(args: &CommonArgs) -> Result<()> {
    let Some(expression) = &args.filter else { return Ok(()) };
    let mut filter = PacketFilter::new(expression);
    let usual = [LinkType::LINUX_SLL2, LinkType::RAW, LinkType::NULL];
    match filter.compile(LinkType::ETHERNET) {
        Err(error) if usual.into_iter().all(|link_type| filter.compile(link_type).is_err()) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

#[cfg(not(feature = "live"))]
fn check_filter(_: &CommonArgs) -> Result<()> {
    Ok(())
}

fn check_inputs(files: &[PathBuf]) -> Result<()> {
    if files.len() > usize::from(u16::MAX) {
        bail!("{} inputs are more than packets can be told apart by: {} at most", files.len(), u16::MAX);
    }
    if files.iter().filter(|file| **file == Path::new("-")).count() > 1 {
        bail!("standard input (-) is named twice, and can be read once");
    }
    Ok(())
}

/// Creating the report must not destroy the capture, nor its keys.
fn check_output(args: &AnalyzeArgs) -> Result<()> {
    let Some(output) = args.common.output.as_ref().and_then(|path| path.canonicalize().ok()) else {
        return Ok(());
    };
    let same = |input: &&PathBuf| {
        let names_same = input.canonicalize().is_ok_and(|input| input == output);
        output.is_file() && (names_same || is_same_file(input, &output))
    };
    let from_environment = std::env::var_os("SSLKEYLOGFILE").map(PathBuf::from);
    match args.files.iter().chain(&args.common.keylog).chain(&from_environment).find(same) {
        Some(input) => {
            bail!("{} is an input; the report would overwrite it", terminal(&input.to_string_lossy()))
        }
        None => Ok(()),
    }
}

/// The flag that INT and TERM set where an input may have no end: what was read of it is reported then.
fn stop_of_pipes(files: &[PathBuf]) -> Result<StopFlag> {
    let stop = StopFlag::default();
    #[cfg(unix)]
    if files.iter().any(|file| is_pipe(file)) {
        signals::stop(&stop, &stop)?;
    }
    Ok(stop)
}

/// Is `file` one that can be read more than once, as `command` does? What is missing is named where it is opened.
pub(crate) fn must_be_a_file(file: &Path, command: &str) -> Result<()> {
    let can_be_read_again = file.is_file() || (file != Path::new("-") && !file.exists());
    if can_be_read_again { Ok(()) } else { bail!("{command} reads its input more than once: give it a file") }
}

/// Are they one file under two names (hard links, or `-` redirected from it)?
#[cfg(unix)]
pub(crate) fn is_same_file(input: &Path, output: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let input = if input == Path::new("-") { Path::new("/dev/stdin") } else { input };
    let identity = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino()));
    matches!((identity(input), identity(output)), (Ok(input), Ok(output)) if input == output)
}

#[cfg(not(unix))]
pub(crate) fn is_same_file(_: &Path, _: &Path) -> bool {
    false
}

/// What the arguments ask of the analysis.
pub(crate) fn options(args: &CommonArgs) -> Options {
    Options {
        limits: limits(args),
        verify_checksums: args.verify_checksums,
        no_midstream: args.no_midstream,
        ws_ports: args.ws_port.clone(),
        encrypted: args.encrypted,
        vantage: args.vantage.map(Into::into),
        ..Options::default()
    }
}

/// The limits that the arguments ask for.
pub(crate) fn limits(args: &CommonArgs) -> Limits {
    args.limits.limits()
}

fn read_all(
    args: &AnalyzeArgs,
    source: &mut MergedSource,
    follower: &mut Follower,
    to: &mut HandOver<'_>,
) -> Result<()> {
    #[cfg(feature = "live")]
    let mut filter = args.common.filter.as_deref().map(PacketFilter::new);
    #[cfg(feature = "live")]
    allow_for(args.common.filter.as_deref(), follower);
    #[cfg(not(feature = "live"))]
    let _ = args;
    let progress = progress(source.total_bytes());
    for_each_block(source, threads(args), |block, bytes_read| {
        #[cfg(feature = "live")]
        if let Some(filter) = &mut filter {
            filter.retain(block)?;
        }
        follower.handle_block(block);
        hand_over(follower, to)?;
        progress.set_position(bytes_read);
        Ok(())
    })?;
    progress.finish_and_clear();
    Ok(())
}

/// A progress bar on standard error, only on a terminal and only for what takes a while.
fn progress(total: Option<u64>) -> ProgressBar {
    const WORTH_SHOWING: u64 = 64 << 20;
    let shown = std::io::stderr().is_terminal() && total.is_some_and(|bytes| bytes >= WORTH_SHOWING);
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(total, target);
    let template = "{bar:40} {percent:>3}% {bytes_per_sec} {eta} left";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Names the inputs that could not be read whole, unless the report on the terminal has done so. True: there are none.
fn warn_of_incomplete(args: &CommonArgs, infos: &[InputInfo]) -> bool {
    let mut incomplete = infos.iter().filter(|info| !info.complete).peekable();
    let is_whole = incomplete.peek().is_none();
    if !is_read_on_terminal(args) {
        incomplete.for_each(tell_incomplete);
    }
    is_whole
}

/// Files of a rotated set follow each other. Where two run side by side they may come from different places: then the one
/// place's packets look as if the other had seen them.
fn warn_of_overlap(infos: &[InputInfo]) {
    let span = |info: &'_ InputInfo| Some((info.first_packet_at?, info.last_packet_at?));
    let mut spans: Vec<_> = infos.iter().filter_map(|info| Some((span(info)?, &info.path))).collect();
    spans.sort();
    let overlaps = |pair: &&[((Timestamp, Timestamp), &String)]| match pair {
        [((start, end), _), ((other_start, other_end), _)] => {
            let common = (*end).min(*other_end).nanos_since(*other_start);
            // At the boundary of two files a packet or two may be out of order.
            common > end.nanos_since(*start).min(other_end.nanos_since(*other_start)) / 2
        }
        _ => false,
    };
    if let Some([(_, one), (_, other)]) = spans.windows(2).find(overlaps) {
        tell!(
            "{} and {} overlap in time and are read as taken at one place: analyze captures of both ends of a \
             path one by one",
            terminal(one),
            terminal(other)
        );
    }
}

/// Names the link types that are not supported, the first few, each with the first file that has it. True: there are
/// none.
fn warn_of_unsupported(follower: &Follower, infos: &[InputInfo]) -> bool {
    const NAMED: usize = 8;
    let unsupported: Vec<_> = follower.decoder().unsupported_link_types().collect();
    for (link_type, packets) in unsupported.iter().take(NAMED) {
        let mut files = infos.iter().filter(|info| info.link_types.contains(link_type));
        let first = files.next().map_or_else(String::new, |info| format!("{}: ", terminal(&info.path)));
        let others = match files.count() {
            0 => String::new(),
            more => format!(" (and of {})", counted(more as u64, "other file")),
        };
        let packets = counted(*packets, "packet");
        tell!("{first}link type {link_type} is not supported: {packets} not looked at{others}");
    }
    if let more @ 1.. = unsupported.len().saturating_sub(NAMED) {
        tell!("{} more not supported", counted(more as u64, "link type"));
    }
    unsupported.is_empty()
}
