//! The opening handshake: what comes before the frames, and what makes it fail.

use super::{both_fins, busy, check, has_anomaly};
use crate::support::conversation::Conversation;
use crate::support::rewrite::interleave;
use crate::support::run;
use crate::support::wire;
use std::time::Duration;
use wsclose::analyzer::Options;
use wsclose::report::model::Handshake;
use wsclose::side::Side::{Client, Server};

/// Ends an open WebSocket by Close 1001 of the server; the capture must show just that.
#[track_caller]
fn closes_1001(conn: &mut Conversation) -> Handshake<'static> {
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    both_fins(conn, Server);
    check(conn, "coded:1001 by server").only().handshake.clone()
}

// -- refused

#[test]
fn an_answer_other_than_101_is_refused_by_the_server() {
    for (status, phrase) in [
        (200, "OK"),
        (301, "Moved"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (426, "Upgrade Required"),
        (503, "Unavailable"),
    ] {
        let mut conn = Conversation::connected();
        conn.client_sends(&wire::request("/ws")).server_sends(&wire::refusal(status, phrase));
        both_fins(&mut conn, Server);
        let outcome = check(&conn, "refused:refused by server");
        assert_eq!(outcome.only().handshake.status, Some(status));
    }
}

#[test]
fn a_101_that_switches_to_something_else_is_refused() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws"));
    conn.server_sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
        .client_acks();
    both_fins(&mut conn, Client);
    check(&conn, "refused:refused by server");
}

#[test]
fn a_101_that_names_no_protocol_is_refused_unless_the_client_sends_frames() {
    let bare = wire::response();
    let bare = String::from_utf8(bare).unwrap().replace("Upgrade: websocket\r\n", "").into_bytes();
    let answered = || {
        let mut conn = Conversation::connected();
        conn.client_sends(&wire::request("/ws")).server_sends(&bare).client_acks();
        conn
    };
    let mut conn = answered();
    both_fins(&mut conn, Client);
    check(&conn, "refused:refused by server");
    let mut conn = answered();
    conn.server_sends(&wire::close(Server, 1001, ""));
    both_fins(&mut conn, Client);
    check(&conn, "refused:refused by server");
    let mut conn = answered();
    conn.client_sends(&wire::text(Client, "hello")).server_acks();
    closes_1001(&mut conn);
}

#[test]
fn an_upgrade_request_whose_connection_ends_before_the_answer_is_refused_by_who_dropped_it() {
    let asked = || {
        let mut conn = Conversation::connected();
        conn.client_sends(&wire::request("/ws")).server_acks();
        conn
    };
    check(asked().rst(Server), "refused:refused by server");
    check(asked().rst(Client), "refused:refused by client");
    let mut conn = asked();
    both_fins(&mut conn, Server);
    check(&conn, "refused:refused by server");
    let mut conn = asked();
    conn.wait(Duration::from_secs(10));
    both_fins(&mut conn, Client);
    check(&conn, "refused:refused by client");
}

#[test]
fn a_request_whose_answer_the_capture_lacks_is_not_refused_by_what_dies_later() {
    let answer = wire::response();
    let (start, rest) = answer.split_at(20);
    let asked = || {
        let mut conn = Conversation::connected();
        conn.client_sends(&wire::request("/ws")).server_acks();
        conn
    };
    let dies = |mut conn: Conversation| {
        for _ in 0..4 {
            conn.wait(Duration::from_secs(1)).next_lost().retransmits(Server);
        }
        conn
    };
    let mut conn = asked();
    conn.next_not_captured().server_sends(start).server_sends(rest).client_acks();
    conn.next_lost().fin(Server);
    check(&dies(conn), "unknown:unknown by unknown");
    // The same bytes, none of which arrived.
    let mut conn = asked();
    conn.next_lost_unseen().server_sends(start).next_lost().server_sends(rest);
    check(&dies(conn), "refused:refused by network");
}

#[test]
fn an_upgrade_request_still_waiting_is_open_with_only_the_request_seen() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws")).server_acks();
    let outcome = check(&conn, "open:open by -");
    assert_eq!(outcome.only().handshake.seen, "request");
}

#[test]
fn a_wrong_accept_is_refused_by_the_client_unless_it_sends_frames() {
    let wrong = String::from_utf8(wire::response())
        .unwrap()
        .replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let opened = || {
        let mut conn = Conversation::connected();
        conn.client_sends(&wire::request("/ws")).server_sends(wrong.as_bytes()).client_acks();
        conn
    };
    let mut conn = opened();
    both_fins(&mut conn, Client);
    let outcome = check(&conn, "refused:refused by client");
    assert_eq!(outcome.only().handshake.accept_valid, Some(false));
    assert!(has_anomaly(&outcome, "accept_invalid"));
    let mut conn = opened();
    conn.client_sends(&wire::text(Client, "I do not care")).server_acks();
    assert_eq!(closes_1001(&mut conn).accept_valid, Some(false));
}

