//! Files laid out byte by byte, read back.
#![expect(clippy::cast_possible_truncation, reason = "test files are small")]

mod compressed;
mod damage;
mod inject;
mod merged;
mod pcap;
mod pcapng;
mod rewrite;

use super::file::FileSource;
use super::{Block, CaptureError, InputInfo, More, PacketRef, Source};
use crate::limits::Limits;
use std::io::{Cursor, Read};

/// All that a source gave.
#[derive(Default)]
struct Outcome {
    packets: Vec<PacketRef>,
    /// The bytes of each packet.
    bytes: Vec<Vec<u8>>,
    secrets: Vec<Vec<u8>>,
    error: Option<CaptureError>,
    info: InputInfo,
}

impl Outcome {
    fn numbers(&self) -> Vec<u32> {
        self.packets.iter().map(|packet| packet.at.packet).collect()
    }

    fn nanos(&self) -> Vec<i64> {
        self.packets.iter().map(|packet| packet.at.at.nanos()).collect()
    }

    fn error_text(&self) -> String {
        self.error.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    fn error_offset(&self) -> Option<u64> {
        self.error.as_ref().and_then(CaptureError::offset)
    }
}

fn drain(source: &mut dyn Source) -> Outcome {
    let mut outcome = Outcome::default();
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block);
        outcome.bytes.extend(block.packets.iter().map(|packet| block.packet_bytes(packet).to_vec()));
        outcome.packets.append(&mut block.packets);
        outcome.secrets.append(&mut block.secrets);
        match more {
            Ok(More::Yes) => {}
            Ok(More::No) => return outcome,
            Err(error) => outcome.error = Some(error),
        }
    }
}

fn read_with(reader: impl Read + Send + 'static, limits: &Limits) -> Outcome {
    let mut source = FileSource::from_reader(Box::new(reader), "test", 7, limits);
    let outcome = drain(&mut source);
    Outcome { info: source.info(), ..outcome }
}

fn read(file: &[u8]) -> Outcome {
    read_with(Cursor::new(file.to_vec()), &Limits::default())
}

/// Gives one byte in each read, as a slow pipe does.
struct Trickle(Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

fn trickle(file: &[u8]) -> Outcome {
    read_with(Trickle(Cursor::new(file.to_vec())), &Limits::default())
}

/// Numbers in either byte order.
#[derive(Clone, Copy)]
enum Order {
    Le,
    Be,
}

impl Order {
    fn u16(self, number: u16) -> [u8; 2] {
        match self {
            Order::Le => number.to_le_bytes(),
            Order::Be => number.to_be_bytes(),
        }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        match self {
            Order::Le => number.to_le_bytes(),
            Order::Be => number.to_be_bytes(),
        }
    }

    fn u64(self, number: u64) -> [u8; 8] {
        match self {
            Order::Le => number.to_le_bytes(),
            Order::Be => number.to_be_bytes(),
        }
    }
}

fn pcap_header(order: Order, magic: u32, version: [u16; 2], network: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(order.u32(magic));
    bytes.extend(order.u16(version[0]));
    bytes.extend(order.u16(version[1]));
    bytes.extend(order.u32(0)); // time zone
    bytes.extend(order.u32(0)); // accuracy
    bytes.extend(order.u32(65_535)); // snaplen
    bytes.extend(order.u32(network));
    bytes
}

fn pcap_record(order: Order, seconds: u32, fraction: u32, original: u32, packet: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(order.u32(seconds));
    bytes.extend(order.u32(fraction));
    bytes.extend(order.u32(packet.len() as u32));
    bytes.extend(order.u32(original));
    bytes.extend(packet);
    bytes
}

/// An Ethernet pcap file with a packet at each of `seconds`, each holding its position as text.
fn pcap_file(seconds: &[u32]) -> Vec<u8> {
    let mut file = pcap_header(Order::Le, 0xa1b2_c3d4, [2, 4], 1);
    for (position, second) in seconds.iter().enumerate() {
        file.extend(pcap_record(Order::Le, *second, 0, 60, format!("packet {position}").as_bytes()));
    }
    file
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let total = order.u32(padded as u32 + 12);
    let mut bytes = [order.u32(kind), total].concat();
    bytes.extend(body);
    bytes.resize(8 + padded, 0);
    bytes.extend(total);
    bytes
}

fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &order.u64(u64::MAX)].concat();
    block(order, 0x0a0d_0d0a, &body)
}

fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [order.u16(code), order.u16(value.len() as u16)].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn interface(order: Order, link_type: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
    let body = [&order.u16(link_type)[..], &order.u16(0), &order.u32(snaplen), options].concat();
    block(order, 1, &body)
}

fn enhanced(order: Order, interface: u32, ticks: u64, packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(order.u32(interface));
    body.extend(order.u32((ticks >> 32) as u32));
    body.extend(order.u32(ticks as u32));
    body.extend(order.u32(packet.len() as u32));
    body.extend(order.u32(packet.len() as u32));
    body.extend(packet);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(options);
    block(order, 6, &body)
}
