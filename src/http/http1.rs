//! Follows the HTTP/1.1 messages of a connection up to its Upgrade (RFC 9112).

use super::body::{Body, BodyLength};
use super::head::{self, Parsed};
use super::http2::frame::CLIENT_PREFACE;
use super::upgrade::{Request, Response, ResponseHead};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::Gap;
use crate::work;
use std::collections::VecDeque;
use std::sync::Arc;

/// Requests whose answers are awaited at a time; further ones are not matched.
const PIPELINE_MAX: usize = 64;
/// Longest PROXY protocol version 1 line (107 bytes with its CRLF).
const PROXY_LINE_MAX: usize = 107;
/// Longest method of a request.
const METHOD_MAX: usize = 16;
/// Signature of PROXY protocol version 2.
const PROXY_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What HTTP found.
#[derive(Debug)]
pub enum HttpEvent {
    /// A request head. After one that asks for a WebSocket, what follows is up to its answer.
    Request(Request),
    /// The final answer to a request: to one that asked for a WebSocket, or a `101`.
    Response(Response),
    /// These bytes are not HTTP.
    NotHttp,
    /// They are, but of the other role: what was taken for the client answers, or the server asks.
    RolesReversed,
    /// A head longer than the limit.
    HeadTooLong,
    /// The client goes on in HTTP/2: so many bytes of its preface have passed.
    Http2(usize),
}

/// What a request asked for, as far as its answer's framing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Upgrade,
    Head,
    Connect,
    Other,
}

#[derive(Clone, Debug, Default)]
enum State {
    /// Nothing read yet.
    #[default]
    Start,
    /// Between messages, or inside a head whose bytes so far are in `buffer`.
    Head,
    Body(Body),
    /// After a hole: looks for a head at the start of each segment.
    Resync,
}

#[derive(Clone, Debug, Default)]
struct Half {
    state: State,
    buffer: Vec<u8>,
    /// Is the first line of the head in `buffer` whole?
    has_line: bool,
    /// Where a head may have passed unseen, until the next one is found.
    hole: Option<Gap>,
}

/// The HTTP messages of one connection, both directions.
#[derive(Clone, Debug, Default)]
pub struct Http1 {
    halves: PerSide<Half>,
    asked: VecDeque<Asked>,
    messages: u32,
    requests: u32,
    /// The server has switched to something else than a WebSocket.
    switched: bool,
    /// Packet and status of the server's latest answer to a request that has not come to light, as where bytes before it
    /// are missing.
    early: Option<(Moment, u16)>,
}

impl Http1 {
    /// A connection in its middle, with holes in what was looked at before.
    #[must_use]
    pub fn behind(holes: PerSide<Option<Gap>>) -> Http1 {
        Http1 { halves: holes.map(|hole| Half { hole, ..Half::default() }), ..Http1::default() }
    }

