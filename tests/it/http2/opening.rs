//! How a WebSocket in HTTP/2 is recognised, and what is none.

use super::{answers, check, on};
use crate::support::conversation::Conversation;
use crate::support::http2_wire::{
    self as h2, END_HEADERS, END_STREAM, PADDED, WITH_PRIORITY, field, frame, opened,
};
use crate::support::run;
use crate::support::wire;
use wsclose::side::Side::{Client, Server};

/// Both sides' bytes of a connection with a WebSocket that is closed with 1000.
fn whole() -> (Vec<u8>, Vec<u8>) {
    let client = [
        h2::preface(),
        h2::connect(1, "/1"),
        h2::data(1, &wire::text(Client, "hello")),
        h2::close(Client, 1, 1000),
    ];
    let server = [h2::allows_connect(), h2::answer(1, 200), h2::close(Server, 1, 1000), h2::end(1)];
    (client.concat(), server.concat())
}

#[test]
fn bytes_cut_anywhere_mean_the_same() {
    let (client, server) = whole();
    for cut in 1..client.len().max(server.len()) {
        let mut conn = Conversation::connected();
        let (client_cut, server_cut) = (cut.min(client.len() - 1), cut.min(server.len() - 1));
        // Up to the request, and behind it the rest.
        conn.sends_cut(Client, &client, &[client_cut]).server_acks();
        conn.sends_cut(Server, &server, &[server_cut]).client_acks();
        check(&conn, &[(1, "coded:1000 by client")]);
    }
}

#[test]
fn single_bytes_mean_the_same() {
    let (client, server) = whole();
    let mut conn = Conversation::connected();
    conn.sends_cut(Client, &client, &(1..client.len()).collect::<Vec<_>>()).server_acks();
    conn.sends_cut(Server, &server, &(1..server.len()).collect::<Vec<_>>()).client_acks();
    check(&conn, &[(1, "coded:1000 by client")]);
}

#[test]
fn a_server_may_speak_first() {
    let (client, server) = whole();
    for cut in 1..h2::allows_connect().len() {
        let mut conn = Conversation::connected();
        conn.server_sends(&server[..cut]).client_sends(&client).server_sends(&server[cut..]).client_acks();
        check(&conn, &[(1, "coded:1000 by client")]);
    }
}

#[test]
fn an_upgrade_to_h2c_leads_there_too() {
    let (client, server) = whole();
    let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    // Stream 1 is the request before the switch; the WebSocket comes behind it.
    let client: Vec<u8> =
        [&client[..h2::preface().len()], &h2::connect(3, "/3"), &h2::close(Client, 3, 1000)].concat();
    let first = [&h2::allows_connect()[..], &h2::answer(1, 200), &h2::end(1)].concat();
    let rest = [h2::answer(3, 200), h2::close(Server, 3, 1000)].concat();
    assert!(server.starts_with(&h2::allows_connect()));
    for server_first in [false, true] {
        let mut conn = Conversation::connected();
        conn.client_sends(request);
        if server_first {
            conn.server_sends(&[&answer[..], &first].concat()).client_sends(&client);
        } else {
            conn.server_sends(answer).client_sends(&client).server_sends(&first);
        }
        conn.server_sends(&rest).client_acks();
        check(&conn, &[(3, "coded:1000 by client")]);
    }
}

