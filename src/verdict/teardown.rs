//! All evidence about one connection's end, without any opinion.

use crate::decode::segment::IcmpError;
use crate::http::http2::error_code::ErrorCode;
use crate::http::http2::frame::StreamId;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::half::{Fin, Resent};
use crate::tcp::liveness::Unanswered;
use crate::tcp::reset::Reset;
use crate::time::Timestamp;
use crate::tls::facts::{Alert, CloseNotify, Decryption, Facts};
use crate::websocket::close::CloseFrame;
use std::fmt;
use std::time::Duration;

/// The evidence about one connection's end: what [`judge`](super::judge::judge) judges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Teardown {
    /// The opening handshake.
    pub opening: Opening,
    /// Each side's first Close.
    pub close: PerSide<Option<CloseFrame>>,
    /// Each side's FIN.
    pub fin: PerSide<Option<Fin>>,
    /// A FIN of that side which the capture lacks.
    pub unseen_fin: PerSide<Option<UnseenFin>>,
    /// The peer's packet that acknowledges one byte more of that side than was seen, amid a frame: a byte of it, or a FIN.
    pub byte_or_fin: PerSide<Option<Moment>>,
    /// Each side's first reset that counts.
    pub reset: PerSide<Option<Reset>>,
    /// Could a Close of that side have passed unseen?
    pub sight: PerSide<Sight>,
    /// That side's last frame begins as no sound sender's does, and never ended: a Close may stand in what counts as its
    /// payload. Its header's packet, where that is known.
    pub nonsense_frame: PerSide<Option<Option<Moment>>>,
    /// How far the peer acknowledged that side's stream.
    pub acked: PerSide<u64>,
    /// Is it only known that that side sent its Close again when it had received the other side's FIN?
    pub close_may_precede_fin: PerSide<bool>,
    /// That side's sendings that drew no answer.
    pub unanswered: PerSide<Unanswered>,
    /// That side's last packet.
    pub last: PerSide<Option<Moment>>,
    /// That side's latest message.
    pub last_message: PerSide<LastMessage>,
    /// ICMP errors that quote its segments, the first few.
    pub icmp: Vec<IcmpError>,
    /// What TLS tells of the end, where there is TLS.
    pub tls: Option<Box<Secrecy>>,
    /// The stream that carries it, where it lies in HTTP/2: its ends stand in `fin` and `reset` as well.
    pub stream: Option<Box<StreamFacts>>,
    /// Why observation ended.
    pub observed: Observed,
    /// Up to when the capture was followed: its last packet, unless observation ended before.
    pub until: Timestamp,
    /// Sendings without an answer that prove a dead peer ([`Limits`](crate::limits::Limits)).
    pub unanswered_limit: u32,
    /// Longest wait for a SYN's first repetition.
    pub syn_timeout: Duration,
}

/// A FIN that the capture lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnseenFin {
    /// The packet that shows it: one of the peer's that acknowledges it, or one of its sender's that stands behind it.
    pub at: Moment,
    /// Stream offset behind it, where the peer acknowledged it.
    pub acked: Option<u64>,
}

/// What HTTP/2 tells of the end of one of its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// Its number.
    pub id: StreamId,
    /// The first packet of its TCP connection: TLS, the preface and HPACK's state lie ahead of the stream.
    pub tcp_opened: Moment,
    /// The frame with which each side ended it, or the connection with it.
    pub ends: PerSide<Option<(Moment, StreamEnd)>>,
    /// Each side's GOAWAY, whether it ended the stream or not.
    pub goaway: PerSide<Option<(Moment, ErrorCode)>>,
    /// The packet with which each side's flow-control window was used up, if it still was at the end.
    pub blocked: PerSide<Option<Moment>>,
    /// The first packet in which each side sent DATA behind its own end of the stream.
    pub after_end: PerSide<Option<Moment>>,
}

/// How a side ended a stream of HTTP/2 (RFC 8441 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamEnd {
    /// In order, as a FIN does.
    EndStream,
    /// Abruptly, as a reset does.
    RstStream(ErrorCode),
    /// With the whole connection.
    GoAway(ErrorCode),
}

/// What TLS tells of a connection's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Secrecy {
    /// What could be decrypted.
    pub decryption: Decryption,
    /// Did the server answer the client's hello?
    pub answered: bool,
    /// Was nothing decrypted of what may have been sent?
    pub is_hidden: bool,
    /// Each side's `close_notify`.
    pub close_notify: PerSide<Option<CloseNotify>>,
    /// Each side's first alert that ends the connection.
    pub alert: PerSide<Option<Alert>>,
}