    /// Has nothing come yet?
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let is_fresh =
            |half: &Half| matches!(half.state, State::Start) && half.buffer.is_empty() && half.hole.is_none();
        self.messages == 0
            && self.asked.is_empty()
            && is_fresh(&self.halves.client)
            && is_fresh(&self.halves.server)
    }

    /// Request heads seen whole.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// The hole in which a head of `side` may have passed, if no other was found since.
    #[must_use]
    pub fn hole(&self, side: Side) -> Option<Gap> {
        self.halves[side].hole
    }

    /// Was anything read?
    #[must_use]
    pub fn has_begun(&self) -> bool {
        let is_fresh = |half: &Half| matches!(half.state, State::Start) && half.buffer.is_empty();
        !(is_fresh(&self.halves.client) && is_fresh(&self.halves.server))
    }

    /// Does `side` stand in the middle of a head?
    #[must_use]
    pub fn has_partial_head(&self, side: Side) -> bool {
        !self.halves[side].buffer.is_empty()
    }

    /// May the server go on in HTTP/2 here: as the first to speak, or after it has switched (RFC 7540 §3.2)?
    #[must_use]
    pub fn may_switch(&self) -> bool {
        let is_first = self.messages == 0 && matches!(self.halves.server.state, State::Start);
        (is_first || self.switched) && self.halves.server.buffer.is_empty()
    }

    /// How many bytes of HTTP/2's preface the client has sent so far, if it has begun with that.
    #[must_use]
    pub fn preface_held(&self) -> usize {
        let held = &self.halves.client.buffer;
        if CLIENT_PREFACE.starts_with(held) { held.len() } else { 0 }
    }

    /// Bytes of heads that are not whole yet.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.halves.client.buffer.len() + self.halves.server.buffer.len()
    }

    /// Both directions were taken for the other.
    pub fn swap_sides(&mut self) {
        self.halves.swap();
    }

    /// Takes bytes of `side`, up to the first event; gives how many were used.
    pub fn feed(
        &mut self,
        side: Side,
        at: Moment,
        bytes: &[u8],
        limits: &Limits,
    ) -> (usize, Option<HttpEvent>) {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let half = self.halves.get_mut(side);
            match half.state {
                State::Body(_) => used += self.skip_body(side, rest),
                State::Resync if !looks_like_head(side, rest) => return (bytes.len(), None),
                State::Start | State::Head | State::Resync => {
                    let (step, event) = self.feed_head(side, at, rest, limits);
                    used += step;
                    if event.is_some() {
                        return (used, event);
                    }
                }
            }
        }
        (used, None)
    }

    /// Is a body of `side` under way?
    #[must_use]
    pub fn is_in_body(&self, side: Side) -> bool {
        matches!(self.halves[side].state, State::Body(_))
    }

    /// Passes over a body of `side` that is under way; gives how many of `bytes` belong to it.
    pub fn skip_body(&mut self, side: Side, bytes: &[u8]) -> usize {
        let half = self.halves.get_mut(side);
        let State::Body(body) = half.state else { return 0 };
        let (step, left) = body.skip(bytes);
        half.state = left.map_or(State::Head, State::Body);
        step
    }

    /// The server's answer, if a head of it is under way whose status line is whole: for a head that the snaplen cut.
    #[must_use]
    pub fn cut_answer(&self, at: Moment) -> Option<Response> {
        let line = self.halves.server.buffer.split(|byte| *byte == b'\n').next()?;
        let status = line.strip_prefix(b"HTTP/1.1 ")?.first_chunk::<3>()?;
        let status = std::str::from_utf8(status).ok()?.parse().ok()?;
        let head = ResponseHead { is_websocket: status == 101, ..ResponseHead::default() };
        Some(Response { at, status, head: Arc::new(head), is_cut: true, ..Response::default() })
    }

    /// `side` lost bytes. False: its next message boundary is unknown.
    pub fn gap(&mut self, side: Side, gap: Gap) -> bool {
        let half = self.halves.get_mut(side);
        let after = if let State::Body(body) = half.state { body.skip_gap(gap.len) } else { None };
        half.buffer.clear();
        if after.is_none() {
            half.hole.get_or_insert(gap);
        }
        half.state = match after {
            Some(Some(body)) => State::Body(body),
            Some(None) => State::Head,
            None => State::Resync,
        };
        after.is_some()
    }

    /// Takes bytes of a head, which may have begun earlier.
    fn feed_head(
        &mut self,
        side: Side,
        at: Moment,
        rest: &[u8],
        limits: &Limits,
    ) -> (usize, Option<HttpEvent>) {
        let half = self.halves.get_mut(side);
        let held = half.buffer.len();
        let mut buffer = std::mem::take(&mut half.buffer);
        let input = if held == 0 {
            rest
        } else {
            buffer.extend_from_slice(rest);
            &buffer
        };
        let was_start = matches!(half.state, State::Start);
        let (used, event) = match preamble_len(side, was_start, input) {
            Preamble::Whole(len) => {
                half.state = State::Head;
                (len, None)
            }
            Preamble::Partial => (0, None),
            Preamble::None => self.parse_head(side, at, input, held, limits),
        };
        if used == 0 && event.is_none() {
            if input.len() > limits.http_head_bytes {
                return (rest.len(), Some(HttpEvent::HeadTooLong));
            }
            let keep = if held == 0 { rest.to_vec() } else { buffer };
            self.halves.get_mut(side).buffer = keep;
            return (rest.len(), None);
        }
        if matches!(event, Some(HttpEvent::RolesReversed)) {
            // What came before is the start of the other role's head.
            buffer.truncate(held);
            self.halves.get_mut(side).buffer = buffer;
        }
        (used.saturating_sub(held), event)
    }

    /// `held` bytes of `input` were there before, without the end of a head among them.
    fn parse_head(
        &mut self,
        side: Side,
        at: Moment,
        input: &[u8],
        held: usize,
        limits: &Limits,
    ) -> (usize, Option<HttpEvent>) {
        // Blank lines between messages are ignored (RFC 9112 §2.2).
        let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let Some(input) = input.get(blank..).filter(|rest| !rest.is_empty()) else {
            // A PROXY header stands before everything, also before blank lines.
            self.halves.get_mut(side).state = State::Head;
            return (input.len(), None);
        };
        // The first line is looked at when its end comes, not again with each byte.
        let (before, new) = input.split_at_checked(held.saturating_sub(blank)).unwrap_or((input, &[]));
        let half = self.halves.get_mut(side);
        let had_line = half.has_line && !before.is_empty();
        let has_new_line = !had_line && memchr::memchr(b'\n', new).is_some();
        half.has_line = had_line || has_new_line;
        if has_new_line && is_preface(input) {
            return match side {
                Side::Client => (0, Some(HttpEvent::Http2(held.saturating_sub(blank)))),
                Side::Server if self.messages == 0 => (0, Some(HttpEvent::RolesReversed)),
                Side::Server => (0, Some(HttpEvent::NotHttp)),
            };
        }
        let fits = |side| opens_head(side, input) && (!has_new_line || line_fits(side, input));
        if !fits(side) {
            let event = match (self.messages == 0 && fits(side.other()), half.has_line) {
                (true, true) => Some(HttpEvent::RolesReversed),
                // Its first line will tell.
                (true, false) => None,
                (false, _) => Some(HttpEvent::NotHttp),
            };
            return (0, event);
        }
        // Heads are parsed once, when they are whole: one that comes byte by byte must not cost the square of its length.
        // What comes first is parsed at once: most heads come whole.
        let newest = input.get(held.saturating_sub(blank + 3)..).unwrap_or(input);
        if held > 0 && !has_blank_line(newest) {
            return (0, None);
        }
        let (used, event) = match side {
            Side::Client => match head::request(input, at) {
                Parsed::Whole((request, body), len) => (len, self.take_request(request, body)),
                Parsed::Partial => (0, None),
                Parsed::Invalid => (0, Some(HttpEvent::NotHttp)),
            },
            Side::Server => match head::response(input, at) {
                Parsed::Whole((response, body), len) => (len, self.take_response(response, body)),
                Parsed::Partial => (0, None),
                Parsed::Invalid => (0, Some(HttpEvent::NotHttp)),
            },
        };
        if used == 0 {
            // Whether it is none is told when its end has come.
            return (0, event.filter(|_| has_blank_line(newest)));
        }
        self.messages = self.messages.saturating_add(1);
        self.halves.get_mut(side).hole = None;
        let too_many = event.is_none() && self.messages > limits.http_messages;
        (blank + used, if too_many { Some(HttpEvent::NotHttp) } else { event })
    }

    fn take_request(&mut self, request: Request, body: BodyLength) -> Option<HttpEvent> {
        self.requests = self.requests.saturating_add(1);
        let asked = match request.method.as_slice() {
            _ if request.wants_websocket => Asked::Upgrade,
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ => Asked::Other,
        };
        if self.asked.len() < PIPELINE_MAX {
            self.asked.push_back(asked);
        }
        self.halves.client.state = Body::start(body).map_or(State::Head, State::Body);
        (asked == Asked::Upgrade).then_some(HttpEvent::Request(request))
    }

    fn take_response(&mut self, response: Response, body: BodyLength) -> Option<HttpEvent> {
        let is_switch = response.status == 101 && response.is_websocket;
        if !is_switch && (100..200).contains(&response.status) && response.status != 101 {
            self.halves.server.state = State::Head;
            return None; // an interim answer (RFC 9110 §15.2)
        }
        let asked = self.asked.pop_front();
        self.switched = response.status == 101 && !response.is_websocket;
        let is_tunnel = asked == Some(Asked::Connect) && (200..300).contains(&response.status);
        let no_body = is_switch
            || is_tunnel
            || asked == Some(Asked::Head)
            || matches!(response.status, 101 | 204 | 304);
        let body = if no_body { None } else { Body::start(body) };
        self.halves.server.state = body.map_or(State::Head, State::Body);
        if is_tunnel {
            // A tunnel is a fresh connection inside this one (RFC 9110 §9.3.6).
            self.halves = PerSide::default();
        }
        if !is_switch && asked.is_none() {
            self.early = Some((response.at, response.status));
            return None;
        }
        (is_switch || asked == Some(Asked::Upgrade)).then_some(HttpEvent::Response(response))
    }

    /// Has the server answered what has not come to light?
    #[must_use]
    pub fn has_early_answer(&self) -> bool {
        self.early.is_some()
    }

    /// The answer to the Upgrade request just taken, of packet `at`, if that came to light only behind its answer.
    pub fn take_early_answer(&mut self, at: Moment) -> Option<Response> {
        let (answered_at, status) = self.early.take().filter(|(answered_at, _)| *answered_at > at)?;
        self.asked.pop_back();
        Some(Response { at: answered_at, status, ..Response::default() })
    }
}