#[test]
fn padding_priority_and_continuations_are_read_through() {
    let block = h2::connect_block("/padded");
    let (first, rest) = block.split_at(20);
    let (second, third) = rest.split_at(7);
    let payload = [&[3][..], &[0, 0, 0, 0, 15], first, &[0; 3]].concat();
    let client = [
        h2::preface(),
        frame(h2::HEADERS, PADDED | WITH_PRIORITY, 1, &payload),
        frame(h2::CONTINUATION, 0, 1, second),
        frame(h2::CONTINUATION, END_HEADERS, 1, third),
    ];
    let padded = |bytes: &[u8]| frame(h2::DATA, PADDED, 1, &[&[5][..], bytes, &[0; 5]].concat());
    let mut conn = Conversation::connected();
    conn.client_sends(&client.concat()).server_sends(&h2::allows_connect()).server_sends(&h2::answer(1, 200));
    // A Close in two DATA frames, with padding between its halves.
    let close = wire::close(Client, 4000, "bye");
    conn.client_sends(&padded(&close[..4])).client_sends(&padded(&close[4..])).server_acks();
    let outcome = check(&conn, &[(1, "coded:4000 by client")]);
    assert_eq!(outcome.only().handshake.path.as_deref(), Some("/padded"));
    assert!(outcome.only().anomalies.is_empty());
}

#[test]
fn frames_of_unknown_types_are_passed_over() {
    let mut conn = opened(&[1]);
    conn.server_sends(&frame(0x0b + 0x1f, 0xff, 0x7fff_ffff, b"grease")).server_sends(&frame(
        h2::PING,
        0,
        0,
        &[0; 8],
    ));
    conn.server_sends(&h2::close(Server, 1, 1001)).client_acks();
    assert!(check(&conn, &[(1, "coded:1001 by server")]).only().anomalies.is_empty());
}

#[test]
fn a_stream_that_was_not_answered_with_2xx_is_refused() {
    let mut conn = opened(&[1]);
    conn.client_sends(&h2::connect(3, "/3")).server_sends(&h2::answer(3, 403));
    conn.server_sends(&frame(h2::DATA, END_STREAM, 3, b"\x88\x02\x03\xe8 is no Close")).client_acks();
    let outcome = check(&conn, &[(1, "open:open by -"), (3, "refused:refused by server")]);
    assert_eq!(on(&outcome, 3).handshake.status, Some(403));
}

#[test]
fn interim_answers_and_trailers_are_no_answers() {
    let mut conn = Conversation::connected();
    conn.client_sends(&[h2::preface(), h2::connect(1, "/1")].concat()).server_sends(&h2::allows_connect());
    conn.server_sends(&h2::answer(1, 103)).server_sends(&h2::answer(1, 200)).client_acks();
    conn.server_sends(&frame(h2::HEADERS, END_HEADERS | END_STREAM, 1, &field("x", "y"))).client_acks();
    let outcome = check(&conn, &[(1, "abnormal:1006:fin by server")]);
    assert_eq!(outcome.only().handshake.status, Some(200));
}

#[test]
fn what_asks_for_no_websocket_is_not_listed() {
    let other: Vec<u8> =
        [(":method", "CONNECT"), (":protocol", "connect-udp"), (":path", "/"), (":authority", "h")]
            .iter()
            .flat_map(|(name, value)| field(name, value))
            .collect();
    let mut conn = Conversation::connected();
    conn.client_sends(&[h2::preface(), h2::get(1), frame(h2::HEADERS, END_HEADERS, 3, &other)].concat());
    conn.server_sends(
        &[h2::allows_connect(), h2::answer(1, 200), h2::data(1, &[0x88; 500]), h2::end(1)].concat(),
    );
    conn.server_sends(&h2::answer(3, 200)).client_acks().fin(Client).fin(Server).acks(Client);
    let outcome = run::analyze_packets(&conn.packets());
    assert_eq!((answers(&outcome), outcome.other_connections), (Vec::new(), 1));
    assert_eq!(outcome.anomalies.iter().count(), 0);
}

#[test]
fn a_preface_without_settings_behind_it_is_no_http2() {
    let mut conn = Conversation::connected();
    conn.client_sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand something else entirely").server_acks();
    conn.server_sends(b"HTTP/1.1 400 Bad Request\r\n\r\n").client_acks();
    let outcome = run::analyze_packets(&conn.packets());
    assert_eq!((answers(&outcome), outcome.anomalies.iter().count()), (Vec::new(), 0));
}
