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
use std::collections::HashMap;
use std::io::{self, Write};
use wsclose::analyzer::Settled;
use wsclose::analyzer::record::{ConnectionRecord, Identity};
use wsclose::capture::InputInfo;
use wsclose::diagnosis::survey::Counted;
use wsclose::moment::Moment;
use wsclose::report::build;
use wsclose::report::model::{Address, Connection, Input, Line, Stats, Verdict};
use wsclose::report::text::{TextReport, TextStyle};
use wsclose::time::Timestamp;

/// The report of a live capture.
pub(crate) struct LiveOutput {
    pub(crate) output: Output,
    file: Option<SharedFile>,
    rotation: Option<Rotation>,
    /// Counts for the summary on demand.
    so_far: TextReport,
    /// What was said of connections before they ended.
    said: HashMap<Identity, Said>,
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
        Said { id: connection.id, client, server, verdict, counted: None }
    }
}

impl LiveOutput {
    pub(crate) fn open(args: &LiveArgs, infos: &[InputInfo]) -> Result<LiveOutput> {
        let common: &CommonArgs = &args.common;
        let file = common.output.as_deref().map(SharedFile::create).transpose()?;
        let sink: Box<dyn Write + Send> = match &file {
            Some(file) => Box::new(file.clone()),
            None => Box::new(io::BufWriter::new(io::stdout())),
        };
        let output =
            Output::open_on(sink, common, live_limits(common), Selection::new(common), infos)?.line_by_line();
        let names: Vec<String> = infos.iter().map(|info| info.path.clone()).collect();
        let so_far = TextReport::new(TextStyle::default(), &names);
        // Whoever starts it learns from the first line that it captures.
        file.as_ref().map_or(Ok(()), SharedFile::write_out)?;
        Ok(LiveOutput {
            output,
            file,
            rotation: args.rotate,
            so_far,
            said: HashMap::new(),
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
            Settled::Early(record) => {
                if let Some(said) = self.list(&record, false)? {
                    let said = Said { counted: self.output.diagnoser.last_counted(), ..said };
                    self.said.insert(record.identity(), said);
                }
            }
            Settled::Stands { identity } => {
                self.said.remove(&identity);
            }
            Settled::Revised { identity, at } => {
                if let Some(said) = self.said.remove(&identity) {
                    self.revise(&said, at)?;
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, record: &ConnectionRecord, has_ended: bool) -> Result<Option<Said>> {
        let (so_far, mut said) = (&mut self.so_far, None);
        let (recorder, mut recorded) = (&mut self.recorder, Ok(()));
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
            if let Some(recorder) = recorder {
                recorded = recorder.reported(record, connection, has_ended);
            }
            said = Some(Said::of(connection));
        })?;
        recorded?;
        self.listed += u64::from(said.is_some());
        Ok(said)
    }

    fn revise(&mut self, said: &Said, at: Moment) -> io::Result<()> {
        self.output.summary.uncount(&said.verdict);
        self.so_far.uncount(&said.verdict);
        if let Some(counted) = &said.counted {
            self.output.diagnoser.take_back(counted);
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

    /// Writes a `stats` line, where the format has such.
    pub(crate) fn stats(&mut self, mut stats: Stats) -> io::Result<()> {
        let Writer::Ndjson(writer) = &mut self.output.writer else { return Ok(()) };
        stats.ended.clone_from(&self.output.summary.by_label);
        writer.write(&Line::Stats(Box::new(stats)))
    }

    /// Writes the summary so far to standard error.
    pub(crate) fn summary_so_far(&mut self, totals: Totals, infos: &[InputInfo]) -> io::Result<()> {
        let inputs: Vec<Input> = infos.iter().map(|info| build::input(&still_open(info))).collect();
        let anomalies = self.output.sum_up(totals);
        let mut out = io::stderr().lock();
        self.so_far.write(&mut out, &inputs, &self.output.summary, &anomalies)?;
        out.flush()
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

    /// Opens the output file anew, after something else has moved it away.
    pub(crate) fn reopen(&mut self, infos: &[InputInfo]) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if file.reopen()? {
            self.begin_again(infos)?;
        }
        Ok(())
    }

    fn begin_again(&mut self, infos: &[InputInfo]) -> io::Result<()> {
        let Writer::Ndjson(writer) = &mut self.output.writer else { return Ok(()) };
        writer.begin_again(infos.iter().map(build::input).collect())
    }
}

/// A capture that goes on is no damaged one.
pub(crate) fn still_open(info: &InputInfo) -> InputInfo {
    InputInfo { complete: info.error.is_none(), ..info.clone() }
}

/// May early verdicts be written in this format?
pub(crate) fn can_revise(format: Format) -> bool {
    matches!(format, Format::Text | Format::Ndjson)
}
