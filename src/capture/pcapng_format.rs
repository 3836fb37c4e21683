//! The pcapng format (draft-ietf-opsawg-pcapng).
//!
//! ```text
//! every block   | type | total length | body ... | total length |
//! ```
//!
//! Packet blocks are read by hand: pcap-parser's blocks allocate a list of options each. The rare blocks
//! (interfaces, statistics) are its work.

use super::CaptureError;
use super::format::{ByteOrder, Format, Input, Progress, Record, Sink, from};
use super::interface::Interface;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::work;
use pcap_parser::pcapng::Block as ParsedBlock;
use pcap_parser::{parse_block_be, parse_block_le};

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
/// Obsolete since 2008, still found.
pub(super) const PACKET: u32 = 2;
pub(super) const SIMPLE_PACKET: u32 = 3;
pub(super) const NAME_RESOLUTION: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
const SYSTEMD_JOURNAL: u32 = 9;
pub(super) const DECRYPTION_SECRETS: u32 = 10;
const CUSTOM: u32 = 0x0bad;
const CUSTOM_NOT_COPIED: u32 = 0x4000_0bad;
/// Events of sysdig, in three versions.
const SYSDIG: [u32; 3] = [0x204, 0x216, 0x221];

/// Byte-Order Magic of a Section Header Block.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Secrets type: a TLS key log.
pub(super) const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Type and both lengths of a block.
pub(super) const OVERHEAD: usize = 12;
/// Bytes of options and padding that a block may have besides its packet.
pub(super) const OPTION_BYTES: usize = 1 << 20;

/// A block that is passed over, being of no use or too large to hold.
struct Skip {
    offset: u64,
    total: u32,
    /// Bytes left before its second length.
    left: u64,
}

/// Reads a pcapng file.
pub(super) struct PcapngFormat {
    /// Of the section; `None` before the first section header.
    order: Option<ByteOrder>,
    /// Of the section.
    interfaces: Vec<Interface>,
    skip: Option<Skip>,
    /// The last packet's time, which a packet without one takes over.
    last_time: Timestamp,
    /// Losses of all interfaces, those of earlier sections included. Summed up as they are told: a section may have
    /// thousands of interfaces.
    dropped: u64,
    secrets_bytes: usize,
    skipped_secrets_bytes: u64,
}

/// A block's start.
#[derive(Clone, Copy)]
struct Head {
    kind: u32,
    total: u32,
    order: ByteOrder,
}

impl PcapngFormat {
    /// If `start` is a Section Header Block's type, which reads the same in both byte orders.
    pub(super) fn recognize(start: [u8; 4]) -> Option<PcapngFormat> {
        (u32::from_be_bytes(start) == SECTION_HEADER).then_some(PcapngFormat {
            order: None,
            interfaces: Vec::new(),
            skip: None,
            last_time: Timestamp::default(),
            dropped: 0,
            secrets_bytes: 0,
            skipped_secrets_bytes: 0,
        })
    }

    /// Reads the start of a block: 12 bytes, since a section's byte order stands behind its length.
    fn head(&self, bytes: [u8; 12], offset: u64) -> Result<Head, CaptureError> {
        let [t0, t1, t2, t3, l0, l1, l2, l3, magic @ ..] = bytes;
        let order = match self.order {
            _ if u32::from_be_bytes([t0, t1, t2, t3]) == SECTION_HEADER => section_order(magic, offset)?,
            Some(order) => order,
            None => return Err(corrupt(offset, "the first block is no Section Header Block")),
        };
        let (kind, total) = (order.u32([t0, t1, t2, t3]), order.u32([l0, l1, l2, l3]));
        if (total as usize) < OVERHEAD {
            return Err(corrupt(
                offset,
                format!("a block of type {kind:#x} claims {total} bytes; 12 is the least"),
            ));
        }
        Ok(Head { kind, total, order })
    }

