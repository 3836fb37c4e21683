//! What is remembered of each connection for the findings over all of them.

use super::ends::Ends;
use super::facts::{End, Facts, How};
use super::finding::{Diagnosis, Id};
use super::services;
use super::words::seconds_of;
use crate::decode::segment::Endpoint;
use crate::http::http2::error_code::ErrorCode;
use crate::moment::Moment;
use crate::pack::{Pack, Packer, Unpacker, pack_fields, pack_values};
use crate::side::Side;
use crate::time::Timestamp;
use crate::verdict::legs::{OtherLeg, Story};
use crate::verdict::teardown::{StreamEnd, TcpEnd};
use crate::verdict::verdict::{Cause, ClosedBy, Kind};
use crate::websocket::close_code::CloseCode;
use crate::websocket::vitals::{fnv1a, fnv1a_on};
use std::num::NonZeroU32;

/// One connection in the survey: what is needed to see it beside others.
///
/// ```text
///  Trace, 64 bytes; packed (`Traces`) until the end
///  0        16      24     40       48     56      60    64
///  | opened | until | ends | target | end  | query | id  |
///  +--------+-------+--|---+--------+--|---+-------+-----+
///                      |               +-> Ending 48, of those that have ended, or never opened
///                      |                     +-> Unusual 104, of the few that have any of it
///                      +-> 40, where they are not of IPv4
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// First packet.
    pub opened: Moment,
    /// When the event came that began its end, or its last packet.
    pub until: Timestamp,
    ends: Ends,
    /// Hash of host and path without its query; 0 where the request was not seen.
    pub target: u64,
    end: Option<Box<Ending>>,
    /// Hash of the query.
    pub query: u32,
    id: Option<NonZeroU32>,
}

/// How a connection ended, if it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Time without a frame of either side before the end, in nanoseconds; negative: not known.
    idle: i64,
    longest_silence: i64,
    lifetime: i64,
    unusual: Option<Box<Unusual>>,
    /// The packet at [`Trace::until`], and its file.
    packet: u32,
    file: u16,
    /// How the end began; `None`: it timed out, failed to open, or did not end.
    pub how: Option<How>,
    /// Whose event that was.
    pub by: Option<Side>,
    /// Who ended it.
    pub closed_by: Option<ClosedBy>,
    /// Did it open?
    pub is_established: bool,
    /// Has it ended, as far as is known?
    pub has_ended: bool,
    /// Its end was told to come from a timer, by its own packets.
    pub is_idle_limit: bool,
}

impl Ending {
    /// It opened, and goes on.
    const NONE: Ending = Ending {
        idle: -1,
        longest_silence: 0,
        lifetime: 0,
        unusual: None,
        packet: 0,
        file: 0,
        how: None,
        by: None,
        closed_by: None,
        is_established: true,
        has_ended: false,
        is_idle_limit: false,
    };

    fn is_any(&self) -> bool {
        self.has_ended || !self.is_established || self.how.is_some() || self.unusual.is_some()
    }
}

/// What few connections have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Unusual {
    dead: Option<Dead>,
    goaway: Option<ErrorCode>,
    other_leg: Option<OtherLeg>,
    /// Its Close says that the client must not come back as it is.
    is_final: bool,
    /// The reset that ended it only answered a segment: who sent it knew no such connection.
    was_unknown: bool,
    /// It lay in HTTP/2, and ended with the TCP connection that it shared.
    ended_with_connection: bool,
}

// The moments go ahead of it: `Traces`.
pack_fields!(Trace { ends, target, end, query, id } without { opened, until });
pack_fields!(Ending {
    idle,
    longest_silence,
    lifetime,
    unusual,
    how,
    by,
    closed_by,
    is_established,
    has_ended,
    is_idle_limit,
} without { packet, file });

/// That there is any: what it is stands apart.
impl Pack for Unusual {
    fn pack(&self, _: &mut Packer) {}

    fn unpack(_: &mut Unpacker<'_>) -> Self {
        Unusual::default()
    }
}

impl Pack for How {
    fn pack(&self, into: &mut Packer) {
        let (kind, code) = match self {
            How::Close(code) => (0, *code),
            How::Fin => (1, None),
            How::Rst => (2, None),
        };
        into.put_bits(kind, 2);
        code.map(|code| code.0).pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let kind = from.bits(2);
        let code = Option::unpack(from).map(CloseCode);
        match kind {
            0 => How::Close(code),
            1 => How::Fin,
            _ => How::Rst,
        }
    }
}

