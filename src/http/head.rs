//! Parsing one HTTP head, by `httparse`.

use super::body::BodyLength;
use super::mended::Mended;
use super::upgrade::{Request, RequestHead, Response, ResponseHead};
use crate::moment::Moment;
use httparse::{Header, Status};
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Headers looked at in one head. Of a request with more, those that matter here are picked out; an answer with more is not
/// followed.
const HEADERS_MAX: usize = 192;

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
    let parsed = strict_request(bytes, bytes, at);
    if !matches!(parsed, Parsed::Invalid) {
        return parsed;
    }
    let needed = |name: &str| Field::named(name).is_some();
    let Some(mended) = Mended::of(bytes, true, needed) else { return parsed };
    let Parsed::Whole((mut request, body), _) = strict_request(&mended.text, &mended.own, at) else {
        return parsed;
    };
    let head = Arc::make_mut(&mut request.head);
    head.has_control_characters = mended.has_control_characters;
    head.is_malformed = mended.is_malformed;
    // The target keeps its own bytes.
    let start = head.method.len() + 1;
    if let Some(target) = mended.own.get(start..start + head.target.len()) {
        head.target = target.to_vec();
    }
    Parsed::Whole((request, body), mended.len)
}

/// A response head with the length of its body, as the headers alone tell it (RFC 9112 §6.3).
pub(super) fn response(bytes: &[u8], at: Moment) -> Parsed<(Response, BodyLength)> {
    let parsed = strict_response(bytes, bytes, at);
    if !matches!(parsed, Parsed::Invalid) {
        return parsed;
    }
    let Some(mended) = Mended::of(bytes, false, |_| true) else { return parsed };
    let Parsed::Whole((mut response, body), _) = strict_response(&mended.text, &mended.own, at) else {
        return parsed;
    };
    let head = Arc::make_mut(&mut response.head);
    head.has_control_characters = mended.has_control_characters;
    head.is_malformed = mended.is_malformed;
    Parsed::Whole((response, body), mended.len)
}

/// Gives `headers`, parsed in `bytes`, the values that stand there in `own`.
fn take_own_values<'b>(headers: &mut [Header<'b>], bytes: &[u8], own: &'b [u8]) {
    if std::ptr::eq(bytes, own) {
        return;
    }
    for header in headers {
        let start = header.value.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
        if let Some(value) = own.get(start..start.saturating_add(header.value.len())) {
            header.value = value;
        }
    }
}

/// Of a head in `bytes`, whose values are `own`'s.
fn strict_request(bytes: &[u8], own: &[u8], at: Moment) -> Parsed<(Request, BodyLength)> {
    // Not filled: six kilobytes a head would cost more than reading it.
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Status::Partial) => Parsed::Partial,
        Err(_) => Parsed::Invalid,
        Ok(Status::Complete(len)) => {
            take_own_values(parsed.headers, bytes, own);
            let all = Headers::of(parsed.headers);
            let head = RequestHead {
                method: parsed.method.unwrap_or_default().into(),
                target: parsed.path.unwrap_or_default().into(),
                host: all.host.map(<[u8]>::to_vec),
                origin: all.origin.map(<[u8]>::to_vec),
                user_agent: all.user_agent.map(<[u8]>::to_vec),
                subprotocols: all.subprotocols,
                extensions: all.extensions,
                was_forwarded: all.is_forwarded,
                has_control_characters: false,
                is_malformed: false,
                wants_websocket: parsed.method == Some("GET") && all.upgrades,
            };
            let body = all.body.unwrap_or(BodyLength::Known(0));
            Parsed::Whole((Request::new(at, all.key.map(<[u8]>::to_vec), head), body), len)
        }
    }
}

fn strict_response(bytes: &[u8], own: &[u8], at: Moment) -> Parsed<(Response, BodyLength)> {
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
            take_own_values(parsed.headers, bytes, own);
            let all = Headers::of(parsed.headers);
            let status = parsed.code.unwrap_or_default();
            let head = ResponseHead {
                server: all.server.map(<[u8]>::to_vec),
                subprotocol: all.subprotocol.map(<[u8]>::to_vec),
                extensions: all.extensions,
                header_names: if status == 101 { names(parsed.headers) } else { Vec::new() },
                has_control_characters: false,
                is_malformed: false,
                is_websocket: all.upgrades,
            };
            let accept = all.accept.map(Box::from);
            let response = Response { at, status, accept, head: Arc::new(head), ..Response::default() };
            Parsed::Whole((response, all.body.unwrap_or(BodyLength::UntilClose)), len)
        }
    }
}

