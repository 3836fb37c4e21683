//! Capture files, written and read without the code under test or its libraries.
//!
//! Layouts: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html> and
//! <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>.

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use std::io::{Read, Write};

/// A packet record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPacket {
    /// Nanoseconds since the Unix epoch.
    pub at_ns: u64,
    pub link_type: u16,
    /// The captured bytes.
    pub bytes: Vec<u8>,
    /// Length on the wire.
    pub original_len: u32,
}

impl RawPacket {
    /// A packet that was captured whole.
    pub fn new(at_ns: u64, link_type: u16, bytes: Vec<u8>) -> Self {
        RawPacket { at_ns, link_type, original_len: bytes.len() as u32, bytes }
    }
}

/// The packets cut to `snaplen` bytes, their length on the wire kept.
pub fn with_snaplen(packets: &[RawPacket], snaplen: usize) -> Vec<RawPacket> {
    let mut packets = packets.to_vec();
    packets.iter_mut().for_each(|packet| packet.bytes.truncate(snaplen));
    packets
}

/// Byte order of a file's or section's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Little,
    Big,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn read_u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self == Order::Big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn read_u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self == Order::Big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

/// The variants of a classic pcap file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pcap {
    pub order: Order,
    /// Nanosecond times instead of microseconds.
    pub nanoseconds: bool,
    /// The variant with eight more bytes per record (magic `a1b2cd34`, Kuznetzov's).
    pub modified: bool,
}

impl Pcap {
    /// Writes a file; all packets must be of one link type.
    pub fn write(self, packets: &[RawPacket]) -> Vec<u8> {
        let link_type = packets.first().map_or(1, |packet| packet.link_type);
        assert!(packets.iter().all(|packet| packet.link_type == link_type), "pcap holds one link type");
        let magic = match (self.modified, self.nanoseconds) {
            (true, _) => 0xa1b2_cd34,
            (false, true) => 0xa1b2_3c4d,
            (false, false) => 0xa1b2_c3d4,
        };
        let order = self.order;
        let mut file = order.u32(magic).to_vec();
        file.extend([order.u16(2), order.u16(4)].concat());
        file.extend(
            [order.u32(0), order.u32(0), order.u32(262_144), order.u32(u32::from(link_type))].concat(),
        );
        for packet in packets {
            self.write_record(packet, &mut file);
        }
        file
    }

    fn write_record(self, packet: &RawPacket, file: &mut Vec<u8>) {
        let order = self.order;
        let fraction =
            packet.at_ns % 1_000_000_000 / if self.nanoseconds && !self.modified { 1 } else { 1000 };
        file.extend(order.u32((packet.at_ns / 1_000_000_000) as u32));
        file.extend(order.u32(fraction as u32));
        file.extend(order.u32(packet.bytes.len() as u32));
        file.extend(order.u32(packet.original_len));
        if self.modified {
            file.extend([0; 8]); // interface index, protocol, packet type, padding
        }
        file.extend(&packet.bytes);
    }
}

/// The variants of a pcapng file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcapng {
    /// One section for each item, in its byte order; the packets are dealt out in equal runs.
    pub sections: Vec<Order>,
    /// For each link type one interface for each item, with this `if_tsresol`; packets take them in turn.
    pub resolutions: Vec<u8>,
    /// `if_tsoffset` of every interface, in seconds.
    pub time_offset: i64,
    /// A custom block between the packets, that readers must skip.
    pub unknown_blocks: bool,
}

impl Default for Pcapng {
    fn default() -> Self {
        Pcapng { sections: vec![Order::Little], resolutions: vec![9], time_offset: 0, unknown_blocks: false }
    }
}

impl Pcapng {
    /// A file that uses most of the format: two sections of either byte order, three interfaces per link type (10⁻⁹,
    /// 10⁻⁶, 2⁻³⁰ s), a time offset, unknown blocks.
    pub fn elaborate() -> Self {
        Pcapng {
            sections: vec![Order::Big, Order::Little],
            resolutions: vec![9, 6, 0x80 | 30],
            time_offset: 3600,
            unknown_blocks: true,
        }
    }

