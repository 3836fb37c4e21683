//! The code that RFC 6455 §7.1.5 gives the application at each end.
//!
//! It is the code of the first valid Close that *reached* the application while it still listened: 1005 for an empty
//! one, 1006 where none came. What an end sent itself never sets its own code, so the two ends may well differ.

use super::judge::unconfirmed;
use super::reach::{Reach, own_reset, reach};
use super::reset_origin::{ResetOrigin, reset_origin};
use super::teardown::{Blind, Lost, Observed, Sight, TcpEnd, TcpEndKind, Teardown};
use super::vantage::VantageEstimate;
use super::verdict::{Kind, Phrase, Unsaid, Words, packet};
use super::why::{close_text, end_text, lost_text};
use crate::side::{PerSide, Side};
use crate::tcp::reset::ResetValidity;
use crate::websocket::close::{CloseBody, CloseFrame};
use crate::websocket::close_code::CloseCode;
use std::fmt;
use std::time::Duration;

/// How sure a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Certainty {
    /// The packets prove it.
    Certain,
    /// The packets fit nothing else that is usual.
    Likely,
    /// One of two codes; the packets can't tell which.
    Ambiguous,
    /// The packets do not tell.
    Unknown,
}

impl Certainty {
    /// `certain`, `likely`, `ambiguous` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Certainty::Certain => "certain",
            Certainty::Likely => "likely",
            Certainty::Ambiguous => "ambiguous",
            Certainty::Unknown => "unknown",
        }
    }
}

/// The code at one end, and, where words are asked for, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointCode<W = Unsaid> {
    /// The code; `None` where the packets do not tell, or where the application was told nothing.
    pub code: Option<CloseCode>,
    /// How sure it is.
    pub certainty: Certainty,
    /// The other possible code, where it is ambiguous.
    pub alternative: Option<CloseCode>,
    /// The connection closed after a complete closing handshake (RFC 6455 §7.1.4), as this end saw it.
    pub was_clean: bool,
    /// How this end's story went: what a library's dialect depends on.
    pub course: Course,
    /// The reason in one sentence, with packet numbers.
    pub why: W,
}

/// What happened, as one end saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Course {
    /// A Close came that the end accepted.
    Told,
    /// A Close came that the end had to reject.
    Rejected,
    /// The end failed the connection (RFC 6455 §7.1.7) and read no more.
    Failed,
    /// The end sent a Close and got none.
    Unanswered,
    /// TCP ended in order, without any Close to or from this end.
    Dropped,
    /// TCP was reset, without any Close to or from this end.
    Reset,
    /// The end itself dropped TCP, without any Close.
    Quit,
    /// The other end, or the path, died.
    Silent,
    /// The opening handshake failed.
    NeverOpened,
    /// Nothing can be said.
    Unclear,
}

impl<W: Words> EndpointCode<W> {
    fn new(code: CloseCode, certainty: Certainty, course: Course, why: W) -> Self {
        EndpointCode { code: Some(code), certainty, alternative: None, was_clean: false, course, why }
    }

    fn or(self, alternative: CloseCode) -> Self {
        if self.code == Some(alternative) {
            return self;
        }
        EndpointCode { certainty: Certainty::Ambiguous, alternative: Some(alternative), ..self }
    }

    fn unknown(why: W) -> Self {
        EndpointCode {
            code: None,
            certainty: Certainty::Unknown,
            alternative: None,
            was_clean: false,
            course: Course::Unclear,
            why,
        }
    }
}

/// The code at each end of a connection whose end is of this kind. Pure and total.
#[must_use]
pub fn endpoints<W: Words>(
    teardown: &Teardown,
    kind: Kind,
    vantage: &VantageEstimate,
) -> PerSide<EndpointCode<W>> {
    PerSide::from_fn(|side| endpoint(teardown, side, kind, vantage))
}

/// The code at `side`'s end.
#[must_use]
pub fn endpoint<W: Words>(
    teardown: &Teardown,
    side: Side,
    kind: Kind,
    vantage: &VantageEstimate,
) -> EndpointCode<W> {
    match kind {
        Kind::Open => {
            EndpointCode::unknown(W::say(format_args!("the connection is still open when the capture ends")))
        }
        Kind::Refused => refused(teardown, side),
        Kind::Coded(_) | Kind::Abnormal(_) | Kind::Unknown(_) => opened(teardown, side, vantage),
    }
}

