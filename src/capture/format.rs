//! What the two file formats have in common: a parser that is handed bytes and gives packets.

use super::link_type::LinkType;
use super::{CaptureError, PacketRef};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::time::Timestamp;
use std::ops::Range;

/// The bytes a parser is handed.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// All that is in the buffer; ranges count from its start.
    pub(super) bytes: &'a [u8],
    /// Where to begin.
    pub(super) at: usize,
    /// Where in the (decompressed) file `bytes` begins.
    pub(super) offset: u64,
}

impl Input<'_> {
    /// Where in the file the byte at `at` lies.
    pub(super) fn offset_of(&self, at: usize) -> u64 {
        self.offset.saturating_add(at as u64)
    }
}

/// How far a parser came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Where in the buffer the first byte lies that is not done with.
    pub(super) at: usize,
    /// Bytes from there that must be there before there is any use in calling again.
    pub(super) needed: usize,
}

/// Where a parser puts what it finds, and what it numbers packets by.
pub(super) struct Sink<'a> {
    pub(super) packets: &'a mut Vec<PacketRef>,
    pub(super) secrets: &'a mut Vec<Vec<u8>>,
    pub(super) counter: &'a mut Counter,
}

/// Numbers the packets of one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    pub(super) file: u16,
    /// The number of the last record that Wireshark would count.
    pub(super) packet: u32,
}

/// One packet record, as the formats give it.
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) link_type: LinkType,
    pub(super) fcs_len: u8,
    pub(super) range: Range<usize>,
    pub(super) original_len: u32,
}

impl Sink<'_> {
    #[inline]
    pub(super) fn push(&mut self, record: Record) {
        let number = self.count();
        let Record { at, link_type, fcs_len, range, original_len } = record;
        // Buffers are far smaller than 4 GiB: `Limits::packet_bytes` and a read's size bound them.
        let range =
            u32::try_from(range.start).unwrap_or(u32::MAX)..u32::try_from(range.end).unwrap_or(u32::MAX);
        let at = Moment::new(at, number, self.counter.file);
        self.packets.push(PacketRef { at, link_type, fcs_len, range, original_len });
    }

    /// Counts a record that has a number but holds no network packet, or is about to be pushed.
    #[inline]
    pub(super) fn count(&mut self) -> u32 {
        self.counter.packet = self.counter.packet.saturating_add(1);
        self.counter.packet
    }
}

/// A capture file's format.
pub(super) trait Format: Send {
    /// `pcap` or `pcapng`.
    fn name(&self) -> &'static str;

    /// Takes the whole records in `input` from its position on.
    ///
    /// # Errors
    /// A record contradicts the format. What came before it is in `sink`.
    fn parse(
        &mut self,
        input: Input<'_>,
        sink: &mut Sink<'_>,
        limits: &Limits,
    ) -> Result<Progress, CaptureError>;

    /// The input ends with `rest`, which lies at `offset` and holds no whole record: what is missing?
    fn end(&self, rest: &[u8], offset: u64) -> Result<(), CaptureError>;

    /// Packets lost, as the file says.
    fn dropped(&self) -> u64 {
        0
    }

    /// Bytes of secrets passed over.
    fn skipped_secrets_bytes(&self) -> u64 {
        0
    }
}

/// `bytes[at..]`, empty if that lies outside.
#[inline]
pub(super) fn from(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

/// The order of a file's bytes in its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    #[inline]
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self == ByteOrder::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    }

    #[inline]
    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self == ByteOrder::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }

    pub(super) fn u64(self, bytes: [u8; 8]) -> u64 {
        if self == ByteOrder::Little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) }
    }

    pub(super) fn u16_bytes(self, value: u16) -> [u8; 2] {
        if self == ByteOrder::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub(super) fn u32_bytes(self, value: u32) -> [u8; 4] {
        if self == ByteOrder::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub(super) fn u64_bytes(self, value: u64) -> [u8; 8] {
        if self == ByteOrder::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}