    /// Writes a file; packets may be of several link types.
    pub fn write(&self, packets: &[RawPacket]) -> Vec<u8> {
        let per_section = packets.len().div_ceil(self.sections.len()).max(1);
        let mut chunks = packets.chunks(per_section);
        let mut file = Vec::new();
        for &order in &self.sections {
            self.write_section(order, chunks.next().unwrap_or(&[]), &mut file);
        }
        file
    }

    fn write_section(&self, order: Order, packets: &[RawPacket], file: &mut Vec<u8>) {
        let version = [order.u16(1), order.u16(0)].concat();
        block(order, 0x0a0d_0d0a, &[&order.u32(0x1a2b_3c4d)[..], &version, &[0xff; 8]].concat(), file);
        let mut link_types: Vec<u16> = packets.iter().map(|packet| packet.link_type).collect();
        link_types.sort_unstable();
        link_types.dedup();
        for &link_type in &link_types {
            for &resolution in &self.resolutions {
                self.write_interface(order, link_type, resolution, file);
            }
        }
        for (index, packet) in packets.iter().enumerate() {
            let link = link_types.binary_search(&packet.link_type).expect("collected above");
            let turn = index % self.resolutions.len();
            let interface = (link * self.resolutions.len() + turn) as u32;
            self.write_packet(order, interface, self.resolutions[turn], packet, file);
            if self.unknown_blocks && index % 5 == 0 {
                block(order, 0x0000_0bad, &[1, 2, 3, 4], file);
            }
        }
    }

    fn write_interface(&self, order: Order, link_type: u16, resolution: u8, file: &mut Vec<u8>) {
        let mut body = [&order.u16(link_type)[..], &[0, 0], &order.u32(262_144)].concat();
        body.extend([&order.u16(9)[..], &order.u16(1), &[resolution, 0, 0, 0]].concat());
        let offset =
            if order == Order::Big { self.time_offset.to_be_bytes() } else { self.time_offset.to_le_bytes() };
        body.extend([&order.u16(14)[..], &order.u16(8), &offset].concat());
        body.extend([0; 4]); // end of options
        block(order, 1, &body, file);
    }

    fn write_packet(
        &self,
        order: Order,
        interface: u32,
        resolution: u8,
        packet: &RawPacket,
        file: &mut Vec<u8>,
    ) {
        let at_ns = i128::from(packet.at_ns) - i128::from(self.time_offset) * 1_000_000_000;
        // Binary resolutions are rounded up, so that a reader that rounds down gets the same nanosecond.
        let units = (at_ns * units_per_second(resolution)).div_euclid(1_000_000_000);
        let exact = units * 1_000_000_000 == at_ns * units_per_second(resolution);
        let ticks = (units + i128::from(!exact && resolution & 0x80 != 0)) as u64;
        let mut body =
            [order.u32(interface), order.u32((ticks >> 32) as u32), order.u32(ticks as u32)].concat();
        body.extend([order.u32(packet.bytes.len() as u32), order.u32(packet.original_len)].concat());
        body.extend(&packet.bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        block(order, 6, &body, file);
    }
}

fn units_per_second(resolution: u8) -> i128 {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10_i128.pow(exponent) } else { 1 << exponent }
}

fn block(order: Order, kind: u32, body: &[u8], file: &mut Vec<u8>) {
    let len = order.u32(body.len() as u32 + 12);
    file.extend([&order.u32(kind)[..], &len, body, &len].concat());
}

/// Compresses with gzip.
pub fn gzip(file: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(file).expect("a Vec takes every write");
    encoder.finish().expect("a Vec takes every write")
}

/// Compresses into an LZ4 frame.
pub fn lz4(file: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(file).expect("a Vec takes every write");
    encoder.finish().expect("a Vec takes every write")
}

