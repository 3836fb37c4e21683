//! How an encrypted WebSocket probably ended.
//!
//! ```text
//!   S Close .....
//!                ..... C Close (the reply)        a pair: both fit a Close frame, the reply echoes its body or holds
//!   end .........                                 only a code, neither side speaks after it, and TLS or TCP ends
//! ```
//!
//! A message and its echo make the same pair. They differ in what follows: after a closing handshake both ends know
//! that it is over, so the one that replied ends without having been told to.

use super::{ALERT_LEN, Seen, Shape};
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::time::Timestamp;
use std::time::Duration;

/// Longest time from a reply to an end that follows from it, round trips aside.
const PROMPT: Duration = Duration::from_millis(250);
/// Longest time in which a reply follows its Close, and an end its reply, as far as they are believed.
const PATIENCE: Duration = Duration::from_secs(3);
/// An end after more silence than this follows from no Close.
const IDLE: Duration = Duration::from_secs(10);
/// Contents that are all multiples of this are padded (RFC 8446 §5.4).
const PADDING_MIN: u16 = 16;

/// How one side ended TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideEnd {
    /// The packet.
    pub at: Moment,
    /// What its sender had received by then, as an offset in the peer's stream.
    pub peer_received: Option<u64>,
    /// Its place in its sender's stream.
    pub offset: u64,
    /// A reset, no FIN.
    pub is_reset: bool,
}

/// How TCP ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpEnds {
    /// Each side's first FIN or reset.
    pub sides: PerSide<Option<SideEnd>>,
    /// One end, or the path to it, had stopped answering.
    pub timed_out: bool,
    /// From SYN to the client's next packet.
    pub round_trip: Duration,
}

/// How sure an opinion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// A guess.
    Low,
    /// More probable than not.
    Medium,
    /// Seldom wrong: at least 95 in 100.
    High,
}

impl Confidence {
    /// `low`, `medium` or `high`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        }
    }
}

/// What a Close frame of that length would hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameBody {
    /// Nothing (1005 to the application); or it is a ping, a pong or a close_notify.
    Empty,
    /// A code alone.
    Code,
    /// A code and a reason of so many bytes.
    Reason(u8),
}

/// Why lengths tell nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// The `ServerHello` was not seen, or its cipher suite is not known.
    SuiteUnknown,
    /// A block cipher's padding hides lengths.
    BlockCipher,
    /// Records are padded.
    Padded,
    /// The capture lacks bytes near the end.
    Gap,
    /// No record of application data was seen.
    NoData,
}

/// How it probably ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides sent a Close.
    ClosingHandshake {
        /// Who sent the first one.
        first: Side,
        /// What it would hold.
        body: FrameBody,
    },
    /// One side sent a Close that was not answered.
    OneSidedClose {
        /// Who sent it.
        by: Side,
        /// What it would hold.
        body: FrameBody,
    },
    /// No Close was sent: 1006 to both applications.
    NoClose,
    /// It had not ended.
    StillOpen,
    /// The last records fit a closing handshake and an ordinary exchange alike.
    Unclear,
    /// Lengths tell nothing.
    Unreadable(Unreadable),
}

/// What an encrypted connection probably was, and how it probably ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Probable {
    /// Is it a WebSocket?
    pub websocket: super::Score,
    /// How it ended, if it is one.
    pub ending: Ending,
    /// How sure that is.
    pub confidence: Confidence,
    /// The packets of what were the Close frames.
    pub close: PerSide<Option<Moment>>,
    /// The packets of close_notify alerts: certain up to TLS 1.2, likely in TLS 1.3.
    pub close_notify: PerSide<Option<Moment>>,
}

/// An opinion on the ending.
struct Opinion {
    ending: Ending,
    confidence: Confidence,
    close: PerSide<Option<Moment>>,
}

/// One side's first sign that it ends: a close_notify, a FIN or a reset.
#[derive(Clone, Copy)]
struct End {
    side: Side,
    at: Moment,
    offset: u64,
    peer_received: Option<u64>,
    is_reset: bool,
}

/// The last records, told apart.
struct Last<'a> {
    shape: &'a Shape,
    /// What may be frames, oldest first.
    frames: Vec<Seen>,
    ends: PerSide<Option<End>>,
    prompt: Duration,
}

