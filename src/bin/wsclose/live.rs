//! `wsclose live`: interfaces, each end as it happens.
//!
//! ```text
//!  LiveSource --packets--> Follower --Followed--> Settler --Settled--> LiveOutput
//!       |                     ^  advance(now) in silence                  ^
//!       +-- losses, clock ----+                   signals, timers --------+
//! ```
//!
//! All on one thread: what waits is the kernel's buffer.

#[cfg(feature = "top")]
use crate::args::Format;
use crate::args::{CommonArgs, DirectionArg, LiveArgs};
#[cfg(feature = "top")]
use crate::figures::Figures;
use crate::is_broken_pipe;
use crate::keys::KeyLogs;
use crate::live_output::{LiveOutput, can_revise, still_open};
#[cfg(feature = "metrics")]
use crate::metrics::{self, Metrics};
use crate::offline::{EXIT_INCOMPLETE, allow_for, exit_status, options};
use crate::output::Totals;
#[cfg(feature = "top")]
use crate::output::uses_color;
use crate::recorder::{Recorder, Settings};
use crate::sandbox::{self, Needs};
use crate::signals;
#[cfg(feature = "top")]
use crate::top::{self, Top};
use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGUSR1};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wsclose::analyzer::{Follower, Options, Settler, halves};
use wsclose::anomaly::Anomaly;
use wsclose::capture::live::{self, Direction, LiveOptions, LiveSource, now};
use wsclose::capture::{CaptureError, InputInfo, More};
use wsclose::decode::is_supported;
use wsclose::limits::Limits;
use wsclose::report::escape::terminal;
use wsclose::report::model::{Flow, Memory, Stats};

pub(crate) fn run(args: &LiveArgs) -> Result<ExitCode> {
    let has_view = has_view(args)?;
    check(args)?;
    let signals = Signals::install(has_view)?;
    let mut options = options(&args.common);
    options.limits = live_limits(&args.common);
    options.dead_after = can_revise(args.common.format).then_some(args.dead_after);
    #[cfg(feature = "metrics")]
    {
        options.turns = args.metrics.is_some();
    }
    let mut key_logs = KeyLogs::new(&args.common.keylog);
    options.more_keys = !key_logs.is_empty();
    key_logs.fill(&mut options, &[])?;
    let source = open(args, &signals)?;
    #[cfg(feature = "metrics")]
    let listener = args.metrics.map(metrics::listen).transpose()?;
    if !args.no_sandbox {
        sandbox::drop_rights(args.user.as_deref())?;
    }
    let mut output = LiveOutput::open(args, &source.infos())?;
    #[cfg(feature = "top")]
    if has_view && args.common.output.is_none() {
        output.output.totals_only();
    }
    output.recorder = recorder(args, &options)?;
    if !args.no_sandbox {
        sandbox::confine(&needs(args, &key_logs))?;
    }
    if args.try_forbidden {
        return Ok(if sandbox::try_forbidden() { ExitCode::SUCCESS } else { EXIT_INCOMPLETE.into() });
    }
    #[cfg(feature = "metrics")]
    if let Some(listener) = listener {
        let (metrics, registry) = Metrics::new();
        metrics::serve(&listener, registry, &metrics.heartbeat)?;
        output.metrics = Some(metrics);
    }
    let (follower, settler) = halves(options);
    let timers = Timers::start(args);
    let mut watch = Watch {
        source,
        follower,
        settler,
        output,
        key_logs,
        signals,
        timers,
        #[cfg(feature = "top")]
        top: None,
    };
    #[cfg(feature = "top")]
    if has_view {
        watch.open_view(args)?;
    }
    allow_for(args.common.filter.as_deref(), &mut watch.follower);
    let outcome = watch.run(args);
    #[cfg(feature = "top")]
    watch.close_view();
    watch.end(outcome)
}

