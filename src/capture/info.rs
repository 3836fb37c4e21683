//! What is known of an input while and after it is read.

use super::link_type::LinkType;
use super::{CaptureError, PacketRef};
use crate::time::Timestamp;

/// Link types listed for one input. Captures have one or two; the cap keeps a hostile file's list short.
const LINK_TYPES: usize = 64;

/// One input (a file, a pipe or an interface), as far as it has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputInfo {
    /// The path as given, `-` for standard input, or an interface's name.
    pub path: String,
    /// `pcap`, `pcapng` or `live`; `None` before the first read, and for an unrecognized file.
    pub format: Option<&'static str>,
    /// `gzip`, `zstd` or `lz4`.
    pub compression: Option<&'static str>,
    /// Packets delivered.
    pub packets: u64,
    /// Bytes read from the disk, pipe or interface (compressed, where it is).
    pub bytes: u64,
    /// The earliest time of a packet. Packets without one (pcapng Simple Packet Blocks) don't count.
    pub first_packet_at: Option<Timestamp>,
    /// The latest time of a packet.
    pub last_packet_at: Option<Timestamp>,
    /// Link types of the packets in order of first appearance, at most 64.
    pub link_types: Vec<LinkType>,
    /// Packets that the capture says it lost.
    pub dropped_packets: u64,
    /// Bytes of decryption secrets that were not read: beyond `Limits::secrets_bytes`, or claimed by a block that ends
    /// before them.
    pub skipped_secrets_bytes: u64,
    /// Was it read to its proper end?
    pub complete: bool,
    /// Why not.
    pub error: Option<InputError>,
}

/// A [`CaptureError`] in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// Offset of the damage in the (decompressed) file, where there is one.
    pub offset: Option<u64>,
    /// The whole message.
    pub reason: String,
}

impl From<&CaptureError> for InputError {
    fn from(error: &CaptureError) -> Self {
        InputError { offset: error.offset(), reason: error.to_string() }
    }
}

impl InputInfo {
    /// Counts `packets` in.
    pub(super) fn note(&mut self, packets: &[PacketRef]) {
        self.packets = self.packets.saturating_add(packets.len() as u64);
        let mut earliest = self.first_packet_at.unwrap_or(Timestamp::MAX);
        let mut latest = self.last_packet_at.unwrap_or(Timestamp::MIN);
        let mut link_type = self.link_types.last().copied();
        for packet in packets {
            if packet.at.at != Timestamp::default() {
                earliest = earliest.min(packet.at.at);
                latest = latest.max(packet.at.at);
            }
            if link_type != Some(packet.link_type) {
                link_type = Some(packet.link_type);
                self.note_link_type(packet.link_type);
            }
        }
        if earliest <= latest {
            self.first_packet_at = Some(earliest);
            self.last_packet_at = Some(latest);
        }
    }

    fn note_link_type(&mut self, link_type: LinkType) {
        if self.link_types.len() < LINK_TYPES && !self.link_types.contains(&link_type) {
            self.link_types.push(link_type);
        }
    }

    /// Notes how reading ended.
    pub(super) fn end(&mut self, error: Option<&CaptureError>) {
        self.complete = error.is_none();
        self.error = error.map(InputError::from);
    }
}
