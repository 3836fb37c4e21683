//! Several files as one capture, in time order.
//!
//! Each file is a lane. The lane whose next packet is the earliest gives the next packet; of equals, the one named
//! first. A file that is opened but not due yet costs no descriptor: its first time is looked up, then it is closed.
//!
//! ```text
//! waiting (closed, by first time)   c5  d9
//! lanes   (open, one block each)    a: 1 2 4 4 |    whole block of a is before b's and c's next: handed through
//!                                   b: 4 6 7        otherwise copied packet by packet into the caller's block
//! ```
//!
//! Lanes and waiting files are kept in order, so that thousands of open files cost a packet no more than a few steps.

use super::file::{FileSource, READ_BYTES};
use super::info::InputInfo;
use super::pipe::{self, StopFlag};
use super::{Block, CaptureError, Losses, More, PacketRef, Source};
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::work;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes read for a look at a file's first packet.
const LOOK_BYTES: usize = 16 << 10;

/// One input to merge.
pub enum MergeInput {
    /// A file or named pipe.
    Path(PathBuf),
    /// Something already open, with the name that reports give it.
    Reader(Box<dyn Read + Send>, String),
}

/// Several capture files, read as one in time order.
///
/// Order within a file is kept as it is, even where its clock steps back. A damaged file ends at its damage and the
/// others go on; its error is in its [`InputInfo`], and `read_block` never fails for it.
pub struct MergedSource {
    /// Files being read, by the place of their next packet in the merged order.
    lanes: BTreeMap<Rank, Box<Lane>>,
    /// Those of them whose block has been handed on whole, or held secrets alone: to be filled before anything else.
    #[expect(clippy::vec_box, reason = "lanes go to and fro between here and the map")]
    spent: Vec<Box<Lane>>,
    /// Files not due yet, the next one last.
    waiting: Vec<Waiting>,
    /// One per input, in the order given.
    infos: Vec<InputInfo>,
    total_bytes: Option<u64>,
    limits: Limits,
}

/// The place of a packet in the merged order: its time and, of equal times, its file's number.
type Rank = (Timestamp, u16);

/// A file that is being read.
struct Lane {
    source: FileSource,
    block: Block,
    /// The next packet of `block`.
    next: usize,
    index: u16,
    ended: bool,
}

/// A file that is not due yet.
struct Waiting {
    first_at: Timestamp,
    index: u16,
    input: Held,
}

enum Held {
    /// Closed; to be opened again.
    Closed(PathBuf),
    /// A pipe, which can't be opened again, with what has been read of it.
    Open(Box<Lane>),
}

impl Lane {
    fn new(source: FileSource, index: u16) -> Lane {
        Lane { source, block: Block::default(), next: 0, index, ended: false }
    }

    /// Reads until there is a packet, or secrets, or the end. `false`: it is the end.
    fn fill(&mut self) -> bool {
        while self.rest().is_empty() && self.block.secrets.is_empty() {
            if self.ended {
                return false;
            }
            self.next = 0;
            // The error stays in the source's info.
            self.ended = !matches!(self.source.read_block(&mut self.block), Ok(More::Yes));
        }
        true
    }

    /// Packets not yet handed on.
    fn rest(&self) -> &[PacketRef] {
        self.block.packets.get(self.next..).unwrap_or_default()
    }

    fn first_at(&self) -> Option<Timestamp> {
        self.rest().first().map(|packet| packet.at.at)
    }

    /// The place of its next packet in the merged order.
    fn rank(&self) -> Rank {
        (self.first_at().unwrap_or(Timestamp::MAX), self.index)
    }
}

impl MergedSource {
    /// Opens `inputs`; the file index in a packet's `Moment` is its input's position.
    ///
    /// Where there are several, each one's first packet is looked up. For a pipe that means waiting for it.
    #[must_use]
    pub fn new(inputs: Vec<MergeInput>, limits: &Limits) -> MergedSource {
        let mut merged = MergedSource {
            lanes: BTreeMap::new(),
            spent: Vec::new(),
            waiting: Vec::new(),
            infos: Vec::new(),
            total_bytes: Some(0),
            limits: limits.clone(),
        };
        let single = inputs.len() == 1;
        for (index, input) in inputs.into_iter().enumerate() {
            match u16::try_from(index) {
                Ok(index) => merged.add(input, index, single),
                Err(_) => merged.leave_out(&input),
            }
        }
        merged.waiting.sort_by_key(|waiting| std::cmp::Reverse((waiting.first_at, waiting.index)));
        merged
    }

    /// Opens files by path, `-` being standard input.
    #[must_use]
    pub fn open(paths: &[PathBuf], limits: &Limits) -> MergedSource {
        MergedSource::open_until(paths, limits, &StopFlag::default())
    }

