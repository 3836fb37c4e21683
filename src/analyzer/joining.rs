//! Is a connection whose handshake is not in the capture a WebSocket?

use super::multiplexed::Multiplexed;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{Gap, StreamEvent, Wire};
use crate::websocket::plausible;
use crate::websocket::session::Session;

/// A connection joined in mid-stream: frames are read on trial until enough of them prove a WebSocket.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    /// The frames read on trial.
    pub session: Box<Session>,
    /// Telling frames of each side: whole messages and control frames that end with their segment.
    frames: PerSide<u32>,
    /// Segments of each side looked at.
    segments: PerSide<u32>,
    /// Segments that should have begun with a frame and did not.
    unframed: PerSide<u32>,
    /// A segment that is a frame's header and nothing else, as senders write it that hand header and payload to TCP one
    /// by one: looked at together with the segment behind it.
    header: PerSide<Option<HeaderAlone>>,
    /// The first hole of each side.
    pub holes: PerSide<Option<Gap>>,
    /// The same bytes read as HTTP/2, once they look like that.
    pub http2: Option<Box<Multiplexed>>,
}

/// A segment that holds a frame's header and nothing else.
#[derive(Clone, Debug)]
struct HeaderAlone {
    at: Moment,
    offset: u64,
    bytes: Vec<u8>,
    wire: Wire,
}

impl HeaderAlone {
    fn event(&self) -> StreamEvent<'_> {
        StreamEvent::Data { at: self.at, offset: self.offset, bytes: &self.bytes, wire: self.wire }
    }
}

/// What a segment makes of the trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// Undecided.
    Undecided,
    /// The masking shows that the roles were taken for each other; no telling frame was read yet.
    RolesReversed,
    /// It is a WebSocket.
    Proved,
    /// It is none, or nothing will tell.
    GivenUp,
}

impl Joining {
    pub(super) fn new() -> Self {
        Joining {
            session: Box::new(Session::joined()),
            frames: PerSide::default(),
            segments: PerSide::default(),
            unframed: PerSide::default(),
            header: PerSide::default(),
            holes: PerSide::default(),
            http2: None,
        }
    }

    /// Were any bytes looked at?
    pub(super) fn has_begun(&self) -> bool {
        self.segments != PerSide::default()
    }

    /// Memory of what it reads on trial, in bytes.
    pub(super) fn memory(&self) -> usize {
        let http2 = self.http2.as_ref().map_or(0, |http2| size_of::<Multiplexed>() + http2.memory());
        size_of::<Session>() + http2
    }

    /// Takes what `side` sent.
    pub(super) fn stream(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) -> Trial {
        let header = self.header.get_mut(side).take();
        let (at, offset, bytes, wire) = match event {
            StreamEvent::Data { at, offset, bytes, wire } => (at, offset, bytes, wire),
            StreamEvent::Gap(gap) => {
                self.holes.get_mut(side).get_or_insert(gap);
                return self.take(side, event, limits);
            }
        };
        if let Some(header) = header.filter(|header| header.wire.end == offset) {
            let joined = [header.bytes.as_slice(), bytes].concat();
            let event = StreamEvent::Data { at, offset: header.offset, bytes: &joined, wire };
            let trial = self.take(side, event, limits);
            if trial == Trial::RolesReversed {
                // The segment in hand will come again, from the other side.
                *self.header.get_mut(side.other()) = Some(header);
            }
            return trial;
        }
        if self.is_at_boundary(side) && plausible::is_header_alone(bytes) {
            *self.header.get_mut(side) = Some(HeaderAlone { at, offset, bytes: bytes.to_vec(), wire });
            return Trial::Undecided;
        }
        self.take(side, event, limits)
    }

    /// Hands on what was held back, once the trial is over.
    pub(super) fn into_session(self, limits: &Limits) -> Box<Session> {
        let mut session = self.session;
        for side in Side::BOTH {
            if let Some(header) = self.header.get(side) {
                session.stream(side, header.event(), limits);
            }
        }
        session
    }

    fn is_at_boundary(&self, side: Side) -> bool {
        self.session.is_lost(side) || self.session.is_at_boundary(side)
    }

    fn take(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) -> Trial {
        if let StreamEvent::Data { bytes, .. } = event {
            let segments = self.segments.get_mut(side);
            *segments = segments.saturating_add(1);
            let at_boundary = self.is_at_boundary(side);
            match plausible::chain(bytes)
                .filter(|chain| at_boundary && (chain.beyond == 0 || chain.frames > 1))
            {
                Some(chain) if chain.masked != (side == Side::Client) => {
                    if self.frames == PerSide::default() {
                        self.swap_sides();
                        return Trial::RolesReversed;
                    }
                    self.forget();
                }
                Some(chain) => *self.frames.get_mut(side) += chain.telling,
                None if at_boundary => {
                    *self.unframed.get_mut(side) += 1;
                    if self.frames[side] > 0 {
                        self.forget();
                    }
                }
                None => {}
            }
        }
        self.session.stream(side, event, limits);
        self.outcome(limits)
    }

    /// What was read as one side's was the other's.
    fn swap_sides(&mut self) {
        self.segments.swap();
        self.unframed.swap();
        self.header.swap();
        self.holes.swap();
        self.forget();
    }

    /// The trial went wrong: starts over.
    fn forget(&mut self) {
        *self.session = Session::joined();
        self.frames = PerSide::default();
    }

    fn outcome(&self, limits: &Limits) -> Trial {
        let closes = Side::BOTH.iter().filter(|side| self.session.sides[**side].close.is_some()).count();
        let both = self.frames.client > 0 && self.frames.server > 0;
        let most = self.frames.client.max(self.frames.server);
        let enough = most >= limits.midstream_frames
            || (both && self.frames.client + self.frames.server >= limits.midstream_frames)
            || (both && closes == 2);
        // Type and length in one byte each (MQTT, ASN.1) look like unmasked frames. A client that speaks, and not in
        // masked frames, shows that they are not.
        let contradicted = self.unframed.client > 0 && self.frames.client == 0;
        if enough && !contradicted {
            Trial::Proved
        } else if Side::BOTH.iter().any(|side| self.segments[*side] > limits.midstream_segments) {
            Trial::GivenUp
        } else {
            Trial::Undecided
        }
    }
}