    /// May the block be passed over without looking into it?
    fn is_skipped(&mut self, head: Head, limits: &Limits) -> bool {
        match head.kind {
            SECTION_HEADER | INTERFACE_DESCRIPTION | PACKET | SIMPLE_PACKET | ENHANCED_PACKET => false,
            INTERFACE_STATISTICS => head.total as usize > OPTION_BYTES,
            DECRYPTION_SECRETS => {
                let room = limits.secrets_bytes.saturating_sub(self.secrets_bytes);
                let fits = room >= secrets_cost(head.total as usize);
                if !fits {
                    self.skipped_secrets_bytes =
                        self.skipped_secrets_bytes.saturating_add(u64::from(head.total));
                }
                !fits
            }
            _ => true,
        }
    }

    /// Goes on passing over a block. `None`: that is done, and the next one begins at `at`.
    fn pass_over(&mut self, input: Input<'_>, at: &mut usize) -> Result<Option<Progress>, CaptureError> {
        let (Some(skip), Some(order)) = (&mut self.skip, self.order) else { return Ok(None) };
        let here = from(input.bytes, *at).len();
        let step = here.min(usize::try_from(skip.left).unwrap_or(usize::MAX));
        *at = at.saturating_add(step);
        skip.left = skip.left.saturating_sub(step as u64);
        match from(input.bytes, *at).first_chunk::<4>() {
            Some(second) if skip.left == 0 => {
                check_second_length(skip.offset, skip.total, order.u32(*second))?
            }
            _ => return Ok(Some(Progress { at: *at, needed: 4 })),
        }
        *at = at.saturating_add(4);
        self.skip = None;
        Ok(None)
    }

    /// Takes in a whole block that begins at `at`.
    fn block(
        &mut self,
        head: Head,
        input: Input<'_>,
        at: usize,
        sink: &mut Sink<'_>,
        limits: &Limits,
    ) -> Result<(), CaptureError> {
        let offset = input.offset_of(at);
        let total = head.total as usize;
        let block = from(input.bytes, at).get(..total).unwrap_or_default();
        let second = block.last_chunk::<4>().map_or(0, |bytes| head.order.u32(*bytes));
        check_second_length(offset, head.total, second)?;
        match head.kind {
            SECTION_HEADER => self.section(head, block, offset),
            INTERFACE_DESCRIPTION => self.interface(head, block, offset, limits),
            INTERFACE_STATISTICS => {
                self.statistics(head, block);
                Ok(())
            }
            DECRYPTION_SECRETS => {
                self.secrets(head.order, block, sink);
                Ok(())
            }
            _ => self.packet(
                PacketBlock { kind: head.kind, order: head.order, block, at, offset },
                sink,
                limits,
            ),
        }
    }

    fn section(&mut self, head: Head, block: &[u8], offset: u64) -> Result<(), CaptureError> {
        let version =
            block.get(12..14).and_then(|bytes| bytes.first_chunk()).map(|bytes| head.order.u16(*bytes));
        match version {
            Some(1) => {}
            Some(major) => return Err(corrupt(offset, format!("pcapng version {major}; 1 is known"))),
            None => return Err(corrupt(offset, "the Section Header Block has no version")),
        }
        self.interfaces.clear();
        self.order = Some(head.order);
        Ok(())
    }

    fn interface(
        &mut self,
        head: Head,
        block: &[u8],
        offset: u64,
        limits: &Limits,
    ) -> Result<(), CaptureError> {
        work::step();
        if self.interfaces.len() >= limits.interfaces {
            let reason = format!("more than {} interfaces in a section", limits.interfaces);
            return Err(corrupt(offset, reason));
        }
        match parsed(head.order, block) {
            Some(ParsedBlock::InterfaceDescription(found)) => {
                self.interfaces.push(Interface::new(&found, head.order));
                Ok(())
            }
            _ => Err(corrupt(offset, "the Interface Description Block's fields don't fit its length")),
        }
    }