/// Does a head end here?
fn has_blank_line(bytes: &[u8]) -> bool {
    let mut behind = memchr::memchr_iter(b'\n', bytes).filter_map(|at| bytes.get(at + 1..));
    behind.any(|rest| rest.starts_with(b"\n") || rest.starts_with(b"\r\n"))
}

enum Preamble {
    Whole(usize),
    Partial,
    None,
}

/// A PROXY protocol header at the very start of the client's bytes.
fn preamble_len(side: Side, was_start: bool, input: &[u8]) -> Preamble {
    if side == Side::Server || !was_start {
        return Preamble::None;
    }
    if let Some(rest) = input.strip_prefix(PROXY_V2) {
        let Some([_, _, high, low]) = rest.first_chunk::<4>() else { return Preamble::Partial };
        let len = PROXY_V2.len() + 4 + usize::from(u16::from_be_bytes([*high, *low]));
        return if input.len() >= len { Preamble::Whole(len) } else { Preamble::Partial };
    }
    if input.starts_with(b"PROXY ") {
        let line = input.iter().take(PROXY_LINE_MAX).position(|byte| *byte == b'\n');
        return match line {
            Some(end) => Preamble::Whole(end + 1),
            None if input.len() < PROXY_LINE_MAX => Preamble::Partial,
            None => Preamble::None,
        };
    }
    let unsure = PROXY_V2.starts_with(input) || b"PROXY ".starts_with(input);
    if unsure { Preamble::Partial } else { Preamble::None }
}

