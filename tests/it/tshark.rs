//! tshark as an independent reader: Close frames and `tcp.stream` numbers, on every fixture and on the shared folders.
//!
//! What tshark 4.0 does not see, so that only one direction is asked of it in full (what tshark finds, we find):
//! * it reads frames only behind a `101` that it saw, and behind a whole head: no capture that starts late, holds one
//!   direction, or is cut by the snaplen;
//! * an empty Close has no payload field: only its opcode shows;
//! * out-of-order segments need `tcp.reassemble_out_of_order:TRUE`; even so, with holes or retransmissions that
//!   overlap it may stop reading frames, or show a frame in the packet that filled the hole before it;
//! * a head in segments of one byte each on a port that is not one of HTTP's is no HTTP to it;
//! * where each packet is captured twice it reads frames twice, or not at all.

use crate::support::fixture;
use crate::support::run;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use wsclose::capture::merge::{MergeInput, MergedSource};
use wsclose::capture::{Block, More, Source as _};
use wsclose::decode::Decoder;
use wsclose::decode::segment::Decoded;
use wsclose::flow::stream_number::StreamNumbers;
use wsclose::limits::Limits;
use wsclose::report::model::{Close, Connection};

/// Between values of one field in one packet: none of our captures has it in a Close reason.
const BETWEEN: char = '^';

/// A Close frame as both readers see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeenClose {
    packet: u32,
    stream: u32,
    source: String,
    code: Option<u16>,
    reason: String,
}

/// What tshark makes of a capture.
#[derive(Debug, Default)]
struct Tshark {
    /// `tcp.stream` of each TCP packet, that of the outermost TCP header.
    streams: BTreeMap<u32, u32>,
    closes: Vec<SeenClose>,
    /// Streams whose request it recognised as HTTP.
    http: BTreeSet<u32>,
    /// Streams in which it found segments out of order.
    reordered: BTreeSet<u32>,
}

fn is_installed() -> bool {
    let found = Command::new("tshark").arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: tshark is not installed");
    }
    found
}

fn tshark(file: &Path) -> Tshark {
    let fields = [
        "frame.number",
        "tcp.stream",
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
        "websocket.opcode",
        "websocket.payload.close.status_code",
        "websocket.payload.close.reason",
        "tcp.analysis.out_of_order",
        "http.request.method",
        "tcp.analysis.lost_segment",
        "tcp.analysis.retransmission",
        "tcp.analysis.fast_retransmission",
    ];
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "tcp", "-T", "fields"]);
    command.args(["-E", "separator=/t", "-E", &format!("aggregator={BETWEEN}")]);
    fields.iter().for_each(|field| _ = command.args(["-e", field]));
    let output = command.arg("-r").arg(file).output().expect("tshark runs");
    let mut seen = Tshark::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        read_line(line, &mut seen);
    }
    seen
}

fn read_line(line: &str, seen: &mut Tshark) {
    let fields: Vec<_> = line.split('\t').collect();
    let first = |at: usize| fields.get(at).and_then(|field| field.split(BETWEEN).next()).unwrap_or_default();
    let (Ok(packet), Ok(stream)) = (first(0).parse(), first(1).parse()) else { return };
    seen.streams.insert(packet, stream);
    if !first(9).is_empty() {
        seen.http.insert(stream);
    }
    if [8, 10, 11, 12].into_iter().any(|at| !first(at).is_empty()) {
        seen.reordered.insert(stream);
    }
    let closes = fields[5].split(BETWEEN).filter(|opcode| *opcode == "8").count();
    let codes: Vec<_> = fields[6].split(BETWEEN).filter_map(|code| code.parse::<u16>().ok()).collect();
    let reasons: Vec<_> = fields[7].split(BETWEEN).collect();
    // The innermost header's, where there are tunnels.
    let last = |at: usize| fields.get(at).and_then(|field| field.rsplit(BETWEEN).next()).unwrap_or_default();
    let address = if last(2).is_empty() { last(3) } else { last(2) };
    for index in 0..closes {
        seen.closes.push(SeenClose {
            packet,
            stream,
            source: format!("{address} {}", first(4)),
            code: codes.get(index).copied(),
            reason: reasons.get(index).map_or_else(String::new, |reason| (*reason).to_owned()),
        });
    }
}

/// Each direction's first Close: later ones are no more than an anomaly to us.
fn first_closes(mut closes: Vec<SeenClose>) -> BTreeMap<(u32, String), SeenClose> {
    closes.reverse();
    closes.into_iter().map(|close| ((close.stream, close.source.clone()), close)).collect()
}

fn our_closes(connections: &[Connection]) -> BTreeMap<(u32, String), SeenClose> {
    let mut all = BTreeMap::new();
    for connection in connections {
        let (client, server) = run::endpoints(connection);
        for (close, source) in [(&connection.close.client, client), (&connection.close.server, server)] {
            let (Some(close), Some(stream)) = (close, connection.tcp_stream) else { continue };
            let source = format!("{} {}", source.ip(), source.port());
            all.insert((stream, source.clone()), ours(close, stream, source));
        }
    }
    all
}

