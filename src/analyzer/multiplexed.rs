//! HTTP/2 between TCP (or TLS) and the WebSockets in its streams.

use super::joining::{Joining, Trial};
use super::translated::Target;
use crate::anomaly::{Anomaly, AnomalySet};
use crate::http::http2::flow_control::Window;
use crate::http::http2::frame::{GoAway, StreamId};
use crate::http::http2::session::{Http2Event, Http2Sink, Session as Http2};
use crate::http::upgrade::{Handshake, Request, Response};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{StreamEvent, Wire};
use crate::time::Timestamp;
use crate::verdict::teardown::StreamEnd;
use crate::websocket::session::Session;
use crate::work;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An HTTP/2 connection, and the WebSockets in it.
#[derive(Clone, Debug)]
pub(super) struct Multiplexed {
    pub http2: Http2,
    pub streams: Streams,
}

/// The WebSockets of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    pub(super) followed: BTreeMap<StreamId, Box<Stream>>,
    /// Those that frames have shown to be no WebSockets, or that were taken: not tried again.
    pub(super) rejected: BTreeSet<StreamId>,
    /// How many are on trial.
    pub(super) trials: usize,
    /// Masks show that the roles were taken for each other.
    pub(super) is_reversed: bool,
    /// Those that have ended, with the time until which their stragglers are waited for.
    ended: VecDeque<(Timestamp, StreamId)>,
    /// Each side's GOAWAY that tells most: in error, else the first.
    pub goaway: PerSide<Option<Left>>,
    /// Was any WebSocket asked for?
    pub any: bool,
    /// Those of which nobody was told yet.
    pub(super) untold: VecDeque<(StreamId, Option<Target>)>,
    /// Values of their heads, in bytes.
    pub(super) values: usize,
    /// It is no HTTP/2.
    pub(super) is_other: bool,
    anomalies: AnomalySet,
}

/// A GOAWAY with its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub at: Moment,
    pub wire: Wire,
    pub goaway: GoAway,
}

/// How far the opening of a WebSocket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Waiting,
    Open,
    Refused,
    /// The answer can't be read.
    Unread,
}

/// How and where a side ended a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub at: Moment,
    pub wire: Wire,
    pub how: StreamEnd,
}

/// One WebSocket in a stream of its own.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub id: StreamId,
    pub handshake: Handshake,
    pub session: Session,
    pub opening: Opening,
    pub opened: Moment,
    pub last: Moment,
    pub last_payload: Option<Moment>,
    /// The last payload before the event that ended it.
    pub idle_since: Option<Moment>,
    pub ends: PerSide<Option<Ended>>,
    /// Is it reset, or have both sides ended it?
    pub is_closed: bool,
    pub windows: Option<PerSide<Window>>,
    /// Hash of the handshake key of its other leg, behind a proxy that speaks HTTP/1.1 there.
    pub key: Option<u64>,
    /// Its first packet with DATA behind its end, of each side.
    pub after_end: PerSide<Option<Moment>>,
    /// Nobody knows what was asked for: frames must show that it is a WebSocket.
    pub trial: Option<Box<Joining>>,
    /// Its beginning was missed.
    pub is_late: bool,
    pub anomalies: AnomalySet,
}

impl Stream {
    fn new(id: StreamId, request: Request, windows: Option<PerSide<Window>>) -> Stream {
        let mut stream = Stream::begin(id, request.at, windows);
        stream.handshake.set_request(request);
        stream.session.rsv1_allowed = true;
        stream
    }

    pub(super) fn begin(id: StreamId, opened: Moment, windows: Option<PerSide<Window>>) -> Stream {
        Stream {
            id,
            handshake: Handshake::default(),
            session: Session::default(),
            opening: Opening::Waiting,
            opened,
            last: opened,
            last_payload: None,
            idle_since: None,
            ends: PerSide::default(),
            is_closed: false,
            windows,
            key: None,
            after_end: PerSide::default(),
            trial: None,
            is_late: false,
            anomalies: AnomalySet::default(),
        }
    }

    fn response(&mut self, response: Option<Response>) {
        if self.opening != Opening::Waiting {
            return; // trailers
        }
        let Some(response) = response else {
            self.opening = Opening::Unread;
            return;
        };
        self.last = response.at;
        self.opening = if response.is_websocket { Opening::Open } else { Opening::Refused };
        self.session.rsv1_allowed = response.extensions.is_some();
        if self.opening == Opening::Open && self.session.sides.client.traffic.frames > 0 {
            self.anomalies.insert(Anomaly::FramesBeforeResponse);
        }
        self.handshake.set_response(response);
        if self.handshake.subprotocol_not_offered() {
            self.anomalies.insert(Anomaly::SubprotocolNotOffered);
        }
        if self.handshake.extension_not_offered() {
            self.anomalies.insert(Anomaly::ExtensionNotOffered);
        }
    }

