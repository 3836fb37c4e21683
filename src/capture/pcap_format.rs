//! The pcap format (draft-ietf-opsawg-pcap), in all its variants that are met.

use super::CaptureError;
use super::format::{ByteOrder, Format, Input, Progress, Record, Sink, from};
use super::link_type::LinkType;
use crate::limits::Limits;
use crate::time::Timestamp;
use pcap_parser::pcap::{PcapHeader, parse_pcap_header};

/// Length of the file header.
const FILE_HEADER: usize = 24;
/// "FCS length present" in the link-type field; the length stands in its upper four bits, in 16-bit units.
const FCS_PRESENT: u32 = 1 << 26;
/// Bits of the link-type field that must be zero.
const RESERVED: u32 = 0x03ff_0000;

/// The magic numbers, as little-endian files begin.
///
/// | magic | time stamps | record header |
/// |---|---|---|
/// | `a1b2c3d4` | microseconds | 16 bytes |
/// | `a1b23c4d` | nanoseconds | 16 bytes |
/// | `a1b2cd34` | microseconds | 24 bytes: Alexey Kuznetzov's patched libpcap adds interface index, protocol and packet type |
/// | `1c0001ac`, `1c0001ab` | nanoseconds | 16 bytes; Ixia adds 4 bytes to the file header |
#[derive(Clone, Copy)]
struct Magic {
    number: u32,
    order: ByteOrder,
}

impl Magic {
    fn of(start: [u8; 4]) -> Option<Magic> {
        [ByteOrder::Little, ByteOrder::Big].into_iter().find_map(|order| {
            let number = order.u32(start);
            let known = matches!(number, 0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34 | 0x1c00_01ac | 0x1c00_01ab);
            known.then_some(Magic { number, order })
        })
    }

    fn is_nanosecond(self) -> bool {
        matches!(self.number, 0xa1b2_3c4d | 0x1c00_01ac | 0x1c00_01ab)
    }

    fn extra_file_header(self) -> usize {
        if matches!(self.number, 0x1c00_01ac | 0x1c00_01ab) { 4 } else { 0 }
    }

    fn record_header(self) -> usize {
        if self.number == 0xa1b2_cd34 { 24 } else { 16 }
    }

    /// The same magic as pcap-parser knows it, which has neither the modified format in big-endian nor Ixia's.
    fn plain(self) -> [u8; 4] {
        if self.order == ByteOrder::Little {
            0xa1b2_c3d4_u32.to_le_bytes()
        } else {
            0xa1b2_c3d4_u32.to_be_bytes()
        }
    }
}

/// Whether a record's two lengths stand in the order of version 2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LengthOrder {
    /// Captured, original.
    CapturedFirst,
    /// Original, captured: versions before 2.3, and 543.0 (DG/UX).
    OriginalFirst,
    /// The smaller is the captured one: version 2.3 was written either way.
    SmallerCaptured,
}

impl LengthOrder {
    fn of_version(major: u16, minor: u16) -> LengthOrder {
        match (major, minor) {
            (2, 0..=2) | (543, 0) => LengthOrder::OriginalFirst,
            (2, 3) => LengthOrder::SmallerCaptured,
            _ => LengthOrder::CapturedFirst,
        }
    }
}

/// What the file header says of all records.
#[derive(Clone, Copy)]
struct Layout {
    order: ByteOrder,
    length_order: LengthOrder,
    record_header: usize,
    /// Nanoseconds in a unit of the time stamp's fraction.
    fraction_nanos: i64,
    link_type: LinkType,
    fcs_len: u8,
}

/// Reads a pcap file.
pub(super) struct PcapFormat {
    magic: Magic,
    /// Known once the file header has been read.
    layout: Option<Layout>,
}

impl PcapFormat {
    /// If `start` is one of the format's magic numbers.
    pub(super) fn recognize(start: [u8; 4]) -> Option<PcapFormat> {
        Magic::of(start).map(|magic| PcapFormat { magic, layout: None })
    }

    fn file_header(&self, bytes: &[u8; FILE_HEADER]) -> Result<Layout, CaptureError> {
        let mut plain = *bytes;
        for (byte, magic) in plain.iter_mut().zip(self.magic.plain()) {
            *byte = magic;
        }
        let (_, header) = parse_pcap_header(&plain).map_err(|error| CaptureError::Corrupt {
            offset: 0,
            reason: format!("pcap file header: {error}"),
        })?;
        self.layout_of(&header)
    }

