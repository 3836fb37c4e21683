//! Packets from files and interfaces: the only library layer with I/O.

pub mod link_type;
mod compression;
#[cfg(any(test, not(feature = "zstd")))]
mod zstd_frames;
mod format;
mod pcap_format;
mod interface;
mod pcapng_format;
mod unrecognized;
pub mod pcapng_writer;
pub mod rewrite;
pub mod secrets;
mod info;
pub mod file;
pub mod pipe;
pub mod merge;
pub mod inject;
#[cfg(feature = "live")]
pub mod filter;
#[cfg(feature = "live")]
pub mod live;

#[cfg(test)]
mod tests;

pub use info::{InputError, InputInfo};

use crate::moment::Moment;
use link_type::LinkType;
use std::ops::Range;

/// One packet record inside a [`Block`]: where its bytes lie and what its record says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketRef {
    /// Number, file and time.
    pub at: Moment,
    /// How the first byte is to be read.
    pub link_type: LinkType,
    /// Bytes of a frame check sequence at the end of the packet, if the file says so (else 0).
    pub fcs_len: u8,
    /// The captured bytes, as a range of [`Block::bytes`].
    pub range: Range<u32>,
    /// Length on the wire; larger than the range where the snaplen cut the packet.
    pub original_len: u32,
}

/// A run of packets with the bytes they lie in. Recycled between reads, so that reading allocates nothing.
///
/// ```text
/// bytes    |hdr|packet 1|hdr|packet 2|...|packet n|start of packet n+1| left from earlier reads |
/// packets       ^range       ^range        ^range   (carried over by the source)
/// ```
///
/// Only the ranges of `packets` mean anything: `bytes` keeps its length over reads, since shrinking it would
/// have it zeroed again each time it grows.
#[derive(Debug, Default)]
pub struct Block {
    /// Room for file bytes, record headers included.
    pub bytes: Vec<u8>,
    /// The packets that lie whole in `bytes`.
    pub packets: Vec<PacketRef>,
    /// TLS key logs found between them (pcapng Decryption Secrets Blocks), as they stand.
    pub secrets: Vec<Vec<u8>>,
}

impl Block {
    /// The captured bytes of `packet`, which must be one of this block's.
    #[must_use]
    pub fn packet_bytes(&self, packet: &PacketRef) -> &[u8] {
        self.bytes.get(packet.range.start as usize..packet.range.end as usize).unwrap_or_default()
    }

    /// Forgets all packets and secrets; keeps the memory, and `bytes` as they are.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.secrets.clear();
    }
}

/// Is there more to read?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Read again. The block may be empty where a live source had nothing within its wait.
    Yes,
    /// The input has ended; the block may still hold its last packets.
    No,
}

/// Packets that the capture itself says it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Dropped by the kernel or the interface, as the file's statistics or libpcap count them.
    pub dropped: u64,
}

/// Something packets are read from.
///
/// Blocks and not single packets, so that later stages may work in batches and a reader may run ahead.
pub trait Source {
    /// Fills `block` (cleared first) with the next packets.
    ///
    /// Waits for input, but returns as soon as there is a packet, without waiting for a full block: a pipe's
    /// packets arrive as they are written.
    ///
    /// # Errors
    /// The input can't be read on. What was read before the damage is in `block` all the same, and is valid.
    /// After an error the source has ended: the next call gives an empty block and [`More::No`].
    fn read_block(&mut self, block: &mut Block) -> Result<More, CaptureError>;

    /// What the capture says it lost so far.
    fn losses(&self) -> Losses;
}

/// Why an input could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The operating system refused to open or read it.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is no capture file, or one of a kind that is not read.
    #[error("{reason}")]
    Unrecognized {
        /// What was found, and what was expected.
        reason: String,
    },
    /// A capture filter does not compile.
    #[error("the filter {expression:?} is not valid for {link_type}: {reason}")]
    Filter {
        /// The expression as given.
        expression: String,
        /// What it was to be used on: link types differ in what can be asked of them.
        link_type: LinkType,
        /// libpcap's answer.
        reason: String,
    },
    /// It ends in the middle of a record.
    #[error("cut short at byte {offset}: {reason}")]
    Truncated {
        /// Offset of the incomplete record in the (decompressed) file.
        offset: u64,
        /// What was expected.
        reason: String,
    },
    /// A record contradicts the format.
    #[error("corrupt at byte {offset}: {reason}")]
    Corrupt {
        /// Offset of the bad record in the (decompressed) file.
        offset: u64,
        /// What was expected and what was found.
        reason: String,
    },
}

impl CaptureError {
    /// Is the input damaged, and not a system's refusal to read it, or to write what is made of it? A decompressor's errors
    /// are not the system's.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            CaptureError::Truncated { .. } | CaptureError::Corrupt { .. } => true,
            CaptureError::Io { source, .. } => {
                source.raw_os_error().is_none() && source.kind() != std::io::ErrorKind::WriteZero
            }
            CaptureError::Unrecognized { .. } | CaptureError::Filter { .. } => false,
        }
    }

    /// Offset of the damage in the (decompressed) file, where there is one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            CaptureError::Truncated { offset, .. } | CaptureError::Corrupt { offset, .. } => Some(*offset),
            CaptureError::Io { .. } | CaptureError::Unrecognized { .. } | CaptureError::Filter { .. } => None,
        }
    }
}
