//! Reads captures a few blocks ahead of the analysis, on a thread of its own.
//!
//! ```text
//!           empty blocks
//!   +<----------------------------+
//!   reader --> [block][block] --> analysis
//! ```
//!
//! Reading and decompressing then cost the analysis no time. The blocks come in order: the report is the same. What fits
//! one block takes no thread.

use anyhow::Result;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use wsclose::analyzer::{Prepared, Preparer};
use wsclose::capture::merge::MergedSource;
use wsclose::capture::{Block, More, Source as _};

/// Blocks in use: some being read or waiting, some analysed.
const BLOCKS: usize = 8;
/// Analysed blocks go back this many at a time: waking the reader for each would cost both threads a few microseconds.
const RETURNED: usize = 4;

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
    loop {
        let more = source.read_block(&mut block);
        handle(&mut block, &Prepared::default(), source.bytes_read())?;
        if more? == More::No {
            return Ok(());
        }
        if threads > 1 {
            return on_two_threads(source, preparer, handle);
        }
    }
}

fn on_two_threads(
    source: &mut MergedSource,
    preparer: Option<Preparer>,
    mut handle: impl FnMut(&mut Block, &Prepared, u64) -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        let (filled, blocks) = sync_channel(BLOCKS);
        let (empty, recycled) = channel();
        for _ in 0..BLOCKS {
            empty.send((Block::default(), Prepared::default()))?;
        }
        scope.spawn(move || {
            while let Ok((mut block, mut prepared)) = recycled.recv() {
                let more = source.read_block(&mut block);
                if let Some(preparer) = &preparer {
                    preparer.prepare(&block, &mut prepared);
                }
                let is_last = !matches!(more, Ok(More::Yes));
                if filled.send((block, prepared, more, source.bytes_read())).is_err() || is_last {
                    return;
                }
            }
        });
        let mut done = Vec::with_capacity(RETURNED);
        for (mut block, prepared, more, bytes_read) in blocks {
            handle(&mut block, &prepared, bytes_read)?;
            if more? == More::No {
                break;
            }
            done.push((block, prepared));
            if done.len() == RETURNED {
                // The reader ends by itself after its last block.
                let _ = done.drain(..).try_for_each(|block| empty.send(block));
            }
        }
        Ok(())
    })
}