    /// The same; once `stop` is set, pipes come to their end.
    #[must_use]
    pub fn open_until(paths: &[PathBuf], limits: &Limits, stop: &StopFlag) -> MergedSource {
        let input = |path: &PathBuf| match pipe::open(path, stop) {
            Some(pipe) => MergeInput::Reader(pipe, path.to_string_lossy().into_owned()),
            None => MergeInput::Path(path.clone()),
        };
        MergedSource::new(paths.iter().map(input).collect(), limits)
    }

    /// What is known of each input so far, in the order given.
    #[must_use]
    pub fn infos(&self) -> Vec<InputInfo> {
        let mut infos = self.infos.clone();
        for lane in self.open_lanes() {
            if let Some(info) = infos.get_mut(usize::from(lane.index)) {
                *info = lane.source.info();
            }
        }
        infos
    }

    /// Bytes read from the disk so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        let open = self.open_lanes().map(|lane| lane.source.bytes_read());
        self.infos.iter().map(|info| info.bytes).chain(open).fold(0, u64::saturating_add)
    }

    /// The files' size on the disk; `None` if a pipe is among them.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Every file that is open. What is known of the others stands in `infos`.
    fn open_lanes(&self) -> impl Iterator<Item = &Lane> {
        let held = self.waiting.iter().filter_map(|waiting| match &waiting.input {
            Held::Open(lane) => Some(lane.as_ref()),
            Held::Closed(_) => None,
        });
        self.lanes.values().chain(&self.spent).map(Box::as_ref).chain(held)
    }

    fn add(&mut self, input: MergeInput, index: u16, single: bool) {
        let (source, path) = match input {
            MergeInput::Path(path) => (FileSource::open(&path, index, &self.limits), Some(path)),
            MergeInput::Reader(reader, name) => {
                (Ok(FileSource::from_reader(reader, &name, index, &self.limits)), None)
            }
        };
        let name = path.as_deref().map_or_else(String::new, |path| path.to_string_lossy().into_owned());
        self.infos.push(InputInfo { path: name, ..InputInfo::default() });
        let source = match source {
            Ok(source) => source,
            Err(error) => return self.fail(index, &error),
        };
        self.total_bytes =
            self.total_bytes.zip(source.total_bytes()).map(|(sum, bytes)| sum.saturating_add(bytes));
        let lane = Lane::new(source, index);
        if single {
            self.spent.push(Box::new(lane));
        } else {
            self.hold(lane, path);
        }
    }

    /// Packets name their file by 16 bits.
    fn leave_out(&mut self, input: &MergeInput) {
        let path = match input {
            MergeInput::Path(path) => path.to_string_lossy().into_owned(),
            MergeInput::Reader(_, name) => name.clone(),
        };
        let mut info = InputInfo { path, ..InputInfo::default() };
        let reason = "at most 65536 files are read as one".to_owned();
        info.end(Some(&CaptureError::Unrecognized { reason }));
        self.infos.push(info);
    }

    /// Looks up when `lane` is due, and closes it until then if it can be opened again.
    fn hold(&mut self, mut lane: Lane, path: Option<PathBuf>) {
        let closed = path.filter(|_| lane.source.total_bytes().is_some());
        let index = lane.index;
        // A file that can't be looked at or has no packet is due at once, so that its secrets and error come early.
        let (first_at, input) = match closed {
            Some(path) => (first_packet_at(&path, &self.limits), Held::Closed(path)),
            None => {
                lane.fill();
                (lane.first_at(), Held::Open(Box::new(lane)))
            }
        };
        self.waiting.push(Waiting { first_at: first_at.unwrap_or(Timestamp::MIN), index, input });
    }

    /// Opens the waiting files that come before every open lane's next packet.
    fn wake(&mut self, secrets: &mut Vec<Vec<u8>>) {
        while let Some(next) = self.waiting.last().filter(|_| self.spent.is_empty()) {
            let due = (next.first_at, next.index);
            if self.lanes.first_key_value().is_some_and(|(rank, _)| *rank < due) {
                return;
            }
            let Some(waiting) = self.waiting.pop() else { return };
            let lane = match waiting.input {
                Held::Open(lane) => Ok(lane),
                Held::Closed(path) => FileSource::open(&path, waiting.index, &self.limits)
                    .map(|source| Box::new(Lane::new(source, waiting.index))),
            };
            match lane {
                Ok(lane) => self.start(lane, secrets),
                Err(error) => self.fail(waiting.index, &error),
            }
        }
    }

    /// Fills a lane. Its secrets go on at once: before its first packet there may be many.
    fn start(&mut self, mut lane: Box<Lane>, secrets: &mut Vec<Vec<u8>>) {
        let goes_on = lane.fill();
        secrets.append(&mut lane.block.secrets);
        if !lane.rest().is_empty() {
            self.lanes.insert(lane.rank(), lane);
        } else if goes_on {
            self.spent.push(lane);
        } else {
            self.retire(&lane);
        }
    }

    /// Keeps what is known of an ended file, and closes it.
    fn retire(&mut self, lane: &Lane) {
        if let Some(info) = self.infos.get_mut(usize::from(lane.index)) {
            *info = lane.source.info();
        }
    }

    fn fail(&mut self, index: u16, error: &CaptureError) {
        if let Some(info) = self.infos.get_mut(usize::from(index)) {
            info.end(Some(error));
        }
    }

    /// Fills lanes that have been handed on whole, and removes those that have ended.
    fn refill(&mut self, secrets: &mut Vec<Vec<u8>>) {
        for lane in std::mem::take(&mut self.spent) {
            self.start(lane, secrets);
        }
    }

    /// The lane with the earliest next packet, taken out, and the place in the order before which it may go on.
    fn earliest(&mut self) -> Option<(Box<Lane>, Rank)> {
        let (_, lane) = self.lanes.pop_first()?;
        let waiting = self.waiting.last().map(|waiting| (waiting.first_at, waiting.index));
        let next = self.lanes.first_key_value().map(|(rank, _)| *rank);
        Some((lane, next.into_iter().chain(waiting).min().unwrap_or((Timestamp::MAX, u16::MAX))))
    }

    /// A single file: nothing to merge.
    fn read_single(&mut self, block: &mut Block) -> Option<More> {
        let [lane] = self.spent.as_mut_slice() else { return None };
        if !self.waiting.is_empty() || !self.lanes.is_empty() || lane.ended {
            return None;
        }
        lane.ended = !matches!(lane.source.read_block(block), Ok(More::Yes));
        Some(if lane.ended { More::No } else { More::Yes })
    }

    /// Moves packets into `block` until it is full, or a lane has to be filled.
    fn merge(&mut self, block: &mut Block) -> More {
        let mut used = 0;
        while let Some((mut lane, until)) = self.earliest() {
            let index = lane.index;
            let before = |packet: &&PacketRef| (packet.at.at, index) <= until;
            let run = lane.rest().iter().take_while(before).count().max(1);
            work::steps(run);
            if lane.next == 0 && used == 0 && run == lane.block.packets.len() {
                std::mem::swap(&mut block.bytes, &mut lane.block.bytes);
                std::mem::swap(&mut block.packets, &mut lane.block.packets);
                lane.block.packets.clear();
                self.spent.push(lane);
                return More::Yes;
            }
            for packet in lane.rest().iter().take(run) {
                copy(packet, lane.block.packet_bytes(packet), block, &mut used);
            }
            lane.next = lane.next.saturating_add(run);
            if lane.rest().is_empty() {
                self.spent.push(lane);
                return More::Yes;
            }
            self.lanes.insert(lane.rank(), lane);
            if used >= READ_BYTES {
                return More::Yes;
            }
            self.wake(&mut block.secrets);
            if !self.spent.is_empty() {
                return More::Yes;
            }
        }
        More::No
    }
}