    /// Statistics that can't be read, or of an interface that does not exist, are passed over: the packets are sound
    /// without them.
    fn statistics(&mut self, head: Head, block: &[u8]) {
        if let Some(ParsedBlock::InterfaceStatistics(found)) = parsed(head.order, block)
            && let Some(interface) = self.interfaces.get_mut(found.if_id as usize)
        {
            work::step();
            let more = interface.set_statistics(&found, head.order);
            self.dropped = self.dropped.saturating_add(more);
        }
    }

    /// Secrets of another kind are passed over, and of those that end early what there is counts: the packets are sound
    /// without them.
    fn secrets(&mut self, order: ByteOrder, block: &[u8], sink: &mut Sink<'_>) {
        if let Some((secrets, missing)) = tls_key_log(order, block) {
            self.skipped_secrets_bytes = self.skipped_secrets_bytes.saturating_add(missing);
            if !secrets.is_empty() {
                self.secrets_bytes = self.secrets_bytes.saturating_add(secrets_cost(block.len()));
                sink.secrets.push(secrets.to_vec());
            }
        }
    }

    fn packet(
        &mut self,
        block: PacketBlock<'_>,
        sink: &mut Sink<'_>,
        limits: &Limits,
    ) -> Result<(), CaptureError> {
        let fields = block
            .fields()
            .ok_or_else(|| corrupt(block.offset, "the block is too short for a packet block"))?;
        let known = self.interfaces.len();
        let Some(interface) = self.interfaces.get_mut(fields.interface as usize) else {
            let reason = format!("a packet of interface {}, but the section has {known}", fields.interface);
            return Err(corrupt(block.offset, reason));
        };
        let captured = fields.captured.unwrap_or_else(|| simple_length(fields.original, interface.snaplen));
        let room = block.block.len().saturating_sub(fields.data).saturating_sub(4);
        if captured as usize > room || captured > limits.packet_bytes {
            let reason =
                format!("a packet claims {captured} captured bytes in a block that has room for {room}");
            return Err(corrupt(block.offset, reason));
        }
        let mut fcs_len = interface.fcs_len;
        let options = fields.data.saturating_add((captured as usize).next_multiple_of(4));
        if block.kind != SIMPLE_PACKET && options + 4 < block.block.len() {
            let told = PacketOptions::read(block.order, from(block.block, options));
            self.dropped = self.dropped.saturating_add(interface.add_dropped(told.dropped));
            fcs_len = told.fcs_len.unwrap_or(fcs_len);
        }
        self.dropped = self.dropped.saturating_add(interface.add_dropped(fields.dropped));
        self.last_time = fields.ticks.map_or(self.last_time, |ticks| interface.time(ticks));
        let start = block.at.saturating_add(fields.data);
        let range = start..start.saturating_add(captured as usize);
        let (at, link_type) = (self.last_time, interface.link_type);
        sink.push(Record { at, link_type, fcs_len, range, original_len: fields.original });
        Ok(())
    }
}

/// What a block of secrets counts for, `total` bytes long: a file of short ones takes more memory than their text.
pub(super) const fn secrets_cost(total: usize) -> usize {
    total.saturating_add(size_of::<Vec<u8>>())
}

/// The key log in a Decryption Secrets Block, if that is what it holds.
///
/// ```text
/// | type | total | secrets type | secrets length | secrets ... | options | total |
/// ```
///
/// Gives the secrets, and how many bytes of them the block claims and does not hold.
pub(super) fn tls_key_log(order: ByteOrder, block: &[u8]) -> Option<(&[u8], u64)> {
    let word = |at| from(block, at).first_chunk().map(|bytes| order.u32(*bytes));
    let (Some(TLS_KEY_LOG), Some(length)) = (word(8), word(12)) else { return None };
    let held = block.get(16..block.len().checked_sub(4)?)?;
    let secrets = held.get(..length as usize).unwrap_or(held);
    Some((secrets, u64::from(length).saturating_sub(secrets.len() as u64)))
}

