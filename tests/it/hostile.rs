//! What an attacker may write into a capture or a network: the caps hold, and other connections keep their verdicts.
//!
//! That no path is quadratic is counted in steps, in `src/analyzer/growth.rs`, `src/diagnosis/growth.rs`,
//! `src/tcp/reassembly.rs`, `src/http/http1.rs`, `src/capture/tests/pcapng.rs` and `src/tls/session/tests/growth.rs`.

use crate::support::capture_file::{self, Pcap, Pcapng, RawPacket};
use crate::support::conversation::Conversation;
use crate::support::packaging::{Packaging, fragment};
use crate::support::packet::{ACK, FIN, PSH, RST, SYN, TcpPacket};
use crate::support::rng::Rng;
use crate::support::run::{self, Answer, Outcome};
use crate::support::wire;
use std::io::{Cursor, Read};
use std::time::Duration;
use wsclose::analyzer::{Analyzer, Options};
use wsclose::anomaly::Anomaly;
use wsclose::capture::file::FileSource;
use wsclose::capture::{Block, CaptureError, More, Source as _};
use wsclose::limits::Limits;
use wsclose::side::Side::{Client, Server};

/// A WebSocket that ends as it should, from another client's address.
fn innocent() -> Conversation {
    let mut conn = Conversation::between("10.77.9.9:40000", "10.77.2.2:9001");
    conn.connect().upgrade("/innocent");
    conn.client_sends(&wire::text(Client, "hello")).server_acks();
    conn.server_sends(&wire::close(Server, 1001, "bye")).client_sends(&wire::close(Client, 1001, ""));
    conn.fin(Server).fin(Client).acks(Server);
    conn
}

/// Hostile packets before, between and behind those of an innocent connection, which keeps its verdict.
fn amid(hostile: &[TcpPacket], options: Options) -> Outcome {
    let innocent = innocent().packets();
    let every = hostile.len() / innocent.len() + 1;
    let mut packets = Vec::new();
    let mut parts = hostile.chunks(every);
    for packet in innocent {
        packets.extend(parts.next().unwrap_or_default().iter().cloned());
        packets.push(packet);
    }
    packets.extend(parts.flatten().cloned());
    for (index, packet) in (0_u64..).zip(&mut packets) {
        packet.at_ns = 1_790_000_000_000_000_000 + index * 1_000;
    }
    let outcome = run::analyze_packets_with(&packets, options);
    let found = outcome.connections.iter().find(|found| found.client.port == 40_000);
    assert_eq!(Answer::of(found.expect("it is listed")).to_string(), "coded:1001 by server");
    outcome
}

fn with(limits: Limits) -> Options {
    Options { limits, ..Options::default() }
}

/// One packet of each of `count` connections, made from a SYN.
fn flood(count: u32, make: impl Fn(&mut TcpPacket)) -> Vec<TcpPacket> {
    let syn = Conversation::connected().packets()[0].clone();
    let one = |index: u32| {
        let mut packet = syn.clone();
        packet.src = ([11, (index >> 16) as u8, (index >> 8) as u8, index as u8], 1_024).into();
        (packet.seq, packet.ip_id) = (index.wrapping_mul(0x9e37_79b9), index as u16 | 1);
        make(&mut packet);
        packet
    };
    (0..count).map(one).collect()
}

/// The caps that can be looked at from outside, after each packet.
fn peaks(file: Vec<u8>, limits: &Limits) -> (usize, usize, usize, usize) {
    let mut source = FileSource::from_reader(Box::new(Cursor::new(file)), "hostile", 0, limits);
    let mut analyzer = Analyzer::new(with(limits.clone()));
    let mut block = Block::default();
    let mut peaks = (0, 0, 0, 0);
    loop {
        let more = source.read_block(&mut block).unwrap();
        for packet in &block.packets {
            analyzer.handle_packet(packet, block.packet_bytes(packet));
            let decoder = analyzer.decoder();
            peaks.0 = peaks.0.max(analyzer.open_connections());
            peaks.1 = peaks.1.max(analyzer.held_bytes());
            peaks.2 = peaks.2.max(decoder.held_fragment_bytes());
            peaks.3 = peaks.3.max(decoder.held_fragment_datagrams());
        }
        while analyzer.poll_record().is_some() {}
        if more == More::No {
            return peaks;
        }
    }
}

