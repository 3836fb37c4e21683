//! Capture files and pipes.
//!
//! ```text
//! read(2) ---> decompression ---> block.bytes ---> format: pcap or pcapng ---> block.packets
//!  counted     if the magic says       ^ |
//!                                      | v
//!                        carry: the start of a packet whose rest the next read brings
//! ```

use super::compression::Compression;
use super::format::{Counter, Format, Input, Progress, Sink, from};
use super::info::InputInfo;
use super::pcap_format::PcapFormat;
use super::pcapng_format::PcapngFormat;
use super::unrecognized::{LOOK, unrecognized};
use super::{Block, CaptureError, Losses, More, Source};
use crate::limits::Limits;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes asked for in one read. Each is handed to another thread, which may have to be woken: smaller ones cost that more often,
/// larger ones memory and the second-level cache.
pub(super) const READ_BYTES: usize = 256 << 10;

/// A capture file, or a pipe that one is written into.
pub struct FileSource {
    /// `None` after the end.
    reader: Option<Box<dyn Read + Send>>,
    bytes_read: Arc<AtomicU64>,
    total_bytes: Option<u64>,
    /// `None` before the first bytes have been looked at.
    format: Option<Box<dyn Format>>,
    counter: Counter,
    /// Bytes read beyond the last whole record.
    carry: Vec<u8>,
    /// Bytes in all that the record which `carry` begins needs.
    needed: usize,
    /// Where in the decompressed file `carry` begins.
    offset: u64,
    read_bytes: usize,
    info: InputInfo,
    limits: Limits,
}

