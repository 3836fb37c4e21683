//! Parsing one HTTP head, by `httparse`.

use super::body::BodyLength;
use super::upgrade::{Request, RequestHead, Response, ResponseHead};
use crate::moment::Moment;
use httparse::{Header, Status};
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Headers looked at in one head; a head with more is not followed.
const HEADERS_MAX: usize = 192;

/// Headers that a proxy adds to what it forwards (RFC 9110 §7.6.3, RFC 7239, and custom).
const FORWARDING: [&str; 4] = ["via", "forwarded", "x-forwarded-for", "x-real-ip"];

/// Outcome of parsing a head at the start of some bytes.
#[derive(Debug)]
pub(super) enum Parsed<T> {
    /// The head, and its length in bytes.
    Whole(T, usize),
    /// More bytes are needed.
    Partial,
    /// This is no HTTP head.
    Invalid,
}

/// A request head with the length of its body.
pub(super) fn request(bytes: &[u8], at: Moment) -> Parsed<(Request, BodyLength)> {
    let parsed = strict_request(bytes, at);
    if !matches!(parsed, Parsed::Invalid) {
        return parsed;
    }
    let Some(tamed) = tamed(bytes) else { return parsed };
    let mut lenient = strict_request(&tamed, at);
    if let Parsed::Whole((request, _), _) = &mut lenient {
        let head = Arc::make_mut(&mut request.head);
        head.has_control_characters = true;
        // The target keeps its own bytes.
        let start = head.method.len() + 1;
        if let Some(target) = bytes.get(start..start + head.target.len()) {
            head.target = target.to_vec();
        }
    }
    lenient
}

/// A response head with the length of its body, as the headers alone tell it (RFC 9112 §6.3).
pub(super) fn response(bytes: &[u8], at: Moment) -> Parsed<(Response, BodyLength)> {
    let parsed = strict_response(bytes, at);
    if !matches!(parsed, Parsed::Invalid) {
        return parsed;
    }
    let Some(tamed) = tamed(bytes) else { return parsed };
    let mut lenient = strict_response(&tamed, at);
    if let Parsed::Whole((response, _), _) = &mut lenient {
        Arc::make_mut(&mut response.head).has_control_characters = true;
    }
    lenient
}

/// The head at the start of `bytes` with harmless bytes in place of control characters; `None`: it holds none. Some
/// servers take such heads, and their connections must not be hidden by that.
fn tamed(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = blank_line_end(bytes)?;
    let head = bytes.get(..end)?;
    let follows = |at: usize| head.get(at + 1).copied();
    let is_wrong = |at: usize, byte: u8| match byte {
        b'\r' => follows(at) != Some(b'\n'),
        b'\n' | b'\t' => false,
        _ => byte.is_ascii_control(),
    };
    // The first line is text; its target keeps its own bytes.
    let first_line = head.iter().position(|byte| *byte == b'\n').unwrap_or(end);
    let stand_in = |at: usize| if at < first_line { b'_' } else { 0xff };
    let change = |(at, byte): (usize, &u8)| if is_wrong(at, *byte) { stand_in(at) } else { *byte };
    let tamed: Vec<u8> = head.iter().enumerate().map(change).collect();
    (tamed != head).then_some(tamed)
}

/// Behind the first blank line, however its lines end: a later one may be there or not, as TCP cuts the bytes.
fn blank_line_end(bytes: &[u8]) -> Option<usize> {
    let bare = memchr::memmem::find(bytes, b"\n\n").map(|at| at + 2);
    let usual = memchr::memmem::find(bytes, b"\n\r\n").map(|at| at + 3);
    bare.into_iter().chain(usual).min()
}

fn strict_request(bytes: &[u8], at: Moment) -> Parsed<(Request, BodyLength)> {
    // Not filled: six kilobytes a head would cost more than reading it.
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Status::Partial) => Parsed::Partial,
        Err(_) => Parsed::Invalid,
        Ok(Status::Complete(len)) => {
            let all = Headers(parsed.headers);
            let head = RequestHead {
                method: parsed.method.unwrap_or_default().into(),
                target: parsed.path.unwrap_or_default().into(),
                host: all.first("host"),
                origin: all.first("origin"),
                user_agent: all.first("user-agent"),
                subprotocols: all.joined("sec-websocket-protocol"),
                extensions: all.joined("sec-websocket-extensions"),
                was_forwarded: FORWARDING.iter().any(|name| all.values(name).next().is_some()),
                has_control_characters: false,
                wants_websocket: parsed.method == Some("GET") && all.has_token("upgrade", b"websocket"),
            };
            let body = all.body_length().unwrap_or(BodyLength::Known(0));
            Parsed::Whole((Request::new(at, all.first("sec-websocket-key"), head), body), len)
        }
    }
}

fn strict_response(bytes: &[u8], at: Moment) -> Parsed<(Response, BodyLength)> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        bytes,
        &mut headers,
    ) {
        Ok(Status::Partial) => Parsed::Partial,
        Err(_) => Parsed::Invalid,
        Ok(Status::Complete(len)) => {
            let all = Headers(parsed.headers);
            let status = parsed.code.unwrap_or_default();
            let head = ResponseHead {
                server: all.first("server"),
                subprotocol: all.first("sec-websocket-protocol"),
                extensions: all.joined("sec-websocket-extensions"),
                header_names: if status == 101 { all.names() } else { Vec::new() },
                has_control_characters: false,
                is_websocket: all.has_token("upgrade", b"websocket"),
            };
            let accept = all.first("sec-websocket-accept").map(Vec::into_boxed_slice);
            let response = Response { at, status, accept, head: Arc::new(head), ..Response::default() };
            Parsed::Whole((response, all.body_length().unwrap_or(BodyLength::UntilClose)), len)
        }
    }
}

struct Headers<'h, 'b>(&'h [Header<'b>]);

impl Headers<'_, '_> {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    fn names(&self) -> Vec<u8> {
        self.0.iter().map(|header| header.name.as_bytes()).collect::<Vec<_>>().join(&b","[..])
    }

    fn first(&self, name: &str) -> Option<Vec<u8>> {
        self.values(name).next().map(<[u8]>::to_vec)
    }

    fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let all: Vec<&[u8]> = self.values(name).collect();
        (!all.is_empty()).then(|| all.join(&b", "[..]))
    }

    fn has_token(&self, name: &str, token: &[u8]) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
    }

    fn body_length(&self) -> Option<BodyLength> {
        if self.has_token("transfer-encoding", b"chunked") {
            return Some(BodyLength::Chunked);
        }
        let text = std::str::from_utf8(self.values("content-length").next()?).ok()?;
        text.trim().parse().ok().map(BodyLength::Known)
    }
}
