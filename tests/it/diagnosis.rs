//! Each cause that is claimed: a capture that shows it, and a near miss that must not.

use super::support::capture_file::RawPacket;
use super::support::conversation::Conversation;
use super::support::packaging::{Link, Packaging};
use super::support::packet::{TcpPacket, fold, ip_header, sum_words};
use super::support::wire;
use std::ops::Range;
use std::time::Duration;
use wsclose::analyzer::{Analyzer, Options};
use wsclose::capture::PacketRef;
use wsclose::capture::link_type::LinkType;
use wsclose::limits::Limits;
use wsclose::moment::Moment;
use wsclose::report::build::{self, Context};
use wsclose::report::diagnosis::{Diagnoser, Finding};
use wsclose::report::model::Connection;
use wsclose::side::Side;
use wsclose::time::Timestamp;

mod near_misses;
mod together;

struct Outcome {
    connections: Vec<Connection<'static>>,
    findings: Vec<Finding>,
}

impl Outcome {
    /// The ids of the connections' own diagnoses.
    fn ids(&self) -> Vec<&str> {
        self.connections.iter().flat_map(|c| &c.diagnosis).map(|one| one.id.as_ref()).collect()
    }

    fn has(&self, id: &str) -> bool {
        self.ids().contains(&id)
    }

    fn text(&self, id: &str) -> &str {
        let mut all = self.connections.iter().flat_map(|c| &c.diagnosis);
        &all.find(|one| one.id == id).expect("the diagnosis is made").text
    }

    fn confidence(&self, id: &str) -> &str {
        let mut all = self.connections.iter().flat_map(|c| &c.diagnosis);
        &all.find(|one| one.id == id).expect("the diagnosis is made").confidence
    }

    fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.id == id)
    }
}

fn analyze_raw(packets: &[RawPacket]) -> Outcome {
    let mut analyzer = Analyzer::new(Options { ws_ports: vec![9001], ..Options::default() });
    for (packet, number) in packets.iter().zip(1..) {
        let at = Moment::new(Timestamp::from_nanos(packet.at_ns.cast_signed()), number, 0);
        let range: Range<u32> = 0..u32::try_from(packet.bytes.len()).unwrap();
        let link_type = LinkType(packet.link_type);
        let original_len = packet.original_len;
        analyzer.handle_packet(&PacketRef { at, link_type, fcs_len: 0, range, original_len }, &packet.bytes);
    }
    analyzer.finish();
    let files = ["test".to_owned()];
    let context = Context { files: &files, redact: false };
    let mut diagnoser = Diagnoser::new(Limits::default());
    let mut connections = Vec::new();
    while let Some(record) = analyzer.poll_record() {
        let id = connections.len() as u64 + 1;
        let mut connection = build::connection(id, &record, context);
        connection.diagnosis = diagnoser.take(Some(id), &record, context);
        connections.push(crate::support::run::owned(&connection));
    }
    Outcome { findings: diagnoser.findings(context), connections }
}

