//! What reports say of recorded connections, word by word.

use crate::support::capture_file::{self, RawPacket, with_snaplen};
use crate::support::page::wsclose;
use crate::support::pcapng::without_secrets;
use crate::support::run::{self, Outcome};
use std::path::{Path, PathBuf};
use wsclose::analyzer::Options;
use wsclose::limits::Limits;
use wsclose::report::filter::{BLINDS, CAUSES, KINDS};

fn fixture(name: &str) -> Vec<PathBuf> {
    vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)]
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&wsclose("json", &fixture(name))).unwrap()
}

/// `docs/verdicts.md`, and the cells of its tables' rows.
fn page() -> (String, Vec<Vec<String>>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verdicts.md");
    let page = std::fs::read_to_string(path).unwrap();
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let rows = page.lines().filter(|line| line.starts_with('|')).map(cells).collect();
    (page, rows)
}

#[test]
fn the_page_of_verdicts_has_a_whole_row_for_each_word_of_the_code() {
    let (page, rows) = page();
    for word in BLINDS.iter().chain(&CAUSES) {
        let row = rows.iter().find(|row| row[0] == format!("`{word}`"));
        let row = row.unwrap_or_else(|| panic!("{word} has no row"));
        assert!(row.len() >= 5 && row.iter().all(|cell| !cell.is_empty()), "{word}: {row:?}");
        let rules = ["RFC ", "none: ", "as for "];
        assert!(row.iter().any(|cell| rules.iter().any(|rule| cell.starts_with(rule))), "{word}: {row:?}");
    }
    for kind in KINDS {
        assert!(page.contains(&format!("\n## {kind}\n")), "{kind} has no section");
    }
    for proof in ["answered", "acknowledged", "arrived", "sent"] {
        assert!(page.contains(&format!("`{proof}`")), "the proof {proof} is not told of");
    }
}

#[test]
fn every_fixture_that_the_page_of_verdicts_names_is_there() {
    let (page, rows) = page();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let named = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let (mut count, mut folder, mut has_fixtures) = (0, "captures", false);
    for row in &rows {
        let last = row.last().unwrap();
        if row[1..].iter().any(|cell| cell.starts_with("fixture")) {
            (has_fixtures, folder) =
                (true, if last.contains("tls-twins") { "tls-twins" } else { "captures" });
            continue;
        }
        let is_rule = row.iter().all(|cell| cell.chars().all(|letter| letter == '-' || letter == '|'));
        if is_rule || !has_fixtures {
            continue;
        }
        assert!(!last.is_empty(), "{row:?} has no fixture");
        for name in named(last).iter().filter(|name| !name.starts_with("--limit")) {
            let place = match name.split_once('/') {
                Some(("fixtures" | "tests", _)) => fixtures.parent().unwrap().join(name),
                _ => fixtures.join(folder).join(name),
            };
            assert!(place.exists(), "{name} of {row:?} is no fixture");
            count += 1;
        }
    }
    assert!(count > 40, "{count} are named in the tables");
    let elsewhere = page.split('`').filter(|word| word.starts_with("fixtures/")).map(|name| name.trim());
    for name in elsewhere {
        assert!(fixtures.parent().unwrap().join(name).exists(), "{name}");
    }
}

/// The packets of the fixture's captures.
fn packets(name: &str) -> Vec<Vec<RawPacket>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures").join(name);
    let files = run::capture_files(&folder);
    assert!(!files.is_empty(), "{name}");
    files.iter().map(|file| capture_file::read(&std::fs::read(file).unwrap()).unwrap()).collect()
}

/// Is the end of one of the connections hidden so?
fn is_hidden(outcome: &Outcome, blind: &str) -> bool {
    outcome.connections.iter().any(|found| found.verdict.blind.as_deref() == Some(blind))
}