/// The opening handshake failed: no Close can have come (rule 1).
fn refused<W: Words>(teardown: &Teardown, side: Side) -> EndpointCode<W> {
    let why = "the opening handshake failed";
    let accepted = teardown.opening.response.is_some_and(|answer| answer.is_switch);
    // An answer may come yet, or have come.
    let may_open = match teardown.tcp_end() {
        Some(end) => has_ended_unseen(teardown, &end),
        None => teardown.timed_out().is_some(),
    };
    match side {
        Side::Client => EndpointCode::new(
            CloseCode::ABNORMAL,
            if may_open { Certainty::Likely } else { Certainty::Certain },
            Course::NeverOpened,
            W::say(format_args!("{why}: the client's connection ends without ever having been open")),
        ),
        Side::Server if accepted => EndpointCode::new(
            CloseCode::ABNORMAL,
            Certainty::Likely,
            Course::Dropped,
            W::say(format_args!("the client rejected the server's 101 and sent no Close")),
        ),
        Side::Server => {
            EndpointCode::unknown(W::say(format_args!("{why}: the server's application saw no connection")))
        }
    }
}

fn opened<W: Words>(teardown: &Teardown, side: Side, vantage: &VantageEstimate) -> EndpointCode<W> {
    if teardown.tls.as_ref().is_some_and(|secrecy| secrecy.is_hidden) {
        return EndpointCode::unknown(W::say(format_args!(
            "the connection is encrypted, and nothing of it was decrypted"
        )));
    }
    if let Some(close) = &teardown.close[side.other()] {
        return with_close(teardown, side, close, vantage);
    }
    let unseen_close = match teardown.sight[side.other()] {
        Sight::Lost(lost) => Some(lost),
        Sight::Full => teardown.unseen_close(side.other()).filter(|_| teardown.close[side].is_none()),
    };
    if let Some(lost) = unseen_close {
        return unseen(teardown, side, &lost);
    }
    // Its reset answers a segment that the capture lacks.
    let reset = teardown.tcp_end().filter(|end| (end.kind, end.by) == (TcpEndKind::Rst, side));
    if let Some((_, lost)) = reset.and_then(|end| unconfirmed(teardown, &end)) {
        return unseen(teardown, side, &lost);
    }
    if !teardown.is_certain() {
        return EndpointCode::unknown(W::say(format_args!("no end was certain")));
    }
    if matches!(teardown.observed, Observed::Superseded(_)) && teardown.tcp_end().is_none() {
        return EndpointCode::unknown(W::say(format_args!("no end was seen")));
    }
    without_close(teardown, side)
}

/// Bytes of the peer are unknown: a Close may stand in them.
fn unseen<W: Words>(teardown: &Teardown, side: Side, lost: &Lost) -> EndpointCode<W> {
    let peer = side.other();
    let unseen = Phrase(|out: &mut fmt::Formatter<'_>| {
        write!(out, "a Close of {peer} may have passed unseen: {}", lost_text(peer, lost))
    });
    // An answer mirrors what it answers: the library's echo stands in for the Close that the capture lacks.
    let answer = teardown.close[side].as_ref().filter(|own| {
        let may_answer = own.sender_had_received(lost.offset + 1) != Some(false);
        may_answer && own.body == CloseBody::Code && lost.blind == Blind::OneSided
    });
    EndpointCode::unknown(match answer.and_then(|own| Some((own, own.code?))) {
        Some((own, code)) => {
            W::say(format_args!("{unseen}; if {} answers it, it carried {code}", close_text(own)))
        }
        None => W::say(format_args!("{unseen}")),
    })
}

