//! The one place that decides: evidence in, verdict out.

use super::reset_origin::{ResetOrigin, reset_origin};
use super::teardown::{Answer, Blind, Lost, Observed, Opening, Secrecy, Sight, TcpEnd, TcpEndKind, Teardown};
use super::verdict::{Cause, ClosedBy, Kind, Verdict, Words};
use super::why;
use crate::side::Side;
use crate::tcp::liveness::Unanswered;
use crate::websocket::close::{CloseBody, CloseFrame};

/// Judges one connection. Pure and total: the same evidence gives the same verdict.
///
/// 1. It did not open: `refused` (or `open`, while the answer is awaited).
/// 2. A Close was on the wire: `coded`, by the first one's sender, whatever TCP did afterwards.
/// 3. One end had stopped answering: `abnormal`, timeout.
/// 4. TCP ended: `abnormal`, by the first FIN or reset, if no Close can have passed unseen.
/// 5. Otherwise it is `open`.
///
/// Wherever the packets could hide what would change the answer, it is `unknown` with the reason. As [`String`] the
/// reason is written out, as [`Unsaid`](super::verdict::Unsaid) it is not.
#[must_use]
pub fn judge<W: Words>(teardown: &Teardown) -> Verdict<W> {
    if let Some(verdict) = judge_hidden(teardown).or_else(|| judge_opening(teardown)) {
        return verdict;
    }
    if let Some((side, close)) = first_close(teardown) {
        return judge_close(teardown, side, close);
    }
    let is_undated = |side: &Side| teardown.close_may_precede_fin[*side];
    if let Some(side) = Side::BOTH.into_iter().find(is_undated)
        && let Some(close) = &teardown.close[side]
    {
        return unknown(Blind::Gap, why::close_may_precede_fin(teardown, side, close));
    }
    judge_end(teardown)
}

/// The Close that came first and did not answer a FIN.
fn first_close(teardown: &Teardown) -> Option<(Side, &CloseFrame)> {
    let mut closes = Side::BOTH
        .into_iter()
        .filter(|side| !teardown.close_answers_fin(*side))
        .filter_map(|side| teardown.close[side].as_ref().map(|close| (side, close)));
    let (one, other) = (closes.next()?, closes.next());
    let Some(other) = other else { return Some(one) };
    // What a side had received when it sent tells the order even where packets are missing or out of order.
    let answers =
        |late: &CloseFrame, early: &CloseFrame| late.sender_had_received(early.wire.end) == Some(true);
    let other_is_first = answers(one.1, other.1) || (!answers(other.1, one.1) && other.1.at < one.1.at);
    Some(if other_is_first { other } else { one })
}

/// The verdict on a connection that is encrypted throughout; `None`: it is none. That TCP is open or has ended shows
/// all the same.
fn judge_hidden<W: Words>(teardown: &Teardown) -> Option<Verdict<W>> {
    let secrecy = teardown.tls.as_deref().filter(|secrecy| secrecy.is_hidden)?;
    let is_open = teardown.tcp_end().is_none() && teardown.timed_out().is_none();
    if is_open && teardown.observed == Observed::Whole {
        return Some(verdict(Kind::Open, None, why::open(teardown, true)));
    }
    Some(unknown(Blind::Encrypted, why::encrypted(teardown, secrecy.decryption)))
}

/// The verdict on a connection that did not open; `None`: it did.
fn judge_opening<W: Words>(teardown: &Teardown) -> Option<Verdict<W>> {
    let opening = &teardown.opening;
    if opening.joined {
        return None;
    }
    let Some(answer) = opening.response else {
        let is_open = opening.request.is_some() && frames_show_answer(teardown);
        return if is_open { None } else { Some(judge_unanswered(teardown)) };
    };
    if !answer.is_switch {
        let why = why::refused_by_status(&answer);
        return Some(verdict(Kind::Refused, Some(ClosedBy::Server), why));
    }
    // Nothing shows that the rest of it came, or that the client took it.
    let is_taken = opening.frames.client || opening.frames.server;
    let is_over = teardown.tcp_end().is_some() || teardown.timed_out().is_some();
    if answer.is_cut && !is_taken && is_over {
        return Some(unknown(Blind::Truncated, why::cut_opening(&answer)));
    }
    client_rejects(teardown, &answer)
        .then(|| verdict(Kind::Refused, Some(ClosedBy::Client), why::refused_by_client(teardown, &answer)))
}

