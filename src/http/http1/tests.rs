use super::*;

const REQUEST: &[u8] = b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";

fn feed(http: &mut Http1, side: Side, bytes: &[u8]) -> Vec<(usize, Option<HttpEvent>)> {
    let mut left = bytes;
    let mut all = Vec::new();
    while !left.is_empty() {
        let (used, event) = http.feed(side, Moment::default(), left, &Limits::default());
        let stop = event.is_some();
        left = &left[used..];
        all.push((left.len(), event));
        if stop {
            break;
        }
    }
    all
}

fn asks_for_websocket(events: &[(usize, Option<HttpEvent>)]) -> bool {
    events.iter().any(|(_, event)| matches!(event, Some(HttpEvent::Request(r)) if r.path() == b"/ws"))
}

#[test]
fn a_request_cut_at_any_byte_is_read() {
    for cut in 0..REQUEST.len() {
        let mut http = Http1::default();
        assert!(!asks_for_websocket(&feed(&mut http, Side::Client, &REQUEST[..cut])));
        assert!(asks_for_websocket(&feed(&mut http, Side::Client, &REQUEST[cut..])), "cut at {cut}");
    }
}

#[test]
fn a_head_with_control_characters_ends_at_its_first_blank_line_however_it_is_cut() {
    let head = |end: &str| format!("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nX: a\x01b{end}");
    for end in ["\n\r\n", "\n\n", "\r\n\r\n"] {
        // Another blank line follows, which may come with it or later.
        let stream = [head(end), "X: y\r\n\r\n".to_owned()].concat();
        let whole = feed(&mut Http1::default(), Side::Client, stream.as_bytes());
        assert!(asks_for_websocket(&whole), "{end:?}");
        let (first, rest) = stream.as_bytes().split_at(head(end).len());
        let mut http = Http1::default();
        assert!(asks_for_websocket(&feed(&mut http, Side::Client, first)), "{end:?}");
        assert_eq!(whole.last().unwrap().0, rest.len(), "what follows is not the head's");
    }
}

#[test]
fn values_with_control_characters_keep_their_own_bytes() {
    let head = b"GET /ws\x02 HTTP/1.1\r\nUpgrade: websocket\r\nUser-Agent: \x1b]0;a\x07 \r\nOrigin: b\x00c\r\nHost: \x7f\r\n\r\n";
    let events = feed(&mut Http1::default(), Side::Client, head);
    let Some((_, Some(HttpEvent::Request(request)))) = events.last() else { panic!("{events:?}") };
    assert_eq!(request.path(), b"/ws\x02");
    assert_eq!(request.user_agent.as_deref(), Some(&b"\x1b]0;a\x07"[..]));
    assert_eq!((request.origin.as_deref(), request.host()), (Some(&b"b\x00c"[..]), Some(&b"\x7f"[..])));
    let answer = b"HTTP/1.1 101 \x01\r\nUpgrade: websocket\r\nServer: \x05s\r\n\r\n";
    let events = feed(&mut Http1::default(), Side::Server, answer);
    let Some((_, Some(HttpEvent::Response(response)))) = events.last() else { panic!("{events:?}") };
    assert_eq!(response.server.as_deref(), Some(&b"\x05s"[..]));
}

#[test]
fn a_malformed_head_is_read_however_it_is_cut_and_no_further_than_its_blank_line() {
    let head =
        b"GET /g\xfc b HTTP/1.1\r\nX@Y: 1\r\nUpgrade :\r\n websocket\r\nno colon\r\n: z\r\nHost: h\r\n\r\n";
    let stream = [&head[..], b"X: y\r\n\r\n"].concat();
    for cut in 0..head.len() {
        let mut http = Http1::default();
        let mut events = feed(&mut http, Side::Client, &stream[..cut]);
        events.extend(feed(&mut http, Side::Client, &stream[cut..]));
        let Some((left, Some(HttpEvent::Request(request)))) = events.last() else { panic!("cut at {cut}") };
        assert_eq!(*left, stream.len() - head.len(), "cut at {cut}");
        assert!(request.wants_websocket && request.is_malformed && !request.has_control_characters);
        assert_eq!((request.target.as_slice(), request.host()), (&b"/g\xfc b"[..], Some(&b"h"[..])));
    }
}

#[test]
fn what_only_resembles_a_head_is_not_mended_into_one() {
    let odd: [&[u8]; 6] = [
        b"GET  HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"GET HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"GET /\xfc HTTP/2.0\r\nUpgrade: websocket\r\n\r\n",
        b"GET /\xfc\r\nUpgrade: websocket\r\n\r\n",
        b"get /\xfc HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"G\xc4T / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    ];
    for head in odd {
        let events = feed(&mut Http1::default(), Side::Client, head);
        assert!(matches!(events.last(), Some((_, Some(HttpEvent::NotHttp)))), "{head:?}");
    }
    for head in [&b"HTTP/1.1 1x1 \x01\r\n\r\n"[..], b"HTTP/1.1 \xfc\r\nX@Y: 1\r\n\r\n"] {
        let events = feed(&mut Http1::default(), Side::Server, head);
        assert!(matches!(events.last(), Some((_, Some(HttpEvent::NotHttp)))), "{head:?}");
    }
}

