//! Twice the input, twice the steps: no path through the pipeline is quadratic.

use super::{Analyzer, Options};
use crate::capture::PacketRef;
use crate::capture::link_type::LinkType;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::time::Timestamp;
use crate::work;
use std::time::Duration;

const SYN: u8 = 2;
const ACK: u8 = 0x10;

/// An IPv4 packet from port `from` to port 80, whose IP header claims `claimed` bytes of payload.
fn packet(from: u16, flags: u8, seq: u32, claimed: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((40 + claimed).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend(from.to_be_bytes());
    bytes.extend(80_u16.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 5 << 4, flags, 1, 0xf6, 0, 0, 0, 0]);
    bytes.extend_from_slice(payload);
    bytes
}

fn steps(limits: &Limits, packets: &[Vec<u8>]) -> u64 {
    let mut analyzer = Analyzer::new(Options { limits: limits.clone(), ..Options::default() });
    work::of(|| {
        take(&mut analyzer, packets);
        analyzer.finish();
        while analyzer.poll_record().is_some() {}
    })
}

/// Takes packets, a millisecond apart.
fn take(analyzer: &mut Analyzer, packets: &[Vec<u8>]) {
    for (bytes, number) in packets.iter().zip(1_u32..) {
        let len = u32::try_from(bytes.len()).unwrap();
        let at = Moment::new(Timestamp::from_nanos(i64::from(number) * 1_000_000), number, 0);
        let record = PacketRef { at, link_type: LinkType::RAW, fcs_len: 0, range: 0..len, original_len: len };
        analyzer.handle_packet(&record, bytes);
    }
}

#[test]
fn connections_that_have_ended_leave_nothing_behind_one_that_lasts() {
    const RST: u8 = 4;
    let limits = Limits { linger: Duration::ZERO, ..Limits::default() };
    let mut analyzer = Analyzer::new(Options { limits, ..Options::default() });
    let lasting = packet(5, SYN, 0, 0, b"");
    let short =
        (6..10_006).flat_map(|from| [packet(from, SYN, 0, 0, b""), packet(from, ACK | RST, 1, 0, b"")]);
    let packets: Vec<_> = std::iter::once(lasting).chain(short).collect();
    take(&mut analyzer, &packets);
    assert!(analyzer.open_connections() <= 2, "{}", analyzer.open_connections());
    let noted = analyzer.follower.tracker.table.noted();
    assert!(noted <= 1_100, "{noted} of 10,001 connections are noted as awake");
}

/// The steps for `2 n` packets are about twice those for `n`, and at most `each` for every packet.
#[track_caller]
fn grows_linearly(limits: &Limits, each: u64, make: impl Fn(u32) -> Vec<Vec<u8>>) {
    let (once, twice) = (steps(limits, &make(1_000)), steps(limits, &make(2_000)));
    assert!(once > 0, "the case takes the path it is about");
    assert!(twice <= 2 * once + once / 10 + 100, "{once} steps, then {twice}");
    assert!(once <= each * 1_000, "{once} steps for 1,000 packets");
}

#[test]
fn one_byte_segments_backwards() {
    grows_linearly(&Limits::default(), 8, |count| {
        let syn = packet(5, SYN, 0, 0, b"");
        let data = (0..count).rev().map(|at| packet(5, ACK, 1 + at, 1, b"x"));
        std::iter::once(syn).chain(data).collect()
    });
}

#[test]
fn segments_cut_to_nothing_that_cover_thousands_of_held_ones() {
    grows_linearly(&Limits::default(), 8, |count| {
        let syn = packet(5, SYN, 0, 0, b"");
        let islands = (0..count).map(|at| packet(5, ACK, 10 + 2 * at, 1, b"x"));
        let covers = (0..count).map(|at| packet(5, ACK, 9 + at % 3, 8_000, b""));
        std::iter::once(syn).chain(islands).chain(covers).collect()
    });
}

#[test]
fn holes_without_end_at_the_cap() {
    let limits = Limits { out_of_order_segments: 64, ..Limits::default() };
    grows_linearly(&limits, 8, |count| {
        let syn = packet(5, SYN, 0, 0, b"");
        let islands = (0..count).map(|at| packet(5, ACK, 10 + 2 * at, 1, b"x"));
        std::iter::once(syn).chain(islands).collect()
    });
}

#[test]
fn connections_beyond_the_cap() {
    let limits = Limits { connections: 64, ..Limits::default() };
    grows_linearly(&limits, 128, |count| {
        (0..count).map(|from| packet(u16::try_from(from).unwrap(), SYN, from, 0, b"")).collect()
    });
}

#[test]
fn conversations_that_each_take_a_stream_number() {
    let all =
        |count| (0..count).map(|from| packet(u16::try_from(from).unwrap(), SYN, from, 0, b"")).collect();
    grows_linearly(&Limits::default(), 8, all);
    let limits = Limits { stream_numbers: 500, ..Limits::default() };
    grows_linearly(&limits, 8, all);
}

