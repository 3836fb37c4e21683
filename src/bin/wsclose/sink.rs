//! Where a report's lines go: standard output, or a file that may be rotated and reopened.
//!
//! What the lines of one block of packets make goes out in one piece, so that whoever reads along, or is left with the file
//! of a killed process, has whole lines; the last one at most is cut.

use anyhow::{Context as _, Result};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wsclose::limits::read_bytes;
use wsclose::time::Timestamp;

/// When an output file is closed, renamed and begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Once it holds so many bytes.
    Bytes(u64),
    /// Once it is so old.
    Age(Duration),
}

impl Rotation {
    /// `100M`, or `1h`: a number with a unit of time is a time.
    pub(crate) fn parse(text: &str) -> Result<Rotation, String> {
        let seconds = |unit, each: u64| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(each)
        };
        let age = seconds("s", 1).or_else(|| seconds("m", 60)).or_else(|| seconds("h", 3_600));
        let age =
            age.or_else(|| seconds("d", 86_400)).map(|seconds| Rotation::Age(Duration::from_secs(seconds)));
        match age.or_else(|| read_bytes(text).map(Rotation::Bytes)) {
            Some(Rotation::Bytes(0) | Rotation::Age(Duration::ZERO)) | None => {
                Err("not a size such as 100M, or a time such as 1h (units: K, M, G; s, m, h, d)".to_owned())
            }
            Some(rotation) => Ok(rotation),
        }
    }
}

/// An output file.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    /// Lines that wait for the end of their block.
    pending: Vec<u8>,
    bytes: u64,
    /// How much of that was there, or is its begin: to have no more is no reason to rotate it by size.
    start: u64,
    since: Instant,
}

/// An output file in several hands: the report's writer, and whoever rotates it.
#[derive(Clone, Debug)]
pub(crate) struct SharedFile(Arc<Mutex<LogFile>>);

impl SharedFile {
    /// Begins a file, in place of one that is there.
    pub(crate) fn create(path: &Path) -> Result<SharedFile> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self::new(LogFile::new(path, file)))
    }

    /// Goes on behind the lines of a file that is there; else begins one.
    pub(crate) fn append(path: &Path) -> Result<SharedFile> {
        let mut log = LogFile::new(path, open_to_append(path)?);
        log.go_on();
        Ok(Self::new(log))
    }

    fn new(log: LogFile) -> SharedFile {
        SharedFile(Arc::new(Mutex::new(log)))
    }

    /// Was nothing written to it yet, by this run or one before?
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().bytes == 0
    }

    fn lock(&self) -> MutexGuard<'_, LogFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the lines that wait. A writer's own `flush`, which comes behind each line, does not: a call of the system for
    /// each would take a fifth of the time.
    pub(crate) fn write_out(&self) -> io::Result<()> {
        self.lock().flush()
    }

    /// Is it time to rotate?
    pub(crate) fn is_due(&self, rotation: Rotation) -> bool {
        let log = self.lock();
        match rotation {
            Rotation::Bytes(bytes) => log.len() >= bytes && log.len() > log.start,
            Rotation::Age(age) => log.since.elapsed() >= age && log.len() > 0,
        }
    }

    /// All that it holds by now belongs to its begin.
    pub(crate) fn has_begun(&self) {
        let mut log = self.lock();
        log.start = log.len();
    }

    /// Renames the file, with `now` behind its name, and begins it anew.
    pub(crate) fn rotate(&self, now: Timestamp) -> Result<()> {
        let mut log = self.lock();
        log.flush()?;
        let to = free_name(&log.path, now);
        match std::fs::rename(&log.path, &to) {
            // Something else has moved it away already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.with_context(|| format!("renaming to {}", to.display()))?,
        }
        log.reopen()
    }

    /// Opens the path anew: something else has moved the file away. True: it is empty, and has to begin anew.
    pub(crate) fn reopen(&self) -> Result<bool> {
        let mut log = self.lock();
        log.flush()?;
        log.reopen()?;
        Ok(log.bytes == 0)
    }
}