/// The interfaces, each of a link type that is decoded.
fn open(args: &LiveArgs, signals: &Signals) -> Result<LiveSource> {
    let source = LiveSource::open(&live_options(args)?, Arc::clone(&signals.stop))?;
    let refused = source.links().find(|(_, link_type)| !is_supported(*link_type)).map(|(name, link_type)| {
        format!("can't capture on {name}: its link type, {link_type}, is not supported")
    });
    refused.map_or(Ok(source), |text| Err(anyhow::Error::msg(text)))
}

/// Refuses what can't be, and warns of what may not be meant.
fn check(args: &LiveArgs) -> Result<()> {
    // Packets are evidence as they are: nothing can be left out of them.
    if args.common.redact && args.record.is_some() {
        tell!(
            "--redact does not reach the packets that --record writes: they hold query strings, headers and payload"
        );
    }
    let mut named = args.interfaces.iter().enumerate();
    if let Some((_, twice)) =
        named.find(|(place, name)| args.interfaces.iter().take(*place).any(|it| it == *name))
    {
        anyhow::bail!("the interface {} is named twice", terminal(twice));
    }
    // A part of a document is none: only lines may go on in another file.
    if args.rotate.is_some() && !args.common.format.is_of_lines() {
        anyhow::bail!(
            "--rotate would cut this format's one document in pieces: use --format ndjson (or text, or csv)"
        );
    }
    Ok(())
}

/// Is the terminal to be drawn on?
#[cfg(feature = "top")]
fn has_view(args: &LiveArgs) -> Result<bool> {
    if args.top {
        top::check()?;
        if args.common.output.is_none() && args.common.format != Format::Text {
            anyhow::bail!("--top takes standard output: name a file by --output for the report");
        }
    }
    Ok(args.top)
}

#[cfg(not(feature = "top"))]
fn has_view(_: &LiveArgs) -> Result<bool> {
    Ok(false)
}

/// A capture under way.
struct Watch {
    source: LiveSource,
    follower: Follower,
    settler: Settler,
    output: LiveOutput,
    key_logs: KeyLogs,
    signals: Signals,
    timers: Timers,
    #[cfg(feature = "top")]
    top: Option<Top>,
}

impl Watch {
    /// Captures until a stop condition holds. `Some`: until the interface failed.
    fn run(&mut self, args: &LiveArgs) -> Result<Option<CaptureError>> {
        loop {
            self.source.wait();
            #[cfg(feature = "metrics")]
            self.output.metrics.iter().for_each(|metrics| metrics.heartbeat.beat());
            self.key_logs.follow(&mut self.follower);
            // An interface may go away. What was captured before is reported all the same.
            let more = self.take();
            self.settle()?;
            self.answer_signals()?;
            self.keep_time()?;
            self.output.write_out()?;
            let enough = args.count.is_some_and(|count| self.output.listed >= count);
            match more {
                Err(error) => return Ok(Some(error)),
                Ok(More::No) => return Ok(None),
                // What the kernel still holds is taken first.
                Ok(More::Yes) if enough || self.timers.is_over() => self.signals.stop(),
                Ok(More::Yes) => {}
            }
        }
    }

    /// Takes the packets there are.
    fn take(&mut self) -> Result<More, CaptureError> {
        let Watch { source, follower, output, .. } = self;
        let mut recorder = output.recorder.as_mut();
        source.take(|packet, bytes| {
            if let Some(recorder) = &mut recorder {
                recorder.take(packet, bytes);
            }
            follower.handle_packet(packet, bytes);
        })
    }

    /// Brings what was taken to an end, as far as it has come to one.
    fn settle(&mut self) -> Result<()> {
        for loss in self.source.take_losses() {
            self.follower.note_losses(loss.from, loss.to);
        }
        if let Some(back) = self.follower.follow_clock(now()) {
            let seconds = Duration::from_nanos(back).as_secs_f64();
            self.say(&format!("the clock has stepped back by {seconds:.1} s"));
        }
        if self.source.is_silent() {
            // In silence no packet tells the time.
            self.follower.advance(now());
        }
        for notice in self.source.take_notices() {
            self.say(&notice);
        }
        self.drain()?;
        self.tell_of_recorder();
        Ok(())
    }

