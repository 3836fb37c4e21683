//! What writing the report's rows takes, and nothing else: the least that a report with a row a connection can take.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use wsclose::analyzer::{Analyzer, Options};
use wsclose::capture::file::FileSource;
use wsclose::capture::{Block, More, Source as _};
use wsclose::report::build::{self, Context};
use wsclose::report::json::JsonWriter;

/// Analyses `file`, then builds and writes the rows of all its connections to nowhere, on this thread: the time of the
/// latter.
pub fn time(file: &Path) -> io::Result<Duration> {
    let options = Options::default();
    let mut source = FileSource::open(file, 0, &options.limits).map_err(io::Error::other)?;
    let mut analyzer = Analyzer::new(options);
    let mut block = Block::default();
    while source.read_block(&mut block).map_err(io::Error::other)? == More::Yes {
        analyzer.handle_block(&block);
    }
    analyzer.handle_block(&block);
    analyzer.finish();
    let records: Vec<_> = std::iter::from_fn(|| analyzer.poll_record()).collect();
    let files = [file.display().to_string()];
    let context = Context { files: &files, redact: false };
    let mut writer = JsonWriter::begin(io::sink())?;
    let start = Instant::now();
    for (record, id) in records.iter().zip(1..) {
        writer.connection(&build::connection(id, record, context))?;
    }
    Ok(start.elapsed())
}