#[test]
fn a_flood_of_syns_pushes_out_only_the_longest_idle() {
    let limits = Limits { connections: 500, ..Limits::default() };
    let outcome = amid(&flood(20_000, |_| {}), with(limits.clone()));
    assert!(outcome.count(Anomaly::FlowEvicted) > 19_000);
    let raw = Packaging::default().apply(&flood(5_000, |_| {}));
    assert_eq!(peaks(Pcap::default().write(&raw), &limits).0, 500);
}

/// A pcap file of one packet each of many connections, made as it is read, and what stands behind them.
struct Flows {
    /// The record of one, and where in it its source address begins.
    record: Vec<u8>,
    address: usize,
    next: u32,
    count: u32,
    ready: Cursor<Vec<u8>>,
    behind: Vec<u8>,
}

impl Flows {
    fn new(count: u32, packet: &TcpPacket, behind: &[TcpPacket]) -> Self {
        let file = |packets: &[TcpPacket]| Pcap::default().write(&Packaging::default().apply(packets));
        let mut record = file(std::slice::from_ref(packet));
        let head: Vec<u8> = record.drain(..24).collect();
        let source = [11, 0, 0, 0];
        let address = record.windows(4).position(|bytes| bytes == source).expect("its source address");
        let behind = file(behind)[24..].to_vec();
        Flows { record, address, next: 0, count, ready: Cursor::new(head), behind }
    }
}

impl Read for Flows {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.ready.position() as usize == self.ready.get_ref().len() {
            let mut ready = Vec::new();
            for index in self.next..self.count.min(self.next + 1_000) {
                self.record[self.address..][..4].copy_from_slice(&(0x0b00_0000 + index).to_be_bytes());
                ready.extend(&self.record);
            }
            if self.next >= self.count {
                ready = std::mem::take(&mut self.behind);
            }
            if ready.is_empty() {
                return Ok(0);
            }
            (self.next, self.ready) = (self.next.saturating_add(1_000), Cursor::new(ready));
        }
        self.ready.read(buffer)
    }
}

#[test]
fn a_million_flows_take_no_more_memory_than_they_may() {
    const COUNT: u32 = 1_000_000;
    // Mid-stream bytes: each looks for frames.
    let flow = &flood(1, |packet| (packet.flags, packet.payload) = (ACK | PSH, vec![0x81, 0x05, b'h']))[0];
    let flows = Flows::new(COUNT, flow, &innocent().packets());
    let limits = Limits {
        connections: 3_000,
        connection_bytes: 2 << 20,
        stream_numbers: 5_000,
        surveyed_connections: 1_000,
        ..Limits::default()
    };
    let mut source = FileSource::from_reader(Box::new(flows), "flows", 0, &limits);
    let mut analyzer = Analyzer::new(with(limits.clone()));
    let (mut block, mut records) = (Block::default(), Vec::new());
    loop {
        let more = source.read_block(&mut block).unwrap();
        analyzer.handle_block(&block);
        assert!(analyzer.open_connections() <= limits.connections);
        assert!(analyzer.connection_bytes() <= limits.connection_bytes);
        records.extend(std::iter::from_fn(|| analyzer.poll_record()));
        if more == More::No {
            break;
        }
    }
    analyzer.finish();
    records.extend(std::iter::from_fn(|| analyzer.poll_record()));
    let evicted = analyzer.anomalies().of(Anomaly::FlowEvicted);
    assert!(evicted >= u64::from(COUNT) - 3_100, "{evicted} evicted");
    let [record] = records.as_slice() else { panic!("{} are listed", records.len()) };
    assert_eq!(record.verdict.kind.label(), "1001");
}

#[test]
fn thirty_thousand_flows_around_a_connection_do_not_push_it_out() {
    // Mid-stream bytes: each looks for frames.
    let data = flood(30_000, |packet| {
        (packet.flags, packet.payload) = (ACK | PSH, vec![0x81, 0x05, b'h']);
    });
    let limits = Limits { connections: 3_000, stream_numbers: 5_000, ..Limits::default() };
    let outcome = amid(&data, with(limits));
    assert!(outcome.count(Anomaly::FlowEvicted) >= 26_000);
}

