//! The limits: documented, set from the command line, kept.

use crate::support::capture_file::Pcap;
use crate::support::conversation::Conversation;
use crate::support::packaging::Packaging;
use crate::support::packet::TcpPacket;
use crate::support::rewrite::interleave;
use crate::support::{program, run, wire};
use std::path::Path;
use std::time::Duration;
use wsclose::analyzer::Options;
use wsclose::anomaly::Anomaly;
use wsclose::limits::{Limits, Unit};
use wsclose::side::Side::{Client, Server};

/// `docs/limits.md` as it should be.
fn page() -> String {
    let mut page = "# Limits\n\n\
        Nothing an input does makes wsclose grow without bound. `--limit NAME=VALUE` sets one of these (bytes: `64K`, `16M`, `2G`;\n\
        times: `500ms`, `10s`, `5m`), as often as needed; a few take no 0, and say so. `--memory SIZE` divides so much memory\n\
        among all that can grow with the input, and never raises a limit above its default. Reaching a limit is counted as an anomaly in the report; a connection\n\
        that is dropped for it gets the verdict `unknown`, with `blind` `evicted`. The longest idle of 64 looked at goes first.\n\n\
        This page is written by a test (`UPDATE=1 cargo test --locked --test it limits`).\n\n\
        | name | default | memory | what it bounds |\n|---|---|---|---|\n"
        .to_owned();
    let default = Limits::default();
    for limit in Limits::ALL {
        let shown = default.show(limit.name).unwrap();
        let unit = if limit.unit == Unit::Bytes { " bytes" } else { "" };
        let about = limit.about.trim().replace('|', "\\|");
        page += &format!("| `{}` | {shown}{unit} | {} | {about} |\n", limit.name, limit.memory);
    }
    page
}

#[test]
fn the_page_of_limits_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page(), "UPDATE=1 writes it");
}

