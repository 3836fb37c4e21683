//! What a recognised library tells its application instead of the code of RFC 6455.
//!
//! The table is data ([`STACKS`]); this file only reads it. What it says stands beside the RFC's code, never in its
//! place.

pub use super::stack_table::STACKS;
use crate::http::upgrade::Handshake;
use crate::side::Side;
use crate::verdict::endpoint::{Certainty, Course, EndpointCode};
use crate::verdict::teardown::Teardown;
use crate::websocket::close_code::CloseCode;

/// A library, how it is recognised, and where it departs from RFC 6455 §7.1.5.
#[derive(Debug)]
pub struct Stack {
    /// Its name.
    pub library: &'static str,
    /// The end it is.
    pub side: Side,
    /// What it is recognised by: all of these.
    pub signs: &'static [Sign],
    /// Its departures; the first that fits counts.
    pub rules: &'static [Rule],
}

/// A mark that a library leaves in the opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A product named in the client's `User-Agent` (without its version).
    UserAgent(&'static str),
    /// A product named in the server's `Server`.
    Server(&'static str),
    /// A header of the answer with this name.
    AnswerHeader(&'static str),
    /// The extensions accepted are exactly these.
    Extensions(&'static str),
    /// No extension was accepted.
    NoExtensions,
}

/// One departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// In which situation.
    pub when: When,
    /// What the application is told in it.
    pub says: Says,
}

/// A situation, as one end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The peer's Close came first and was accepted, with a code in this range (1005: it was empty).
    Told(u16, u16),
    /// The end's own Close, with any code, was sent before the peer's reached it, or the peer sent none.
    OwnCloseFirst,
    /// As `OwnCloseFirst`, with a code in this range, and the peer's Close was accepted.
    OwnCodeAnswered(u16, u16),
    /// The end's own Close came first, and it closed or aborted TCP before the peer's had reached it.
    LeftBeforeAnswer,
    /// The end's own Close came first, and the peer sent none.
    Unanswered,
    /// The end failed the connection with a Close, or rejected the peer's.
    Failed,
    /// TCP ended without any Close, and not by this end.
    Dropped,
    /// The end itself dropped TCP without any Close.
    Quit,
}

/// What the application is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// This code.
    Code(u16),
    /// The code of the end's own Close.
    Own,
    /// One of these.
    Either(u16, u16),
    /// The code of the end's own Close, or this.
    OwnOr(u16),
    /// The code of RFC 6455, or this.
    RfcOr(u16),
}

/// What a library says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedAs {
    /// The code.
    pub code: Option<CloseCode>,
    /// How sure that is: never `certain`, since versions differ and headers can be set.
    pub certainty: Certainty,
    /// The other possible code, where it is ambiguous.
    pub alternative: Option<CloseCode>,
    /// The library.
    pub library: &'static str,
    /// What it was recognised by.
    pub recognised_by: String,
}

/// What the library at `side` says, where it is recognised and known to differ from RFC 6455.
#[must_use]
pub fn reported_as(
    handshake: &Handshake,
    teardown: &Teardown,
    side: Side,
    endpoint: &EndpointCode,
) -> Option<ReportedAs> {
    let (stack, recognised_by) = recognise(handshake, side)?;
    let own = teardown.close[side].as_ref().map(|close| close.code.unwrap_or(CloseCode::NO_STATUS_RECEIVED));
    let mut fitting = stack.rules.iter().filter(|rule| rule.when.fits(teardown, side, endpoint));
    let (code, other) = fitting.find_map(|rule| rule.says.codes(own, endpoint))?;
    // What was ambiguous on the wire stays so in the library's words.
    let other = other.filter(|other| *other != code).or_else(|| wire_alternative(endpoint, code));
    let certainty = match other {
        Some(_) => Certainty::Ambiguous,
        None => Certainty::Likely,
    };
    let differs = Some(code) != endpoint.code || other != endpoint.alternative;
    differs.then_some(ReportedAs {
        code: Some(code),
        certainty,
        alternative: other,
        library: stack.library,
        recognised_by,
    })
}

/// The other code of an end that is ambiguous on the wire, beside what the library makes of the first.
fn wire_alternative(endpoint: &EndpointCode, code: CloseCode) -> Option<CloseCode> {
    endpoint.alternative.filter(|other| *other != code)
}

/// The library at `side`, with what it was recognised by.
#[must_use]
pub fn recognise(handshake: &Handshake, side: Side) -> Option<(&'static Stack, String)> {
    // Behind a proxy the handshake's headers are those of somebody farther away.
    if side == Side::Client && handshake.request.as_ref().is_some_and(|request| request.was_forwarded) {
        return None;
    }
    STACKS.iter().filter(|stack| stack.side == side).find_map(|stack| {
        let seen: Option<Vec<String>> = stack.signs.iter().map(|sign| sign.seen(handshake)).collect();
        Some((stack, seen?.join(", ")))
    })
}

