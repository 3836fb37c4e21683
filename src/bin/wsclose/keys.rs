//! Key logs: files named by the user, and the one that `SSLKEYLOGFILE` names.

use crate::args::CommonArgs;
use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use wsclose::limits::Limits;
use wsclose::report::escape::terminal;
use wsclose::tls::keylog::{KeyLog, Reading};
use zeroize::Zeroizing;

/// Where programs are told to write their keys, and where they are read from.
const VARIABLE: &str = "SSLKEYLOGFILE";

/// Reads all key logs there are.
///
/// # Errors
/// A file that `--keylog` names can't be read. One that only the environment names may be missing.
pub(crate) fn read(args: &CommonArgs, limits: &Limits) -> Result<KeyLog> {
    let mut keys = KeyLog::default();
    for path in &args.keylog {
        let reading = read_file(path, &mut keys, limits)
            .with_context(|| format!("can't read the key log {}", path.display()))?;
        warn(path, &reading);
    }
    if let Some(path) = from_environment(std::env::var_os(VARIABLE), &args.keylog)
        && let Ok(reading) = read_file(&path, &mut keys, limits)
    {
        warn(&path, &reading);
    }
    Ok(keys)
}

fn from_environment(value: Option<OsString>, named: &[PathBuf]) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| !path.as_os_str().is_empty() && !named.contains(path))
}

fn read_file(path: &Path, keys: &mut KeyLog, limits: &Limits) -> std::io::Result<Reading> {
    let file = File::open(path)?;
    // Of the right size from the start, so that no copies stay behind in memory.
    let size = file.metadata().map_or(0, |metadata| metadata.len()).min(limits.key_log_bytes);
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
    file.take(limits.key_log_bytes).read_to_end(&mut text)?;
    Ok(keys.read(&text, limits))
}

fn warn(path: &Path, reading: &Reading) {
    let name = terminal(&path.to_string_lossy());
    if reading.bad > 0 {
        let lines: Vec<String> = reading.bad_lines.iter().map(ToString::to_string).collect();
        let more = if reading.bad > reading.bad_lines.len() as u64 { ", ..." } else { "" };
        let count = reading.bad;
        anstream::eprintln!(
            "wsclose: {name}: {count} bad lines passed over (line {}{more})",
            lines.join(", ")
        );
    }
    if reading.secrets == 0 {
        anstream::eprintln!("wsclose: {name}: no secret of a TLS session in it");
    }
}