fn analyze(conversations: &[Conversation]) -> Outcome {
    let mut packets: Vec<TcpPacket> = conversations.iter().flat_map(Conversation::packets).collect();
    packets.sort_by_key(|packet| packet.at_ns);
    analyze_raw(&Packaging::default().apply(&packets))
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A conversation of client `number`, open since `start` seconds.
fn opened_at(number: u16, start: f64) -> Conversation {
    let mut conn = Conversation::between(&format!("10.77.1.{number}:{}", 40_000 + number), "10.77.2.2:9001");
    conn.wait(seconds(start)).connect().upgrade("/ws");
    conn
}

/// The same from one client address, by its port.
fn same_client_at(port: u16, start: f64) -> Conversation {
    let mut conn = Conversation::between(&format!("10.77.1.2:{port}"), "10.77.2.2:9001");
    conn.wait(seconds(start)).connect().upgrade("/ws");
    conn
}

fn talk(conn: &mut Conversation) -> &mut Conversation {
    conn.client_sends(&wire::text(Side::Client, "hello")).server_acks();
    conn.server_sends(&wire::text(Side::Server, "hello")).client_acks()
}

/// The side drops TCP in order, without a Close.
fn drop_by(conn: &mut Conversation, side: Side) -> &mut Conversation {
    conn.fin(side).fin(side.other()).acks(side)
}

fn close_by(conn: &mut Conversation, side: Side, code: u16) -> &mut Conversation {
    conn.sends(side, &wire::close(side, code, "")).sends(side.other(), &wire::close(side.other(), code, ""));
    drop_by(conn, Side::Server)
}

fn ping(conn: &mut Conversation, side: Side) -> &mut Conversation {
    conn.sends(side, &wire::ping(side, b"p")).sends(side.other(), &wire::pong(side.other(), b"p")).acks(side)
}

#[test]
fn clean_ends_give_no_findings() {
    let ends = [(Side::Client, 1000), (Side::Server, 1000), (Side::Client, 1001), (Side::Server, 1001)];
    let conversations: Vec<_> = ends
        .iter()
        .zip(1..)
        .map(|((side, code), number)| {
            let mut conn = opened_at(number, f64::from(number));
            close_by(talk(&mut conn), *side, *code);
            conn
        })
        .collect();
    let outcome = analyze(&conversations);
    assert_eq!(outcome.connections.len(), 4);
    assert_eq!(outcome.findings, []);
}

#[test]
fn a_silence_as_long_as_a_known_limit_lists_its_candidates() {
    let mut conn = opened_at(1, 0.0);
    drop_by(talk(&mut conn).wait(seconds(60.0)), Side::Server);
    let outcome = analyze(&[conn]);
    assert_eq!(outcome.confidence("idle-limit"), "possible");
    let text = outcome.text("idle-limit");
    assert!(text.contains("nginx") && text.contains("Application Load Balancer"), "{text}");
    assert_eq!(outcome.findings.len(), 1);
}

#[test]
fn a_second_feature_names_the_product() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws")).server_acks();
    conn.server_sends(&wire::response_with("Server: nginx/1.22\r\n")).client_acks();
    drop_by(talk(&mut conn).wait(seconds(60.0)), Side::Server);
    let outcome = analyze(&[conn]);
    assert_eq!(outcome.confidence("idle-limit"), "likely");
    assert!(!outcome.text("idle-limit").contains("Load Balancer"));
}

#[test]
fn fifty_nine_seconds_of_silence_under_a_ping_of_sixty_are_no_idle_limit() {
    let mut conn = opened_at(1, 0.0);
    for _ in 0..3 {
        ping(conn.wait(seconds(60.0)), Side::Client);
    }
    drop_by(conn.wait(seconds(59.0)), Side::Server);
    let outcome = analyze(&[conn]);
    assert!(!outcome.has("idle-limit") && !outcome.has("ping-too-slow"), "{:?}", outcome.ids());
}

#[test]
fn a_silence_survived_before_refutes_the_limit() {
    let mut conn = opened_at(1, 0.0);
    talk(talk(&mut conn).wait(seconds(90.0)));
    drop_by(conn.wait(seconds(60.0)), Side::Server);
    assert!(!analyze(&[conn]).has("idle-limit"));
}

#[test]
fn a_ping_period_equal_to_the_limit_is_a_race() {
    let mut conn = opened_at(1, 0.0);
    for _ in 0..3 {
        ping(conn.wait(seconds(59.9)), Side::Client);
    }
    drop_by(conn.wait(seconds(60.0)), Side::Server);
    let outcome = analyze(&[conn]);
    assert!(outcome.text("ping-too-slow").contains("race"));
}

#[test]
fn pings_twice_as_fast_as_the_limit_are_no_race() {
    let mut conn = opened_at(1, 0.0);
    for _ in 0..3 {
        ping(conn.wait(seconds(25.0)), Side::Client);
    }
    drop_by(conn.wait(seconds(60.0)), Side::Server);
    let outcome = analyze(&[conn]);
    assert!(!outcome.has("ping-too-slow") && outcome.has("pings-stopped"), "{:?}", outcome.ids());
}

fn idle_for(times: [f64; 3]) -> Outcome {
    let conversations: Vec<_> = times
        .iter()
        .zip(1_u16..)
        .map(|(idle, number)| {
            let mut conn = opened_at(number, f64::from(number) * 10.0);
            for _ in 0..number {
                talk(conn.wait(seconds(3.0)));
            }
            drop_by(conn.wait(seconds(*idle)), Side::Server);
            conn
        })
        .collect();
    analyze(&conversations)
}

