//! Reads captures a few blocks ahead of the analysis, on a thread of its own, where that pays.
//!
//! ```text
//!           empty blocks
//!   +<--------------------------------------------------+
//!   reader --> [block][block][block][block] --> analysis
//! ```
//!
//! Reading, decompressing and decoding what is of a common shape then cost the analysis no time. The blocks come in order: the report is the same.

use anyhow::Result;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use wsclose::analyzer::{Prepared, Preparer};
use wsclose::capture::merge::MergedSource;
use wsclose::capture::{Block, CaptureError, More, Source as _};

/// Blocks handed over together: waking the other thread costs both a few microseconds, about as much as a block of large packets.
const GROUP: usize = 4;
/// Groups in use: one is filled while the other is analysed.
const GROUPS: usize = 2;

/// Blocks of a plain file that are looked at before it is decided how the others are read.
const LOOKED_AT: usize = 16;
/// Packets of so many bytes on average are read no faster by another thread: they are walked about as fast as their bytes come
/// from the other processor's cache.
const LARGE_PACKET: usize = 512;

/// Hands each block of `source` to `handle`, with the bytes read so far.
///
/// # Errors
/// The first of `handle`, or of the source: what was read before it has been handled.
pub(crate) fn for_each_block(
    source: &mut MergedSource,
    threads: usize,
    preparer: Option<Preparer>,
    mut handle: impl FnMut(&mut Block, &Prepared, u64) -> Result<()>,
) -> Result<()> {
    let mut block = Block::default();
    let mut seen = Seen::default();
    loop {
        let more = source.read_block(&mut block);
        seen.add(&block);
        handle(&mut block, &Prepared::default(), source.bytes_read())?;
        if more? == More::No {
            return Ok(());
        }
        if threads > 1 && seen.speaks_for_a_reader(source) {
            return on_two_threads(source, preparer, handle);
        }
    }
}

/// What the first blocks tell of the others.
#[derive(Default)]
struct Seen {
    blocks: usize,
    packets: usize,
    packet_bytes: usize,
}

impl Seen {
    fn add(&mut self, block: &Block) {
        self.blocks += 1;
        self.packets += block.packets.len();
        self.packet_bytes += block.packets.iter().map(|packet| packet.range.len()).sum::<usize>();
    }

    /// Is it worth a thread to read on? True at once of what is waited for or decompressed.
    fn speaks_for_a_reader(&self, source: &MergedSource) -> bool {
        match self.blocks {
            1 => is_slow(source),
            LOOKED_AT => self.packet_bytes / LARGE_PACKET < self.packets,
            _ => false,
        }
    }
}

/// Does reading take more than a copy?
fn is_slow(source: &MergedSource) -> bool {
    !is_of_files(source) || source.infos().iter().any(|info| info.compression.is_some())
}

/// Are all inputs files, which give what they have without delay?
pub(crate) fn is_of_files(source: &MergedSource) -> bool {
    source.total_bytes().is_some()
}

/// A block, and what was decoded of it ahead.
#[derive(Default)]
struct Ahead {
    block: Block,
    prepared: Prepared,
}

/// A block, what its reading gave, and the bytes read with it.
type Filled = (Ahead, Result<More, CaptureError>, u64);

fn on_two_threads(
    source: &mut MergedSource,
    preparer: Option<Preparer>,
    mut handle: impl FnMut(&mut Block, &Prepared, u64) -> Result<()>,
) -> Result<()> {
    // What comes through a pipe may be waited for: no block of it waits for others.
    let (blocks, groups) = if is_of_files(source) { (GROUP, GROUPS) } else { (1, GROUP * GROUPS) };
    thread::scope(|scope| {
        let (filled, full) = sync_channel(groups);
        let (empty, emptied) = channel();
        for _ in 0..groups {
            empty.send((0..blocks).map(|_| Ahead::default()).collect::<Vec<_>>())?;
        }
        scope.spawn(move || {
            while let Ok(blocks) = emptied.recv() {
                let (group, is_last) = fill(source, blocks, preparer.as_ref());
                if filled.send(group).is_err() || is_last {
                    return;
                }
            }
        });
        for group in full {
            let mut done = Vec::with_capacity(blocks);
            for (mut ahead, more, bytes_read) in group {
                handle(&mut ahead.block, &ahead.prepared, bytes_read)?;
                if more? == More::No {
                    return Ok(());
                }
                done.push(ahead);
            }
            // The reader ends by itself after its last block.
            let _ = empty.send(done);
        }
        Ok(())
    })
}

/// Reads into `blocks`, and decodes them; true: there is no more.
fn fill(source: &mut MergedSource, blocks: Vec<Ahead>, preparer: Option<&Preparer>) -> (Vec<Filled>, bool) {
    let mut group = Vec::with_capacity(blocks.len());
    for mut ahead in blocks {
        let more = source.read_block(&mut ahead.block);
        if let Some(preparer) = preparer {
            preparer.prepare(&ahead.block, &mut ahead.prepared);
        }
        let is_last = !matches!(more, Ok(More::Yes));
        group.push((ahead, more, source.bytes_read()));
        if is_last {
            return (group, true);
        }
    }
    (group, false)
}