/// Do frames show that an answer which was not read opened it? The server's do; the client's only where an answer may have
/// passed unseen: it may send them before it has one.
fn frames_show_answer(teardown: &Teardown) -> bool {
    let Opening { frames, answer_unread, .. } = teardown.opening;
    frames.server || (frames.client && (answer_unread || teardown.sight.server != Sight::Full))
}

/// Did the client have to reject this `101` (RFC 6455 §4.1), and did it act so?
fn client_rejects(teardown: &Teardown, answer: &Answer) -> bool {
    if teardown.opening.frames.client {
        return false;
    }
    let dropped = teardown.tcp_end().is_some_and(|end| end.by == Side::Client);
    answer.accept_valid == Some(false) || (answer.not_offered && dropped)
}

/// No answer to the request, or no request at all.
fn judge_unanswered<W: Words>(teardown: &Teardown) -> Verdict<W> {
    // What was dropped after the client had given up has shown all that it had to show.
    if teardown.observed == Observed::Evicted && teardown.gave_up_opening().is_none() {
        return unknown(Blind::Evicted, why::evicted());
    }
    let timed_out = teardown.timed_out();
    let end = teardown.tcp_end();
    let closed_by = match (timed_out, end) {
        (Some(_), _) => ClosedBy::Network,
        (None, Some(end)) => ended_by(teardown, &end, origin_of(teardown, &end)),
        (None, None) => return judge_waiting(teardown),
    };
    // The answer itself may be what the capture lacks; or frames of the client, which had seen it.
    let lost = Side::BOTH.into_iter().rev().find_map(|side| match teardown.sight[side] {
        Sight::Lost(lost) => Some((side, lost)),
        Sight::Full => None,
    });
    // Who had acknowledged nothing of the server's when the path died had no answer.
    let may_be_answered = |side| timed_out.is_none() || side == Side::Client || teardown.acked.server > 0;
    if let Some((side, lost)) = lost.filter(|(side, _)| may_be_answered(*side))
        && teardown.opening.request.is_some()
    {
        return unknown(lost.blind, why::blind_opening(end.as_ref(), side, &lost));
    }
    verdict(Kind::Refused, Some(closed_by), why::refused_without_answer(teardown, end, timed_out))
}

/// No answer, and no end of TCP.
fn judge_waiting<W: Words>(teardown: &Teardown) -> Verdict<W> {
    if let Some(error) = teardown.icmp.iter().find(|error| error.kind.is_refusal()) {
        return verdict(Kind::Refused, Some(ClosedBy::Network), why::refused_by_icmp(teardown, error));
    }
    if let Some(syns) = teardown.overdue_syns() {
        return judge_syns(teardown, &syns);
    }
    match teardown.observed {
        Observed::Superseded(at) => unknown(Blind::Gap, why::superseded(at)),
        Observed::Whole | Observed::Evicted => verdict(Kind::Open, None, why::waiting(teardown)),
    }
}

