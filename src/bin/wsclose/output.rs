//! Where reports go: the chosen format, the chosen file, the chosen connections.

use crate::again::Worst;
use crate::args::{CommonArgs, Format, When};
use crate::offline::limits;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use wsclose::analyzer::record::ConnectionRecord;
use wsclose::anomaly::{Anomaly, AnomalyCounts};
use wsclose::capture::InputInfo;
use wsclose::limits::Limits;
use wsclose::report::build::{self, Context, Outline};
use wsclose::report::csv::CsvWriter;
use wsclose::report::diagnosis::Diagnoser;
use wsclose::report::filter::Selector;
use wsclose::report::html::HtmlReport;
use wsclose::report::json::JsonWriter;
use wsclose::report::model::{Connection, Input, Summary, Verdict};
use wsclose::report::ndjson::NdjsonWriter;
#[cfg(feature = "parquet")]
use wsclose::report::parquet::ParquetWriter;
use wsclose::report::summary::Legs;
use wsclose::report::text::{TextReport, TextStyle};
use wsclose::time::Timestamp;
use wsclose::tls::keylog::KeyLog;

/// Which connections are listed.
#[derive(Default)]
pub(crate) struct Selection {
    only: Vec<Selector>,
    closed_by: Vec<String>,
    fail_on: Vec<Selector>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

impl Selection {
    pub(crate) fn new(args: &CommonArgs) -> Self {
        Selection {
            only: args.only.clone(),
            closed_by: args.closed_by.clone(),
            fail_on: args.fail_on.clone(),
            since: None,
            until: None,
        }
    }

    pub(crate) fn is_narrowed(&self) -> bool {
        let by_time = self.since.is_some() || self.until.is_some();
        by_time || !self.only.is_empty() || !self.closed_by.is_empty()
    }

    pub(crate) fn lists(&self, record: &ConnectionRecord, verdict: &Verdict<'_>) -> bool {
        let by = verdict.closed_by.as_deref().unwrap_or_default();
        let ended = record.teardown.tcp_end().map_or(record.last, |end| end.at);
        (self.only.is_empty() || self.only.iter().any(|selector| selector.matches(verdict)))
            && (self.closed_by.is_empty() || self.closed_by.iter().any(|who| who == by))
            && self.since.is_none_or(|since| ended.at >= since)
            && self.until.is_none_or(|until| record.opened.at < until)
    }

    pub(crate) fn fails(&self, verdict: &Verdict<'_>) -> bool {
        self.fail_on.iter().any(|selector| selector.matches(verdict))
    }
}

pub(crate) enum Writer {
    Text(Box<TextReport>, Sink),
    Json(JsonWriter<Sink>),
    Ndjson(NdjsonWriter<Sink>),
    Html(Box<HtmlReport>, Sink),
    Csv(Box<CsvWriter<Sink>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetWriter<Sink>>),
}

/// Where a report goes.
pub(crate) type Sink = Box<dyn Write + Send>;

impl Writer {
    /// Counts a connection that is not listed, where the format counts by itself.
    fn count(&mut self, connection: &Connection<'_>) {
        match self {
            Writer::Text(report, _) => report.count(connection.into()),
            Writer::Html(report, _) => report.count(connection),
            _ => {}
        }
    }

    /// Begins a report on `inputs`, as far as they are known.
    pub(crate) fn open(out: Sink, args: &CommonArgs, inputs: &[Input], narrowed: bool) -> io::Result<Self> {
        Ok(match args.format {
            Format::Text => {
                let files: Vec<String> = inputs.iter().map(|input| input.path.clone()).collect();
                Writer::Text(Box::new(TextReport::new(text_style(args, narrowed), &files)), out)
            }
            Format::Json => Writer::Json(JsonWriter::begin(out)?),
            Format::Ndjson => Writer::Ndjson(NdjsonWriter::begin(out, inputs.to_vec())?),
            Format::Html => Writer::Html(Box::default(), out),
            Format::Csv => Writer::Csv(Box::new(CsvWriter::begin(out)?)),
            #[cfg(feature = "parquet")]
            Format::Parquet => Writer::Parquet(Box::new(ParquetWriter::begin(out)?)),
        })
    }