/// Could `input` be the start of a head that `side` sends, as far as it goes?
fn may_be_head(side: Side, input: &[u8]) -> bool {
    opens_head(side, input) && line_fits(side, input)
}

/// Does `input` begin as the first line of a head does?
fn opens_head(side: Side, input: &[u8]) -> bool {
    match side {
        Side::Server => {
            let version = b"HTTP/1.";
            input.starts_with(version) || version.starts_with(input)
        }
        Side::Client => {
            let is_method = |byte: &&u8| byte.is_ascii_uppercase() || **byte == b'-';
            let method = input.iter().take(METHOD_MAX + 1).take_while(is_method).count();
            (1..=METHOD_MAX).contains(&method) && input.get(method).is_none_or(|byte| *byte == b' ')
        }
    }
}

/// Does the first line end as a request's does, if it has an end?
fn line_fits(side: Side, input: &[u8]) -> bool {
    let ends_well = |line: &[u8]| line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
    side == Side::Server || first_line(input).is_none_or(ends_well)
}

/// Is the first line, which is whole, that of HTTP/2's preface?
fn is_preface(input: &[u8]) -> bool {
    first_line(input) == first_line(CLIENT_PREFACE)
}

/// The first line without its end, once that end is there.
fn first_line(input: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', input);
    work::steps(end.unwrap_or(input.len()));
    let end = end?;
    let line = input.get(..end)?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Is `input` clearly the start of a head that `side` sends?
#[must_use]
pub fn looks_like_head(side: Side, input: &[u8]) -> bool {
    match side {
        Side::Server => input.starts_with(b"HTTP/1."),
        Side::Client => first_line(input).is_some() && (may_be_head(side, input) || is_preface(input)),
    }
}

#[cfg(test)]
mod tests;