#[test]
fn ordinary_messages_before_the_upgrade_are_passed_over() {
    let mut http = Http1::default();
    let before = b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
        POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert!(asks_for_websocket(&feed(&mut http, Side::Client, &[before, REQUEST].concat())));
    let answers = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00";
    let events = feed(&mut http, Side::Server, answers);
    assert!(matches!(events.last(), Some((2, Some(HttpEvent::Response(r)))) if r.status == 101));
}

#[test]
fn proxy_protocol_headers_are_passed_over() {
    let v2 = [&PROXY_V2[..], &[0x21, 0x11, 0, 4, 1, 2, 3, 4]].concat();
    for preamble in [b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), v2] {
        for cut in 0..preamble.len() {
            let mut http = Http1::default();
            feed(&mut http, Side::Client, &preamble[..cut]);
            let rest = [&preamble[cut..], REQUEST].concat();
            assert!(asks_for_websocket(&feed(&mut http, Side::Client, &rest)), "cut at {cut}");
        }
    }
}

#[test]
fn a_proxy_header_behind_blank_lines_is_none_however_they_are_cut() {
    for cut in 0..4 {
        let mut http = Http1::default();
        let bytes = b"\r\r\r\rPROXY TC\n";
        let first = feed(&mut http, Side::Client, &bytes[..cut]);
        assert!(first.iter().all(|(_, event)| event.is_none()));
        let second = feed(&mut http, Side::Client, &bytes[cut..]);
        assert!(matches!(second.last(), Some((_, Some(HttpEvent::NotHttp)))), "cut at {cut}");
    }
}

#[test]
fn a_connect_tunnel_starts_afresh() {
    let mut http = Http1::default();
    feed(&mut http, Side::Client, b"CONNECT h:80 HTTP/1.1\r\n\r\n");
    feed(&mut http, Side::Server, b"HTTP/1.1 200 Connection established\r\n\r\n");
    assert!(asks_for_websocket(&feed(&mut http, Side::Client, REQUEST)));
}

#[test]
fn an_endless_head_is_given_up_at_the_limit() {
    let mut http = Http1::default();
    let endless = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; Limits::default().http_head_bytes]].concat();
    let events = feed(&mut http, Side::Client, &endless);
    assert!(matches!(events.last(), Some((_, Some(HttpEvent::HeadTooLong)))));
}

#[test]
#[cfg_attr(miri, ignore = "sixty thousand heads begun: minutes in an interpreter")]
fn a_first_line_without_end_is_looked_at_once() {
    let cost = |len: usize| {
        let line = [b"GET /".to_vec(), vec![b'a'; len]].concat();
        work::of(|| {
            for side in Side::BOTH {
                let mut http = Http1::default();
                for byte in &line {
                    feed(&mut http, side, &[*byte]);
                }
                feed(&mut http, side, b"\n");
            }
        })
    };
    // Miri takes a thousand times as long.
    let len = if cfg!(miri) { 200 } else { 10_000 };
    assert!(cost(2 * len) <= 2 * cost(len) + 100, "{} {}", cost(len), cost(2 * len));
}

#[test]
fn reversed_roles_are_told_by_a_whole_line_and_lose_no_byte() {
    for cut in 1..REQUEST.len() {
        let mut http = Http1::default();
        let first = feed(&mut http, Side::Server, &REQUEST[..cut]);
        let mut rest = &REQUEST[cut..];
        if !matches!(first.last(), Some((_, Some(HttpEvent::RolesReversed)))) {
            let (used, event) = http.feed(Side::Server, Moment::default(), rest, &Limits::default());
            assert!(matches!(event, Some(HttpEvent::RolesReversed)), "cut at {cut}: {event:?}");
            rest = &rest[used..];
        } else {
            rest = REQUEST;
        }
        http.swap_sides();
        assert!(asks_for_websocket(&feed(&mut http, Side::Client, rest)), "cut at {cut}");
    }
}

#[test]
fn other_protocols_are_not_http() {
    for bytes in
        [&b"\x16\x03\x01\x02\x00"[..], b"SSH-2.0-OpenSSH\r\n", b"EHLO x\r\n", b"get / HTTP/1.1\r\n\r\n"]
    {
        let events = feed(&mut Http1::default(), Side::Client, bytes);
        assert!(matches!(events.last(), Some((_, Some(HttpEvent::NotHttp)))), "{bytes:?}");
    }
}

#[test]
fn an_answer_from_the_supposed_client_shows_the_roles_reversed() {
    let events = feed(&mut Http1::default(), Side::Client, b"HTTP/1.1 101 x\r\n\r\n");
    assert!(matches!(events.last(), Some((_, Some(HttpEvent::RolesReversed)))));
}
