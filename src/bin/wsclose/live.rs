//! `wsclose live`: an interface, each end as it happens.

use crate::args::LiveArgs;
use crate::keys::KeyLogs;
use crate::offline::{EXIT_INCOMPLETE, EXIT_MATCHED, options};
use crate::output::{Output, Selection, Totals};
use anyhow::{Context as _, Result};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wsclose::analyzer::Analyzer;
use wsclose::capture::live::{self, LiveOptions, LiveSource};
use wsclose::capture::{Block, InputInfo, More, Source as _};
use wsclose::report::escape::terminal;
use wsclose::time::Timestamp;

pub(crate) fn run(args: &LiveArgs) -> Result<ExitCode> {
    let selection = Selection::new(&args.common);
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(&stop)?;
    let mut source = LiveSource::open(&live_options(args)?, Arc::clone(&stop))?;
    let mut options = options(&args.common);
    let mut key_logs = KeyLogs::new(&args.common.keylog);
    options.more_keys = !key_logs.is_empty();
    key_logs.fill(&mut options, &[])?;
    let mut analyzer = Analyzer::new(options);
    let mut output = Output::open(&args.common, selection, &[source.info()])?.line_by_line();
    let deadline = args.duration.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut ended = 0;
    let mut block = Block::default();
    let mut failure = None;
    loop {
        // An interface may go away. What was captured before is reported all the same.
        let more = source.read_block(&mut block).unwrap_or_else(|error| {
            failure = Some(error);
            More::No
        });
        key_logs.follow(&mut analyzer);
        analyzer.handle_block(&block);
        if block.packets.is_empty() {
            analyzer.advance(now());
        }
        ended += drain(&mut analyzer, &mut output)?;
        let enough = args.count.is_some_and(|count| ended >= count);
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if more == More::No || stop.load(Ordering::Relaxed) || enough || late {
            break;
        }
    }
    analyzer.finish();
    // Asked to stop, a live capture is whole; only an interface that failed cuts it short.
    let info = InputInfo { complete: failure.is_none(), ..source.info() };
    drain(&mut analyzer, &mut output)?;
    let totals = Totals {
        other_connections: analyzer.other_connections(),
        encrypted_connections: analyzer.encrypted_connections(),
        anomalies: analyzer.anomalies(),
    };
    output.finish(totals, &[info])?;
    if let Some(error) = failure {
        anstream::eprintln!("wsclose: {}", terminal(&error.to_string()));
        return Ok(EXIT_INCOMPLETE.into());
    }
    Ok(if output.has_failed { EXIT_MATCHED.into() } else { ExitCode::SUCCESS })
}

/// Writes what has ended; gives how many connections.
fn drain(analyzer: &mut Analyzer, output: &mut Output) -> Result<u64> {
    let mut listed = 0;
    while let Some(record) = analyzer.poll_record() {
        listed += u64::from(output.take(&record)?);
    }
    Ok(listed)
}

/// The time of day: on a quiet interface no packet tells it.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

/// SIGINT and SIGTERM end the capture; what is open is then judged and the summary printed.
fn stop_on_signals(stop: &Arc<AtomicBool>) -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(stop)).context("installing a signal handler")?;
    }
    Ok(())
}

fn live_options(args: &LiveArgs) -> Result<LiveOptions> {
    let bytes = args.buffer.checked_mul(1 << 20).and_then(|bytes| i32::try_from(bytes).ok());
    Ok(LiveOptions {
        interface: args.interface.clone(),
        snaplen: i32::try_from(args.snaplen).context("--snaplen is too large")?,
        buffer_bytes: bytes.context("--buffer is too large: at most 2047 MiB")?,
        promiscuous: args.promiscuous,
        filter: args.common.filter.clone(),
        ..LiveOptions::default()
    })
}

pub(crate) fn interfaces() -> Result<ExitCode> {
    for interface in live::interfaces()? {
        let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
        anstream::println!("{:<16} {}", interface.name, addresses.join(" "));
    }
    Ok(ExitCode::SUCCESS)
}
