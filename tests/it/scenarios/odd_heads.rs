//! HTTP heads with control characters, which no head may hold and some servers take.

use super::{both_fins, check, has_anomaly};
use crate::support::conversation::Conversation;
use crate::support::run::Outcome;
use crate::support::wire;
use wsclose::side::Side::{Client, Server};

/// Asked for `path` with these header lines, answered with those, and closed with 1001.
fn opened_by(path: &str, request: &str, answer: &str) -> Outcome {
    let mut conn = Conversation::connected();
    let head = String::from_utf8(wire::request_with("/PATH", request)).unwrap().replace("/PATH", path);
    conn.client_sends(head.as_bytes()).server_acks();
    conn.server_sends(&wire::response_with(answer)).client_acks();
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    both_fins(&mut conn, Server);
    check(&conn, "coded:1001 by server")
}

#[test]
fn control_characters_in_a_head_hide_no_connection() {
    let odd = [
        ("/w\u{1}s", "", ""),
        ("/w\u{7f}s", "", ""),
        ("/ws", "User-Agent: a\u{1b}[31mb\r\n", ""),
        ("/ws", "X-Odd: a\rb\r\n", ""),
        ("/ws", "", "Server: a\u{0}b\r\n"),
    ];
    for (path, request, answer) in odd {
        let outcome = opened_by(path, request, answer);
        assert!(has_anomaly(&outcome, "http_control_character"), "{path:?} {request:?} {answer:?}");
    }
}

#[test]
fn a_target_keeps_its_own_bytes() {
    let outcome = opened_by("/w\u{1}s", "", "");
    assert_eq!(outcome.only().handshake.path.as_deref(), Some("/w\u{1}s"));
}

#[test]
fn a_head_as_it_should_be_is_no_oddity() {
    let outcome = opened_by("/ws", "X-Tab: a\tb\r\n", "");
    assert!(!has_anomaly(&outcome, "http_control_character"));
}
