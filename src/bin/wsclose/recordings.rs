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

/// A folder of recordings.
pub(crate) struct Folder {
    path: PathBuf,
    /// Bytes of disk.
    budget: u64,
}

impl Folder {
    /// Makes the folder where there is none, and makes sure that it can be written: better said now than at the first end.
    pub(crate) fn open(path: &Path, budget: u64) -> Result<Folder> {
        std::fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))?;
        let probe = path.join(format!("wsclose-{}.{UNFINISHED}", std::process::id()));
        File::create(&probe)
            .and_then(|_| std::fs::remove_file(&probe))
            .with_context(|| format!("writing to {}, the folder of --record", path.display()))?;
        Ok(Folder { path: path.to_owned(), budget })
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

    /// Deletes a file, if it is still there.
    pub(crate) fn delete(&self, path: &Path) -> Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("deleting {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Deletes the oldest files until the rest keep to the budget.
    pub(crate) fn keep_to_budget(&self) -> Result<()> {
        let folder = &self.path;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if is_ours(&path) {
                let bytes = path.metadata().map_or(0, |file| file.len());
                files.push((path, bytes));
            }
        }
        // Names begin with the time.
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        for (path, size) in files {
            if bytes <= self.budget {
                break;
            }
            self.delete(&path)?;
            bytes = bytes.saturating_sub(size);
        }
        Ok(())
    }
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