fn open_to_append(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

/// Does a regular file end within a line, as one of a program that was killed may?
fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// When a file was begun: one that is older than this run is due for its rotation earlier.
fn begun(file: &Metadata) -> Instant {
    let age = file.created().ok().and_then(|created| created.elapsed().ok()).unwrap_or_default();
    let now = Instant::now();
    now.checked_sub(age).unwrap_or(now)
}

impl LogFile {
    fn new(path: &Path, file: File) -> LogFile {
        LogFile {
            path: path.to_owned(),
            file,
            pending: Vec::new(),
            bytes: 0,
            start: 0,
            since: Instant::now(),
        }
    }

    /// Takes over what the file holds; a line that was cut ends here, so that the next one is whole.
    fn go_on(&mut self) {
        let Some(file) = self.file.metadata().ok().filter(Metadata::is_file) else { return };
        (self.bytes, self.since) = (file.len(), begun(&file));
        if self.bytes > 0 && ends_within_a_line(&self.path).unwrap_or(false) {
            self.pending.push(b'\n');
        }
    }

    /// Bytes that it holds, or will.
    fn len(&self) -> u64 {
        self.bytes.saturating_add(self.pending.len() as u64)
    }

    fn reopen(&mut self) -> Result<()> {
        self.file = open_to_append(&self.path)?;
        (self.bytes, self.start, self.since) = (0, 0, Instant::now());
        self.go_on();
        Ok(())
    }
}

/// `report.ndjson` at 04:15:00 becomes `report.ndjson.20261123T041500Z`, or the next name that is free.
fn free_name(path: &Path, now: Timestamp) -> PathBuf {
    let time: String = now.to_rfc3339().chars().take(19).filter(|c| !"-:".contains(*c)).collect();
    let name = |suffix: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{time}Z{suffix}"));
        PathBuf::from(name)
    };
    let mut number = 0;
    loop {
        let candidate = name(if number == 0 { String::new() } else { format!(".{number}") });
        if !candidate.exists() || number == u32::MAX {
            return candidate;
        }
        number += 1;
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const PENDING: usize = 1 << 20;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PENDING {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let outcome = self.file.write_all(&self.pending);
        self.bytes = self.bytes.saturating_add(self.pending.len() as u64);
        self.pending.clear();
        outcome.map_err(|error| {
            // A FIFO that was named, unlike standard output, is not to lose its reader.
            let kind = match error.kind() {
                io::ErrorKind::BrokenPipe => io::ErrorKind::Other,
                kind => kind,
            };
            io::Error::new(kind, format!("writing {}: {error}", self.path.display()))
        })
    }
}

impl Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_a_size_or_a_time() {
        assert_eq!(Rotation::parse("100M"), Ok(Rotation::Bytes(100 << 20)));
        assert_eq!(Rotation::parse("4096"), Ok(Rotation::Bytes(4096)));
        assert_eq!(Rotation::parse("15m"), Ok(Rotation::Age(Duration::from_secs(900))));
        assert_eq!(Rotation::parse("1d"), Ok(Rotation::Age(Duration::from_secs(86_400))));
        assert!(
            ["0", "0s", "1w", "", "M", "99999999999999999999s"]
                .iter()
                .all(|bad| Rotation::parse(bad).is_err())
        );
    }

    #[test]
    fn rotated_files_keep_every_line_and_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.ndjson");
        let mut file = SharedFile::create(&path).unwrap();
        let now = Timestamp::from_parts(1_795_378_478, 0);
        for number in 0..3 {
            writeln!(file, "line {number}").unwrap();
            file.write_out().unwrap();
            assert!(file.is_due(Rotation::Bytes(7)));
            assert!(!file.is_due(Rotation::Bytes(8)));
            file.rotate(now).unwrap();
        }
        let read = |suffix| std::fs::read_to_string(format!("{}{suffix}", path.display())).unwrap();
        assert_eq!(read(".20261122T201438Z"), "line 0\n");
        assert_eq!(read(".20261122T201438Z.1"), "line 1\n");
        assert_eq!(read(".20261122T201438Z.2"), "line 2\n");
        assert_eq!(read(""), "");
    }

    #[test]
    fn a_file_with_its_begin_alone_is_not_rotated_by_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.ndjson");
        let mut file = SharedFile::create(&path).unwrap();
        writeln!(file, "begin").unwrap();
        file.has_begun();
        assert!(!file.is_due(Rotation::Bytes(1)));
        writeln!(file, "line").unwrap();
        assert!(file.is_due(Rotation::Bytes(1)));
    }

    #[test]
    fn rotating_a_file_that_was_moved_or_deleted_begins_it_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.ndjson");
        let mut file = SharedFile::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.rotate(Timestamp::from_parts(1_795_378_478, 0)).unwrap();
        writeln!(file, "after").unwrap();
        file.write_out().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
    }

    #[test]
    fn what_was_there_stays_and_a_line_that_was_cut_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.ndjson");
        for (before, after) in [("", "new\n"), ("old\n", "old\nnew\n"), ("old\n{\"ty", "old\n{\"ty\nnew\n")] {
            std::fs::write(&path, before).unwrap();
            let mut file = SharedFile::append(&path).unwrap();
            assert_eq!(file.is_empty(), before.is_empty(), "{before}");
            writeln!(file, "new").unwrap();
            file.write_out().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
            assert!(file.is_due(Rotation::Bytes(after.len() as u64)), "what was there counts");
        }
        SharedFile::create(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_file_s_age_counts_from_its_begin_in_whatever_run_that_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.ndjson");
        std::fs::write(&path, "old\n").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let file = SharedFile::append(&path).unwrap();
        assert!(file.is_due(Rotation::Age(Duration::from_millis(250))));
        assert!(!file.is_due(Rotation::Age(Duration::from_secs(3_600))));
    }

    #[test]
    fn reopening_finds_a_file_that_was_moved_away_missing_and_begins_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.ndjson");
        let mut file = SharedFile::create(&path).unwrap();
        writeln!(file, "before").unwrap();
        file.write_out().unwrap();
        assert!(!file.reopen().unwrap(), "nobody has moved it");
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        writeln!(file, "late").unwrap();
        assert!(file.reopen().unwrap());
        writeln!(file, "after").unwrap();
        file.write_out().unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("moved")).unwrap(), "before\nlate\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
    }
}
