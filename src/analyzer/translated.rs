//! A proxy that takes a WebSocket over one version of HTTP and passes it on over the other: its legs share no handshake
//! key, since HTTP/2 has none. Known by time, path and host: the request behind the proxy comes while exactly one like
//! it, before the proxy and over the other version, is waiting for its answer.

use super::conversation::Opened;
use super::pairing::Asked;
use super::settling::Event;
use super::tracker::Tracker;
use crate::decode::segment::Endpoint;
use crate::flow::table::FlowId;
use crate::http::http2::frame::StreamId;
use crate::http::upgrade::Request;
use crate::moment::Moment;
use crate::websocket::vitals::fnv1a;
use crate::work;
use std::collections::VecDeque;

/// Requests over each version that are remembered while they wait; they do so for a round trip or two.
const WAITING_MAX: usize = 256;

/// What a request asks for, as a proxy passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    path: u64,
    host: Option<u64>,
    /// A proxy says that it passed it on: it may have changed the host.
    was_forwarded: bool,
}

impl Target {
    pub(super) fn of(request: &Request) -> Target {
        Target {
            path: fnv1a(request.path()),
            host: request.host().map(fnv1a),
            was_forwarded: request.was_forwarded,
        }
    }

    /// May `behind` be this request, passed on?
    fn is_passed_on_as(&self, behind: &Target) -> bool {
        self.path == behind.path
            && (behind.was_forwarded || (self.host.is_some() && self.host == behind.host))
    }
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Front {
    id: FlowId,
    /// Number of its TCP connection.
    serial: u64,
    request: Option<Moment>,
    /// `None`: it came over HTTP/1.1.
    stream: Option<StreamId>,
    /// Hash of its handshake key, over HTTP/1.1.
    key: Option<u64>,
    target: Target,
    server: Endpoint,
}

/// Requests whose answers are awaited, and that may have another leg behind a proxy.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    http1: VecDeque<Front>,
    http2: VecDeque<Front>,
}

impl Tracker {
    /// A WebSocket was asked for in conversation `id`.
    pub(super) fn note_opening(&mut self, id: FlowId, opened: Opened) {
        self.events.push_back(Event::Opened(Box::new(opened)));
        let Opened { serial, request, server, key, stream, target: Some(target), .. } = opened else {
            return;
        };
        if stream.is_none() && key.is_none() {
            return;
        }
        let leg = Front { id, serial, request, stream, key, target, server };
        if self.link(&leg) {
            return; // What is behind a proxy may be before another one; that is not followed.
        }
        let waiting = if stream.is_some() { &mut self.waiting.http2 } else { &mut self.waiting.http1 };
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(leg);
    }

    /// Is `back` the other leg of a request that waits, over the other version? True: it is now known to be.
    fn link(&mut self, back: &Front) -> bool {
        let waiting = if back.stream.is_some() { &mut self.waiting.http1 } else { &mut self.waiting.http2 };
        work::steps(waiting.len());
        let table = &self.table;
        waiting.retain(|front| table.awake(front.id).is_some_and(|it| it.awaits_answer(front.stream)));
        // A proxy that stands before a server is another one.
        let fits = |front: &&Front| front.target.is_passed_on_as(&back.target) && front.server != back.server;
        let mut fitting = waiting.iter().filter(fits);
        let (Some(front), None) = (fitting.next().copied(), fitting.next()) else { return false };
        let in_http2 = if front.stream.is_some() { &front } else { back };
        let (Some(key), Some(stream)) = (front.key.or(back.key), in_http2.stream) else { return false };
        if let Some(conversation) = self.table.get_mut(in_http2.id) {
            conversation.set_stream_key(stream, key);
            let (serial, request) = (in_http2.serial, in_http2.request.unwrap_or_default());
            self.events.push_back(Event::Linked(key, Asked { serial, request, response: None }));
        }
        true
    }
}