#[test]
fn an_extension_or_subprotocol_that_was_not_offered_is_refused_when_the_client_drops_it() {
    for header in ["Sec-WebSocket-Extensions: permessage-deflate\r\n", "Sec-WebSocket-Protocol: chat\r\n"] {
        let opened = || {
            let mut conn = Conversation::connected();
            conn.client_sends(&wire::request("/ws")).server_sends(&wire::response_with(header)).client_acks();
            conn
        };
        let mut conn = opened();
        both_fins(&mut conn, Client);
        check(&conn, "refused:refused by client");
        check(opened().rst(Client), "refused:refused by client");
        let mut conn = opened();
        both_fins(&mut conn, Server);
        check(&conn, "abnormal:1006:fin by server");
        closes_1001(opened().client_sends(&wire::text(Client, "fine by me")));
    }
}

#[test]
fn a_syn_refused_by_a_known_websocket_server_is_listed() {
    let mut refused = Conversation::between("10.77.1.2:40000", "10.77.2.2:9001");
    refused.forges(Client, 0x02, |_| {});
    let syn = refused.packets()[0].clone();
    refused.forges(Server, 0x14, |packet| {
        (packet.seq, packet.ack, packet.window) = (0, syn.seq.wrapping_add(1), 0);
    });
    let mut packets = refused.packets();
    assert_eq!(super::answers(&packets), [""; 0], "an unknown server's refusals are not listed");
    packets = interleave(&[packets, busy().packets()]);
    let mut all = super::answers(&packets);
    all.sort();
    assert_eq!(all, ["open:open by -", "refused:refused by server"]);
}

#[test]
fn a_syn_never_answered_is_refused_by_the_network_where_the_port_is_named() {
    let mut conn = Conversation::new();
    for _ in 0..4 {
        conn.wait(Duration::from_secs(1));
        conn.forges(Client, 0x02, |_| {});
    }
    let outcome =
        run::analyze_packets_with(&conn.packets(), Options { ws_ports: vec![9001], ..Options::default() });
    assert_eq!(run::Answer::of(outcome.only()).to_string(), "refused:refused by network");
    assert_eq!(run::analyze_packets(&conn.packets()).connections.len(), 0);
}

#[test]
fn plain_http_is_not_listed() {
    let mut conn = Conversation::connected();
    conn.client_sends(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .server_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    both_fins(&mut conn, Client);
    let outcome = run::analyze_packets(&conn.packets());
    assert_eq!((outcome.connections.len(), outcome.other_connections), (0, 1));
}

// -- how it is sent

#[test]
fn the_request_may_be_cut_at_any_byte() {
    let request = wire::request("/ws");
    for cut in 1..request.len() {
        let mut conn = Conversation::connected();
        conn.sends_cut(Client, &request, &[cut]).server_sends(&wire::response()).client_acks();
        assert_eq!(closes_1001(&mut conn).path.as_deref(), Some("/ws"), "cut at {cut}");
    }
}

#[test]
fn the_101_may_be_cut_at_any_byte_even_with_a_frame_behind_it() {
    let answer = [wire::response(), wire::text(Server, "at once")].concat();
    for cut in 1..answer.len() {
        let mut conn = Conversation::connected();
        conn.client_sends(&wire::request("/ws")).sends_cut(Server, &answer, &[cut]).client_acks();
        assert_eq!(closes_1001(&mut conn).seen, "both", "cut at {cut}");
    }
}

#[test]
fn frames_in_the_segment_of_the_101_are_read() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws"));
    conn.server_sends(
        &[wire::response(), wire::text(Server, "hi"), wire::close(Server, 1013, "full")].concat(),
    );
    conn.client_sends(&wire::close(Client, 1013, ""));
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1013 by server");
    assert_eq!(outcome.only().traffic.server.messages, 1);
}

#[test]
fn client_frames_before_the_101_are_read_and_counted_as_an_oddity() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws")).client_sends(&wire::text(Client, "impatient"));
    conn.server_sends(&wire::response()).client_acks();
    conn.client_sends(&wire::close(Client, 1000, "")).server_sends(&wire::close(Server, 1000, ""));
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1000 by client");
    assert!(has_anomaly(&outcome, "frames_before_response"));
    assert_eq!(outcome.only().traffic.client.messages, 1);
}