    /// Takes content of `side`, or a hole in it. An answer other than 2xx has a body, which is no WebSocket's.
    fn content(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) -> Trial {
        if side == Side::Server && self.opening == Opening::Waiting {
            // Content comes behind the answer, which was missed.
            self.opening = Opening::Unread;
        }
        let is_frames = match side {
            Side::Client => self.opening != Opening::Refused,
            Side::Server => matches!(self.opening, Opening::Open | Opening::Unread),
        };
        if !is_frames || self.ends[side].is_some() {
            return Trial::Undecided;
        }
        if let StreamEvent::Data { at, .. } = event {
            (self.last, self.last_payload) = (at, Some(at));
        }
        if self.trial.is_some() {
            return self.tried(side, event, limits);
        }
        self.session.stream(side, event, limits);
        Trial::Undecided
    }

    fn sent(&mut self, side: Side, length: u32, at: Moment) {
        if self.ends[side].is_some() {
            self.anomalies.insert(Anomaly::Http2DataAfterEnd);
            self.after_end.get_mut(side).get_or_insert(at);
        }
        if let Some(windows) = &mut self.windows {
            windows.get_mut(side).sent(length, at);
        }
    }

    fn end(&mut self, side: Side, at: Moment, wire: Wire, how: StreamEnd) {
        if self.ends.client.is_none() && self.ends.server.is_none() {
            self.idle_since = self.last_payload;
        }
        self.last = at;
        self.ends.get_mut(side).get_or_insert(Ended { at, wire, how });
        let is_reset = matches!(how, StreamEnd::RstStream(_));
        self.is_closed |= is_reset || Side::BOTH.into_iter().all(|side| self.ends[side].is_some());
    }
}

impl Streams {
    fn request(&mut self, new: Stream, limits: &Limits) {
        self.any = true;
        let target = new.handshake.request.as_ref().map(Target::of);
        if self.followed.contains_key(&new.id) {
            self.identify(new, target, limits);
            return;
        }
        if self.followed.len() >= limits.http2_websockets.max(1) {
            self.anomalies.insert(Anomaly::Http2WebsocketLimit);
            return;
        }
        self.untold.push_back((new.id, target));
        self.values = self.values.saturating_add(new.handshake.memory());
        self.followed.insert(new.id, Box::new(new));
    }

    fn end(&mut self, side: Side, id: StreamId, (at, wire, how): (Moment, Wire, StreamEnd), limits: &Limits) {
        let Some(stream) = self.followed.get_mut(&id) else { return };
        let was_closed = stream.is_closed;
        stream.end(side, at, wire, how);
        if stream.is_closed && !was_closed {
            self.ended.push_back((at.at.saturating_add(limits.linger), id));
        }
    }

    fn goaway(&mut self, side: Side, left: Left) {
        let known = self.goaway.get_mut(side);
        let tells_more = known.is_none_or(|known| known.goaway.error.0 == 0 && left.goaway.error.0 != 0);
        if tells_more {
            *known = Some(left);
        }
    }

    fn lost(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) {
        work::steps(self.followed.len());
        // Also to those that the other side has reset meanwhile: a direction with a hole is read later.
        for stream in self.followed.values_mut() {
            if side == Side::Server && stream.opening == Opening::Waiting {
                stream.opening = Opening::Unread;
            }
            stream.windows = None;
            // No hole decides a trial.
            let _ = stream.content(side, event, limits);
        }
    }

    fn response(&mut self, id: StreamId, response: Option<Response>) {
        let Some(stream) = self.followed.get_mut(&id) else { return };
        let before = stream.handshake.memory();
        stream.response(response);
        self.values = (self.values + stream.handshake.memory()).saturating_sub(before);
        let is_asked_for = stream.handshake.request.is_some();
        if stream.trial.is_some() && is_asked_for && stream.opening == Opening::Refused {
            self.reject(id);
        }
    }

    fn content(&mut self, side: Side, id: StreamId, event: StreamEvent<'_>, limits: &Limits) {
        let Some(stream) = self.followed.get_mut(&id) else { return };
        let outcome = stream.content(side, event, limits);
        self.settle(id, outcome);
    }

    fn allows(&mut self, side: Side, stream: Option<StreamId>, by: i64, at: Moment) {
        let all = stream.is_none();
        let of = |(id, followed): (&StreamId, &mut Box<Stream>)| {
            if let Some(windows) = followed.windows.as_mut().filter(|_| all || Some(*id) == stream) {
                windows.get_mut(side).change(by, at);
            }
        };
        match stream {
            Some(id) => self.followed.range_mut(id..=id).for_each(of),
            None => {
                work::steps(self.followed.len());
                self.followed.iter_mut().for_each(of);
            }
        }
    }

    /// Did masks show that the roles are the other way round? True once.
    pub(super) fn take_reversed(&mut self) -> bool {
        std::mem::take(&mut self.is_reversed)
    }

