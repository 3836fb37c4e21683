//! The fuzz targets' first inputs, made from the fixtures: `make fuzz` writes them into `fuzz/corpus`.
//!
//! Each target's own encoding is described in `src/fuzzing/`.

use crate::support::capture_file::{self, Pcapng};
use crate::support::http2_wire as h2;
use crate::support::packet::{TcpPacket, parse_capture};
use crate::support::rng::Rng;
use crate::support::{fixture, packaging, rewrite_set, wire};
use std::collections::BTreeMap;
use std::path::Path;
use wsclose::capture::file::FileSource;
use wsclose::capture::{Block, More, Source as _};
use wsclose::limits::Limits;
use wsclose::side::Side::{self, Client, Server};

/// Larger fixtures would only slow the fuzzer down.
const CAPTURE_BYTES: usize = 12 << 10;
/// Where the link types that packagings use stand in the target's list.
const LINK_TYPES: [(u16, u8); 6] = [(1, 0), (0, 1), (101, 7), (108, 10), (113, 11), (276, 15)];

type Seeds = BTreeMap<&'static str, Vec<Vec<u8>>>;

fn seeds() -> Seeds {
    let captures = captures();
    let conversations = conversations();
    let mut seeds = Seeds::new();
    seeds.insert("file", captures.clone());
    seeds.insert("decode", packets());
    seeds.insert("defrag", random(20, 400));
    seeds.insert("reassembly", random(40, 200));
    let tls: Vec<_> = fixture::tls().iter().map(|path| tls_capture(path)).collect();
    seeds.insert("tls_records", tls.iter().flat_map(|(_, streams)| tls_records(streams)).collect());
    seeds.insert("tls_keylog", tls.iter().map(|(keys, _)| keys.clone()).collect());
    let recorded = tls.iter().flat_map(|(keys, streams)| tls_recorded(keys, streams));
    seeds.insert("tls_session", recorded.chain(tls_scripts()).collect());
    seeds.insert("http_head", heads());
    seeds.insert("http2", http2());
    seeds.insert("frames", frames());
    seeds.insert("midstream", conversations.clone());
    let scripts = conversations.iter().map(|script| [&[0, 7], script.as_slice()].concat());
    seeds.insert("analyzer", captures.into_iter().chain(scripts).collect());
    seeds
}

fn captures() -> Vec<Vec<u8>> {
    let files = fixture::all().into_iter().map(|fixture| std::fs::read(fixture.path).unwrap());
    let mut captures: Vec<_> = files.filter(|file| file.len() <= CAPTURE_BYTES).collect();
    let raw = packaging::Packaging::default().apply(&rewrite_set::sample());
    captures.extend(capture_file::all_forms().into_iter().map(|(_, write)| write(&raw)));
    captures.push(Pcapng::elaborate().write(&raw));
    for (_, packaging) in packaging::all() {
        captures.push(Pcapng::default().write(&packaging.apply(&rewrite_set::sample())));
    }
    captures
}

fn packets() -> Vec<Vec<u8>> {
    let seed = |packaging: packaging::Packaging| {
        let raw = packaging.apply(&rewrite_set::sample());
        let link = LINK_TYPES.iter().find(|(number, _)| *number == raw[0].link_type).unwrap().1;
        let mut seed = vec![link, 0];
        for packet in raw.iter().filter(|packet| packet.bytes.len() < 2_048) {
            seed.extend([&(packet.bytes.len() as u16).to_be_bytes()[..], &[0], &packet.bytes].concat());
        }
        seed
    };
    packaging::all().into_iter().map(|(_, packaging)| seed(packaging)).collect()
}

fn random(count: u64, len: usize) -> Vec<Vec<u8>> {
    let bytes = |seed| {
        let mut rng = Rng::new(seed);
        (0..len).map(|_| rng.bits() as u8).collect()
    };
    (0..count).map(bytes).collect()
}

