//! The bare floor: the least that a program must do to walk over WebSocket frames in a capture. One thread reads blocks,
//! decodes Ethernet, IPv4 and TCP, looks the connection up, and walks over frame headers of bytes that arrive in order.
//! It has no timers, no reordering, no sight of what is missing, no verdicts and no output: what `wsclose` adds to it is
//! what its verdicts cost.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

const BLOCK: usize = 256 << 10;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// What the walk counted, so that it can't be left out.
#[derive(Debug, Default)]
pub struct Counts {
    pub packets: u64,
    pub frames: u64,
    pub connections: usize,
}

/// IPv4 addresses and ports, the lower endpoint first.
type Key = [u8; 12];

#[derive(Clone, Copy, Default)]
struct Direction {
    next: u32,
    /// Payload of the frame that has begun, still to come.
    left: u64,
    /// A frame's header that the segment's end cut.
    held: [u8; 14],
    held_len: u8,
    is_open: bool,
}

#[derive(Default)]
struct Walk {
    counts: Counts,
    numbers: HashMap<Key, u32, foldhash::fast::RandomState>,
    connections: Vec<[Direction; 2]>,
}

/// Walks over the capture, a pcap of Ethernet frames in little-endian order.
pub fn walk(path: &Path) -> io::Result<Counts> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BLOCK];
    let (mut len, mut start) = (0, FILE_HEADER);
    let mut walk = Walk::default();
    loop {
        let read = file.read(&mut buffer[len..])?;
        if read == 0 {
            break;
        }
        len += read;
        start = walk.records(&buffer[..len], start);
        buffer.copy_within(start..len, 0);
        (len, start) = (len - start, 0);
        if len * 2 > buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
    }
    walk.counts.connections = walk.connections.len();
    Ok(walk.counts)
}

impl Walk {
    /// Takes the whole records from `start` on; gives where the first that is cut begins.
    fn records(&mut self, bytes: &[u8], mut start: usize) -> usize {
        while let Some(header) = bytes.get(start..start + RECORD_HEADER) {
            let captured = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
            let begin = start + RECORD_HEADER;
            let Some(packet) = bytes.get(begin..begin + captured) else { break };
            self.counts.packets += 1;
            self.packet(packet);
            start = begin + captured;
        }
        start
    }

    fn packet(&mut self, packet: &[u8]) -> Option<()> {
        let ip = packet.get(14..).filter(|_| packet[12..14] == [8, 0])?;
        let header = usize::from(ip.first()? & 15) * 4;
        let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
        let tcp = ip.get(header..total.min(ip.len())).filter(|_| ip[9] == 6)?;
        let (addresses, ports) = (ip.get(12..20)?, tcp.get(..4)?);
        let payload = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
        let seq = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
        let is_lower = (&addresses[..4], &ports[..2]) <= (&addresses[4..], &ports[2..]);
        let mut key = [0; 12];
        let (one, other) = if is_lower { (0, 6) } else { (6, 0) };
        key[one..one + 4].copy_from_slice(&addresses[..4]);
        key[one + 4..one + 6].copy_from_slice(&ports[..2]);
        key[other..other + 4].copy_from_slice(&addresses[4..]);
        key[other + 4..other + 6].copy_from_slice(&ports[2..]);
        let fresh = self.connections.len() as u32;
        let number = *self.numbers.entry(key).or_insert(fresh);
        if number == fresh {
            self.connections.push(Default::default());
        }
        let direction = &mut self.connections[number as usize][usize::from(is_lower)];
        let is_next = direction.next == seq;
        if !payload.is_empty() && (is_next || direction.next == 0) {
            self.counts.frames += direction.take(payload);
        }
        direction.next = seq.wrapping_add(payload.len() as u32).wrapping_add(u32::from(tcp[13] & 3 != 0));
        Some(())
    }
}

impl Direction {
    /// Walks over the frames in `bytes`, behind the first head; gives how many begin.
    fn take(&mut self, mut bytes: &[u8]) -> u64 {
        if !self.is_open {
            let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return 0 };
            self.is_open = true;
            bytes = &bytes[head + 4..];
        }
        let mut frames = 0;
        loop {
            let step = self.left.min(bytes.len() as u64);
            self.left -= step;
            bytes = &bytes[step as usize..];
            if bytes.is_empty() {
                return frames;
            }
            let held = usize::from(self.held_len);
            let more = bytes.len().min(self.held.len() - held);
            self.held[held..held + more].copy_from_slice(&bytes[..more]);
            let Some((header, payload)) = frame(&self.held[..held + more]) else {
                self.held_len = (held + more) as u8;
                return frames;
            };
            (self.left, self.held_len) = (payload, 0);
            bytes = &bytes[header - held..];
            frames += 1;
        }
    }
}

/// Lengths of a frame's header and payload (RFC 6455 §5.2).
fn frame(bytes: &[u8]) -> Option<(usize, u64)> {
    let second = *bytes.get(1)?;
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let (header, payload) = match second & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    (bytes.len() >= header + mask).then_some((header + mask, payload))
}