/// Compresses into a Zstandard frame.
pub fn zstd(file: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(file, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Reads a pcap or pcapng file, also compressed with gzip. `None` where it is cut short or damaged.
pub fn read(file: &[u8]) -> Option<Vec<RawPacket>> {
    match file.get(..4)? {
        [0x1f, 0x8b, ..] => {
            let mut plain = Vec::new();
            MultiGzDecoder::new(file).read_to_end(&mut plain).ok()?;
            read(&plain)
        }
        [0x0a, 0x0d, 0x0d, 0x0a] => read_pcapng(file),
        _ => read_pcap(file),
    }
}

fn read_pcap(file: &[u8]) -> Option<Vec<RawPacket>> {
    let (order, magic) = [Order::Little, Order::Big].into_iter().find_map(|order| {
        let magic = order.read_u32(file, 0)?;
        [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34].contains(&magic).then_some((order, magic))
    })?;
    let (unit_ns, record_head) =
        (if magic == 0xa1b2_3c4d { 1 } else { 1000 }, if magic == 0xa1b2_cd34 { 24 } else { 16 });
    let link_type = order.read_u32(file, 20)? as u16;
    let mut packets = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let [seconds, fraction, captured, original_len] =
            [0, 4, 8, 12].map(|field| order.read_u32(file, at + field));
        let start = at + record_head;
        at = start + captured? as usize;
        let at_ns = u64::from(seconds?) * 1_000_000_000 + u64::from(fraction?) * unit_ns;
        let bytes = file.get(start..at)?.to_vec();
        packets.push(RawPacket { at_ns, link_type, bytes, original_len: original_len? });
    }
    Some(packets)
}

/// An interface of the current section.
struct Interface {
    link_type: u16,
    snaplen: u32,
    resolution: u8,
    time_offset: i64,
}

fn read_pcapng(file: &[u8]) -> Option<Vec<RawPacket>> {
    let mut order = Order::Little;
    let mut interfaces = Vec::new();
    let mut packets = Vec::new();
    let mut at = 0;
    while at < file.len() {
        if file.get(at..at + 4)? == [0x0a, 0x0d, 0x0d, 0x0a] {
            order = if file.get(at + 8..at + 12)? == [0x1a, 0x2b, 0x3c, 0x4d] {
                Order::Big
            } else {
                Order::Little
            };
            interfaces.clear();
        }
        let len = order.read_u32(file, at + 4)? as usize;
        if len < 12 || order.read_u32(file, at + len - 4)? as usize != len {
            return None;
        }
        let body = file.get(at + 8..at + len - 4)?;
        match order.read_u32(file, at)? {
            1 => interfaces.push(read_interface(order, body)?),
            2 => {
                let interface = interfaces.get(usize::from(order.read_u16(body, 0)?))?;
                packets.push(read_packet(order, interface, body)?);
            }
            3 => packets.push(read_simple_packet(order, interfaces.first()?, body)?),
            6 => {
                let interface = interfaces.get(order.read_u32(body, 0)? as usize)?;
                packets.push(read_packet(order, interface, body)?);
            }
            _ => {}
        }
        at += len;
    }
    Some(packets)
}

fn read_interface(order: Order, body: &[u8]) -> Option<Interface> {
    let (link_type, snaplen) = (order.read_u16(body, 0)?, order.read_u32(body, 4)?);
    let mut interface = Interface { link_type, snaplen, resolution: 6, time_offset: 0 };
    let mut at = 8;
    while let (Some(code), Some(len)) = (order.read_u16(body, at), order.read_u16(body, at + 2)) {
        match code {
            0 => break,
            9 => interface.resolution = *body.get(at + 4)?,
            14 => {
                let bytes: [u8; 8] = body.get(at + 4..at + 12)?.try_into().ok()?;
                let value =
                    if order == Order::Big { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) };
                interface.time_offset = value;
            }
            _ => {}
        }
        at += 4 + usize::from(len).next_multiple_of(4);
    }
    Some(interface)
}

fn read_packet(order: Order, interface: &Interface, body: &[u8]) -> Option<RawPacket> {
    let ticks = u64::from(order.read_u32(body, 4)?) << 32 | u64::from(order.read_u32(body, 8)?);
    let captured = order.read_u32(body, 12)? as usize;
    let since_offset = i128::from(ticks) * 1_000_000_000 / units_per_second(interface.resolution);
    let at_ns = (since_offset + i128::from(interface.time_offset) * 1_000_000_000) as u64;
    let bytes = body.get(20..20 + captured)?.to_vec();
    Some(RawPacket { at_ns, link_type: interface.link_type, bytes, original_len: order.read_u32(body, 16)? })
}