pack_values!(
    ClosedBy: 3 bits,
    ClosedBy::Client,
    ClosedBy::Server,
    ClosedBy::Both,
    ClosedBy::Network,
    ClosedBy::Proxy,
    ClosedBy::Unknown
);

/// How a connection fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead {
    /// The side of which nothing came any more.
    pub silent: Side,
    /// The last that was heard of it.
    pub heard: Moment,
    /// The first sending to it that was not answered.
    pub first: Moment,
}

impl Dead {
    fn of(facts: &Facts<'_>, cause: Option<Id>) -> Option<Self> {
        let (side, unanswered) = facts.teardown.timed_out()?;
        let silent = side.other();
        let is_cause = matches!(cause, Some(Id::TcpTimeout | Id::PingUnanswered | Id::IcmpError));
        let heard = facts.teardown.last[silent].filter(|_| is_cause)?;
        Some(Dead { silent, heard, first: unanswered.first.max(heard) })
    }

    /// Does this moment lie between the last sign of life and the first vain sending?
    #[must_use]
    pub fn spans(&self, moment: Moment) -> bool {
        (self.heard..=self.first).contains(&moment)
    }
}

/// Did a stream of HTTP/2 end by what ended its TCP connection, and by no frame of its own?
fn ended_with_connection(facts: &Facts<'_>) -> bool {
    let of_connection =
        |end: TcpEnd| !matches!(end.frame, Some(StreamEnd::EndStream | StreamEnd::RstStream(_)));
    facts.teardown.stream.is_some()
        && facts.abnormal().is_some()
        && facts.teardown.tcp_end().is_none_or(of_connection)
}

impl Trace {
    /// What is remembered of a connection.
    #[must_use]
    pub fn of(id: Option<u64>, facts: &Facts<'_>, diagnoses: &[Diagnosis]) -> Self {
        let is_idle_limit = diagnoses.iter().any(|one| matches!(one.id, Id::IdleLimit | Id::PingTooSlow));
        let cause = diagnoses.first().map(|one| one.id);
        let began = facts.end();
        let ended = facts.end_or_last();
        let kind = facts.verdict.kind;
        let timed_out = kind == Kind::Abnormal(Cause::Timeout);
        let end = began.filter(|_| !timed_out);
        let code = match end.map(|end| end.how) {
            Some(How::Close(code)) => code,
            _ => None,
        };
        let meaning = code.and_then(|code| services::meaning(code, facts.subprotocol, facts.host));
        let (target, query) = target(facts);
        let unusual = Unusual {
            dead: Dead::of(facts, cause),
            goaway: facts.teardown.tcp_end().and_then(|end| match end.frame? {
                StreamEnd::GoAway(error) => Some(error),
                StreamEnd::EndStream | StreamEnd::RstStream(_) => None,
            }),
            other_leg: facts.other_leg,
            is_final: meaning.is_some_and(|meaning| !meaning.may_reconnect),
            was_unknown: was_unknown(facts, began),
            ended_with_connection: ended_with_connection(facts),
        };
        let end = Ending {
            is_established: kind != Kind::Refused,
            has_ended: !matches!(kind, Kind::Open | Kind::Unknown(_)),
            how: end.map(|end| end.how),
            by: end.map(|end| end.by),
            closed_by: facts.verdict.closed_by,
            idle: facts.silence().map_or(-1, |silence| ended.at.nanos_since(silence.since.at)),
            longest_silence: facts.vitals.longest_silence,
            lifetime: ended.at.nanos_since(facts.established().at),
            is_idle_limit,
            unusual: (unusual != Unusual::default()).then(|| Box::new(unusual)),
            packet: ended.packet,
            file: ended.file,
        };
        Trace {
            id: id.and_then(|id| NonZeroU32::new(u32::try_from(id).ok()?)),
            ends: Ends::new(facts.client, facts.server),
            target,
            query,
            opened: facts.opened,
            until: ended.at,
            end: end.is_any().then(|| Box::new(end)),
        }
    }

    /// Who opened it.
    #[must_use]
    pub fn client(&self) -> Endpoint {
        self.ends.client()
    }

