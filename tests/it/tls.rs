//! TLS: each version and suite gives the verdicts of its twin in the clear, and the bytes that tshark decrypts.

use crate::support::fixture;
use crate::support::pcapng::{SECRETS, blocks};
use crate::support::{program, run};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use wsclose::capture::merge::MergedSource;
use wsclose::capture::{Block, More, Source as _};
use wsclose::decode::Decoder;
use wsclose::decode::segment::{Decoded, Endpoint, Segment};
use wsclose::flow::stream_number::StreamNumbers;
use wsclose::limits::Limits;
use wsclose::report::model::Report;
use wsclose::side::{PerSide, Side};
use wsclose::tcp::connection::Connection;
use wsclose::tcp::stream_event::{StreamEvent, StreamSink};
use wsclose::tls::keylog::KeyLog;
use wsclose::tls::record::may_be_client_hello;
use wsclose::tls::session::{Context, Session};

type Content = PerSide<Vec<u8>>;

/// One TCP connection whose content is collected.
struct Follower {
    client: Endpoint,
    tcp: Connection,
    inner: Inner,
}

struct Inner {
    tls: Option<Session>,
    is_other: bool,
    keys: KeyLog,
    limits: Limits,
    content: Collected,
}

#[derive(Default)]
struct Collected(Content);

impl StreamSink for Collected {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        if let StreamEvent::Data { bytes, .. } = event {
            self.0.get_mut(side).extend_from_slice(bytes);
        }
    }
}

impl StreamSink for Inner {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        if self.tls.is_none() && !self.is_other {
            let StreamEvent::Data { bytes, .. } = event else { return };
            self.is_other = side == Side::Server || !may_be_client_hello(bytes);
            self.tls = (!self.is_other).then(|| Session::new(false, &self.limits));
        }
        if let Some(tls) = &mut self.tls {
            let context = Context { limits: &self.limits, keys: &self.keys, more_keys: false };
            tls.stream(side, event, context, &mut self.content);
        }
    }
}

impl Follower {
    fn take(&mut self, segment: &Segment<'_>) {
        let side = if segment.source() == self.client { Side::Client } else { Side::Server };
        self.tcp.handle_segment(side, segment, &Limits::default(), &mut self.inner);
    }
}

/// The content of every TLS connection, by `tcp.stream`.
fn decrypted(capture: &Path, keys: &KeyLog) -> BTreeMap<u32, (SocketAddr, Content)> {
    let limits = Limits::default();
    let mut source = MergedSource::open(&[capture.to_owned()], &limits);
    let (mut decoder, mut numbers) = (Decoder::new(&limits, false), StreamNumbers::default());
    let mut keys = keys.clone();
    let mut followers: BTreeMap<u32, Follower> = BTreeMap::new();
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block).unwrap();
        for secrets in &block.secrets {
            keys.read(secrets, &limits);
        }
        for packet in &block.packets {
            let bytes = block.packet_bytes(packet);
            let decoded =
                decoder.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
            let Decoded::Segment(segment) = decoded else { continue };
            let Some(number) = numbers.number(&segment, &limits) else { continue };
            let follower = followers.entry(number).or_insert_with(|| Follower {
                client: segment.source(),
                tcp: Connection::new(segment.at),
                inner: Inner {
                    tls: None,
                    is_other: false,
                    keys: keys.clone(),
                    limits: limits.clone(),
                    content: Collected::default(),
                },
            });
            follower.take(&segment);
        }
        if more == More::No {
            break;
        }
    }
    let secured = followers.into_iter().filter(|(_, follower)| follower.inner.tls.is_some());
    let content = |it: Follower| (SocketAddr::new(it.client.address, it.client.port), it.inner.content.0);
    secured.map(|(number, follower)| (number, content(follower))).collect()
}

