//! WebSockets whose handshake is not in the capture, and other protocols that must not be taken for one.

use super::{both_fins, check_packets};
use crate::support::conversation::Conversation;
use crate::support::rng::Rng;
use crate::support::run;
use crate::support::wire;
use wsclose::analyzer::Options;
use wsclose::side::Side::{self, Client, Server};

/// Frames both ways, then `end`; the capture begins behind the handshake.
fn joined(end: impl FnOnce(&mut Conversation)) -> Vec<crate::support::packet::TcpPacket> {
    let mut conn = Conversation::opened();
    let handshake = conn.packets().len();
    for _ in 0..3 {
        conn.client_sends(&wire::text(Client, "question")).server_acks();
        conn.server_sends(&wire::text(Server, "answer")).client_acks();
    }
    end(&mut conn);
    conn.packets().split_off(handshake)
}

#[test]
fn a_websocket_joined_in_mid_stream_is_recognised_and_judged() {
    let outcome = check_packets(
        &joined(|conn| {
            conn.server_sends(&wire::close(Server, 1012, "restart"))
                .client_sends(&wire::close(Client, 1012, ""));
            both_fins(conn, Server);
        }),
        "coded:1012 by server",
    );
    assert_eq!(outcome.only().handshake.seen, "none");
    check_packets(&joined(|conn| both_fins(conn, Client)), "abnormal:1006:fin by client");
    check_packets(&joined(|_| {}), "open:open by -");
}

#[test]
fn headers_in_segments_of_their_own_are_recognised() {
    let header_len = |side| if side == Client { 6 } else { 2 };
    for split in [&[Server][..], &[Client], &[Client, Server]] {
        for first in [Client, Server] {
            let mut conn = Conversation::opened();
            let handshake = conn.packets().len();
            let says = |conn: &mut Conversation, side: Side, bytes: &[u8]| {
                let cut = [header_len(side)];
                conn.sends_cut(side, bytes, if split.contains(&side) { &cut } else { &[] })
                    .acks(side.other());
            };
            for _ in 0..3 {
                says(&mut conn, first, &wire::text(first, "question"));
                says(&mut conn, first.other(), &wire::text(first.other(), "answer"));
            }
            says(&mut conn, Server, &wire::close(Server, 1012, "restart"));
            says(&mut conn, Client, &wire::close(Client, 1012, ""));
            both_fins(&mut conn, Server);
            let outcome = check_packets(&conn.packets().split_off(handshake), "coded:1012 by server");
            assert_eq!(outcome.only().server.port, 9001, "{split:?}, {first} first");
        }
    }
}

#[test]
fn a_length_in_a_segment_of_its_own_is_no_websocket() {
    let mut rng = Rng::new(21);
    for prefix in [2_usize, 4] {
        for _ in 0..200 {
            let turns: Vec<_> = (0..12)
                .flat_map(|turn| {
                    let len = 1 + rng.below(400) as usize;
                    let side = if turn % 2 == 0 { Client } else { Server };
                    let length = (len as u32).to_be_bytes()[4 - prefix..].to_vec();
                    [(side, length), (side, (0..len).map(|_| rng.bits() as u8).collect())]
                })
                .collect();
            is_no_websocket("a length alone", &turns);
        }
    }
}

#[test]
fn masks_tell_client_from_server_whoever_speaks_first() {
    let packets = joined(|conn| _ = conn.rst(Server));
    let from_server: Vec<_> = packets[1..].to_vec();
    assert_eq!(from_server[0].src.port(), 9001);
    let outcome = check_packets(&from_server, "abnormal:1006:rst by server");
    assert_eq!(outcome.only().server.port, 9001);
}

/// RFC 6455 §5.5.1 forbids data behind a Close, not pings and pongs: who sends nothing else may have closed before.
#[test]
fn a_side_joined_in_mid_stream_that_only_answers_pings_may_have_sent_a_close_before() {
    for beat in [wire::ping(Client, b"?"), wire::pong(Client, b"?")] {
        let mut conn = Conversation::opened();
        conn.client_sends(&wire::close(Client, 1000, "")).server_acks();
        let closed = conn.packets().len();
        for _ in 0..3 {
            conn.server_sends(&wire::text(Server, "news")).server_sends(&wire::ping(Server, b"?"));
            conn.client_sends(&beat).server_acks();
        }
        conn.rst(Server);
        check_packets(&conn.packets(), "coded:1000 by client");
        let outcome = check_packets(&conn.packets()[closed..], "unknown:unknown by unknown");
        assert_eq!(outcome.only().verdict.blind.as_deref(), Some("started-late"));

        // Nor does a hole behind the server's Close show that it was the first.
        let mut packets = conn.packets();
        packets.pop();
        let mut conn = conn.clone();
        let from = conn.packets().len();
        conn.server_sends(&wire::close(Server, 1001, ""));
        conn.next_lost_unseen().client_sends(&beat).client_sends(&beat).rst(Server);
        packets.extend(conn.packets().split_off(from));
        let outcome = check_packets(&packets[closed..], "unknown:unknown by unknown");
        assert_eq!(outcome.only().verdict.blind.as_deref(), Some("started-late"));
    }
}

