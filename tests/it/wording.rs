//! What reports say of recorded connections, word by word.

use crate::support::page::wsclose;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> Vec<PathBuf> {
    vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)]
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&wsclose("json", &fixture(name))).unwrap()
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
