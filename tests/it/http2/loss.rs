//! What the capture lacks: each stream is judged by its own sight.

use super::{check, has, on};
use crate::support::http2_wire::{self as h2, END_HEADERS, frame, opened};
use crate::support::packet::TcpPacket;
use crate::support::run;
use crate::support::wire;
use wsclose::side::Side::{self, Client, Server};

#[test]
fn a_hole_inside_another_streams_data_hides_nothing() {
    for by in Side::BOTH {
        let mut conn = opened(&[1]);
        let body = frame(h2::DATA, 0, 2, &[b'x'; 300]);
        conn.sends(by, &body[..100]).next_not_captured().sends(by, &body[100..200]).sends(by, &body[200..]);
        conn.sends(by, &h2::end(1)).sends(by.other(), &h2::end(1)).acks(by);
        check(&conn, &[(1, &format!("abnormal:1006:fin by {by}"))]);
    }
}

#[test]
fn a_hole_inside_a_message_of_known_length_hides_nothing() {
    let mut conn = opened(&[1]);
    let message = h2::data(1, &wire::text(Server, &"x".repeat(300)));
    conn.server_sends(&message[..100]).next_not_captured().server_sends(&message[100..200]);
    conn.server_sends(&message[200..]).client_acks();
    conn.server_sends(&h2::end(1)).client_sends(&h2::end(1)).server_acks();
    check(&conn, &[(1, "abnormal:1006:fin by server")]);
}

#[test]
fn a_hole_across_frames_hides_what_may_have_been_a_close() {
    for by in Side::BOTH {
        let mut conn = opened(&[1, 3]);
        conn.next_not_captured().sends(by, &h2::close(by, 3, 1001));
        conn.sends(by, &h2::end(1)).sends(by.other(), &h2::end(1)).acks(by);
        // Stream 3 shows afterwards that the Close was not its own.
        conn.sends(by, &h2::data(3, &wire::text(by, "went on"))).acks(by.other());
        conn.sends(by, &h2::end(3)).sends(by.other(), &h2::end(3)).acks(by);
        let outcome = run::analyze_packets(&conn.packets());
        let verdict = &on(&outcome, 1).verdict;
        assert_eq!(
            (verdict.kind.as_ref(), verdict.blind.as_deref()),
            ("unknown", Some("gap")),
            "{}",
            verdict.why
        );
        assert_eq!(on(&outcome, 3).verdict.kind, "abnormal");
    }
}

#[test]
fn a_reset_by_one_side_does_not_clear_the_other_sides_hole() {
    // The direction with the hole is read late: by then its stream has been reset.
    let mut conn = opened(&[1]);
    conn.next_not_captured().server_sends(&h2::close(Server, 1, 1001));
    conn.server_sends(&frame(h2::PING, 0, 0, &[0; 8])).client_sends(&h2::rst(1, h2::CANCEL)).server_acks();
    let outcome = run::analyze_packets(&conn.packets());
    assert_eq!(outcome.only().verdict.kind, "unknown", "{}", outcome.only().verdict.why);
}

#[test]
fn headers_of_a_lost_table_are_unknown_and_recognised_streams_go_on() {
    // The request's fields as entries of the table, then by their indices.
    let indexed = |name: &str, value: &str| {
        let mut field = h2::field(name, value);
        field[0] = 0x40;
        field
    };
    let entries =
        [indexed(":protocol", "websocket"), indexed(":method", "CONNECT"), indexed(":path", "/entered")]
            .concat();
    let by_index = [0xbe, 0xbf, 0xc0];
    let opens = |lost: bool| {
        let mut conn = opened(&[1]);
        conn.client_sends(&frame(h2::HEADERS, END_HEADERS, 3, &entries))
            .server_sends(&h2::answer(3, 200))
            .client_acks();
        if lost {
            conn.next_not_captured();
        }
        conn.client_sends(&frame(h2::PING, 0, 0, &[0; 8])).server_acks();
        conn.client_sends(&frame(h2::HEADERS, END_HEADERS, 5, &by_index))
            .server_sends(&h2::answer(5, 200))
            .client_acks();
        for stream in [3, 5] {
            conn.client_sends(&h2::data(stream, &wire::text(Client, "hello"))).server_acks();
            conn.client_sends(&h2::close(Client, stream, 4000))
                .server_sends(&h2::close(Server, stream, 4000))
                .client_acks();
        }
        conn
    };
    let whole = [(1, "open:open by -"), (3, "coded:4000 by client"), (5, "coded:4000 by client")];
    let outcome = check(&opens(false), &whole);
    assert_eq!(on(&outcome, 5).handshake.path.as_deref(), Some("/entered"));
    // Its frames show what stream 5 is.
    let outcome = check(&opens(true), &whole);
    assert!(has(on(&outcome, 3), "http2_table_lost"), "the report says so");
    let fifth = &on(&outcome, 5).handshake;
    assert_eq!((fifth.path.as_deref(), fifth.method.as_deref(), fifth.status), (None, None, Some(200)));
}