    fn tell_of_recorder(&mut self) {
        let notices = self.output.recorder.as_mut().map(Recorder::take_notices);
        for notice in notices.into_iter().flatten() {
            self.say(&notice);
        }
    }

    /// Tells the user, on standard error, or on the view while there is one.
    fn say(&mut self, notice: &str) {
        #[cfg(feature = "top")]
        if let Some(figures) = self.output.figures.as_mut().filter(|_| self.top.is_some()) {
            figures.note(notice);
            return;
        }
        tell!("{}", terminal(notice));
    }

    /// Writes what has been settled.
    fn drain(&mut self) -> Result<()> {
        self.settler.advance(self.follower.now());
        self.report()?;
        while let Some(followed) = self.follower.poll() {
            self.settler.take(followed);
            self.report()?;
        }
        Ok(())
    }

    fn report(&mut self) -> Result<()> {
        while let Some(settled) = self.settler.poll() {
            self.output.take(settled)?;
        }
        Ok(())
    }

    fn answer_signals(&mut self) -> Result<()> {
        if Signals::take(&self.signals.reopen) {
            let infos = self.infos();
            self.output.reopen(&infos)?;
        }
        if Signals::take(&self.signals.summary) && self.may_write_to_stderr() {
            let (totals, infos, stats) = (self.totals(), self.infos(), self.stats());
            // A capture needs no standard error.
            let _ = self.output.summary_so_far(totals, &infos, &stats);
        }
        Ok(())
    }

    fn keep_time(&mut self) -> Result<()> {
        #[cfg(feature = "metrics")]
        if self.output.metrics.is_some() && self.timers.is_metrics_due() {
            let stats = self.stats();
            self.output.metrics.iter_mut().for_each(|metrics| metrics.set(stats.clone()));
        }
        #[cfg(feature = "top")]
        self.show();
        if self.timers.is_stats_due() {
            self.write_stats()?;
        }
        if self.output.is_rotation_due() {
            let infos = self.infos();
            self.output.rotate(now(), &infos)?;
        }
        Ok(())
    }

    /// A summary in the middle of the view would be of no use to anybody.
    fn may_write_to_stderr(&self) -> bool {
        #[cfg(feature = "top")]
        return self.top.is_none() || !std::io::IsTerminal::is_terminal(&std::io::stderr());
        #[cfg(not(feature = "top"))]
        true
    }

    fn infos(&self) -> Vec<InputInfo> {
        self.source.infos().iter().map(still_open).collect()
    }

    fn totals(&self) -> Totals {
        Totals {
            other_connections: self.follower.other_connections() + self.settler.other_connections(),
            encrypted_connections: self.follower.encrypted_connections(),
            anomalies: self.follower.anomalies().and(self.settler.anomalies()),
        }
    }

    fn write_stats(&mut self) -> Result<()> {
        let mut stats = self.stats();
        let dropped = stats.dropped_by_kernel.saturating_add(stats.dropped_by_interface);
        stats.dropped_since_last = self.timers.new_drops(dropped);
        Ok(self.output.stats(stats)?)
    }

    fn stats(&self) -> Stats {
        let (dropped, infos) = (self.source.dropped(), self.source.infos());
        let sum = |of: fn(&InputInfo) -> u64| infos.iter().map(of).fold(0, u64::saturating_add);
        let (follower, settler) = (&self.follower, &self.settler);
        Stats {
            at: now().to_rfc3339(),
            uptime_s: self.timers.began.elapsed().as_secs_f64(),
            packets: sum(|info| info.packets),
            bytes: sum(|info| info.bytes),
            dropped_by_kernel: dropped.by_kernel,
            dropped_by_interface: dropped.by_interface,
            tcp_connections: Flow {
                opened: follower.opened_connections(),
                open: follower.open_connections() as u64,
            },
            websockets: Flow { opened: settler.opened_websockets(), open: settler.open_websockets() },
            evicted: follower.anomalies().of(Anomaly::FlowEvicted),
            memory: Memory {
                connections: follower.connection_bytes() as u64,
                out_of_order: follower.held_bytes() as u64,
                fragments: follower.decoder().held_fragment_bytes() as u64,
                waiting: settler.waiting_bytes() as u64,
                survey: self.output.output.diagnoser.memory() as u64,
                recorder: self.output.recorder.as_ref().map_or(0, Recorder::memory) as u64,
            },
            recordings: self.output.recorder.as_ref().map(|recorder| recorder.recordings),
            ended: self.output.ended(settler.held_back()),
            ..Stats::default()
        }
    }

