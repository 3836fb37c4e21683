//! Writes a TLS key log into a capture, as a Decryption Secrets Block of pcapng (draft-ietf-opsawg-pcapng §4.7).
//!
//! ```text
//! pcapng   | section header | [secrets] | interfaces, packets, ... as they were |
//! pcap     a new section header, the secrets, an interface for each link type, a block for each packet
//! ```
//!
//! Secrets stand before the packets they are for, in every section: a section knows nothing of another one.

use super::compression::Compression;
use super::file::FileSource;
use super::format::ByteOrder;
use super::link_type::LinkType;
use super::pcapng_format::section_order;
use super::pcapng_format::{
    DECRYPTION_SECRETS, ENHANCED_PACKET, INTERFACE_DESCRIPTION, SECTION_HEADER, TLS_KEY_LOG,
};
use super::{Block, CaptureError, More, PacketRef, Source as _};
use crate::limits::Limits;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// Byte-Order Magic, version 1.0, and a section length that is not given.
const SECTION_START: [u8; 16] = [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
/// A section length that is not given.
const LENGTH_UNKNOWN: u64 = u64::MAX;
/// Longest section header that is believed.
const SECTION_MAX: u32 = 1 << 20;
/// Options of an Interface Description Block.
const IF_TSRESOL: u16 = 9;
const IF_FCSLEN: u16 = 13;

/// Writes the capture at `path` to `out` as pcapng, with `key_log` before its packets. All else of a pcapng file stays
/// as it is, byte for byte, but for a section length where one is given. A compressed file is written decompressed.
///
/// # Errors
/// The capture can't be read or is none, or `out` can't be written, or the key log is larger than
/// [`Limits::secrets_bytes`]. What was read before damage has been written.
pub fn inject(
    path: &Path,
    key_log: &[u8],
    out: &mut impl Write,
    limits: &Limits,
) -> Result<(), CaptureError> {
    if key_log.len() > limits.secrets_bytes {
        let reason = format!("{} bytes of keys; {} at most", key_log.len(), limits.secrets_bytes);
        return Err(CaptureError::Unrecognized { reason });
    }
    let refused = |source| CaptureError::Io { context: format!("can't open {}", path.display()), source };
    let mut file = File::open(path).map_err(refused)?;
    let start = read_up_to::<4>(&mut file)?;
    let (mut input, start): (Box<dyn Read + Send>, Vec<u8>) =
        match start.first_chunk().and_then(|start| Compression::recognize(*start)) {
            Some(compression) => {
                let mut plain = compression.undo(&start, Box::new(file), limits.zstd_window_bytes);
                let start = read_up_to::<4>(&mut plain)?;
                (plain, start)
            }
            None => (Box::new(file), start),
        };
    if start.first_chunk().is_some_and(|start| u32::from_be_bytes(*start) == SECTION_HEADER) {
        let input = BufReader::new(start.as_slice().chain(&mut input));
        Sections { input, out, key_log }.copy()
    } else {
        convert(path, key_log, out, limits)
    }
}

/// Copies a pcapng file, with secrets in each section.
struct Sections<'a, R, W> {
    input: R,
    out: &'a mut W,
    key_log: &'a [u8],
}

impl<R: Read, W: Write> Sections<'_, R, W> {
    fn copy(mut self) -> Result<(), CaptureError> {
        let mut order = ByteOrder::Little;
        let mut offset = 0;
        loop {
            let head = read_up_to::<12>(&mut self.input)?;
            let Some([t0, t1, t2, t3, l0, l1, l2, l3, magic @ ..]) = head.first_chunk::<12>().copied() else {
                return self.rest(&head);
            };
            let is_section = u32::from_be_bytes([t0, t1, t2, t3]) == SECTION_HEADER;
            if is_section {
                order = section_order(magic, offset)?;
            }
            let total = order.u32([l0, l1, l2, l3]);
            // What follows damage is passed on as it is: its reader will say what is wrong with it.
            let Some(left) = total.checked_sub(12).filter(|_| !is_section || total <= SECTION_MAX) else {
                return self.rest(&head);
            };
            if is_section {
                self.section(&head, left, order)?;
            } else {
                write(self.out, &head)?;
                io::copy(&mut (&mut self.input).take(left.into()), self.out).map_err(copying)?;
            }
            offset += u64::from(total);
        }
    }

    fn section(&mut self, head: &[u8], left: u32, order: ByteOrder) -> Result<(), CaptureError> {
        let secrets = secrets_block(self.key_log, order);
        let mut body = Vec::new();
        (&mut self.input).take(left.into()).read_to_end(&mut body).map_err(copying)?;
        if let Some(length) = body.get_mut(4..12).and_then(|bytes| bytes.first_chunk_mut::<8>()) {
            let given = order.u64(*length);
            if given != LENGTH_UNKNOWN {
                *length = order.u64_bytes(given.saturating_add(secrets.len() as u64));
            }
        }
        write(self.out, head)?;
        write(self.out, &body)?;
        write(self.out, &secrets)
    }

    fn rest(&mut self, head: &[u8]) -> Result<(), CaptureError> {
        write(self.out, head)?;
        io::copy(&mut self.input, self.out).map(|_| ()).map_err(copying)
    }
}

