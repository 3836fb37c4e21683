//! Two legs of one WebSocket through a proxy, both in the capture: who began the end, and what the proxy made of it.
//!
//! ```text
//!  client ---- front ---- proxy ---- back ---- server
//! ```

use super::teardown::Teardown;
use super::verdict::{ClosedBy, Kind, Verdict};
use crate::decode::segment::Endpoint;
use crate::moment::Moment;
use crate::seq::SeqNum;
use crate::side::{PerSide, Side};
use crate::websocket::close_code::CloseCode;
use crate::websocket::session::Traffic;

/// A request reaches the server behind the proxy within this time, in seconds.
const FORWARDED_WITHIN: f64 = 10.0;

/// One leg, as judged by itself.
#[derive(Clone, Copy, Debug)]
pub struct Leg<'a> {
    /// The evidence.
    pub teardown: &'a Teardown,
    /// The verdict on it.
    pub verdict: &'a Verdict,
    /// Sequence numbers of its SYNs.
    pub initial_seq: PerSide<Option<SeqNum>>,
    /// What each side sent.
    pub traffic: PerSide<Traffic>,
}

/// When a leg's handshake was, and when TCP ended, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The request.
    pub request: Moment,
    /// The answer.
    pub response: Option<Moment>,
    /// TCP's end.
    pub end: Option<Moment>,
}

impl Span {
    /// That of one whose request was seen.
    #[must_use]
    pub fn of(teardown: &Teardown) -> Option<Span> {
        let opening = &teardown.opening;
        let response = opening.response.map(|answer| answer.at);
        Some(Span { request: opening.request?, response, end: teardown.tcp_end().map(|end| end.at) })
    }

    /// May a proxy have sent the request `inner` because it was sent this one?
    ///
    /// It asks before it answers, and while its client is there.
    #[must_use]
    pub fn may_enclose(&self, inner: &Span) -> bool {
        let delay = inner.request.at.seconds_since(self.request.at);
        let answered_inside = inner.response.zip(self.response).is_none_or(|(inner, outer)| inner <= outer);
        let asked_in_time = self.response.into_iter().chain(self.end).all(|outer| inner.request <= outer);
        answered_inside && asked_in_time && (0.0..=FORWARDED_WITHIN).contains(&delay)
    }
}

/// Messages that one leg may have more than the other: those on their way when it ended.
const IN_FLIGHT: u64 = 8;

/// What the proxy made of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// The end of one leg was passed on to the other as it was.
    Relayed,
    /// The proxy ended both legs; neither end had begun to.
    ProxyEnded,
    /// This side sent a Close, and the proxy dropped TCP of the other leg without passing it on.
    CloseSwallowed(Side),
    /// This side dropped TCP, and the proxy made a Close with this code of it.
    CloseInvented(Side, Option<CloseCode>),
    /// This side's Close reached the other leg with another code.
    CodeChanged(Side, Option<CloseCode>),
}

/// What the other leg tells about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherLeg {
    /// Is it the one behind the proxy?
    pub is_back: bool,
    /// What the proxy made of the end.
    pub story: Story,
    /// Where the proxy accepts connections.
    pub proxy: Endpoint,
    /// The event that began the other leg's end.
    pub end: Moment,
}

/// Are `front` and `back`, which carry the same handshake key, two legs?
///
/// The handshake behind the proxy lies inside the one before it, and both carry the same frames. One TCP connection seen
/// before and behind a NAT is not two: its numbering is the same.
#[must_use]
pub fn are_legs(front: &Leg<'_>, back: &Leg<'_>) -> bool {
    let known = Side::BOTH.into_iter().all(|side| front.initial_seq[side].is_some());
    let same_tcp = known && front.initial_seq == back.initial_seq;
    let (Some(outer), Some(inner)) = (Span::of(front.teardown), Span::of(back.teardown)) else {
        return false;
    };
    let same_frames = Side::BOTH
        .into_iter()
        .all(|side| front.traffic[side].messages.abs_diff(back.traffic[side].messages) <= IN_FLIGHT);
    !same_tcp && outer.may_enclose(&inner) && same_frames
}

/// The event that began a leg's end: who, with which Close, when.
type End = (Side, Option<Option<CloseCode>>, Moment);

fn end(leg: &Leg<'_>) -> Option<End> {
    let side = match leg.verdict.closed_by? {
        ClosedBy::Client => Side::Client,
        ClosedBy::Server => Side::Server,
        ClosedBy::Both | ClosedBy::Network | ClosedBy::Proxy | ClosedBy::Unknown => return None,
    };
    match leg.verdict.kind {
        Kind::Coded(code) => leg.teardown.close[side].as_ref().map(|close| (side, Some(code), close.at)),
        Kind::Abnormal(_) => leg.teardown.tcp_end().map(|end| (side, None, end.at)),
        Kind::Refused | Kind::Open | Kind::Unknown(_) => None,
    }
}

/// Follows the end from leg to leg; gives the story with the moments of the front's and the back's end. `None`: the
/// packets do not tell.
#[must_use]
pub fn follow(front: &Leg<'_>, back: &Leg<'_>) -> Option<(Story, Moment, Moment)> {
    let (front_end, back_end) = (end(front)?, end(back)?);
    let (front_by, front_close, front_at) = front_end;
    let (back_by, back_close, back_at) = back_end;
    let story = match (front_by, back_by) {
        (Side::Server, Side::Client) => Story::ProxyEnded,
        (Side::Client, Side::Client) => passed_on(Side::Client, front_close, back_close),
        (Side::Server, Side::Server) => passed_on(Side::Server, back_close, front_close),
        // Both ends left, each for itself.
        (Side::Client, Side::Server) => return None,
    };
    Some((story, front_at, back_at))
}

fn passed_on(side: Side, sent: Option<Option<CloseCode>>, arrived: Option<Option<CloseCode>>) -> Story {
    match (sent, arrived) {
        (Some(_), None) => Story::CloseSwallowed(side),
        (None, Some(code)) => Story::CloseInvented(side, code),
        (Some(sent), Some(code)) if sent != code => Story::CodeChanged(side, code),
        (Some(_), Some(_)) | (None, None) => Story::Relayed,
    }
}
