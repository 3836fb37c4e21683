//! Streams of HTTP/2 of which nobody knows what was asked for: the request's header fields stand for entries of a table
//! that the capture lacks, or the request itself is missing. Frames must show that they are WebSockets, as in a connection
//! that is joined in mid-stream.

use super::joining::{Joining, Trial};
use super::multiplexed::{Opening, Stream, Streams};
use super::translated::Target;
use crate::http::http2::frame::StreamId;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::stream_event::StreamEvent;
use crate::websocket::session::{Hidden, HiddenCause, Session};

impl Stream {
    /// The server's part of it may have passed before anybody knew of it.
    pub(super) fn lose_answer(&mut self) {
        self.opening = Opening::Unread;
        self.session.lose(Side::Server);
        let hidden = Hidden { at: self.opened, offset: 0, cause: HiddenCause::Unframed, unsent_at: None };
        self.session.sides.server.hidden = Some(Box::new(hidden));
        self.windows = None;
    }

    /// Takes the request that `new` has; gives how much more memory that takes.
    fn take_request(&mut self, new: Stream) -> usize {
        if self.handshake.request.is_some() {
            return 0;
        }
        let before = self.handshake.memory();
        self.opened = self.opened.min(new.opened);
        if let Some(request) = new.handshake.request {
            self.handshake.set_request(request);
        }
        self.handshake.memory().saturating_sub(before)
    }

    /// Takes content that must show what it is.
    pub(super) fn tried(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) -> Trial {
        let Some(mut trial) = self.trial.take() else { return Trial::Undecided };
        if !self.is_late {
            self.session.stream(side, event, limits);
        }
        let outcome = trial.stream(side, event, limits);
        if outcome != Trial::Proved {
            self.trial = Some(trial);
        } else if self.is_late {
            self.session = *trial.into_session(limits);
        }
        outcome
    }
}

impl Streams {
    /// A request that may ask for a WebSocket.
    pub(super) fn unread_request(&mut self, new: Stream, limits: &Limits) {
        match self.followed.get_mut(&new.id) {
            Some(known) => self.values = self.values.saturating_add(known.take_request(new)),
            None => self.try_out(new, limits),
        }
    }

    /// The server answers on a stream whose request may still come to light.
    pub(super) fn early(&mut self, id: StreamId, at: Moment, limits: &Limits) {
        let mut stream = Stream::begin(id, at, None);
        stream.session.rsv1_allowed = true;
        self.try_out(stream, limits);
    }

    /// The request of a stream that is followed has come to light: it is a WebSocket.
    pub(super) fn identify(&mut self, new: Stream, target: Option<Target>, limits: &Limits) {
        let id = new.id;
        let Some(known) = self.followed.get_mut(&id) else { return };
        self.values = self.values.saturating_add(known.take_request(new));
        let Some(trial) = known.trial.take() else { return };
        if known.is_late {
            known.session = *trial.into_session(limits);
        }
        self.trials = self.trials.saturating_sub(1);
        self.untold.push_back((id, target));
    }

    /// DATA on a stream whose request was missed.
    pub(super) fn unannounced(&mut self, id: StreamId, at: Moment, limits: &Limits) {
        if self.rejected.contains(&id) {
            return;
        }
        let mut stream = Stream::begin(id, at, None);
        (stream.opening, stream.is_late) = (Opening::Unread, true);
        self.try_out(stream, limits);
    }

    /// Those on trial leave room for those that are known.
    fn try_out(&mut self, mut stream: Stream, limits: &Limits) {
        let most = limits.http2_websockets / 2;
        if self.followed.len() >= most || self.rejected.len() >= limits.http2_websockets {
            return;
        }
        self.take(stream.id);
        stream.trial = Some(Box::new(Joining::new()));
        self.trials += 1;
        self.values = self.values.saturating_add(stream.handshake.memory());
        self.followed.insert(stream.id, Box::new(stream));
    }

    /// What frames have shown of a stream on trial.
    pub(super) fn settle(&mut self, id: StreamId, outcome: Trial) {
        match outcome {
            Trial::Undecided => {}
            Trial::Proved => {
                self.any = true;
                self.trials = self.trials.saturating_sub(1);
                self.untold.push_back((id, None));
            }
            Trial::RolesReversed => {
                self.is_reversed = true;
                self.reject(id);
            }
            Trial::GivenUp => self.reject(id),
        }
    }

    /// It is no WebSocket.
    pub(super) fn reject(&mut self, id: StreamId) {
        self.take(id);
        self.rejected.insert(id);
    }

    /// Memory they take, in bytes.
    pub(super) fn memory(&self) -> usize {
        // A set's nodes are half full at the least.
        let rejected = self.rejected.len() * size_of::<StreamId>() * 2;
        let trials = self.trials * (size_of::<Joining>() + size_of::<Session>());
        self.values + self.followed.len() * size_of::<Stream>() + trials + rejected
    }
}
