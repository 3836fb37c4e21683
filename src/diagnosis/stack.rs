//! What a recognised library tells its application instead of the code of RFC 6455.
//!
//! The table is data ([`STACKS`]); this file only reads it. What it says stands beside the RFC's code, never in its
//! place.

pub use super::stack_table::{PROXIES, STACKS};
use crate::http::upgrade::{Handshake, RequestHead, Response, ResponseHead};
use crate::side::{PerSide, Side};
use crate::tls::facts::CloseNotify;
use crate::verdict::endpoint::{Certainty, Course, EndpointCode, refuses};
use crate::verdict::teardown::Teardown;
use crate::websocket::close::{CloseBody, CloseFrame};
use crate::websocket::close_code::CloseCode;
use std::collections::VecDeque;
use std::sync::Arc;

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

impl Stack {
    /// Is one of its signs in its Close?
    fn reads_close(&self) -> bool {
        self.signs.iter().any(|sign| matches!(sign, Sign::CloseReason(_)))
    }
}

/// A mark that a library leaves in the opening handshake, or in the Close it sends.
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
    /// The answer has exactly these headers, in this order and spelling; that of a subprotocol or an extension may
    /// stand among them. Nobody sets them by hand, and a proxy that rewrites the head leaves others.
    AnswerHeaders(&'static str),
    /// The reason in the end's own Close begins so.
    CloseReason(&'static str),
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
    /// The end's own Close came first, and it closed TCP so soon behind it that it need not have waited for the peer's,
    /// which was accepted nonetheless.
    AnsweredInTime,
    /// The end's own Close came first, and it closed or aborted TCP before the peer's had reached it: at once, where
    /// the peer sent none.
    LeftBeforeAnswer,
    /// The end's own Close came first, and the peer sent none.
    Unanswered,
    /// The end failed the connection with a Close, or rejected the peer's.
    Failed,
    /// The end's own Close came first and was answered, and the end did not wait for the peer to close TCP.
    AnsweredThenLeft,
    /// The peer's Close came first and was empty, and the end answered it with this code.
    EmptyAnswered(u16),
    /// The end answered the peer's Close, whose code lies in this range, with a failure (1002 or 1007).
    Refused(u16, u16),
    /// The peer's Close carried a code that must not stand there, and the end did not refuse it.
    TookReserved,
    /// The peer's Close came first and was never answered: over TLS the peer said goodbye right behind it, and so did this
    /// end.
    ToldGoodbye,
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
    /// The code of the peer's Close.
    Peers,
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

/// What a head tells of the program that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// It is a proxy, or what it says is not its own: the library is that of somebody farther away.
    pub is_proxy: bool,
    /// The first row of [`STACKS`] whose signs the head has all, where it says so by the head alone.
    row: Option<usize>,
}

impl Writer {
    /// Who wrote the request of this handshake (`client`), or its answer.
    #[must_use]
    pub fn of(handshake: &Handshake, side: Side) -> Writer {
        let is_proxy = match side {
            Side::Client => handshake.request.as_ref().is_some_and(|request| request.was_forwarded),
            Side::Server => handshake.response.as_ref().is_some_and(is_from_a_proxy),
        };
        let evidence = Evidence { handshake, close: None, side };
        Writer { is_proxy, row: if is_proxy { None } else { evidence.row(|stack| !stack.reads_close()) } }
    }
}

/// Heads of which it is remembered who wrote them. Most connections of a capture share theirs with many others
/// ([`Handshake::share`]), those of a few kinds of client and server; among so many it is quicker to look than to read anew.
const LATEST: usize = 8;

/// Tells who wrote the heads of a connection. What was told of the latest few is remembered: they are held, so that a head
/// at the same address is the same head.
#[derive(Debug, Default)]
pub struct Recogniser {
    requests: VecDeque<(Arc<RequestHead>, Writer)>,
    answers: VecDeque<(Arc<ResponseHead>, Writer)>,
}

impl Recogniser {
    /// Who wrote the heads of this handshake.
    #[must_use]
    pub fn writers(&mut self, handshake: &Handshake) -> PerSide<Writer> {
        let request = handshake.request.as_ref().map(|request| &request.head);
        let answer = handshake.response.as_ref().map(|answer| &answer.head);
        PerSide {
            client: remembered(&mut self.requests, request, || Writer::of(handshake, Side::Client)),
            server: remembered(&mut self.answers, answer, || Writer::of(handshake, Side::Server)),
        }
    }
}

/// What `latest` holds of `head`, or what `read` tells, which it then holds.
fn remembered<H>(
    latest: &mut VecDeque<(Arc<H>, Writer)>,
    head: Option<&Arc<H>>,
    read: impl FnOnce() -> Writer,
) -> Writer {
    let Some(head) = head else { return read() };
    if let Some((_, writer)) = latest.iter().find(|(held, _)| Arc::ptr_eq(held, head)) {
        return *writer;
    }
    let writer = read();
    if latest.len() >= LATEST {
        latest.pop_back();
    }
    latest.push_front((Arc::clone(head), writer));
    writer
}

/// What the library at `side`, whose head `writer` wrote, says, where it is recognised and known to differ from RFC 6455.
#[must_use]
pub fn reported_as(
    handshake: &Handshake,
    teardown: &Teardown,
    side: Side,
    endpoint: &EndpointCode,
    writer: Writer,
) -> Option<ReportedAs> {
    let evidence = Evidence { handshake, close: teardown.close[side].as_ref(), side };
    let stack = evidence.stack(writer)?;
    let mut fitting = stack.rules.iter().filter(|rule| rule.when.fits(teardown, side, endpoint));
    let (when, (code, other)) =
        fitting.find_map(|rule| Some((rule.when, rule.says.codes(teardown, side, endpoint)?)))?;
    // What was ambiguous on the wire stays so in the library's words, unless its rule says what happened.
    let is_open = !matches!(when, When::Refused(..) | When::TookReserved);
    let wire = wire_alternative(endpoint, code).filter(|_| is_open);
    let other = other.filter(|other| *other != code).or(wire);
    let certainty = match other {
        Some(_) => Certainty::Ambiguous,
        None => Certainty::Likely,
    };
    let differs = Some(code) != endpoint.code || other != endpoint.alternative;
    differs.then(|| ReportedAs {
        code: Some(code),
        certainty,
        alternative: other,
        library: stack.library,
        recognised_by: evidence.text(stack),
    })
}

/// The other code of an end that is ambiguous on the wire, beside what the library makes of the first.
fn wire_alternative(endpoint: &EndpointCode, code: CloseCode) -> Option<CloseCode> {
    endpoint.alternative.filter(|other| *other != code)
}

/// The library at `side`, with what it was recognised by.
#[must_use]
pub fn recognise(handshake: &Handshake, teardown: &Teardown, side: Side) -> Option<(&'static Stack, String)> {
    let evidence = Evidence { handshake, close: teardown.close[side].as_ref(), side };
    let stack = evidence.stack(Writer::of(handshake, side))?;
    Some((stack, evidence.text(stack)))
}

/// Does an answer name a proxy as its server, or say that it came through one (`Via`, RFC 9110 §7.6.3)?
#[must_use]
pub fn is_from_a_proxy(answer: &Response) -> bool {
    let named = answer.server.as_deref().is_some_and(|value| PROXIES.iter().any(|proxy| names(value, proxy)));
    named || header_names(answer).any(|name| name.eq_ignore_ascii_case(b"via"))
}

/// The names of an answer's headers, in their order.
fn header_names(answer: &Response) -> impl Iterator<Item = &[u8]> {
    answer.header_names.split(|byte| *byte == b',')
}

/// Are an answer's headers exactly these, but for what was negotiated?
fn has_exactly(answer: &Response, names: &str) -> bool {
    const NEGOTIATED: [&[u8]; 2] = [b"sec-websocket-protocol", b"sec-websocket-extensions"];
    let left = header_names(answer)
        .filter(|name| !NEGOTIATED.iter().any(|negotiated| name.eq_ignore_ascii_case(negotiated)));
    left.eq(names.as_bytes().split(|byte| *byte == b','))
}

/// Where the signs of an end's library are looked for.
struct Evidence<'a> {
    handshake: &'a Handshake,
    /// The end's own Close.
    close: Option<&'a CloseFrame>,
    side: Side,
}