#[test]
fn one_silence_before_three_ends_is_one_limit() {
    let outcome = idle_for([45.0, 45.02, 45.01]);
    let finding = outcome.finding("idle-limit").expect("a shared limit");
    assert_eq!((finding.count, finding.connections.len()), (3, 3));
    assert_eq!(outcome.findings.len(), 1, "it explains the ends: {:?}", outcome.findings);
}

#[test]
fn three_different_silences_are_no_limit() {
    assert_eq!(idle_for([20.0, 31.0, 47.0]).finding("idle-limit"), None);
}

#[test]
fn a_busy_connection_cut_after_thirty_seconds_had_a_lifetime_limit() {
    let mut conn = opened_at(1, 0.0);
    for _ in 0..14 {
        talk(conn.wait(seconds(2.1)));
    }
    drop_by(conn.wait(seconds(0.5)), Side::Server);
    let outcome = analyze(&[conn]);
    assert!(outcome.has("lifetime-limit") && !outcome.has("idle-limit"), "{:?}", outcome.ids());
}

#[test]
fn an_idle_connection_cut_after_thirty_seconds_shows_no_lifetime_limit() {
    let mut conn = opened_at(1, 0.0);
    drop_by(conn.wait(seconds(30.0)), Side::Server);
    assert!(!analyze(&[conn]).has("lifetime-limit"));
}

fn server_pings(pong: bool) -> Outcome {
    let mut conn = opened_at(1, 0.0);
    ping(conn.wait(seconds(20.0)), Side::Server);
    conn.wait(seconds(20.0)).server_sends(&wire::ping(Side::Server, b"q")).client_acks();
    if pong {
        conn.client_sends(&wire::pong(Side::Client, b"q")).server_acks();
    }
    conn.wait(seconds(20.0)).server_sends(&wire::close(Side::Server, 1011, "keepalive ping timeout"));
    conn.client_acks().fin(Side::Server).client_acks();
    analyze(&[conn])
}

#[test]
fn a_ping_without_a_pong_explains_1011() {
    let outcome = server_pings(false);
    assert_eq!(outcome.confidence("ping-unanswered"), "certain");
    let text = outcome.text("ping-unanswered");
    assert!(text.contains("packet 11") && text.contains("TCP still acknowledged"), "{text}");
    assert_eq!(outcome.finding("ping-unanswered").map(|finding| finding.count), Some(1));
}

/// A client's pings, none of which is answered by a server that answers its messages; then the client's Close.
fn pings_ignored(code: u16, reason: &str) -> Outcome {
    let mut conn = opened_at(1, 0.0);
    for _ in 0..3 {
        conn.wait(seconds(10.0)).client_sends(&wire::ping(Side::Client, b"p")).server_acks();
        talk(conn.wait(seconds(3.0)));
    }
    conn.client_sends(&wire::close(Side::Client, code, reason)).server_sends(&wire::close(
        Side::Server,
        code,
        "",
    ));
    conn.fin(Side::Server).fin(Side::Client).server_acks();
    analyze(&[conn])
}

#[test]
fn pings_that_a_working_peer_ignores_explain_no_ordinary_close() {
    assert!(!pings_ignored(1000, "").has("ping-unanswered"));
}

#[test]
fn a_peer_that_sends_but_gives_no_pong_is_not_called_blocked() {
    let outcome = pings_ignored(1011, "keepalive ping timeout");
    let text = outcome.text("ping-unanswered");
    assert!(text.contains("server went on sending") && !text.contains("acknowledged"), "{text}");
    let finding = outcome.finding("ping-unanswered").expect("the finding is made");
    let advice = finding.advice.as_str();
    assert!(advice.contains("answers pings at all") && !advice.contains("blocked"), "{advice}");
}

#[test]
fn an_answered_ping_explains_nothing() {
    assert!(!server_pings(true).has("ping-unanswered"));
}