    /// Tells what is to be told at the end of the capture, and its exit status.
    fn end(&mut self, outcome: Result<Option<CaptureError>>) -> Result<ExitCode> {
        let outcome = outcome.and_then(|failure| self.finish().map(|()| failure));
        if outcome.as_ref().is_err_and(|error| !is_broken_pipe(error)) {
            self.output.fall_back();
            // Standard error may be full, too; the error is what counts.
            let _ = self.finish();
        }
        if let Some(recorder) = self.output.recorder.as_ref().filter(|recorder| recorder.recordings.lost > 0)
        {
            tell!("{}", recorder.losses());
        }
        if let Some(error) = outcome? {
            tell!("{}", terminal(&error.to_string()));
            return Ok(EXIT_INCOMPLETE.into());
        }
        // One of several interfaces may have gone: the summary says so, and so does the status.
        let is_whole = self.source.infos().iter().all(|info| info.complete);
        Ok(exit_status(is_whole, self.output.output.failed > 0))
    }

    /// Everything left goes through the same judge as at the end of a file.
    fn finish(&mut self) -> Result<()> {
        for loss in self.source.take_losses() {
            self.follower.note_losses(loss.from, loss.to);
        }
        self.follower.advance(now());
        self.follower.finish();
        self.drain()?;
        self.settler.finish();
        self.report()?;
        self.tell_of_recorder();
        self.write_stats()?;
        let (totals, infos) = (self.totals(), self.source.infos());
        self.output.output.finish(totals, &infos)?;
        Ok(self.output.write_out()?)
    }
}

#[cfg(feature = "top")]
impl Watch {
    fn open_view(&mut self, args: &LiveArgs) -> Result<()> {
        self.output.figures = Some(Figures::new(&args.interfaces));
        self.top = Some(Top::open(uses_color(args.common.color))?);
        Ok(())
    }

    /// Brings the view up to date. A terminal that is gone ends the capture, which is reported all the same.
    fn show(&mut self) {
        let Some(top) = &mut self.top else { return };
        let mut is_over = top.wants_to_quit();
        let is_due = top.is_due();
        let stats = is_due.then(|| self.stats());
        if let Some((figures, top)) = self.output.figures.as_mut().zip(self.top.as_mut()) {
            figures.now = self.timers.began.elapsed().as_secs();
            if let Some(stats) = stats {
                figures.set(stats);
                is_over |= top.draw(figures).is_err();
            }
        }
        if is_over {
            self.signals.stop();
        }
    }

    /// Gives the terminal back, and tells there what was told on the view.
    fn close_view(&mut self) {
        if self.top.take().is_none() {
            return;
        }
        self.signals.arm();
        for notice in self.output.figures.iter().flat_map(|figures| &figures.notices) {
            tell!("{notice}");
        }
    }
}

/// What signals have asked for.
struct Signals {
    stop: Arc<AtomicBool>,
    /// The next one of INT and TERM ends the process at once.
    #[cfg(feature = "top")]
    is_last: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
    summary: Arc<AtomicBool>,
}

impl Signals {
    fn install(has_view: bool) -> Result<Signals> {
        let [stop, reopen, summary, is_last] = [(); 4].map(|()| Arc::new(AtomicBool::new(false)));
        // To end at once would leave the terminal as the view has it.
        let is_last = if has_view { is_last } else { Arc::clone(&stop) };
        signals::stop(&stop, &is_last)?;
        for (signal, flag) in [(SIGHUP, &reopen), (SIGUSR1, &summary)] {
            signal_hook::flag::register(signal, Arc::clone(flag)).context("installing a signal handler")?;
        }
        Ok(Signals {
            stop,
            #[cfg(feature = "top")]
            is_last,
            reopen,
            summary,
        })
    }

