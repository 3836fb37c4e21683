//! What live capture writes besides the connections: revisions, statistics, summaries on demand, rotated files.

use crate::args::{CommonArgs, Format, LiveArgs};
#[cfg(feature = "top")]
use crate::figures::Figures;
use crate::live::live_limits;
#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
use crate::output::{Output, Selection, Totals, Writer};
use crate::recorder::Recorder;
use crate::sink::{Rotation, SharedFile};
use anyhow::Result;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::path::PathBuf;
use wsclose::analyzer::Settled;
use wsclose::analyzer::record::{ConnectionRecord, Identity};
use wsclose::capture::InputInfo;
use wsclose::diagnosis::survey::Counted;
use wsclose::moment::Moment;
use wsclose::report::build;
use wsclose::report::csv::CsvWriter;
use wsclose::report::model::{Address, Connection, Input, Line, Stats, Verdict};
use wsclose::report::text::{TextReport, TextStyle, counted};
use wsclose::time::Timestamp;

/// The report of a live capture.
pub(crate) struct LiveOutput {
    pub(crate) output: Output,
    file: Option<SharedFile>,
    is_of_lines: bool,
    rotation: Option<Rotation>,
    /// Counts for the summary on demand.
    so_far: TextReport,
    /// What was said of connections before they ended.
    said: HashMap<Identity, Said>,
    /// Those that matched `--fail-on` before they ended, and are not listed.
    failed_unlisted: HashSet<Identity>,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<Metrics>,
    #[cfg(feature = "top")]
    pub(crate) figures: Option<Figures>,
    pub(crate) recorder: Option<Recorder>,
    /// Connections listed.
    pub(crate) listed: u64,
}

/// What was said of a connection before it ended.
struct Said {
    id: u64,
    client: Address,
    server: Address,
    verdict: Verdict<'static>,
    /// What the findings counted it for.
    counted: Option<Counted>,
    /// The file of its packets.
    recorded: Option<PathBuf>,
}

impl Said {
    fn of(connection: &Connection<'_>) -> Said {
        let owned = |text: &str| text.to_owned().into();
        let verdict = &connection.verdict;
        let verdict = Verdict {
            label: owned(&verdict.label),
            kind: owned(&verdict.kind),
            code: verdict.code,
            cause: verdict.cause.as_deref().map(owned),
            closed_by: verdict.closed_by.as_deref().map(owned),
            blind: None,
            clean: false,
            why: "".into(),
            probable: None,
        };
        let (client, server) = (connection.client.clone(), connection.server.clone());
        Said { id: connection.id, client, server, verdict, counted: None, recorded: None }
    }
}

impl LiveOutput {
    pub(crate) fn open(args: &LiveArgs, infos: &[InputInfo]) -> Result<LiveOutput> {
        let common: &CommonArgs = &args.common;
        let is_of_lines = common.format.is_of_lines();
        // What a run before this one has told stays.
        let open = if is_of_lines { SharedFile::append } else { SharedFile::create };
        let file = common.output.as_deref().map(open).transpose()?;
        let output = report(args, file.as_ref(), infos)?.line_by_line();
        let names: Vec<String> = infos.iter().map(|info| info.path.clone()).collect();
        let so_far = TextReport::new(TextStyle::default(), &names);
        // Whoever starts it learns from the first line that it captures.
        file.as_ref().map_or(Ok(()), SharedFile::write_out)?;
        file.iter().for_each(SharedFile::has_begun);
        Ok(LiveOutput {
            output,
            file,
            is_of_lines,
            rotation: args.rotate,
            so_far,
            said: HashMap::new(),
            failed_unlisted: HashSet::new(),
            #[cfg(feature = "metrics")]
            metrics: None,
            #[cfg(feature = "top")]
            figures: None,
            recorder: None,
            listed: 0,
        })
    }

    /// Writes what has been settled.
    pub(crate) fn take(&mut self, settled: Settled) -> Result<()> {
        match settled {
            Settled::Final(record) => self.list(&record, true).map(|_| ())?,
            Settled::Early(record) => self.list_early(&record)?,
            Settled::Stands { identity } => {
                self.said.remove(&identity);
                self.failed_unlisted.remove(&identity);
            }
            Settled::Revised { identity, at } => {
                if let Some(said) = self.said.remove(&identity) {
                    self.revise(&said, at)?;
                }
                let failed = u64::from(self.failed_unlisted.remove(&identity));
                self.output.failed = self.output.failed.saturating_sub(failed);
            }
            #[cfg(feature = "metrics")]
            Settled::Opened(turn) => self.metrics.iter_mut().for_each(|metrics| metrics.opened(&turn)),
            #[cfg(feature = "metrics")]
            Settled::Closing(turn) => self.metrics.iter_mut().for_each(|metrics| metrics.closing(&turn)),
            #[cfg(not(feature = "metrics"))]
            Settled::Opened(_) | Settled::Closing(_) => {}
        }
        Ok(())
    }