fn sends_without_answer(answered: bool) -> Outcome {
    let mut conn = opened_at(1, 0.0);
    conn.next_lost().server_sends(&wire::text(Side::Server, "are you there?"));
    for wait in [0.2, 0.4, 0.8, 1.6] {
        conn.wait(seconds(wait)).next_lost().retransmits(Side::Server);
    }
    if answered {
        conn.retransmits(Side::Server).client_acks();
    }
    analyze(&[conn])
}

#[test]
fn bytes_sent_again_and_again_without_an_answer_are_a_timeout() {
    let outcome = sends_without_answer(false);
    let text = outcome.text("tcp-timeout");
    assert!(
        text.contains("server sent the same bytes 5 times") && text.contains("client's last sign"),
        "{text}"
    );
}

#[test]
fn bytes_that_arrived_at_last_are_no_timeout() {
    assert!(!sends_without_answer(true).has("tcp-timeout"));
}

fn after_a_silence_of(time: f64) -> Outcome {
    let mut conn = opened_at(1, 0.0);
    talk(&mut conn).wait(seconds(time));
    conn.next_lost().server_sends(&wire::text(Side::Server, "are you there?"));
    for wait in [0.2, 0.4, 0.8, 1.6] {
        conn.wait(seconds(wait)).next_lost().retransmits(Side::Server);
    }
    analyze(&[conn])
}

#[test]
fn a_packet_lost_after_a_long_silence_met_no_living_connection() {
    let text = after_a_silence_of(400.0).text("forgotten-while-idle").to_owned();
    assert!(text.contains("Network Load Balancer") && !text.contains("IPVS"), "{text}");
}

#[test]
fn a_packet_lost_after_a_short_silence_was_not_forgotten() {
    assert!(!after_a_silence_of(30.0).has("forgotten-while-idle"));
}

/// An ICMP error of 10.77.9.9 that quotes `packet`, so many nanoseconds later.
fn icmp(packet: &TcpPacket, after_ns: u64, icmp_type: u8, code: u8) -> RawPacket {
    let mut message = vec![icmp_type, code, 0, 0, 0, 0, 0, 0];
    message.extend(&packet.ip_bytes()[..28]);
    let sum = fold(sum_words(&message)).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    let ip = ip_header("10.77.9.9".parse().unwrap(), packet.src.ip(), 1, 64, 1, &message);
    RawPacket::new(packet.at_ns + after_ns, Link::Ethernet.number(), Link::Ethernet.wrap(&ip))
}

#[test]
fn an_icmp_error_about_a_syn_is_a_refusal_by_the_network() {
    let mut conn = Conversation::new();
    conn.forges(Side::Client, super::support::packet::SYN, |_| {});
    let packets = conn.packets();
    let mut raw = Packaging::default().apply(&packets);
    raw.push(icmp(&packets[0], 10_000_000, 3, 13));
    let outcome = analyze_raw(&raw);
    let verdict = &outcome.connections[0].verdict;
    assert_eq!((&*verdict.label, verdict.closed_by.as_deref()), ("refused", Some("network")));
    assert!(outcome.text("icmp-error").contains("10.77.9.9"));
    assert!(outcome.text("icmp-error").contains("administratively prohibited"));
}

#[test]
fn an_icmp_error_that_the_connection_survived_is_no_cause() {
    let mut conn = opened_at(1, 0.0);
    close_by(talk(&mut conn), Side::Client, 1000);
    let packets = conn.packets();
    let mut raw = Packaging::default().apply(&packets);
    raw.insert(8, icmp(&packets[7], 0, 3, 1));
    assert_eq!(analyze_raw(&raw).findings, []);
}

#[test]
fn a_reset_with_other_hops_came_from_between() {
    let mut conn = opened_at(1, 0.0);
    talk(&mut conn).forges(Side::Server, 0x14, |packet| packet.ttl = 60);
    let outcome = analyze(&[conn]);
    let text = outcome.text("foreign-reset");
    assert!(text.contains("TTL 60 where server's other packets have 63"), "{text}");
}

#[test]
fn a_reset_after_the_close_is_no_cause() {
    let mut conn = opened_at(1, 0.0);
    conn.server_sends(&wire::close(Side::Server, 1000, "")).client_sends(&wire::close(
        Side::Client,
        1000,
        "",
    ));
    conn.rst(Side::Server);
    assert_eq!(analyze(&[conn]).findings, []);
}