impl<'a> Evidence<'a> {
    /// The library, the more particular row first; `writer` is what the head tells.
    fn stack(&self, writer: Writer) -> Option<&'static Stack> {
        if writer.is_proxy {
            return None;
        }
        let has_reason = self.close.is_some_and(|close| !close.reason.is_empty());
        let by_close = if has_reason { self.row(Stack::reads_close) } else { None };
        STACKS.get(by_close.into_iter().chain(writer.row).min()?)
    }

    /// The first row of those to be asked that has all its signs here.
    fn row(&self, is_asked: impl Fn(&Stack) -> bool) -> Option<usize> {
        STACKS.iter().position(|stack| {
            stack.side == self.side && is_asked(stack) && stack.signs.iter().all(|sign| sign.is_seen(self))
        })
    }

    /// The signs of `stack` in words.
    fn text(&self, stack: &Stack) -> String {
        let seen: Vec<String> = stack.signs.iter().map(|sign| sign.text(self)).collect();
        seen.join(", ")
    }

    fn user_agent(&self) -> &'a [u8] {
        let request = self.handshake.request.as_ref();
        request.and_then(|request| request.user_agent.as_deref()).unwrap_or_default()
    }

    fn server(&self) -> &'a [u8] {
        let answer = self.handshake.response.as_ref();
        answer.and_then(|answer| answer.server.as_deref()).unwrap_or_default()
    }

    fn extensions(&self) -> Option<&'a [u8]> {
        self.handshake.response.as_ref().and_then(|answer| answer.extensions.as_deref())
    }
}

