//! From one HTTP/2 connection to its WebSockets: each is judged as a connection of its own, with TCP's evidence shared.

use super::conversation::Conversation;
use super::multiplexed::{Ended, Left, Multiplexed, Opening, Stream};
use super::upper::{Phase, Upper};
use crate::anomaly::{Anomaly, AnomalySet};
use crate::http::http2::error_code::ErrorCode;
use crate::http::http2::frame::StreamId;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::half::{Fin, UsualTtl};
use crate::tcp::reset::{Reset, ResetValidity};
use crate::time::Timestamp;
use crate::tls::facts::Facts;
use crate::verdict::teardown::{Observed, Secrecy, StreamEnd, StreamFacts, Teardown};
use crate::websocket::session::Session;

/// What one stream has that its TCP connection has not.
#[derive(Clone, Debug)]
pub(super) struct StreamPart {
    pub session: Session,
    pub tls: Option<Box<Facts>>,
    /// Oddities of TLS and HTTP/2 that touch all its streams.
    pub shared_anomalies: AnomalySet,
    facts: StreamFacts,
    ends: PerSide<Option<Ended>>,
    is_closed: bool,
    is_open: bool,
    is_unread: bool,
}

/// Which streams are taken from their connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// Those that have ended, once their stragglers have had their time.
    Ended(Timestamp),
    /// All: the connection is over.
    All,
}

impl Conversation {
    /// Is it HTTP/2 with WebSockets in it, which are listed in its place?
    pub(super) fn is_multiplexed(&self) -> bool {
        self.upper.http2().is_some_and(|multiplexed| multiplexed.streams.any)
    }

    /// Is the request on `stream` still waiting for its answer, and of no known leg? `None`: that over HTTP/1.1.
    pub(super) fn awaits_answer(&self, stream: Option<StreamId>) -> bool {
        match stream {
            Some(stream) => self.upper.http2().is_some_and(|it| it.streams.awaits_answer(stream)),
            None => self.upper.awaits_answer(),
        }
    }

    /// The other leg of `stream` has this handshake key.
    pub(super) fn set_stream_key(&mut self, stream: StreamId, key: u64) {
        if let Some(multiplexed) = self.upper.http2_mut() {
            multiplexed.streams.set_key(stream, key);
        }
    }

    /// Is it a stream that was over before its connection ended?
    pub(super) fn is_closed_stream(&self) -> bool {
        matches!(&self.upper.phase, Phase::Stream(part) if part.is_closed)
    }

    /// Has a stream of it ended, with its stragglers waited for?
    pub(super) fn has_ended_streams(&self, now: Timestamp) -> bool {
        let has_ended = |multiplexed: &Multiplexed| multiplexed.streams.has_ended_by(now);
        self.upper.http2().is_some_and(has_ended) && self.tcp.held_segments() == 0
    }

    /// Takes streams from it, each as a conversation of its own.
    pub(super) fn take_streams(&mut self, which: Which) -> Vec<Conversation> {
        let Some(multiplexed) = self.upper.http2_mut() else { return Vec::new() };
        let streams = match which {
            Which::Ended(now) => multiplexed.streams.take_ended(now),
            Which::All => multiplexed.streams.take_all(),
        };
        streams.into_iter().map(|stream| self.split(stream)).collect()
    }

    fn split(&self, stream: Stream) -> Conversation {
        let mut tcp = self.tcp.clone();
        tcp.opened = stream.opened;
        tcp.last = if stream.is_closed { stream.last } else { tcp.last };
        tcp.last_payload = stream.last_payload;
        tcp.payload_before = stream.idle_since.or(stream.last_payload);
        let mut upper = Upper::new(true, true);
        (upper.is_websocket, upper.server_told) = (true, true);
        upper.anomalies = stream.anomalies;
        let blocked = self.blocked(&stream);
        let is_over = stream.is_closed || self.has_ended();
        if is_over && Side::BOTH.into_iter().any(|side| blocked[side].is_some()) {
            upper.anomalies.insert(Anomaly::Http2WindowExhausted);
        }
        upper.joined = stream.is_late;
        *upper.handshake = stream.handshake.clone();
        let key = stream.key;
        upper.phase = Phase::Stream(Box::new(self.part(stream, blocked)));
        self.part_of(tcp, upper, key)
    }

    /// Since when each side, which has sent no Close, could send nothing more on `stream`.
    fn blocked(&self, stream: &Stream) -> PerSide<Option<Moment>> {
        let Some(http2) = self.upper.http2() else { return PerSide::default() };
        let Some((own, all)) = stream.windows.zip(http2.http2.windows()) else { return PerSide::default() };
        PerSide::from_fn(|side| {
            let has_ended = stream.ends[side].is_some_and(|end| end.how == StreamEnd::EndStream);
            let has_closed = stream.session.sides[side].close.is_some();
            let since = own[side].exhausted.or(all[side].exhausted);
            since.filter(|_| !has_ended && !has_closed)
        })
    }