/// How did it probably end?
pub(super) fn probable(shape: &Shape, tcp: &TcpEnds) -> Probable {
    let notify = close_notify(shape);
    let last = Last::new(shape, tcp, notify);
    let opinion = match unreadable(shape) {
        Some(why) => Opinion::new(Ending::Unreadable(why), Confidence::High),
        None => last.opinion(tcp),
    };
    Probable {
        websocket: super::score::score(shape),
        ending: opinion.ending,
        confidence: opinion.confidence,
        close: opinion.close,
        close_notify: notify.map(|seen| seen.map(|seen| seen.at)),
    }
}

fn unreadable(shape: &Shape) -> Option<Unreadable> {
    /// Fewer lengths may be multiples by chance.
    const TELLING: u32 = 3;
    let Some(protection) = shape.protection else { return Some(Unreadable::SuiteUnknown) };
    let is_padded = |side: Side| {
        protection.hides_type
            && shape.sent[side].changes >= TELLING
            && shape.sent[side].bits.is_multiple_of(PADDING_MIN)
    };
    if protection.expansion.is_none() {
        Some(Unreadable::BlockCipher)
    } else if Side::BOTH.into_iter().any(is_padded) {
        Some(Unreadable::Padded)
    } else if Side::BOTH.into_iter().any(|side| is_hidden_by_gap(shape, side)) {
        Some(Unreadable::Gap)
    } else if shape.tail.is_empty() {
        Some(Unreadable::NoData)
    } else {
        None
    }
}

/// Did `side` lose bytes, with too few records behind them to speak of its end?
fn is_hidden_by_gap(shape: &Shape, side: Side) -> bool {
    const ENOUGH: usize = 4;
    shape.has_gap[side] && shape.tail.iter().filter(|seen| seen.side == side).count() < ENOUGH
}

/// Each side's close_notify. In TLS 1.3 an alert, an empty frame of a server, and its empty Close look alike: what a
/// client frame answers is no alert. Client frames are longer.
fn close_notify(shape: &Shape) -> PerSide<Option<Seen>> {
    let hides_type = shape.protection.is_some_and(|protection| protection.hides_type);
    let last = PerSide::from_fn(|side| shape.tail.iter().rev().find(|seen| seen.side == side).copied());
    PerSide::from_fn(|side| {
        let candidate = last[side]?;
        let is_answered = side == Side::Server
            && last.client.is_some_and(|client| client.content != ALERT_LEN && client.at > candidate.at);
        let looks_like = hides_type && candidate.content == ALERT_LEN && !is_answered;
        (candidate.is_alert || looks_like).then_some(candidate)
    })
}

impl Opinion {
    fn new(ending: Ending, confidence: Confidence) -> Self {
        Opinion { ending, confidence, close: PerSide::default() }
    }
}

impl FrameBody {
    fn of_len(body: u16) -> Self {
        match body {
            0 => FrameBody::Empty,
            1 | 2 => FrameBody::Code,
            longer => FrameBody::Reason(u8::try_from(longer - 2).unwrap_or(u8::MAX)),
        }
    }
}

impl End {
    /// Did its sender end without knowing of `other`?
    fn is_unprompted_by(&self, other: Option<&End>) -> bool {
        other.is_none_or(|other| match self.peer_received {
            Some(received) => received < other.offset.max(1),
            None => self.at < other.at,
        })
    }
}

impl<'a> Last<'a> {
    fn new(shape: &'a Shape, tcp: &TcpEnds, notify: PerSide<Option<Seen>>) -> Self {
        let ends = PerSide::from_fn(|side| {
            let alert = notify[side].map(|seen| End {
                side,
                at: seen.at,
                offset: seen.wire.end,
                peer_received: seen.wire.peer_acked,
                is_reset: false,
            });
            let tcp = tcp.sides[side].map(|end| End {
                side,
                at: end.at,
                offset: end.offset.saturating_add(1),
                peer_received: end.peer_received,
                is_reset: end.is_reset,
            });
            alert.into_iter().chain(tcp).min_by_key(|end| end.at)
        });
        let is_frame = |seen: &&Seen| !seen.is_alert && notify[seen.side].as_ref() != Some(*seen);
        let frames = shape.tail.iter().filter(is_frame).copied().collect();
        Last { shape, frames, ends, prompt: PROMPT.saturating_add(tcp.round_trip.saturating_mul(2)) }
    }

