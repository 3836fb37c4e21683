//! Writes a capture anew as pcapng: with keys, names and comments in it, or with some of its packets alone.
//!
//! ```text
//! pcapng   | section header | [names] | [secrets] | interfaces, packets [+ comments], ... as they were |
//! pcap     a new section header, the names and secrets, an interface for each link type, a block for each packet
//! ```
//!
//! All else of a pcapng file stays as it is, byte for byte, but for a section length where one is given. Names and
//! secrets stand before the packets they are for, in every section: a section knows nothing of another one.

use super::compression::Compression;
use super::file::FileSource;
use super::format::{ByteOrder, from};
use super::pcapng_format::{
    ENHANCED_PACKET, OPTION_BYTES, OVERHEAD, PACKET, SECTION_HEADER, SIMPLE_PACKET, has_number, section_order,
};
use super::pcapng_writer::{
    NewInterface, NewPacket, OPT_END, PcapngWriter, key_log_block, names_block, push_comment, push_option,
    write_block,
};
use super::{Block, CaptureError, More, Source as _};
use crate::limits::Limits;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::IpAddr;
use std::path::Path;

/// A section length that is not given.
const LENGTH_UNKNOWN: u64 = u64::MAX;
/// Longest section header that is believed.
const SECTION_MAX: u32 = 1 << 20;

/// What becomes of each packet, by its number in the file.
pub trait PacketChanges {
    /// Is packet `number` written?
    fn keeps(&self, number: u32) -> bool;

    /// Comments to be added to it.
    fn comments(&self, number: u32) -> &[String];
}

/// What is to be changed.
#[derive(Default)]
pub struct Changes<'a> {
    /// A comment on the whole capture; may be empty.
    pub about: &'a str,
    /// A TLS key log to be written before the packets; may be empty.
    pub key_log: &'a [u8],
    /// Names for addresses; may be empty.
    pub names: &'a [(IpAddr, String)],
    /// What becomes of the packets; `None`: they stay as they are.
    pub packets: Option<&'a dyn PacketChanges>,
    /// Where the file is damaged, if nothing from there on is to be written: what can't be read can't be told apart. `None`:
    /// it is passed on as it is.
    pub until: Option<u64>,
}

/// What was written, also where an error stopped it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Packets written.
    pub packets: u64,
    /// Packets whose comments could not be written: a Simple Packet Block has no options, and some options are damaged.
    pub uncommented: u64,
}

/// Writes the capture at `path` to `out` as pcapng with `changes`, and counts in `written`. A compressed file is written
/// decompressed.
///
/// # Errors
/// The capture can't be read or is none, or `out` can't be written, or the key log is larger than
/// [`Limits::secrets_bytes`]. What was read before damage has been written.
pub fn rewrite(
    path: &Path,
    changes: &Changes<'_>,
    out: &mut impl Write,
    limits: &Limits,
    written: &mut Rewritten,
) -> Result<(), CaptureError> {
    if changes.key_log.len() > limits.secrets_bytes {
        let reason = format!("{} bytes of keys; {} at most", changes.key_log.len(), limits.secrets_bytes);
        return Err(CaptureError::Unrecognized { reason });
    }
    let (mut input, start) = open(path, limits)?;
    if start.first_chunk().is_none_or(|start| u32::from_be_bytes(*start) != SECTION_HEADER) {
        return convert(path, changes, out, limits, written);
    }
    let input = BufReader::new(start.as_slice().chain(&mut input));
    let largest = (limits.packet_bytes as usize).saturating_add(OPTION_BYTES);
    let copier = Copier {
        input,
        out,
        changes,
        about: changes.about,
        order: ByteOrder::Little,
        body: Vec::new(),
        number: 0,
        largest,
        written,
    };
    copier.copy()
}

/// The file's bytes, decompressed where they are compressed: the first four, and what follows them.
fn open(path: &Path, limits: &Limits) -> Result<(Box<dyn Read + Send>, Vec<u8>), CaptureError> {
    let refused = |source| CaptureError::Io { context: format!("can't open {}", path.display()), source };
    let mut file = File::open(path).map_err(refused)?;
    let start = read_up_to::<4>(&mut file)?;
    let compression = start.first_chunk().and_then(|start| Compression::recognize(*start));
    let Some(compression) = compression else { return Ok((Box::new(file), start)) };
    let mut plain = compression.undo(&start, Box::new(file), limits.zstd_window_bytes).map_err(refused)?;
    let start = read_up_to::<4>(&mut plain)?;
    Ok((plain, start))
}

/// Copies a pcapng file block by block.
struct Copier<'a, R, W> {
    input: R,
    out: &'a mut W,
    changes: &'a Changes<'a>,
    /// The comment on the capture, until it has been written.
    about: &'a str,
    order: ByteOrder,
    /// What follows a block's first 12 bytes.
    body: Vec<u8>,
    /// The number of the last record that Wireshark would count.
    number: u32,
    /// Largest block that is held.
    largest: usize,
    written: &'a mut Rewritten,
}