/// A fragment of an IPv4 datagram, `offset` units of eight bytes in.
fn fragment(id: u32, offset: u32, payload: &[u8]) -> Vec<u8> {
    const MORE: u16 = 1 << 13;
    let mut bytes = vec![0x45, 0];
    bytes.extend((20 + u16::try_from(payload.len()).unwrap()).to_be_bytes());
    bytes.extend(u16::try_from(id).unwrap().to_be_bytes());
    bytes.extend((MORE | u16::try_from(offset).unwrap()).to_be_bytes());
    bytes.extend([64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn fragments_whose_rest_never_comes() {
    let limits = Limits { fragment_datagrams: 64, ..Limits::default() };
    grows_linearly(&limits, 8, |count| (0..count).map(|id| fragment(id, 0, &[7; 8])).collect());
    let few_bytes = Limits { fragment_bytes: 1_000, ..Limits::default() };
    grows_linearly(&few_bytes, 8, |count| (0..count).map(|id| fragment(id, id % 50, &[7; 8])).collect());
}

#[test]
fn fragments_with_holes_that_later_ones_cover() {
    grows_linearly(&Limits::default(), 8, |count| {
        let islands = (0..count / 2).rev().map(|at| fragment(1, 1 + 2 * at, &[7; 8]));
        let covers = (0..count / 2).map(|at| fragment(1, at % 4, &[8; 16_000]));
        islands.chain(covers).collect()
    });
}

/// `inner` in a tunnel of its own: GRE with a key (RFC 2890).
fn in_tunnel(key: u32, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((28 + u16::try_from(inner.len()).unwrap()).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, 47, 0, 0, 10, 0, 0, 3, 10, 0, 0, 4, 0x20, 0, 8, 0]);
    bytes.extend(key.to_be_bytes());
    bytes.extend_from_slice(inner);
    bytes
}

#[test]
fn tunnels_without_end() {
    let inner = packet(5, SYN, 0, 0, b"");
    let limits = Limits { encapsulations: 1_500, ..Limits::default() };
    // The same connection in each: they are told apart, up to the limit.
    grows_linearly(&limits, 8, |count| (0..count).map(|key| in_tunnel(key, &inner)).collect());
}

#[test]
fn a_head_that_comes_byte_by_byte() {
    grows_linearly(&Limits::default(), 40, |count| {
        let syn = packet(5, SYN, 0, 0, b"");
        let line = b"GET /".iter().copied().chain(std::iter::repeat(b'a'));
        let data = (1..=count).zip(line).map(|(seq, byte)| packet(5, ACK, seq, 1, &[byte]));
        let end = packet(5, ACK, count + 1, 1, b"\n");
        std::iter::once(syn).chain(data).chain(std::iter::once(end)).collect()
    });
}

/// The client's preface with its SETTINGS, and a frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field without indexing.
fn field(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], string(name), string(value)].concat()
}

/// A client's packets in HTTP/2: what `more` gives for each number.
fn http2(count: u32, more: impl Fn(u32) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut packets = vec![packet(5, SYN, 0, 0, b"")];
    let mut seq = 1;
    for payload in std::iter::once(PREFACE.to_vec()).chain((0..count).map(more)) {
        let len = u16::try_from(payload.len()).unwrap();
        packets.push(packet(5, ACK, seq, len, &payload));
        seq += u32::from(len);
    }
    packets
}

#[test]
fn websockets_without_end_in_one_connection() {
    let names = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/")];
    let block: Vec<u8> = names.iter().flat_map(|(name, value)| field(name, value)).collect();
    // All stay open; beyond the limit they are counted.
    let limits = Limits { http2_websockets: 1_500, ..Limits::default() };
    grows_linearly(&limits, 16, |count| http2(count, |at| frame(1, 4, 2 * at + 1, &block)));
}

#[test]
fn header_blocks_without_end() {
    let limits = Limits { http2_header_block_bytes: 4_096, ..Limits::default() };
    grows_linearly(&limits, 16, |count| {
        http2(count, |at| match at {
            0 => frame(1, 0, 1, &[0x82; 100]),
            at => frame(9, 0, 1, &[u8::try_from(0x80 | (2 + at % 5)).unwrap(); 100]),
        })
    });
}

#[test]
fn tables_that_shrink_and_grow_with_every_block() {
    // Filled with small entries, emptied, enlarged, filled again.
    let entry = [0x40, 1, b'a', 1, b'b'];
    let games = [&[0x20, 0x3f, 0xe1, 0x1f][..], &entry.repeat(100), &[0xbe; 100]].concat();
    // Six hundred bytes, each a step at the most.
    grows_linearly(&Limits::default(), 600, |count| http2(count, |at| frame(1, 5, 2 * at + 1, &games)));
}

#[test]
fn data_on_streams_of_which_nothing_is_known() {
    // Joined in its middle: no SYN.
    let ping = frame(6, 0, 0, &[7; 8]);
    let late = |count| {
        http2(count, |at| [&ping[..], &frame(0, 0, 2 * at + 1, &[0x82, 5, 1, 2, 3, 4, 0, 0, 0])].concat())
    };
    grows_linearly(&Limits::default(), 24, |count| late(count).split_off(2));
}
