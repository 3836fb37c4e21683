//! Reads captures a few blocks ahead of the analysis, on a thread of its own.
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

/// Blocks in use: some being read or waiting, some analysed.
const BLOCKS: usize = 5;

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
        // What fits one block takes no thread.
        if threads > 1 {
            return on_two_threads(source, handle);
        }
    }
}

/// Are all inputs files, which give what they have without delay?
pub(crate) fn is_of_files(source: &MergedSource) -> bool {
    source.total_bytes().is_some()
}

fn on_two_threads(
    source: &mut MergedSource,
    mut handle: impl FnMut(&mut Block, u64) -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        let (filled, blocks) = sync_channel(BLOCKS);
        let (empty, emptied) = channel();
        for _ in 0..BLOCKS {
            empty.send(Block::default())?;
        }
        scope.spawn(move || {
            while let Ok(mut block) = emptied.recv() {
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
                return Ok(());
            }
            // The reader ends by itself after its last block.
            let _ = empty.send(block);
        }
        Ok(())
    })
}
