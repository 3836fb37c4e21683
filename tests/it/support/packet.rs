//! One TCP packet as a test thinks of it, its bytes as an IP packet, and back.

use super::capture_file::RawPacket;
use etherparse::{EtherType, NetSlice, SlicedPacket, TcpSlice, TransportSlice};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// A TCP packet without its link layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPacket {
    /// Nanoseconds since the Unix epoch.
    pub at_ns: u64,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub seq: u32,
    /// The field as it stands, also without the ACK flag.
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    /// IPv4 TTL or IPv6 hop limit.
    pub ttl: u8,
    /// IPv4 identification; 0 in IPv6.
    pub ip_id: u16,
    /// TCP options, a multiple of four bytes.
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl TcpPacket {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Sender and receiver: one direction of one connection.
    pub fn direction(&self) -> (SocketAddr, SocketAddr) {
        (self.src, self.dst)
    }

    /// The connection, the same for both directions.
    pub fn connection(&self) -> (SocketAddr, SocketAddr) {
        (self.src.min(self.dst), self.src.max(self.dst))
    }

    /// Sequence numbers the packet takes up: its payload, plus one each for SYN and FIN (RFC 9293 §3.4).
    pub fn sequence_len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// Sequence number of the first payload byte.
    pub fn payload_seq(&self) -> u32 {
        self.seq.wrapping_add(u32::from(self.has(SYN)))
    }

    /// The packet as an IPv4 or IPv6 packet, told by its addresses, with right lengths and checksums.
    pub fn ip_bytes(&self) -> Vec<u8> {
        let tcp = self.tcp_bytes();
        ip_header(self.src.ip(), self.dst.ip(), 6, self.ttl, self.ip_id, &tcp)
    }

    fn tcp_bytes(&self) -> Vec<u8> {
        assert!(
            self.options.len().is_multiple_of(4) && self.options.len() <= 40,
            "TCP options are 0, 4 .. 40 bytes"
        );
        let mut tcp = Vec::with_capacity(20 + self.options.len() + self.payload.len());
        tcp.extend(self.src.port().to_be_bytes());
        tcp.extend(self.dst.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.push(((20 + self.options.len()) as u8 / 4) << 4);
        tcp.push(self.flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]); // checksum, urgent pointer
        tcp.extend(&self.options);
        tcp.extend(&self.payload);
        let sum = transport_checksum(self.src.ip(), self.dst.ip(), 6, &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }
}

/// `payload` behind an IPv4 or IPv6 header; both addresses must be of one family.
pub fn ip_header(src: IpAddr, dst: IpAddr, protocol: u8, ttl: u8, ip_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut ip = Vec::with_capacity(40 + payload.len());
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            ip.extend([0x45, 0]);
            ip.extend(u16::try_from(20 + payload.len()).expect("fits an IPv4 packet").to_be_bytes());
            ip.extend(ip_id.to_be_bytes());
            ip.extend([0, 0, ttl, protocol, 0, 0]);
            ip.extend(src.octets());
            ip.extend(dst.octets());
            let sum = fold(sum_words(&ip));
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            ip.extend([0x60, 0, 0, 0]);
            ip.extend(u16::try_from(payload.len()).expect("fits an IPv6 packet").to_be_bytes());
            ip.extend([protocol, ttl]);
            ip.extend(src.octets());
            ip.extend(dst.octets());
        }
        _ => panic!("addresses of two families in one packet"),
    }
    ip.extend(payload);
    ip
}

/// The checksum of a TCP or UDP segment whose checksum field is zero (RFC 9293 §3.1).
pub fn transport_checksum(src: IpAddr, dst: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let addresses = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => sum_words(&src.octets()) + sum_words(&dst.octets()),
        (IpAddr::V6(src), IpAddr::V6(dst)) => sum_words(&src.octets()) + sum_words(&dst.octets()),
        _ => panic!("addresses of two families in one packet"),
    };
    fold(addresses + u64::from(protocol) + segment.len() as u64 + sum_words(segment))
}

/// Sum of the big-endian 16-bit words, an odd last byte padded with zero (RFC 1071).
pub fn sum_words(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum()
}

/// The ones' complement of the folded sum.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What [`parse`] made of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    Tcp(TcpPacket),
    /// Not TCP (ARP, UDP, ICMP, ...): rewrites leave it out.
    Other,
    /// TCP may be in it, but rewriting it would not be honest: a fragment, a tunnel, a cut or damaged packet.
    Unsupported(&'static str),
}

/// Reads a packet of a link type that carries IP without tunnels.
pub fn parse(packet: &RawPacket) -> Parsed {
    if packet.original_len as usize > packet.bytes.len() {
        return Parsed::Unsupported("cut by the snaplen");
    }
    let Some(sliced) = slice(packet) else { return Parsed::Unsupported("link layer or damaged packet") };
    let (src, dst, ttl, ip_id, protocol, fragmented) = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let head = ip.header();
            let (src, dst) = (IpAddr::V4(head.source_addr()), IpAddr::V4(head.destination_addr()));
            (
                src,
                dst,
                head.ttl(),
                head.identification(),
                ip.payload_ip_number().0,
                ip.is_payload_fragmented(),
            )
        }
        Some(NetSlice::Ipv6(ip)) => {
            let head = ip.header();
            let (src, dst) = (IpAddr::V6(head.source_addr()), IpAddr::V6(head.destination_addr()));
            (src, dst, head.hop_limit(), 0, ip.payload().ip_number.0, ip.is_payload_fragmented())
        }
        _ => return Parsed::Other,
    };
    match (&sliced.transport, protocol) {
        _ if fragmented => Parsed::Unsupported("IP fragment"),
        (Some(TransportSlice::Tcp(tcp)), _) => {
            Parsed::Tcp(from_slices(packet.at_ns, src, dst, ttl, ip_id, tcp))
        }
        (_, 4 | 41 | 47) => Parsed::Unsupported("tunnel"),
        _ => Parsed::Other,
    }
}