/// Writes the packets of a pcap file as pcapng.
fn convert(path: &Path, key_log: &[u8], out: &mut impl Write, limits: &Limits) -> Result<(), CaptureError> {
    let mut source = FileSource::open(path, 0, limits)?;
    let mut block = Block::default();
    let mut interfaces: Vec<(LinkType, u8)> = Vec::new();
    let mut has_begun = false;
    loop {
        let more = source.read_block(&mut block);
        if !has_begun && (more.is_ok() || !block.packets.is_empty()) {
            has_begun = true;
            write(out, &pcapng_block(SECTION_HEADER, &SECTION_START))?;
            write(out, &secrets_block(key_log, ByteOrder::Little))?;
        }
        for packet in &block.packets {
            let interface = (packet.link_type, packet.fcs_len);
            let known = interfaces.iter().position(|known| *known == interface);
            let number = known.unwrap_or(interfaces.len());
            if known.is_none() {
                interfaces.push(interface);
                write(out, &interface_block(packet))?;
            }
            write(out, &packet_block(packet, number, block.packet_bytes(packet)))?;
        }
        if more? == More::No {
            return Ok(());
        }
    }
}

/// A block in this machine's order of choice: little-endian.
fn pcapng_block(kind: u32, body: &[u8]) -> Vec<u8> {
    block_in(ByteOrder::Little, kind, body)
}

fn block_in(order: ByteOrder, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = [0; 3].get(..body.len().next_multiple_of(4) - body.len()).unwrap_or_default();
    let total = order.u32_bytes(u32::try_from(12 + body.len() + padding.len()).unwrap_or(u32::MAX));
    [&order.u32_bytes(kind), &total, body, padding, &total].concat()
}

fn secrets_block(key_log: &[u8], order: ByteOrder) -> Vec<u8> {
    let length = order.u32_bytes(u32::try_from(key_log.len()).unwrap_or(u32::MAX));
    block_in(order, DECRYPTION_SECRETS, &[&order.u32_bytes(TLS_KEY_LOG)[..], &length, key_log].concat())
}

fn interface_block(packet: &PacketRef) -> Vec<u8> {
    let mut body = Vec::from(packet.link_type.0.to_le_bytes());
    // Reserved; no snaplen.
    body.extend([0; 6]);
    let mut option = |number: u16, value: u8| {
        body.extend(number.to_le_bytes());
        body.extend([1, 0, value, 0, 0, 0]);
    };
    option(IF_TSRESOL, 9);
    if packet.fcs_len > 0 {
        option(IF_FCSLEN, packet.fcs_len);
    }
    body.extend([0; 4]);
    pcapng_block(INTERFACE_DESCRIPTION, &body)
}

fn packet_block(packet: &PacketRef, interface: usize, bytes: &[u8]) -> Vec<u8> {
    let nanos = u64::try_from(packet.at.at.nanos()).unwrap_or(0).to_le_bytes();
    let [low, high] =
        [nanos.first_chunk::<4>(), nanos.last_chunk::<4>()].map(|half| half.copied().unwrap_or_default());
    let interface = u32::try_from(interface).unwrap_or(u32::MAX).to_le_bytes();
    let captured = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let original = packet.original_len.to_le_bytes();
    pcapng_block(ENHANCED_PACKET, &[&interface, &high, &low, &captured, &original, bytes].concat())
}

/// As many bytes as there are, `N` at most.
fn read_up_to<const N: usize>(input: &mut impl Read) -> Result<Vec<u8>, CaptureError> {
    let mut bytes = Vec::with_capacity(N);
    input.take(N as u64).read_to_end(&mut bytes).map_err(copying)?;
    Ok(bytes)
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), CaptureError> {
    out.write_all(bytes).map_err(copying)
}

fn copying(source: io::Error) -> CaptureError {
    CaptureError::Io { context: "copying the capture".to_owned(), source }
}