#[test]
fn fragments_without_end_stay_within_the_pool() {
    let limits = Limits { fragment_bytes: 64 << 10, fragment_datagrams: 100, ..Limits::default() };
    let datagrams = flood(3_000, |packet| {
        (packet.flags, packet.payload) = (ACK, vec![7; 1_000]);
        packet.ip_id = packet.seq as u16;
    });
    let pieces = datagrams.iter().flat_map(|packet| {
        let mut pieces = fragment(&packet.ip_bytes(), 200, 1);
        pieces.pop(); // the last never comes
        pieces.into_iter().map(|ip| RawPacket::new(packet.at_ns, 101, ip))
    });
    let raw: Vec<_> = pieces.collect();
    let (_, _, bytes, count) = peaks(Pcap::default().write(&raw), &limits);
    assert!(bytes <= 64 << 10 && count <= 100, "{bytes} bytes, {count} datagrams");
    let outcome = run::analyze_bytes_with(Pcap::default().write(&raw), with(limits));
    assert_eq!(outcome.count(Anomaly::FragmentIncomplete), 3_000);
}

#[test]
fn overlapping_segments_that_differ_cost_their_own_verdict_only() {
    let mut conn = Conversation::opened();
    let first = conn.packets()[0].clone();
    let (seq, mut rng) = (conn.next_seq(Client), Rng::new(5));
    for _ in 0..3_000 {
        let (offset, len) = (1 + rng.below(4_000) as u32, 1 + rng.below(200) as usize);
        let fill = rng.bits() as u8;
        conn.forges(Client, ACK | PSH, |packet| {
            packet.seq = seq.wrapping_add(offset);
            packet.payload = vec![fill; len];
        });
    }
    conn.fin(Server).fin(Client).acks(Server);
    let outcome = amid(&conn.packets(), Options::default());
    assert!(outcome.count(Anomaly::TcpOverlapDiffers) > 0);
    let found = outcome.connections.iter().find(|found| found.client.port == first.src.port()).unwrap();
    assert_eq!(found.verdict.kind, "unknown");
}

#[test]
fn a_payload_of_2_to_the_63_is_skipped_not_kept() {
    for top in [0x7f, 0x80, 0xff] {
        let mut conn = Conversation::opened();
        conn.server_sends(&[0x82, 127, top, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).client_acks();
        for _ in 0..200 {
            conn.server_sends(&[0x82; 1_400]).client_acks();
        }
        conn.client_sends(&wire::close(Client, 1009, "too big"));
        conn.fin(Client).fin(Server).acks(Client);
        let outcome = run::analyze_packets(&conn.packets());
        assert_eq!(Answer::of(outcome.only()).to_string(), "coded:1009 by client");
    }
}

#[test]
fn ten_thousand_segments_of_one_byte_out_of_order() {
    let text = wire::text(Client, &"x".repeat(9_990));
    let mut conn = Conversation::opened();
    let seq = conn.next_seq(Client);
    let mut order: Vec<u32> = (0..text.len() as u32).collect();
    Rng::new(1).shuffle(&mut order);
    for offset in order {
        conn.forges(Client, ACK | PSH, |packet| {
            packet.seq = seq.wrapping_add(offset);
            packet.payload = vec![text[offset as usize]];
        });
    }
    let whole = Limits { out_of_order_segments: 20_000, ..Limits::default() };
    let outcome = amid(&conn.packets(), with(whole.clone()));
    assert_eq!(outcome.count(Anomaly::TcpOutOfOrderLimit), 0);
    let few = Limits { out_of_order_segments: 64, ..Limits::default() };
    let outcome = amid(&conn.packets(), with(few));
    assert!(outcome.count(Anomaly::TcpOutOfOrderLimit) > 0);
    let total = Limits { out_of_order_total_bytes: 100_000, ..whole };
    let raw = Packaging::default().apply(&conn.packets());
    let held = peaks(Pcap { nanoseconds: true, ..Pcap::default() }.write(&raw), &total).1;
    assert!(held <= 100_000, "{held} bytes held");
}

#[test]
fn header_lines_without_end_are_given_up_at_the_limit() {
    let mut conn = Conversation::connected();
    conn.client_sends(b"GET /ws HTTP/1.1\r\n");
    for line in 0..3_000 {
        conn.client_sends(format!("X-{line}: {}\r\n", "y".repeat(60)).as_bytes());
    }
    let outcome = amid(&conn.packets(), Options::default());
    assert_eq!(outcome.count(Anomaly::HttpHeadTooLong), 1);
}

/// A TLS record.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &(content.len() as u16).to_be_bytes(), content].concat()
}

/// A hello of TLS 1.3 with one suite: 1, the client's; 2, the server's.
fn hello(kind: u8, random: u8) -> Vec<u8> {
    let choice: &[u8] = if kind == 1 { &[0, 2, 0x13, 0x01, 1, 0] } else { &[0x13, 0x01, 0] };
    let version: &[u8] = if kind == 1 { &[0, 43, 0, 3, 2, 3, 4] } else { &[0, 43, 0, 2, 3, 4] };
    let body = [&[3, 3][..], &[random; 32], &[0], choice, &[0, version.len() as u8], version].concat();
    record(22, &[&[kind, 0, 0, body.len() as u8][..], &body].concat())
}