    fn layout_of(&self, header: &PcapHeader) -> Result<Layout, CaptureError> {
        let network = header.network.0.cast_unsigned();
        if network & RESERVED != 0 {
            let reason =
                format!("the link-type field {network:#010x} of the pcap header has reserved bits set");
            return Err(CaptureError::Corrupt { offset: 20, reason });
        }
        let [_, _, low, lowest] = network.to_be_bytes();
        let fcs_words = u8::try_from(network >> 28).unwrap_or(0);
        Ok(Layout {
            order: self.magic.order,
            length_order: LengthOrder::of_version(header.version_major, header.version_minor),
            record_header: self.magic.record_header(),
            fraction_nanos: if self.magic.is_nanosecond() { 1 } else { 1_000 },
            link_type: LinkType(u16::from_be_bytes([low, lowest])),
            fcs_len: if network & FCS_PRESENT != 0 { fcs_words * 2 } else { 0 },
        })
    }
}

impl Layout {
    /// The captured and the original length.
    #[inline]
    fn lengths(&self, first: u32, second: u32) -> (u32, u32) {
        match self.length_order {
            LengthOrder::CapturedFirst => (first, second),
            LengthOrder::OriginalFirst => (second, first),
            LengthOrder::SmallerCaptured => (first.min(second), first.max(second)),
        }
    }

    /// The records of `input`. Their headers are read by hand and not by pcap-parser's `parse_pcap_frame`, which
    /// knows neither the byte order at run time nor the older versions' lengths.
    fn records(
        &self,
        input: Input<'_>,
        sink: &mut Sink<'_>,
        limits: &Limits,
    ) -> Result<Progress, CaptureError> {
        let mut at = input.at;
        loop {
            let rest = from(input.bytes, at);
            let Some(header) = rest.first_chunk::<16>().filter(|_| rest.len() >= self.record_header) else {
                return Ok(Progress { at, needed: self.record_header });
            };
            let [seconds, fraction, first, second] = self.words(*header);
            let (captured, original_len) = self.lengths(first, second);
            if captured > limits.packet_bytes {
                return Err(oversized(input.offset_of(at), captured, limits.packet_bytes));
            }
            let start = at.saturating_add(self.record_header);
            let end = start.saturating_add(captured as usize);
            if end > input.bytes.len() {
                return Ok(Progress { at, needed: end - at });
            }
            let time = Timestamp::from_parts(i64::from(seconds), i64::from(fraction) * self.fraction_nanos);
            let (link_type, fcs_len) = (self.link_type, self.fcs_len);
            sink.push(Record { at: time, link_type, fcs_len, range: start..end, original_len });
            at = end;
        }
    }

    #[inline]
    fn words(&self, header: [u8; 16]) -> [u32; 4] {
        let (words, _) = header.as_chunks::<4>();
        let [a, b, c, d] = words else { return [0; 4] };
        [self.order.u32(*a), self.order.u32(*b), self.order.u32(*c), self.order.u32(*d)]
    }
}

fn oversized(offset: u64, captured: u32, limit: u32) -> CaptureError {
    let reason = format!("a pcap record claims {captured} captured bytes; at most {limit} are accepted");
    CaptureError::Corrupt { offset, reason }
}

impl Format for PcapFormat {
    fn name(&self) -> &'static str {
        "pcap"
    }

    fn parse(
        &mut self,
        input: Input<'_>,
        sink: &mut Sink<'_>,
        limits: &Limits,
    ) -> Result<Progress, CaptureError> {
        if let Some(layout) = &self.layout {
            return layout.records(input, sink, limits);
        }
        let length = FILE_HEADER + self.magic.extra_file_header();
        match from(input.bytes, input.at).first_chunk::<FILE_HEADER>() {
            Some(header) if input.bytes.len() - input.at >= length => {
                let layout = self.layout.insert(self.file_header(header)?);
                layout.records(Input { at: input.at + length, ..input }, sink, limits)
            }
            _ => Ok(Progress { at: input.at, needed: length }),
        }
    }

    fn end(&self, rest: &[u8], offset: u64) -> Result<(), CaptureError> {
        let found = rest.len();
        let Some(layout) = &self.layout else {
            let expected = FILE_HEADER + self.magic.extra_file_header();
            let reason = format!("expected a pcap file header of {expected} bytes, found {found}");
            return Err(CaptureError::Truncated { offset, reason });
        };
        if found == 0 {
            return Ok(());
        }
        let expected = layout.record_header;
        let reason = match rest.first_chunk::<16>() {
            Some(header) if found >= expected => {
                let [_, _, first, second] = layout.words(*header);
                let (captured, _) = layout.lengths(first, second);
                format!("expected a packet of {captured} bytes, found {}", found - expected)
            }
            _ => format!("expected a record header of {expected} bytes, found {found}"),
        };
        Err(CaptureError::Truncated { offset, reason })
    }
}
