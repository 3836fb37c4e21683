//! `wsclose explain`: what a close code or a word of a verdict means.

use crate::args::{ExplainArgs, ExplainFormat};
use anyhow::Result;
use std::io::{self, Write as _};
use std::process::ExitCode;
use wsclose::report::explain::{write_json, write_text};

/// Columns of the text, as many as a terminal always has.
const WIDTH: usize = 80;

pub(crate) fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    match args.format {
        ExplainFormat::Text => write_text(&mut out, &args.topics, WIDTH)?,
        ExplainFormat::Json => write_json(&mut out, &args.topics)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