#[test]
fn no_midstream_turns_it_off() {
    let packets = joined(|conn| both_fins(conn, Client));
    let outcome = run::analyze_packets_with(&packets, Options { no_midstream: true, ..Options::default() });
    assert_eq!((outcome.connections.len(), outcome.other_connections), (0, 1));
}

#[test]
fn one_direction_is_enough_to_recognise_a_websocket_and_not_to_claim_1006() {
    for side in Side::BOTH {
        let mut packets = joined(|conn| both_fins(conn, Client));
        let address = if side == Client { packets[0].src } else { packets[0].dst };
        packets.retain(|packet| packet.src == address);
        let outcome = run::analyze_packets(&packets);
        assert_eq!(outcome.only().verdict.kind, "unknown");
        assert_eq!(outcome.only().verdict.blind.as_deref(), Some("one-sided"));
    }
}

#[test]
fn a_joined_websocket_in_the_middle_of_a_long_message_is_recognised_behind_it() {
    let message = wire::binary(Server, &[0x55; 4_000]);
    let mut conn = Conversation::opened();
    conn.server_sends(&message[..1_000]);
    let start = conn.packets().len();
    conn.server_sends(&message[1_000..]).client_acks();
    for _ in 0..4 {
        conn.server_sends(&wire::text(Server, "tick")).client_acks();
        conn.client_sends(&wire::text(Client, "tock")).server_acks();
    }
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    both_fins(&mut conn, Server);
    check_packets(&conn.packets()[start..], "coded:1001 by server");
}

/// Messages of other protocols, each in a segment of its own, by turns.
fn speaks(messages: &[(Side, Vec<u8>)], from_syn: bool) -> run::Outcome {
    let mut conn = Conversation::connected();
    let start = if from_syn { 0 } else { conn.packets().len() };
    for (side, bytes) in messages {
        conn.sends(*side, bytes).acks(side.other());
    }
    both_fins(&mut conn, Client);
    run::analyze_packets(&conn.packets()[start..])
}

fn is_no_websocket(name: &str, messages: &[(Side, Vec<u8>)]) {
    for from_syn in [true, false] {
        let outcome = speaks(messages, from_syn);
        assert_eq!(outcome.connections.len(), 0, "{name}, from its SYN: {from_syn}");
    }
}

#[test]
fn dns_over_tcp_is_no_websocket() {
    // RFC 1035 §4.2.2: two bytes of length, then the message, whose first two bytes are any number.
    let message = |id: u16, len: usize| {
        let mut message = (len as u16).to_be_bytes().to_vec();
        message.extend(id.to_be_bytes());
        message.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'w', b'w', 0, 0, 1, 0, 1]);
        message.resize(2 + len, b'x');
        message
    };
    let mut rng = Rng::new(53);
    for _ in 0..200 {
        let turns: Vec<_> = (0..10)
            .flat_map(|_| {
                let id = rng.bits() as u16;
                [
                    (Client, message(id, 20 + rng.below(80) as usize)),
                    (Server, message(id, 40 + rng.below(400) as usize)),
                ]
            })
            .collect();
        is_no_websocket("DNS", &turns);
    }
}