fn heads() -> Vec<Vec<u8>> {
    let turn = |side: Side, bytes: &[u8]| {
        let place = bytes.len() as u16 | if side == Server { 0x8000 } else { 0 };
        [&place.to_be_bytes()[..], bytes].concat()
    };
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let cases = [
        vec![turn(Client, &wire::request("/ws")), turn(Server, &wire::response())],
        vec![turn(Client, &wire::request("/ws")), turn(Server, &wire::refusal(403, "Forbidden"))],
        vec![turn(Client, b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"), turn(Server, chunked)],
        vec![turn(Client, b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"), turn(Client, &wire::request("/"))],
        vec![turn(Client, b"CONNECT h:1 HTTP/1.1\r\n\r\n"), turn(Server, b"HTTP/1.1 200 OK\r\n\r\n")],
        vec![turn(Server, &wire::request("/ws")), turn(Client, &wire::response())],
    ];
    cases.iter().flat_map(|turns| [0, 1].map(|options| [vec![options, 3], turns.concat()].concat())).collect()
}

fn http2() -> Vec<Vec<u8>> {
    let turn = |side: Side, bytes: &[u8]| {
        let place = bytes.len() as u16 | if side == Server { 0x8000 } else { 0 };
        [&place.to_be_bytes()[..], bytes].concat()
    };
    let opening = [
        turn(Client, &[h2::preface(), h2::get(1), h2::connect(3, "/ws")].concat()),
        turn(Server, &[h2::allows_connect(), h2::answer(1, 200), h2::end(1), h2::answer(3, 200)].concat()),
        turn(Client, &h2::data(3, &wire::text(Client, "hello"))),
    ]
    .concat();
    let padded = h2::frame(h2::HEADERS, h2::PADDED | h2::WITH_PRIORITY, 5, &[2, 0, 0, 0, 0, 9, 0x82, 0, 0]);
    let ends = [
        turn(Server, &[h2::close(Server, 3, 1001), h2::end(3)].concat()),
        turn(Client, &h2::rst(3, h2::CANCEL)),
        turn(Server, &h2::goaway(3, h2::NO_ERROR)),
        turn(
            Client,
            &[h2::window_update(3, 100), padded, h2::frame(h2::CONTINUATION, h2::END_HEADERS, 5, &[0x84])]
                .concat(),
        ),
        [0x40, 9].iter().chain(&h2::end(3)).copied().collect(),
    ];
    let seed = |end: &Vec<u8>, options| [&[options, 7], opening.as_slice(), end].concat();
    // From the start, with small limits, as ALPN has agreed, in the middle.
    ends.iter().flat_map(|end| [0, 1, 2, 4, 6].map(|options| seed(end, options))).collect()
}

/// What the connections of a capture sent, segment by segment.
type Streams = Vec<Vec<(Side, Vec<u8>)>>;

/// A capture's key log, and its connections.
fn tls_capture(path: &Path) -> (Vec<u8>, Streams) {
    let limits = Limits::default();
    let mut source = FileSource::open(path, 0, &limits).unwrap();
    let (mut block, mut keys) = (Block::default(), Vec::new());
    while source.read_block(&mut block).unwrap() == More::Yes {
        keys.extend(block.secrets.concat());
    }
    keys.extend(block.secrets.concat());
    let raw = capture_file::read(&std::fs::read(path).unwrap()).unwrap();
    let mut by_connection: BTreeMap<_, Vec<TcpPacket>> = BTreeMap::new();
    for packet in parse_capture(&raw).unwrap() {
        by_connection.entry(packet.connection()).or_default().push(packet);
    }
    let turn = |client, packet: &TcpPacket| {
        (if packet.src == client { Client } else { Server }, packet.payload.clone())
    };
    let turns = |packets: &Vec<TcpPacket>| {
        let client = packets[0].src;
        let data = packets.iter().filter(|packet| !packet.payload.is_empty());
        data.map(|packet| turn(client, packet)).collect()
    };
    (keys, by_connection.values().map(turns).collect())
}

fn tls_records(streams: &Streams) -> Vec<Vec<u8>> {
    let of = |turns: &Vec<(Side, Vec<u8>)>, wanted| -> Vec<u8> {
        let bytes = turns.iter().filter(|(side, _)| *side == wanted).flat_map(|(_, bytes)| bytes.clone());
        [0x40, 3].into_iter().chain(bytes).collect()
    };
    streams.iter().flat_map(|turns| [of(turns, Client), of(turns, Server)]).collect()
}

fn tls_recorded(keys: &[u8], streams: &Streams) -> Vec<Vec<u8>> {
    let of = |turns: &Vec<(Side, Vec<u8>)>| {
        let mut seed = [&[0x80, 0, 9][..], &(keys.len() as u16).to_be_bytes(), keys].concat();
        for (side, bytes) in turns {
            let place = bytes.len() as u16 | if *side == Server { 0x8000 } else { 0 };
            seed.extend([&place.to_be_bytes()[..], bytes].concat());
        }
        seed
    };
    streams.iter().map(of).collect()
}

/// Both sides speak, update their keys, lose a record, and close; for each suite, with and without early data, with the
/// keys known from the start or late.
fn tls_scripts() -> Vec<Vec<u8>> {
    let operations = [
        &[0, 5][..],
        b"hello",
        &[0x31, 2],
        b"hi",
        &[6, 0],
        &[14, 0], // the keys, where they come late
        &[0, 3],
        b"abc",
        &[12, 30],
        &[7; 30],
        &[0, 3],
        b"def",
        &[3, 2, 1, 0], // close_notify
        &[2, 2, 1, 0],
    ];
    let exact = [&operations[..8], &operations[12..]].concat().concat();
    let script = |suite, options, operations: &[u8]| [&[options, suite, 5][..], operations].concat();
    let all = (0..10).flat_map(|suite| [0, 2, 4, 8, 24, 32, 64].map(|options| (suite, options)));
    all.flat_map(|(suite, options)| {
        [script(suite, options, &operations.concat()), script(suite, options, &exact)]
    })
    .collect()
}

fn frames() -> Vec<Vec<u8>> {
    let of = |side: Side| {
        let long = wire::binary(side, &[7; 300]);
        [
            wire::text(side, "hello"),
            wire::ping(side, b"?"),
            wire::continuation(side, b"x"),
            long,
            wire::pong(side, b"?"),
            wire::close(side, 1001, "bye"),
        ]
        .concat()
    };
    [Client, Server].map(|side| [vec![u8::from(side == Server) | 40, 5], of(side)].concat()).to_vec()
}

/// What the fixtures' connections sent behind their handshakes, segment by segment.
fn conversations() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for fixture in fixture::all() {
        let packets = capture_file::read(&std::fs::read(&fixture.path).unwrap())
            .and_then(|raw| parse_capture(&raw).ok())
            .unwrap_or_default();
        let mut by_connection: BTreeMap<_, Vec<TcpPacket>> = BTreeMap::new();
        for packet in packets {
            by_connection.entry(packet.connection()).or_default().push(packet);
        }
        seeds.extend(by_connection.values().filter(|packets| packets.len() < 60).map(|p| conversation(p)));
    }
    seeds.retain(|seed: &Vec<u8>| !seed.is_empty());
    seeds.sort();
    seeds.dedup();
    seeds
}

fn conversation(packets: &[TcpPacket]) -> Vec<u8> {
    let is_head =
        |packet: &&TcpPacket| packet.payload.starts_with(b"GET") || packet.payload.starts_with(b"HTTP/");
    let mut seed = Vec::new();
    for packet in packets.iter().filter(|packet| !is_head(packet) && packet.payload.len() < 256) {
        let ends = if packet.has(4) {
            0xf0
        } else if packet.has(1) {
            0xe0
        } else {
            0
        };
        if ends != 0 || !packet.payload.is_empty() {
            seed.extend([ends | u8::from(packet.src != packets[0].src), packet.payload.len() as u8]);
            seed.extend(&packet.payload);
        }
    }
    seed
}

#[test]
fn every_target_has_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut targets: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();
    let seeds = seeds();
    assert_eq!(targets, seeds.keys().copied().collect::<Vec<_>>());
    assert!(seeds.values().all(|seeds| !seeds.is_empty() && seeds.iter().all(|seed| !seed.is_empty())));
}

#[test]
#[ignore = "writes fuzz/corpus; `make fuzz` asks for it"]
fn write_the_seeds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (target, seeds) in seeds() {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (index, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{index:04}")), seed).unwrap();
        }
    }
}