    fn first_end(&self) -> Option<End> {
        Side::BOTH.into_iter().filter_map(|side| self.ends[side]).min_by_key(|end| end.at)
    }

    fn opinion(&self, tcp: &TcpEnds) -> Opinion {
        if tcp.timed_out {
            return self.timed_out();
        }
        let Some(end) = self.first_end() else {
            return Opinion::new(Ending::StillOpen, Confidence::Medium);
        };
        if let Some((first, reply)) = self.pair()
            && let Some(opinion) = self.judge_pair(&first, &reply, &end)
        {
            return opinion;
        }
        self.judge_single(&end)
    }

    /// Nothing answers any more. What was not acknowledged may hold a Close, but none was answered.
    fn timed_out(&self) -> Opinion {
        let fits = self.frames.last().is_some_and(|seen| seen.close_body().is_some());
        let confidence = if fits { Confidence::Low } else { Confidence::Medium };
        Opinion::new(Ending::NoClose, confidence)
    }

    /// The last frames of both sides, if the later one may answer the earlier one.
    fn pair(&self) -> Option<(Seen, Seen)> {
        let reply = *self.frames.last()?;
        let first = *self.frames.iter().rev().find(|seen| seen.side != reply.side)?;
        let (asked, answered) = (first.close_body()?, reply.close_body()?);
        // An echo; or a code alone, as some send whatever they were told; or nothing, where a code was not liked.
        let is_reply = answered == asked || answered == 2 || (answered == 0 && asked <= 2);
        let has_heard = reply.wire.peer_acked.is_none_or(|received| received >= first.wire.end);
        let is_first_word =
            self.frames.iter().filter(|seen| seen.side == reply.side && **seen != reply).all(|seen| {
                seen.wire.peer_acked.map_or(seen.at < first.at, |received| received < first.wire.end)
            });
        (is_reply && has_heard && is_first_word).then_some((first, reply))
    }

    /// `None`: the pair does not belong to the end.
    fn judge_pair(&self, first: &Seen, reply: &Seen, end: &End) -> Option<Opinion> {
        let body = first.close_body()?;
        let wait = |limit: Duration| !end.at.at.has_passed(limit, reply.at.at);
        let is_swift = !reply.at.at.has_passed(PATIENCE, first.at.at);
        if !is_swift || !wait(PATIENCE) {
            return None;
        }
        let opinion = match first.side {
            Side::Server => self.server_first(first, reply, end),
            Side::Client => self.client_first(first, reply, end),
        };
        let confidence = match opinion {
            Ok(confidence) => confidence,
            Err(ending) => return Some(Opinion::new(ending, Confidence::Low)),
        };
        let ending = Ending::ClosingHandshake { first: first.side, body: FrameBody::of_len(body) };
        Some(Opinion { close: moments(&[*first, *reply]), ..Opinion::new(ending, confidence) })
    }

    /// A server's frame and the client's answer: clients seldom echo, but they answer pings.
    fn server_first(&self, first: &Seen, reply: &Seen, end: &End) -> Result<Confidence, Ending> {
        let is_swift = !end.at.at.has_passed(self.prompt, reply.at.at);
        let is_ping_like = first.close_body() == Some(0) || self.was_seen_before(first);
        match (is_ping_like, is_swift && !end.is_reset && is_echo(first, reply)) {
            (false, true) => Ok(Confidence::High),
            (false, false) => Ok(Confidence::Medium),
            (true, _) if !end.is_reset && !self.was_seen_before(first) => Ok(Confidence::Medium),
            (true, _) => Err(Ending::Unclear),
        }
    }