fn too_big(size: usize) -> Outcome {
    let mut conn = opened_at(1, 0.0);
    conn.client_sends(&wire::binary(Side::Client, &[0; 600])).server_acks();
    conn.client_sends(&wire::binary(Side::Client, &vec![0; size])).server_acks();
    conn.server_sends(&wire::close(Side::Server, 1009, "")).client_acks();
    drop_by(&mut conn, Side::Server);
    analyze(&[conn])
}

#[test]
fn a_1009_names_the_message_and_the_largest_that_was_accepted() {
    let outcome = too_big(1400);
    let text = outcome.text("message-too-big");
    assert!(text.contains("1400 bytes") && text.contains("600 bytes"), "{text}");
}

/// The client's compressed messages of these sizes, then the server's 1009.
fn too_big_compressed(sizes: &[usize]) -> Outcome {
    let mut conn = opened_at(1, 0.0);
    for size in sizes {
        let mut frame = wire::binary(Side::Client, &vec![0; *size]);
        frame[0] |= 0x40; // RSV1: RFC 7692 §6
        conn.client_sends(&frame).server_acks();
    }
    conn.server_sends(&wire::close(Side::Server, 1009, "")).client_acks();
    drop_by(&mut conn, Side::Server);
    analyze(&[conn])
}

#[test]
fn a_1009_after_a_compressed_message_larger_than_the_others_may_come_from_its_unpacked_size() {
    assert_eq!(too_big_compressed(&[14, 24]).confidence("message-too-big"), "possible");
}

#[test]
fn a_1009_after_compressed_messages_of_one_size_is_an_applications_own_choice() {
    assert!(!too_big_compressed(&[24, 24]).has("message-too-big"));
    assert!(!too_big_compressed(&[24]).has("message-too-big"));
}

#[test]
fn a_1009_after_tiny_messages_is_an_applications_own_choice() {
    let mut conn = opened_at(1, 0.0);
    close_by(talk(&mut conn), Side::Server, 1009);
    let outcome = analyze(&[conn]);
    assert_eq!(outcome.ids(), ["code-meaning"]);
    assert_eq!(outcome.findings, []);
}

#[test]
fn a_1002_names_the_rule_that_was_broken() {
    let mut conn = opened_at(1, 0.0);
    conn.client_sends(&wire::text(Side::Server, "no mask")).server_acks();
    close_by(&mut conn, Side::Server, 1002);
    assert!(analyze(&[conn]).text("protocol-violation").contains("without a mask"));
}

#[test]
fn a_1002_without_a_visible_violation_blames_nobody() {
    let mut conn = opened_at(1, 0.0);
    close_by(talk(&mut conn), Side::Server, 1002);
    assert_eq!(analyze(&[conn]).ids(), ["code-meaning"]);
}

fn closed_with_4401(subprotocol: &str) -> Outcome {
    let mut conn = Conversation::connected();
    let offer = format!("Sec-WebSocket-Protocol: {subprotocol}\r\n");
    conn.client_sends(&wire::request_with("/ws", &offer)).server_acks();
    conn.server_sends(&wire::response_with(&offer)).client_acks();
    close_by(&mut conn, Side::Server, 4401);
    analyze(&[conn])
}

#[test]
fn a_private_code_has_its_subprotocols_meaning() {
    assert!(closed_with_4401("graphql-transport-ws").text("protocol-code").contains("Unauthorized"));
}

#[test]
fn a_private_code_of_another_subprotocol_has_none() {
    assert!(!closed_with_4401("chat").has("protocol-code"));
}

#[test]
fn socket_io_announces_its_empty_close() {
    let mut conn = opened_at(1, 0.0);
    conn.server_sends(&wire::text(Side::Server, "41")).client_acks();
    conn.server_sends(&wire::close_empty(Side::Server)).client_sends(&wire::close_empty(Side::Client));
    drop_by(&mut conn, Side::Server);
    let outcome = analyze(&[conn]);
    assert_eq!((outcome.ids(), outcome.findings.len()), (vec!["farewell"], 0));
}