impl<R: Read, W: Write> Copier<'_, R, W> {
    fn copy(mut self) -> Result<(), CaptureError> {
        let mut offset = 0;
        loop {
            if self.changes.until.is_some_and(|until| offset >= until) {
                return Ok(());
            }
            let mut head = [0; OVERHEAD];
            let found = fill(&mut self.input, &mut head)?;
            let [t0, t1, t2, t3, l0, l1, l2, l3, magic @ ..] = head;
            if found < OVERHEAD {
                return self.rest(head.get(..found).unwrap_or_default());
            }
            let is_section = u32::from_be_bytes([t0, t1, t2, t3]) == SECTION_HEADER;
            if is_section {
                self.order = section_order(magic, offset)?;
            }
            let kind = if is_section { SECTION_HEADER } else { self.order.u32([t0, t1, t2, t3]) };
            let total = self.order.u32([l0, l1, l2, l3]);
            // What follows damage is passed on as it is: its reader will say what is wrong with it.
            let Some(left) = total.checked_sub(12).filter(|_| !is_section || total <= SECTION_MAX) else {
                return self.rest(&head);
            };
            self.block(kind, &head, left)?;
            offset += u64::from(total);
        }
    }

    fn block(&mut self, kind: u32, head: &[u8; OVERHEAD], left: u32) -> Result<(), CaptureError> {
        let is_packet = matches!(kind, ENHANCED_PACKET | PACKET | SIMPLE_PACKET);
        if kind == SECTION_HEADER {
            return self.section(head, left);
        }
        if !is_packet && !has_number(kind) {
            return self.as_it_is(head, left).map(|_| ());
        }
        self.number = self.number.saturating_add(1);
        let changes = self.changes.packets;
        if changes.is_some_and(|changes| !changes.keeps(self.number)) {
            let mut rest = (&mut self.input).take(left.into());
            return io::copy(&mut rest, &mut io::sink()).map(|_| ()).map_err(copying);
        }
        let comments = changes.map_or(&[][..], |changes| changes.comments(self.number));
        let has_options = matches!(kind, ENHANCED_PACKET | PACKET) && left as usize <= self.largest;
        let is_whole = if has_options && !comments.is_empty() {
            self.commented(kind, head, left, comments)?
        } else {
            self.written.uncommented += u64::from(!comments.is_empty());
            self.as_it_is(head, left)?
        };
        self.written.packets += u64::from(is_packet && is_whole);
        Ok(())
    }

    /// Writes a packet block with more comments, if there is room for them. False: the file ends within it.
    fn commented(
        &mut self,
        kind: u32,
        head: &[u8; OVERHEAD],
        left: u32,
        comments: &[String],
    ) -> Result<bool, CaptureError> {
        let body = &mut self.body;
        body.clear();
        body.extend_from_slice(from(head, 8));
        (&mut self.input).take(left.into()).read_to_end(body).map_err(copying)?;
        let is_whole = body.len() == left as usize + 4;
        let Some(end) = is_whole.then(|| end_of_packet_options(self.order, body)).flatten() else {
            self.written.uncommented += 1;
            write(self.out, head)?;
            return write(self.out, from(body, 4)).map(|()| is_whole);
        };
        body.truncate(end);
        comments.iter().for_each(|comment| push_comment(self.order, comment, body));
        push_option(self.order, OPT_END, &[], body);
        write_block(self.out, self.order, kind, body).map(|()| true).map_err(copying)
    }

    /// False: the file ends within the block.
    fn as_it_is(&mut self, head: &[u8], left: u32) -> Result<bool, CaptureError> {
        write(self.out, head)?;
        let copied = io::copy(&mut (&mut self.input).take(left.into()), self.out).map_err(copying)?;
        Ok(copied == u64::from(left))
    }

    fn section(&mut self, head: &[u8], left: u32) -> Result<(), CaptureError> {
        let mut additions = Vec::new();
        if !self.changes.names.is_empty() {
            additions.extend(names_block(self.order, self.changes.names));
        }
        if !self.changes.key_log.is_empty() {
            additions.extend(key_log_block(self.order, self.changes.key_log));
        }
        let mut body = Vec::new();
        (&mut self.input).take(left.into()).read_to_end(&mut body).map_err(copying)?;
        if let Some(length) = body.get_mut(4..12).and_then(|bytes| bytes.first_chunk_mut::<8>()) {
            let given = self.order.u64(*length);
            let grown = given.saturating_add(additions.len() as u64);
            // What changed packets come to is not known before they are read.
            let now = if self.changes.packets.is_some() { LENGTH_UNKNOWN } else { grown };
            *length = self.order.u64_bytes(now);
        }
        self.section_header(head, body)?;
        write(self.out, &additions)
    }

    /// Writes a section header, of the first one with the comment on the capture if its options can be read.
    fn section_header(&mut self, head: &[u8], rest: Vec<u8>) -> Result<(), CaptureError> {
        /// Magic, version and section length.
        const FIXED: usize = 16;
        let about = std::mem::take(&mut self.about);
        let mut body = [from(head, 8), &rest].concat();
        let end = if about.is_empty() { None } else { end_of_options(self.order, &body, FIXED) };
        let Some(end) = end else {
            write(self.out, head)?;
            return write(self.out, &rest);
        };
        body.truncate(end);
        push_comment(self.order, about, &mut body);
        push_option(self.order, OPT_END, &[], &mut body);
        write_block(self.out, self.order, SECTION_HEADER, &body).map_err(copying)
    }

    fn rest(mut self, head: &[u8]) -> Result<(), CaptureError> {
        write(self.out, head)?;
        io::copy(&mut self.input, self.out).map(|_| ()).map_err(copying)
    }
}