/// A whole packet block of any of the three kinds.
struct PacketBlock<'a> {
    kind: u32,
    order: ByteOrder,
    block: &'a [u8],
    /// Where in the buffer it begins.
    at: usize,
    /// Where in the file.
    offset: u64,
}

/// The fields of a packet block.
struct PacketFields {
    interface: u32,
    ticks: Option<u64>,
    /// `None`: a simple packet, captured up to the snaplen.
    captured: Option<u32>,
    original: u32,
    dropped: u64,
    /// Where in the block the packet begins.
    data: usize,
}

impl PacketBlock<'_> {
    /// ```text
    /// Enhanced   | type | total | interface      | ticks high | ticks low | captured | original | packet
    /// obsolete   | type | total | interf.| drops | ticks high | ticks low | captured | original | packet
    /// Simple     | type | total | original       | packet
    /// ```
    #[inline]
    fn fields(&self) -> Option<PacketFields> {
        let order = self.order;
        if self.kind == SIMPLE_PACKET {
            let original = order.u32(*from(self.block, 8).first_chunk()?);
            return Some(PacketFields {
                interface: 0,
                ticks: None,
                captured: None,
                original,
                dropped: 0,
                data: 12,
            });
        }
        let (words, _) = from(self.block, 8).first_chunk::<20>()?.as_chunks::<4>();
        let [interface, high, low, captured, original] = words else { return None };
        let ticks = u64::from(order.u32(*high)) << 32 | u64::from(order.u32(*low));
        let [i0, i1, d0, d1] = *interface;
        let (interface, dropped) = match (self.kind, order.u16([d0, d1])) {
            (PACKET, 0xffff) => (u32::from(order.u16([i0, i1])), 0),
            (PACKET, dropped) => (u32::from(order.u16([i0, i1])), u64::from(dropped)),
            _ => (order.u32(*interface), 0),
        };
        let (captured, original) = (Some(order.u32(*captured)), order.u32(*original));
        Some(PacketFields { interface, ticks: Some(ticks), captured, original, dropped, data: 28 })
    }
}

/// What a packet's options say. Damaged options end the list, not the file: the packet stands before them.
#[derive(Default)]
struct PacketOptions {
    /// `epb_dropcount`: lost since the interface's packet before.
    dropped: u64,
    /// From `epb_flags`, bits 5 to 8.
    fcs_len: Option<u8>,
}

impl PacketOptions {
    const END: u16 = 0;
    const FLAGS: u16 = 2;
    const DROP_COUNT: u16 = 4;

    /// ```text
    /// | code | length | value, padded to 4 bytes |
    /// ```
    fn read(order: ByteOrder, mut rest: &[u8]) -> PacketOptions {
        let mut told = PacketOptions::default();
        while let Some(([c0, c1, l0, l1], after)) = rest.split_first_chunk::<4>() {
            let (code, length) = (order.u16([*c0, *c1]), usize::from(order.u16([*l0, *l1])));
            match (code, after.get(..length)) {
                (Self::END, _) | (_, None) => break,
                (Self::FLAGS, Some(value)) => {
                    let flags = value.first_chunk().map_or(0, |bytes| order.u32(*bytes));
                    told.fcs_len = u8::try_from((flags >> 5) & 0xf).ok().filter(|length| *length != 0);
                }
                (Self::DROP_COUNT, Some(value)) => {
                    told.dropped = value.first_chunk().map_or(0, |bytes| order.u64(*bytes));
                }
                _ => {}
            }
            rest = from(after, length.next_multiple_of(4));
        }
        told
    }
}