    /// Who accepted it.
    #[must_use]
    pub fn server(&self) -> Endpoint {
        self.ends.server()
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn end(&self) -> &Ending {
        const NONE: &Ending = &Ending::NONE;
        self.end.as_deref().unwrap_or(NONE)
    }

    /// The event that began its end. Of one that goes on only the time is known.
    #[must_use]
    pub fn ended(&self) -> Moment {
        let end = self.end();
        Moment::new(self.until, end.packet, end.file)
    }

    /// The same for packing: near to its beginning where there is no packet.
    pub(super) fn packed_end(&self) -> Moment {
        match &self.end {
            Some(_) => self.ended(),
            None => Moment::new(self.until, self.opened.packet, self.opened.file),
        }
    }

    /// Puts back what goes ahead when it is packed.
    pub(super) fn set_moments(&mut self, opened: Moment, ended: Moment) {
        (self.opened, self.until) = (opened, ended.at);
        if let Some(end) = &mut self.end {
            (end.packet, end.file) = (ended.packet, ended.file);
        }
    }

    /// Its number in the report, where it is listed.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.id.map(|id| u64::from(id.get()))
    }

    /// Seconds without a frame of either side before the end, where that is known.
    #[must_use]
    pub fn idle(&self) -> Option<f64> {
        let idle = self.end().idle;
        (idle >= 0).then(|| seconds_of(idle))
    }

    /// The longest such time in its life before, in seconds.
    #[must_use]
    pub fn longest_silence(&self) -> f64 {
        seconds_of(self.end().longest_silence)
    }

    /// Seconds from the handshake to the end.
    #[must_use]
    pub fn lifetime(&self) -> f64 {
        seconds_of(self.end().lifetime)
    }

    /// What few connections have, if it does.
    pub(super) fn unusual(&self) -> Option<&Unusual> {
        self.end().unusual.as_deref()
    }

    /// Puts back what is not packed, if it had any.
    pub(super) fn set_unusual(&mut self, unusual: impl FnOnce() -> Option<Unusual>) {
        if let Some(place) = self.end.as_mut().and_then(|end| end.unusual.as_mut()) {
            **place = unusual().unwrap_or_default();
        }
    }

    /// It fell silent, as far as its packets tell for no other reason.
    #[must_use]
    pub fn dead(&self) -> Option<Dead> {
        self.unusual()?.dead
    }

    /// The error code of the GOAWAY that ended it with its HTTP/2 connection, though TCP may have lived on.
    #[must_use]
    pub fn goaway(&self) -> Option<ErrorCode> {
        self.unusual()?.goaway
    }

    /// Its other leg, where a proxy's two are in the capture.
    #[must_use]
    pub fn other_leg(&self) -> Option<OtherLeg> {
        self.unusual()?.other_leg
    }

    /// Its Close says that the client must not come back as it is.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.unusual().is_some_and(|unusual| unusual.is_final)
    }

    /// The reset that ended it only answered a segment: who sent it knew no such connection.
    #[must_use]
    pub fn was_unknown(&self) -> bool {
        self.unusual().is_some_and(|unusual| unusual.was_unknown)
    }

    /// It lay in HTTP/2, and ended with the TCP connection that it shared.
    #[must_use]
    pub fn ended_with_connection(&self) -> bool {
        self.unusual().is_some_and(|unusual| unusual.ended_with_connection)
    }

    /// Did it end without a Close, by FIN or reset?
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        matches!(self.end().how, Some(How::Fin | How::Rst))
    }

    /// The proxy that ended it, where both its legs are in the capture.
    #[must_use]
    pub fn proxy(&self) -> Option<Endpoint> {
        self.other_leg().filter(|leg| leg.story == Story::ProxyEnded).map(|leg| leg.proxy)
    }

    /// Was it closed by a Close?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.end().how, Some(How::Close(_)))
    }

    /// Did the client lose it, so that it may want to come back: dropped, timed out or refused, or closed by the other
    /// side with a code that does not mean the end of a session?
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let end = self.end();
        let lasting_loss = match end.how {
            Some(How::Close(code)) => {
                self.is_final() || code.is_some_and(|code| matches!(code.0, 1001 | 1011..=1014))
            }
            Some(How::Fin | How::Rst) | None => true,
        };
        end.has_ended && lasting_loss && !(end.is_established && self.client_left())
    }

    /// Did the client end it of its own will?
    #[must_use]
    pub fn client_left(&self) -> bool {
        self.end().closed_by == Some(ClosedBy::Client)
    }
}