fn wsclose(arguments: &[&str]) -> (i32, String, String) {
    let output = program::output(program::command().args(arguments));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_lists_sets_and_refuses_limits() {
    let (status, listed, _) = wsclose(&["--limit", "help"]);
    assert_eq!(status, 0);
    assert!(listed.contains("memory: 1 byte each") && !listed.contains(" 1 bytes"));
    assert!(Limits::ALL.iter().all(|limit| listed.contains(&format!("{}=", limit.name))));
    for (bad, why) in [
        ("nope=1", "no limit"),
        ("linger=soon", "takes a time"),
        ("linger", "NAME=VALUE"),
        ("connections=0", "1 is the least"),
    ] {
        let (status, _, error) = wsclose(&["--limit", bad, "x.pcap"]);
        assert_eq!(status, 2);
        assert!(error.contains(why), "{bad}: {error}");
    }
    let (status, _, error) = wsclose(&["--memory", "1K", "x.pcap"]);
    assert_eq!(status, 2);
    assert!(error.contains("32M"), "{error}");
}

/// `count` WebSockets that open one after the other and stay open.
fn open_websockets(count: u16) -> Vec<TcpPacket> {
    let one = |index: u16| {
        let mut conn = Conversation::between(&format!("10.1.0.1:{}", 1_000 + index), "10.77.2.2:9001");
        conn.connect().upgrade("/ws");
        conn.client_sends(&wire::text(Client, "hello"))
            .server_sends(&wire::text(Server, "world"))
            .client_acks();
        let mut packets = conn.packets();
        packets.iter_mut().for_each(|packet| packet.at_ns += u64::from(index) * 1_000_000_000);
        packets
    };
    (0..count).flat_map(one).collect()
}

#[test]
fn beyond_the_memory_the_longest_idle_is_dropped_and_its_verdict_says_so() {
    let limits = Limits { connection_bytes: 10_000, ..Limits::default() };
    let outcome = run::analyze_packets_with(&open_websockets(60), Options { limits, ..Options::default() });
    assert_eq!(outcome.connections.len(), 60);
    let (evicted, kept): (Vec<_>, Vec<_>) =
        outcome.connections.iter().partition(|found| found.verdict.blind.as_deref() == Some("evicted"));
    assert_eq!(outcome.count(Anomaly::FlowEvicted), evicted.len() as u64);
    assert!(!evicted.is_empty() && !kept.is_empty());
    assert!(kept.iter().all(|found| found.verdict.kind == "open"));
    let newest = evicted.iter().map(|found| found.client.port).max();
    assert!(newest < kept.iter().map(|found| found.client.port).min(), "the oldest go first");
}

/// Of what was dropped nothing is known when it comes back: it pushes out none of those that are.
#[test]
fn what_comes_back_after_it_was_dropped_pushes_out_no_other() {
    let count = 60;
    let mut packets = open_websockets(count);
    // Then each says more, one after the other, again and again: whoever was dropped is back in mid-stream.
    for round in 1..4_u64 {
        for index in 0..count {
            let mut conn = Conversation::between(&format!("10.1.0.1:{}", 1_000 + index), "10.77.2.2:9001");
            conn.connect().upgrade("/ws").client_sends(&wire::text(Client, "hello"));
            let said = conn.server_sends(&wire::text(Server, "world")).client_acks().packets().len();
            (0..round).for_each(|_| _ = conn.client_sends(&wire::text(Client, "more")));
            let mut more: Vec<_> =
                conn.packets().into_iter().skip(said + usize::try_from(round).unwrap() - 1).collect();
            let later = (round * 300 + u64::from(index) * 4) * 1_000_000_000;
            more.iter_mut().for_each(|packet| packet.at_ns += 60_000_000_000 + later);
            packets.extend(more);
        }
    }
    let limits = Limits { connections: 30, ..Limits::default() };
    let outcome = run::analyze_packets_with(&packets, Options { limits, ..Options::default() });
    let open = outcome.connections.iter().filter(|found| found.verdict.kind == "open").count();
    assert!(open >= 20, "{open} of {count} have their end, where 30 are held");
}

#[test]
fn connections_are_packed_before_any_is_dropped() {
    let room_for = |connection_bytes, rest_after| {
        let limits = Limits { connection_bytes, rest_after, ..Limits::default() };
        let options = Options { limits, ..Options::default() };
        let outcome = run::analyze_packets_with(&open_websockets(120), options);
        assert_eq!(outcome.connections.len(), 120);
        (outcome.count(Anomaly::FlowEvicted), outcome.rested)
    };
    let soon = Duration::from_secs(5);
    assert_eq!(room_for(2 * 120 * 1_600, soon), (0, 0), "half of it holds all awake");
    let (evicted, rested) = room_for(120 * 200, soon);
    assert!(evicted == 0 && rested > 60, "200 for one that rests: {evicted} evicted, {rested} rested");
    let (evicted, rested) = room_for(120 * 200, 100 * soon);
    assert!(evicted == 0 && rested > 60, "whether quiet or not: {evicted} evicted, {rested} rested");
    assert!(room_for(120 * 100, soon).0 > 0);
}

/// A reset may turn out to be ignored, and a peer that is silent to live: whoever is dropped before that is told from.
#[test]
fn an_end_that_is_dropped_before_it_is_certain_is_not_claimed() {
    let ended = |end: fn(&mut Conversation)| {
        let mut conn = Conversation::between("10.1.0.1:999", "10.77.2.2:9001");
        conn.connect().upgrade("/ws").client_sends(&wire::text(Client, "hello")).server_acks();
        end(&mut conn);
        let mut packets = conn.packets();
        packets.extend(open_websockets(3));
        packets.sort_by_key(|packet| packet.at_ns);
        let limits = Limits { connections: 2, ..Limits::default() };
        let outcome = run::analyze_packets_with(&packets, Options { limits, ..Options::default() });
        let found = outcome.connections.iter().find(|found| found.client.port == 999).unwrap();
        (found.verdict.label.to_string(), found.verdict.blind.as_deref().map(str::to_owned))
    };
    let unknown = ("unknown".to_owned(), Some("evicted".to_owned()));
    assert_eq!(ended(|conn| _ = conn.rst(Server)), unknown);
    assert_eq!(ended(|conn| _ = conn.fin(Server).client_acks()), unknown);
    let closed = ended(|conn| _ = conn.fin(Server).client_acks().fin(Client).server_acks());
    assert_eq!(closed, ("1006".to_owned(), None), "nothing can follow both FINs");
}

#[test]
fn every_command_that_reads_packets_takes_limits() {
    let folder = tempfile::tempdir().unwrap();
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/close-codes/ws--ws.server.pcap");
    let (fixture, out) = (fixture.to_str().unwrap(), folder.path().join("out.pcapng"));
    let out = out.to_str().unwrap();
    for command in ["annotate", "extract"] {
        let (status, _, told) = wsclose(&[command, fixture, "-o", out]);
        assert!(status == 0 && !told.contains("left out"), "{told}");
        let (status, _, told) = wsclose(&[command, fixture, "-o", out, "--limit", "comment_bytes=1K"]);
        assert_eq!(status, 0, "{told}");
        assert!(told.contains("comments left out, to keep to the limit comment_bytes"), "{told}");
        let (status, _, told) = wsclose(&[command, fixture, "-o", out, "--memory", "64M"]);
        assert_eq!(status, 0, "{told}");
    }
    let show = |more: &[&str]| wsclose(&[&["show", fixture, "--stream", "0"], more].concat());
    assert_eq!(show(&["--memory", "64M"]).0, 0);
    let (status, _, error) = show(&["--limit", "packet_bytes=40"]);
    assert!(status == 2 && error.contains("at most 40 are accepted"), "{status} {error}");
    let keys = folder.path().join("keys.log");
    std::fs::write(&keys, "").unwrap();
    let inject =
        ["inject-keys", fixture, "--keylog", keys.to_str().unwrap(), "-o", out, "--limit", "packet_bytes=40"];
    let (status, _, error) = wsclose(&inject);
    assert!(status == 2 && error.contains("at most 40 are accepted"), "{status} {error}");
    for command in ["annotate", "show", "inject-keys"] {
        let (status, _, error) = wsclose(&[command, fixture, "--limit", "nope=1"]);
        assert!(status == 2 && error.contains("no limit"), "{command}: {error}");
    }
}

#[test]
fn the_command_keeps_to_the_memory_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.pcap");
    std::fs::write(&path, Pcap::default().write(&Packaging::default().apply(&open_websockets(40)))).unwrap();
    let path = path.to_str().unwrap();
    let evicted = |arguments: &[&str]| {
        let (status, report, error) = wsclose(&[arguments, &["--format", "ndjson", path]].concat());
        assert_eq!(status, 0, "{error}");
        report.matches("\"evicted\"").count()
    };
    assert_eq!(evicted(&["--memory", "64M"]), 0);
    assert!(evicted(&["--limit", "connection_bytes=4K"]) > 0);
    assert!(evicted(&["--memory", "64M", "--limit", "connections=8"]) > 0);
}

