//! Writes pcapng (draft-ietf-opsawg-pcapng).
//!
//! ```text
//! block    | type | total length | body, padded | options ... | total length |
//! option   | code | length | value, padded |     ... the last one: code 0, length 0
//! ```
//!
//! [`PcapngWriter`] writes a file of its own; `rewrite.rs` uses the same parts to change one that is there.

use super::format::ByteOrder;
use super::link_type::LinkType;
use super::pcapng_format::{
    DECRYPTION_SECRETS, ENHANCED_PACKET, INTERFACE_DESCRIPTION, NAME_RESOLUTION, SECTION_HEADER, TLS_KEY_LOG,
};
use crate::time::Timestamp;
use std::io::{self, Write};
use std::net::IpAddr;

/// Byte-Order Magic, version 1.0, and a section length that is not given.
const SECTION_START: [u8; 16] = [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
/// The order this writer chooses for files of its own.
const ORDER: ByteOrder = ByteOrder::Little;
/// Options of any block.
pub(super) const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
/// Option of a Section Header Block: the program that wrote it.
const SHB_USERAPPL: u16 = 4;
/// Options of an Interface Description Block.
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_FCSLEN: u16 = 13;
/// Records of a Name Resolution Block.
const NRB_END: u16 = 0;
const NRB_IPV4: u16 = 1;
const NRB_IPV6: u16 = 2;

/// An interface that packets were captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInterface {
    /// How its packets' first byte is to be read.
    pub link_type: LinkType,
    /// Bytes captured of a packet at most; 0 for no limit.
    pub snaplen: u32,
    /// Bytes of frame check sequence at the end of each packet.
    pub fcs_len: u8,
    /// Its name, where it is known.
    pub name: Option<String>,
}

impl NewInterface {
    /// An interface of which no more is known.
    #[must_use]
    pub fn new(link_type: LinkType) -> Self {
        NewInterface { link_type, snaplen: 0, fcs_len: 0, name: None }
    }
}

/// A packet to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewPacket<'a> {
    /// The interface, by the number that [`PcapngWriter::interface`] gave.
    pub interface: u32,
    /// When it was captured.
    pub at: Timestamp,
    /// Its length on the wire, in bytes.
    pub original_len: u32,
    /// Its captured bytes.
    pub bytes: &'a [u8],
}

/// Writes a pcapng file: one section, times in nanoseconds.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    out: W,
    interfaces: Vec<NewInterface>,
    block: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a section, with comments on it.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn begin(mut out: W, comments: &[String]) -> io::Result<Self> {
        let mut body = Vec::from(SECTION_START);
        let application = concat!("wsclose ", env!("CARGO_PKG_VERSION"));
        push_option(ORDER, SHB_USERAPPL, application.as_bytes(), &mut body);
        comments.iter().for_each(|comment| push_comment(ORDER, comment, &mut body));
        push_option(ORDER, OPT_END, &[], &mut body);
        out.write_all(&block(ORDER, SECTION_HEADER, &body))?;
        Ok(PcapngWriter { out, interfaces: Vec::new(), block: Vec::new() })
    }

    /// Writes a TLS key log, which the packets behind it can be decrypted with.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn key_log(&mut self, key_log: &[u8]) -> io::Result<()> {
        self.out.write_all(&key_log_block(ORDER, key_log))
    }

    /// Writes names for addresses.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn names(&mut self, names: &[(IpAddr, String)]) -> io::Result<()> {
        self.out.write_all(&names_block(ORDER, names))
    }

    /// The number of `interface`, which is written unless it is known already.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn interface(&mut self, interface: &NewInterface) -> io::Result<u32> {
        let known = self.interfaces.iter().position(|known| known == interface);
        let number = known.unwrap_or(self.interfaces.len());
        if known.is_none() {
            self.out.write_all(&interface_block(interface))?;
            self.interfaces.push(interface.clone());
        }
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Writes a packet with comments on it.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn packet(&mut self, packet: &NewPacket<'_>, comments: &[String]) -> io::Result<()> {
        let [t0, t1, t2, t3, t4, t5, t6, t7] = packet.at.nanos().cast_unsigned().to_le_bytes();
        let captured = u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let body = &mut self.block;
        body.clear();
        body.extend(packet.interface.to_le_bytes());
        body.extend([t4, t5, t6, t7, t0, t1, t2, t3]);
        body.extend(captured);
        body.extend(packet.original_len.to_le_bytes());
        body.extend_from_slice(packet.bytes);
        pad(body);
        if !comments.is_empty() {
            comments.iter().for_each(|comment| push_comment(ORDER, comment, body));
            push_option(ORDER, OPT_END, &[], body);
        }
        write_block(&mut self.out, ORDER, ENHANCED_PACKET, body)
    }

    /// Sees to it that all has been written, and gives the output back.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A block with `body`, which is padded.