/// No Close of the peer was on the wire (rules 5, 6 and 14).
fn without_close<W: Words>(teardown: &Teardown, side: Side) -> EndpointCode<W> {
    let peer = side.other();
    if let Some(own) = &teardown.close[side] {
        return unanswered(teardown, side, own);
    }
    if let Some((sender, unanswered)) = teardown.timed_out() {
        let why = W::say(format_args!(
            "no Close came from {peer}; {} stopped answering, {sender} sent in vain from {} to {}",
            sender.other(),
            packet(unanswered.first),
            packet(unanswered.last)
        ));
        return EndpointCode::new(CloseCode::ABNORMAL, Certainty::Likely, Course::Silent, why);
    }
    let Some(end) = teardown.tcp_end() else {
        let carrier = teardown.carrier();
        return EndpointCode::unknown(W::say(format_args!(
            "neither a Close nor the end of {carrier} was seen"
        )));
    };
    let course = match (end.by == side, end.kind) {
        (true, TcpEndKind::Rst) if own_reset(teardown, side).is_none() => Course::Reset,
        (true, _) => Course::Quit,
        (false, TcpEndKind::Fin) => Course::Dropped,
        (false, TcpEndKind::Rst) => Course::Reset,
    };
    let why = W::say(format_args!("no Close came from {peer} before {}", end_text(&end)));
    EndpointCode::new(CloseCode::ABNORMAL, without_close_certainty(teardown, side, &end), course, why)
}

/// Behind this end's own FIN a Close may still come, until the peer has ended, too, or this end is gone; a reset binds its
/// receiver only if its sequence number is exact (RFC 5961 §3.2).
fn without_close_certainty(teardown: &Teardown, side: Side, end: &TcpEnd) -> Certainty {
    let may_follow = !teardown.has_left(side.other()) && own_reset(teardown, side).is_none();
    let is_guess = teardown.reset[end.by].is_some_and(|reset| reset.validity == ResetValidity::Ahead);
    let ended_unseen = has_ended_unseen(teardown, end);
    match end.kind {
        TcpEndKind::Fin if end.by == side && may_follow => Certainty::Likely,
        TcpEndKind::Rst if is_guess || ended_unseen => Certainty::Likely,
        TcpEndKind::Fin | TcpEndKind::Rst => Certainty::Certain,
    }
}

/// Did `end`'s side no longer know of the connection, though nothing shows how it had ended it?
fn has_ended_unseen(teardown: &Teardown, end: &TcpEnd) -> bool {
    end.kind == TcpEndKind::Rst && reset_origin(teardown, end.by) == Some(ResetOrigin::NoSuchConnection)
}

/// The end sent a Close and got none.
fn unanswered<W: Words>(teardown: &Teardown, side: Side, own: &CloseFrame) -> EndpointCode<W> {
    let peer = side.other();
    let sent = Phrase(|out: &mut fmt::Formatter<'_>| {
        let (close, at) = (close_text(own), packet(own.at));
        write!(out, "{side} sent {close} in {at} and got no Close from {peer}")
    });
    let abnormal =
        |certainty, why| EndpointCode::new(CloseCode::ABNORMAL, certainty, Course::Unanswered, why);
    let Some(end) = teardown.tcp_end() else {
        return match teardown.timed_out() {
            Some(_) => {
                abnormal(Certainty::Likely, W::say(format_args!("{sent}, which had stopped answering")))
            }
            None => EndpointCode::unknown(W::say(format_args!("{sent} up to the end of the capture"))),
        };
    };
    // Until the peer has ended, too, it may still answer. After a reset no Close can be accepted any more; but one that
    // answers a segment which the capture lacks may answer the Close.
    let is_gone = teardown.reset[side].is_some_and(|reset| reset.provoked);
    let certainty = if teardown.has_left(peer) || is_gone { Certainty::Certain } else { Certainty::Likely };
    abnormal(certainty, W::say(format_args!("{sent}; then {}", end_text(&end))))
}