    /// The next one that was asked for.
    pub(super) fn take_opening(&mut self) -> Option<(StreamId, Option<Target>)> {
        self.untold.pop_front()
    }

    /// When its request was.
    pub(super) fn began(&self, id: StreamId) -> Option<Moment> {
        self.followed.get(&id).map(|stream| stream.opened)
    }

    /// Is the request on this stream still waiting for its answer, and of no known leg?
    pub(super) fn awaits_answer(&self, id: StreamId) -> bool {
        let waits = |stream: &Stream| stream.opening == Opening::Waiting && stream.key.is_none();
        self.followed.get(&id).is_some_and(|stream| waits(stream))
    }

    /// The other leg of a stream has this handshake key.
    pub(super) fn set_key(&mut self, id: StreamId, key: u64) {
        if let Some(stream) = self.followed.get_mut(&id) {
            stream.key = Some(key);
        }
    }

    /// Takes those that have ended and whose stragglers have had their time by `now`.
    pub(super) fn take_ended(&mut self, now: Timestamp) -> Vec<Stream> {
        let mut taken = Vec::new();
        while self.has_ended_by(now)
            && let Some((_, id)) = self.ended.pop_front()
        {
            taken.extend(self.take(id).filter(|stream| stream.trial.is_none()));
        }
        taken
    }

    /// Takes all that are left, the first to open first.
    pub(super) fn take_all(&mut self) -> Vec<Stream> {
        self.ended.clear();
        (self.values, self.trials) = (0, 0);
        let all = std::mem::take(&mut self.followed).into_values().map(|stream| *stream);
        all.filter(|stream| stream.trial.is_none()).collect()
    }

    pub(super) fn take(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.followed.remove(&id)?;
        self.values = self.values.saturating_sub(stream.handshake.memory());
        self.trials = self.trials.saturating_sub(usize::from(stream.trial.is_some()));
        if stream.is_late {
            self.rejected.insert(id);
        }
        Some(*stream)
    }

    /// Has one of them ended, so that its stragglers are waited for until `now`?
    pub(super) fn has_ended_by(&self, now: Timestamp) -> bool {
        self.ended.front().is_some_and(|(until, _)| *until <= now)
    }
}

/// Takes what HTTP/2 yields.
struct Sink<'a> {
    streams: &'a mut Streams,
    limits: &'a Limits,
}

impl Http2Sink for Sink<'_> {
    fn is_followed(&self, stream: StreamId) -> bool {
        self.streams.followed.contains_key(&stream)
    }

    fn http2(&mut self, side: Side, event: Http2Event<'_>) {
        let Sink { streams, limits } = self;
        match event {
            Http2Event::Request { stream, request, windows, is_sure, is_late } => {
                let mut new = Stream::new(stream, request, windows);
                if is_late {
                    new.lose_answer();
                }
                if is_sure { streams.request(new, limits) } else { streams.unread_request(new, limits) }
            }
            Http2Event::OtherRequest { stream } => {
                streams.take(stream);
            }
            Http2Event::Early { stream, at } => streams.early(stream, at, limits),
            Http2Event::Unannounced { stream, at } => streams.unannounced(stream, at, limits),
            Http2Event::Response { stream, response } => streams.response(stream, response),
            Http2Event::Content { stream, event } => streams.content(side, stream, event, limits),
            Http2Event::Sent { stream, length, at } => {
                if let Some(stream) = streams.followed.get_mut(&stream) {
                    stream.sent(side, length, at);
                }
            }
            Http2Event::End { stream, at, wire, reset } => {
                let how = reset.map_or(StreamEnd::EndStream, StreamEnd::RstStream);
                streams.end(side, stream, (at, wire, how), limits);
            }
            Http2Event::GoAway { at, wire, goaway } => streams.goaway(side, Left { at, wire, goaway }),
            Http2Event::Allows { stream, by, at } => streams.allows(side.other(), stream, by, at),
            Http2Event::Lost(gap) => streams.lost(side, StreamEvent::Gap(gap), limits),
            Http2Event::RolesReversed => streams.is_reversed = true,
            Http2Event::NotHttp2 => streams.is_other = true,
        }
    }
}

impl Multiplexed {
    pub(super) fn new(http2: Http2) -> Multiplexed {
        Multiplexed { http2, streams: Streams::default() }
    }

    pub(super) fn stream(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) {
        let mut sink = Sink { streams: &mut self.streams, limits };
        self.http2.stream(side, event, limits, &mut sink);
    }

    /// Memory it takes besides itself, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.http2.held_bytes() + self.streams.memory()
    }

    /// Oddities of the connection itself.
    pub(super) fn anomalies(&self) -> AnomalySet {
        let mut all = self.http2.anomalies;
        all.extend(self.streams.anomalies);
        all
    }
}