/// TLS is followed, and its keys are still to come.
fn awaiting_keys(limits: Limits) -> Options {
    Options { limits, more_keys: true, encrypted: true, ..Options::default() }
}

/// Most memory of the connections followed, after each packet.
fn peak_memory(packets: &[TcpPacket], options: Options) -> usize {
    let file = Pcap::default().write(&Packaging::default().apply(packets));
    let mut source = FileSource::from_reader(Box::new(Cursor::new(file)), "hostile", 0, &options.limits);
    let mut analyzer = Analyzer::new(options);
    let (mut block, mut peak) = (Block::default(), 0);
    loop {
        let more = source.read_block(&mut block).unwrap();
        for packet in &block.packets {
            analyzer.handle_packet(packet, block.packet_bytes(packet));
            peak = peak.max(analyzer.connection_bytes());
        }
        while analyzer.poll_record().is_some() {}
        if more == More::No {
            return peak;
        }
    }
}

#[test]
fn floods_of_tls_records_that_wait_for_keys_end_at_the_cap() {
    let limits = Limits::default();
    for content in [&b""[..], b"x", &[7; 1_300], &[7; 16_384]] {
        let mut conn = Conversation::connected();
        conn.client_sends(&hello(1, 1)).server_sends(&hello(2, 2)).client_acks();
        let records = record(23, content).repeat(400_000 / (content.len() + 5));
        for segment in records.chunks(1_400) {
            conn.server_sends(segment).client_acks();
        }
        let packets = conn.packets();
        let outcome = amid(&packets, awaiting_keys(limits.clone()));
        assert_eq!(outcome.count(Anomaly::TlsHeldLimit), 1, "records of {} bytes", content.len());
        let peak = peak_memory(&packets, awaiting_keys(limits.clone()));
        assert!(peak <= limits.tls_held_bytes + (64 << 10), "{peak} bytes");
    }
}

#[test]
fn empty_tls_records_without_end_are_read_through() {
    for kind in [20, 21, 22, 23, 24] {
        let mut conn = Conversation::connected();
        conn.client_sends(&hello(1, 1)).server_acks();
        let before_the_server = record(kind, b"").repeat(20_000);
        for segment in before_the_server.chunks(1_400) {
            conn.server_sends(segment).client_acks();
        }
        conn.server_sends(&record(21, &[2, 40])).fin(Server).fin(Client).acks(Server);
        let packets = conn.packets();
        amid(&packets, awaiting_keys(Limits::default()));
        assert!(peak_memory(&packets, awaiting_keys(Limits::default())) < 64 << 10, "type {kind}");
    }
}

#[test]
fn sixteen_kilobytes_of_tls_alerts_keep_the_first_that_matters() {
    let mut conn = Conversation::connected();
    conn.client_sends(&hello(1, 1)).server_acks();
    let alerts = [[1, 90].repeat(4_000), vec![2, 40], [2, 80].repeat(4_191)].concat();
    assert_eq!(alerts.len(), 16_384);
    for segment in record(21, &alerts).chunks(1_400) {
        conn.server_sends(segment).client_acks();
    }
    conn.fin(Server).fin(Client).acks(Server);
    let packets = conn.packets();
    let outcome = amid(&packets, awaiting_keys(Limits::default()));
    let is_attacked = |found: &&wsclose::analyzer::record::ConnectionRecord| found.tls.is_some();
    if let Some(found) = outcome.records.iter().find(is_attacked) {
        let alert = found.tls.as_ref().unwrap().alert.server.unwrap();
        assert_eq!(alert.description.unwrap().to_string(), "handshake_failure");
    }
    assert!(peak_memory(&packets, awaiting_keys(Limits::default())) < 64 << 10);
}

#[test]
fn tls_handshakes_left_half_open_by_the_thousand_stay_within_the_memory() {
    let half = |packet: &mut TcpPacket, cut: usize| {
        (packet.flags, packet.payload) = (ACK | PSH, hello(1, 1)[..cut].to_vec());
    };
    let limits = Limits { connections: 4_000, connection_bytes: 4 << 20, ..Limits::default() };
    for cut in [6, 30, hello(1, 1).len()] {
        let packets = flood(10_000, |packet| half(packet, cut));
        let outcome = amid(&packets, awaiting_keys(limits.clone()));
        assert!(outcome.count(Anomaly::FlowEvicted) > 6_000, "{cut} bytes each");
        let peak = peak_memory(&packets, awaiting_keys(limits.clone()));
        assert!(peak <= limits.connection_bytes, "{peak} bytes");
    }
}

