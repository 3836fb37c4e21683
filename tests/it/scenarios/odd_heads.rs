//! HTTP heads with control characters, or with lines that follow no grammar: some servers take them.

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

/// The same with a head of any bytes.
fn asked_by(head: &[u8], answer: &str) -> Outcome {
    let mut conn = Conversation::connected();
    conn.client_sends(head).server_acks();
    conn.server_sends(&wire::response_with(answer)).client_acks();
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    both_fins(&mut conn, Server);
    check(&conn, "coded:1001 by server")
}

#[test]
fn a_malformed_header_line_hides_no_connection() {
    let odd = [
        "X@Y(z): 1\r\n",
        "X-\u{e4}: 1\r\n",
        "X\u{1}Y: 1\r\n",
        ": 1\r\n",
        "X-Odd : 1\r\n",
        "no colon\r\n",
        "X-Odd: 1\r\n folded\r\n",
        "X-Odd: 1\r\n\tfolded: 2\r\n",
    ];
    for lines in odd {
        for (request, answer) in [(lines, ""), ("", lines)] {
            let outcome = asked_by(&wire::request_with("/ws", request), answer);
            assert!(has_anomaly(&outcome, "http_head_malformed"), "{request:?} {answer:?}");
            let handshake = &outcome.only().handshake;
            assert_eq!(
                (handshake.path.as_deref(), handshake.accept_valid),
                (Some("/ws"), Some(true)),
                "{lines:?}"
            );
        }
    }
}

#[test]
fn a_target_of_any_bytes_hides_no_connection() {
    let head = |target: &[u8]| {
        let head = String::from_utf8(wire::request_with("/PATH", "")).unwrap();
        let rest = head.strip_prefix("GET /PATH").unwrap();
        [b"GET ", target, rest.as_bytes()].concat()
    };
    let odd: [&[u8]; 4] = [b"/gr\xfc\xdfe", b"/a b", b"/a HTTP/1.1", b"/\xff\x01 \xfe"];
    for target in odd {
        let outcome = asked_by(&head(target), "");
        assert!(has_anomaly(&outcome, "http_head_malformed"), "{target:?}");
        let handshake = &outcome.only().handshake;
        let text = String::from_utf8_lossy(target).into_owned();
        assert_eq!(handshake.path.as_deref(), Some(text.as_str()));
    }
    let outcome = asked_by(&head(b"/a\tb"), "");
    assert!(has_anomaly(&outcome, "http_control_character") && !has_anomaly(&outcome, "http_head_malformed"));
}

#[test]
fn a_request_of_many_headers_hides_no_connection() {
    let many: String = (0..300).map(|number| format!("X-{number}: 1\r\n")).collect();
    let outcome = asked_by(&wire::request_with("/ws", &many), "");
    assert!(!has_anomaly(&outcome, "http_head_malformed"));
}

#[test]
fn a_head_as_it_should_be_is_no_oddity() {
    let outcome = opened_by("/ws", "X-Tab: a\tb\r\n", "");
    assert!(!has_anomaly(&outcome, "http_control_character"));
    assert!(!has_anomaly(&outcome, "http_head_malformed"));
}