#[test]
fn client_frames_before_an_answer_that_never_comes_open_nothing() {
    for frame in [wire::text(Client, "early"), wire::close(Client, 1000, "")] {
        let asked = || {
            let mut conn = Conversation::connected();
            conn.client_sends(&[wire::request("/ws"), frame.clone()].concat()).server_acks();
            conn
        };
        check(asked().rst(Server), "refused:refused by server");
        let mut conn = asked();
        both_fins(&mut conn, Server);
        check(&conn, "refused:refused by server");
        check(&asked(), "open:open by -");
        // Behind a hole of the server's, in which the answer may stand, they are a WebSocket's.
        let mut conn = asked();
        conn.next_not_captured().server_sends(&wire::response());
        conn.client_acks().client_sends(&wire::text(Client, "hi")).server_acks();
        both_fins(&mut conn, Server);
        let answer = if frame == wire::text(Client, "early") {
            "unknown:unknown by unknown"
        } else {
            "coded:1000 by client"
        };
        check(&conn, answer);
    }
}

#[test]
fn a_body_of_the_upgrade_request_is_no_frame() {
    // What looks like an empty Close, or like the start of a frame that would swallow the real one.
    for body in [&[0x88, 0][..], &[0x82, 0x7e], &[0x81, 0x85, 1, 2, 3, 4, 5]] {
        let request = wire::request_with("/ws", &format!("Content-Length: {}\r\n", body.len()));
        let whole = [request.as_slice(), body].concat();
        for cuts in [&[][..], &[request.len()], &[request.len() + 1]] {
            let mut conn = Conversation::connected();
            conn.sends_cut(Client, &whole, cuts).server_acks();
            conn.server_sends(&wire::response()).client_acks();
            conn.client_sends(&wire::text(Client, "hello")).server_acks();
            conn.server_sends(&wire::text(Server, "world")).client_acks();
            closes_1001(&mut conn);
        }
    }
}

#[test]
fn header_names_and_tokens_are_read_without_regard_to_case() {
    let request = "GET /ws HTTP/1.1\r\nHOST: x\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n\
                   sec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    let mut conn = Conversation::connected();
    conn.client_sends(request.as_bytes());
    conn.server_sends(
        String::from_utf8(wire::response())
            .unwrap()
            .replace("Upgrade: websocket", "UPGRADE: WebSocket")
            .as_bytes(),
    );
    assert_eq!(closes_1001(&mut conn).accept_valid, Some(true));
}

#[test]
fn subprotocol_and_extensions_are_kept() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request_with("/ws", "Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"));
    conn.server_sends(&wire::response_with(
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
    ));
    let handshake = closes_1001(&mut conn);
    assert_eq!(handshake.subprotocol.as_deref(), Some("chat"));
    assert_eq!(handshake.extensions, ["permessage-deflate"]);
}

// -- what comes before it

#[test]
fn interim_answers_before_the_101_are_passed_over() {
    let interim = [
        &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
        b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
    ];
    for interim in interim {
        for together in [true, false] {
            let mut conn = Conversation::connected();
            conn.client_sends(&wire::request("/ws"));
            if together {
                conn.server_sends(&[interim, &wire::response()].concat());
            } else {
                conn.server_sends(interim).server_sends(&wire::response());
            }
            assert_eq!(closes_1001(&mut conn).status, Some(101));
        }
    }
}

