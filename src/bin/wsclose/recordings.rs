//! The flight recorder's folder: files that have their names only once they are whole, and a budget.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{self, BufWriter};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use wsclose::report::model::Connection;

/// Ending of the files written, and of those that are not finished.
const ENDING: &str = "pcapng";
const UNFINISHED: &str = "part";

/// Recordings written before the folder is looked at again: somebody else may write to it, too.
const LOOK_EVERY: u32 = 1_000;
/// Of the budget, so many parts of a hundred are kept when it is reached: to look at a folder of many files takes long, and is not
/// to be done for each recording.
const KEPT: u64 = 95;

/// A folder of recordings.
pub(crate) struct Folder {
    path: PathBuf,
    /// Bytes of disk.
    budget: u64,
    /// Bytes that its files take, as far as is known.
    bytes: u64,
    /// Recordings written since it was looked at.
    since_look: u32,
}

impl Folder {
    /// Makes the folder where there is none, and makes sure that it can be written: better said now than at the first end.
    pub(crate) fn open(path: &Path, budget: u64) -> Result<Folder> {
        std::fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))?;
        let probe = path.join(format!("wsclose-{}.{UNFINISHED}", std::process::id()));
        File::create(&probe)
            .and_then(|_| std::fs::remove_file(&probe))
            .with_context(|| format!("writing to {}, the folder of --record", path.display()))?;
        let bytes = files(path)?.iter().map(|(_, bytes)| bytes).sum();
        Ok(Folder { path: path.to_owned(), budget, bytes, since_look: 0 })
    }

    /// Writes a connection's file by `write`; gives its path. Of one that fails nothing is left.
    pub(crate) fn write(
        &self,
        connection: &Connection<'_>,
        write: impl FnOnce(BufWriter<File>) -> io::Result<()>,
    ) -> Result<PathBuf> {
        let path = self.path.join(file_name(connection));
        let part = path.with_extension(UNFINISHED);
        let outcome = File::create(&part).and_then(|file| write(BufWriter::new(file)));
        // Whole files alone have the name that others look for.
        let outcome = outcome.and_then(|()| std::fs::rename(&part, &path));
        if outcome.is_err() {
            // It may not even have been created.
            let _ = std::fs::remove_file(&part);
        }
        outcome.with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Counts a file that was written.
    pub(crate) fn note(&mut self, path: &Path) {
        self.bytes = self.bytes.saturating_add(path.metadata().map_or(0, |file| file.len()));
        self.since_look = self.since_look.saturating_add(1);
    }

    /// Deletes a file, if it is still there.
    pub(crate) fn delete(&mut self, path: &Path) -> Result<()> {
        let bytes = path.metadata().map_or(0, |file| file.len());
        self.bytes = self.bytes.saturating_sub(bytes);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("deleting {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Deletes the oldest files where all take more than the budget, until the rest keep to it with some room to spare.
    pub(crate) fn keep_to_budget(&mut self) -> Result<()> {
        if self.bytes <= self.budget && self.since_look < LOOK_EVERY {
            return Ok(());
        }
        let files = files(&self.path)?;
        (self.bytes, self.since_look) = (files.iter().map(|(_, bytes)| bytes).sum(), 0);
        if self.bytes <= self.budget {
            return Ok(());
        }
        let kept = self.budget / 100 * KEPT;
        for (path, _) in files {
            if self.bytes <= kept {
                break;
            }
            self.delete(&path)?;
        }
        Ok(())
    }
}

/// The recordings in `folder` with their sizes, the oldest first: their names begin with the time.
fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if is_ours(&path) {
            let bytes = path.metadata().map_or(0, |file| file.len());
            files.push((path, bytes));
        }
    }
    files.sort();
    Ok(files)
}

/// `20261122T201438.176862Z-1006-10.0.0.1_1024-10.99.0.1_9001.pcapng`; of a stream of HTTP/2 with its number behind it.
fn file_name(connection: &Connection<'_>) -> String {
    let time: String =
        connection.ended_at.to_rfc3339().chars().take(26).filter(|c| !"-:".contains(*c)).collect();
    let end = |address: &wsclose::report::model::Address| {
        let text = SocketAddr::new(address.address, address.port).to_string();
        text.replace(['[', ']'], "").replace(':', "_")
    };
    let (client, server) = (end(&connection.client), end(&connection.server));
    let stream = connection.h2_stream.map(|stream| format!("-{stream}")).unwrap_or_default();
    format!("{time}Z-{}-{client}-{server}{stream}.{ENDING}", connection.verdict.label)
}

/// Was the file written by a recorder?
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_stamped = name.get(8..9) == Some("T") && name.bytes().take(8).all(|byte| byte.is_ascii_digit());
    is_stamped && path.extension().is_some_and(|ending| ending == ENDING || ending == UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [&file, &file.join("below"), Path::new("/proc/1")] {
            let error = format!("{:#}", Folder::open(path, 0).err().unwrap());
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
        let own = folder.path().join("own");
        Folder::open(&own, 0).unwrap();
        assert_eq!(std::fs::read_dir(&own).unwrap().count(), 0, "what was tried leaves nothing");
    }

    #[test]
    fn the_oldest_files_go_where_all_take_more_than_the_budget_whoever_wrote_them() {
        let path = tempfile::tempdir().unwrap();
        let write = |second: u32, bytes: usize| {
            let name = format!("20261122T2014{second:02}Z-1006.{ENDING}");
            std::fs::write(path.path().join(name), vec![0; bytes]).unwrap();
        };
        let left = || {
            let files = files(path.path()).unwrap();
            files.iter().map(|(path, _)| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        (0..10).for_each(|second| write(second, 100));
        let mut folder = Folder::open(path.path(), 1_000).unwrap();
        folder.keep_to_budget().unwrap();
        assert_eq!(left().len(), 10, "they keep to it");
        write(10, 100);
        folder.note(&path.path().join(format!("20261122T201410Z-1006.{ENDING}")));
        folder.keep_to_budget().unwrap();
        assert_eq!((left().len(), folder.bytes), (9, 900));
        assert!(left()[0].contains("201402"), "{:?}", left());
        // Another program's, which this one has not seen.
        (11..20).for_each(|second| write(second, 100));
        folder.keep_to_budget().unwrap();
        assert_eq!(left().len(), 18);
        folder.since_look = LOOK_EVERY;
        folder.keep_to_budget().unwrap();
        assert_eq!((left().len(), folder.bytes), (9, 900));
    }

    #[test]
    fn only_files_of_a_recorder_are_ever_deleted() {
        for ours in
            ["20261122T201438.176862Z-1006-10.0.0.1_1024-10.99.0.1_9001.pcapng", "20261122T201438Z-1006.part"]
        {
            assert!(is_ours(Path::new(ours)), "{ours}");
        }
        for other in
            ["capture.pcapng", "20261122.pcapng", "20261122T201438Z.txt", "1006.part", "2026112äT.pcapng"]
        {
            assert!(!is_ours(Path::new(other)), "{other}");
        }
    }
}
