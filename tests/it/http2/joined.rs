//! Captures that begin behind the preface: HTTP/2 is known by its frames, and a WebSocket whose request nobody can read by
//! its own.

use super::{answers, check, has, on};
use crate::support::conversation::Conversation;
use crate::support::http2_wire::{self as h2, END_HEADERS, END_STREAM, field, frame, opened};
use crate::support::packet::TcpPacket;
use crate::support::run::{self, Outcome};
use crate::support::wire;
use std::time::Duration;
use wsclose::anomaly::Anomaly;
use wsclose::side::Side::{self, Client, Server};

/// What `later` adds to a connection with a WebSocket open on each of `streams`, without what came before.
fn behind_the_start(streams: &[u32], later: impl FnOnce(&mut Conversation)) -> Vec<TcpPacket> {
    let mut conn = opened(streams);
    let before = conn.packets().len();
    later(&mut conn);
    conn.packets().split_off(before)
}

/// PINGs both ways, and an enlarged window: what any connection has.
fn talk(conn: &mut Conversation, first: Side) {
    for side in [first, first.other(), first, first.other()] {
        conn.sends(side, &frame(h2::PING, 0, 0, &[7; 8])).sends(side, &h2::window_update(0, 1_000));
    }
}

fn messages(conn: &mut Conversation, stream: u32) {
    for _ in 0..3 {
        conn.client_sends(&h2::data(stream, &wire::text(Client, "a question")));
        conn.server_sends(&h2::data(stream, &wire::text(Server, "an answer"))).client_acks();
    }
}

fn closes(conn: &mut Conversation, stream: u32, code: u16) {
    conn.client_sends(&h2::close(Client, stream, code)).server_sends(&h2::close(Server, stream, code));
    conn.server_sends(&h2::end(stream)).client_sends(&h2::end(stream)).server_acks();
}

fn sorted(packets: &[TcpPacket]) -> (Vec<(Option<u32>, String)>, Outcome) {
    let outcome = run::analyze_packets(packets);
    let mut found = answers(&outcome);
    found.sort();
    (found, outcome)
}

#[test]
fn streams_that_open_behind_the_start_are_followed_whoever_is_seen_first() {
    for first in Side::BOTH {
        let packets = behind_the_start(&[1], |conn| {
            talk(conn, first);
            conn.client_sends(&h2::connect(3, "/3")).server_sends(&h2::answer(3, 200)).client_acks();
            conn.client_sends(&h2::data(3, &wire::text(Client, "hello")));
            closes(conn, 3, 4003);
            conn.client_sends(&h2::connect(5, "/5")).server_sends(&h2::answer(5, 200)).client_acks();
            conn.server_sends(&h2::end(5)).client_sends(&h2::end(5)).server_acks();
        });
        let (found, outcome) = sorted(&packets);
        let expected = [(3, "coded:4003 by client"), (5, "abnormal:1006:fin by server")];
        assert_eq!(found, expected.map(|(stream, answer)| (Some(stream), answer.to_owned())), "{first}");
        let third = on(&outcome, 3);
        assert_eq!((third.handshake.path.as_deref(), third.client.port), (Some("/3"), 33_046), "{first}");
        assert!(third.anomalies.is_empty(), "{:?}", third.anomalies);
    }
}

#[test]
fn a_websocket_opened_before_is_known_by_its_frames() {
    for first in Side::BOTH {
        let packets = behind_the_start(&[1, 3], |conn| {
            talk(conn, first);
            messages(conn, 1);
            messages(conn, 3);
            closes(conn, 1, 1000);
            conn.wait(Duration::from_secs(1)).client_sends(&h2::rst(3, h2::CANCEL)).server_acks();
        });
        let (found, outcome) = sorted(&packets);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], (Some(1), "coded:1000 by client".to_owned()));
        // Of what came before the capture nothing is said.
        let cancelled = on(&outcome, 3);
        assert_eq!((&*cancelled.handshake.seen, &*cancelled.carrier), ("none", "h2"));
        assert_eq!((cancelled.verdict.label.as_ref(), &*cancelled.teardown.kind), ("1006", "rst_stream"));
    }
}

#[test]
fn a_request_by_entries_of_the_lost_table_is_known_by_its_frames() {
    let by_index = [0xbe, 0xbf, 0xc0, 0xc1];
    let packets = behind_the_start(&[1], |conn| {
        talk(conn, Client);
        conn.client_sends(&frame(h2::HEADERS, END_HEADERS, 3, &by_index)).server_sends(&h2::answer(3, 200));
        messages(conn, 3);
        closes(conn, 3, 4000);
        // Refused, or no WebSocket at all: nobody knows.
        conn.client_sends(&frame(h2::HEADERS, END_HEADERS, 5, &by_index)).server_sends(&h2::answer(5, 403));
        conn.server_sends(&h2::end(5)).client_acks();
        conn.client_sends(&frame(h2::HEADERS, END_HEADERS, 7, &by_index)).server_sends(&h2::answer(7, 200));
        conn.server_sends(&h2::data(7, &[b'x'; 1_000])).server_sends(&h2::end(7)).client_acks();
    });
    let (found, outcome) = sorted(&packets);
    assert_eq!(found, [(Some(3), "coded:4000 by client".to_owned())]);
    let third = on(&outcome, 3);
    assert_eq!((third.handshake.method.as_deref(), third.handshake.path.as_deref()), (None, None));
    assert_eq!(third.handshake.status, Some(200));
    assert!(has(third, "http2_table_lost"), "the report says so");
}

