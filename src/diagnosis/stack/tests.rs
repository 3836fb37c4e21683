use super::*;
use crate::http::upgrade::{Request, RequestHead, Response, ResponseHead};
use crate::moment::Moment;
use crate::tcp::stream_event::Wire;
use std::sync::Arc;

fn request(user_agent: &str) -> Handshake {
    let head = RequestHead { user_agent: Some(user_agent.into()), ..RequestHead::default() };
    let request = Request::new(Moment::default(), None, head);
    let mut handshake = Handshake::default();
    handshake.set_request(request);
    handshake
}

fn response(server: &str, extensions: Option<&str>) -> Handshake {
    answered(ResponseHead {
        server: Some(server.into()),
        extensions: extensions.map(Into::into),
        ..ResponseHead::default()
    })
}

fn answered(head: ResponseHead) -> Handshake {
    let response = Response { head: Arc::new(head), ..Response::default() };
    let mut handshake = Handshake::default();
    handshake.set_response(response);
    handshake
}

fn client(user_agent: &str) -> Option<&'static str> {
    recognise(&request(user_agent), &Teardown::default(), Side::Client).map(|(stack, _)| stack.library)
}

fn server(server: &str, extensions: Option<&str>) -> Option<&'static str> {
    recognise(&response(server, extensions), &Teardown::default(), Side::Server)
        .map(|(stack, _)| stack.library)
}

#[test]
fn every_row_can_be_recognised_and_says_something() {
    for stack in STACKS {
        assert!(!stack.signs.is_empty() && !stack.rules.is_empty(), "{}", stack.library);
        let fits_side = stack.signs.iter().all(|sign| match sign {
            Sign::UserAgent(_) => stack.side == Side::Client,
            Sign::CloseReason(_) => true,
            _ => stack.side == Side::Server,
        });
        assert!(fits_side, "{}: a client is known by its request, a server by its answer", stack.library);
    }
}

#[test]
fn every_code_in_the_table_is_one_that_an_application_can_be_told() {
    for rule in STACKS.iter().flat_map(|stack| stack.rules) {
        let codes = match rule.says {
            Says::Code(code) | Says::OwnOr(code) | Says::RfcOr(code) => [code, code],
            Says::Either(code, other) => [code, other],
            Says::Own | Says::Peers => continue,
        };
        assert!(codes.iter().all(|code| (1000..=1007).contains(code)), "{rule:?}");
    }
}

#[test]
fn aiohttp_is_known_by_its_user_agent() {
    assert_eq!(client("Python/3.11 aiohttp/3.14.5"), Some("aiohttp client"));
    assert_eq!(client("Python/3.11 aiohttpx/1.0"), None);
    assert_eq!(client("Python/3.11 my-aiohttp/1.0"), None);
    assert_eq!(client("Python/3.11 websockets/17.4"), None);
}

#[test]
fn a_client_behind_a_proxy_is_not_the_end_of_this_connection() {
    let mut forwarded = request("Python/3.11 aiohttp/3.14.5");
    Arc::make_mut(&mut forwarded.request.as_mut().unwrap().head).was_forwarded = true;
    assert!(recognise(&forwarded, &Teardown::default(), Side::Client).is_none());
}

#[test]
fn backends_of_uvicorn_are_told_apart_by_the_extension_they_accept() {
    let sansio = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12";
    assert_eq!(server("uvicorn", Some("permessage-deflate")), Some("uvicorn (websockets)"));
    assert_eq!(server("uvicorn", Some(sansio)), Some("uvicorn (websockets-sansio)"));
    let wsproto = "permessage-deflate; client_max_window_bits=15";
    assert_eq!(server("uvicorn", Some(wsproto)), Some("uvicorn (wsproto)"));
    assert_eq!(server("uvicorn", None), Some("uvicorn"));
    assert_eq!(server("Python/3.11 websockets/17.4", Some(sansio)), None);
    assert_eq!(server("uvicorn-like", None), None);
}

#[test]
fn servers_are_known_by_their_server_header() {
    assert_eq!(server("hypercorn-h11", None), Some("hypercorn"));
    assert_eq!(server("hypercorn", None), None);
    assert_eq!(server("TooTallNate Java-WebSocket", None), Some("Java-WebSocket"));
    assert_eq!(server("Java-WebSocket", None), None);
    assert_eq!(server("Apache-Coyote/1.1", None), Some("Tomcat"));
    assert_eq!(server("Apache/2.4.57", None), None);
    assert_eq!(server("Jetty(12.0.9)", None), Some("Jetty"));
    assert_eq!(server("JettyLike", None), None);
    assert_eq!(server("Kestrel", None), Some("ASP.NET Core"));
    assert_eq!(server("Python/3.11 aiohttp/3.14.5", None), Some("aiohttp server"));
    assert_eq!(server("nginx/1.22.1", None), None);
}

#[test]
fn uwebsockets_is_known_by_the_header_of_its_own() {
    let answer =
        |names: &str| answered(ResponseHead { header_names: names.into(), ..ResponseHead::default() });
    let known = answer("Upgrade,Connection,Sec-WebSocket-Accept,uWebSockets");
    assert_eq!(
        recognise(&known, &Teardown::default(), Side::Server).map(|(stack, _)| stack.library),
        Some("uWebSockets")
    );
    assert!(
        recognise(&answer("Upgrade,Connection,X-uWebSockets"), &Teardown::default(), Side::Server).is_none()
    );
}

#[test]
fn autobahn_is_known_on_both_sides() {
    assert_eq!(server("AutobahnPython/26.10.2", None), Some("Autobahn"));
    assert_eq!(client("AutobahnPython/26.10.2"), Some("Autobahn"));
    assert_eq!(server("daphne", None), Some("Daphne"));
    assert_eq!(server("TornadoServer/6.6.1", None), Some("Tornado"));
}

#[test]
fn heads_that_are_remembered_tell_what_they_told_and_only_a_few_are() {
    let shakes: Vec<_> = (0..2 * LATEST)
        .map(|number| request(&format!("aiohttp/{number}")))
        .chain([request("curl/8")])
        .collect();
    let mut recogniser = Recogniser::default();
    for handshake in shakes.iter().chain(shakes.iter().rev()) {
        let read = PerSide::from_fn(|side| Writer::of(handshake, side));
        assert_eq!(recogniser.writers(handshake), read);
        assert_eq!(recogniser.writers(handshake), read);
        assert!(recogniser.requests.len() <= LATEST);
    }
    assert_eq!(recogniser.answers.len(), 0, "there was none");
}

#[test]
fn a_close_that_gives_its_library_away_counts_before_a_later_row_of_the_head() {
    let close = CloseFrame {
        at: Moment::default(),
        code: Some(CloseCode::PROTOCOL_ERROR),
        reason: b"Protocol violation: x".to_vec(),
        body: CloseBody::Code,
        is_well_framed: true,
        wire: Wire::default(),
    };
    let teardown = Teardown { close: PerSide { client: Some(close), server: None }, ..Teardown::default() };
    let found = recognise(&request("aiohttp/3.9"), &teardown, Side::Client);
    assert_eq!(found.map(|(stack, _)| stack.library), Some("tungstenite"));
}