    pub(crate) fn connection(&mut self, connection: Connection<'_>, as_they_end: bool) -> io::Result<()> {
        match self {
            Writer::Text(report, out) if as_they_end => report.write_line(out, &connection)?,
            Writer::Text(report, _) => report.add(&connection),
            Writer::Json(writer) => writer.connection(&connection)?,
            Writer::Ndjson(writer) => writer.connection(connection)?,
            Writer::Html(report, _) => report.add(&connection),
            Writer::Csv(writer) => {
                writer.connection(&connection)?;
                if as_they_end {
                    writer.flush()?;
                }
            }
            #[cfg(feature = "parquet")]
            Writer::Parquet(writer) => writer.connection(&connection)?,
        }
        Ok(())
    }

    /// Writes the totals, where the format has them.
    pub(crate) fn finish(
        &mut self,
        inputs: Vec<Input>,
        summary: &Summary,
        anomalies: &AnomalyCounts,
    ) -> io::Result<()> {
        match self {
            Writer::Text(report, out) => {
                report.write(out, &inputs, summary, anomalies)?;
                out.flush()
            }
            Writer::Json(writer) => writer.finish(&inputs, summary, anomalies),
            Writer::Ndjson(writer) => writer.finish(inputs, summary.clone(), anomalies),
            Writer::Html(report, out) => {
                report.write(out, &inputs, summary, anomalies)?;
                out.flush()
            }
            Writer::Csv(writer) => writer.flush(),
            #[cfg(feature = "parquet")]
            Writer::Parquet(writer) => writer.finish(),
        }
    }
}

/// What is known of the whole once all is read.
pub(crate) struct Totals {
    /// TCP connections that carried no WebSocket.
    pub(crate) other_connections: u64,
    /// TLS connections of which nothing could be decrypted.
    pub(crate) encrypted_connections: u64,
    pub(crate) anomalies: AnomalyCounts,
}

/// The report being written.
pub(crate) struct Output {
    pub(crate) writer: Writer,
    pub(crate) selection: Selection,
    files: Vec<String>,
    redact: bool,
    pub(crate) summary: Summary,
    pub(crate) diagnoser: Diagnoser,
    legs: Legs,
    next_id: u64,
    as_they_end: bool,
    worst: Worst,
    /// Connections are counted, not listed.
    pub(crate) only_totals: bool,
    /// Connections that matched `--fail-on`.
    pub(crate) failed: u64,
}

impl Output {
    pub(crate) fn open(args: &CommonArgs, selection: Selection, infos: &[InputInfo]) -> Result<Self> {
        let inputs: Vec<Input> = infos.iter().map(build::input).collect();
        let writer = Writer::open(sink(args)?, args, &inputs, selection.is_narrowed())?;
        Ok(Self::on(writer, args, limits(args), selection, infos))
    }

    /// The same, by a writer that has begun.
    pub(crate) fn on(
        writer: Writer,
        args: &CommonArgs,
        limits: Limits,
        selection: Selection,
        infos: &[InputInfo],
    ) -> Self {
        Output {
            writer,
            selection,
            files: infos.iter().map(|info| info.path.clone()).collect(),
            redact: args.redact,
            summary: Summary::default(),
            diagnoser: Diagnoser::new(limits),
            legs: Legs::default(),
            next_id: 1,
            as_they_end: false,
            worst: Worst::default(),
            only_totals: args.summary,
            failed: 0,
        }
    }

    /// Text lines are written as connections end, not gathered into a table.
    #[cfg(feature = "live")]
    pub(crate) fn line_by_line(mut self) -> Self {
        self.as_they_end = true;
        self
    }

    /// Connections are counted, not listed.
    #[cfg(feature = "top")]
    pub(crate) fn totals_only(&mut self) {
        self.only_totals = true;
    }

    /// Writes a connection, if it is to be listed; says whether it was.
    pub(crate) fn take(&mut self, record: &ConnectionRecord) -> io::Result<bool> {
        // The page's charts are of more than its end.
        if self.only_totals && !matches!(self.writer, Writer::Html(..)) {
            return Ok(self.count(record));
        }
        self.take_with(record, |_| {})
    }