#[test]
fn http2_without_websockets_gives_none_when_joined() {
    let fields: Vec<u8> =
        [(":method", "GET"), (":path", "/")].iter().flat_map(|(n, v)| field(n, v)).collect();
    // gRPC: each message begins with a zero and its length.
    let grpc = [&[0, 0, 0, 0, 5][..], b"\x0a\x03abc"].concat();
    let packets = behind_the_start(&[1], |conn| {
        talk(conn, Client);
        for stream in [21, 23, 25] {
            conn.client_sends(&frame(h2::HEADERS, END_HEADERS, stream, &fields));
            conn.client_sends(&h2::data(stream, &grpc)).server_sends(&h2::answer(stream, 200));
            for _ in 0..5 {
                conn.server_sends(&h2::data(stream, &grpc)).client_sends(&h2::data(19, &grpc));
            }
            conn.server_sends(&frame(
                h2::HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                &field("grpc-status", "0"),
            ));
        }
    });
    let (found, outcome) = sorted(&packets);
    assert_eq!((found, outcome.other_connections), (Vec::new(), 1));
    assert_eq!(outcome.anomalies.iter().collect::<Vec<_>>(), Vec::new());
}

#[test]
fn a_few_frames_are_not_enough() {
    // One PING each way, and a request that would open a WebSocket: three frames, and none of one side follows on another.
    let packets = behind_the_start(&[], |conn| {
        conn.client_sends(&frame(h2::PING, 0, 0, &[7; 8])).server_sends(&frame(h2::PING, 1, 0, &[7; 8]));
        conn.client_sends(&h2::connect(3, "/3")).server_acks();
    });
    assert_eq!(answers(&run::analyze_packets(&packets)), Vec::new());
}

/// What a protocol's client and server write, again and again.
fn exchange(client: &[u8], server: &[u8]) -> Outcome {
    let packets = behind_the_start(&[], |conn| {
        for _ in 0..20 {
            conn.client_sends(client).server_sends(server).client_acks();
        }
    });
    run::analyze_packets(&packets)
}

#[test]
fn protocols_that_also_begin_with_a_length_are_none() {
    let cases: [(&str, &[u8], &[u8]); 6] = [
        ("Modbus", &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1], &[0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 7]),
        ("Kafka", &[0, 0, 0, 11, 0, 12, 0, 0, 0, 0, 0, 1, 0, 1, b'c'], &[0, 0, 0, 6, 0, 0, 0, 1, 0, 0]),
        ("a length of four bytes", &[0, 0, 0, 5, 0, 0, 0, 0, 1], &[0, 0, 0, 5, 0, 0, 0, 0, 1]),
        (
            "DNS",
            &[0, 17, 0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1],
            &[0, 12, 0, 9, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0],
        ),
        ("MySQL", &[1, 0, 0, 0, 14], &[7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]),
        ("zeros", &[0; 27], &[0; 18]),
    ];
    for (name, client, server) in cases {
        let outcome = exchange(client, server);
        assert_eq!((answers(&outcome), outcome.anomalies.iter().count()), (Vec::new(), 0), "{name}");
    }
}

#[test]
fn frames_that_only_one_side_sends_must_be_more_than_data() {
    // A length of three bytes, five that never change, and as much content: only its like from the other side would tell.
    let data = h2::data(1, b"\x0a\x03abc");
    let outcome = exchange(&data, b"ok\n");
    assert_eq!((answers(&outcome), outcome.count(Anomaly::Http2FrameMalformed)), (Vec::new(), 0));
}

#[test]
fn an_open_websocket_needs_no_more_than_its_messages() {
    let packets = behind_the_start(&[1], |conn| {
        for _ in 0..3 {
            messages(conn, 1);
        }
        closes(conn, 1, 1001);
    });
    let (found, _) = sorted(&packets);
    assert_eq!(found, [(Some(1), "coded:1001 by client".to_owned())]);
}

#[test]
fn with_recognition_in_mid_stream_off_nothing_is_joined() {
    let packets = behind_the_start(&[1], |conn| {
        talk(conn, Client);
        messages(conn, 1);
    });
    let options = wsclose::analyzer::Options { no_midstream: true, ..Default::default() };
    assert_eq!(answers(&run::analyze_packets_with(&packets, options)), Vec::new());
    check_followed_with_it(&packets);
}

fn check_followed_with_it(packets: &[TcpPacket]) {
    assert_eq!(answers(&run::analyze_packets(packets)), [(Some(1), "open:open by -".to_owned())]);
}

#[test]
fn the_whole_connection_has_the_same_answers() {
    let mut conn = opened(&[1]);
    talk(&mut conn, Client);
    messages(&mut conn, 1);
    closes(&mut conn, 1, 1000);
    check(&conn, &[(1, "coded:1000 by client")]);
}
