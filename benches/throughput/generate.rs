//! Packets, written as a pcap file as fast as a disk takes them.

use crate::rng::Rng;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// Ethernet, IPv4 and TCP headers with a timestamps option.
const HEADERS: usize = 14 + 20 + 32;

/// Payload bytes in a full segment.
pub const MSS: usize = 1448;

/// Random bytes that payloads are cut from.
const POOL: usize = 1 << 20;

/// Who sends: an index into a flow's pairs.
pub const CLIENT: usize = 0;
pub const SERVER: usize = 1;

/// One TCP connection's addresses and counters.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    ip: [u32; 2],
    port: [u16; 2],
    /// Next sequence number of each side; what the other side acknowledges.
    pub seq: [u32; 2],
    ip_id: [u16; 2],
}

impl Flow {
    /// The `index`th connection of a workload: its client address and port are used once.
    pub fn new(index: u64, server_port: u16, rng: &mut Rng) -> Self {
        // Linux's ephemeral ports: on lower ones tshark would see other protocols.
        let (host, port) = ((index / 28_000) as u32, (index % 28_000) as u16 + 32_768);
        let random = rng.bits();
        Flow {
            ip: [0x0a00_0000 + 256 + host, 0xc0a8_0001 + (index % 4) as u32],
            port: [port, server_port],
            seq: [random as u32, (random >> 32) as u32],
            ip_id: [random as u16, (random >> 16) as u16],
        }
    }

    /// One side's address and port.
    pub fn address(&self, side: usize) -> SocketAddr {
        (Ipv4Addr::from(self.ip[side]), self.port[side]).into()
    }
}

/// A pcap file in the making.
pub struct PacketWriter<W> {
    out: W,
    pool: Vec<u8>,
    now_us: u64,
    pub packets: u64,
    pub bytes: u64,
    buffer: Vec<u8>,
}

