//! The reasons of a verdict, in one sentence each, with packet numbers.

use super::reset_origin::{ResetOrigin, Sign};
use super::teardown::{Answer, Blind, Lost, TcpEnd, TcpEndKind, Teardown};
use super::verdict::{Phrase, Words, packet};
use crate::decode::segment::IcmpError;
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::liveness::Unanswered;
use crate::tls::facts::{AlertDescription, Decryption};
use crate::websocket::close::{CloseBody, CloseFrame};
use std::fmt::{self, Display};

/// A Close frame in words.
pub(super) struct CloseText<'a>(&'a CloseFrame);

pub(super) fn close_text(close: &CloseFrame) -> CloseText<'_> {
    CloseText(close)
}

impl fmt::Display for CloseText<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.code, self.0.body) {
            (Some(code), CloseBody::Malformed) => {
                write!(out, "Close {} with a reason that is not UTF-8", code.0)
            }
            (Some(code), _) => write!(out, "Close {}", code.0),
            (None, CloseBody::Malformed) => out.write_str("a Close with a one-byte body"),
            (None, CloseBody::Missing) => out.write_str("a Close whose code the capture lacks"),
            (None, _) => out.write_str("an empty Close"),
        }
    }
}

/// The end of TCP in words.
pub(super) struct EndText<'a>(&'a TcpEnd);

pub(super) fn end_text(end: &TcpEnd) -> EndText<'_> {
    EndText(end)
}

impl fmt::Display for EndText<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.frame, self.0.kind) {
            (Some(frame), _) => write!(out, "{frame} by ")?,
            (None, TcpEndKind::Fin) => out.write_str("FIN by ")?,
            (None, TcpEndKind::Rst) => out.write_str("RST by ")?,
        }
        out.write_str(self.0.by.name())?;
        if self.0.is_seen {
            write!(out, " in {}", packet(self.0.at))
        } else {
            write!(out, " that only its acknowledgment in {} shows", packet(self.0.at))
        }
    }
}

