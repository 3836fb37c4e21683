//! Where reports go: the chosen format, the chosen file, the chosen connections.

use crate::args::{CommonArgs, Format, When};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use wsclose::analyzer::Analyzer;
use wsclose::analyzer::record::ConnectionRecord;
use wsclose::capture::InputInfo;
use wsclose::report::build::{self, Context};
use wsclose::report::filter::{CLOSED_BY, Selector};
use wsclose::report::json::JsonWriter;
use wsclose::report::model::{Connection, Input, Summary};
use wsclose::report::ndjson::NdjsonWriter;
use wsclose::report::text::{TextReport, TextStyle};
use wsclose::time::Timestamp;

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
    pub(crate) fn new(args: &CommonArgs) -> Result<Self> {
        let parse = |option: &str, words: &[String]| -> Result<Vec<Selector>> {
            words
                .iter()
                .map(|word| Selector::parse(word).map_err(|why| anyhow::anyhow!("{option}: {why}")))
                .collect()
        };
        if let Some(word) = args.closed_by.iter().find(|word| !CLOSED_BY.contains(&word.as_str())) {
            bail!("--closed-by: expected one of {}; found {word:?}", CLOSED_BY.join(", "));
        }
        Ok(Selection {
            only: parse("--only", &args.only)?,
            closed_by: args.closed_by.clone(),
            fail_on: parse("--fail-on", &args.fail_on)?,
            since: None,
            until: None,
        })
    }

    fn lists(&self, record: &ConnectionRecord, connection: &Connection<'_>) -> bool {
        let verdict = &connection.verdict;
        let by = verdict.closed_by.as_deref().unwrap_or_default();
        (self.only.is_empty() || self.only.iter().any(|selector| selector.matches(verdict)))
            && (self.closed_by.is_empty() || self.closed_by.iter().any(|who| who == by))
            && self.since.is_none_or(|since| record.last.at >= since)
            && self.until.is_none_or(|until| record.opened.at < until)
    }

    fn fails(&self, connection: &Connection<'_>) -> bool {
        self.fail_on.iter().any(|selector| selector.matches(&connection.verdict))
    }
}

enum Writer {
    Text(Box<TextReport>, Box<dyn Write>),
    Json(JsonWriter<Box<dyn Write>>),
    Ndjson(NdjsonWriter<Box<dyn Write>>),
}

impl Writer {
    fn connection(&mut self, connection: Connection<'_>, as_they_end: bool) -> io::Result<()> {
        match self {
            Writer::Text(report, out) if as_they_end => report.write_line(out, &connection)?,
            Writer::Text(report, _) => report.add(&connection),
            Writer::Json(writer) => writer.connection(&connection)?,
            Writer::Ndjson(writer) => writer.connection(connection)?,
        }
        Ok(())
    }
}

/// The report being written.
pub(crate) struct Output {
    writer: Writer,
    selection: Selection,
    files: Vec<String>,
    redact: bool,
    summary: Summary,
    next_id: u64,
    as_they_end: bool,
    /// A connection matched `--fail-on`.
    pub(crate) has_failed: bool,
}

impl Output {
    pub(crate) fn open(args: &CommonArgs, selection: Selection, infos: &[InputInfo]) -> Result<Self> {
        let out = sink(args)?;
        let inputs: Vec<Input> = infos.iter().map(build::input).collect();
        let writer = match args.format {
            Format::Text => {
                let style = TextStyle { color: wants_color(args), verbose: args.verbose };
                Writer::Text(Box::new(TextReport::new(style)), out)
            }
            Format::Json => Writer::Json(JsonWriter::begin(out)?),
            Format::Ndjson => Writer::Ndjson(NdjsonWriter::begin(out, inputs)?),
        };
        Ok(Output {
            writer,
            selection,
            files: infos.iter().map(|info| info.path.clone()).collect(),
            redact: args.redact,
            summary: Summary::default(),
            next_id: 1,
            as_they_end: false,
            has_failed: false,
        })
    }

    /// Text lines are written as connections end, not gathered into a table.
    #[cfg(feature = "live")]
    pub(crate) fn line_by_line(mut self) -> Self {
        self.as_they_end = true;
        self
    }

    /// Writes the connections that `analyzer` has finished; gives how many.
    pub(crate) fn drain(&mut self, analyzer: &mut Analyzer) -> io::Result<u64> {
        let mut count = 0;
        while let Some(record) = analyzer.poll_record() {
            let encapsulation = analyzer.decoder().encapsulation_names(record.encapsulation);
            let context = Context { files: &self.files, redact: self.redact };
            let connection = build::connection(self.next_id, &record, encapsulation, context);
            self.has_failed |= self.selection.fails(&connection);
            if self.selection.lists(&record, &connection) {
                self.next_id += 1;
                count += 1;
                self.summary.count(&connection);
                self.writer.connection(connection, self.as_they_end)?;
            }
        }
        Ok(count)
    }

    pub(crate) fn finish(&mut self, analyzer: &mut Analyzer, infos: &[InputInfo]) -> io::Result<()> {
        self.drain(analyzer)?;
        self.summary.other_tcp_connections = analyzer.other_connections();
        let inputs: Vec<Input> = infos.iter().map(build::input).collect();
        let anomalies = analyzer.anomalies();
        match &mut self.writer {
            Writer::Text(report, out) => {
                report.write(out, &inputs, &self.summary)?;
                out.flush()
            }
            Writer::Json(writer) => writer.finish(&inputs, &self.summary, &anomalies),
            Writer::Ndjson(writer) => writer.finish(inputs, self.summary.clone(), &anomalies),
        }
    }
}

fn sink(args: &CommonArgs) -> Result<Box<dyn Write>> {
    Ok(match &args.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(io::stdout())),
    })
}

fn wants_color(args: &CommonArgs) -> bool {
    match args.color {
        When::Always => true,
        When::Never => false,
        When::Auto => {
            args.output.is_none()
                && io::stdout().is_terminal()
                && anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
        }
    }
}