impl Secrecy {
    /// The part of `facts` that speaks of the end.
    #[must_use]
    pub fn of(facts: &Facts) -> Secrecy {
        Secrecy {
            decryption: facts.decryption,
            answered: facts.server_hello.is_some(),
            is_hidden: facts.is_opaque(),
            close_notify: facts.close_notify,
            alert: facts.alert,
        }
    }

    /// The first fatal alert, and who sent it.
    #[must_use]
    pub fn fatal_alert(&self) -> Option<(Side, Alert)> {
        let alerts = Side::BOTH.into_iter().filter_map(|side| self.alert[side].map(|alert| (side, alert)));
        alerts.filter(|(_, alert)| alert.is_fatal).min_by_key(|(_, alert)| alert.at)
    }

    /// Had `side` sent an alert by `at` that can't be read: a `close_notify`, most likely?
    #[must_use]
    pub fn may_precede(&self, side: Side, at: Moment) -> bool {
        self.alert[side].is_some_and(|alert| alert.description.is_none() && alert.at <= at)
    }

    /// Who ended TLS, by a `close_notify` or a fatal alert, and when.
    #[must_use]
    pub fn end(&self) -> Option<(Side, Moment)> {
        let notified =
            Side::BOTH.into_iter().filter_map(|side| self.close_notify[side].map(|notify| (side, notify.at)));
        let alerted = self.fatal_alert().map(|(side, alert)| (side, alert.at));
        notified.chain(alerted).min_by_key(|(_, at)| *at)
    }
}

/// The latest message of one side: what may have drawn a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastMessage {
    /// Its last frame.
    pub at: Option<Moment>,
    /// Is it larger than every message of that side before?
    pub is_largest: bool,
    /// Has that side broken the protocol in a way that frame headers show?
    pub violates: bool,
}

/// What is known of the opening handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Frames were recognised without a handshake.
    pub joined: bool,
    /// The first SYN.
    pub syn: Option<Moment>,
    /// The server's answer to it.
    pub syn_ack: Option<Moment>,
    /// The client's first packet behind its SYN.
    pub established: Option<Moment>,
    /// TTL or hop limit of each side's first packet.
    pub ttl: PerSide<Option<u8>>,
    /// The Upgrade request.
    pub request: Option<Moment>,
    /// Its answer.
    pub response: Option<Answer>,
    /// An answer came that could not be read (HTTP/2).
    pub answer_unread: bool,
    /// Which sides sent frames.
    pub frames: PerSide<bool>,
}

impl Opening {
    /// Was nothing seen but the client's SYN?
    #[must_use]
    pub const fn is_only_asked(&self) -> bool {
        self.syn.is_some() && self.syn_ack.is_none() && self.established.is_none() && self.request.is_none()
    }
}

/// The answer to an Upgrade request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The packet that completed its head.
    pub at: Moment,
    /// Status code.
    pub status: u16,
    /// Does it switch to `websocket`? If it names no protocol, a client that sends frames has taken it so.
    pub is_switch: bool,
    /// Does `Sec-WebSocket-Accept` match? `None`: the request was not seen.
    pub accept_valid: Option<bool>,
    /// Does it choose a subprotocol or an extension that was not offered?
    pub not_offered: bool,
    /// Did the snaplen cut its head, so that nothing shows whether the client had to take it?
    pub is_cut: bool,
}

/// Could a Close frame of one side have passed unseen?
///
/// 1006 is the claim that *no* Close was sent; it takes full sight of that side's last bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// Every byte up to its last was read.
    #[default]
    Full,
    /// Some were not.
    Lost(Lost),
}

/// Where sight was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub blind: Blind,
    /// The packet that shows it, if one does.
    pub at: Option<Moment>,
    /// Stream offset from which bytes are unknown.
    pub offset: u64,
    /// The sender's last packet that shows them not yet sent.
    pub unsent_at: Option<Moment>,
}

/// Why sight was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blind {
    /// The capture lacks bytes.
    Gap,
    /// The bytes are encrypted.
    Encrypted,
    /// The snaplen cut them.
    Truncated,
    /// The capture holds only one direction.
    OneSided,
    /// The capture began too late.
    StartedLate,
    /// Frame boundaries were lost.
    Desynchronized,
    /// The connection's state was dropped to keep within the limits.
    Evicted,
    /// The capture reports drops at the time.
    Dropped,
}

