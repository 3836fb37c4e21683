//! What libraries tell their applications where that is not the code of RFC 6455: each row as it was measured.

use super::*;

/// A code, and the other possible one; `None`: as RFC 6455 has it.
type Quoted = Option<(u16, Option<u16>)>;

const HYPER: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\ndate: now\r\n";
const TOMCAT: &str = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {}\r\nDate: now\r\n";
const CODER: &str = "Connection: Upgrade\r\nSec-Websocket-Accept: {}\r\nUpgrade: websocket\r\n";
const PLAIN: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n";

/// Open, with exactly these headers in the answer; `{}` stands for the accepted key.
fn answered_with(headers: &str) -> Conversation {
    let accept = wire::accept_key(wire::KEY);
    let head = format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n", headers.replace("{}", &accept));
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws")).server_acks();
    conn.server_sends(head.as_bytes()).client_acks();
    conn
}

fn quoted(conn: &Conversation, side: Side) -> Quoted {
    let reported = record(conn).reported[side].clone()?;
    Some((reported.code?.0, reported.alternative.map(|code| code.0)))
}

/// `side` is told of a Close, and answers it.
fn answers(conn: &mut Conversation, side: Side, close: &[u8], answer: &[u8]) -> Quoted {
    conn.sends(side.other(), close).sends(side, answer);
    conn.fin(Server).fin(Client).acks(Server);
    quoted(conn, side)
}

/// The peer drops TCP in order.
fn dropped(conn: &mut Conversation, side: Side) -> Quoted {
    conn.fin(side.other()).fin(side).acks(side.other());
    quoted(conn, side)
}

#[test]
fn granian_and_axum_look_alike_and_differ_where_no_close_came() {
    assert_eq!(dropped(&mut answered_with(HYPER), Server), Some((1006, Some(1005))));
    let own = answers(&mut answered_with(HYPER), Server, &close(Client, 4001), &close(Server, 4001));
    assert_eq!(own, None, "both tell the peer's code");
}

#[test]
fn an_answer_of_other_headers_or_from_a_proxy_names_no_library() {
    for more in ["server: nginx\r\n", "via: 1.1 proxy\r\n", "x-trace: 1\r\n"] {
        assert_eq!(dropped(&mut answered_with(&format!("{HYPER}{more}")), Server), None, "{more}");
    }
    let negotiated = format!("{HYPER}sec-websocket-protocol: chat\r\n");
    assert!(dropped(&mut answered_with(&negotiated), Server).is_some());
    assert_eq!(dropped(&mut answered_with(PLAIN), Server), None);
}

#[test]
fn a_library_behind_a_named_proxy_is_not_this_legs_end() {
    let with = |server: &str| {
        let mut conn = opened_between("", &format!("uWebSockets: 20\r\n{server}"));
        answers(&mut conn, Server, &close(Client, 3001), &wire::close_empty(Server))
    };
    assert_eq!(with(""), Some((1006, None)));
    assert_eq!(with("Server: nginx/1.22.1\r\n"), None);
}

#[test]
fn tungstenite_hands_a_close_it_refuses_on_as_1002() {
    let refusal = |reason| wire::close(Server, 1002, reason);
    let mut conn = Conversation::opened();
    let said = answers(&mut conn, Server, &close(Client, 1014), &refusal("Protocol violation"));
    assert_eq!(said, Some((1002, None)));
    let mut other = answered_with(HYPER);
    assert_eq!(answers(&mut other, Server, &close(Client, 2000), &refusal("no")), Some((1002, None)));
}

#[test]
fn gorilla_knows_no_code_for_a_close_it_refuses() {
    let mut conn = Conversation::opened();
    let answer = wire::close(Server, 1002, "bad close code 1014");
    assert_eq!(answers(&mut conn, Server, &close(Client, 1014), &answer), Some((1006, None)));
}

#[test]
fn tomcat_tells_its_own_close_and_1000_for_an_empty_one() {
    let empty = wire::close_empty(Client);
    assert_eq!(answers(&mut answered_with(TOMCAT), Server, &empty, &close(Server, 1000)), Some((1000, None)));
    let refused = answers(&mut answered_with(TOMCAT), Server, &close(Client, 1014), &close(Server, 1002));
    assert_eq!(refused, Some((1002, None)));
    let mut own = answered_with(TOMCAT);
    own.server_sends(&close(Server, 4001)).client_sends(&close(Client, 1000));
    own.fin(Server).fin(Client).acks(Server);
    assert_eq!(quoted(&own, Server), Some((4001, None)));
}

#[test]
fn tomcats_close_1002_after_a_fin_tells_its_application_nothing_else_than_1006() {
    let mut conn = answered_with(TOMCAT);
    conn.fin(Client).server_sends(&close(Server, 1002)).fin(Server).client_acks();
    assert_eq!(quoted(&conn, Server), None);
    assert_eq!(said(&record(&conn), Server).0, Some(1006));
}

#[test]
fn coder_reads_its_own_code_or_none_after_its_own_close() {
    let mut conn = answered_with(CODER);
    conn.server_sends(&close(Server, 4001)).client_sends(&close(Client, 1000));
    conn.fin(Server).fin(Client).acks(Server);
    assert_eq!(quoted(&conn, Server), Some((4001, Some(1006))));
    assert_eq!(dropped(&mut answered_with(CODER), Server), None);
}

#[test]
fn a_server_that_answers_an_empty_close_with_1000_may_have_told_that() {
    let empty = wire::close_empty(Client);
    let made_up = answers(&mut answered_with(PLAIN), Server, &empty, &close(Server, 1000));
    assert_eq!(made_up, Some((1005, Some(1000))));
    let echoed = answers(&mut answered_with(PLAIN), Server, &empty, &wire::close_empty(Server));
    assert_eq!(echoed, None);
}

#[test]
fn aiohttp_and_tornado_take_reserved_codes_as_they_come() {
    for agent in ["Python/3.11 aiohttp/3.14.5", "Tornado/6.6.1"] {
        let mut conn = opened_between(&format!("User-Agent: {agent}\r\n"), "");
        let said = answers(&mut conn, Client, &close(Server, 5000), &close(Client, 1000));
        assert_eq!(said, Some((5000, None)), "{agent}");
    }
    let mut other = opened_between("User-Agent: curl/8\r\n", "");
    assert_eq!(answers(&mut other, Client, &close(Server, 5000), &close(Client, 1000)), None);
}

#[test]
fn autobahns_client_calls_a_server_that_keeps_tcp_open_unclean() {
    let ends = |first: Side| {
        let mut conn = opened_between("User-Agent: AutobahnPython/26.10.2\r\n", "");
        conn.client_sends(&close(Client, 4001)).server_sends(&close(Server, 4001)).client_acks();
        conn.wait(seconds(1)).fin(first).fin(first.other()).acks(first);
        quoted(&conn, Client)
    };
    assert_eq!(ends(Client), Some((1006, None)));
    assert_eq!(ends(Server), None);
}

#[test]
fn okhttp_may_fail_on_codes_registered_late() {
    let ends = |code| {
        let mut conn = opened_between("User-Agent: okhttp/4.12.0\r\n", "");
        answers(&mut conn, Client, &close(Server, code), &close(Client, 1000))
    };
    assert_eq!((ends(1012), ends(1011)), (Some((1012, Some(1006))), None));
}
