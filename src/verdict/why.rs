//! The reasons of a verdict, in one sentence each, with packet numbers.

use super::reset_origin::{ResetOrigin, Sign};
use super::teardown::{Answer, Blind, Lost, TcpEnd, TcpEndKind, Teardown};
use super::verdict::{SENTENCE, packet, sentence};
use crate::decode::segment::IcmpError;
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::liveness::Unanswered;
use crate::tls::facts::{AlertDescription, Decryption};
use crate::websocket::close::{CloseBody, CloseFrame};
use std::fmt::{self, Write as _};

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

pub(super) fn coded(teardown: &Teardown, side: Side, close: &CloseFrame, crossed: bool) -> String {
    let mut why = String::with_capacity(SENTENCE);
    // Writing to a string can't fail.
    let _ = write_coded(&mut why, teardown, side, close, crossed);
    why
}

fn write_coded(
    why: &mut String,
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

pub(super) fn abnormal(teardown: &Teardown, end: &TcpEnd, origin: Option<ResetOrigin>) -> String {
    let origin = origin.map_or_else(String::new, |origin| origin_text(end.by, origin));
    let late =
        Side::BOTH.into_iter().find_map(|side| teardown.close[side].as_ref().map(|close| (side, close)));
    match late {
        Some((side, close)) => sentence(format_args!(
            "{} without a Close; {side}'s {} in {} only answered it",
            end_text(end),
            close_text(close),
            packet(close.at)
        )),
        None => sentence(format_args!(
            "{}{}{origin}; neither side had sent a Close",
            goodbye_text(teardown, end),
            end_text(end)
        )),
    }
}

/// What ended TLS before TCP ended.
fn goodbye_text(teardown: &Teardown, end: &TcpEnd) -> String {
    let Some(secrecy) = teardown.tls.as_deref() else { return String::new() };
    match secrecy.end() {
        Some((side, at)) if at <= end.at => {
            let alert = secrecy.fatal_alert().filter(|(_, alert)| alert.at == at);
            let name =
                alert.and_then(|(_, alert)| alert.description).unwrap_or(AlertDescription::CLOSE_NOTIFY);
            sentence(format_args!("TLS alert {name} by {side} in {}, ", packet(at)))
        }
        _ => String::new(),
    }
}

fn origin_text(side: Side, origin: ResetOrigin) -> String {
    match origin {
        ResetOrigin::Endpoint => String::new(),
        ResetOrigin::NoSuchConnection => sentence(format_args!(
            ", which only answers a packet: {side}'s address knew of no such connection, though nothing shows that {side} ended it"
        )),
        ResetOrigin::Foreign(Sign::Hops { reset, usual }) => sentence(format_args!(
            ", but not sent by it: it came {reset} hops, {side}'s other packets {usual}"
        )),
        ResetOrigin::Foreign(Sign::Behind) => sentence(format_args!(
            ", but likely not sent by it: it lies before bytes that {side} had already sent"
        )),
        ResetOrigin::Foreign(Sign::Form) => {
            ", but likely not sent by it: it has no ACK, and yet a window".to_owned()
        }
        ResetOrigin::Foreign(Sign::TalkedOn) => {
            sentence(format_args!(", but not sent by it: {side} went on sending"))
        }
        ResetOrigin::Foreign(Sign::BothEnds) => {
            ", but not sent by it: both ends were reset at once".to_owned()
        }
    }
}

pub(super) fn timeout(teardown: &Teardown, side: Side, unanswered: &Unanswered) -> String {
    let silent = side.other();
    let since = teardown.last[silent]
        .map_or_else(String::new, |last| sentence(format_args!(" after {}", packet(last))));
    sentence(format_args!(
        "nothing came from {silent}{since}, though {side} sent the same bytes {} times from {} to {}; no Close was sent",
        unanswered.sendings,
        packet(unanswered.first),
        packet(unanswered.last)
    ))
}

pub(super) fn refused_by_status(answer: &Answer) -> String {
    match answer.status {
        101 => sentence(format_args!(
            "server answered 101 in {}, but switched to something else than websocket",
            packet(answer.at)
        )),
        status => sentence(format_args!(
            "server answered the Upgrade request with status {status} in {}",
            packet(answer.at)
        )),
    }
}

pub(super) fn refused_by_client(teardown: &Teardown, answer: &Answer) -> String {
    let fault = if answer.accept_valid == Some(false) {
        "with a Sec-WebSocket-Accept that does not match the key"
    } else {
        "with a subprotocol or extension that was not offered"
    };
    let end = teardown
        .tcp_end()
        .map_or_else(String::new, |end| sentence(format_args!("; then {}", end_text(&end))));
    sentence(format_args!(
        "server answered 101 in {} {fault}, and client sent no frame{end}",
        packet(answer.at)
    ))
}

pub(super) fn refused_without_answer(
    teardown: &Teardown,
    end: Option<TcpEnd>,
    timed_out: Option<(Side, Unanswered)>,
) -> String {
    let opening = &teardown.opening;
    let stage = match (opening.request, opening.syn_ack) {
        (Some(request), _) => {
            sentence(format_args!("the Upgrade request in {} was never answered whole", packet(request)))
        }
        (None, Some(_)) => {
            hello_text(teardown).unwrap_or_else(|| "no complete Upgrade request was sent".to_owned())
        }
        (None, None) => "TCP was never established".to_owned(),
    };
    match (timed_out, end) {
        (Some((side, unanswered)), _) => sentence(format_args!(
            "{stage}: {side} sent {} {} times up to {} without any answer",
            if opening.is_only_asked() { "its SYN" } else { "the same bytes" },
            unanswered.sendings,
            packet(unanswered.last)
        )),
        (None, Some(end)) => sentence(format_args!("{stage}; {}", end_text(&end))),
        (None, None) => stage,
    }
}

/// How the handshake of TLS failed, if it did.
fn hello_text(teardown: &Teardown) -> Option<String> {
    let secrecy = teardown.tls.as_deref()?;
    let stage = if secrecy.answered {
        "no complete Upgrade request was sent in TLS"
    } else {
        "the TLS handshake was never answered"
    };
    let alert = secrecy.fatal_alert().and_then(|(side, alert)| Some((side, alert.at, alert.description?)));
    Some(match alert {
        Some((side, at, name)) => {
            sentence(format_args!("the TLS handshake failed: {side} sent the alert {name} in {}", packet(at)))
        }
        None => stage.to_owned(),
    })
}

pub(super) fn refused_by_icmp(teardown: &Teardown, error: &IcmpError) -> String {
    let stage = match teardown.opening.request {
        Some(request) => {
            sentence(format_args!("the Upgrade request in {} was never answered whole", packet(request)))
        }
        None => "TCP was never established".to_owned(),
    };
    sentence(format_args!("{stage}: {} sent an ICMP error about it in {}", error.reporter, packet(error.at)))
}

pub(super) fn blind_opening(end: &TcpEnd, side: Side, lost: &Lost) -> String {
    sentence(format_args!(
        "no answer to the Upgrade request was seen before {}, but {}",
        end_text(end),
        lost_text(side, lost)
    ))
}

pub(super) fn cut_opening(answer: &Answer) -> String {
    sentence(format_args!(
        "the capture holds only the start of the answer in {}, and no frame after it: nothing shows that the \
         WebSocket was open",
        packet(answer.at)
    ))
}

pub(super) fn waiting(teardown: &Teardown) -> String {
    match teardown.opening.request {
        Some(at) => sentence(format_args!(
            "the Upgrade request in {} was still unanswered when the capture ended",
            packet(at)
        )),
        None => "no Upgrade request had been sent when the capture ended".to_owned(),
    }
}

pub(super) fn close_may_not_be_the_first(side: Side, close: &CloseFrame, lost: &Lost) -> String {
    let peer = side.other();
    sentence(format_args!(
        "{side} sent {} in {}, but {peer} may have sent one before: {}",
        close_text(close),
        packet(close.at),
        lost_text(peer, lost)
    ))
}

pub(super) fn close_without_its_code(side: Side, close: &CloseFrame) -> String {
    sentence(format_args!(
        "{side} sent a Close that ended in {}, but the capture does not hold its code",
        packet(close.at)
    ))
}

pub(super) fn blind(teardown: &Teardown, side: Side, lost: &Lost) -> String {
    let end = end_or_none(teardown);
    sentence(format_args!("{end} and no Close was seen, but {}", lost_text(side, lost)))
}

/// The end in words, or that there was none.
fn end_or_none(teardown: &Teardown) -> String {
    let none = || sentence(format_args!("no end of {}", teardown.carrier()));
    teardown.tcp_end().map_or_else(none, |end| end_text(&end).to_string())
}

pub(super) fn lost_text(side: Side, lost: &Lost) -> String {
    let at = lost.at.map_or_else(String::new, |at| sentence(format_args!(" (shown by {})", packet(at))));
    match lost.blind {
        Blind::Gap => sentence(format_args!("the capture lacks bytes of {side}{at}")),
        Blind::Encrypted => sentence(format_args!("{side}'s bytes are encrypted{at}")),
        Blind::Truncated => sentence(format_args!("the snaplen cut bytes of {side}{at}")),
        Blind::OneSided => sentence(format_args!("no later packet of {side} shows what it had sent{at}")),
        Blind::StartedLate => {
            sentence(format_args!("the capture began before {side}'s frames could be told{at}"))
        }
        Blind::Desynchronized => sentence(format_args!("{side}'s frame boundaries were lost{at}")),
        Blind::Evicted => sentence(format_args!("{side}'s state was dropped to keep within the limits{at}")),
        Blind::Dropped => sentence(format_args!("the capture dropped packets meanwhile{at}")),
    }
}

pub(super) fn encrypted(teardown: &Teardown, decryption: Decryption) -> String {
    let end = end_or_none(teardown);
    sentence(format_args!("{end}, but the connection is encrypted: {}", decryption.reason()))
}

/// `is_hidden`: a Close may have passed unseen, though TCP went on.
pub(super) fn open(teardown: &Teardown, is_hidden: bool) -> String {
    let last = Side::BOTH.into_iter().filter_map(|side| teardown.last[side]).max();
    last.map_or_else(String::new, |at| match is_hidden {
        true => sentence(format_args!(
            "{} had not ended by its last packet, {}; a Close may have passed unseen",
            teardown.carrier(),
            packet(at)
        )),
        false => sentence(format_args!("nothing ended it up to its last packet, {}", packet(at))),
    })
}

pub(super) fn superseded(at: Moment) -> String {
    sentence(format_args!(
        "a new connection took its addresses and ports in {} before any end was seen",
        packet(at)
    ))
}

pub(super) fn evicted() -> String {
    "its state was dropped to keep within the limits before any end was seen".to_owned()
}
