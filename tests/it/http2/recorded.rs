//! `fixtures/http2`: real clients and servers; and captures of HTTP/2 without WebSockets.

use super::answers;
use crate::support::capture_file;
use crate::support::packaging;
use crate::support::packet::{TcpPacket, parse_capture};
use crate::support::pcapng::{SECRETS, blocks, key_log};
use crate::support::program;
use crate::support::rewrite_set;
use crate::support::run::{self, Answer};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use wsclose::analyzer::Options;
use wsclose::http::http2::frame::{CLIENT_PREFACE, frame_header};
use wsclose::report::model::Connection;

#[derive(Debug, Deserialize)]
struct Truth {
    carrier: String,
    connections: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    path: String,
    expected: Vec<Right>,
}

#[derive(Debug, Deserialize)]
struct Right {
    label: String,
    cause: Option<String>,
    closed_by: Option<String>,
    teardown: Option<String>,
    error: Option<String>,
}

fn fixtures() -> Vec<(PathBuf, Truth)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/http2");
    let captures = run::capture_files(&folder);
    assert!(captures.len() >= 9, "{captures:?}");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(path.with_extension("truth.json")).unwrap();
        (path, serde_json::from_str(&text).unwrap())
    };
    captures.into_iter().map(read).collect()
}

#[test]
fn every_stream_gets_the_verdict_of_its_truth_file() {
    for (path, truth) in fixtures() {
        let outcome = run::analyze_path(&path);
        let streams: Vec<_> = outcome.connections.iter().filter(|found| found.h2_stream.is_some()).collect();
        assert_eq!(streams.len(), truth.connections.len(), "{}: {:?}", path.display(), answers(&outcome));
        for expected in truth.connections {
            let of_path = |found: &&&_| {
                let found: &&wsclose::report::model::Connection<'_> = found;
                found.handshake.path.as_deref() == Some(&expected.path)
            };
            let found = streams.iter().find(of_path).expect("listed");
            let (verdict, teardown) = (&found.verdict, &found.teardown);
            let is_right = |right: &Right| {
                verdict.label == right.label
                    && verdict.cause.as_deref() == right.cause.as_deref()
                    && verdict.closed_by.as_deref() == right.closed_by.as_deref()
                    && right.teardown.as_ref().is_none_or(|kind| {
                        teardown.kind == *kind && teardown.error.as_deref() == right.error.as_deref()
                    })
            };
            assert!(
                expected.expected.iter().any(is_right),
                "{} {}: {} ({teardown:?})",
                path.display(),
                expected.path,
                verdict.why
            );
            assert_eq!(found.carrier, truth.carrier);
            assert!(
                found.anomalies.is_empty(),
                "{} {}: {:?}",
                path.display(),
                expected.path,
                found.anomalies
            );
        }
    }
}

/// Paths of the connections that are known to be one leg before and one behind a proxy.
fn legs(name: &str, front: &str, back: &str) -> [Vec<String>; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/http2/{name}.pcapng"));
    let outcome = run::analyze_path(&path);
    let legs = |is_back: bool, carrier: &str| {
        let is_one = |at: &usize| outcome.records[*at].other_leg.is_some_and(|leg| leg.is_back == is_back);
        let of_carrier = |at: &usize| outcome.connections[*at].carrier == carrier;
        let mut paths: Vec<_> = (0..outcome.records.len())
            .filter(|at| is_one(at) && of_carrier(at))
            .map(|at| outcome.connections[at].handshake.path.as_deref().unwrap_or_default().to_owned())
            .collect();
        paths.sort();
        paths
    };
    [legs(true, front), legs(false, back)]
}

#[test]
fn legs_of_a_proxy_that_translates_are_related() {
    // HTTP/2 outside and HTTP/1.1 inside, and the other way.
    for (name, outside, inside, count) in
        [("chromium-nghttpx-ws", "tls+h2", "tcp", 7), ("ws-haproxy-node-h2c", "tcp", "h2", 6)]
    {
        let [front, back] = legs(name, outside, inside);
        assert_eq!(front, back);
        assert_eq!(front.len(), count, "{name}: {front:?}");
    }
}

#[test]
fn http2_without_websockets_gives_no_connection_and_no_anomaly() {
    let Some(shared) = run::shared("captures") else { return };
    let section_3 = [
        "OISF+suricata-verify/tests/http2-continuation/input.pcap",
        "OISF+suricata-verify/tests/http2-errorcode/input.pcap",
        "OISF+suricata-verify/tests/http2-long-frame/input.pcap",
        "arkime+arkime/tests/pcap/http2-nghttp2.pcap",
    ];
    for file in section_3 {
        let outcome = run::analyze_path(&shared.join(file));
        assert!(
            outcome.connections.is_empty(),
            "{file}: {:?}",
            outcome.connections.iter().map(Answer::of).collect::<Vec<_>>()
        );
        assert_eq!(outcome.anomalies.iter().collect::<Vec<_>>(), Vec::new(), "{file}");
        assert!(outcome.other_connections > 0, "{file}");
    }
}