#[test]
fn a_text_of_42_is_no_farewell() {
    let mut conn = opened_at(1, 0.0);
    conn.server_sends(&wire::text(Side::Server, "42[\"bye\"]")).client_acks();
    conn.server_sends(&wire::close_empty(Side::Server)).client_sends(&wire::close_empty(Side::Client));
    drop_by(&mut conn, Side::Server);
    assert!(analyze(&[conn]).ids().is_empty());
}

fn dropped_at(ends: [f64; 4]) -> Outcome {
    let conversations: Vec<_> = ends
        .iter()
        .zip(1_u16..)
        .map(|(end, number)| {
            let start = f64::from(number) * 0.7;
            let mut conn = opened_at(number, start);
            talk(conn.wait(seconds(f64::from(number))));
            drop_by(conn.wait(seconds(end - start - f64::from(number))), Side::Server);
            conn
        })
        .collect();
    analyze(&conversations)
}

#[test]
fn ends_at_one_moment_are_one_event() {
    let outcome = dropped_at([20.0, 20.01, 20.02, 20.0]);
    let finding = outcome.finding("many-at-once").expect("one event");
    assert_eq!((finding.count, finding.connections.len()), (4, 4));
}

#[test]
fn ends_seconds_apart_are_events_of_their_own() {
    assert_eq!(dropped_at([20.0, 23.3, 27.9, 36.0]).finding("many-at-once"), None);
}

/// One client that loses its connection and comes back after each delay.
fn coming_back(delays: &[f64], lose: impl Fn(&mut Conversation)) -> Outcome {
    let mut start = 0.0;
    let mut conversations = Vec::new();
    for (delay, port) in delays.iter().chain([&0.0]).zip(41_000..) {
        let mut conn = same_client_at(port, start);
        talk(conn.wait(seconds(2.0)));
        lose(&mut conn);
        let end = conn.packets().iter().rev().nth(2).expect("a FIN").at_ns;
        start = (end - 1_790_000_000_000_000_000) as f64 / 1e9 + delay;
        conversations.push(conn);
    }
    analyze(&conversations)
}

#[test]
fn coming_back_at_once_again_and_again_lacks_backoff() {
    let outcome = coming_back(&[0.02; 5], |conn| {
        drop_by(conn, Side::Server);
    });
    let finding = outcome.finding("reconnect-without-backoff").expect("no backoff");
    assert!(finding.text.contains("came back to 10.77.2.2:9001 after 20 ms, 5 times"), "{}", finding.text);
}

#[test]
fn sessions_that_follow_on_losses_and_on_own_closes_alike_are_work() {
    // A worker that takes the next job at once, whatever became of the last one.
    let count = std::cell::Cell::new(0);
    let outcome = coming_back(&[0.02; 9], |conn| {
        count.set(count.get() + 1);
        if count.get() % 2 == 0 {
            close_by(conn, Side::Client, 1000)
        } else {
            drop_by(conn, Side::Server)
        };
    });
    assert_eq!(outcome.finding("reconnect-without-backoff"), None);
}

#[test]
fn one_own_close_among_many_losses_excuses_nothing() {
    let count = std::cell::Cell::new(0);
    let outcome = coming_back(&[0.02; 6], |conn| {
        count.set(count.get() + 1);
        if count.get() == 3 {
            close_by(conn, Side::Client, 1000)
        } else {
            drop_by(conn, Side::Server)
        };
    });
    assert!(outcome.finding("reconnect-without-backoff").is_some());
}

#[test]
fn growing_delays_are_backoff() {
    let outcome = coming_back(&[1.1, 1.9, 4.2, 8.0], |conn| {
        drop_by(conn, Side::Server);
    });
    assert_eq!(outcome.finding("reconnect-without-backoff"), None);
}

#[test]
fn coming_back_at_once_after_1012_is_a_fault_of_its_own() {
    let lose = |conn: &mut Conversation| {
        close_by(conn, Side::Server, 1012);
    };
    assert!(coming_back(&[0.02], lose).finding("reconnect-ignores-code").is_some());
    assert_eq!(coming_back(&[8.0], lose).finding("reconnect-ignores-code"), None);
}