pub(super) fn coded<W: Words>(teardown: &Teardown, side: Side, close: &CloseFrame, crossed: bool) -> W {
    W::say(format_args!(
        "{}",
        Phrase(|why: &mut fmt::Formatter<'_>| write_coded(why, teardown, side, close, crossed))
    ))
}

fn write_coded(
    why: &mut fmt::Formatter<'_>,
    teardown: &Teardown,
    side: Side,
    close: &CloseFrame,
    crossed: bool,
) -> fmt::Result {
    let (side_name, peer) = (side.name(), side.other());
    write!(why, "{side_name} sent {} in {}", close_text(close), packet(close.at))?;
    match &teardown.close[peer] {
        Some(other) if crossed => {
            write!(why, "; it crossed {peer}'s {} in {}", close_text(other), packet(other.at))?;
        }
        Some(other) => {
            write!(why, "; {peer} answered with {} in {}", close_text(other), packet(other.at))?;
        }
        None => write!(why, "; {peer} did not answer")?,
    }
    let answered_at = teardown.close[peer].as_ref().map(|other| other.at);
    match teardown.tcp_end() {
        Some(end) if end.at < close.at && end.by != side => write!(why, "; it crossed {}", end_text(&end))?,
        // In one packet a Close stands first: behind the end nothing could be sent.
        Some(end) if end.by == side && end.at == close.at && answered_at.is_some() => {
            write!(why, "; right behind {side}'s Close came {}", end_text(&end))?;
        }
        Some(end) if answered_at.is_some_and(|at| end.at < at) => {
            write!(why, "; before that came {}", end_text(&end))?;
        }
        Some(end) => write!(why, "; then {}", end_text(&end))?,
        None => write!(why, "; {} had not ended when the capture did", teardown.carrier())?,
    }
    if answered_at.is_some() {
        for side in Side::BOTH.into_iter().filter(|side| !teardown.close_delivered(*side)) {
            write!(why, "; nothing shows that {side}'s Close was received")?;
        }
    }
    Ok(())
}

pub(super) fn abnormal<W: Words>(teardown: &Teardown, end: &TcpEnd, origin: Option<ResetOrigin>) -> W {
    let origin = origin.map(|origin| origin_text(end.by, origin));
    let origin = optional(&origin);
    let late =
        Side::BOTH.into_iter().find_map(|side| teardown.close[side].as_ref().map(|close| (side, close)));
    match late {
        Some((side, close)) => W::say(format_args!(
            "{} without a Close; {side}'s {} in {} only answered it",
            end_text(end),
            close_text(close),
            packet(close.at)
        )),
        None => W::say(format_args!(
            "{}{}{origin}; neither side had sent a Close",
            goodbye_text(teardown, end),
            end_text(end)
        )),
    }
}

/// These words, if there are any.
fn optional(words: &Option<impl Display>) -> impl Display {
    Phrase(move |out: &mut fmt::Formatter<'_>| words.as_ref().map_or(Ok(()), |words| words.fmt(out)))
}

/// What ended TLS before TCP ended.
fn goodbye_text(teardown: &Teardown, end: &TcpEnd) -> impl Display {
    Phrase(|out: &mut fmt::Formatter<'_>| {
        let Some(secrecy) = teardown.tls.as_deref() else { return Ok(()) };
        let Some((side, at)) = secrecy.end().filter(|(_, at)| *at <= end.at) else { return Ok(()) };
        let alert = secrecy.fatal_alert().filter(|(_, alert)| alert.at == at);
        let name = alert.and_then(|(_, alert)| alert.description).unwrap_or(AlertDescription::CLOSE_NOTIFY);
        write!(out, "TLS alert {name} by {side} in {}, ", packet(at))
    })
}

fn origin_text(side: Side, origin: ResetOrigin) -> impl Display {
    Phrase(move |out: &mut fmt::Formatter<'_>| match origin {
        ResetOrigin::Endpoint => Ok(()),
        ResetOrigin::NoSuchConnection => write!(
            out,
            ", which only answers a packet: {side}'s address knew of no such connection, though nothing shows that {side} ended it"
        ),
        ResetOrigin::Foreign(Sign::Hops { reset, usual }) => {
            write!(out, ", but not sent by it: it came {reset} hops, {side}'s other packets {usual}")
        }
        ResetOrigin::Foreign(Sign::Behind) => {
            write!(out, ", but likely not sent by it: it lies before bytes that {side} had already sent")
        }
        ResetOrigin::Foreign(Sign::Form) => {
            out.write_str(", but likely not sent by it: it has no ACK, and yet a window")
        }
        ResetOrigin::Foreign(Sign::TalkedOn) => write!(out, ", but not sent by it: {side} went on sending"),
        ResetOrigin::Foreign(Sign::BothEnds) => {
            out.write_str(", but not sent by it: both ends were reset at once")
        }
    })
}

pub(super) fn timeout<W: Words>(teardown: &Teardown, side: Side, unanswered: &Unanswered) -> W {
    let silent = side.other();
    let since = Phrase(|out: &mut fmt::Formatter<'_>| {
        teardown.last[silent].map_or(Ok(()), |last| write!(out, " after {}", packet(last)))
    });
    W::say(format_args!(
        "nothing came from {silent}{since}, though {side} sent the same bytes {} times from {} to {}; no Close was sent",
        unanswered.sendings,
        packet(unanswered.first),
        packet(unanswered.last)
    ))
}

pub(super) fn refused_by_status<W: Words>(answer: &Answer) -> W {
    match answer.status {
        101 => W::say(format_args!(
            "server answered 101 in {}, but did not switch to websocket",
            packet(answer.at)
        )),
        status => W::say(format_args!(
            "server answered the Upgrade request with status {status} in {}",
            packet(answer.at)
        )),
    }
}

pub(super) fn refused_by_client<W: Words>(teardown: &Teardown, answer: &Answer) -> W {
    let fault = if answer.accept_valid == Some(false) {
        "with a Sec-WebSocket-Accept that does not match the key"
    } else {
        "with a subprotocol or extension that was not offered"
    };
    let end = Phrase(|out: &mut fmt::Formatter<'_>| {
        teardown.tcp_end().map_or(Ok(()), |end| write!(out, "; then {}", end_text(&end)))
    });
    W::say(format_args!(
        "server answered 101 in {} {fault}, and client sent no frame{end}",
        packet(answer.at)
    ))
}

