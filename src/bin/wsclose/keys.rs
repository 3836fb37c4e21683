//! Key logs: the files that the user names, and the one that `SSLKEYLOGFILE` names. They may grow while they are read.

use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use wsclose::analyzer::Options;
use wsclose::capture::secrets::{can_look_ahead, look_ahead};
use wsclose::report::escape::terminal;
use wsclose::tls::keylog::{BAD_LINES_NAMED, KeyLog, Reading};
use zeroize::Zeroizing;

/// Where programs are told to write their keys, and where they are read from.
const VARIABLE: &str = "SSLKEYLOGFILE";
/// Bytes read of a key log at a time.
const READ_BYTES: u64 = 4 << 20;

/// The key logs of a run.
#[derive(Debug, Default)]
pub(crate) struct KeyLogs {
    files: Vec<KeyLogFile>,
}

/// One of them.
#[derive(Debug)]
struct KeyLogFile {
    path: PathBuf,
    /// Named by `--keylog`, so that it must be there.
    is_asked_for: bool,
    /// Bytes of whole lines read so far, and how many lines that were.
    read: u64,
    lines: u64,
}

impl KeyLogs {
    /// Those of `--keylog`, and the one of the environment.
    pub(crate) fn new(named: &[PathBuf]) -> KeyLogs {
        let file = |path: PathBuf, is_asked_for| KeyLogFile { path, is_asked_for, read: 0, lines: 0 };
        let mut files: Vec<_> = named.iter().map(|path| file(path.clone(), true)).collect();
        files.extend(from_environment(std::env::var_os(VARIABLE), named).map(|path| file(path, false)));
        KeyLogs { files }
    }

    /// Are there none?
    #[cfg(feature = "live")]
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Reads them all, and the secrets in captures that can be read twice. Where `inputs` can't, as pipes can't, more
    /// may come with the packets.
    ///
    /// # Errors
    /// A file that `--keylog` names can't be read. One that only the environment names may be missing.
    pub(crate) fn fill(&mut self, options: &mut Options, inputs: &[PathBuf]) -> Result<()> {
        for file in &mut self.files {
            let is_growing = options.more_keys;
            let reading = file.read_on(is_growing, |text| options.keys.read(text, &options.limits));
            match reading.with_context(|| format!("can't read the key log {}", file.path.display())) {
                Err(error) if file.is_asked_for => return Err(error),
                Err(_) => {}
                Ok(reading) if reading.secrets == 0 && !options.more_keys => {
                    let name = terminal(&file.path.to_string_lossy());
                    tell!("{name}: no secret of a TLS session in it");
                }
                Ok(_) => {}
            }
        }
        for path in inputs {
            read_ahead(path, &mut options.keys, &options.limits);
        }
        options.more_keys |= inputs.iter().any(|path| !can_look_ahead(path));
        Ok(())
    }

    /// Where they are.
    #[cfg(feature = "live")]
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    /// Hands what has been written since to `follower`.
    #[cfg(feature = "live")]
    pub(crate) fn follow(&mut self, follower: &mut wsclose::analyzer::Follower) {
        for file in &mut self.files {
            // A file that has gone has no more keys.
            let _ = file.read_on(true, |text| follower.add_keys(text));
        }
    }
}

/// Opens a key log, which has to be a file with an end: a pipe's length is 0, which would pass for one without keys.
pub(crate) fn open_key_log(path: &Path) -> std::io::Result<File> {
    // To open a named pipe is to wait for its writer.
    if path.metadata()?.is_file() {
        return File::open(path);
    }
    Err(std::io::Error::new(ErrorKind::InvalidInput, "not a regular file: copy it into one"))
}

fn read_ahead(path: &Path, keys: &mut KeyLog, limits: &wsclose::limits::Limits) {
    for secrets in look_ahead(path, limits) {
        keys.read(&Zeroizing::new(secrets), limits);
    }
}

fn from_environment(value: Option<OsString>, named: &[PathBuf]) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| !path.as_os_str().is_empty() && !named.contains(path))
}

impl KeyLogFile {
    /// Hands the lines that are new to `take`, and says which were bad. The last one is left where the file `is_growing`
    /// and its end is still to be written.
    fn read_on(
        &mut self,
        is_growing: bool,
        mut take: impl FnMut(&[u8]) -> Reading,
    ) -> std::io::Result<Reading> {
        let mut file = open_key_log(&self.path)?;
        let mut all = Reading::default();
        if file.metadata()?.len() == self.read {
            return Ok(all);
        }
        loop {
            file.seek(SeekFrom::Start(self.read))?;
            // Of the right size from the start, so that no copies stay behind in memory.
            let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(READ_BYTES).unwrap_or(0)));
            let read = file.by_ref().take(READ_BYTES).read_to_end(&mut text)? as u64;
            let lines_end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
            let is_last = read < READ_BYTES;
            let used = if is_last && !is_growing { text.len() } else { lines_end };
            let reading = take(text.get(..used).unwrap_or_default());
            all.bad += reading.bad;
            let room = BAD_LINES_NAMED.saturating_sub(all.bad_lines.len());
            all.bad_lines.extend(reading.bad_lines.iter().take(room).map(|line| line + self.lines));
            all.beyond_limit += reading.beyond_limit;
            self.lines +=
                text.get(..used).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() as u64;
            self.read += used as u64;
            all.secrets += reading.secrets;
            if is_last || used == 0 {
                self.warn(&all);
                return Ok(all);
            }
        }
    }

    /// Once for all that was read at a time, however much that was.
    fn warn(&self, reading: &Reading) {
        let name = terminal(&self.path.to_string_lossy());
        if reading.beyond_limit > 0 {
            let count = reading.beyond_limit;
            tell!(
                "{name}: lines passed over, since there are too many sessions: {count} (--limit key_log_sessions=N)"
            );
        }
        if reading.bad > 0 {
            let lines: Vec<String> = reading.bad_lines.iter().map(u64::to_string).collect();
            let more = if reading.bad > reading.bad_lines.len() as u64 { ", ..." } else { "" };
            let count = reading.bad;
            tell!("{name}: bad lines passed over: {count} (line {}{more})", lines.join(", "));
        }
    }
}