fn read_simple_packet(order: Order, interface: &Interface, body: &[u8]) -> Option<RawPacket> {
    let original_len = order.read_u32(body, 0)?;
    let snaplen = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
    let bytes = body.get(4..4 + original_len.min(snaplen) as usize)?.to_vec();
    Some(RawPacket { at_ns: 0, link_type: interface.link_type, bytes, original_len })
}

/// Writes a capture file.
pub type Writer = fn(&[RawPacket]) -> Vec<u8>;

/// Every file form that must not change a verdict, with a name for the test's message.
pub fn all_forms() -> Vec<(&'static str, Writer)> {
    vec![
        ("pcap", |packets| Pcap::default().write(packets)),
        ("pcap_big_endian", |packets| Pcap { order: Order::Big, ..Pcap::default() }.write(packets)),
        ("pcap_nanoseconds", |packets| Pcap { nanoseconds: true, ..Pcap::default() }.write(packets)),
        ("pcap_nanoseconds_big_endian", |packets| {
            Pcap { nanoseconds: true, order: Order::Big, modified: false }.write(packets)
        }),
        ("pcap_modified", |packets| Pcap { modified: true, ..Pcap::default() }.write(packets)),
        ("pcapng", |packets| Pcapng::default().write(packets)),
        ("pcapng_elaborate", |packets| Pcapng::elaborate().write(packets)),
        ("pcap_gzip", |packets| gzip(&Pcap::default().write(packets))),
        ("pcapng_gzip", |packets| gzip(&Pcapng::default().write(packets))),
        ("pcap_lz4", |packets| lz4(&Pcap::default().write(packets))),
        ("pcap_zstd", |packets| zstd(&Pcap::default().write(packets))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Odd and even lengths, one cut by the snaplen, times in whole microseconds.
    fn packets() -> Vec<RawPacket> {
        let one = |number: u64| {
            let bytes = vec![number as u8; 14 + number as usize];
            RawPacket::new(1_700_000_000_000_000_000 + number * 1_001_000, 1, bytes)
        };
        let mut packets: Vec<_> = (0..11).map(one).collect();
        packets[3].original_len = 1500;
        packets
    }

    #[test]
    fn every_form_that_is_read_here_gives_the_packets_back() {
        for (name, write) in all_forms() {
            if !name.ends_with("lz4") && !name.ends_with("zstd") {
                assert_eq!(read(&write(&packets())), Some(packets()), "{name}");
            }
        }
    }

    #[test]
    fn pcapng_mixes_link_types() {
        let mut mixed = packets();
        mixed[5].link_type = 276;
        assert_eq!(read(&Pcapng::elaborate().write(&mixed)), Some(mixed));
    }

    #[test]
    fn nanoseconds_survive_where_the_form_has_them() {
        let packets = vec![RawPacket::new(1_700_000_000_123_456_789, 1, vec![0; 60])];
        assert_eq!(
            read(&Pcap { nanoseconds: true, ..Pcap::default() }.write(&packets)),
            Some(packets.clone())
        );
        assert_eq!(read(&Pcapng::default().write(&packets)), Some(packets.clone()));
        assert_eq!(
            read(&Pcap::default().write(&packets)).expect("whole")[0].at_ns,
            1_700_000_000_123_456_000
        );
    }

    #[test]
    fn a_cut_file_is_not_read_as_whole() {
        let file = Pcap::default().write(&packets());
        assert_eq!(read(&file[..file.len() - 1]), None);
        let file = Pcapng::default().write(&packets());
        assert_eq!(read(&file[..file.len() - 1]), None);
    }

    #[test]
    fn snaplen_keeps_the_length_on_the_wire() {
        let cut = with_snaplen(&packets(), 20);
        assert_eq!(cut[10].bytes.len(), 20);
        assert_eq!(cut[10].original_len, 24);
    }
}
