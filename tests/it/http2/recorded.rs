//! `fixtures/http2`: real clients and servers; and captures of HTTP/2 without WebSockets.

use super::answers;
use crate::support::capture_file;
use crate::support::packaging;
use crate::support::packet::{TcpPacket, parse_capture};
use crate::support::rewrite_set;
use crate::support::run::{self, Answer};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use wsclose::http::http2::frame::{CLIENT_PREFACE, frame_header};

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

/// The fixtures in clear, with their packets: those in TLS are rewritten by its own tests.
fn in_clear() -> Vec<(String, Vec<TcpPacket>, Vec<(Option<u32>, String)>)> {
    let packets = |path: &Path| {
        let file = std::fs::read(path).unwrap();
        parse_capture(&capture_file::read(&file).unwrap()).unwrap()
    };
    let of = |(path, truth): (PathBuf, Truth)| {
        let original = sorted(&run::analyze_path(&path));
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (truth.carrier == "h2").then(|| (name, packets(&path), original))
    };
    let found: Vec<_> = fixtures().into_iter().filter_map(of).collect();
    assert!(found.len() >= 4);
    found
}

fn sorted(outcome: &run::Outcome) -> Vec<(Option<u32>, String)> {
    let mut answers = answers(outcome);
    answers.sort();
    answers
}

#[test]
fn other_segments_order_names_and_links_keep_every_verdict() {
    for (name, packets, original) in in_clear() {
        for (rewrite_name, rewrite) in rewrite_set::keeping_the_verdict() {
            assert_eq!(sorted(&run::analyze_packets(&rewrite(&packets))), original, "{name} {rewrite_name}");
        }
        for (packaging_name, packaging) in packaging::all() {
            assert_eq!(
                sorted(&run::analyze_raw(&packaging.apply(&packets))),
                original,
                "{name} {packaging_name}"
            );
        }
    }
}

#[test]
fn with_any_one_packet_missing_no_1006_and_no_code_is_made_up() {
    for (name, packets, original) in in_clear() {
        let original: BTreeMap<_, _> = original.into_iter().collect();
        for missing in 0..packets.len() {
            let rest: Vec<_> = packets
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != missing)
                .map(|(_, one)| one.clone())
                .collect();
            for found in &run::analyze_packets(&rest).connections {
                let Some(stream) = found.h2_stream else { continue };
                let answer = Answer::of(found);
                let whole = &original[&Some(stream)];
                let is_same_label = whole.starts_with(&format!("{}:{}", answer.kind, answer.label));
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
    let mut rest = bytes.strip_prefix(CLIENT_PREFACE).unwrap_or(bytes);
    let mut frames = Vec::new();
    while let Ok((payload, header)) = frame_header(rest) {
        frames.push((header.frame_type.0, header.stream.0, header.length));
        let Some(behind) = payload.get(header.length as usize..) else { break };
        rest = behind;
    }
    frames
}

/// What `tshark -q -z follow` says that each side of stream 0 sent: the server's lines are indented.
fn followed(file: &Path, port: u16) -> [Vec<u8>; 2] {
    let decode = format!("tcp.port=={port},http2");
    let output = Command::new("tshark")
        .args(["-n", "-d", &decode, "-q", "-z", "follow,tcp,raw,0", "-r"])
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
fn tshark_frames(file: &Path, port: u16) -> Vec<(u8, u32, u32)> {
    let decode = format!("tcp.port=={port},http2");
    let output = Command::new("tshark")
        .args([
            "-n",
            "-d",
            &decode,
            "-Y",
            "http2.type && tcp.stream == 0",
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
        .map(|name| (folder.join(format!("{name}.pcapng")), 9443))
        .into();
    if let Some(shared) = run::shared("captures") {
        files.push((shared.join("OISF+suricata-verify/tests/http2-long-frame/input.pcap"), 8443));
        files.push((shared.join("arkime+arkime/tests/pcap/http2-nghttp2.pcap"), 80));
        files.push((shared.join("OISF+suricata-verify/tests/http2-continuation/input.pcap"), 8080));
    }
    for (file, port) in files {
        let theirs = tshark_frames(&file, port);
        let mut ours: Vec<_> = followed(&file, port).iter().flat_map(|bytes| frames(bytes)).collect();
        ours.sort_unstable();
        assert!(!theirs.is_empty(), "{}", file.display());
        assert_eq!(ours, theirs, "{}", file.display());
    }
}