#[test]
fn a_websocket_whose_request_lies_in_a_hole_is_known_by_its_frames() {
    let mut conn = opened(&[1]);
    conn.next_not_captured().client_sends(&h2::connect(3, "/3")).server_sends(&h2::answer(3, 200));
    for _ in 0..3 {
        conn.client_sends(&h2::data(3, &wire::text(Client, "a question")));
        conn.server_sends(&h2::data(3, &wire::text(Server, "an answer"))).client_acks();
    }
    conn.client_sends(&h2::close(Client, 3, 4000)).server_sends(&h2::close(Server, 3, 4000)).client_acks();
    conn.server_sends(&h2::close(Server, 1, 1001)).client_sends(&h2::close(Client, 1, 1001)).server_acks();
    let outcome = check(&conn, &[(1, "coded:1001 by server"), (3, "coded:4000 by client")]);
    assert_eq!(on(&outcome, 3).handshake.seen, "response");
}

#[test]
fn an_answer_read_before_its_request_hides_nothing_of_it() {
    // The client's bytes wait for one that came out of order; meanwhile the server answers, and closes.
    for status in [200, 403] {
        let mut conn = opened(&[1]);
        let before = conn.packets().len();
        conn.client_sends(&frame(h2::PING, 0, 0, &[0; 8])).client_sends(&h2::connect(3, "/3"));
        conn.client_sends(&h2::get(5));
        conn.server_sends(&h2::answer(3, status)).server_sends(&h2::answer(5, 200));
        let last = if status == 200 { h2::close(Server, 3, 1012) } else { h2::end(3) };
        conn.server_sends(&last).server_sends(&h2::data(5, &[b'x'; 500])).server_sends(&h2::end(5));
        conn.client_sends(&h2::rst(3, h2::CANCEL)).server_acks();
        let mut packets = conn.packets();
        let order = packets.split_off(before);
        let is_answer = |packet: &&TcpPacket| packet.src.port() == 9001 && !packet.payload.is_empty();
        let (server, client): (Vec<_>, Vec<_>) = order.iter().partition(is_answer);
        packets.extend(server.into_iter().chain(client).cloned());
        let outcome = run::analyze_packets(&packets);
        let verdict = &on(&outcome, 3).verdict;
        let expected = if status == 200 { "1012" } else { "refused" };
        assert_eq!(verdict.label, expected, "{}", verdict.why);
        assert_eq!(on(&outcome, 3).handshake.path.as_deref(), Some("/3"));
        assert_eq!(outcome.connections.len(), 2);
    }
}

#[test]
fn what_was_taken_for_a_boundary_and_was_none_hides_a_close_again() {
    // Behind a hole, bytes of another stream's content look like a frame, until the next does not.
    let mut conn = opened(&[1, 3]);
    let body = frame(h2::DATA, 0, 3, &wire::binary(Server, &[0xff; 600]));
    conn.next_not_captured().server_sends(&body[..100]);
    // A PING in the content, and behind it no frame, which hides where the Close begins.
    let lure = [&frame(h2::PING, 0, 0, &[1; 8])[..], &h2::data(1, &wire::text(Server, "x"))].concat();
    conn.server_sends(&lure).server_sends(&body[100..]).server_sends(&h2::close(Server, 1, 1001));
    conn.server_sends(&h2::data(1, &wire::text(Server, "x"))).client_acks();
    conn.server_sends(&h2::end(1)).client_sends(&h2::end(1)).server_acks();
    let outcome = run::analyze_packets(&conn.packets());
    assert_ne!(on(&outcome, 1).verdict.label, "1006", "{}", on(&outcome, 1).verdict.why);
}