fn slice(packet: &RawPacket) -> Option<SlicedPacket<'_>> {
    let bytes = packet.bytes.as_slice();
    match packet.link_type {
        0 | 108 => SlicedPacket::from_ip(bytes.get(4..)?).ok(),
        1 => SlicedPacket::from_ethernet(bytes).ok(),
        12 | 14 | 101 | 228 | 229 => SlicedPacket::from_ip(bytes).ok(),
        113 => SlicedPacket::from_linux_sll(bytes).ok(),
        276 => {
            let protocol = u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
            SlicedPacket::from_ether_type(EtherType(protocol), bytes.get(20..)?).ok()
        }
        _ => None,
    }
}

fn from_slices(at_ns: u64, src: IpAddr, dst: IpAddr, ttl: u8, ip_id: u16, tcp: &TcpSlice<'_>) -> TcpPacket {
    TcpPacket {
        at_ns,
        src: SocketAddr::new(src, tcp.source_port()),
        dst: SocketAddr::new(dst, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        flags: tcp.slice()[13],
        window: tcp.window_size(),
        ttl,
        ip_id,
        options: tcp.options().to_vec(),
        payload: tcp.payload().to_vec(),
    }
}

/// The TCP packets of a capture; `Err` names the first packet (1-based) that can't be rewritten honestly.
pub fn parse_capture(packets: &[RawPacket]) -> Result<Vec<TcpPacket>, (usize, &'static str)> {
    let mut tcp = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        match parse(packet) {
            Parsed::Tcp(packet) => tcp.push(packet),
            Parsed::Other => {}
            Parsed::Unsupported(why) => return Err((index + 1, why)),
        }
    }
    Ok(tcp)
}

/// The bytes of each direction in sequence order, first bytes winning: what a rewrite must conserve.
///
/// Bytes that are missing in the middle stand as `None`. Positions count from the direction's first SYN, or from its
/// lowest sequence number.
pub fn streams(packets: &[TcpPacket]) -> BTreeMap<(SocketAddr, SocketAddr), Vec<Option<u8>>> {
    let mut first: BTreeMap<_, u32> = BTreeMap::new();
    for packet in packets.iter().filter(|packet| packet.sequence_len() > 0) {
        let start = first.entry(packet.direction()).or_insert(packet.payload_seq());
        if (packet.payload_seq().wrapping_sub(*start) as i32) < 0 {
            *start = packet.payload_seq();
        }
    }
    let mut streams: BTreeMap<_, Vec<Option<u8>>> = BTreeMap::new();
    for packet in packets.iter().filter(|packet| !packet.payload.is_empty()) {
        let offset = packet.payload_seq().wrapping_sub(first[&packet.direction()]) as usize;
        let stream = streams.entry(packet.direction()).or_default();
        stream.resize(stream.len().max(offset + packet.payload.len()), None);
        for (slot, byte) in stream[offset..].iter_mut().zip(&packet.payload) {
            slot.get_or_insert(*byte);
        }
    }
    streams
}

#[cfg(test)]
mod tests {
    use super::super::conversation::Conversation;
    use super::super::packaging::Packaging;
    use super::*;
    use etherparse::SlicedPacket;

    #[test]
    fn built_packets_have_valid_checksums() {
        let mut packet = Conversation::opened().packets()[0].clone();
        packet.payload = b"odd".to_vec();
        let ip = packet.ip_bytes();
        assert_eq!(fold(sum_words(&ip[..20])), 0, "a header with its checksum sums to all ones");
        let sliced = SlicedPacket::from_ip(&ip).expect("well-formed");
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("TCP") };
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (packet.src.ip(), packet.dst.ip()) else { panic!("IPv4") };
        assert_eq!(tcp.calc_checksum_ipv4(src.octets(), dst.octets()).expect("fits"), tcp.checksum());
    }

    #[test]
    fn parsing_a_built_packet_gives_it_back() {
        let packets = Conversation::opened().packets();
        assert_eq!(parse_capture(&Packaging::default().apply(&packets)), Ok(packets));
    }

    #[test]
    fn a_packet_cut_by_the_snaplen_is_not_rewritten() {
        let mut raw = Packaging::default().apply(&Conversation::opened().packets());
        raw[0].bytes.truncate(40);
        assert_eq!(parse_capture(&raw), Err((1, "cut by the snaplen")));
    }

    #[test]
    fn streams_count_from_the_syn_and_show_holes() {
        let mut packets = Conversation::opened().packets();
        let client = packets[0].direction();
        let whole = streams(&packets)[&client].clone();
        assert!(whole.iter().all(Option::is_some));
        packets.retain(|packet| packet.direction() != client || !packet.payload.starts_with(b"GET"));
        let mut last = packets[0].clone();
        last.seq = last.seq.wrapping_add(1 + whole.len() as u32);
        last.flags = ACK;
        last.payload = b"x".to_vec();
        packets.push(last);
        let holed = streams(&packets)[&client].clone();
        assert_eq!(holed.len(), whole.len() + 1);
        assert_eq!(holed.iter().filter(|byte| byte.is_none()).count(), whole.len());
    }
}