#[test]
fn a_certificate_of_megabytes_in_single_bytes_is_passed_over() {
    // It claims 2^24 - 1 bytes, and sends some of them.
    let claims = [&[11, 0xff, 0xff, 0xff][..], &[0x30; 4_000]].concat();
    let mut conn = Conversation::connected();
    conn.client_sends(&hello(1, 1)).server_acks();
    for byte in [record(22, &claims), record(22, &[0x30; 4_000])].concat() {
        conn.server_sends(&[byte]);
    }
    conn.client_acks().fin(Server).fin(Client).acks(Server);
    let packets = conn.packets();
    amid(&packets, awaiting_keys(Limits::default()));
    let peak = peak_memory(&packets, awaiting_keys(Limits::default()));
    assert!(peak < 64 << 10, "{peak} bytes: one record at a time");
}

/// A pcapng block of any kind.
fn block(kind: u32, claimed: Option<u32>, body: &[u8]) -> Vec<u8> {
    let len = claimed.unwrap_or(body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &len, body, &len].concat()
}

fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, None, &[&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat())
}

#[test]
fn interfaces_by_the_thousand_end_the_file_at_the_cap() {
    let interface = block(1, None, &[1, 0, 0, 0, 0, 0, 4, 0]);
    let file = |count: usize| [section(), interface.repeat(count)].concat();
    let limits = Limits { interfaces: 5_000, ..Limits::default() };
    let read = |count| run::analyze_bytes_with(file(count), with(limits.clone())).inputs[0].complete;
    assert!(read(5_000));
    assert!(!read(5_001));
}

#[test]
fn a_block_that_claims_four_gigabytes_costs_no_more_than_it_sends() {
    let raw = Packaging::default().apply(&innocent().packets());
    for kind in [6, 5, 0x0bad, 0x0a] {
        let file = [Pcapng::default().write(&raw), block(kind, Some(0xffff_fff0), &[7; 4_000])].concat();
        let outcome = run::analyze_bytes(file);
        assert!(!outcome.inputs[0].complete, "{kind:#x}");
        assert_eq!(Answer::of(outcome.only()).to_string(), "coded:1001 by server");
    }
    let mut file = Pcap::default().write(&raw);
    file.extend([[0; 8], [0xff; 8]].concat());
    assert!(!run::analyze_bytes(file).inputs[0].complete);
}

/// A pcap file without end: its records have no bytes.
struct Endless {
    left: u64,
    head: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.head.is_empty() {
            let read = self.head.as_slice().read(buffer)?;
            self.head.drain(..read);
            return Ok(read);
        }
        let read = (buffer.len() as u64).min(self.left) as usize;
        buffer[..read].fill(0);
        self.left -= read as u64;
        Ok(read)
    }
}

#[test]
fn compressed_bombs_are_read_through_a_block_at_a_time() {
    const BYTES: u64 = 24 << 20;
    let head = Pcap::default().write(&[]);
    let mut plain = Vec::new();
    Endless { left: BYTES, head }.read_to_end(&mut plain).unwrap();
    let plain_len = plain.len() as u64;
    for (name, file) in [
        ("gzip", capture_file::gzip(&plain)),
        ("zstd", capture_file::zstd(&plain)),
        ("lz4", capture_file::lz4(&plain)),
    ] {
        assert!(file.len() * 20 < plain.len(), "{name} is a bomb: {} bytes", file.len());
        let limits = Limits::default();
        let mut source = FileSource::from_reader(Box::new(Cursor::new(file)), name, 0, &limits);
        let (mut block, mut largest, mut packets) = (Block::default(), 0, 0);
        loop {
            let more = source.read_block(&mut block).unwrap();
            largest = largest.max(block.bytes.len());
            packets += block.packets.len() as u64;
            if more == More::No {
                break;
            }
        }
        assert_eq!(packets, (plain_len - 24) / 16, "{name}");
        assert!(largest <= 1 << 20, "{name}: {largest} bytes at a time");
    }
}

