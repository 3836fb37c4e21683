//! Near misses of causes whose showing cases stand elsewhere, and those cases where they stood nowhere.

use super::*;

#[test]
fn a_reserved_code_on_the_wire_is_named_and_its_neighbours_are_not() {
    let closed = |code| {
        let mut conn = opened_at(1, 0.0);
        close_by(talk(&mut conn), Side::Server, code);
        analyze(&[conn]).has("reserved-code")
    };
    for code in [1004, 1005, 1006, 1015, 2999, 5000, 999] {
        assert!(closed(code), "{code}");
    }
    for code in [1003, 1007, 1014, 3000, 4999] {
        assert!(!closed(code), "{code}");
    }
}

#[test]
fn a_handshake_refused_before_it_succeeded_is_no_failure() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws")).server_acks();
    conn.server_sends(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").client_acks();
    conn.upgrade("/ws");
    close_by(talk(&mut conn), Side::Client, 1000);
    let outcome = analyze(&[conn]);
    assert!(!outcome.has("handshake-failed"), "{:?}", outcome.ids());
    assert_eq!(outcome.findings, []);
}

#[test]
fn an_abort_without_a_close_is_one_and_behind_the_peers_fin_is_none() {
    let mut aborted = opened_at(1, 0.0);
    talk(&mut aborted).rst(Side::Server);
    let outcome = analyze(&[aborted]);
    assert!(outcome.has("abort") && outcome.text("abort").starts_with("server aborted"));
    let mut answered = opened_at(1, 0.0);
    talk(&mut answered).fin(Side::Client).acks(Side::Server).rst(Side::Server);
    let outcome = analyze(&[answered]);
    assert!(!outcome.has("abort") && outcome.has("no-close"), "{:?}", outcome.ids());
}

fn closed_with_4004_at(host: &str) -> Outcome {
    let mut conn = Conversation::connected();
    let head = String::from_utf8(wire::request("/ws")).unwrap().replace("Host: example.org", host);
    conn.client_sends(head.as_bytes()).server_acks();
    conn.server_sends(&wire::response()).client_acks();
    close_by(talk(&mut conn), Side::Server, 4004);
    analyze(&[conn])
}

#[test]
fn a_private_code_has_a_services_meaning_only_at_its_host() {
    assert!(closed_with_4004_at("Host: gateway.discord.gg").text("protocol-code").contains("Discord"));
    for other in ["Host: example.org", "Host: gateway.discord.gg.example", "Host: notgateway.discord.gg"] {
        assert!(!closed_with_4004_at(other).has("protocol-code"), "{other}");
    }
}

/// Engine.IO: the server's `2` every 25 s, of which the last `unanswered` get no `3`; then it closes.
fn engine_io(unanswered: usize, beat: &str, answer: &str) -> Outcome {
    let mut conn = opened_at(1, 0.0);
    for number in 0..4 {
        conn.wait(seconds(25.0)).server_sends(&wire::text(Side::Server, beat)).client_acks();
        if number < 4 - unanswered {
            conn.client_sends(&wire::text(Side::Client, answer)).server_acks();
        }
    }
    conn.wait(seconds(20.0)).server_sends(&wire::close_empty(Side::Server));
    conn.client_sends(&wire::close_empty(Side::Client));
    drop_by(&mut conn, Side::Server);
    analyze(&[conn])
}

#[test]
fn an_engine_io_heartbeat_without_an_answer_is_a_ping_without_one() {
    assert!(engine_io(1, "2", "3").has("ping-unanswered"));
}

#[test]
fn answered_heartbeats_and_texts_that_are_none_explain_nothing() {
    assert!(!engine_io(0, "2", "3").has("ping-unanswered"), "all are answered");
    assert!(!engine_io(4, "2", "").has("ping-unanswered"), "a 2 that was never answered is only a text");
    assert!(!engine_io(1, "5", "6").has("ping-unanswered"), "no heartbeat at all");
}

#[test]
fn a_1001_is_a_left_page_of_a_client_and_a_farewell_of_a_server() {
    let closed = |side, code| {
        let mut conn = opened_at(1, 0.0);
        close_by(talk(&mut conn), side, code);
        analyze(&[conn])
    };
    let by_server = closed(Side::Server, 1001);
    assert!(by_server.has("server-goes-away") && !by_server.has("page-left"), "{:?}", by_server.ids());
    let by_client = closed(Side::Client, 1001);
    assert!(by_client.has("page-left") && !by_client.has("server-goes-away"), "{:?}", by_client.ids());
    assert!(
        !by_client.text("page-left").contains("browser"),
        "it stayed for the answer and named no browser"
    );
    for side in Side::BOTH {
        let ordinary = closed(side, 1000);
        assert!(!ordinary.has("page-left") && !ordinary.has("server-goes-away"), "{:?}", ordinary.ids());
    }
    let mut left = opened_at(1, 0.0);
    talk(&mut left).client_sends(&wire::close(Side::Client, 1001, ""));
    drop_by(&mut left, Side::Client);
    assert!(analyze(&[left]).text("page-left").contains("browser"));
}