    /// Lists a connection before its end is certain: it may be taken back.
    fn list_early(&mut self, record: &ConnectionRecord) -> Result<()> {
        if let Some(said) = self.list(record, false)? {
            let said = Said { counted: self.output.diagnoser.last_counted(), ..said };
            self.said.insert(record.identity(), said);
        } else if self.output.selection.fails(&build::verdict(record)) {
            self.failed_unlisted.insert(record.identity());
        }
        Ok(())
    }

    fn list(&mut self, record: &ConnectionRecord, has_ended: bool) -> Result<Option<Said>> {
        let (so_far, mut said) = (&mut self.so_far, None);
        let recorder = &mut self.recorder;
        #[cfg(feature = "metrics")]
        let metrics = &mut self.metrics;
        #[cfg(feature = "top")]
        let figures = &mut self.figures;
        self.output.take_with(record, |connection| {
            so_far.count(connection.into());
            #[cfg(feature = "metrics")]
            if let Some(metrics) = metrics {
                metrics.count(connection);
            }
            #[cfg(feature = "top")]
            if let Some(figures) = figures {
                figures.count(connection);
            }
            let recorded =
                recorder.as_mut().and_then(|recorder| recorder.reported(record, connection, has_ended));
            said = Some(Said { recorded, ..Said::of(connection) });
        })?;
        self.listed += u64::from(said.is_some());
        Ok(said)
    }

    fn revise(&mut self, said: &Said, at: Moment) -> io::Result<()> {
        self.output.summary.uncount(&said.verdict);
        let failed = u64::from(self.output.selection.fails(&said.verdict));
        self.output.failed = self.output.failed.saturating_sub(failed);
        self.listed = self.listed.saturating_sub(1);
        self.so_far.uncount(&said.verdict);
        if let Some(counted) = &said.counted {
            self.output.diagnoser.take_back(counted);
        }
        if let Some((recorder, path)) = self.recorder.as_mut().zip(said.recorded.as_ref()) {
            recorder.take_back(path);
        }
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.metrics {
            metrics.revise();
        }
        #[cfg(feature = "top")]
        if let Some(figures) = &mut self.figures {
            figures.take_back(said.id, &said.verdict.label, &said.server);
        }
        let (label, packet) = (said.verdict.label.to_string(), at.packet);
        match &mut self.output.writer {
            Writer::Text(report, _) if self.output.only_totals => {
                report.uncount(&said.verdict);
                Ok(())
            }
            Writer::Text(report, out) => {
                report.write_revision(out, (&said.client, &said.server), &said.verdict, at)
            }
            Writer::Ndjson(writer) => {
                writer.write(&Line::Revised { id: said.id, label, at: at.at.to_rfc3339(), packet })
            }
            // These can take nothing back; nothing was said early.
            _ => Ok(()),
        }
    }