/// The peer sent a Close: did it reach an application that listened, and was it fit to be accepted?
fn with_close<W: Words>(
    teardown: &Teardown,
    side: Side,
    close: &CloseFrame,
    vantage: &VantageEstimate,
) -> EndpointCode<W> {
    let reach = reach(teardown, side, close, vantage);
    let told = match told_code(close) {
        Some(code) => code,
        None if close.body == CloseBody::Missing => {
            return EndpointCode::unknown(W::say(format_args!(
                "{} sent a Close in {}, but the capture does not hold its code",
                side.other(),
                packet(close.at)
            )));
        }
        None => return rejected(teardown, side, close, reach),
    };
    if !close.is_well_framed || close.code.is_some_and(|code| !code.is_valid_on_wire()) {
        return unacceptable(teardown, side, close, reach, told);
    }
    if let Some(failed) = failed(teardown, side, close, told, reach) {
        return failed;
    }
    let why = || {
        W::say(format_args!(
            "{} sent {} in {}; {}",
            side.other(),
            close_text(close),
            packet(close.at),
            reach.text(teardown, side)
        ))
    };
    let told_with = |certainty| EndpointCode {
        was_clean: is_clean(teardown, side),
        ..EndpointCode::new(told, unless_failed_unseen(teardown, side, certainty), Course::Told, why())
    };
    let abnormal = |certainty| {
        let course = if teardown.close[side].is_some() { Course::Unanswered } else { Course::Quit };
        EndpointCode::new(CloseCode::ABNORMAL, certainty, course, why())
    };
    match reach {
        Reach::AcknowledgedThenFin(_) | Reach::Acknowledged | Reach::Arrived
            if is_doubtful(teardown, side.other()) =>
        {
            told_with(Certainty::Likely).or(CloseCode::ABNORMAL)
        }
        Reach::Answered(_) | Reach::AcknowledgedThenFin(_) if may_be_unread(teardown, side, close) => {
            told_with(Certainty::Likely)
        }
        Reach::Answered(_) | Reach::AcknowledgedThenFin(_) => told_with(Certainty::Certain),
        Reach::Acknowledged | Reach::ReadAfterOwnFin => told_with(Certainty::Likely),
        Reach::Arrived if vantage.is_given => told_with(Certainty::Certain),
        Reach::Arrived => told_with(Certainty::Likely),
        Reach::Unread => abnormal(Certainty::Likely).or(told),
        Reach::SocketGone | Reach::AbortedBefore | Reach::Undelivered(_) => abnormal(Certainty::Likely),
        Reach::OnlySent => told_with(Certainty::Likely).or(CloseCode::ABNORMAL),
    }
}

/// May `side`'s TCP have had `close`, and its application not? It aborted then, as one does that leaves bytes unread (RFC 2525
/// §2.17), or its own Close came long afterwards. One with the same code echoes it: then it was read.
fn may_be_unread(teardown: &Teardown, side: Side, close: &CloseFrame) -> bool {
    let own =
        teardown.close[side].as_ref().filter(|own| own.sender_had_received(close.wire.end) != Some(false));
    if own.is_some_and(|own| (own.body, own.code) == (close.body, close.code)) {
        return false;
    }
    let is_late = own.is_some_and(|own| own.at.at.has_passed(PROMPT, close.at.at));
    let aborted = own_reset(teardown, side)
        .is_some_and(|reset| reset.acked.is_some_and(|received| received >= close.wire.end));
    is_late || aborted
}

/// Who listens answers a Close sooner.
const PROMPT: Duration = Duration::from_secs(1);

/// If a Close of this end's own passed unseen, it may have failed the connection with that, and read no more (rule 8).
fn unless_failed_unseen(teardown: &Teardown, side: Side, certainty: Certainty) -> Certainty {
    let may_have_failed = teardown.close[side].is_none() && teardown.sight[side] != Sight::Full;
    if may_have_failed { certainty.max(Certainty::Likely) } else { certainty }
}

/// May the receiver have failed the connection without a word, since `sender` had broken the protocol (RFC 6455 §7.1.7), or
/// have read other bytes than those read here?
fn is_doubtful(teardown: &Teardown, sender: Side) -> bool {
    let differs = matches!(teardown.sight[sender], Sight::Lost(lost) if lost.blind == Blind::Desynchronized);
    teardown.last_message[sender].violates || differs
}

/// What a Close tells its receiver; `None`: its body is invalid or not in the capture.
fn told_code(close: &CloseFrame) -> Option<CloseCode> {
    match close.body {
        CloseBody::Empty => Some(CloseCode::NO_STATUS_RECEIVED),
        CloseBody::Code => close.code,
        CloseBody::Malformed | CloseBody::Missing => None,
    }
}

/// The Close's body is malformed: its receiver must fail the connection (rule 3).
fn rejected<W: Words>(teardown: &Teardown, side: Side, close: &CloseFrame, reach: Reach) -> EndpointCode<W> {
    let why = W::say(format_args!(
        "{} sent {} in {}, which {side} has to reject; {}",
        side.other(),
        close_text(close),
        packet(close.at),
        reach.text(teardown, side)
    ));
    EndpointCode::new(CloseCode::ABNORMAL, Certainty::Likely, Course::Rejected, why)
}

