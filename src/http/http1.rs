//! Follows the HTTP/1.1 messages of a connection up to its Upgrade (RFC 9112).

use super::body::{Body, BodyLength};
use super::head::{self, Parsed};
use super::upgrade::{Request, Response};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use std::collections::VecDeque;

/// Requests whose answers are awaited at a time; further ones are not matched.
const PIPELINE_MAX: usize = 64;
/// Longest PROXY protocol version 1 line (107 bytes with its CRLF).
const PROXY_LINE_MAX: usize = 107;
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
}

/// What a request asked for, as far as its answer's framing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Upgrade,
    Head,
    Connect,
    Other,
}

#[derive(Debug, Default)]
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

#[derive(Debug, Default)]
struct Half {
    state: State,
    buffer: Vec<u8>,
}

/// The HTTP messages of one connection, both directions.
#[derive(Debug, Default)]
pub struct Http1 {
    halves: PerSide<Half>,
    asked: VecDeque<Asked>,
    messages: u32,
    requests: u32,
}

impl Http1 {
    /// Request heads seen whole.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Does `side` stand in the middle of a head?
    #[must_use]
    pub fn has_partial_head(&self, side: Side) -> bool {
        !self.halves[side].buffer.is_empty()
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
                State::Body(body) => {
                    let (step, left) = body.skip(rest);
                    used += step;
                    half.state = left.map_or(State::Head, State::Body);
                }
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

    /// The server's answer, if a head of it is under way whose status line is whole: for a head that the snaplen cut.
    #[must_use]
    pub fn cut_answer(&self, at: Moment) -> Option<Response> {
        let line = self.halves.server.buffer.split(|byte| *byte == b'\n').next()?;
        let status = line.strip_prefix(b"HTTP/1.1 ")?.first_chunk::<3>()?;
        let status = std::str::from_utf8(status).ok()?.parse().ok()?;
        Some(Response { at, status, is_websocket: status == 101, ..Response::default() })
    }

    /// `side` lost `len` bytes. False: its next message boundary is unknown.
    pub fn gap(&mut self, side: Side, len: u64) -> bool {
        let half = self.halves.get_mut(side);
        let after = if let State::Body(body) = half.state { body.skip_gap(len) } else { None };
        half.buffer.clear();
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
            Preamble::None => self.parse_head(side, at, input, limits),
        };
        if used == 0 && event.is_none() {
            if input.len() > limits.http_head_bytes {
                return (rest.len(), Some(HttpEvent::HeadTooLong));
            }
            let keep = if held == 0 { rest.to_vec() } else { buffer };
            self.halves.get_mut(side).buffer = keep;
            return (rest.len(), None);
        }
        (used.saturating_sub(held), event)
    }

    fn parse_head(
        &mut self,
        side: Side,
        at: Moment,
        input: &[u8],
        limits: &Limits,
    ) -> (usize, Option<HttpEvent>) {
        // Blank lines between messages are ignored (RFC 9112 §2.2).
        let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let Some(input) = input.get(blank..).filter(|rest| !rest.is_empty()) else {
            return (input.len(), None);
        };
        if !may_be_head(side, input) {
            let reversed = may_be_head(side.other(), input) && self.messages == 0;
            return (0, Some(if reversed { HttpEvent::RolesReversed } else { HttpEvent::NotHttp }));
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
            return (0, event);
        }
        self.messages = self.messages.saturating_add(1);
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
        (is_switch || asked == Some(Asked::Upgrade)).then_some(HttpEvent::Response(response))
    }
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
    match side {
        Side::Server => {
            let version = b"HTTP/1.";
            input.starts_with(version) || version.starts_with(input)
        }
        Side::Client => {
            let method = input.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
            (1..=16).contains(&method) && input.get(method).is_none_or(|byte| *byte == b' ')
        }
    }
}

/// Is `input` clearly the start of a head that `side` sends?
#[must_use]
pub fn looks_like_head(side: Side, input: &[u8]) -> bool {
    match side {
        Side::Server => input.starts_with(b"HTTP/1."),
        Side::Client => {
            let line = input.split(|byte| *byte == b'\r').next().unwrap_or_default();
            may_be_head(side, input) && (line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0"))
        }
    }
}