impl Sign {
    /// Is the mark there?
    fn is_seen(self, of: &Evidence<'_>) -> bool {
        let answer = of.handshake.response.as_ref();
        match self {
            Sign::UserAgent(product) => names(of.user_agent(), product),
            Sign::Server(product) => names(of.server(), product),
            Sign::AnswerHeader(name) => answer.is_some_and(|answer| {
                header_names(answer).any(|header| header.eq_ignore_ascii_case(name.as_bytes()))
            }),
            Sign::Extensions(exactly) => of.extensions() == Some(exactly.as_bytes()),
            Sign::NoExtensions => answer.is_some() && of.extensions().is_none(),
            Sign::AnswerHeaders(names) => answer.is_some_and(|answer| has_exactly(answer, names)),
            Sign::CloseReason(begins) => {
                of.close.is_some_and(|close| close.reason.starts_with(begins.as_bytes()))
            }
        }
    }

    /// The mark in words, where it is there.
    fn text(self, of: &Evidence<'_>) -> String {
        match self {
            Sign::UserAgent(_) => format!("User-Agent: {}", String::from_utf8_lossy(of.user_agent())),
            Sign::Server(_) => format!("Server: {}", String::from_utf8_lossy(of.server())),
            Sign::AnswerHeader(name) => format!("the header {name}"),
            Sign::Extensions(exactly) => format!("Sec-WebSocket-Extensions: {exactly}"),
            Sign::NoExtensions => "no extension accepted".to_owned(),
            Sign::AnswerHeaders(names) => format!("the answer's headers: {names}"),
            Sign::CloseReason(begins) => format!("its Close's reason: {begins}"),
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
        teardown: &Teardown,
        side: Side,
        endpoint: &EndpointCode,
    ) -> Option<(CloseCode, Option<CloseCode>)> {
        let of = |side: Side| {
            let close = teardown.close[side].as_ref();
            close.map(|close| close.code.unwrap_or(CloseCode::NO_STATUS_RECEIVED))
        };
        let own = of(side);
        Some(match self {
            Says::Code(code) => (CloseCode(code), None),
            Says::Own => (own?, None),
            Says::Peers => (of(side.other())?, None),
            Says::Either(code, other) => (CloseCode(code), Some(CloseCode(other))),
            Says::OwnOr(other) => (own?, Some(CloseCode(other))),
            Says::RfcOr(other) => (endpoint.code?, Some(CloseCode(other))),
        })
    }
}

impl When {
    fn fits(self, teardown: &Teardown, side: Side, endpoint: &EndpointCode) -> bool {
        let own_first = own_close_first(teardown, side);
        let failed = has_failed(teardown, side, endpoint);
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
            When::AnsweredInTime => {
                own_first && endpoint.course == Course::Told && left_within(teardown, side, IN_TIME)
            }
            When::LeftBeforeAnswer => {
                own_first && !own_protocol_failure(teardown, side) && left_before_answer(teardown, side)
            }
            When::Unanswered => own_first && endpoint.course == Course::Unanswered && !failed,
            When::AnsweredThenLeft => {
                let left = teardown.tcp_end().is_some_and(|end| end.by == side);
                own_first && endpoint.course == Course::Told && left
            }
            When::EmptyAnswered(code) => {
                let own = teardown.close[side].as_ref().and_then(|close| close.code);
                let empty = endpoint.code == Some(CloseCode::NO_STATUS_RECEIVED);
                endpoint.course == Course::Told && empty && !own_first && own == Some(CloseCode(code))
            }
            When::Refused(first, last) => refused_code(teardown, side)
                .is_some_and(|code| endpoint.code.is_some() && (first..=last).contains(&code.0)),
            When::TookReserved => {
                let peers = teardown.close[side.other()].as_ref();
                let is_code = peers.is_some_and(|close| close.body == CloseBody::Code);
                endpoint.course == Course::Rejected && is_code && refused_code(teardown, side).is_none()
            }
            When::ToldGoodbye => {
                let is_told = endpoint.course == Course::Told && teardown.close[side].is_none();
                let notify = |side: Side| teardown.tls.as_deref().and_then(|tls| tls.close_notify[side]);
                is_told && notify(side).is_some() && notify(side.other()).is_some()
            }
            When::Failed => failed,
            When::Dropped => is_dropped(teardown, side, endpoint) && endpoint.code.is_some(),
            When::Quit => endpoint.course == Course::Quit && endpoint.code.is_some(),
        }
    }
}

