//! What the capture lacks: each stream is judged by its own sight.

use super::{check, has, on};
use crate::support::http2_wire::{self as h2, END_HEADERS, frame, opened};
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
    let outcome = check(&opens(true), &whole[..2]);
    assert!(has(on(&outcome, 3), "http2_table_lost"), "the report says so");
}
