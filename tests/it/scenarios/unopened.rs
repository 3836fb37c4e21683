//! Connections that never came to any HTTP: what is listed of them, and what the packets prove.

use super::busy;
use crate::support::conversation::Conversation;
use crate::support::packet::TcpPacket;
use crate::support::rewrite::interleave;
use crate::support::run::{self, Answer, Outcome};
use std::time::Duration;
use wsclose::analyzer::Options;
use wsclose::anomaly::Anomaly;
use wsclose::limits::Limits;
use wsclose::side::Side::{Client, Server};

const SYN: u8 = 0x02;
const SECOND: Duration = Duration::from_secs(1);

/// So many SYNs of one connection, a second apart.
fn syns(count: usize) -> Vec<TcpPacket> {
    let mut conn = Conversation::between("10.77.1.2:40000", "10.77.2.2:9001");
    for _ in 0..count {
        conn.forges(Client, SYN, |_| {});
    }
    let mut packets = conn.packets();
    let first = packets[0].at_ns;
    packets.iter_mut().zip(0..).for_each(|(packet, index)| packet.at_ns = first + index * 1_000_000_000);
    packets
}

/// The capture goes on for so long after `packets`: its last packet is of others.
fn and_on(mut packets: Vec<TcpPacket>, after: Duration) -> Vec<TcpPacket> {
    let last = packets.iter().map(|packet| packet.at_ns).max().unwrap();
    let mut others = Conversation::between("10.8.0.1:1000", "10.8.0.2:22");
    let mut packet = others.client_acks().packets().remove(0);
    packet.at_ns = last + after.as_nanos() as u64;
    packets.push(packet);
    packets
}

fn named() -> Options {
    Options { ws_ports: vec![9001], ..Options::default() }
}

/// The one connection to the named port must get `answer`.
#[track_caller]
fn check(packets: &[TcpPacket], answer: &str) -> Outcome {
    let outcome = run::analyze_packets_with(packets, named());
    let (found, why) = (outcome.only(), &outcome.only().verdict.why);
    assert_eq!(Answer::of(found).to_string(), answer, "{why}");
    assert_eq!(found.handshake.seen, "none");
    outcome
}

#[test]
fn a_syn_at_the_end_of_the_capture_may_still_be_answered() {
    for count in [1, 2] {
        let outcome = check(&syns(count), "open:open by -");
        assert!(outcome.only().verdict.why.contains("SYN in packet 1 was still unanswered"));
    }
    check(&and_on(syns(1), SECOND * 3 - Duration::from_nanos(1)), "open:open by -");
    check(&and_on(syns(2), SECOND * 4 - Duration::from_nanos(1)), "open:open by -");
}

/// The second SYN shows that the first had no answer; the third would have come after 2 s more, or 3 s where the first
/// wait is as long.
#[test]
fn a_syn_that_came_again_and_then_no_more_is_refused_by_the_network() {
    let outcome = check(&and_on(syns(2), SECOND * 4), "refused:refused by network");
    let (found, why) = (outcome.only(), &outcome.only().verdict.why);
    assert!(why.contains("sent its SYN 2 times up to packet 2"), "{why}");
    assert_eq!(found.endpoints.client.code, Some(1006));
    assert_eq!(found.endpoints.server.code, None);
    let evidence: Vec<_> = found.evidence.iter().map(|item| item.packet).collect();
    assert_eq!(evidence, [1, 2]);
}

/// A capture of SYNs alone looks so, too.
#[test]
fn one_syn_alone_shows_nothing_of_its_answer() {
    let outcome = check(&and_on(syns(1), SECOND * 3), "unknown:unknown by unknown");
    assert_eq!(outcome.only().verdict.blind.as_deref(), Some("one-sided"));
    assert_eq!(outcome.only().endpoints.client.code, None);
}

#[test]
fn tcp_that_stays_silent_is_open_however_long_the_capture_goes_on() {
    let mut half_open = Conversation::new();
    half_open.forges(Client, SYN, |_| {}).forges(Server, 0x12, |packet| packet.ack = 1_000_001);
    for packets in [Conversation::connected().packets(), half_open.packets()] {
        for packets in [packets.clone(), and_on(packets, SECOND * 3_600)] {
            let outcome = check(&packets, "open:open by -");
            assert!(outcome.only().verdict.why.contains("no Upgrade request had been sent"));
        }
    }
}

#[test]
fn a_syn_whose_ports_are_used_anew_is_not_waited_for() {
    let anew = |count| {
        let mut again =
            Conversation::between("10.77.1.2:40000", "10.77.2.2:9001").numbered(7_000_000, 8_000_000);
        again.wait(SECOND * 2).connect().upgrade("/ws");
        let packets = interleave(&[syns(count), again.packets()]);
        run::analyze_packets(&packets).connections.iter().map(|found| Answer::of(found).to_string()).collect()
    };
    let (two, one): (Vec<_>, Vec<_>) = (anew(2), anew(1));
    assert_eq!(two, ["open:open by -", "refused:refused by network"]);
    assert_eq!(one, ["open:open by -", "unknown:unknown by unknown"]);
}

#[test]
fn what_never_opened_is_listed_for_servers_that_carry_websockets() {
    let unopened =
        [and_on(syns(1), SECOND), and_on(syns(2), SECOND * 9), Conversation::connected().packets()];
    for packets in unopened {
        let alone = run::analyze_packets(&packets);
        let others = 1 + u64::from(packets.iter().any(|packet| packet.dst.port() == 22));
        assert_eq!((alone.connections.len(), alone.other_connections), (0, others));
        let mut websocket = Conversation::between("10.77.1.9:50000", "10.77.2.2:9001");
        websocket.connect().upgrade("/ws");
        let known = run::analyze_packets(&interleave(&[packets, websocket.packets()]));
        assert_eq!((known.connections.len(), known.other_connections), (2, others - 1));
    }
}

/// In memory for one connection, the next one drops the SYNs.
#[test]
fn what_is_dropped_is_told_only_if_it_had_failed_by_then() {
    let found = |after| {
        let limits = Limits { connections: 1, ..Limits::default() };
        let packets = and_on(syns(2), after);
        run::analyze_packets_with(&packets, Options { limits, ..named() })
    };
    let late = found(SECOND * 4);
    assert_eq!(Answer::of(late.only()).to_string(), "refused:refused by network");
    let early = found(SECOND * 3);
    assert_eq!((early.connections.len(), early.other_connections), (0, 2));
    assert_eq!(early.count(Anomaly::FlowEvicted), 1);
}

#[test]
fn syns_in_vain_are_a_finding_once_no_more_of_them_come() {
    let found = |packets: &[TcpPacket]| {
        let findings = run::findings(&run::analyze_packets_with(packets, named()));
        findings.into_iter().map(|finding| finding.id).collect::<Vec<_>>()
    };
    assert_eq!(found(&and_on(syns(2), SECOND * 4)), ["tcp-timeout"]);
    assert_eq!(found(&interleave(&[syns(2), busy().packets()])), [""; 0]);
}