    /// The listed ends so far by label, with those that will be once they need not wait for their other leg.
    pub(crate) fn ended<'a>(
        &self,
        held_back: impl Iterator<Item = &'a ConnectionRecord>,
    ) -> BTreeMap<String, u64> {
        let mut ended = self.output.summary.by_label.clone();
        for record in held_back {
            let verdict = build::verdict(record);
            if self.output.selection.lists(record, &verdict) {
                *ended.entry(verdict.label.into_owned()).or_default() += 1;
            }
        }
        ended
    }

    /// Writes a `stats` line, where the format has such.
    pub(crate) fn stats(&mut self, stats: Stats) -> io::Result<()> {
        let Writer::Ndjson(writer) = &mut self.output.writer else { return Ok(()) };
        writer.write(&Line::Stats(Box::new(stats)))
    }

    /// Writes the summary so far to standard error.
    pub(crate) fn summary_so_far(
        &mut self,
        totals: Totals,
        infos: &[InputInfo],
        stats: &Stats,
    ) -> io::Result<()> {
        let inputs: Vec<Input> = infos.iter().map(|info| build::input(&still_open(info))).collect();
        let anomalies = self.output.sum_up(totals);
        let mut out = io::stderr().lock();
        self.so_far.write(&mut out, &inputs, &self.output.summary, &anomalies)?;
        writeln!(out, "\n{}", open_now(stats))?;
        out.flush()
    }

    /// The report can't be written any more: from now on all is counted alone, for a summary on standard error.
    pub(crate) fn fall_back(&mut self) {
        let report = std::mem::replace(&mut self.so_far, TextReport::new(TextStyle::default(), &[]));
        self.output.writer = Writer::Text(Box::new(report), Box::new(io::stderr()));
        self.output.only_totals = true;
        self.file = None;
    }

    /// Writes out what waits in the output file.
    pub(crate) fn write_out(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), SharedFile::write_out)
    }

    /// Is the output file so large, or so old, that it is to be rotated?
    pub(crate) fn is_rotation_due(&self) -> bool {
        self.file.as_ref().zip(self.rotation).is_some_and(|(file, rotation)| file.is_due(rotation))
    }

    /// Rotates the output file.
    pub(crate) fn rotate(&mut self, now: Timestamp, infos: &[InputInfo]) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.rotate(now)?;
        Ok(self.begin_again(infos)?)
    }

    /// Opens the output file anew, after something else has moved it away. A document goes on in the file that has its
    /// begin.
    pub(crate) fn reopen(&mut self, infos: &[InputInfo]) -> Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| self.is_of_lines) else { return Ok(()) };
        if file.reopen()? {
            self.begin_again(infos)?;
        }
        Ok(())
    }

    fn begin_again(&mut self, infos: &[InputInfo]) -> io::Result<()> {
        match &mut self.output.writer {
            Writer::Ndjson(writer) => writer.begin_again(infos.iter().map(build::input).collect())?,
            Writer::Csv(writer) => writer.begin_again()?,
            _ => {}
        }
        self.file.iter().for_each(SharedFile::has_begun);
        Ok(())
    }
}

/// The report, on `file` or standard output.
fn report(args: &LiveArgs, file: Option<&SharedFile>, infos: &[InputInfo]) -> Result<Output> {
    let common = &args.common;
    let selection = Selection::new(common);
    let sink: Box<dyn Write + Send> = match file {
        Some(file) => Box::new(file.clone()),
        None => Box::new(io::BufWriter::new(io::stdout())),
    };
    let writer = match file {
        Some(file) if common.format == Format::Csv && !file.is_empty() => {
            Writer::Csv(Box::new(CsvWriter::go_on(sink)))
        }
        _ => {
            let inputs: Vec<Input> = infos.iter().map(build::input).collect();
            Writer::open(sink, common, &inputs, selection.is_narrowed())?
        }
    };
    Ok(Output::on(writer, common, live_limits(common), selection, infos))
}

/// What no summary counts: those that have not ended.
fn open_now(stats: &Stats) -> String {
    let websockets = counted(stats.websockets.open, "WebSocket");
    let others = counted(stats.tcp_connections.open, "TCP connection");
    format!("Open now: {websockets}, {others} followed")
}

/// A capture that goes on is no damaged one.
pub(crate) fn still_open(info: &InputInfo) -> InputInfo {
    InputInfo { complete: info.error.is_none(), ..info.clone() }
}