#[test]
fn what_hides_a_close_is_shown_by_what_the_page_of_verdicts_names() {
    let shown = |name: &str, blind: &str, cut: &dyn Fn(&[RawPacket]) -> Vec<Outcome>| {
        let is_any = packets(name).iter().any(|all| cut(all).iter().any(|outcome| is_hidden(outcome, blind)));
        assert!(is_any, "{name} does not show {blind}");
    };
    let short = |all: &[RawPacket]| vec![run::analyze_raw(&with_snaplen(all, 80))];
    shown("fin-by-server", "gap", &|all| {
        let without = |index: usize| [&all[..index], &all[index + 1..]].concat();
        (0..all.len()).map(|index| run::analyze_raw(&without(index))).collect()
    });
    shown("close-split-by-server", "truncated", &short);
    shown("fin-by-server", "desynchronized", &short);
    shown("one-way", "one-sided", &|all| vec![run::analyze_raw(all)]);
    shown("healthy-keepalive", "started-late", &|all| vec![run::analyze_raw(&all[18..])]);
    shown("close-codes", "evicted", &|all| {
        let limits = Limits { connections: 1, ..Limits::default() };
        vec![run::analyze_raw_with(all, Options { limits, ..Options::default() })]
    });
    let sealed = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls/1.3-aes128-gcm.pcapng");
    let bare = without_secrets(&std::fs::read(sealed).unwrap());
    let options = Options { encrypted: true, ..Options::default() };
    assert!(is_hidden(&run::analyze_bytes_with(bare, options), "encrypted"));
}

#[test]
fn streams_that_a_goaway_gave_up_are_not_said_to_have_ended_with_tcp() {
    let report = json("http2/node-h2c-goaway-error.pcapng");
    let finding = &report["summary"]["findings"][0];
    assert_eq!(
        finding["text"],
        "one TCP connection, 127.0.0.1:41540 to 127.0.0.1:9443, carried 3 WebSockets over HTTP/2 that server gave up \
         together by GOAWAY (ENHANCE_YOUR_CALM) in packet 32"
    );
    assert_eq!(finding["advice"], "see server's log for ENHANCE_YOUR_CALM at 08:17:57.242420");
}

#[test]
fn a_firewall_s_refusal_comes_before_the_timeout_that_it_caused() {
    let report = json("captures/network-prohibited/ws--ws.client.pcap");
    let finding = &report["summary"]["findings"][0];
    assert_eq!(
        finding["text"],
        "10.60.1.1 answered client's segment with ICMP \"administratively prohibited\" in packet 22, the first of 6"
    );
    assert_eq!(
        finding["advice"],
        "a firewall refuses the connection: see its rules at the address that answered"
    );
    let diagnoses = report["connections"][0]["diagnosis"].as_array().unwrap();
    let ids: Vec<_> = diagnoses.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["icmp-error", "tcp-timeout"]);
}

#[test]
fn half_an_answer_is_not_called_none() {
    let text = wsclose("text", &fixture("captures/handshake-broken/ws--raw.server.pcap"));
    assert!(text.contains("            4  not answered whole  server 3, client 1\n"), "{text}");
    assert!(text.contains("4 connections were never answered whole after their Upgrade request;"), "{text}");
    assert!(!text.contains("no answer"), "{text}");
}

#[test]
fn oddities_of_frames_stand_in_the_totals() {
    let report = json("captures/reserved-codes/raw--ws.server.pcap");
    let expected = serde_json::json!({"close_body_malformed": 2, "close_code_reserved": 10});
    assert_eq!(report["anomalies"], expected);
}

#[test]
fn a_syn_sent_in_vain_is_called_so() {
    let report = json("captures/connect-unanswered/ws--websockets.client.pcap");
    let lost = &report["connections"][1];
    assert_eq!(
        lost["verdict"]["why"],
        "TCP was never established: client sent its SYN 4 times up to packet 20 without any answer"
    );
    let text = lost["diagnosis"][0]["text"].as_str().unwrap();
    assert!(
        text.starts_with("client sent its SYN 4 times within 3.05 s, from packet 17 to packet 20"),
        "{text}"
    );
}

#[test]
fn a_close_and_the_end_of_its_stream_in_one_packet_are_told_in_order() {
    let report = json("http2/chromium-nghttpx-ws.pcapng");
    let all = report["connections"].as_array().unwrap();
    let one = all.iter().find(|it| it["close"]["client"]["packet"] == 273).expect("a Close in packet 273");
    assert_eq!(
        one["verdict"]["why"],
        "client sent Close 1000 in packet 273; server answered with Close 1000 in packet 281; right behind client's \
         Close came END_STREAM by client in packet 273"
    );
}