/// A SYN that `server` refuses at that second.
fn refused(client: u16, server: &str, second: u64) -> Vec<TcpPacket> {
    let mut conn = Conversation::between(&format!("10.2.0.1:{client}"), server);
    conn.wait(Duration::from_secs(second)).forges(Client, 0x02, |_| {});
    let seq = conn.packets()[0].seq;
    let refuse = |packet: &mut TcpPacket| {
        (packet.seq, packet.ack, packet.window) = (0, seq.wrapping_add(1), 0);
    };
    conn.forges(Server, 0x14, refuse).packets()
}

/// A WebSocket that opens at that second.
fn websocket(server: &str, second: u64) -> Vec<TcpPacket> {
    let mut conn = Conversation::between("10.3.0.1:2000", server);
    conn.wait(Duration::from_secs(second)).connect().upgrade("/ws").packets()
}

/// How many are listed, how many are not, and how often `anomaly` was seen.
fn counts(captures: &[Vec<TcpPacket>], limits: Limits, anomaly: Anomaly) -> (usize, u64, u64) {
    let packets = interleave(captures);
    let outcome = run::analyze_packets_with(&packets, Options { limits, ..Options::default() });
    (outcome.connections.len(), outcome.other_connections, outcome.count(anomaly))
}

#[test]
fn candidates_beyond_the_limit_are_counted_unless_their_server_is_known_by_then() {
    let kept = |captures: &[_], candidates| {
        counts(captures, Limits { candidates, ..Limits::default() }, Anomaly::CandidateLimit)
    };
    let (known, other) = ("10.77.2.2:9001", "10.77.2.3:9001");
    let first = [refused(1, known, 0), refused(2, other, 1), refused(3, other, 2), websocket(known, 60)];
    assert_eq!(kept(&first, 3), (2, 2, 0));
    assert_eq!(kept(&first, 2), (1, 3, 1), "the first was to be listed, and is forgotten");
    let meanwhile =
        [refused(1, known, 0), websocket(known, 60), refused(2, other, 61), refused(3, other, 62)];
    assert_eq!(kept(&meanwhile, 3), (2, 2, 0));
    assert_eq!(kept(&meanwhile, 2), (2, 2, 0));
    assert_eq!(kept(&meanwhile, 1), (2, 2, 1), "of the two last only one is kept");
}