/// What tshark decrypts of these streams. It prints each as lines of hexadecimal digits, those of node 1 behind a tab.
fn followed_by_tshark(
    capture: &Path,
    keys: Option<&Path>,
    clients: &BTreeMap<u32, SocketAddr>,
) -> BTreeMap<u32, Content> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-q", "-o", "tcp.reassemble_out_of_order:TRUE", "-r"]).arg(capture);
    if let Some(keys) = keys {
        command.args(["-o", &format!("tls.keylog_file:{}", keys.display())]);
    }
    for stream in clients.keys() {
        command.args(["-z", &format!("follow,tls,raw,{stream}")]);
    }
    let output = command.output().expect("tshark runs");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("Filter: tcp.stream eq ").skip(1).map(|section| followed(section, clients)).collect()
}

fn followed(section: &str, clients: &BTreeMap<u32, SocketAddr>) -> (u32, Content) {
    let mut content = Content::default();
    let stream = section.lines().next().unwrap().trim().parse().unwrap();
    // Node 0 is whoever's content came first.
    let is_swapped = !section.contains(&format!("Node 0: {}\n", clients[&stream]));
    for line in section.lines().skip(1) {
        let is_client = line.starts_with('\t') == is_swapped;
        let digits = line.trim();
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let pairs = digits.as_bytes().chunks_exact(2);
            let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            content.get_mut(if is_client { Side::Client } else { Side::Server }).extend(bytes);
        }
    }
    (stream, content)
}

/// The captures of `fixtures/tls`, by name. Their keys are inside.
fn recorded() -> Vec<(String, PathBuf)> {
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    fixture::tls().into_iter().map(|path| (name(&path), path)).collect()
}

/// What the program says of a capture.
fn report(captures: &[&PathBuf], arguments: &[&str]) -> Report<'static> {
    let mut command = program::command();
    command.args(["analyze", "--format", "json"]).args(arguments).args(captures).env_remove("SSLKEYLOGFILE");
    let output = program::output(&mut command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// Verdicts of the three connections that each recording holds (`tests/lab/record_tls.py`).
const THREE_ENDS: [(&str, &str); 3] = [("1000", "client"), ("1001", "server"), ("1006", "client")];

fn ends(report: &Report<'_>) -> Vec<(String, String)> {
    let verdicts = report.connections.iter().map(|connection| &connection.verdict);
    verdicts
        .map(|it| (it.label.to_string(), it.closed_by.as_deref().unwrap_or_default().to_owned()))
        .collect()
}

fn is_three_ends(report: &Report<'_>) -> bool {
    let found = ends(report);
    found.iter().map(|(label, by)| (label.as_str(), by.as_str())).eq(THREE_ENDS)
}

#[test]
fn every_version_and_suite_gives_the_verdicts_of_its_twin_in_the_clear() {
    for (name, path) in recorded() {
        let report = report(&[&path], &[]);
        assert!(is_three_ends(&report), "{name}: {:?}", ends(&report));
        for connection in &report.connections {
            let tls = connection.tls.as_ref().unwrap();
            let version = tls.version.as_deref().unwrap().strip_prefix("TLS ").unwrap();
            assert!(name.starts_with(version) && tls.decrypted, "{name}: {tls:?}");
            assert_eq!(tls.sni.as_deref(), Some("example.test"), "{name}");
            assert!(connection.anomalies.is_empty(), "{name}: {:?}", connection.anomalies);
        }
        // Two WebSockets that ended by a Close, then one by close_notify alone.
        let third = report.connections[2].tls.as_ref().unwrap();
        assert!(third.close_notify.client.is_some(), "{name}: {third:?}");
    }
}

#[test]
fn the_recorded_suites_are_those_that_their_names_say() {
    let mut suites = BTreeSet::new();
    for (name, path) in recorded() {
        let report = report(&[&path], &[]);
        let suite = report.connections[0].tls.as_ref().unwrap().cipher_suite.clone().unwrap().into_owned();
        let squeezed = suite.to_lowercase().replace('_', "");
        let cipher = name.split('-').nth(1).unwrap();
        if ["aes128", "aes256", "chacha20"].contains(&cipher) {
            assert!(squeezed.contains(cipher), "{name}: {suite}");
        }
        suites.insert(suite);
    }
    assert!(suites.len() >= 17, "{suites:?}");
}

#[test]
fn recordings_decrypt_to_the_bytes_that_tshark_finds() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("SKIPPED: tshark is not installed");
        return;
    }
    for (name, path) in recorded() {
        let ours = decrypted(&path, &KeyLog::default());
        let clients = ours.iter().map(|(stream, (client, _))| (*stream, *client)).collect();
        let theirs = followed_by_tshark(&path, None, &clients);
        assert_eq!(theirs.len(), 3, "{name}");
        for (stream, (_, ours)) in ours {
            assert!(!ours.client.is_empty() && !ours.server.is_empty(), "{name}");
            assert_eq!(ours, theirs[&stream], "{name} stream {stream}");
        }
    }
}

