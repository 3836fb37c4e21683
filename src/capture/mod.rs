//! Packets from files and interfaces: the only library layer with I/O.

pub mod link_type;

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
/// bytes    |hdr|packet 1|hdr|packet 2|...|packet n|start of packet n+1|
/// packets       ^range       ^range        ^range   (carried over by the source)
/// ```
#[derive(Debug, Default)]
pub struct Block {
    /// File bytes, record headers included.
    pub bytes: Vec<u8>,
    /// The packets that lie whole in `bytes`.
    pub packets: Vec<PacketRef>,
    /// Decryption secrets found between them (pcapng Decryption Secrets Blocks), as they stand.
    pub secrets: Vec<Vec<u8>>,
}

impl Block {
    /// The captured bytes of `packet`, which must be one of this block's.
    #[must_use]
    pub fn packet_bytes(&self, packet: &PacketRef) -> &[u8] {
        self.bytes.get(packet.range.start as usize..packet.range.end as usize).unwrap_or_default()
    }

    /// Forgets all packets and secrets; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
        self.secrets.clear();
    }
}

/// Is there more to read?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// The block was filled; read again.
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
    /// # Errors
    /// The input can't be read on. What was read before the damage is in `block` all the same.
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
