//! Reads captures a few blocks ahead of the analysis, on a thread of its own where that pays.
//!
//! ```text
//!           empty blocks
//!   +<----------------------------+
//!   reader --> [block][block] --> analysis
//! ```
//!
//! Reading and decompressing then cost the analysis no time. The blocks come in order: the report is the same.

use anyhow::Result;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use wsclose::capture::merge::MergedSource;
use wsclose::capture::{Block, More, Source as _};

/// Blocks in use: one being read, one being analysed, one between them.
const BLOCKS: usize = 3;
/// Bytes of an average packet from which a thread pays: moving small ones from one processor's cache to the other's
/// costs more than reading them does. (Measured: a quarter faster at 1,000 bytes, a tenth slower at 400.)
const LARGE_PACKET: u64 = 700;

/// Hands each block of `source` to `handle`, with the bytes read so far.
///
/// # Errors
/// The first of `handle`, or of the source: what was read before it has been handled.
pub(crate) fn for_each_block(
    source: &mut MergedSource,
    threads: usize,
    mut handle: impl FnMut(&mut Block, u64) -> Result<()>,
) -> Result<()> {
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block);
        handle(&mut block, source.bytes_read())?;
        if more? == More::No {
            return Ok(());
        }
        if threads > 1 && pays(source, &block) {
            return on_two_threads(source, handle);
        }
    }
}

/// Would a thread of its own for the reader pay?
fn pays(source: &MergedSource, block: &Block) -> bool {
    let bytes: u64 = block.packets.iter().map(|packet| packet.range.len() as u64).sum();
    let is_compressed = || source.infos().iter().any(|info| info.compression.is_some());
    bytes >= LARGE_PACKET * block.packets.len().max(1) as u64 || is_compressed()
}

fn on_two_threads(
    source: &mut MergedSource,
    mut handle: impl FnMut(&mut Block, u64) -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        let (filled, blocks) = sync_channel(BLOCKS);
        let (empty, recycled) = channel();
        for _ in 0..BLOCKS {
            empty.send(Block::default())?;
        }
        scope.spawn(move || {
            while let Ok(mut block) = recycled.recv() {
                let more = source.read_block(&mut block);
                let is_last = !matches!(more, Ok(More::Yes));
                if filled.send((block, more, source.bytes_read())).is_err() || is_last {
                    return;
                }
            }
        });
        for (mut block, more, bytes_read) in blocks {
            handle(&mut block, bytes_read)?;
            if more? == More::No {
                break;
            }
            // The reader ends by itself after its last block.
            let _ = empty.send(block);
        }
        Ok(())
    })
}
