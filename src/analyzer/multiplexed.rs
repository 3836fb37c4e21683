//! HTTP/2 between TCP (or TLS) and the WebSockets in its streams.

use super::Options;
use super::upper::{Phase, Upper};
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
use std::collections::{BTreeMap, VecDeque};

/// An HTTP/2 connection, and the WebSockets in it.
#[derive(Clone, Debug)]
pub(super) struct Multiplexed {
    pub http2: Http2,
    pub streams: Streams,
}

/// The WebSockets of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    followed: BTreeMap<StreamId, Box<Stream>>,
    /// Those that have ended, with the time until which their stragglers are waited for.
    ended: VecDeque<(Timestamp, StreamId)>,
    /// Each side's GOAWAY that tells most: in error, else the first.
    pub goaway: PerSide<Option<Left>>,
    /// Was any WebSocket asked for?
    pub any: bool,
    /// Values of their heads, in bytes.
    values: usize,
    is_other: bool,
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
    pub anomalies: AnomalySet,
}

impl Stream {
    fn new(id: StreamId, request: Request, windows: Option<PerSide<Window>>) -> Stream {
        let opened = request.at;
        let mut handshake = Handshake::default();
        handshake.set_request(request);
        let mut session = Session::default();
        session.rsv1_allowed = true;
        Stream {
            id,
            handshake,
            session,
            opening: Opening::Waiting,
            opened,
            last: opened,
            last_payload: None,
            idle_since: None,
            ends: PerSide::default(),
            is_closed: false,
            windows,
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
    fn content(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) {
        let is_frames = match side {
            Side::Client => self.opening != Opening::Refused,
            Side::Server => matches!(self.opening, Opening::Open | Opening::Unread),
        };
        if !is_frames || self.ends[side].is_some() {
            return;
        }
        if let StreamEvent::Data { at, .. } = event {
            (self.last, self.last_payload) = (at, Some(at));
        }
        self.session.stream(side, event, limits);
    }

    fn sent(&mut self, side: Side, length: u32, at: Moment) {
        if self.ends[side].is_some() {
            self.anomalies.insert(Anomaly::Http2DataAfterEnd);
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
    fn request(
        &mut self,
        stream: StreamId,
        request: Request,
        windows: Option<PerSide<Window>>,
        limits: &Limits,
    ) {
        self.any = true;
        if self.followed.len() >= limits.http2_websockets.max(1) {
            self.anomalies.insert(Anomaly::Http2WebsocketLimit);
            return;
        }
        let new = Box::new(Stream::new(stream, request, windows));
        self.values = self.values.saturating_add(new.handshake.memory());
        self.followed.insert(stream, new);
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
        // Also to those that the other side has reset meanwhile: a direction with a hole is read later.
        for stream in self.followed.values_mut() {
            if side == Side::Server && stream.opening == Opening::Waiting {
                stream.opening = Opening::Unread;
            }
            stream.windows = None;
            stream.content(side, event, limits);
        }
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
            None => self.followed.iter_mut().for_each(of),
        }
    }

    /// Takes those that have ended and whose stragglers have had their time by `now`.
    pub(super) fn take_ended(&mut self, now: Timestamp) -> Vec<Box<Stream>> {
        let mut taken = Vec::new();
        while let Some((until, id)) = self.ended.front().copied().filter(|(until, _)| *until <= now) {
            let _ = until;
            self.ended.pop_front();
            taken.extend(self.take(id));
        }
        taken
    }

    /// Takes all that are left, the first to open first.
    pub(super) fn take_all(&mut self) -> Vec<Box<Stream>> {
        self.ended.clear();
        self.values = 0;
        std::mem::take(&mut self.followed).into_values().collect()
    }

    fn take(&mut self, id: StreamId) -> Option<Box<Stream>> {
        let stream = self.followed.remove(&id)?;
        self.values = self.values.saturating_sub(stream.handshake.memory());
        Some(stream)
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
            Http2Event::Request { stream, request, windows } => {
                streams.request(stream, request, windows, limits)
            }
            Http2Event::Response { stream, response } => {
                if let Some(stream) = streams.followed.get_mut(&stream) {
                    let before = stream.handshake.memory();
                    stream.response(response);
                    streams.values = (streams.values + stream.handshake.memory()).saturating_sub(before);
                }
            }
            Http2Event::Content { stream, event } => {
                if let Some(stream) = streams.followed.get_mut(&stream) {
                    stream.content(side, event, limits);
                }
            }
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
            Http2Event::NotHttp2 => streams.is_other = true,
        }
    }
}

impl Multiplexed {
    /// Of the client's preface, `seen` bytes have passed.
    fn new(seen: usize, limits: &Limits) -> Multiplexed {
        Multiplexed { http2: Http2::new(seen, limits), streams: Streams::default() }
    }

    fn stream(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) {
        let mut sink = Sink { streams: &mut self.streams, limits };
        self.http2.stream(side, event, limits, &mut sink);
    }

    /// Memory it takes besides itself, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.http2.held_bytes() + self.streams.values + self.streams.followed.len() * size_of::<Stream>()
    }

    /// Oddities of the connection itself.
    pub(super) fn anomalies(&self) -> AnomalySet {
        let mut all = self.http2.anomalies;
        all.extend(self.streams.anomalies);
        all
    }
}

impl Upper {
    /// HTTP/2 has begun: `seen` bytes of the client's preface have passed.
    pub(super) fn begin_http2(&mut self, seen: usize, options: &Options) {
        self.phase = Phase::Http2(Box::new(Multiplexed::new(seen, &options.limits)));
    }

    /// Does the server speak first, in HTTP/2? Then that has begun.
    pub(super) fn begins_http2(&mut self, side: Side, bytes: &[u8], options: &Options) -> bool {
        let Phase::Http(http) = &self.phase else { return false };
        let begins = side == Side::Server && http.may_switch() && may_be_settings(bytes);
        if begins {
            let seen = http.preface_held();
            self.begin_http2(seen, options);
        }
        begins
    }

    /// Takes what `side` sent through HTTP/2.
    pub(super) fn multiplexed(&mut self, side: Side, event: StreamEvent<'_>, options: &Options) {
        let Phase::Http2(multiplexed) = &mut self.phase else { return };
        multiplexed.stream(side, event, &options.limits);
        self.is_websocket |= multiplexed.streams.any;
        if multiplexed.streams.is_other {
            self.phase = Phase::Ignored;
        }
    }

    /// The HTTP/2 connection, if there is one.
    pub(super) fn http2(&self) -> Option<&Multiplexed> {
        match &self.phase {
            Phase::Http2(multiplexed) => Some(multiplexed),
            Phase::Tls(secured) => match &secured.inner {
                Phase::Http2(multiplexed) => Some(multiplexed),
                _ => None,
            },
            _ => None,
        }
    }

    /// The HTTP/2 connection, to take streams from it.
    pub(super) fn http2_mut(&mut self) -> Option<&mut Multiplexed> {
        match &mut self.phase {
            Phase::Http2(multiplexed) => Some(multiplexed),
            Phase::Tls(secured) => match &mut secured.inner {
                Phase::Http2(multiplexed) => Some(multiplexed),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Could `bytes`, a server's first, be the SETTINGS that it begins with (RFC 9113 §3.4), as far as they go?
fn may_be_settings(bytes: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    let fits = |(place, byte): (usize, &u8)| match place {
        0 | 4..=8 => *byte == 0,
        3 => *byte == SETTINGS,
        _ => true,
    };
    !bytes.is_empty() && bytes.iter().take(9).enumerate().all(fits)
}