/// Streams and their answers, sorted.
type Sorted = Vec<(Option<u32>, String)>;

/// A fixture as its packets, with the keys to what is in TLS.
struct Packets {
    name: String,
    packets: Vec<TcpPacket>,
    options: Options,
    original: Sorted,
}

impl Packets {
    fn of(path: &Path) -> Packets {
        let file = std::fs::read(path).unwrap();
        let mut options = Options::default();
        for (_, block) in blocks(&file).iter().filter(|(kind, _)| *kind == SECRETS) {
            options.keys.read(key_log(block).as_bytes(), &options.limits);
        }
        Packets {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            packets: parse_capture(&capture_file::read(&file).unwrap()).unwrap(),
            options,
            original: sorted(&run::analyze_path(path)),
        }
    }

    fn analyze(&self, packets: &[TcpPacket]) -> run::Outcome {
        run::analyze_packets_with(packets, self.options.clone())
    }
}

/// The fixtures that are rewritten: all in clear, and those in TLS of up to so many packets.
fn rewritable(most_in_tls: usize) -> Vec<Packets> {
    let of = |(path, truth): (PathBuf, Truth)| (truth.carrier == "h2", Packets::of(&path));
    let found: Vec<_> = fixtures().into_iter().map(of).collect();
    let is_taken = |is_clear: bool, one: &Packets| is_clear || one.packets.len() <= most_in_tls;
    let (clear, tls): (Vec<_>, Vec<_>) = found
        .into_iter()
        .filter(|(is_clear, one)| is_taken(*is_clear, one))
        .partition(|(is_clear, _)| *is_clear);
    assert!(clear.len() >= 4 && tls.len() >= 3, "{} and {}", clear.len(), tls.len());
    clear.into_iter().chain(tls).map(|(_, one)| one).collect()
}

fn sorted(outcome: &run::Outcome) -> Sorted {
    let mut answers = answers(outcome);
    answers.sort();
    answers
}

#[test]
fn other_segments_order_names_and_links_keep_every_verdict() {
    let rewrites = rewrite_set::keeping_the_verdict();
    for one in rewritable(200) {
        let Packets { name, packets, options, original } = &one;
        for (rewrite_name, rewrite) in &rewrites {
            assert_eq!(sorted(&one.analyze(&rewrite(packets))), *original, "{name} {rewrite_name}");
        }
        for (packaging_name, packaging) in packaging::all() {
            let outcome = run::analyze_raw_with(&packaging.apply(packets), options.clone());
            assert_eq!(sorted(&outcome), *original, "{name} {packaging_name}");
        }
    }
}

#[test]
fn with_any_one_packet_missing_no_1006_and_no_code_is_made_up() {
    for one in rewritable(2_000) {
        let Packets { name, packets, .. } = &one;
        let key = |found: &Connection<'_>| (run::endpoints(found), found.h2_stream);
        let whole: BTreeMap<_, _> =
            one.analyze(packets).connections.iter().map(|it| (key(it), Answer::of(it))).collect();
        for missing in 0..packets.len() {
            let rest: Vec<_> = packets
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != missing)
                .map(|(_, one)| one.clone())
                .collect();
            for found in &one.analyze(&rest).connections {
                let Some(stream) = found.h2_stream else { continue };
                let (answer, whole) = (Answer::of(found), &whole[&key(found)]);
                let is_same_label = (&answer.kind, &answer.label) == (&whole.kind, &whole.label);
                let is_modest = matches!(answer.kind.as_str(), "unknown" | "open");
                assert!(
                    is_same_label || is_modest,
                    "{name} without packet {}: {stream} {answer}, was {whole}: {}",
                    missing + 1,
                    found.verdict.why
                );
            }
        }
    }
}

/// Type, stream and length of each frame that `side` sent, in order; from the bytes as TCP brings them into order.
fn frames(bytes: &[u8]) -> Vec<(u8, u32, u32)> {
    // Through a tunnel, the CONNECT and its answer come first.
    let is_head = bytes.starts_with(b"CONNECT ") || bytes.starts_with(b"HTTP/1.1 ");
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").filter(|_| is_head);
    let bytes = &bytes[head.map_or(0, |end| end + 4)..];
    let mut rest = bytes.strip_prefix(CLIENT_PREFACE).unwrap_or(bytes);
    let mut frames = Vec::new();
    while let Ok((payload, header)) = frame_header(rest) {
        frames.push((header.frame_type.0, header.stream.0, header.length));
        let Some(behind) = payload.get(header.length as usize..) else { break };
        rest = behind;
    }
    frames
}