/// Counts what is read from the disk or pipe.
struct Counted<R> {
    input: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl FileSource {
    /// Opens a file; its packets carry `file_index`. Nothing is read yet.
    ///
    /// # Errors
    /// The system does not let it be opened. What it holds is looked at by the first [`Source::read_block`].
    pub fn open(path: &Path, file_index: u16, limits: &Limits) -> Result<FileSource, CaptureError> {
        let context = || format!("can't open {}", path.display());
        let refused = |source| CaptureError::Io { context: context(), source };
        let file = File::open(path).map_err(refused)?;
        let metadata = file.metadata().map_err(refused)?;
        if metadata.is_dir() {
            return Err(refused(ErrorKind::IsADirectory.into()));
        }
        let mut source = FileSource::from_reader(Box::new(file), &path.to_string_lossy(), file_index, limits);
        source.total_bytes = metadata.is_file().then_some(metadata.len());
        Ok(source)
    }

    /// Reads from `reader`, which reports are to call `name`; its packets carry `file_index`.
    #[must_use]
    pub fn from_reader(
        reader: Box<dyn Read + Send>,
        name: &str,
        file_index: u16,
        limits: &Limits,
    ) -> FileSource {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted = Counted { input: reader, bytes: Arc::clone(&bytes_read) };
        FileSource {
            reader: Some(Box::new(counted)),
            bytes_read,
            total_bytes: None,
            format: None,
            counter: Counter { file: file_index, packet: 0 },
            carry: Vec::new(),
            needed: 0,
            offset: 0,
            read_bytes: READ_BYTES,
            info: InputInfo { path: name.to_owned(), ..InputInfo::default() },
            limits: limits.clone(),
        }
    }

    /// With smaller reads, for a look at a file's start.
    pub(crate) fn with_read_bytes(mut self, read_bytes: usize) -> FileSource {
        self.read_bytes = read_bytes.max(1);
        self
    }

    /// What is known of the file so far.
    #[must_use]
    pub fn info(&self) -> InputInfo {
        InputInfo { bytes: self.bytes_read(), ..self.info.clone() }
    }

    /// Bytes read from the disk so far: compressed ones, where the file is.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The file's size on the disk; `None` for a pipe.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Looks at the first bytes: undoes a compression, then chooses the format. Those bytes become the carry.
    fn begin(&mut self) -> Result<Box<dyn Format>, CaptureError> {
        let mut start = self.read_start()?;
        if let Some(compression) = start.first_chunk().and_then(|start| Compression::recognize(*start)) {
            self.info.compression = Some(compression.name());
            let window = self.limits.zstd_window_bytes;
            let plain = self.reader.take().map(|reader| compression.undo(&start, reader, window));
            let context = || format!("can't begin to undo {}", compression.name());
            self.reader =
                plain.transpose().map_err(|source| CaptureError::Io { context: context(), source })?;
            start = self.read_start()?;
        }
        let format =
            start.first_chunk().and_then(|start| recognize(*start)).ok_or_else(|| unrecognized(&start))?;
        self.carry = start;
        self.info.format = Some(format.name());
        Ok(format)
    }

    /// Reads up to [`LOOK`] bytes, fewer only if the input ends.
    fn read_start(&mut self) -> Result<Vec<u8>, CaptureError> {
        let mut start = vec![0; LOOK];
        let mut filled = 0;
        while let Some(room) = start.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.reader.as_mut().map_or(Ok(0), |reader| reader.read(room)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error, filled as u64)),
            }
        }
        start.truncate(filled);
        Ok(start)
    }

    /// Reads into `block` until there is a packet.
    fn fill(&mut self, format: &mut dyn Format, block: &mut Block) -> Result<More, CaptureError> {
        let Block { bytes, packets, secrets } = block;
        let mut filled = self.carry.len();
        grow(bytes, filled.saturating_add(self.read_bytes));
        if let Some(room) = bytes.get_mut(..filled) {
            room.copy_from_slice(&self.carry);
        }
        self.carry.clear();
        let mut progress = Progress { at: 0, needed: self.needed };
        let outcome = loop {
            let limit = filled.saturating_add(self.read_bytes);
            let room = bytes.get_mut(filled..limit).unwrap_or_default();
            let read = match self.reader.as_mut().map_or(Ok(0), |reader| reader.read(room)) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => break Err(self.read_error(error, self.offset.saturating_add(filled as u64))),
            };
            filled = filled.saturating_add(read);
            let input = Input {
                bytes: bytes.get(..filled).unwrap_or_default(),
                at: progress.at,
                offset: self.offset,
            };
            if filled - progress.at >= progress.needed {
                let mut sink =
                    Sink { packets: &mut *packets, secrets: &mut *secrets, counter: &mut self.counter };
                match format.parse(input, &mut sink, &self.limits) {
                    Ok(found) => progress = found,
                    Err(error) => break Err(error),
                }
            }
            if read == 0 {
                let rest = from(input.bytes, progress.at);
                break format.end(rest, input.offset_of(progress.at)).map(|()| More::No);
            }
            if !packets.is_empty() || !secrets.is_empty() {
                break Ok(More::Yes);
            }
            self.make_room(bytes, &mut filled, &mut progress);
        };
        self.carry.extend_from_slice(from(bytes.get(..filled).unwrap_or_default(), progress.at));
        self.offset = self.offset.saturating_add(progress.at as u64);
        self.needed = progress.needed;
        outcome
    }

    /// Before another read into a buffer without packets: drops what is done with, and sees to room for the rest.
    fn make_room(&mut self, bytes: &mut Vec<u8>, filled: &mut usize, progress: &mut Progress) {
        if progress.at > 0 {
            bytes.copy_within(progress.at..*filled, 0);
            self.offset = self.offset.saturating_add(progress.at as u64);
            *filled = filled.saturating_sub(progress.at);
            progress.at = 0;
        }
        // Memory follows what was read, not what a record claims: a liar costs no more than it sends.
        grow(bytes, filled.saturating_add(self.read_bytes));
    }

    /// An error of the system's or of a decompressor's.
    fn read_error(&self, error: io::Error, offset: u64) -> CaptureError {
        let Some(name) = self.info.compression else {
            return CaptureError::Io { context: format!("can't read {}", self.info.path), source: error };
        };
        match error.kind() {
            ErrorKind::UnexpectedEof => CaptureError::Truncated {
                offset,
                reason: format!("the {name} stream ends before its end mark"),
            },
            ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                CaptureError::Corrupt { offset, reason: self.damage(name, &error) }
            }
            _ => CaptureError::Io { context: format!("can't read {}", self.info.path), source: error },
        }
    }

    /// What a decompressor finds wrong. Both of zstd's tell too large a window in words alone.
    fn damage(&self, name: &str, error: &io::Error) -> String {
        let words = error.to_string();
        if ["too much memory", "window_size is too big"].iter().any(|told| words.contains(told)) {
            let most = self.limits.zstd_window_bytes;
            return format!(
                "the {name} stream needs a larger window than {most} bytes (--limit zstd_window_bytes, or --memory)"
            );
        }
        format!("the {name} stream is damaged: {words}")
    }

    /// Says of an offset that it counts decompressed bytes.
    fn explain_offset(&self, error: CaptureError) -> CaptureError {
        let Some(name) = self.info.compression else { return error };
        let note = |reason| format!("{reason} (the offset counts the bytes that {name} decompresses to)");
        match error {
            CaptureError::Truncated { offset, reason } => {
                CaptureError::Truncated { offset, reason: note(reason) }
            }
            CaptureError::Corrupt { offset, reason } => {
                CaptureError::Corrupt { offset, reason: note(reason) }
            }
            other => other,
        }
    }

    fn read_on(&mut self, block: &mut Block) -> Result<More, CaptureError> {
        let mut format = match self.format.take() {
            Some(format) => format,
            None => self.begin()?,
        };
        let outcome = self.fill(format.as_mut(), block);
        self.info.note(&block.packets);
        self.info.dropped_packets = format.dropped();
        self.info.skipped_secrets_bytes = format.skipped_secrets_bytes();
        self.format = Some(format);
        outcome
    }
}

impl Source for FileSource {
    fn read_block(&mut self, block: &mut Block) -> Result<More, CaptureError> {
        block.clear();
        if self.reader.is_none() {
            return Ok(More::No);
        }
        let outcome = self.read_on(block).map_err(|error| self.explain_offset(error));
        match &outcome {
            Ok(More::Yes) => {}
            Ok(More::No) => self.info.end(None),
            Err(error) => self.info.end(Some(error)),
        }
        if outcome.as_ref().is_ok_and(|more| *more == More::Yes) {
            return outcome;
        }
        self.reader = None;
        self.carry = Vec::new();
        outcome
    }

    fn losses(&self) -> Losses {
        Losses { dropped: self.info.dropped_packets }
    }
}

/// Makes `bytes` at least `length` long, and no longer than that takes: a vector would double for a few bytes more.
fn grow(bytes: &mut Vec<u8>, length: usize) {
    const STEP: usize = 16 << 10;
    if bytes.len() < length {
        let length = length.next_multiple_of(STEP);
        bytes.reserve_exact(length - bytes.len());
        bytes.resize(length, 0);
    }
}

fn recognize(start: [u8; 4]) -> Option<Box<dyn Format>> {
    if let Some(format) = PcapFormat::recognize(start) {
        return Some(Box::new(format));
    }
    PcapngFormat::recognize(start).map(|format| Box::new(format) as Box<dyn Format>)
}
