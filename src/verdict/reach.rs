//! Did a Close reach an application that still listened? Proved from the packets, strongest proof first.

use super::reset_origin::{ResetOrigin, reset_origin};
use super::teardown::Teardown;
use super::vantage::VantageEstimate;
use super::verdict::packet;
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::reset::Reset;
use crate::websocket::close::CloseFrame;

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
        // A socket open for reading does not answer with a reset.
        return if reset.at > close.at { Reach::SocketGone } else { Reach::AbortedBefore };
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
    pub(super) fn text(self, teardown: &Teardown, side: Side) -> String {
        let reset =
            own_reset(teardown, side).map_or_else(String::new, |reset| format!(" in {}", packet(reset.at)));
        match self {
            Reach::Answered(at) => format!("{side} answered it in {}", packet(at)),
            Reach::AcknowledgedThenFin(at) => {
                format!("{side} had received it when it closed TCP in {}", packet(at))
            }
            Reach::Acknowledged => format!("{side}'s TCP acknowledged it"),
            Reach::ReadAfterOwnFin => {
                format!("it came after {side}'s FIN, but {side}'s socket still took it")
            }
            Reach::Arrived => {
                format!("it was captured at {side}, before anything ended the connection there")
            }
            Reach::Unread => {
                format!("{side} aborted the connection{reset}, perhaps before it had read it")
            }
            Reach::SocketGone => format!("{side} had left: a reset{reset} says that its socket was gone"),
            Reach::AbortedBefore => {
                format!("{side} aborted the connection{reset} before it had received it")
            }
            Reach::Undelivered(at) => format!("{side} did not answer up to {}", packet(at)),
            Reach::OnlySent => format!("no packet of {side} shows that it arrived"),
        }
    }
}
