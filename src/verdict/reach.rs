//! Did a Close reach an application that still listened? Proved from the packets, strongest proof first.

use super::reset_origin::{ResetOrigin, reset_origin};
use super::teardown::Teardown;
use super::vantage::VantageEstimate;
use super::verdict::{Phrase, packet};
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::reset::Reset;
use crate::websocket::close::CloseFrame;
use std::fmt::{self, Display, Formatter};

/// How far a Close came on its way to the receiver's application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The receiver answered it with a Close.
    Answered(Moment),
    /// The receiver acknowledged it, and ended TCP in order afterwards.
    AcknowledgedThenFin(Moment),
    /// The receiver's TCP acknowledged it.
    Acknowledged,
    /// It came after the receiver's own FIN, and the receiver's TCP took it: the socket was still open for reading.
    ReadAfterOwnFin,
    /// It was captured at the receiver.
    Arrived,
    /// The receiver's TCP had it, but the receiver aborted: perhaps before reading it.
    Unread,
    /// It came after the receiver had left: its TCP answered with a reset for a socket that no longer existed.
    SocketGone,
    /// The receiver reset the connection before it had received it.
    AbortedBefore,
    /// It was sent again and again without an answer.
    Undelivered(Moment),
    /// Nothing after it proves anything.
    OnlySent,
}

/// How far `close`, sent by the other side, came on its way to `side`.
#[must_use]
pub(super) fn reach(teardown: &Teardown, side: Side, close: &CloseFrame, vantage: &VantageEstimate) -> Reach {
    let peer = side.other();
    let end = close.wire.end;
    let acked = teardown.acked[peer] >= end;
    let left_before = left_before(teardown, side, close);
    if left_before && let Some(reset) = own_reset(teardown, side) {
        // A socket open for reading does not answer with a reset: it acknowledges, and may abort later.
        return match reset.at > close.at {
            true if acked && reset.acked.is_some() => Reach::Unread,
            true => Reach::SocketGone,
            false => Reach::AbortedBefore,
        };
    }
    if teardown.close_answered(peer)
        && let Some(answer) = &teardown.close[side]
    {
        return Reach::Answered(answer.at);
    }
    if left_before && acked {
        return Reach::ReadAfterOwnFin;
    }
    if let Some(fin) = teardown.fin[side]
        && fin.peer_acked.is_some_and(|received| received >= end)
    {
        return Reach::AcknowledgedThenFin(fin.at);
    }
    if acked {
        return Reach::Acknowledged;
    }
    if let Some(reset) = own_reset(teardown, side) {
        return match reset.acked {
            Some(received) if received >= end => Reach::Unread,
            Some(_) => Reach::AbortedBefore,
            None if reset.at > close.at => Reach::SocketGone,
            None => Reach::AbortedBefore,
        };
    }
    if let Some((sender, unanswered)) = teardown.timed_out()
        && sender == peer
    {
        return Reach::Undelivered(unanswered.last);
    }
    if vantage.vantage.is_at(side) && !left_before { Reach::Arrived } else { Reach::OnlySent }
}

/// `side`'s reset, unless something else sent it.
pub(super) fn own_reset(teardown: &Teardown, side: Side) -> Option<Reset> {
    match reset_origin(teardown, side)? {
        ResetOrigin::Endpoint | ResetOrigin::NoSuchConnection => teardown.reset[side],
        ResetOrigin::Foreign(_) => None,
    }
}

/// Had `side` closed TCP before it had received `close`?
fn left_before(teardown: &Teardown, side: Side, close: &CloseFrame) -> bool {
    teardown.fin[side].is_some_and(|fin| fin.peer_acked.is_some_and(|received| received < close.wire.end))
}

impl Reach {
    /// A clause on it.
    pub(super) fn text(self, teardown: &Teardown, side: Side) -> impl Display {
        let abort = Phrase(move |out: &mut Formatter<'_>| write_abort(out, teardown, side));
        Phrase(move |out: &mut Formatter<'_>| match self {
            Reach::Answered(at) => write!(out, "{side} answered it in {}", packet(at)),
            Reach::AcknowledgedThenFin(at) => match teardown.stream_end(side, at) {
                Some(frame) => write!(out, "{side} had received it when it sent {frame} in {}", packet(at)),
                None => write!(out, "{side} had received it when it closed TCP in {}", packet(at)),
            },
            Reach::Acknowledged => write!(out, "{side}'s TCP acknowledged it"),
            Reach::ReadAfterOwnFin => write_read_after_own_end(out, teardown, side),
            Reach::Arrived => {
                write!(out, "it was captured at {side}, before anything ended the connection there")
            }
            Reach::Unread => write!(out, "{side} aborted {abort}, perhaps before it had read it"),
            Reach::SocketGone => write_socket_gone(out, teardown, side),
            Reach::AbortedBefore => write!(out, "{side} aborted {abort} before it had received it"),
            Reach::Undelivered(at) => write!(out, "{side} did not answer up to {}", packet(at)),
            Reach::OnlySent => write!(out, "no packet of {side} shows that it arrived"),
        })
    }
}

/// An end that has sent END_STREAM may still receive, as one that has sent a FIN may (RFC 9113 §5.1, RFC 8441 §5).
fn write_read_after_own_end(out: &mut Formatter<'_>, teardown: &Teardown, side: Side) -> fmt::Result {
    match teardown.fin[side].and_then(|fin| teardown.stream_end(side, fin.at)) {
        Some(frame) => write!(out, "it came after {side}'s {frame}, but {side}'s TCP still took it"),
        None => write!(out, "it came after {side}'s FIN, but {side}'s socket still took it"),
    }
}

/// `the connection in packet 12`, `the stream by RST_STREAM (CANCEL) in packet 12`.
fn write_abort(out: &mut Formatter<'_>, teardown: &Teardown, side: Side) -> fmt::Result {
    let Some(reset) = own_reset(teardown, side) else { return out.write_str("the connection") };
    match teardown.stream_end(side, reset.at) {
        Some(frame) => write!(out, "the stream by {frame} in {}", packet(reset.at)),
        None => write!(out, "the connection in {}", packet(reset.at)),
    }
}

/// A reset that answers the Close.
fn write_socket_gone(out: &mut Formatter<'_>, teardown: &Teardown, side: Side) -> fmt::Result {
    let Some(reset) = own_reset(teardown, side) else { return write!(out, "{side} had left") };
    match teardown.stream_end(side, reset.at) {
        Some(frame) => {
            write!(out, "{side} had left: {frame} in {} says that its stream was gone", packet(reset.at))
        }
        None => {
            write!(out, "{side} had left: a reset in {} says that its socket was gone", packet(reset.at))
        }
    }
}