/// SYNs, and nothing else, though the client would have sent more if it still waited.
fn judge_syns<W: Words>(teardown: &Teardown, syns: &Unanswered) -> Verdict<W> {
    let lost = |side: Side| match teardown.sight[side] {
        Sight::Lost(lost) => Some((side, lost)),
        Sight::Full => None,
    };
    // Of the server there is nothing to see. A SYN that came again shows that nothing had come back, one alone does not.
    let is_repeated = teardown.gave_up_opening().is_some();
    match lost(Side::Client).or_else(|| lost(Side::Server).filter(|_| !is_repeated)) {
        Some((side, lost)) => unknown(lost.blind, why::blind_syns(syns, side, &lost)),
        None => verdict(Kind::Refused, Some(ClosedBy::Network), why::gave_up_opening(syns)),
    }
}

/// A Close frame came first.
fn judge_close<W: Words>(teardown: &Teardown, side: Side, close: &CloseFrame) -> Verdict<W> {
    let peer = side.other();
    if let (Sight::Lost(lost), None) = (teardown.sight[peer], &teardown.close[peer])
        && (close.sender_had_received(lost.offset + 1) != Some(false)
            || lost.unsent_at.is_none_or(|unsent| unsent < close.at))
    {
        return unknown(lost.blind, why::close_may_not_be_the_first(side, close, &lost));
    }
    let crossed = teardown.close[peer].as_ref().is_some_and(|other| {
        !teardown.close_answers_fin(peer) && other.sender_had_received(close.wire.end) == Some(false)
    });
    let closed_by = if crossed { ClosedBy::Both } else { side.into() };
    if close.body == CloseBody::Missing {
        let why = why::close_without_its_code(side, close);
        return Verdict { closed_by: Some(closed_by), ..unknown(Blind::Truncated, why) };
    }
    let clean = Side::BOTH.iter().all(|side| teardown.close_delivered(*side));
    let why = why::coded(teardown, side, close, crossed);
    Verdict { clean, ..verdict(Kind::Coded(close.code), Some(closed_by), why) }
}

/// No Close frame was seen.
fn judge_end<W: Words>(teardown: &Teardown) -> Verdict<W> {
    if !teardown.is_certain() {
        return unknown(Blind::Evicted, why::evicted());
    }
    if let Some((side, unanswered)) = teardown.timed_out() {
        if let Some((side, lost)) = blind_side(teardown) {
            return unknown(lost.blind, why::blind(teardown, side, &lost));
        }
        let why = why::timeout(teardown, side, &unanswered);
        return verdict(Kind::Abnormal(Cause::Timeout), Some(ClosedBy::Network), why);
    }
    let Some(end) = teardown.tcp_end() else {
        return judge_unfinished(teardown);
    };
    if let Some((side, lost)) = blind_side(teardown).or_else(|| unconfirmed(teardown, &end)) {
        return unknown(lost.blind, why::blind(teardown, side, &lost));
    }
    let cause = match end.kind {
        TcpEndKind::Fin => Cause::Fin,
        TcpEndKind::Rst => Cause::Rst,
    };
    let origin = origin_of(teardown, &end);
    let closed_by = ended_by(teardown, &end, origin);
    verdict(Kind::Abnormal(cause), Some(closed_by), why::abnormal(teardown, &end, origin))
}

/// Where the reset that ended TCP came from, if one did.
fn origin_of(teardown: &Teardown, end: &TcpEnd) -> Option<ResetOrigin> {
    (end.kind == TcpEndKind::Rst).then(|| reset_origin(teardown, end.by)).flatten()
}