impl Source for MergedSource {
    fn read_block(&mut self, block: &mut Block) -> Result<More, CaptureError> {
        block.clear();
        if let Some(more) = self.read_single(block) {
            return Ok(more);
        }
        self.refill(&mut block.secrets);
        self.wake(&mut block.secrets);
        // Until each lane has shown its next packet, none is known to be the earliest.
        Ok(if self.spent.is_empty() { self.merge(block) } else { More::Yes })
    }

    fn losses(&self) -> Losses {
        let open = self.open_lanes().map(|lane| lane.source.losses().dropped);
        let dropped =
            self.infos.iter().map(|info| info.dropped_packets).chain(open).fold(0, u64::saturating_add);
        Losses { dropped }
    }
}

/// Appends a packet to the `used` bytes of `block`.
fn copy(packet: &PacketRef, bytes: &[u8], block: &mut Block, used: &mut usize) {
    let end = used.saturating_add(bytes.len());
    if block.bytes.len() < end {
        // Twice what is needed, so that the buffer grows seldom.
        block.bytes.resize(end.saturating_mul(2), 0);
    }
    if let Some(room) = block.bytes.get_mut(*used..end) {
        room.copy_from_slice(bytes);
    }
    let range = u32::try_from(*used).unwrap_or(u32::MAX)..u32::try_from(end).unwrap_or(u32::MAX);
    block.packets.push(PacketRef { range, ..packet.clone() });
    *used = end;
}

/// The time of a file's first packet; `None` if it has none or can't be read.
fn first_packet_at(path: &Path, limits: &Limits) -> Option<Timestamp> {
    let mut lane = Lane::new(FileSource::open(path, 0, limits).ok()?.with_read_bytes(LOOK_BYTES), 0);
    while lane.rest().is_empty() && lane.fill() {
        lane.block.secrets.clear();
    }
    lane.first_at()
}