impl Sign {
    /// The mark as it stands in the handshake, if it is there.
    fn seen(self, handshake: &Handshake) -> Option<String> {
        let answer = handshake.response.as_ref();
        let extensions = answer.and_then(|answer| answer.extensions.as_deref());
        match self {
            Sign::UserAgent(product) => {
                let value = handshake.request.as_ref()?.user_agent.as_deref()?;
                names(value, product).then(|| format!("User-Agent: {}", String::from_utf8_lossy(value)))
            }
            Sign::Server(product) => {
                let value = answer?.server.as_deref()?;
                names(value, product).then(|| format!("Server: {}", String::from_utf8_lossy(value)))
            }
            Sign::AnswerHeader(name) => {
                let mut all = answer?.header_names.split(|byte| *byte == b',');
                all.any(|header| header.eq_ignore_ascii_case(name.as_bytes()))
                    .then(|| format!("the header {name}"))
            }
            Sign::Extensions(exactly) => {
                (extensions? == exactly.as_bytes()).then(|| format!("Sec-WebSocket-Extensions: {exactly}"))
            }
            Sign::NoExtensions => {
                (answer.is_some() && extensions.is_none()).then(|| "no extension accepted".to_owned())
            }
        }
    }
}

/// Does a `User-Agent` or `Server` value name this product: as a whole word, with a version or without?
fn names(value: &[u8], product: &str) -> bool {
    let product = product.as_bytes();
    (0..value.len()).any(|start| {
        let starts_word = start.checked_sub(1).and_then(|before| value.get(before)).is_none_or(is_break);
        let Some(rest) = value.get(start..) else { return false };
        let Some((word, rest)) = rest.split_at_checked(product.len()) else { return false };
        starts_word && word.eq_ignore_ascii_case(product) && rest.first().is_none_or(is_break)
    })
}

/// May a product's name end or begin beside this byte? A `-` joins: `hypercorn-h11` is another word.
const fn is_break(byte: &u8) -> bool {
    matches!(*byte, b' ' | b'/' | b'(' | b')' | b';' | b',' | b'\t')
}

impl Says {
    /// The code, and the other possible one; `None`: it speaks of a Close that the end did not send.
    fn codes(
        self,
        own: Option<CloseCode>,
        endpoint: &EndpointCode,
    ) -> Option<(CloseCode, Option<CloseCode>)> {
        Some(match self {
            Says::Code(code) => (CloseCode(code), None),
            Says::Own => (own?, None),
            Says::Either(code, other) => (CloseCode(code), Some(CloseCode(other))),
            Says::OwnOr(other) => (own?, Some(CloseCode(other))),
            Says::RfcOr(other) => (endpoint.code?, Some(CloseCode(other))),
        })
    }
}

impl When {
    fn fits(self, teardown: &Teardown, side: Side, endpoint: &EndpointCode) -> bool {
        let own_first = own_close_first(teardown, side);
        let failed = matches!(endpoint.course, Course::Failed | Course::Rejected)
            || (own_first
                && endpoint.course == Course::Unanswered
                && teardown.close[side]
                    .as_ref()
                    .and_then(|close| close.code)
                    .is_some_and(is_protocol_failure));
        match self {
            When::Told(first, last) => {
                let in_range = endpoint.code.is_some_and(|code| (first..=last).contains(&code.0));
                endpoint.course == Course::Told && in_range && !own_first
            }
            When::OwnCloseFirst => own_first && endpoint.code.is_some() && !failed,
            When::OwnCodeAnswered(first, last) => {
                let own = teardown.close[side].as_ref().and_then(|close| close.code);
                let in_range = own.is_some_and(|code| (first..=last).contains(&code.0));
                own_first && in_range && endpoint.course == Course::Told
            }
            When::LeftBeforeAnswer => own_first && !failed && left_before_answer(teardown, side),
            When::Unanswered => endpoint.course == Course::Unanswered && !failed,
            When::Failed => failed,
            When::Dropped => {
                matches!(endpoint.course, Course::Dropped | Course::Reset | Course::Silent)
                    && endpoint.code.is_some()
            }
            When::Quit => endpoint.course == Course::Quit && endpoint.code.is_some(),
        }
    }
}

/// Did `side` send its Close before the peer's reached it?
fn own_close_first(teardown: &Teardown, side: Side) -> bool {
    match (&teardown.close[side], &teardown.close[side.other()]) {
        (Some(own), Some(peer)) => {
            own.sender_had_received(peer.wire.end).map_or(own.at < peer.at, |had| !had)
        }
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Did `side` close or abort TCP before the peer's Close had reached its application?
fn left_before_answer(teardown: &Teardown, side: Side) -> bool {
    if teardown.reset[side].is_some() {
        return true;
    }
    let (Some(fin), Some(answer)) = (teardown.fin[side], &teardown.close[side.other()]) else { return false };
    fin.peer_acked.is_some_and(|received| received < answer.wire.end)
}

/// Codes that only a check of the protocol sends by itself.
const fn is_protocol_failure(code: CloseCode) -> bool {
    matches!(code.0, 1002 | 1007 | 1009)
}

#[cfg(test)]
mod tests;
