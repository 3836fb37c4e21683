//! Capture files: pcap, pcapng, compressed.

use super::{Cuts, READ_BYTES, small_limits};
use crate::capture::file::FileSource;
use crate::capture::{Block, CaptureError, More, PacketRef, Source as _};
use std::io::{Cursor, Read};

/// Bytes of packets looked at: a bomb is not to keep the fuzzer.
const ENOUGH: usize = 1 << 20;

/// What a file held.
#[derive(Debug, PartialEq)]
struct Found {
    packets: Vec<(PacketRef, Vec<u8>)>,
    secrets: Vec<Vec<u8>>,
    error: Option<String>,
    was_enough: bool,
}

/// A reader that hands its bytes out in odd pieces, as a pipe may.
struct Pieces {
    input: Cursor<Vec<u8>>,
    cuts: Cuts,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = self.cuts.next(61).min(buffer.len());
        self.input.read(buffer.get_mut(..most).unwrap_or_default())
    }
}

/// Reads `input` whole and in pieces: the same packets, the same error, within the caps, each packet's bytes as they
/// stand in the file.
pub fn file(input: &[u8]) {
    let (whole, is_plain) = read(Box::new(Cursor::new(input.to_vec())));
    let seed = input.last().copied().unwrap_or(0);
    let pieces = Pieces { input: Cursor::new(input.to_vec()), cuts: Cuts::new(seed) };
    let (cut, _) = read(Box::new(pieces));
    if whole.error.is_some() && !is_plain {
        // How much a decompressor gives before it notices damage depends on how much it is asked for at a time.
        assert!(cut.error.is_some() || cut.was_enough);
        let common = whole.packets.len().min(cut.packets.len());
        assert_eq!(whole.packets.get(..common), cut.packets.get(..common), "up to the damage");
    } else if !whole.was_enough && !cut.was_enough {
        assert_eq!(whole, cut, "read whole and in pieces");
    }
    let limits = small_limits();
    let secrets: usize = whole.secrets.iter().map(Vec::len).sum();
    assert!(secrets <= limits.secrets_bytes.max(input.len()));
    let mut rest = input;
    for (packet, bytes) in &whole.packets {
        assert!(bytes.len() <= limits.packet_bytes as usize);
        if is_plain {
            rest = behind(rest, bytes).expect("each packet stands in the file, behind the one before");
        }
        assert!(packet.at.packet as usize >= 1);
    }
}

fn read(reader: Box<dyn Read + Send>) -> (Found, bool) {
    let mut source = FileSource::from_reader(reader, "fuzz", 0, &small_limits()).with_read_bytes(READ_BYTES);
    let mut found = Found { packets: Vec::new(), secrets: Vec::new(), error: None, was_enough: false };
    let (mut block, mut bytes) = (Block::default(), 0);
    loop {
        let more = source.read_block(&mut block);
        for packet in &block.packets {
            let captured = block.packet_bytes(packet);
            assert_eq!(captured.len(), packet.range.len(), "a packet lies within its block");
            bytes += captured.len() + 16;
            let range = 0..packet.range.end - packet.range.start;
            found.packets.push((PacketRef { range, ..packet.clone() }, captured.to_vec()));
        }
        found.secrets.append(&mut block.secrets);
        found.was_enough = bytes >= ENOUGH;
        match more {
            Ok(More::Yes) if !found.was_enough => {}
            Ok(_) => break,
            Err(error) => {
                found.error = Some(place(&error));
                break;
            }
        }
    }
    (found, source.info().compression.is_none())
}

/// What went wrong and where; the words may tell how much had been read.
fn place(error: &CaptureError) -> String {
    let kind = match error {
        CaptureError::Io { .. } => "io",
        CaptureError::Unrecognized { .. } => "unrecognized",
        CaptureError::Filter { .. } => "filter",
        CaptureError::Truncated { .. } => "truncated",
        CaptureError::Corrupt { .. } => "corrupt",
    };
    format!("{kind} at {:?}", error.offset())
}

/// What follows the first place where `part` stands in `bytes`.
fn behind<'a>(bytes: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    if part.is_empty() {
        return Some(bytes);
    }
    let at = bytes.windows(part.len()).position(|window| window == part)?;
    bytes.get(at + part.len()..)
}