#[test]
fn mqtt_is_no_websocket() {
    let turns = [
        (Client, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id".to_vec()), // CONNECT
        (Server, vec![0x20, 0x02, 0, 0]),                                     // CONNACK
        (Client, b"\x82\x08\x00\x01\x00\x03a/b\x00".to_vec()),                // SUBSCRIBE
        (Server, vec![0x90, 0x03, 0, 1, 0]),                                  // SUBACK
        (Server, b"\x30\x0a\x00\x03a/bhello".to_vec()),                       // PUBLISH
        (Server, b"\x30\x0a\x00\x03a/bworld".to_vec()),
        (Client, vec![0xc0, 0x00]), // PINGREQ
        (Server, vec![0xd0, 0x00]), // PINGRESP
        (Client, b"\x82\x08\x00\x02\x00\x03a/c\x00".to_vec()),
        (Server, vec![0x90, 0x03, 0, 2, 0]),
        (Client, b"\x82\x08\x00\x03\x00\x03a/d\x00".to_vec()),
        (Server, vec![0x90, 0x03, 0, 3, 0]),
        (Client, b"\x82\x08\x00\x04\x00\x03a/e\x00".to_vec()),
        (Server, vec![0x90, 0x03, 0, 4, 0]),
        (Client, b"\x82\x08\x00\x05\x00\x03a/f\x00".to_vec()),
        (Server, vec![0x90, 0x03, 0, 5, 0]),
        (Client, vec![0xe0, 0x00]), // DISCONNECT
    ];
    is_no_websocket("MQTT", &turns);
    for start in 1..turns.len() {
        is_no_websocket("MQTT joined later", &turns[start..]);
    }
}

#[test]
fn length_prefixed_binary_is_no_websocket() {
    let mut rng = Rng::new(7);
    for prefix in [1_usize, 2, 4] {
        for _ in 0..300 {
            let turns: Vec<_> = (0..12)
                .map(|turn| {
                    let len = 1 + rng.below(if prefix == 1 { 250 } else { 600 }) as usize;
                    let mut message = (len as u32).to_be_bytes()[4 - prefix..].to_vec();
                    message.extend((0..len).map(|_| rng.bits() as u8));
                    (if turn % 2 == 0 { Client } else { Server }, message)
                })
                .collect();
            is_no_websocket("length-prefixed", &turns);
        }
    }
}

#[test]
fn random_bytes_are_no_websocket() {
    let mut rng = Rng::new(99);
    for _ in 0..1_000 {
        let turns: Vec<_> = (0..16)
            .map(|_| {
                let len = 1 + rng.below(300) as usize;
                (if rng.chance(500) { Client } else { Server }, (0..len).map(|_| rng.bits() as u8).collect())
            })
            .collect();
        is_no_websocket("random", &turns);
    }
}

#[test]
fn text_protocols_and_tls_are_no_websocket() {
    let line = |side, text: &str| (side, text.as_bytes().to_vec());
    is_no_websocket(
        "SMTP",
        &[
            line(Server, "220 mx ESMTP\r\n"),
            line(Client, "EHLO x\r\n"),
            line(Server, "250 ok\r\n"),
            line(Client, "QUIT\r\n"),
        ],
    );
    is_no_websocket(
        "Redis",
        &[
            line(Client, "*1\r\n$4\r\nPING\r\n"),
            line(Server, "+PONG\r\n"),
            line(Client, "*1\r\n$4\r\nPING\r\n"),
            line(Server, "+PONG\r\n"),
        ],
    );
    is_no_websocket(
        "SSH",
        &[
            line(Server, "SSH-2.0-OpenSSH_9.2\r\n"),
            line(Client, "SSH-2.0-x\r\n"),
            (Client, vec![0, 0, 5, 0x9c, 4, 20]),
        ],
    );
    let record = |len: usize| [&[23, 3, 3][..], &(len as u16).to_be_bytes(), &vec![0x81; len]].concat();
    is_no_websocket(
        "TLS",
        &[(Client, record(130)), (Server, record(258)), (Client, record(22)), (Server, record(2))],
    );
    let h2 = |kind: u8| vec![0, 0, 4, kind, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    is_no_websocket(
        "HTTP/2",
        &[
            (Client, [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), h2(4)].concat()),
            (Server, h2(4)),
            (Client, h2(8)),
            (Server, h2(8)),
        ],
    );
}

#[test]
fn two_byte_counters_are_no_websocket() {
    // 0x81 0x02 and so on: a protocol of three-byte and four-byte messages that looks like short frames at times.
    let mut rng = Rng::new(3);
    for _ in 0..300 {
        let turns: Vec<_> = (0..14)
            .map(|turn: u32| {
                let message = vec![0x80 | rng.bits() as u8, rng.bits() as u8, turn as u8, rng.bits() as u8];
                (if turn.is_multiple_of(2) { Client } else { Server }, message)
            })
            .collect();
        is_no_websocket("counters", &turns);
    }
}