    /// From now on a second signal may end the process at once.
    #[cfg(feature = "top")]
    fn arm(&self) {
        self.is_last.store(self.stop.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn take(flag: &AtomicBool) -> bool {
        flag.swap(false, Ordering::Relaxed)
    }
}

/// What is due when.
struct Timers {
    began: Instant,
    duration: Option<Duration>,
    interval: Duration,
    stats_at: Instant,
    #[cfg(feature = "metrics")]
    metrics_at: Instant,
    dropped: u64,
}

impl Timers {
    fn start(args: &LiveArgs) -> Timers {
        let began = Instant::now();
        let (duration, interval) = (args.duration, args.interval);
        Timers {
            began,
            duration,
            interval,
            stats_at: began + interval,
            #[cfg(feature = "metrics")]
            metrics_at: began,
            dropped: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.duration.is_some_and(|duration| self.began.elapsed() >= duration)
    }

    #[cfg(feature = "metrics")]
    fn is_metrics_due(&mut self) -> bool {
        let is_due = Instant::now() >= self.metrics_at;
        if is_due {
            self.metrics_at = Instant::now() + Duration::from_secs(1);
        }
        is_due
    }

    fn is_stats_due(&mut self) -> bool {
        let is_due = Instant::now() >= self.stats_at;
        if is_due {
            self.stats_at = Instant::now() + self.interval;
        }
        is_due
    }

    fn new_drops(&mut self, total: u64) -> u64 {
        let before = std::mem::replace(&mut self.dropped, total);
        total.saturating_sub(before)
    }
}

fn recorder(args: &LiveArgs, options: &Options) -> Result<Option<Recorder>> {
    let Some(folder) = args.record.clone() else { return Ok(None) };
    let settings = Settings {
        folder,
        budget: usize::try_from(args.record_budget).unwrap_or(usize::MAX),
        disk: args.record_disk,
        only: args.record_only.clone(),
        interfaces: args.interfaces.clone(),
    };
    Recorder::new(settings, &options.limits).map(Some)
}

/// What the run will open again once its rights are given up.
fn needs(args: &LiveArgs, key_logs: &KeyLogs) -> Needs {
    let folder = |path: &PathBuf| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let folders = args.common.output.iter().map(folder).chain(args.record.clone());
    Needs { folders: folders.collect(), files: key_logs.paths() }
}

/// What `--memory` and `--limit` ask for, from the limits of a capture without end.
pub(crate) fn live_limits(args: &CommonArgs) -> Limits {
    args.limits.onto(args.limits.memory.map_or_else(Limits::default, Limits::within).for_live())
}

fn live_options(args: &LiveArgs) -> Result<LiveOptions> {
    let bytes = args.buffer.checked_mul(1 << 20).and_then(|bytes| i32::try_from(bytes).ok());
    Ok(LiveOptions {
        interfaces: args.interfaces.clone(),
        snaplen: i32::try_from(args.snaplen).context("--snaplen is too large")?,
        buffer_bytes: bytes.context("--buffer is too large: at most 2047 MiB")?,
        promiscuous: args.promiscuous,
        filter: args.common.filter.clone(),
        direction: match args.direction {
            DirectionArg::Both => Direction::Both,
            DirectionArg::In => Direction::In,
            DirectionArg::Out => Direction::Out,
        },
        ..LiveOptions::default()
    })
}

/// `wsclose interfaces`.
pub(crate) fn interfaces() -> Result<ExitCode> {
    let mut out = anstream::stdout().lock();
    for interface in live::interfaces()? {
        let link_type = interface.link_type.map_or_else(|| "-".to_owned(), |link_type| link_type.to_string());
        let state = if interface.up { "up" } else { "down" };
        let about = if interface.addresses.is_empty() {
            interface.description.unwrap_or_default()
        } else {
            interface.addresses.join(" ")
        };
        let (name, about) = (terminal(&interface.name), terminal(&about));
        writeln!(out, "{name:<16} {state:<5} {link_type:<12} {about}")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