#[test]
fn servers_beyond_the_limit_are_counted() {
    let (one, other) = ("10.77.2.2:9001", "10.77.2.3:9001");
    let mut twice = websocket(one, 5);
    twice.iter_mut().for_each(|packet| {
        let from_client = packet.dst.port() == 9001;
        let client = if from_client { &mut packet.src } else { &mut packet.dst };
        client.set_port(2_001);
    });
    let captures =
        [websocket(one, 0), twice, websocket(other, 9), refused(1, one, 20), refused(2, other, 21)];
    let remembered =
        |servers| counts(&captures, Limits { servers, ..Limits::default() }, Anomaly::ServerLimit);
    assert_eq!(remembered(2), (5, 0, 0));
    assert_eq!(remembered(1), (4, 1, 1), "a server that is known needs no room");
}

#[test]
fn connections_beyond_the_stream_numbers_are_counted_and_have_none() {
    let numbered = |stream_numbers| {
        let limits = Limits { stream_numbers, ..Limits::default() };
        let options = Options { limits, ..Options::default() };
        let outcome = run::analyze_packets_with(&open_websockets(3), options);
        let without = outcome.connections.iter().filter(|found| found.tcp_stream.is_none()).count();
        let named = outcome.connections.iter().flat_map(|found| found.anomalies.iter());
        assert_eq!(
            named.filter(|name| *name == "stream_number_limit").count() as u64,
            outcome.count(Anomaly::StreamNumberLimit)
        );
        (without, outcome.count(Anomaly::StreamNumberLimit))
    };
    assert_eq!(numbered(3), (0, 0));
    assert_eq!(numbered(2), (1, 1));
    assert_eq!(numbered(0), (3, 0), "none was asked for");
}

#[test]
fn the_report_shows_the_limits_that_are_reached_behind_the_follower() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("refused.pcap");
    let packets = [refused(1, "10.77.2.2:9001", 0), refused(2, "10.77.2.2:9001", 1)].concat();
    std::fs::write(&path, Pcap::default().write(&Packaging::default().apply(&packets))).unwrap();
    for threads in ["1", "2"] {
        let arguments =
            ["--threads", threads, "--limit", "candidates=1", "--format", "json", path.to_str().unwrap()];
        let report: serde_json::Value = serde_json::from_str(&wsclose(&arguments).1).unwrap();
        assert_eq!(report["anomalies"]["candidate_limit"], 1, "{threads} threads");
    }
}
