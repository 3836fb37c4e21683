//! A proxy that takes a WebSocket over HTTP/2 and passes it on over HTTP/1.1: its legs share no handshake key, since HTTP/2
//! has none. Known by time, path and host: the request behind the proxy comes while exactly one like it, before the proxy,
//! is waiting for its answer.

use super::conversation::Opened;
use super::settling::Event;
use super::tracker::Tracker;
use crate::flow::table::FlowId;
use crate::http::http2::frame::StreamId;
use crate::http::upgrade::Request;
use crate::websocket::vitals::fnv1a;
use crate::work;
use std::collections::VecDeque;

/// Requests over HTTP/2 that are remembered while they wait; they do so for a round trip or two.
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

/// Requests over HTTP/2 whose answers are awaited.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<(FlowId, StreamId, Target)>);

impl Tracker {
    /// A WebSocket was asked for in conversation `id`.
    pub(super) fn note_opening(&mut self, id: FlowId, opened: Opened) {
        self.events.push_back(Event::Opened(opened));
        match (opened.stream, opened.key, opened.target) {
            (Some(stream), _, Some(target)) => {
                if self.waiting.0.len() >= WAITING_MAX {
                    self.waiting.0.pop_front();
                }
                self.waiting.0.push_back((id, stream, target));
            }
            (None, Some(key), Some(target)) if !self.waiting.0.is_empty() => self.link(key, &target),
            _ => {}
        }
    }

    /// A request over HTTP/1.1 with this key: is it the other leg of one that waits?
    fn link(&mut self, key: u64, target: &Target) {
        work::steps(self.waiting.0.len());
        let table = &self.table;
        self.waiting.0.retain(|(id, stream, _)| {
            table.get(*id).is_some_and(|conversation| conversation.awaits_answer(*stream))
        });
        let mut fitting = self.waiting.0.iter().filter(|(_, _, front)| front.is_passed_on_as(target));
        let (Some((id, stream, _)), None) = (fitting.next().copied(), fitting.next()) else { return };
        if let Some((_, conversation)) = self.table.get_mut(id) {
            conversation.set_stream_key(stream, key);
            self.events.push_back(Event::Linked(key));
        }
    }
}