#[test]
fn ordinary_requests_with_bodies_may_come_first() {
    let before: [(&[u8], &[u8]); 6] = [
        (b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        (
            b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (
            b"POST /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (b"HEAD /e HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
        (b"GET /f HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n"),
    ];
    for (request, answer) in before {
        let mut conn = Conversation::connected();
        conn.client_sends(request).server_sends(answer).upgrade("/ws");
        assert_eq!(closes_1001(&mut conn).path.as_deref(), Some("/ws"), "{}", request.escape_ascii());
    }
    let mut pipelined = Conversation::connected();
    pipelined.client_sends(
        &before
            .iter()
            .flat_map(|(request, _)| request.to_vec())
            .chain(wire::request("/ws"))
            .collect::<Vec<_>>(),
    );
    pipelined.server_sends(
        &before.iter().flat_map(|(_, answer)| answer.to_vec()).chain(wire::response()).collect::<Vec<_>>(),
    );
    assert_eq!(closes_1001(&mut pipelined).path.as_deref(), Some("/ws"));
}

#[test]
fn a_body_that_holds_an_upgrade_request_is_no_request() {
    let inner = wire::request("/not-this");
    let mut conn = Conversation::connected();
    conn.client_sends(
        &[
            format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", inner.len()).into_bytes(),
            inner,
        ]
        .concat(),
    );
    conn.server_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").upgrade("/this");
    assert_eq!(closes_1001(&mut conn).path.as_deref(), Some("/this"));
}

#[test]
fn an_upgrade_refused_at_first_may_be_asked_again() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws"));
    conn.server_sends(
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\nWWW-Authenticate: Basic\r\n\r\nnope",
    )
    .client_acks();
    conn.upgrade("/ws");
    assert_eq!(closes_1001(&mut conn).status, Some(101));
}

#[test]
fn a_proxy_protocol_preamble_is_passed_over_wherever_it_is_cut() {
    let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec();
    let v2 = [
        &b"\r\n\r\n\0\r\nQUIT\n"[..], // signature
        &[0x21],                      // version 2, PROXY
        &[0x11],                      // TCP over IPv4
        &[0, 12],                     // length
        &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb],
    ]
    .concat();
    let unknown = b"PROXY UNKNOWN\r\n".to_vec();
    for preamble in [v1, v2, unknown] {
        let bytes = [preamble.clone(), wire::request("/ws")].concat();
        for cut in (1..=preamble.len() + 3).chain([bytes.len()]) {
            let mut conn = Conversation::connected();
            conn.sends_cut(Client, &bytes[..], &[cut][..usize::from(cut < bytes.len())]);
            conn.server_sends(&wire::response()).client_acks();
            assert_eq!(closes_1001(&mut conn).path.as_deref(), Some("/ws"), "cut at {cut}");
        }
    }
}

#[test]
fn an_upgrade_through_a_connect_tunnel_is_read() {
    let mut conn = Conversation::connected();
    conn.client_sends(b"CONNECT example.org:80 HTTP/1.1\r\nHost: example.org:80\r\n\r\n");
    conn.server_sends(b"HTTP/1.1 200 Connection established\r\n\r\n").upgrade("/ws");
    assert_eq!(closes_1001(&mut conn).path.as_deref(), Some("/ws"));
}

#[test]
fn a_tunnel_behind_a_proxy_preamble_with_another_preamble_inside_is_read() {
    let mut conn = Conversation::connected();
    conn.client_sends(b"CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n")
        .server_sends(b"HTTP/1.1 200 OK\r\n\r\n");
    conn.client_sends(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n").upgrade("/ws");
    closes_1001(&mut conn);
}

#[test]
fn the_absolute_form_names_host_and_path() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("http://proxied.example:8080/ws?x=1"))
        .server_sends(&wire::response())
        .client_acks();
    let handshake = closes_1001(&mut conn);
    assert_eq!(handshake.path.as_deref(), Some("/ws?x=1"));
    assert_eq!(handshake.host.as_deref(), Some("proxied.example:8080"));
}

#[test]
fn a_websocket_may_run_on_any_port() {
    for server in ["10.0.0.2:80", "10.0.0.2:22", "10.0.0.2:65535", "[fd00::2]:3128"] {
        let client = if server.starts_with('[') { "[fd00::1]:50000" } else { "10.0.0.1:50000" };
        let mut conn = Conversation::between(client, server);
        conn.connect().upgrade("/ws");
        closes_1001(&mut conn);
    }
}

#[test]
fn a_101_without_its_request_in_the_capture_is_an_opening() {
    let mut conn = Conversation::connected();
    conn.next_not_captured().client_sends(&wire::request("/ws"));
    conn.server_sends(&wire::response()).client_acks();
    conn.client_sends(&wire::text(Client, "hello")).server_acks();
    conn.server_sends(&wire::text(Server, "world")).client_acks();
    assert_eq!(closes_1001(&mut conn).seen, "response");
}

#[test]
fn an_answer_from_before_the_upgrade_request_came_is_none_to_it() {
    let get = b"GET /icon HTTP/1.1\r\nHost: x\r\n\r\n";
    let bad = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let mut conn = Conversation::connected();
    conn.client_sends(get).next_not_captured().server_sends(bad);
    // The second request is not in the capture, its answer is; then it is the other way round.
    conn.next_not_captured().client_sends(get).server_sends(bad);
    conn.client_sends(&wire::request("/ws")).next_not_captured().server_sends(&wire::response());
    conn.client_sends(&wire::text(Client, "hello")).server_sends(&wire::text(Server, "world"));
    conn.client_sends(&wire::close(Client, 1000, "")).server_sends(&wire::close(Server, 1000, ""));
    both_fins(&mut conn, Server);
    check(&conn, "coded:1000 by client");
}
