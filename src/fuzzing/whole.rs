//! The whole pipeline.

use super::script::{Script, analyze, next_step, records};
use super::{Bytes, READ_BYTES, small_limits};
use crate::analyzer::record::ConnectionRecord;
use crate::analyzer::{Analyzer, Options};
use crate::capture::file::FileSource;
use crate::capture::{Block, More, Source as _};
use crate::decode::segment::TcpFlags;
use crate::limits::Limits;
use std::io::Cursor;
use std::time::Duration;

/// Packets of a file that are looked at.
const ENOUGH: usize = 20_000;

/// A capture file, whose records are consistent and the same however its packets are batched; or, behind a zero byte,
/// an open WebSocket's bytes, whose verdict does not depend on how they are cut.
pub fn analyzer(input: &[u8]) {
    match input.split_first() {
        Some((0, script)) => conversation(script),
        _ => capture(input),
    }
}

fn capture(input: &[u8]) {
    let limits = small_limits();
    let (batched, counts) = read(input, &limits, true);
    let (single, single_counts) = read(input, &limits, false);
    assert_eq!(batched, single, "packets in batches and one by one");
    assert_eq!(counts, single_counts);
    let roomy = Limits { connection_bytes: 1 << 20, ..limits };
    let restless = Limits { awake_bytes: 0, rest_after: Duration::ZERO, ..roomy.clone() };
    assert_eq!(read(input, &roomy, true), read(input, &restless, true), "at work and at rest");
}

fn read(input: &[u8], limits: &Limits, batched: bool) -> (Vec<ConnectionRecord>, String) {
    let reader = Box::new(Cursor::new(input.to_vec()));
    let mut source = FileSource::from_reader(reader, "fuzz", 0, limits).with_read_bytes(READ_BYTES);
    let mut analyzer = Analyzer::new(Options { limits: limits.clone(), ..Options::default() });
    let (mut block, mut packets) = (Block::default(), 0);
    let mut found = Vec::new();
    loop {
        let more = source.read_block(&mut block);
        packets += block.packets.len();
        if batched {
            analyzer.handle_block(&block);
        } else {
            for packet in &block.packets {
                analyzer.handle_packet(packet, block.packet_bytes(packet));
            }
        }
        assert!(analyzer.open_connections() <= limits.connections, "connections within their cap");
        assert!(
            analyzer.held_bytes() <= limits.out_of_order_total_bytes,
            "out-of-order bytes within their cap"
        );
        let is_within = analyzer.connection_bytes() <= limits.connection_bytes;
        assert!(is_within || analyzer.open_connections() <= 1, "connections' memory within its cap");
        found.extend(records(&mut analyzer, limits));
        if !matches!(more, Ok(More::Yes)) || packets >= ENOUGH {
            break;
        }
    }
    analyzer.finish();
    found.extend(records(&mut analyzer, limits));
    assert_eq!(analyzer.connection_bytes() + analyzer.held_bytes(), 0, "what was counted in is counted out");
    (found, format!("{:?} {}", analyzer.anomalies(), analyzer.other_connections()))
}

/// `side and flags, length, bytes | ...`, behind both handshakes.
fn conversation(input: &[u8]) {
    let mut input = Bytes(input);
    let most = 1 + usize::from(input.byte() % 32);
    let mut script = Script::opened();
    while !input.is_empty() {
        let (side, ends, len) = next_step(&mut input);
        let payload = if ends == TcpFlags::RST { &[] } else { input.take(len) };
        script.send(side, TcpFlags::ACK | ends, payload);
    }
    let limits = Limits::default();
    let answer = |records: &[ConnectionRecord]| {
        let answer =
            |record: &ConnectionRecord| (record.verdict.kind, record.verdict.closed_by, record.traffic);
        records.iter().map(answer).collect::<Vec<_>>()
    };
    let (whole, cut) = (analyze(&script.sent, &limits), analyze(&script.recut(most), &limits));
    assert_eq!(answer(&whole), answer(&cut), "cut into pieces of {most}");
}