    /// A client's frame and the server's answer: as well a message and its echo, unless the server then ends unbidden.
    fn client_first(&self, first: &Seen, reply: &Seen, end: &End) -> Result<Confidence, Ending> {
        let is_swift = !end.at.at.has_passed(self.prompt, reply.at.at);
        let is_unbidden = self.ends[reply.side]
            .is_some_and(|own| own.is_unprompted_by(self.ends[first.side].as_ref()) && !own.is_reset);
        let is_usual = self.was_seen_before(first);
        let is_opening = self.is_first_message(first);
        if is_usual || (is_opening && !is_unbidden) {
            return Err(Ending::NoClose);
        }
        match (is_unbidden && is_swift, is_echo(first, reply), first.close_body() != Some(0)) {
            (true, true, true) if !is_opening => Ok(Confidence::High),
            (true, true, _) => Ok(Confidence::Medium),
            (true, false, _) => Ok(Confidence::Low),
            (false, ..) => Err(Ending::Unclear),
        }
    }

    /// No pair: a Close that nobody answered, or none.
    fn judge_single(&self, end: &End) -> Opinion {
        let fits =
            PerSide::from_fn(|side| self.last_of(side).is_some_and(|seen| seen.close_body().is_some()));
        let Some(last) = self.frames.last() else {
            return Opinion::new(Ending::NoClose, Confidence::Medium);
        };
        if !fits.client && !fits.server {
            return Opinion::new(Ending::NoClose, Confidence::High);
        }
        if end.at.at.has_passed(IDLE, last.at.at) {
            let is_usual = !fits[last.side] || self.was_seen_before(last);
            let confidence = if is_usual { Confidence::High } else { Confidence::Medium };
            return Opinion::new(Ending::NoClose, confidence);
        }
        let Some(body) = last.close_body() else { return Opinion::new(Ending::NoClose, Confidence::Medium) };
        // A sender that ends in the same breath waits for no answer: a browser that leaves its page does so.
        let is_swift = !end.at.at.has_passed(self.prompt, last.at.at);
        let is_own = end.side == last.side && is_swift && !self.was_seen_before(last) && body >= 2;
        if is_own || (body == 2 && is_swift && !self.is_first_message(last)) {
            let ending = Ending::OneSidedClose { by: last.side, body: FrameBody::of_len(body) };
            let confidence = if is_own && body == 2 { Confidence::Medium } else { Confidence::Low };
            return Opinion { close: moments(&[*last]), ..Opinion::new(ending, confidence) };
        }
        Opinion::new(Ending::NoClose, Confidence::Low)
    }

    fn last_of(&self, side: Side) -> Option<&Seen> {
        self.frames.iter().rev().find(|seen| seen.side == side)
    }

    /// Had its side sent a frame of that length before?
    fn was_seen_before(&self, frame: &Seen) -> bool {
        let Some(body) = frame.close_body() else { return false };
        let is_like = |seen: &Seen| seen.side == frame.side && seen.content == frame.content && seen != frame;
        self.shape.sent[frame.side].lengths >> body & 1 == 1 || self.frames.iter().any(is_like)
    }

    /// Is it the first that its side sent after the opening handshake?
    fn is_first_message(&self, frame: &Seen) -> bool {
        /// The request, or its answer.
        const HANDSHAKE: u32 = 1;
        let own = &self.shape.sent[frame.side];
        let notify = u32::from(self.ends[frame.side].is_some_and(|end| self.is_notify(&end)));
        own.records.saturating_sub(notify) <= HANDSHAKE + 1
    }

    /// Is this end a close_notify that was counted as data?
    fn is_notify(&self, end: &End) -> bool {
        self.shape.tail.iter().any(|seen| {
            seen.side == end.side && !seen.is_alert && seen.content == ALERT_LEN && seen.at == end.at
        })
    }
}

/// Does the answer hold as much as was asked?
fn is_echo(first: &Seen, reply: &Seen) -> bool {
    first.close_body() == reply.close_body()
}

fn moments(frames: &[Seen]) -> PerSide<Option<Moment>> {
    PerSide::from_fn(|side| frames.iter().find(|seen| seen.side == side).map(|seen| seen.at))
}

impl Shape {
    /// How long it carried data, as seconds.
    pub(super) fn lasted(&self, until: Option<Timestamp>) -> f64 {
        match (self.first_data, until) {
            (Some(first), Some(until)) => until.seconds_since(first),
            _ => 0.0,
        }
    }
}