/// May early verdicts be written in this format?
pub(crate) fn can_revise(format: Format) -> bool {
    matches!(format, Format::Text | Format::Ndjson)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::args::{Cli, Command};
    use crate::show::each_block;
    use clap::Parser as _;
    use std::path::Path;
    use wsclose::analyzer::{Analyzer, Options};
    use wsclose::limits::Limits;

    /// The report of a capture that has just begun, in a file of that format.
    fn opened(format: &str, path: &Path) -> LiveOutput {
        opened_with(format, path, &[])
    }

    fn opened_with(format: &str, path: &Path, more: &[&str]) -> LiveOutput {
        let path = path.to_str().unwrap();
        let arguments =
            ["wsclose", "live", "-i", "eth0", "--format", format, "-o", path, "--fail-on", "1006"];
        let arguments = arguments.iter().chain(more);
        match Cli::try_parse_from(arguments).unwrap().command {
            Some(Command::Live(args)) => LiveOutput::open(&args, &[]).unwrap(),
            _ => unreachable!("live was asked for"),
        }
    }

    fn finished(output: &mut LiveOutput) {
        let anomalies = wsclose::anomaly::AnomalyCounts::default();
        let totals = Totals { other_connections: 0, encrypted_connections: 0, anomalies };
        output.output.finish(totals, &[]).unwrap();
        output.write_out().unwrap();
    }

    fn in_folder(name: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        (folder, path)
    }

    #[test]
    fn each_file_of_rows_has_their_names_and_only_once() {
        let (_folder, path) = in_folder("ends.csv");
        let mut output = opened("csv", &path);
        let names = std::fs::read_to_string(&path).unwrap();
        assert!(names.starts_with("id,") && names.ends_with("\r\n") && names.lines().count() == 1, "{names}");
        output.reopen(&[]).unwrap();
        output.write_out().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), names, "nobody has moved it");
        std::fs::rename(&path, path.with_extension("1")).unwrap();
        output.reopen(&[]).unwrap();
        output.write_out().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), names);
        output.rotate(Timestamp::from_parts(1_795_378_478, 0), &[]).unwrap();
        finished(&mut output);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), names);
    }

    #[test]
    fn a_start_goes_on_behind_lines_and_begins_a_document_anew() {
        for (format, runs) in [("ndjson", 2), ("csv", 1), ("json", 1)] {
            let (_folder, path) = in_folder("ends");
            for _ in 0..2 {
                finished(&mut opened(format, &path));
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let begins = ["\"schema\":", "\"schema\": ", "id,"].map(|word| text.matches(word).count());
            assert_eq!(begins.iter().max(), Some(&runs), "{format}: {text}");
        }
    }

    #[test]
    fn what_is_taken_back_neither_fails_the_run_nor_counts() {
        let (_folder, path) = in_folder("ends.ndjson");
        let mut output = opened("ndjson", &path);
        let address = Address { address: std::net::Ipv4Addr::LOCALHOST.into(), port: 1 };
        let verdict = |label: &str, kind: &str| Verdict {
            label: label.to_owned().into(),
            kind: kind.to_owned().into(),
            code: None,
            cause: None,
            closed_by: None,
            blind: None,
            clean: false,
            why: "".into(),
            probable: None,
        };
        for (label, kind, left) in [("1001", "coded", 1), ("1006", "abnormal", 0)] {
            (output.output.failed, output.listed) = (1, 1);
            let (client, server, verdict) = (address.clone(), address.clone(), verdict(label, kind));
            let said = Said { id: 1, client, server, verdict, counted: None, recorded: None };
            output.revise(&said, Moment::default()).unwrap();
            assert_eq!((output.output.failed, output.listed), (left, 0), "{label}");
        }
    }

    /// What becomes of a connection whose peer fell silent.
    fn given_up() -> Box<ConnectionRecord> {
        let capture = "fixtures/captures/network-drop-ping/ws--ws.server.pcap";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(capture);
        let mut analyzer = Analyzer::new(Options::default());
        each_block(&path, &Limits::default(), |block| analyzer.handle_block(block)).unwrap();
        analyzer.finish();
        analyzer.poll_record().unwrap()
    }

    #[test]
    fn what_is_taken_back_does_not_fail_the_run_where_it_was_not_listed() {
        for only in [&[][..], &["--only", "1001"]] {
            let (_folder, path) = in_folder("ends.ndjson");
            let mut output = opened_with("ndjson", &path, only);
            let record = given_up();
            let (identity, at) = (record.identity(), record.last);
            for (last, left) in [(Settled::Revised { identity, at }, 0), (Settled::Stands { identity }, 1)] {
                output.take(Settled::Early(record.clone())).unwrap();
                assert_eq!(output.output.failed, 1, "{only:?}");
                output.take(last).unwrap();
                assert_eq!(output.output.failed, left, "{only:?}");
                assert!(output.said.is_empty() && output.failed_unlisted.is_empty());
            }
        }
    }

    #[test]
    fn the_summary_so_far_says_what_is_open() {
        let flow = |open| wsclose::report::model::Flow { opened: 9, open };
        let stats = Stats { websockets: flow(1), tcp_connections: flow(3), ..Stats::default() };
        assert_eq!(open_now(&stats), "Open now: 1 WebSocket, 3 TCP connections followed");
    }

    #[test]
    fn a_document_is_never_split() {
        let (_folder, path) = in_folder("ends.json");
        let mut output = opened("json", &path);
        let moved = path.with_extension("moved");
        std::fs::rename(&path, &moved).unwrap();
        output.reopen(&[]).unwrap();
        finished(&mut output);
        let document: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&moved).unwrap()).unwrap();
        assert!(document["summary"].is_object() && !path.exists(), "{document}");
    }
}