/// Who ended TCP. One packet may show that both FINs were sent, but not in which order.
fn ended_by(teardown: &Teardown, end: &TcpEnd, origin: Option<ResetOrigin>) -> ClosedBy {
    // Who says good-bye in TLS ends the connection, whoever then drops TCP first.
    // A packet that acknowledges a FIN comes behind that FIN.
    let precedes = |by: Side, at| at < end.at || (at == end.at && (end.is_seen || by == end.by));
    let tls_end = teardown.tls.as_deref().and_then(Secrecy::end).filter(|(by, at)| precedes(*by, *at));
    match (origin, tls_end) {
        (None | Some(ResetOrigin::Endpoint | ResetOrigin::NoSuchConnection), Some((side, at))) => {
            let may_be_second = teardown.tls.as_deref().is_some_and(|tls| tls.may_precede(side.other(), at));
            if may_be_second { ClosedBy::Unknown } else { side.into() }
        }
        (None | Some(ResetOrigin::Endpoint), None) => {
            let shown = |side: Side| teardown.unseen_fin[side].map(|fin| fin.at);
            let both = !end.is_seen && shown(end.by) == shown(end.by.other());
            // What the other side may have sent before it was seen to end: a FIN.
            let may_be_second = teardown.byte_or_fin[end.by.other()].is_some_and(|at| at <= end.at);
            if both || may_be_second { ClosedBy::Unknown } else { end.by.into() }
        }
        (Some(ResetOrigin::NoSuchConnection), None) => ClosedBy::Unknown,
        (Some(ResetOrigin::Foreign(_)), _) => ClosedBy::Network,
    }
}

/// Neither a Close nor an end of TCP.
fn judge_unfinished<W: Words>(teardown: &Teardown) -> Verdict<W> {
    if let Observed::Superseded(at) = teardown.observed {
        return unknown(Blind::Gap, why::superseded(at));
    }
    match one_sided(teardown) {
        // An end by the side that is not in the capture would not be seen.
        Some((side, lost)) => unknown(lost.blind, why::blind(teardown, side, &lost)),
        None => verdict(Kind::Open, None, why::open(teardown, blind_side(teardown).is_some())),
    }
}

/// The side, if any, of which the capture holds nothing.
fn one_sided(teardown: &Teardown) -> Option<(Side, Lost)> {
    blind_side(teardown).filter(|(_, lost)| lost.blind == Blind::OneSided)
}

/// The side, if any, of which a Close may have passed unseen.
fn blind_side(teardown: &Teardown) -> Option<(Side, Lost)> {
    Side::BOTH.into_iter().find_map(|side| teardown.unseen_close(side).map(|lost| (side, lost)))
}

/// After a FIN the peer's acknowledgment of it shows how much the peer had sent, or its own end does. Without either, a
/// Close may have crossed the FIN unseen, also behind a packet that did: the peer could still send one. A reset that answers a segment which the capture lacks may answer a Close. But an abort right behind
/// the FIN leaves the peer nothing to say, and acknowledges what it had sent.
pub(super) fn unconfirmed(teardown: &Teardown, end: &TcpEnd) -> Option<(Side, Lost)> {
    let peer = end.by.other();
    let has_answered = !end.is_seen || teardown.fin_acked(end.by) || teardown.has_left(peer);
    let lost =
        Lost { blind: Blind::OneSided, at: Some(end.at), offset: teardown.acked[peer], unsent_at: None };
    let is_shown = match end.kind {
        TcpEndKind::Fin => has_answered || aborted_behind_its_fin(teardown, end.by),
        TcpEndKind::Rst => {
            let is_foreign = matches!(origin_of(teardown, end), Some(ResetOrigin::Foreign(_)));
            is_foreign || teardown.reset[end.by].is_none_or(|reset| reset.provoked)
        }
    };
    (!is_shown).then_some((peer, lost))
}

/// Did `side` itself follow its FIN with a reset that acknowledges what it had received?
fn aborted_behind_its_fin(teardown: &Teardown, side: Side) -> bool {
    teardown.reset[side].is_some_and(|reset| {
        reset.acked.is_some() && reset_origin(teardown, side) == Some(ResetOrigin::Endpoint)
    })
}

fn verdict<W: Words>(kind: Kind, closed_by: Option<ClosedBy>, why: W) -> Verdict<W> {
    Verdict { kind, closed_by, clean: false, why }
}

fn unknown<W: Words>(blind: Blind, why: W) -> Verdict<W> {
    verdict(Kind::Unknown(blind), Some(ClosedBy::Unknown), why)
}