    fn part(&self, stream: Stream, blocked: PerSide<Option<Moment>>) -> StreamPart {
        let mut shared_anomalies = self.upper.tls().map_or_else(AnomalySet::default, |tls| tls.anomalies);
        let goaway = self.upper.http2().map_or_else(PerSide::default, |http2| http2.streams.goaway);
        if let Some(http2) = self.upper.http2() {
            shared_anomalies.extend(http2.anomalies());
        }
        let ends = ends(&stream, goaway);
        let facts = StreamFacts {
            id: stream.id,
            tcp_opened: self.tcp.opened,
            ends: ends.map(|end| end.map(|end| (end.at, end.how))),
            goaway: goaway.map(|left| left.map(|left| (left.at, left.goaway.error))),
            blocked,
            after_end: stream.after_end,
        };
        StreamPart {
            tls: self.upper.tls_facts().map(|facts| Box::new(facts.clone())),
            shared_anomalies,
            facts,
            ends,
            is_closed: stream.is_closed,
            is_open: stream.opening == Opening::Open,
            is_unread: stream.opening == Opening::Unread,
            session: stream.session,
        }
    }
}

/// How each side ended the stream: by a frame on it, or by a GOAWAY that covers it and after which it sent nothing more
/// on it. In error that covers every stream, else those of the peer that its sender has not taken up (RFC 9113 §6.8).
fn ends(stream: &Stream, goaway: PerSide<Option<Left>>) -> PerSide<Option<Ended>> {
    PerSide::from_fn(|side| {
        let covers = |left: &Left| {
            let direction = &stream.session.sides[side];
            let close_at = direction.close.as_ref().map(|close| close.at);
            // The server's answer goes on with the stream as its frames do.
            let answer = stream.handshake.response.as_ref().map(|answer| answer.at);
            let answered_at = answer.filter(|_| side == Side::Server);
            let is_latest =
                [direction.last_data, close_at, answered_at].into_iter().flatten().all(|at| at <= left.at);
            let is_beyond = side == Side::Server && stream.id > left.goaway.last_stream;
            is_latest && (left.goaway.error != ErrorCode::NO_ERROR || is_beyond)
        };
        let by_goaway = goaway[side].filter(covers).map(|left| Ended {
            at: left.at,
            wire: left.wire,
            how: StreamEnd::GoAway(left.goaway.error),
        });
        // What ends the stream behind it only follows from it.
        let first_end = Side::BOTH.into_iter().filter_map(|side| stream.ends[side].map(|end| end.at)).min();
        let is_first = |end: &Ended| first_end.is_none_or(|first| end.at < first);
        stream.ends[side].or(by_goaway.filter(|end| !stream.is_closed || is_first(end)))
    })
}

impl StreamPart {
    /// What ended before TCP did puts itself in the place of TCP's end: END_STREAM stands for a FIN, RST_STREAM for a
    /// reset (RFC 8441 §5).
    pub(super) fn lay_over(&self, teardown: &mut Teardown) {
        if let Some(answer) = &mut teardown.opening.response {
            answer.is_switch = self.is_open;
        }
        teardown.opening.answer_unread = self.is_unread;
        teardown.stream = Some(Box::new(self.facts));
        if self.is_closed {
            self.forget_tcp(teardown);
        }
        let first_reset = Side::BOTH
            .into_iter()
            .filter_map(|side| {
                self.ends[side].filter(|end| is_abrupt(end, teardown)).map(|end| (end.at, side))
            })
            .min();
        for side in Side::BOTH {
            let Some(end) = self.ends[side] else { continue };
            if !is_abrupt(&end, teardown) {
                let offset = end.wire.end.saturating_sub(1);
                *teardown.fin.get_mut(side) =
                    Some(Fin { at: end.at, offset, peer_acked: end.wire.peer_acked });
                *teardown.unseen_fin.get_mut(side) = None;
                *teardown.byte_or_fin.get_mut(side) = None;
            } else if first_reset == Some((end.at, side)) {
                // Of two that cross only the first ended anything.
                *teardown.reset.get_mut(side) = Some(reset(&end));
            }
        }
    }

    /// The stream was over: what became of TCP afterwards says nothing of it.
    fn forget_tcp(&self, teardown: &mut Teardown) {
        teardown.fin = PerSide::default();
        teardown.unseen_fin = PerSide::default();
        teardown.byte_or_fin = PerSide::default();
        teardown.reset = PerSide::default();
        teardown.unanswered = PerSide::default();
        teardown.observed = Observed::Whole;
        teardown.icmp.retain(|error| self.ends.client.is_none_or(|end| error.at <= end.at));
        if let Some(secrecy) = &mut teardown.tls {
            **secrecy = Secrecy { close_notify: PerSide::default(), alert: PerSide::default(), ..**secrecy };
        }
    }
}

/// Does it cut anything short? RST_STREAM behind both Closes does not.
fn is_abrupt(end: &Ended, teardown: &Teardown) -> bool {
    let has_closed = |side| teardown.close[side].as_ref().is_some_and(|close| close.at <= end.at);
    matches!(end.how, StreamEnd::RstStream(_)) && !Side::BOTH.into_iter().all(has_closed)
}

/// RST_STREAM in the terms of TCP: in order, by its sender itself, acknowledging what that had received.
fn reset(end: &Ended) -> Reset {
    Reset {
        peer_talked_on: false,
        at: end.at,
        validity: ResetValidity::Exact,
        offset: i64::try_from(end.wire.end).ok(),
        acked: Some(end.wire.peer_acked.unwrap_or(0)),
        window: 0,
        ttl: 0,
        ip_id: None,
        sent: end.wire.end,
        provoked: true,
        peer_sent: u64::MAX,
        usual_ttl: UsualTtl::Unseen,
        talked_on: false,
    }
}
