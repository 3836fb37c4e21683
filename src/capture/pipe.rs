//! Input that may never end: a pipe, which can be told to come to its end.
//!
//! Who stops `tcpdump -w - | wsclose -` by Ctrl-C stops both: the report of what was read is then what they want.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Once set, pipes come to their end.
pub type StopFlag = Arc<AtomicBool>;

/// What is behind `path`, if that is no file that has an end: standard input (`-`) or a named pipe. Until `stop` is set it
/// is waited for.
///
/// `None`: a file, or nothing that can be opened.
#[must_use]
pub fn open(path: &Path, stop: &StopFlag) -> Option<Box<dyn Read + Send>> {
    system::open(path, stop)
}

/// Can `path` be without an end?
#[must_use]
pub fn is_pipe(path: &Path) -> bool {
    path == Path::new("-") || path.metadata().is_ok_and(|file| !file.is_file() && !file.is_dir())
}

#[cfg(not(unix))]
mod system {
    use super::{Path, Read, StopFlag, io};

    pub(super) fn open(path: &Path, _: &StopFlag) -> Option<Box<dyn Read + Send>> {
        (path == Path::new("-")).then(|| Box::new(io::stdin()) as Box<dyn Read + Send>)
    }
}

#[cfg(unix)]
mod system {
    use super::{Path, Read, StopFlag, io, is_pipe};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    /// How often the flag is looked at while nothing comes.
    const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    /// Once told to stop, who writes into the pipe has so long to end it: what they still hold belongs to it.
    const GRACE: Duration = Duration::from_secs(1);

    pub(super) fn open(path: &Path, stop: &StopFlag) -> Option<Box<dyn Read + Send>> {
        if !is_pipe(path) {
            return None;
        }
        let file = if path == Path::new("-") {
            // `Stdin` keeps bytes of its own, which no poll tells of.
            File::from(io::stdin().as_fd().try_clone_to_owned().ok()?)
        } else {
            without_waiting(path).ok()?
        };
        Some(Box::new(Pipe { file, stop: StopFlag::clone(stop), stopped: None }))
    }

    /// A named pipe whose writer is still to come: on Linux poll waits for it, where opening it would not look at the flag.
    #[cfg(target_os = "linux")]
    fn without_waiting(path: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flag = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        File::options().read(true).custom_flags(flag).open(path)
    }

    #[cfg(not(target_os = "linux"))]
    fn without_waiting(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(super) struct Pipe {
        pub(super) file: File,
        pub(super) stop: StopFlag,
        /// When the flag was seen to be set.
        pub(super) stopped: Option<Instant>,
    }

    impl Pipe {
        fn has_had_its_time(&mut self) -> bool {
            if self.stopped.is_none() && self.stop.load(Ordering::Relaxed) {
                self.stopped = Some(Instant::now());
            }
            self.stopped.is_some_and(|at| at.elapsed() >= GRACE)
        }
    }

    impl Read for Pipe {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            loop {
                if self.has_had_its_time() {
                    return Err(io::Error::other("stopped by a signal"));
                }
                let mut waiting = [PollFd::new(&self.file, PollFlags::IN)];
                match poll(&mut waiting, Some(&LOOK)) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => {}
                    // An end and an error are told by reading, too.
                    Ok(_) => match self.file.read(room) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        outcome => return outcome,
                    },
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write as _;
    use std::sync::atomic::Ordering;

    fn pipe() -> io::Result<(system::Pipe, io::PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        Ok((system::Pipe { file, stop: StopFlag::default(), stopped: None }, writer))
    }

    #[test]
    fn a_pipe_that_is_stopped_gives_what_is_in_it_and_ends_with_its_writer() {
        let (mut pipe, mut writer) = pipe().unwrap();
        writer.write_all(b"late").unwrap();
        pipe.stop.store(true, Ordering::Relaxed);
        drop(writer);
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"late");
    }

    #[test]
    fn a_pipe_whose_writer_goes_on_ends_in_time_and_says_so() {
        let (mut pipe, mut writer) = pipe().unwrap();
        writer.write_all(b"more").unwrap();
        pipe.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        let error = pipe.read_to_end(&mut all).unwrap_err();
        assert_eq!((all, error.to_string()), (b"more".to_vec(), "stopped by a signal".to_owned()));
    }

    /// A named pipe, if they can be made here.
    #[cfg(target_os = "linux")]
    fn named_pipe(folder: &Path) -> Option<std::path::PathBuf> {
        let path = folder.join("pipe");
        std::process::Command::new("mkfifo").arg(&path).status().ok()?.success().then_some(path)
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[cfg_attr(miri, ignore = "no processes in an interpreter")]
    fn a_named_pipe_that_nobody_writes_to_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = named_pipe(folder.path()) else { return };
        let (done, ended) = std::sync::mpsc::channel();
        let stop = StopFlag::default();
        stop.store(true, Ordering::Relaxed);
        std::thread::spawn(move || {
            let error = open(&path, &stop).unwrap().read(&mut [0; 8]).unwrap_err();
            done.send(error.to_string())
        });
        let error = ended.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        assert_eq!(error, "stopped by a signal");
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[cfg_attr(miri, ignore = "no processes in an interpreter")]
    fn a_named_pipe_is_read_whenever_its_writer_comes() {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = named_pipe(folder.path()) else { return };
        let mut pipe = open(&path, &StopFlag::default()).unwrap();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            let mut file = File::options().write(true).open(path).unwrap();
            file.write_all(b"one").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(300));
            file.write_all(b" two").unwrap();
        });
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).unwrap();
        writer.join().unwrap();
        assert_eq!(all, b"one two");
    }

    #[test]
    fn a_file_is_no_pipe() {
        assert!(open(Path::new(env!("CARGO_MANIFEST_PATH")), &StopFlag::default()).is_none());
        assert!(open(Path::new("no-such-file"), &StopFlag::default()).is_none());
        assert!(is_pipe(Path::new("-")) && !is_pipe(Path::new(env!("CARGO_MANIFEST_DIR"))));
    }
}