#[test]
fn a_zstd_window_beyond_the_limit_is_refused() {
    // RFC 8878 §3.1.1.1: no single segment, a window of 2^41 bytes.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 31 << 3, 1, 0, 0];
    let limits = Limits::default();
    let mut source = FileSource::from_reader(Box::new(Cursor::new(frame.to_vec())), "window", 0, &limits);
    let outcome = source.read_block(&mut Block::default());
    let Err(CaptureError::Corrupt { reason, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("larger window than 134217728 bytes"), "{reason}");
}

#[test]
fn time_that_goes_backwards_changes_no_coded_end() {
    let mut packets = innocent().packets();
    let last = packets.len() as u64;
    for (index, packet) in (0_u64..).zip(&mut packets) {
        packet.at_ns = 1_790_000_000_000_000_000 + (last - index) * 60_000_000_000;
    }
    let outcome = run::analyze_packets(&packets);
    assert_eq!(Answer::of(outcome.only()).to_string(), "coded:1001 by server");
}

#[test]
fn the_year_2106_and_any_64_bit_time_are_times() {
    let mut packets = innocent().packets();
    for (index, packet) in (0_u64..).zip(&mut packets) {
        packet.at_ns = u64::from(u32::MAX) * 1_000_000_000 + index;
    }
    let outcome = run::analyze_packets(&packets);
    assert_eq!(Answer::of(outcome.only()).to_string(), "coded:1001 by server");
    assert!(outcome.only().opened_at.to_rfc3339().starts_with("2106-"));
    let mut file = section();
    file.extend(block(1, None, &[101, 0, 0, 0, 0, 0, 4, 0]));
    let ip = packets[0].ip_bytes();
    for ticks in [0, u64::MAX, u64::MAX / 2, 1 << 63] {
        let mut body = [0_u32, (ticks >> 32) as u32, ticks as u32, ip.len() as u32, ip.len() as u32]
            .map(u32::to_le_bytes)
            .concat();
        body.extend(&ip);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, None, &body));
    }
    let outcome = run::analyze_bytes(file);
    assert!(outcome.inputs[0].complete);
}

#[test]
fn port_0_and_a_connection_to_itself_are_connections() {
    for (client, server) in
        [("10.0.0.1:0", "10.0.0.2:0"), ("10.0.0.1:0", "10.0.0.1:9001"), ("127.0.0.1:9001", "127.0.0.1:9001")]
    {
        let mut conn = Conversation::between(client, server);
        conn.connect().upgrade("/");
        conn.client_sends(&wire::text(Client, "hello")).server_acks();
        conn.server_sends(&wire::close(Server, 1001, "bye")).client_sends(&wire::close(Client, 1001, ""));
        conn.fin(Server).fin(Client).acks(Server).rst(Client);
        let mut outcome = amid(&conn.packets(), Options::default());
        outcome.connections.retain(|found| found.client.port != 40_000);
        // Of a connection to itself both directions look alike: no verdict is asked for, only that it harms nobody.
        if client != server {
            assert_eq!(Answer::of(outcome.only()).to_string(), "coded:1001 by server", "{client}");
        }
    }
}

#[test]
fn resets_and_fins_without_end_keep_one_place_each() {
    let mut conn = Conversation::opened();
    for _ in 0..2_000 {
        conn.rst(Client).server_sends(&wire::text(Server, "x")).client_acks();
    }
    let end = conn.packets().last().unwrap().at_ns;
    let outcome = amid(&conn.packets(), Options::default());
    assert!(outcome.count(Anomaly::TcpResetIgnored) > 0);
    assert!(end > 0);
}

#[test]
fn garbage_of_any_flags_to_one_connection_leaves_the_others_alone() {
    let mut rng = Rng::new(77);
    let mut conn = Conversation::opened();
    for _ in 0..5_000 {
        let side = if rng.chance(500) { Client } else { Server };
        let flags = [ACK, ACK | PSH, FIN, RST, SYN, SYN | ACK, 0][rng.below(7) as usize];
        let (seq, ack, len) = (rng.bits() as u32, rng.bits() as u32, rng.below(60) as usize);
        let payload: Vec<u8> = (0..len).map(|_| rng.bits() as u8).collect();
        conn.forges(side, flags, |packet| {
            if seq % 3 == 0 {
                packet.seq = packet.seq.wrapping_add(seq % 5_000);
            } else {
                packet.seq = seq;
            }
            (packet.ack, packet.payload) = (ack, payload);
        });
    }
    conn.wait(Duration::from_secs(1));
    let limits = Limits { connections: 50, ..Limits::default() };
    amid(&conn.packets(), with(limits));
}
