//! The fields of a header block that a WebSocket's opening consists of (RFC 8441 §5).

use super::hpack::Fields;
use crate::http::upgrade::{Request, RequestHead, Response, ResponseHead};
use crate::moment::Moment;
use std::sync::Arc;

/// Names of these fields, in lower case as HTTP/2 has them.
const NAMES: [&[u8]; 16] = [
    b":method",
    b":protocol",
    b":status",
    b":path",
    b":authority",
    b"host",
    b"origin",
    b"user-agent",
    b"server",
    b"sec-websocket-key",
    b"sec-websocket-protocol",
    b"sec-websocket-extensions",
    b"via",
    b"forwarded",
    b"x-forwarded-for",
    b"x-real-ip",
];

const METHOD: usize = 0;
const PROTOCOL: usize = 1;
const STATUS: usize = 2;
const PATH: usize = 3;
const AUTHORITY: usize = 4;
const HOST: usize = 5;
const ORIGIN: usize = 6;
const USER_AGENT: usize = 7;
const SERVER: usize = 8;
const KEY: usize = 9;
const SUBPROTOCOL: usize = 10;
const EXTENSIONS: usize = 11;
const FORWARDING: std::ops::Range<usize> = 12..16;

/// What stays of a value's buffer for the next block, in bytes.
const VALUE_KEPT: usize = 256;

/// What a header block says, as far as it matters. Used again for each block.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// Values by their place in [`NAMES`]. Those that stand more than once are joined by `, `.
    values: [Vec<u8>; NAMES.len()],
    present: u16,
    /// Are there fields of which nothing is known?
    pub has_unknown: bool,
    /// Bytes that the values may still take.
    room: usize,
}

impl Head {
    /// Forgets the last block; `room`: bytes that the values of the next may take.
    pub(super) fn begin(&mut self, room: usize) {
        for value in &mut self.values {
            value.clear();
            value.shrink_to(VALUE_KEPT);
        }
        (self.present, self.has_unknown, self.room) = (0, false, room);
    }

    /// Memory that values take, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.values.iter().map(Vec::capacity).sum()
    }

    fn value(&self, place: usize) -> Option<&[u8]> {
        let value = self.values.get(place)?;
        (self.present >> place & 1 == 1).then_some(value.as_slice())
    }

    fn owned(&self, place: usize) -> Option<Vec<u8>> {
        self.value(place).map(<[u8]>::to_vec)
    }

    /// Does it ask for a WebSocket? `None`: fields that nobody knows may say so.
    pub(super) fn wants_websocket(&self) -> Option<bool> {
        let says = |place, wanted: &[u8]| self.value(place).map(|value| value.eq_ignore_ascii_case(wanted));
        match (says(METHOD, b"CONNECT"), says(PROTOCOL, b"websocket")) {
            (Some(true), Some(true)) => Some(true),
            (Some(false), _) | (_, Some(false)) => Some(false),
            _ if self.has_unknown => None,
            _ => Some(false),
        }
    }

    /// The request, which may ask for a WebSocket.
    pub(super) fn request(&self, at: Moment) -> Request {
        let head = RequestHead {
            method: self.owned(METHOD).unwrap_or_default(),
            target: self.owned(PATH).unwrap_or_default(),
            host: self.owned(AUTHORITY).or_else(|| self.owned(HOST)),
            origin: self.owned(ORIGIN),
            user_agent: self.owned(USER_AGENT),
            subprotocols: self.owned(SUBPROTOCOL),
            extensions: self.owned(EXTENSIONS),
            was_forwarded: FORWARDING.clone().any(|place| self.value(place).is_some()),
            has_control_characters: false,
            is_malformed: false,
            wants_websocket: true,
        };
        Request::new(at, self.owned(KEY), head)
    }

    /// The final answer; `None`: it is an interim one, trailers, or its status is unknown.
    pub(super) fn response(&self, at: Moment) -> Option<Response> {
        let status: u16 = std::str::from_utf8(self.value(STATUS)?).ok()?.parse().ok()?;
        let head = || ResponseHead {
            server: self.owned(SERVER),
            subprotocol: self.owned(SUBPROTOCOL),
            extensions: self.owned(EXTENSIONS),
            is_websocket: (200..300).contains(&status),
            ..ResponseHead::default()
        };
        (status >= 200).then(|| Response { at, status, head: Arc::new(head()), ..Response::default() })
    }
}

impl Fields for Head {
    fn wants(&self, name: &[u8]) -> bool {
        NAMES.contains(&name)
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let Some(place) = NAMES.iter().position(|known| *known == name) else { return };
        let Some(kept) = self.values.get_mut(place) else { return };
        let is_first = self.present >> place & 1 == 0;
        let Some(room) = self.room.checked_sub(value.len() + 2) else { return };
        self.room = room;
        if is_first {
            self.present |= 1 << place;
        } else {
            kept.extend_from_slice(b", ");
        }
        kept.extend_from_slice(value);
    }

    fn unknown(&mut self) {
        self.has_unknown = true;
    }
}

/// For blocks that are read for their effect on the table alone.
pub(super) struct Nothing;

impl Fields for Nothing {
    fn wants(&self, _: &[u8]) -> bool {
        false
    }

    fn field(&mut self, _: &[u8], _: &[u8]) {}

    fn unknown(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_long_values_took_is_given_back_with_the_next_block() {
        let mut head = Head::default();
        head.begin(64 << 10);
        head.field(b"via", &[b'v'; 60 << 10]);
        assert!(head.memory() >= 60 << 10);
        head.begin(0);
        assert!(head.memory() <= NAMES.len() * VALUE_KEPT, "{}", head.memory());
    }
}
