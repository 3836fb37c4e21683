//! A capture of which packets are missing, or cut: what a snaplen, a busy machine or a late start leaves.

use super::pcapng;
use std::io::Read as _;

/// Bytes in front of a packet: of a record of pcap, and of an Enhanced Packet Block.
const RECORD_HEADER: usize = 16;
const BLOCK_HEADER: usize = 28;
const ENHANCED_PACKET: u32 = 6;

/// A file, pcap or pcapng in little-endian order, taken apart.
pub struct Pieces {
    is_pcapng: bool,
    head: Vec<u8>,
    /// Each with whether it is a packet.
    pieces: Vec<(bool, Vec<u8>)>,
}

impl Pieces {
    /// Of a file that may be compressed by gzip.
    pub fn of(file: &[u8]) -> Self {
        let mut whole = Vec::new();
        if file.starts_with(&[0x1f, 0x8b]) {
            flate2::read::GzDecoder::new(file).read_to_end(&mut whole).unwrap();
        } else {
            whole.extend_from_slice(file);
        }
        if whole.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            let pieces = pcapng::blocks(&whole);
            let pieces = pieces.into_iter().map(|(kind, block)| (kind == ENHANCED_PACKET, block.to_vec()));
            return Pieces { is_pcapng: true, head: Vec::new(), pieces: pieces.collect() };
        }
        let (head, mut rest) = whole.split_at(24);
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (record, after) = rest.split_at(RECORD_HEADER + word(rest, 8));
            pieces.push((true, record.to_vec()));
            rest = after;
        }
        Pieces { is_pcapng: false, head: head.to_vec(), pieces }
    }

    /// How many packets it has.
    pub fn packets(&self) -> usize {
        self.pieces.iter().filter(|(is_packet, _)| *is_packet).count()
    }

    /// The packets' bytes.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let header = if self.is_pcapng { BLOCK_HEADER } else { RECORD_HEADER };
        let length = if self.is_pcapng { 20 } else { 8 };
        let packets = self.pieces.iter().filter(|(is_packet, _)| *is_packet);
        packets.map(move |(_, bytes)| &bytes[header..header + word(bytes, length)])
    }

    /// The file with packet `n` (from 0) cut to `snaplen(n)` bytes; `None`: it is not there.
    pub fn write(&self, snaplen: impl Fn(usize) -> Option<usize>) -> Vec<u8> {
        let mut file = self.head.clone();
        let mut number = 0;
        for (is_packet, bytes) in &self.pieces {
            if !is_packet {
                file.extend_from_slice(bytes);
                continue;
            }
            let snaplen = snaplen(number);
            number += 1;
            let Some(snaplen) = snaplen else { continue };
            if self.is_pcapng {
                file.extend_from_slice(&cut_block(bytes, snaplen));
            } else {
                let kept = word(bytes, 8).min(snaplen);
                let mut record = bytes[..RECORD_HEADER + kept].to_vec();
                record[8..12].copy_from_slice(&(kept as u32).to_le_bytes());
                file.extend_from_slice(&record);
            }
        }
        file
    }
}

/// An Enhanced Packet Block with at most `snaplen` bytes of its packet, without options where that cuts it.
fn cut_block(block: &[u8], snaplen: usize) -> Vec<u8> {
    let captured = word(block, 20);
    if captured <= snaplen {
        return block.to_vec();
    }
    let padded = snaplen.next_multiple_of(4);
    let total = (BLOCK_HEADER + padded + 4) as u32;
    let mut cut = block[..BLOCK_HEADER + snaplen].to_vec();
    cut.resize(BLOCK_HEADER + padded, 0);
    cut[4..8].copy_from_slice(&total.to_le_bytes());
    cut[20..24].copy_from_slice(&(snaplen as u32).to_le_bytes());
    cut.extend_from_slice(&total.to_le_bytes());
    cut
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}