/// Where the options of a packet block end that has `body` behind its first length: there one more can be added.
///
/// ```text
/// | interface | ticks high | ticks low | captured | original | packet, padded | options ... | end | total length |
/// ```
fn end_of_packet_options(order: ByteOrder, body: &[u8]) -> Option<usize> {
    let captured = from(body, 12).first_chunk().map(|bytes| order.u32(*bytes))?;
    end_of_options(order, body, 20 + (captured as usize).next_multiple_of(4))
}

/// The same of any block, whose options begin `at` this place.
fn end_of_options(order: ByteOrder, body: &[u8], mut at: usize) -> Option<usize> {
    let options = body.get(..body.len().checked_sub(4)?)?;
    loop {
        let rest = options.get(at..)?;
        let Some([c0, c1, l0, l1]) = rest.first_chunk::<4>() else { return rest.is_empty().then_some(at) };
        if order.u16([*c0, *c1]) == OPT_END {
            return Some(at);
        }
        at += 4 + usize::from(order.u16([*l0, *l1])).next_multiple_of(4);
    }
}

/// Writes the packets of a pcap file as pcapng.
fn convert(
    path: &Path,
    changes: &Changes<'_>,
    out: &mut impl Write,
    limits: &Limits,
    written: &mut Rewritten,
) -> Result<(), CaptureError> {
    let mut source = FileSource::open(path, 0, limits)?;
    let mut block = Block::default();
    let mut more = source.read_block(&mut block);
    if block.packets.is_empty() && more.is_err() {
        return more.map(|_| ());
    }
    let about = Some(changes.about.to_owned()).filter(|about| !about.is_empty());
    let mut writer = PcapngWriter::begin(out, about.as_slice()).map_err(copying)?;
    if !changes.names.is_empty() {
        writer.names(changes.names).map_err(copying)?;
    }
    if !changes.key_log.is_empty() {
        writer.key_log(changes.key_log).map_err(copying)?;
    }
    loop {
        written.packets += write_packets(&block, changes, &mut writer).map_err(copying)?;
        if more? == More::No {
            return Ok(());
        }
        more = source.read_block(&mut block);
    }
}

/// Writes the packets of `block` that are to be kept; gives their number.
fn write_packets(
    block: &Block,
    changes: &Changes<'_>,
    writer: &mut PcapngWriter<impl Write>,
) -> io::Result<u64> {
    let mut written = 0;
    for packet in &block.packets {
        let number = packet.at.packet;
        if changes.packets.is_some_and(|changes| !changes.keeps(number)) {
            continue;
        }
        let interface = NewInterface { fcs_len: packet.fcs_len, ..NewInterface::new(packet.link_type) };
        let interface = writer.interface(&interface)?;
        let comments = changes.packets.map_or(&[][..], |changes| changes.comments(number));
        let (at, original_len, bytes) = (packet.at.at, packet.original_len, block.packet_bytes(packet));
        writer.packet(&NewPacket { interface, at, original_len, bytes }, comments)?;
        written += 1;
    }
    Ok(written)
}

/// Reads until `bytes` is full or the input ends; gives how many there were.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> Result<usize, CaptureError> {
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(copying(error)),
        }
    }
    Ok(filled)
}

/// As many bytes as there are, `N` at most.
fn read_up_to<const N: usize>(input: &mut impl Read) -> Result<Vec<u8>, CaptureError> {
    let mut bytes = vec![0; N];
    let found = fill(input, &mut bytes)?;
    bytes.truncate(found);
    Ok(bytes)
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), CaptureError> {
    out.write_all(bytes).map_err(copying)
}

fn copying(source: io::Error) -> CaptureError {
    CaptureError::Io { context: "copying the capture".to_owned(), source }
}