impl<W: Write> PacketWriter<W> {
    /// Writes the file header: microseconds, little-endian, Ethernet.
    pub fn new(mut out: W, seed: u64) -> io::Result<Self> {
        let mut rng = Rng::new(!seed);
        let pool = (0..POOL / 8).flat_map(|_| rng.bits().to_le_bytes()).collect();
        let fields = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1];
        for field in fields {
            out.write_all(&field.to_le_bytes())?;
        }
        let now_us = 1_790_000_000_000_000;
        Ok(PacketWriter { out, pool, now_us, packets: 0, bytes: 24, buffer: Vec::with_capacity(2048) })
    }

    /// Lets time pass.
    pub fn wait_us(&mut self, time: u64) {
        self.now_us += time;
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// One packet of `side` with `head` and then `body` bytes from the pool at `offset`; moves the flow's counters.
    pub fn packet(
        &mut self,
        flow: &mut Flow,
        side: usize,
        flags: u8,
        head: &[u8],
        body: (usize, usize),
    ) -> io::Result<()> {
        let payload_len = head.len() + body.1;
        self.buffer.clear();
        self.record_header(HEADERS + payload_len);
        self.headers(flow, side, flags, payload_len);
        self.buffer.extend_from_slice(head);
        let start = body.0 % (POOL - MSS);
        self.buffer.extend_from_slice(self.pool.get(start..start + body.1).unwrap_or(&[]));
        self.fill_tcp_checksum();
        self.out.write_all(&self.buffer)?;
        flow.seq[side] =
            flow.seq[side].wrapping_add(payload_len as u32 + u32::from(flags & (SYN | FIN) != 0));
        flow.ip_id[side] = flow.ip_id[side].wrapping_add(1);
        self.now_us += 3;
        self.packets += 1;
        self.bytes += self.buffer.len() as u64;
        Ok(())
    }

    fn record_header(&mut self, len: usize) {
        let fields =
            [(self.now_us / 1_000_000) as u32, (self.now_us % 1_000_000) as u32, len as u32, len as u32];
        for field in fields {
            self.buffer.extend_from_slice(&field.to_le_bytes());
        }
    }

    fn headers(&mut self, flow: &Flow, side: usize, flags: u8, payload_len: usize) {
        let peer = 1 - side;
        let clock = (self.now_us / 1000) as u32;
        let buffer = &mut self.buffer;
        buffer.extend_from_slice(&[2, 0, 0, 0, 0, peer as u8, 2, 0, 0, 0, 0, side as u8, 8, 0]);
        let ip = buffer.len();
        buffer.extend_from_slice(&[0x45, 0]);
        buffer.extend_from_slice(&((HEADERS - 14 + payload_len) as u16).to_be_bytes());
        buffer.extend_from_slice(&flow.ip_id[side].to_be_bytes());
        buffer.extend_from_slice(&[0x40, 0, 64 - side as u8, 6, 0, 0]);
        buffer.extend_from_slice(&flow.ip[side].to_be_bytes());
        buffer.extend_from_slice(&flow.ip[peer].to_be_bytes());
        let sum = fold(sum(&buffer[ip..]));
        buffer[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
        buffer.extend_from_slice(&flow.port[side].to_be_bytes());
        buffer.extend_from_slice(&flow.port[peer].to_be_bytes());
        buffer.extend_from_slice(&flow.seq[side].to_be_bytes());
        let ack = if flags & ACK == 0 { 0 } else { flow.seq[peer] };
        buffer.extend_from_slice(&ack.to_be_bytes());
        buffer.extend_from_slice(&[0x80, flags, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 8, 10]);
        buffer.extend_from_slice(&clock.to_be_bytes());
        buffer.extend_from_slice(&clock.wrapping_sub(20).to_be_bytes());
    }

    fn fill_tcp_checksum(&mut self) {
        const TCP: usize = 16 + 14 + 20;
        let segment_len = (self.buffer.len() - TCP) as u64;
        let total = sum(&self.buffer[TCP - 8..]) + 6 + segment_len;
        self.buffer[TCP + 16..TCP + 18].copy_from_slice(&fold(total).to_be_bytes());
    }

    /// A frame in as many segments as it needs, every second one acknowledged. `after` tells where in the pool its
    /// payload starts.
    pub fn frame(
        &mut self,
        flow: &mut Flow,
        side: usize,
        opcode: u8,
        len: usize,
        after: usize,
    ) -> io::Result<()> {
        let (head, head_len) = frame_header(side, opcode, len);
        let mut head = &head[..head_len];
        let mut left = len;
        let mut segments = 0;
        loop {
            let body = left.min(MSS - head.len());
            left -= body;
            let flags = if left == 0 { ACK | PSH } else { ACK };
            self.packet(flow, side, flags, head, (after.wrapping_add(left), body))?;
            head = &[];
            segments += 1;
            if segments % 2 == 0 {
                self.packet(flow, 1 - side, ACK, &[], (0, 0))?;
            }
            if left == 0 {
                return Ok(());
            }
        }
    }
}

/// A frame header (RFC 6455 §5.2) and its length; clients mask with a fixed key.
fn frame_header(side: usize, opcode: u8, len: usize) -> ([u8; 14], usize) {
    let mask_bit = if side == CLIENT { 0x80 } else { 0 };
    let mut head = [0; 14];
    head[0] = 0x80 | opcode;
    let mut used = 2;
    match len {
        0..126 => head[1] = mask_bit | len as u8,
        126..0x1_0000 => {
            head[1] = mask_bit | 126;
            head[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            used = 4;
        }
        _ => {
            head[1] = mask_bit | 127;
            head[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            used = 10;
        }
    }
    if side == CLIENT {
        head[used..used + 4].copy_from_slice(&MASK);
        used += 4;
    }
    (head, used)
}

/// The masking key of all client frames; payloads are random anyhow.
pub const MASK: [u8; 4] = [0x5a, 0xc3, 0x18, 0x7e];

/// A sum that folds to the ones' complement sum of the 16-bit words (RFC 1071): 2¹⁶ is 1 modulo 2¹⁶ − 1.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    let mut rest = [0; 4];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    let whole: u64 =
        words.map(|word| u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))).sum();
    whole + u64::from(u32::from_be_bytes(rest))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