/// A header that is looked at.
#[derive(Clone, Copy)]
enum Field {
    Host,
    Origin,
    UserAgent,
    Server,
    Key,
    Accept,
    Subprotocol,
    Extensions,
    Upgrade,
    /// One that a proxy adds to what it forwards (RFC 9110 §7.6.3, RFC 7239, and custom).
    Forwarding,
    TransferEncoding,
    ContentLength,
}

impl Field {
    /// The field of this name. Its length tells which names it is compared with: of most headers, none or one.
    fn named(name: &str) -> Option<Field> {
        let of_this_length: &[(&str, Field)] = match name.len() {
            3 => &[("via", Field::Forwarding)],
            4 => &[("host", Field::Host)],
            6 => &[("origin", Field::Origin), ("server", Field::Server)],
            7 => &[("upgrade", Field::Upgrade)],
            9 => &[("forwarded", Field::Forwarding), ("x-real-ip", Field::Forwarding)],
            10 => &[("user-agent", Field::UserAgent)],
            14 => &[("content-length", Field::ContentLength)],
            15 => &[("x-forwarded-for", Field::Forwarding)],
            17 => &[("sec-websocket-key", Field::Key), ("transfer-encoding", Field::TransferEncoding)],
            20 => &[("sec-websocket-accept", Field::Accept)],
            22 => &[("sec-websocket-protocol", Field::Subprotocol)],
            24 => &[("sec-websocket-extensions", Field::Extensions)],
            _ => &[],
        };
        of_this_length.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

/// What the headers of a head say. Of a field that stands twice the first counts, unless it is a list.
#[derive(Default)]
struct Headers<'b> {
    host: Option<&'b [u8]>,
    origin: Option<&'b [u8]>,
    user_agent: Option<&'b [u8]>,
    server: Option<&'b [u8]>,
    key: Option<&'b [u8]>,
    accept: Option<&'b [u8]>,
    /// The first value.
    subprotocol: Option<&'b [u8]>,
    /// All values, joined.
    subprotocols: Option<Vec<u8>>,
    extensions: Option<Vec<u8>>,
    /// Is `websocket` among the protocols to switch to?
    upgrades: bool,
    is_forwarded: bool,
    body: Option<BodyLength>,
}

impl<'b> Headers<'b> {
    fn of(headers: &[Header<'b>]) -> Self {
        let mut all = Headers::default();
        let (mut is_chunked, mut content_length) = (false, None);
        for Header { name, value } in headers {
            let Some(field) = Field::named(name) else { continue };
            let single = match field {
                Field::Host => &mut all.host,
                Field::Origin => &mut all.origin,
                Field::UserAgent => &mut all.user_agent,
                Field::Server => &mut all.server,
                Field::Key => &mut all.key,
                Field::Accept => &mut all.accept,
                Field::ContentLength => &mut content_length,
                Field::Subprotocol => {
                    join(&mut all.subprotocols, value);
                    &mut all.subprotocol
                }
                Field::Extensions => {
                    join(&mut all.extensions, value);
                    continue;
                }
                Field::Upgrade => {
                    all.upgrades |= has_token(value, b"websocket");
                    continue;
                }
                Field::Forwarding => {
                    all.is_forwarded = true;
                    continue;
                }
                Field::TransferEncoding => {
                    is_chunked |= has_token(value, b"chunked");
                    continue;
                }
            };
            single.get_or_insert(value);
        }
        all.body = if is_chunked { Some(BodyLength::Chunked) } else { known_length(content_length) };
        all
    }
}

/// Another value of a list.
fn join(list: &mut Option<Vec<u8>>, value: &[u8]) {
    match list {
        Some(list) => list.extend([b", ", value].into_iter().flatten()),
        None => *list = Some(value.to_vec()),
    }
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

fn known_length(content_length: Option<&[u8]>) -> Option<BodyLength> {
    let text = std::str::from_utf8(content_length?).ok()?;
    text.trim().parse().ok().map(BodyLength::Known)
}

fn names(headers: &[Header<'_>]) -> Vec<u8> {
    let mut names = Vec::with_capacity(headers.iter().map(|header| header.name.len() + 1).sum());
    for header in headers {
        if !names.is_empty() {
            names.push(b',');
        }
        names.extend_from_slice(header.name.as_bytes());
    }
    names
}