/// Did `side` fail the connection, or have to?
fn has_failed(teardown: &Teardown, side: Side, endpoint: &EndpointCode) -> bool {
    let own = teardown.close[side].as_ref().and_then(|close| close.code);
    let unanswered = own_close_first(teardown, side) && endpoint.course == Course::Unanswered;
    matches!(endpoint.course, Course::Failed | Course::Rejected)
        || (unanswered && own.is_some_and(is_protocol_failure))
}

/// Did TCP end without any Close, and not by this end? A Close that only answers the peer's FIN comes too late.
fn is_dropped(teardown: &Teardown, side: Side, endpoint: &EndpointCode) -> bool {
    matches!(endpoint.course, Course::Dropped | Course::Reset | Course::Silent)
        || (endpoint.course == Course::Unanswered && teardown.close_answers_fin(side))
}

/// The code of the peer's Close, where `side` answered it with a failure.
fn refused_code(teardown: &Teardown, side: Side) -> Option<CloseCode> {
    let (own, peers) = (teardown.close[side].as_ref()?, teardown.close[side.other()].as_ref()?);
    let answers = own.sender_had_received(peers.wire.end) == Some(true);
    peers.code.filter(|_| peers.body == CloseBody::Code && answers && refuses(own, peers))
}

/// Did `side` send its Close before the peer's reached it?
fn own_close_first(teardown: &Teardown, side: Side) -> bool {
    match (&teardown.close[side], &teardown.close[side.other()]) {
        (Some(own), Some(peer)) => {
            own.sender_had_received(peer.wire.end).map_or(own.at < peer.at, |had| !had)
        }
        (Some(_), None) => !teardown.close_answers_fin(side),
        (None, _) => false,
    }
}

/// A FIN this soon after the same end's Close waited for nothing, in seconds: no library gives up on the peer's Close in
/// so short a time.
const AT_ONCE: f64 = 0.1;
/// A peer nearby answers in less, in seconds: such a FIN may have come with or without regard to the answer.
const IN_TIME: f64 = 0.005;

/// Did `side` close or abort TCP before the peer's Close had reached its application?
fn left_before_answer(teardown: &Teardown, side: Side) -> bool {
    if teardown.reset[side].is_some() {
        return true;
    }
    let Some(own) = goodbye(teardown, side) else { return false };
    match (&teardown.close[side.other()], goodbye(teardown, side.other())) {
        (Some(answer), _) => own.peer_acked.is_some_and(|received| received < answer.wire.end),
        (None, Some(peer)) if peer.at < own.at => false,
        (None, _) => left_within(teardown, side, AT_ONCE),
    }
}

/// Did `side` close TCP within so many seconds of its Close?
fn left_within(teardown: &Teardown, side: Side, seconds: f64) -> bool {
    let (Some(goodbye), Some(own)) = (goodbye(teardown, side), &teardown.close[side]) else { return false };
    goodbye.at.at.seconds_since(own.at.at) < seconds
}

/// `side`'s FIN; over TLS its close_notify, which says the same and comes first.
fn goodbye(teardown: &Teardown, side: Side) -> Option<CloseNotify> {
    let fin = teardown.fin[side].map(|fin| CloseNotify { at: fin.at, peer_acked: fin.peer_acked });
    let notify = teardown.tls.as_deref().and_then(|tls| tls.close_notify[side]);
    fin.into_iter().chain(notify).min_by_key(|goodbye| goodbye.at)
}

/// Is `side`'s Close that of a check of the protocol?
fn own_protocol_failure(teardown: &Teardown, side: Side) -> bool {
    teardown.close[side].as_ref().and_then(|close| close.code).is_some_and(is_protocol_failure)
}

/// Codes that only a check of the protocol sends by itself.
const fn is_protocol_failure(code: CloseCode) -> bool {
    matches!(code.0, 1002 | 1007 | 1009)
}

#[cfg(test)]
mod tests;