fn herd(delays: [f64; 6]) -> Outcome {
    let mut conversations = Vec::new();
    for (delay, number) in delays.iter().zip(1_u16..) {
        let mut conn = opened_at(number, 0.0);
        drop_by(talk(&mut conn).wait(seconds(17.0)), Side::Server);
        conversations.push(conn);
        let address = format!("10.77.1.{number}:{}", 50_000 + number);
        let mut back = Conversation::between(&address, "10.77.2.2:9001");
        back.wait(seconds(17.1 + delay)).connect().upgrade("/ws");
        conversations.push(back);
    }
    analyze(&conversations)
}

#[test]
fn clients_that_come_back_in_the_same_second_are_a_herd() {
    let outcome = herd([1.0, 1.1, 1.2, 1.05, 1.3, 9.0]);
    assert_eq!(outcome.finding("thundering-herd").map(|finding| finding.count), Some(5));
}

#[test]
fn clients_that_spread_their_returns_are_no_herd() {
    assert_eq!(herd([1.0, 3.2, 5.9, 8.1, 12.0, 14.5]).finding("thundering-herd"), None);
}

/// A WebSocket through a proxy, both legs captured: (front, back).
fn legs() -> (Conversation, Conversation) {
    legs_of(0, 0.0)
}

/// The same of the WebSocket with this number, with a key of its own, opened after so many seconds.
fn legs_of(number: u16, start: f64) -> (Conversation, Conversation) {
    let client = format!("10.77.1.2:{}", 40_000 + number);
    let proxy = format!("10.77.2.1:{}", 50_000 + number);
    let isn = u32::from(number) * 10_000;
    let mut front = Conversation::between(&client, "10.77.1.1:8080").numbered(isn + 1_000, isn + 2_000);
    let mut back = Conversation::between(&proxy, "10.77.2.2:9001").numbered(isn + 3_000, isn + 4_000);
    let key = format!("dGhlIHNhbXBsZSBub2{number:03}ZQ==");
    let keyed = |head: Vec<u8>, old: &str, new: &str| {
        String::from_utf8(head).expect("a head is text").replace(old, new).into_bytes()
    };
    let request = keyed(wire::request("/ws"), wire::KEY, &key);
    let response = keyed(wire::response(), &wire::accept_key(wire::KEY), &wire::accept_key(&key));
    front.wait(seconds(start)).connect().client_sends(&request).server_acks();
    back.wait(seconds(start + 0.01)).connect().client_sends(&request).server_acks();
    back.server_sends(&response).client_acks();
    front.wait(seconds(0.02)).server_sends(&response).client_acks();
    back.wait(seconds(0.02));
    talk(&mut front);
    talk(&mut back);
    (front, back)
}

fn closed_by(outcome: &Outcome) -> Vec<&str> {
    outcome.connections.iter().filter_map(|c| c.verdict.closed_by.as_deref()).collect()
}

#[test]
fn a_proxy_that_drops_both_legs_ended_them() {
    let (mut front, mut back) = legs();
    drop_by(front.wait(seconds(3.0)), Side::Server);
    drop_by(back.wait(seconds(3.0)), Side::Client);
    let outcome = analyze(&[front, back]);
    assert_eq!(closed_by(&outcome), ["proxy", "proxy"]);
    assert!(outcome.text("proxy-ended").contains("idle limit of 3.00 s"), "{}", outcome.text("proxy-ended"));
}

#[test]
fn a_proxy_that_drops_both_legs_before_a_whole_second_ran_into_no_timer() {
    let (mut front, mut back) = legs();
    drop_by(front.wait(seconds(2.93)), Side::Server);
    drop_by(back.wait(seconds(2.93)), Side::Client);
    let outcome = analyze(&[front, back]);
    assert!(!outcome.text("proxy-ended").contains("idle limit"), "{}", outcome.text("proxy-ended"));
}

#[test]
fn an_end_that_the_proxy_passes_on_is_the_servers() {
    let (mut front, mut back) = legs();
    drop_by(back.wait(seconds(3.0)), Side::Server);
    drop_by(front.wait(seconds(3.01)), Side::Server);
    let outcome = analyze(&[front, back]);
    assert_eq!(closed_by(&outcome), ["server", "server"]);
    assert!(!outcome.has("proxy-ended"));
}