#[test]
fn captures_of_others_with_their_keys_decrypt_to_the_bytes_that_tshark_finds() {
    let Some(root) = run::shared("captures") else { return };
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("SKIPPED: tshark is not installed");
        return;
    }
    // TLS 1.3 with HTTP/2, keys in a pcapng, TLS 1.2 and 1.3 made to be explained.
    let captures = [
        ("cisco+mercury/test/data/test_decrypt.pcap", Some("cisco+mercury/test/data/sslkeylogfile.log")),
        ("gopacket+gopacket/pcapgo/tests/le/test301.pcapng", None),
        (
            "syncsynchalt+illustrated-tls12/captures/capture.pcap",
            Some("syncsynchalt+illustrated-tls12/captures/keylog.txt"),
        ),
        (
            "syncsynchalt+illustrated-tls13/captures/capture.pcap",
            Some("syncsynchalt+illustrated-tls13/captures/keylog.txt"),
        ),
    ];
    for (capture, keys) in captures {
        let keys = keys.map(|keys| root.join(keys));
        let mut log = KeyLog::default();
        if let Some(keys) = &keys {
            log.read(&std::fs::read(keys).unwrap(), &Limits::default());
        }
        let ours = decrypted(&root.join(capture), &log);
        let clients = ours.iter().map(|(stream, (client, _))| (*stream, *client)).collect();
        let theirs = followed_by_tshark(&root.join(capture), keys.as_deref(), &clients);
        let mut bytes = 0;
        for (stream, (_, ours)) in &ours {
            assert_eq!(ours, &theirs[stream], "{capture} stream {stream}");
            bytes += ours.client.len() + ours.server.len();
        }
        eprintln!("{capture}: {bytes} bytes in {} streams", ours.len());
        assert!(bytes > 0, "{capture}");
    }
}

#[test]
fn secrets_count_wherever_they_stand_in_the_file() {
    let (_, path) = recorded().into_iter().find(|(name, _)| name == "1.3-aes128-gcm").unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (secrets, others): (Vec<_>, Vec<_>) =
        blocks(&bytes).into_iter().partition(|(kind, _)| *kind == SECRETS);
    let late: Vec<u8> = others.iter().chain(&secrets).flat_map(|(_, block)| block.to_vec()).collect();
    let bare: Vec<u8> = others.iter().flat_map(|(_, block)| block.to_vec()).collect();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let (late, bare) = (write("late.pcapng", &late), write("bare.pcapng", &bare));
    assert!(is_three_ends(&report(&[&late], &[])));
    let without = report(&[&bare], &[]);
    assert_eq!((without.connections.len(), without.summary.other_tcp_connections), (0, 3));
    let asked = report(&[&bare], &["--ws-port", "9443"]);
    assert!(asked.connections.iter().all(|it| it.verdict.blind.as_deref() == Some("encrypted")));
    assert_eq!(asked.connections.len(), 3);
    // The same keys in a file of their own, with a line that is none.
    let log = secrets.iter().flat_map(|(_, block)| block[16..block.len() - 4].to_vec());
    let log: Vec<u8> = b"no key log line\n".iter().copied().chain(log).filter(|byte| *byte != 0).collect();
    let keys = write("keys.log", &log);
    let with = report(&[&bare], &["--keylog", keys.to_str().unwrap()]);
    assert!(is_three_ends(&with));
    let text = serde_json::to_string(&with).unwrap();
    let secret = String::from_utf8(log).unwrap();
    let secret = secret
        .lines()
        .find(|line| line.starts_with("CLIENT_TRAFFIC"))
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap()
        .to_owned();
    assert!(secret.len() >= 64 && !text.contains(&secret));
}