/// Did a reset end it that only answers a segment, of an end that had not ended it before?
fn was_unknown(facts: &Facts<'_>, end: Option<End>) -> bool {
    let Some(end) = end.filter(|end| end.how == How::Rst) else { return false };
    let is_bare = facts.teardown.reset[end.by].is_some_and(|reset| reset.acked.is_none());
    is_bare && facts.teardown.fin[end.by].is_none()
}

/// Hashes of host and path, and of the query.
fn target(facts: &Facts<'_>) -> (u64, u32) {
    let (Some(host), Some(path)) = (facts.host, facts.path) else { return (0, 0) };
    let path_len = memchr::memchr(b'?', path).unwrap_or(path.len());
    let (path, query) = path.split_at_checked(path_len).unwrap_or((path, b""));
    let target = [b" ", path].into_iter().fold(fnv1a(host), fnv1a_on);
    // It is compared among connections of one target alone: half of it tells them apart.
    let [a, b, c, d, ..] = fnv1a_on(target, query).to_le_bytes();
    (target, u32::from_le_bytes([a, b, c, d]))
}

#[cfg(test)]
impl Trace {
    /// One that somebody ended by FIN, or whose peer fell silent, with its other leg at a proxy if it has one.
    pub(super) fn lost(
        id: u32,
        ends: (Endpoint, Endpoint),
        span: (Moment, Moment),
        dead: Option<Dead>,
        other_leg: Option<OtherLeg>,
    ) -> Self {
        let (opened, ended) = span;
        let unusual = Unusual { dead, other_leg, ..Unusual::default() };
        let ending = Ending {
            idle: 0,
            lifetime: ended.at.nanos_since(opened.at),
            unusual: (unusual != Unusual::default()).then(|| Box::new(unusual)),
            packet: ended.packet,
            how: dead.is_none().then_some(How::Fin),
            by: dead.is_none().then_some(Side::Server),
            closed_by: Some(ClosedBy::Server),
            has_ended: true,
            ..Ending::NONE
        };
        Trace {
            opened,
            until: ended.at,
            end: Some(Box::new(ending)),
            ends: Ends::new(ends.0, ends.1),
            target: 7,
            query: 0,
            id: NonZeroU32::new(id),
        }
    }

    /// The `index`th of a row of traces that differ in all that is kept of them.
    pub(super) fn at(index: u32, opened: Moment, ended: Moment, heard: Option<Moment>) -> Self {
        let [.., low] = index.to_be_bytes();
        let port = 10_000 + u16::from(low);
        let end = |address: std::net::IpAddr| Endpoint { address, port };
        let v6 = std::net::Ipv6Addr::from(u128::from(index) << 70 | 1);
        let server = end(if low & 64 == 0 { v6.into() } else { std::net::Ipv4Addr::LOCALHOST.into() });
        let side = if low & 1 == 0 { Side::Client } else { Side::Server };
        let dead = heard.map(|heard| Dead { silent: side, heard, first: ended });
        let how = [
            None,
            Some(How::Fin),
            Some(How::Rst),
            Some(How::Close(None)),
            Some(How::Close(Some(CloseCode(4_000)))),
        ];
        let unusual = Unusual {
            dead,
            is_final: low & 8 != 0,
            was_unknown: low & 16 != 0,
            ended_with_connection: low & 32 != 0,
            ..Unusual::default()
        };
        let ending = Ending {
            idle: i64::from(index) * 1_001 - 5,
            longest_silence: i64::from(index) * 1_000,
            lifetime: i64::from(index) << 33,
            unusual: (unusual != Unusual::default()).then(|| Box::new(unusual)),
            packet: ended.packet,
            file: ended.file,
            how: how.get(index as usize % how.len()).copied().flatten(),
            by: (low & 3 != 0).then_some(side),
            closed_by: [None, Some(ClosedBy::Both), Some(ClosedBy::Unknown)]
                .get(index as usize % 3)
                .copied()
                .flatten(),
            is_established: low & 1 != 0,
            has_ended: low & 2 != 0,
            is_idle_limit: low & 4 != 0,
        };
        Trace {
            opened,
            until: ended.at,
            end: (!index.is_multiple_of(7)).then(|| Box::new(ending)),
            ends: Ends::new(end(std::net::Ipv4Addr::from(index).into()), server),
            target: u64::from(index) << 40 | 3,
            query: index.wrapping_mul(77_777),
            id: NonZeroU32::new(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_takes_no_more_memory_than_its_layout_says() {
        assert_eq!((size_of::<Trace>(), size_of::<Ending>(), size_of::<Unusual>()), (64, 48, 104));
    }
}