#[test]
fn a_close_that_the_proxy_made_of_a_drop_is_named() {
    let (mut front, mut back) = legs();
    drop_by(front.wait(seconds(3.0)), Side::Client);
    close_by(back.wait(seconds(3.01)), Side::Client, 1000);
    let outcome = analyze(&[front, back]);
    assert!(
        outcome.text("proxy-ended").contains("made a Close 1000 of it"),
        "{}",
        outcome.text("proxy-ended")
    );
}

#[test]
fn one_connection_before_and_behind_a_nat_is_no_pair_of_legs() {
    let end = |mut conn: Conversation, side: Side| {
        conn.connect().upgrade("/ws");
        drop_by(talk(&mut conn).wait(seconds(3.0)), side);
        conn
    };
    let before = end(Conversation::between("10.77.1.2:40000", "10.77.2.2:9001"), Side::Server);
    let behind = end(Conversation::between("10.77.2.1:40000", "10.77.2.2:9001"), Side::Client);
    assert_eq!(closed_by(&analyze(&[before, behind])), ["server", "client"]);
}

/// A connection that asked for a WebSocket, was answered so, and closed by the server.
fn asked_and_answered(answer: &[u8]) -> Conversation {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws")).server_acks();
    if !answer.is_empty() {
        conn.server_sends(answer).client_acks();
    }
    drop_by(&mut conn, Side::Server);
    conn
}

#[test]
fn a_failed_handshake_is_advised_by_how_far_it_came() {
    let cases: [(&[u8], &str); 4] = [
        (b"", "the server's log: it took the request"),
        (b"HTTP/1.1 101 Switching Pro", "the server's log: it took the request"),
        (&wire::refusal(400, "Bad Request"), "Sec-WebSocket-Version"),
        (&wire::refusal(302, "Found"), "redirects"),
    ];
    for (answer, advice) in cases {
        let outcome = analyze(&[asked_and_answered(answer)]);
        let said = &outcome.connections[0].diagnosis[0];
        assert_eq!(said.id, "handshake-failed");
        let given = said.advice.as_deref().unwrap();
        assert!(given.contains(advice) && !given.contains("firewall"), "{given}");
    }
}

#[test]
fn two_findings_of_one_kind_never_have_the_same_words() {
    let mut conversations = Vec::new();
    // One limit that a server enforces by FIN and by RST, each on connections of several ages.
    for number in 1..=6 {
        let mut conn = opened_at(number, f64::from(number) * 3.0);
        (0..number).for_each(|_| _ = talk(conn.wait(seconds(0.7))));
        conn.wait(seconds(4.5));
        if number % 2 == 0 {
            drop_by(&mut conn, Side::Server)
        } else {
            conn.rst(Side::Server)
        };
        conversations.push(conn);
    }
    // One client that comes back at once to two paths of another server.
    for (path, start) in [("/a", 100.0), ("/b", 200.0)] {
        for turn in 0..5_u16 {
            let port = if path == "/a" { 41_000 } else { 42_000 } + turn;
            let mut conn = Conversation::between(&format!("10.77.1.99:{port}"), "10.77.2.3:9001");
            conn.wait(seconds(start + f64::from(turn) * 2.06)).connect().upgrade(path);
            drop_by(talk(&mut conn).wait(seconds(2.0)), Side::Server);
            conversations.push(conn);
        }
    }
    let outcome = analyze(&conversations);
    let mut texts: Vec<&str> = outcome.findings.iter().map(|finding| finding.text.as_str()).collect();
    let holds = |words: &str| texts.iter().filter(|text| text.contains(words)).count();
    assert_eq!(holds("ended, by server, each 4.50 s after"), 1, "{texts:#?}");
    assert_eq!(holds("were reset, by server, each 4.50 s after"), 1, "{texts:#?}");
    assert_eq!(holds("client 10.77.1.99 came back to 10.77.2.3:9001 after"), 2, "{texts:#?}");
    assert_eq!(holds(", first in packet "), 2, "{texts:#?}");
    texts.sort_unstable();
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "{texts:#?}");
}