pub(super) fn refused_without_answer<W: Words>(
    teardown: &Teardown,
    end: Option<TcpEnd>,
    timed_out: Option<(Side, Unanswered)>,
) -> W {
    let opening = &teardown.opening;
    let stage = Phrase(|out: &mut fmt::Formatter<'_>| match (opening.request, opening.syn_ack) {
        (None, Some(_)) => write_hello(out, teardown),
        (request, _) => write_stage(out, request),
    });
    match (timed_out, end) {
        (Some((side, unanswered)), _) => W::say(format_args!(
            "{stage}: {side} sent {} {} times up to {} without any answer",
            if opening.is_only_asked() { "its SYN" } else { "the same bytes" },
            unanswered.sendings,
            packet(unanswered.last)
        )),
        (None, Some(end)) => W::say(format_args!("{stage}; {}", end_text(&end))),
        (None, None) => W::say(format_args!("{stage}")),
    }
}

/// How far an opening came that was never answered.
fn write_stage(out: &mut fmt::Formatter<'_>, request: Option<Moment>) -> fmt::Result {
    match request {
        Some(request) => {
            write!(out, "the Upgrade request in {} was never answered whole", packet(request))
        }
        None => out.write_str("TCP was never established"),
    }
}

/// How far one came that sent no whole request, with how the handshake of TLS failed, if it did.
fn write_hello(out: &mut fmt::Formatter<'_>, teardown: &Teardown) -> fmt::Result {
    let Some(secrecy) = teardown.tls.as_deref() else {
        return out.write_str("no complete Upgrade request was sent");
    };
    let alert = secrecy.fatal_alert().and_then(|(side, alert)| Some((side, alert.at, alert.description?)));
    match (alert, secrecy.answered) {
        (Some((side, at, name)), _) => {
            write!(out, "the TLS handshake failed: {side} sent the alert {name} in {}", packet(at))
        }
        (None, true) => out.write_str("no complete Upgrade request was sent in TLS"),
        (None, false) => out.write_str("the TLS handshake was never answered"),
    }
}

pub(super) fn refused_by_icmp<W: Words>(teardown: &Teardown, error: &IcmpError) -> W {
    let stage = Phrase(|out: &mut fmt::Formatter<'_>| write_stage(out, teardown.opening.request));
    W::say(format_args!("{stage}: {} sent an ICMP error about it in {}", error.reporter, packet(error.at)))
}

pub(super) fn gave_up_opening<W: Words>(syns: &Unanswered) -> W {
    W::say(format_args!(
        "TCP was never established: client sent its SYN {} times up to {} without any answer, and then no more, though the \
         capture goes on",
        syns.sendings,
        packet(syns.last)
    ))
}

pub(super) fn blind_syns<W: Words>(syns: &Unanswered, side: Side, lost: &Lost) -> W {
    W::say(format_args!(
        "nothing follows client's SYN in {}, but {}",
        packet(syns.last),
        lost_text(side, lost)
    ))
}

pub(super) fn close_may_precede_fin<W: Words>(teardown: &Teardown, side: Side, close: &CloseFrame) -> W {
    let end = Phrase(|out: &mut fmt::Formatter<'_>| match teardown.tcp_end() {
        Some(end) => write!(out, "{}", end_text(&end)),
        None => write!(out, "FIN by {}", side.other()),
    });
    W::say(format_args!(
        "{side}'s {} in {} was sent again, and the capture lacks its first sending: nothing shows whether that answered {end} \
         or came before it",
        close_text(close),
        packet(close.at)
    ))
}

pub(super) fn blind_opening<W: Words>(end: Option<&TcpEnd>, side: Side, lost: &Lost) -> W {
    let before = Phrase(|out: &mut fmt::Formatter<'_>| match end {
        Some(end) => write!(out, " before {}", end_text(end)),
        None => Ok(()),
    });
    W::say(format_args!("no answer to the Upgrade request was seen{before}, but {}", lost_text(side, lost)))
}