/// Why nothing more was seen of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Observed {
    /// The capture ended, or TCP had.
    #[default]
    Whole,
    /// A new connection took its addresses and ports.
    Superseded(Moment),
    /// Its state was dropped to keep within the limits.
    Evicted,
}

/// How TCP ended, or the stream of HTTP/2 that stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpEnd {
    /// By FIN or by reset.
    pub kind: TcpEndKind,
    /// Whose.
    pub by: Side,
    /// The packet; of a FIN that was not seen, the one that acknowledges it.
    pub at: Moment,
    /// Does the capture hold it?
    pub is_seen: bool,
    /// The frame that did so, where it ended a stream of HTTP/2 and not TCP.
    pub frame: Option<StreamEnd>,
}

/// How one side ended TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpEndKind {
    /// In order.
    Fin,
    /// Abruptly.
    Rst,
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamEnd::EndStream => out.write_str("END_STREAM"),
            StreamEnd::RstStream(error) => write!(out, "RST_STREAM ({error})"),
            StreamEnd::GoAway(error) => write!(out, "GOAWAY ({error})"),
        }
    }
}

impl Teardown {
    /// May what was seen of its end be relied on? Not where it was dropped before its stragglers had their time: they show
    /// whether a reset was honoured, or a peer is dead.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.observed != Observed::Evicted || Side::BOTH.into_iter().all(|side| self.fin_acked(side))
    }

    /// Did the peer acknowledge `side`'s FIN?
    #[must_use]
    pub fn fin_acked(&self, side: Side) -> bool {
        self.fin[side].is_some_and(|fin| self.acked[side] > fin.offset)
    }

    /// Has `side` ended what it sends, by a FIN, seen or not, or a reset?
    #[must_use]
    pub fn has_left(&self, side: Side) -> bool {
        self.fin[side].is_some() || self.unseen_fin[side].is_some() || self.reset[side].is_some()
    }

    /// The first event that ended TCP.
    #[must_use]
    pub fn tcp_end(&self) -> Option<TcpEnd> {
        let mut first: Option<(Moment, TcpEndKind, Side, bool)> = None;
        // Asked again and again of each connection: the frame is looked up of the first alone.
        let mut consider = |kind, by, at: Option<Moment>, is_seen| {
            if let Some(at) = at
                && first.is_none_or(|(earliest, ..)| at < earliest)
            {
                first = Some((at, kind, by, is_seen));
            }
        };
        // Of two in one packet the one named first counts.
        for by in Side::BOTH {
            consider(TcpEndKind::Fin, by, self.unseen_fin[by].map(|fin| fin.at), false);
        }
        for by in Side::BOTH {
            // What a FIN acknowledges came before it, even where the capture has it behind.
            let is_second = self.fin_answers_fin(by) && !self.fin_answers_fin(by.other());
            let fin = self.fin[by].as_ref().filter(|_| !is_second);
            consider(TcpEndKind::Fin, by, fin.map(|fin| fin.at), true);
        }
        for by in Side::BOTH {
            consider(TcpEndKind::Rst, by, self.reset[by].as_ref().map(|reset| reset.at), true);
        }
        let (at, kind, by, is_seen) = first?;
        Some(TcpEnd { kind, by, at, is_seen, frame: self.stream_end(by, at) })
    }

    /// What carries the WebSocket and ends with it: `the stream` of HTTP/2, else `TCP`.
    pub(super) const fn carrier(&self) -> &'static str {
        if self.stream.is_some() { "the stream" } else { "TCP" }
    }

    /// The frame with which `side` ended its stream of HTTP/2 at that moment.
    pub(super) fn stream_end(&self, side: Side, at: Moment) -> Option<StreamEnd> {
        let (ended, how) = self.stream.as_deref()?.ends[side]?;
        (ended == at).then_some(how)
    }

    /// The capture dropped packets while the connection ended, at these offsets: a Close may have been among them. One
    /// that was seen stays.
    pub fn lose_to_drops(&mut self, offsets: PerSide<u64>) {
        if Side::BOTH.into_iter().any(|side| self.close[side].is_some()) {
            return;
        }
        for side in Side::BOTH {
            if self.sight[side] == Sight::Full {
                let lost = Lost { blind: Blind::Dropped, at: None, offset: offsets[side], unsent_at: None };
                *self.sight.get_mut(side) = Sight::Lost(lost);
            }
        }
    }

    /// What a Close of `side` may stand in, where none was seen.
    ///
    /// A frame of nonsense that never ended counts here, but not in `sight`: against a Close that was seen it says
    /// nothing.
    #[must_use]
    pub fn unseen_close(&self, side: Side) -> Option<Lost> {
        match (self.sight[side], self.nonsense_frame[side]) {
            (Sight::Lost(lost), _) => Some(lost),
            (Sight::Full, Some(at)) => {
                Some(Lost { blind: Blind::Desynchronized, at, offset: 0, unsent_at: None })
            }
            (Sight::Full, None) => None,
        }
    }

    /// The side whose sendings went unanswered until the end: the other one, or the path, is dead.
    #[must_use]
    pub fn timed_out(&self) -> Option<(Side, Unanswered)> {
        Side::BOTH.iter().copied().find_map(|side| {
            let unanswered = self.unanswered[side];
            let silent = side.other();
            let has_closed = self.fin[silent].is_some() || self.reset[silent].is_some();
            (unanswered.proves_death(self.unanswered_limit) && !has_closed).then_some((side, unanswered))
        })
    }

    /// The client's SYNs, if nothing answered them and the next one is overdue: it has given up.
    ///
    /// A timer waits twice as long each time (RFC 6298 §5.5): no longer than for all sendings so far, and the first wait
    /// on top. Whoever opens another connection with the same addresses and ports has given up, too.
    #[must_use]
    pub fn overdue_syns(&self) -> Option<Unanswered> {
        let syns = self.unanswered.client;
        if !self.opening.is_only_asked() || syns.sendings == 0 {
            return None;
        }
        let so_far = Duration::from_nanos(syns.last.at.nanos_since(syns.first.at).max(0).cast_unsigned());
        let is_overdue = self.until.has_passed(self.syn_timeout.saturating_add(so_far), syns.last.at);
        (is_overdue || matches!(self.observed, Observed::Superseded(_))).then_some(syns)
    }

    /// The same where the client repeated its SYN: it had no answer then. A SYN sent once shows nothing of what came back.
    #[must_use]
    pub fn gave_up_opening(&self) -> Option<(Side, Unanswered)> {
        self.overdue_syns().filter(|syns| syns.sendings > 1).map(|syns| (Side::Client, syns))
    }

    /// Was `side`'s Close sent after it had received the other side's FIN? Such a Close ended nothing.
    #[must_use]
    pub fn close_answers_fin(&self, side: Side) -> bool {
        let (Some(close), Some(behind)) = (&self.close[side], self.behind_fin(side.other())) else {
            return false;
        };
        close.sender_had_received(behind) == Some(true)
    }

    /// The same, though its first sending may have come before: its Close lies in `resent`.
    #[must_use]
    pub fn may_precede_fin(&self, side: Side, resent: &Resent) -> bool {
        let (Some(close), Some(behind)) = (&self.close[side], self.behind_fin(side.other())) else {
            return false;
        };
        let is_resent = resent.from < close.wire.end && close.wire.end <= resent.until;
        is_resent && resent.received < behind && self.close_answers_fin(side)
    }

    /// Stream offset behind `side`'s FIN.
    fn behind_fin(&self, side: Side) -> Option<u64> {
        let seen = self.fin[side].map(|fin| fin.offset.saturating_add(1));
        seen.or_else(|| self.unseen_fin[side].and_then(|fin| fin.acked))
    }

    /// Was `side`'s FIN sent after it had received the other side's? That holds in whatever order they were captured.
    fn fin_answers_fin(&self, side: Side) -> bool {
        let (Some(fin), Some(other)) = (self.fin[side], self.fin[side.other()]) else { return false };
        fin.peer_acked.is_some_and(|acked| acked > other.offset)
    }

    /// Did `side`'s Close reach the peer: acknowledged, or answered by a Close sent after it?
    #[must_use]
    pub fn close_delivered(&self, side: Side) -> bool {
        let Some(close) = &self.close[side] else { return false };
        let reset_acked = self.reset[side.other()].and_then(|reset| reset.acked).unwrap_or(0);
        self.acked[side].max(reset_acked) >= close.wire.end || self.close_answered(side)
    }

    /// Did the peer send its Close after it had received `side`'s?
    #[must_use]
    pub fn close_answered(&self, side: Side) -> bool {
        let (Some(close), Some(answer)) = (&self.close[side], &self.close[side.other()]) else {
            return false;
        };
        answer.at > close.at && answer.sender_had_received(close.wire.end) == Some(true)
    }
}