/// Is `answer` the failure that an unacceptable `close` draws, and not an echo of it?
#[must_use]
pub fn refuses(answer: &CloseFrame, close: &CloseFrame) -> bool {
    let fails = matches!(answer.code, Some(CloseCode::PROTOCOL_ERROR | CloseCode::INVALID_PAYLOAD));
    fails && answer.code != close.code
}

/// The Close carries a code that may not stand there, or is framed as no control frame may be (rule 3, row 21): some
/// receivers reject it, some pass it on.
fn unacceptable<W: Words>(
    teardown: &Teardown,
    side: Side,
    close: &CloseFrame,
    reach: Reach,
    told: CloseCode,
) -> EndpointCode<W> {
    let base = rejected(teardown, side, close, reach);
    match (&teardown.close[side], teardown.close_answered(side.other())) {
        (Some(answer), true) if refuses(answer, close) => base,
        (Some(answer), true) if answer.code == close.code => {
            let why = W::say(format_args!(
                "{} sent {} {told} in {}, and {side} accepted it with its echo in {}",
                side.other(),
                if close.is_well_framed { "the reserved code" } else { "a Close framed against the rules," },
                packet(close.at),
                packet(answer.at)
            ));
            EndpointCode::new(told, Certainty::Likely, Course::Told, why)
        }
        _ => base.or(told),
    }
}

/// The end failed the connection before or instead of reading the peer's Close (rule 8); `None`: it did not.
///
/// Failing closes TCP without waiting; a server that closes with 1008 or 1011 through its ordinary API waits for the
/// answer. A failure that stands behind the peer's Close in time, and does not echo it, was drawn by an earlier frame.
fn failed<W: Words>(
    teardown: &Teardown,
    side: Side,
    close: &CloseFrame,
    told: CloseCode,
    reach: Reach,
) -> Option<EndpointCode<W>> {
    let own = teardown.close[side].as_ref()?;
    let code = own.code.filter(|code| is_failure(*code))?;
    let had_close = own.sender_had_received(close.wire.end) == Some(true);
    let left_at_once = teardown.fin[side]
        .is_some_and(|fin| fin.at >= own.at && fin.peer_acked.is_some_and(|acked| acked < close.wire.end));
    let certainty = if had_close {
        if own.code == close.code || !is_protocol_failure(code) {
            return None;
        }
        Certainty::Ambiguous
    } else if left_at_once {
        Certainty::Likely
    } else if drawn_by_message(teardown, side, code) {
        Certainty::Ambiguous
    } else {
        return None;
    };
    let why = W::say(format_args!(
        "{side} failed the connection with {} in {} and read no more: {}'s {} in {} came too late; {}",
        close_text(own),
        packet(own.at),
        side.other(),
        close_text(close),
        packet(close.at),
        reach.text(teardown, side)
    ));
    let base = EndpointCode::new(CloseCode::ABNORMAL, certainty, Course::Failed, why);
    Some(if certainty == Certainty::Ambiguous { base.or(told) } else { base })
}

/// May the peer's latest message have drawn `side`'s Close with this `code`? Bad UTF-8 can't be seen from outside.
fn drawn_by_message(teardown: &Teardown, side: Side, code: CloseCode) -> bool {
    let peer = teardown.last_message[side.other()];
    let fits = match code {
        CloseCode::PROTOCOL_ERROR => peer.violates,
        CloseCode::MESSAGE_TOO_BIG => peer.is_largest,
        _ => is_protocol_failure(code),
    };
    fits && peer.at > teardown.last_message[side].at
}

/// Codes with which an end fails the connection, itself or its application.
const fn is_failure(code: CloseCode) -> bool {
    matches!(code.0, 1002 | 1003 | 1007..=1011)
}

/// Codes that only a check of the protocol sends by itself.
const fn is_protocol_failure(code: CloseCode) -> bool {
    matches!(code.0, 1002 | 1007 | 1009)
}

/// Both Closes passed, and no reset came between (RFC 6455 §7.1.4).
fn is_clean(teardown: &Teardown, side: Side) -> bool {
    teardown.close[side].is_some()
        && teardown.close_delivered(side.other())
        && teardown.tcp_end().is_none_or(|end| end.kind == TcpEndKind::Fin || end.by == side)
}