    /// The same; `look` is shown what is listed.
    pub(crate) fn take_with(
        &mut self,
        record: &ConnectionRecord,
        look: impl FnOnce(&Connection<'_>),
    ) -> io::Result<bool> {
        let Some(id) = self.number(record, &build::verdict(record)) else { return Ok(false) };
        let front_leg = self.front_leg(id, record);
        let context = Context { files: &self.files, redact: self.redact };
        let mut connection = build::connection(id, record, context);
        connection.diagnosis = self.diagnoser.take(Some(id), record, context);
        connection.front_leg = front_leg;
        look(&connection);
        if self.only_totals {
            self.writer.count(&connection);
        } else {
            self.writer.connection(connection, self.as_they_end)?;
        }
        if let Writer::Html(report, _) = &self.writer {
            self.worst.note(report, id, record);
        }
        Ok(true)
    }

    /// Counts a connection that is not shown; says whether it is among those to be counted.
    fn count(&mut self, record: &ConnectionRecord) -> bool {
        let verdict = build::verdict(record);
        let Some(id) = self.number(record, &verdict) else { return false };
        self.diagnoser.count(Some(id), record);
        self.front_leg(id, record);
        if let Writer::Text(report, _) = &mut self.writer {
            report.count(Outline::of(record, &verdict));
        }
        true
    }

    /// Counts a connection in and gives it its number, if it is to be listed.
    fn number(&mut self, record: &ConnectionRecord, verdict: &Verdict<'_>) -> Option<u64> {
        self.failed += u64::from(self.selection.fails(verdict));
        if !self.selection.lists(record, verdict) {
            self.diagnoser.count(None, record);
            return None;
        }
        self.summary.count(verdict);
        let id = self.next_id;
        self.next_id += 1;
        Some(id)
    }

    /// The number of the leg before a proxy, where connection `id` is the one behind it.
    fn front_leg(&mut self, id: u64, record: &ConnectionRecord) -> Option<u64> {
        let front_leg = self.legs.front_of(record, id);
        self.summary.proxied_pairs += u64::from(front_leg.is_some());
        front_leg
    }

    /// Reads `files` again where the format draws packets.
    pub(crate) fn read_again(&mut self, files: &[PathBuf], keys: &KeyLog, limits: &Limits) -> Result<()> {
        match &mut self.writer {
            Writer::Html(report, _) => self.worst.draw(report, files, keys, limits),
            _ => Ok(()),
        }
    }

    /// Writes the totals.
    pub(crate) fn finish(&mut self, totals: Totals, infos: &[InputInfo]) -> io::Result<()> {
        let inputs: Vec<Input> = infos.iter().map(build::input).collect();
        let anomalies = self.sum_up(totals);
        self.writer.finish(inputs, &self.summary, &anomalies)
    }
}

impl Output {
    /// Fills in the summary; gives the anomalies.
    pub(crate) fn sum_up(&mut self, totals: Totals) -> AnomalyCounts {
        self.summary.other_tcp_connections = totals.other_connections;
        self.summary.encrypted_connections = totals.encrypted_connections;
        self.summary.findings = self.diagnoser.findings(Context { files: &self.files, redact: self.redact });
        let mut anomalies = totals.anomalies;
        anomalies.add(Anomaly::SurveyLimit, self.diagnoser.forgotten());
        anomalies
    }
}

pub(crate) fn sink(args: &CommonArgs) -> Result<Sink> {
    Ok(match &args.output {
        Some(path) => Box::new(BufWriter::new(NamedFile { file: create(path)?, path: path.clone() })),
        None => Box::new(BufWriter::new(io::stdout())),
    })
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("creating {}", path.display()))
}

/// A file whose errors name it.
struct NamedFile {
    file: File,
    path: PathBuf,
}

impl NamedFile {
    fn named<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| match error.kind() {
            // Tried again, and seen by no one.
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("writing {}: {error}", self.path.display())),
        })
    }
}

impl Write for NamedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.named(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.flush();
        self.named(flushed)
    }
}

/// Does the text report go to a terminal?
pub(crate) fn is_read_on_terminal(args: &CommonArgs) -> bool {
    args.output.is_none() && args.format == Format::Text && io::stdout().is_terminal()
}

/// Is standard output to be in colours?
pub(crate) fn uses_color(when: When) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        // NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM have their say.
        When::Auto => anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
    }
}

fn text_style(args: &CommonArgs, narrowed: bool) -> TextStyle {
    let on_terminal = is_read_on_terminal(args);
    let color = uses_color(args.color) && (args.color == When::Always || args.output.is_none());
    let width = terminal_size::terminal_size().filter(|_| on_terminal);
    let width = width.map(|(columns, _)| usize::from(columns.0));
    TextStyle {
        color,
        verbose: args.verbose,
        width,
        narrowed,
        lists_encrypted: args.encrypted,
        names_ports: !args.ws_port.is_empty(),
    }
}