/// What `tshark -q -z follow` says that each side of a TCP connection sent: the server's lines are indented.
fn followed(file: &Path, port: u16, stream: u32) -> [Vec<u8>; 2] {
    let decode = format!("tcp.port=={port},http2");
    let output = Command::new("tshark")
        .args(["-n", "-d", &decode, "-q", "-z", &format!("follow,tcp,raw,{stream}"), "-r"])
        .arg(file)
        .output()
        .expect("tshark runs");
    let mut sides = [Vec::new(), Vec::new()];
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let digits = line.trim();
        if digits.len() >= 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let bytes =
                (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap());
            sides[usize::from(line.starts_with('\t'))].extend(bytes);
        }
    }
    sides
}

/// The same of tshark: frames of both sides, sorted.
fn tshark_frames(file: &Path, port: u16, stream: u32) -> Vec<(u8, u32, u32)> {
    let decode = format!("tcp.port=={port},http2");
    let output = Command::new("tshark")
        .args([
            "-n",
            "-d",
            &decode,
            "-Y",
            &format!("http2.type && tcp.stream == {stream}"),
            "-T",
            "fields",
            "-E",
            "aggregator=,",
        ])
        .args(["-e", "http2.type", "-e", "http2.streamid", "-e", "http2.length", "-r"])
        .arg(file)
        .output()
        .expect("tshark runs");
    let mut frames = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<Vec<u32>> = line
            .split('\t')
            .map(|field| {
                field.split(',').filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()).collect()
            })
            .collect();
        frames.extend((0..fields[0].len()).map(|at| (fields[0][at] as u8, fields[1][at], fields[2][at])));
    }
    frames.sort_unstable();
    frames
}

#[test]
fn tshark_finds_the_same_frames() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("SKIPPED: tshark is not installed");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/http2");
    let mut files: Vec<_> = ["node-h2c-closes", "node-h2c-client-leaves", "node-h2c-server-killed"]
        .map(|name| (folder.join(format!("{name}.pcapng")), 9443, 0))
        .into();
    if let Some(shared) = run::shared("captures") {
        files.push((shared.join("OISF+suricata-verify/tests/http2-long-frame/input.pcap"), 8443, 0));
        files.push((shared.join("arkime+arkime/tests/pcap/http2-nghttp2.pcap"), 80, 0));
        files.push((shared.join("OISF+suricata-verify/tests/http2-continuation/input.pcap"), 8080, 0));
        files.push((shared.join("OISF+suricata-verify/tests/http2-errorcode/input.pcap"), 6233, 0));
        files.push((shared.join("OISF+suricata-verify/tests/http2-errorcode/input.pcap"), 6233, 1));
    }
    for (file, port, stream) in files {
        let theirs = tshark_frames(&file, port, stream);
        let mut ours: Vec<_> = followed(&file, port, stream).iter().flat_map(|bytes| frames(bytes)).collect();
        ours.sort_unstable();
        assert!(!theirs.is_empty(), "{}", file.display());
        assert_eq!(ours, theirs, "{}", file.display());
    }
}

#[test]
fn what_frames_of_http2_ended_is_not_told_in_the_words_of_tcp() {
    let (mut told, mut of_frames) = (0, 0);
    for (path, _) in fixtures() {
        let outcome = run::analyze_path(&path);
        for found in outcome.connections.iter().filter(|found| found.h2_stream.is_some()) {
            // Where TCP ended beneath a stream, its words are the right ones.
            if found.evidence.iter().any(|item| item.what == "FIN" || item.what.starts_with("RST (")) {
                continue;
            }
            let ends = [&found.endpoints.client, &found.endpoints.server];
            let whys = ends.into_iter().map(|end| end.why.as_ref()).chain([found.verdict.why.as_ref()]);
            for text in whys.chain(found.diagnosis.iter().map(|one| one.text.as_str())) {
                for word in ["closed TCP", "aborted TCP", "dropped TCP", "FIN", "socket", "TCP had not"] {
                    assert!(!text.contains(word), "{}: {text}", path.display());
                }
                told += 1;
                of_frames += u64::from(text.contains("END_STREAM") || text.contains("RST_STREAM"));
            }
        }
    }
    assert!(told > 150 && of_frames > 80, "{told}, {of_frames}");
}

#[test]
fn the_summary_of_streams_says_which_frame_of_http2_ended_them() {
    let run = |name: &str| {
        let path = format!("{}/fixtures/http2/{name}.pcapng", env!("CARGO_MANIFEST_DIR"));
        let output = program::output(program::command().arg(path));
        String::from_utf8(output.stdout).unwrap()
    };
    let cases = [
        (
            "node-h2c-closes",
            vec!["fin: END_STREAM ended the HTTP/2 stream", "rst: RST_STREAM cut the HTTP/2 stream off"],
        ),
        ("node-h2c-goaway-error", vec!["fin: GOAWAY gave up the HTTP/2 connection"]),
        ("node-h2c-server-killed", vec!["fin: TCP was closed"]),
    ];
    for (name, says) in cases {
        let text = run(name);
        let told = text.lines().filter(|line| line.contains(" fin: ") || line.contains(" rst: "));
        assert_eq!(told.count(), says.len(), "{text}");
        assert!(says.iter().all(|words| text.contains(words)), "{text}");
    }
}