fn block(order: ByteOrder, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(body.len() + 16);
    // Writing into memory does not fail.
    let _ = write_block(&mut block, order, kind, body);
    block
}

pub(super) fn write_block(out: &mut impl Write, order: ByteOrder, kind: u32, body: &[u8]) -> io::Result<()> {
    let padding = [0; 3].get(..body.len().next_multiple_of(4) - body.len()).unwrap_or_default();
    let total = order.u32_bytes(u32::try_from(12 + body.len() + padding.len()).unwrap_or(u32::MAX));
    out.write_all(&order.u32_bytes(kind))?;
    out.write_all(&total)?;
    out.write_all(body)?;
    out.write_all(padding)?;
    out.write_all(&total)
}

/// A Decryption Secrets Block (§4.7).
pub(super) fn key_log_block(order: ByteOrder, key_log: &[u8]) -> Vec<u8> {
    let length = order.u32_bytes(u32::try_from(key_log.len()).unwrap_or(u32::MAX));
    block(order, DECRYPTION_SECRETS, &[&order.u32_bytes(TLS_KEY_LOG)[..], &length, key_log].concat())
}

/// A Name Resolution Block (§4.5).
pub(super) fn names_block(order: ByteOrder, names: &[(IpAddr, String)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (address, name) in names {
        let (kind, mut value) = match address {
            IpAddr::V4(address) => (NRB_IPV4, address.octets().to_vec()),
            IpAddr::V6(address) => (NRB_IPV6, address.octets().to_vec()),
        };
        value.extend(name.bytes().filter(|byte| *byte != 0));
        value.push(0);
        push_option(order, kind, &value, &mut body);
    }
    push_option(order, NRB_END, &[], &mut body);
    block(order, NAME_RESOLUTION, &body)
}

/// An Interface Description Block (§4.2).
fn interface_block(interface: &NewInterface) -> Vec<u8> {
    let mut body = Vec::from(interface.link_type.0.to_le_bytes());
    body.extend([0; 2]);
    body.extend(interface.snaplen.to_le_bytes());
    if let Some(name) = &interface.name {
        push_option(ORDER, IF_NAME, name.as_bytes(), &mut body);
    }
    push_option(ORDER, IF_TSRESOL, &[9], &mut body);
    if interface.fcs_len > 0 {
        push_option(ORDER, IF_FCSLEN, &[interface.fcs_len], &mut body);
    }
    push_option(ORDER, OPT_END, &[], &mut body);
    block(ORDER, INTERFACE_DESCRIPTION, &body)
}

/// A comment, cut where an option's length ends.
pub(super) fn push_comment(order: ByteOrder, comment: &str, into: &mut Vec<u8>) {
    let most = usize::from(u16::MAX);
    let end = (0..=most).rev().find(|end| comment.is_char_boundary((*end).min(comment.len())));
    let value = end.and_then(|end| comment.as_bytes().get(..end.min(comment.len())));
    push_option(order, OPT_COMMENT, value.unwrap_or_default(), into);
}

/// An option, or a record of a Name Resolution Block, which looks alike. Longer values than its length can say are cut.
pub(super) fn push_option(order: ByteOrder, code: u16, value: &[u8], into: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    into.extend(order.u16_bytes(code));
    into.extend(order.u16_bytes(length));
    into.extend_from_slice(value.get(..usize::from(length)).unwrap_or_default());
    pad(into);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
