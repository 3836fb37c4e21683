//! `wsclose analyze`: saved captures.

use crate::args::{AnalyzeArgs, CommonArgs};
use crate::output::{Output, Selection};
use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use wsclose::analyzer::{Analyzer, Options};
use wsclose::capture::merge::MergedSource;
use wsclose::capture::{Block, More, Source as _};
use wsclose::limits::Limits;
use wsclose::time::Timestamp;

/// Some input could not be read whole.
const EXIT_INCOMPLETE: u8 = 1;
/// A connection matched `--fail-on`.
const EXIT_MATCHED: u8 = 3;

pub(crate) fn run(args: &AnalyzeArgs) -> Result<ExitCode> {
    let options = options(&args.common);
    let mut selection = Selection::new(&args.common)?;
    let time = |name: &str, text: &Option<String>| -> Result<Option<Timestamp>> {
        text.as_deref().map(Timestamp::parse_rfc3339).transpose().with_context(|| format!("--{name}"))
    };
    selection.since = time("since", &args.since)?;
    selection.until = time("until", &args.until)?;
    let mut source = MergedSource::open(&args.files, &options.limits);
    let mut analyzer = Analyzer::new(options);
    let mut output = Output::open(&args.common, selection, &source.infos())?;
    read_all(args, &mut source, &mut analyzer, &mut output)?;
    analyzer.finish();
    let infos = source.infos();
    output.finish(&mut analyzer, &infos)?;
    for info in infos.iter().filter(|info| !info.complete) {
        let reason = info.error.as_ref().map_or("not read to its end", |error| error.reason.as_str());
        anstream::eprintln!("wsclose: {}: {}", info.path.escape_debug(), reason.escape_debug());
    }
    warn_of_unsupported(&analyzer);
    Ok(match (infos.iter().all(|info| info.complete), output.has_failed) {
        (_, true) => EXIT_MATCHED.into(),
        (false, false) => EXIT_INCOMPLETE.into(),
        (true, false) => ExitCode::SUCCESS,
    })
}

/// What the arguments ask of the analysis.
pub(crate) fn options(args: &CommonArgs) -> Options {
    Options {
        limits: Limits::default(),
        verify_checksums: args.verify_checksums,
        no_midstream: args.no_midstream,
        ws_ports: args.ws_port.clone(),
        vantage: args.vantage.map(Into::into),
    }
}

fn read_all(
    args: &AnalyzeArgs,
    source: &mut MergedSource,
    analyzer: &mut Analyzer,
    output: &mut Output,
) -> Result<()> {
    #[cfg(feature = "live")]
    let mut filter = args.common.filter.as_deref().map(wsclose::capture::filter::PacketFilter::new);
    #[cfg(not(feature = "live"))]
    let _ = args;
    let progress = progress(source.total_bytes());
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block)?;
        #[cfg(feature = "live")]
        if let Some(filter) = &mut filter {
            filter.retain(&mut block)?;
        }
        analyzer.handle_block(&block);
        output.drain(analyzer)?;
        progress.set_position(source.bytes_read());
        if more == More::No {
            progress.finish_and_clear();
            return Ok(());
        }
    }
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

fn warn_of_unsupported(analyzer: &Analyzer) {
    for (link_type, packets) in analyzer.decoder().unsupported_link_types() {
        anstream::eprintln!(
            "wsclose: link type {link_type} is not supported: {packets} packets were not looked at"
        );
    }
}