pub(super) fn cut_opening<W: Words>(answer: &Answer) -> W {
    W::say(format_args!(
        "the capture holds only the start of the answer in {}, and no frame after it: nothing shows that the \
         WebSocket was open",
        packet(answer.at)
    ))
}

pub(super) fn waiting<W: Words>(teardown: &Teardown) -> W {
    match teardown.opening.request {
        Some(at) => W::say(format_args!(
            "the Upgrade request in {} was still unanswered when the capture ended",
            packet(at)
        )),
        None => match teardown.opening.syn.filter(|_| teardown.opening.is_only_asked()) {
            Some(syn) => {
                W::say(format_args!("the SYN in {} was still unanswered when the capture ended", packet(syn)))
            }
            None => W::say(format_args!("no Upgrade request had been sent when the capture ended")),
        },
    }
}

pub(super) fn close_may_not_be_the_first<W: Words>(side: Side, close: &CloseFrame, lost: &Lost) -> W {
    let peer = side.other();
    W::say(format_args!(
        "{side} sent {} in {}, but {peer} may have sent one before: {}",
        close_text(close),
        packet(close.at),
        lost_text(peer, lost)
    ))
}

pub(super) fn close_without_its_code<W: Words>(side: Side, close: &CloseFrame) -> W {
    W::say(format_args!(
        "{side} sent a Close that ended in {}, but the capture does not hold its code",
        packet(close.at)
    ))
}

pub(super) fn blind<W: Words>(teardown: &Teardown, side: Side, lost: &Lost) -> W {
    let end = end_or_none(teardown);
    W::say(format_args!("{end} and no Close was seen, but {}", lost_text(side, lost)))
}

/// The end in words, or that there was none.
fn end_or_none(teardown: &Teardown) -> impl Display {
    Phrase(|out: &mut fmt::Formatter<'_>| match teardown.tcp_end() {
        Some(end) => end_text(&end).fmt(out),
        None => write!(out, "no end of {}", teardown.carrier()),
    })
}

pub(super) fn lost_text(side: Side, lost: &Lost) -> impl Display {
    Phrase(move |out: &mut fmt::Formatter<'_>| {
        match lost.blind {
            Blind::Gap => write!(out, "the capture lacks bytes of {side}")?,
            Blind::Encrypted => write!(out, "{side}'s bytes are encrypted")?,
            Blind::Truncated => write!(out, "the snaplen cut bytes of {side}")?,
            Blind::OneSided => write!(out, "no later packet of {side} shows what it had sent")?,
            Blind::StartedLate => write!(out, "the capture began before {side}'s frames could be told")?,
            Blind::Desynchronized => write!(out, "{side}'s frame boundaries were lost")?,
            Blind::Evicted => write!(out, "{side}'s state was dropped to keep within the limits")?,
            Blind::Dropped => out.write_str("the capture dropped packets meanwhile")?,
        }
        lost.at.map_or(Ok(()), |at| write!(out, " (shown by {})", packet(at)))
    })
}

pub(super) fn encrypted<W: Words>(teardown: &Teardown, decryption: Decryption) -> W {
    let end = end_or_none(teardown);
    W::say(format_args!("{end}, but the connection is encrypted: {}", decryption.reason()))
}

/// `is_hidden`: a Close may have passed unseen, though TCP went on.
pub(super) fn open<W: Words>(teardown: &Teardown, is_hidden: bool) -> W {
    let last = Side::BOTH.into_iter().filter_map(|side| teardown.last[side]).max();
    let Some(at) = last else { return W::say(format_args!("")) };
    match is_hidden {
        true => W::say(format_args!(
            "{} had not ended by its last packet, {}; a Close may have passed unseen",
            teardown.carrier(),
            packet(at)
        )),
        false => W::say(format_args!("nothing ended it up to its last packet, {}", packet(at))),
    }
}

pub(super) fn superseded<W: Words>(at: Moment) -> W {
    W::say(format_args!(
        "a new connection took its addresses and ports in {} before any end was seen",
        packet(at)
    ))
}

pub(super) fn evicted<W: Words>() -> W {
    W::say(format_args!("its state was dropped to keep within the limits before an end was certain"))
}