fn ours(close: &Close, stream: u32, source: String) -> SeenClose {
    SeenClose { packet: close.packet, stream, source, code: close.code, reason: close.reason.clone() }
}

/// Does something here lie in one of tshark's blind spots?
fn is_beyond_tshark(connection: &Connection) -> bool {
    let blind =
        ["tcp_gap", "packet_truncated", "tcp_overlap_differs", "accept_invalid", "framing_resynchronized"];
    connection.handshake.seen != "both"
        || !connection.encapsulation.is_empty()
        || connection.anomalies.iter().any(|anomaly| blind.contains(&anomaly.as_str()))
}

fn differences(file: &Path) -> Vec<String> {
    let (theirs, outcome) = (tshark(file), run::analyze_path(file));
    let (their_closes, our_closes) = (first_closes(theirs.closes), our_closes(&outcome.connections));
    let has_copies = outcome.count(wsclose::anomaly::Anomaly::PacketCopy) > 0;
    let beyond: BTreeSet<_> =
        outcome.connections.iter().filter(|c| is_beyond_tshark(c)).filter_map(|c| c.tcp_stream).collect();
    let mut differ = Vec::new();
    for (key, close) in &their_closes {
        let same = our_closes
            .get(key)
            .is_some_and(|own| is_same(own, close, has_copies, theirs.reordered.contains(&close.stream)));
        if !same {
            differ.push(format!("{}: tshark has {close:?}, we {:?}", file.display(), our_closes.get(key)));
        }
    }
    for (key, close) in our_closes.iter().filter(|(key, _)| !their_closes.contains_key(*key)) {
        if !has_copies && theirs.http.contains(&key.0) && !beyond.contains(&key.0) {
            differ.push(format!("{}: tshark lacks {close:?}", file.display()));
        }
    }
    for connection in &outcome.records {
        let their = theirs.streams.get(&connection.opened.packet).copied();
        if their != connection.tcp_stream {
            differ.push(format!(
                "{}: packet {} is of stream {their:?}, not {:?}",
                file.display(),
                connection.opened.packet,
                connection.tcp_stream
            ));
        }
    }
    differ.extend(stream_differences(file, &theirs.streams));
    differ
}

fn is_same(own: &SeenClose, their: &SeenClose, has_copies: bool, is_reordered: bool) -> bool {
    // tshark shows U+FFFD where a reason is not UTF-8, by its own count; only well-formed ones are compared.
    let reasons_agree =
        own.reason == their.reason || own.reason.contains('\u{fffd}') || their.reason.contains('\u{fffd}');
    // The packet that fills a hole shows what waited behind it.
    let packets_agree =
        own.packet == their.packet || has_copies || (own.packet < their.packet && is_reordered);
    packets_agree && own.code == their.code && reasons_agree
}

/// The stream number of every TCP packet.
fn stream_differences(file: &Path, theirs: &BTreeMap<u32, u32>) -> Vec<String> {
    let limits = Limits::default();
    let mut source = MergedSource::new(vec![MergeInput::Path(file.to_owned())], &limits);
    let (mut decoder, mut numbers) = (Decoder::new(&limits, false), StreamNumbers::default());
    let (mut block, mut more) = (Block::default(), More::Yes);
    let mut differ = Vec::new();
    while more == More::Yes {
        more = source.read_block(&mut block).expect("damage is in the info");
        for packet in &block.packets {
            let bytes = block.packet_bytes(packet);
            let decoded =
                decoder.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
            let Decoded::Segment(segment) = decoded else { continue };
            let own = numbers.number(&segment, &limits);
            let their = theirs.get(&packet.at.packet).copied();
            // tshark 4.0 takes no packet of more than 64 KB (BIG TCP) for TCP.
            let beyond_tshark = their.is_none() && segment.payload.len() > usize::from(u16::MAX);
            if own != their && !beyond_tshark {
                differ.push(format!(
                    "{}: packet {}: stream {own:?}, tshark {their:?}",
                    file.display(),
                    packet.at.packet
                ));
            }
        }
    }
    differ.truncate(3);
    differ
}

/// Runs tshark on all files, on as many threads as there are cores.
fn compare(files: &[PathBuf]) {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut differ = Vec::new();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            differ.extend(differences(file));
        }
        differ
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let differ: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    assert!(
        differ.is_empty(),
        "{} differences in {} files\n{}",
        differ.len(),
        files.len(),
        differ.join("\n")
    );
}

#[test]
fn tshark_agrees_on_every_fixture() {
    if is_installed() {
        compare(&fixture::all().into_iter().map(|fixture| fixture.path).collect::<Vec<_>>());
    }
}

#[test]
fn tshark_agrees_on_the_shared_captures() {
    if let (true, Some(root)) = (is_installed(), run::shared("captures")) {
        compare(&run::capture_files(&root));
    }
}

/// One file in six, a minute less: the samples repeat each scenario for every pair of libraries.
#[test]
fn tshark_agrees_on_the_lab_samples() {
    if let (true, Some(root)) = (is_installed(), run::shared("lab-samples")) {
        compare(&run::capture_files(&root).into_iter().step_by(6).collect::<Vec<_>>());
    }
}