impl Format for PcapngFormat {
    fn name(&self) -> &'static str {
        "pcapng"
    }

    fn parse(
        &mut self,
        input: Input<'_>,
        sink: &mut Sink<'_>,
        limits: &Limits,
    ) -> Result<Progress, CaptureError> {
        let mut at = input.at;
        let largest = (limits.packet_bytes as usize).max(limits.secrets_bytes).saturating_add(OPTION_BYTES);
        loop {
            if let Some(progress) = self.pass_over(input, &mut at)? {
                return Ok(progress);
            }
            let rest = from(input.bytes, at);
            let Some(start) = rest.first_chunk::<12>() else { return Ok(Progress { at, needed: OVERHEAD }) };
            let offset = input.offset_of(at);
            let head = self.head(*start, offset)?;
            if self.is_skipped(head, limits) {
                if has_number(head.kind) {
                    sink.count();
                }
                self.skip = Some(Skip { offset, total: head.total, left: u64::from(head.total) - 4 });
                continue;
            }
            let total = head.total as usize;
            // A list is made of its options: empty ones take ten times their bytes.
            let largest = if head.kind == INTERFACE_DESCRIPTION { OPTION_BYTES } else { largest };
            if total > largest {
                let reason = format!(
                    "a block of type {:#x} claims {total} bytes; at most {largest} are accepted",
                    head.kind
                );
                return Err(corrupt(offset, reason));
            }
            if total > rest.len() {
                return Ok(Progress { at, needed: total });
            }
            self.block(head, input, at, sink, limits)?;
            at = at.saturating_add(total);
        }
    }

    fn end(&self, rest: &[u8], offset: u64) -> Result<(), CaptureError> {
        if let Some(skip) = &self.skip {
            let missing = skip.left.saturating_add(4).saturating_sub(rest.len() as u64);
            let reason = format!("expected a block of {} bytes, {missing} are missing", skip.total);
            return Err(CaptureError::Truncated { offset: skip.offset, reason });
        }
        let found = rest.len();
        let reason = match rest.first_chunk::<12>().map(|start| self.head(*start, offset)) {
            Some(Ok(head)) => format!("expected a block of {} bytes, found {found}", head.total),
            Some(Err(error)) => return Err(error),
            None if found == 0 && self.order.is_some() => return Ok(()),
            None => format!("expected a block header of {OVERHEAD} bytes, found {found}"),
        };
        Err(CaptureError::Truncated { offset, reason })
    }

    fn dropped(&self) -> u64 {
        self.dropped
    }

    fn skipped_secrets_bytes(&self) -> u64 {
        self.skipped_secrets_bytes
    }
}

/// Does Wireshark number the records of this kind of block, which hold no network packet? (Seen of 4.0.17.)
pub(super) fn has_number(kind: u32) -> bool {
    matches!(kind, SYSTEMD_JOURNAL | CUSTOM | CUSTOM_NOT_COPIED) || SYSDIG.contains(&kind)
}

/// A Simple Packet Block does not say how much was captured.
fn simple_length(original: u32, snaplen: u32) -> u32 {
    if snaplen == 0 { original } else { original.min(snaplen) }
}

pub(super) fn section_order(magic: [u8; 4], offset: u64) -> Result<ByteOrder, CaptureError> {
    if u32::from_le_bytes(magic) == BYTE_ORDER {
        Ok(ByteOrder::Little)
    } else if u32::from_be_bytes(magic) == BYTE_ORDER {
        Ok(ByteOrder::Big)
    } else {
        let found = u32::from_be_bytes(magic);
        Err(corrupt(
            offset,
            format!("the section's byte-order magic is {found:#010x}, not {BYTE_ORDER:#010x}"),
        ))
    }
}

fn check_second_length(offset: u64, first: u32, second: u32) -> Result<(), CaptureError> {
    if first == second {
        return Ok(());
    }
    Err(corrupt(offset, format!("a block's two lengths differ: {first} before, {second} behind it")))
}

fn parsed(order: ByteOrder, block: &[u8]) -> Option<ParsedBlock<'_>> {
    let parse = if order == ByteOrder::Little { parse_block_le } else { parse_block_be };
    parse(block).ok().map(|(_, parsed)| parsed)
}

fn corrupt(offset: u64, reason: impl Into<String>) -> CaptureError {
    CaptureError::Corrupt { offset, reason: reason.into() }
}
