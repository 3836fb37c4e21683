//! What runs on top of one connection's bytes: HTTP until the Upgrade, then WebSocket.

use super::Options;
use super::begins_http2::Joins;
use super::joining::{Joining, Trial};
use super::multiplexed::Multiplexed;
use super::secured::Secured;
use super::split::StreamPart;
use crate::anomaly::{Anomaly, AnomalySet};
use crate::http::http1::{Http1, HttpEvent, looks_like_head};
use crate::http::upgrade::{Handshake, Response};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, Wire};
use crate::websocket::session::{Hidden, HiddenCause, Session};

/// The protocol above TCP.
///
/// ```text
///  Http ---- Upgrade request ----> Upgrading ---- 101 ----> Open
///   ^  \                            |    |
///   |   +-- not HTTP --> Ignored    |    +-- another status --> Http
///   |                               +-- frames without a 101 in sight --> Open, judged at the end
///  Joining ---- enough frames ----> Open
///
///  Http, Joining ---- ClientHello ----> Tls, in which another one of these begins with Http
///  Http ---- preface, SETTINGS, ALPN ----> Http2, each of whose streams ends as a Stream of its own
///  Joining ---- enough frames of HTTP/2 ----> Http2
/// ```
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Http(Box<Http1>),
    Upgrading(Box<Upgrading>),
    /// No handshake in sight: frames on trial.
    Joining(Box<Joining>),
    Open(Box<Session>),
    /// In TLS, with a phase of its own.
    Tls(Box<Secured>),
    /// Several WebSockets, each in a stream.
    Http2(Box<Multiplexed>),
    /// One of these streams, taken from its connection to be judged.
    Stream(Box<StreamPart>),
    Ignored,
}

/// Between an Upgrade request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Upgrading {
    http: Box<Http1>,
    /// Frames that come before the answer, or without it.
    session: Box<Session>,
    /// The answer may stand in a hole of the server's bytes.
    answer_lost: bool,
    /// TCP stream offset behind the request.
    asked_until: u64,
}

impl Upgrading {
    /// Was `response`, which came in `run`, sent before its sender had the request? Then it answers one before, of which
    /// the capture lacks something.
    fn is_too_early(&self, response: &Response, run: &Run<'_>) -> bool {
        response.status != 101 && run.wire.peer_acked.is_some_and(|acked| acked < self.asked_until)
    }
}

/// What every packet needs comes last: the connection's ends follow it.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Upper {
    pub anomalies: AnomalySet,
    pub handshake: Box<Handshake>,
    /// The roles turned out reversed while a segment was being delivered; TCP has still to be told.
    pub reversed: bool,
    /// An Upgrade was asked for or answered: the connection is listed.
    pub is_websocket: bool,
    /// Frames were recognised without a handshake.
    pub joined: bool,
    pub may_join: bool,
    /// The tracker was told that it is a WebSocket.
    pub server_told: bool,
    /// It is TLS, which is not followed.
    pub passed_tls: bool,
    /// Layers of TLS that the phase in hand lies in.
    pub depth: u8,
    /// ALPN has agreed on HTTP/1.1.
    pub is_http1: bool,
    pub phase: Phase,
}

/// Bytes in hand, with their place.
#[derive(Clone, Copy)]
struct Run<'a> {
    at: Moment,
    offset: u64,
    bytes: &'a [u8],
    wire: Wire,
}

impl<'a> Run<'a> {
    fn event(self) -> StreamEvent<'a> {
        StreamEvent::Data { at: self.at, offset: self.offset, bytes: self.bytes, wire: self.wire }
    }

    fn skip(self, used: usize) -> Self {
        let bytes = self.bytes.get(used..).unwrap_or_default();
        Run { offset: self.offset + used as u64, bytes, ..self }
    }
}

impl Phase {
    /// Memory it takes besides itself, in bytes.
    fn memory(&self) -> usize {
        match self {
            Phase::Tls(secured) => {
                let shape = secured.tls.facts.shape.as_ref().map_or(0, |shape| shape.memory());
                size_of::<Secured>() + secured.tls.held_bytes() + shape + secured.inner.memory()
            }
            Phase::Http(http) => size_of::<Http1>() + http.held_bytes(),
            Phase::Upgrading(upgrading) => {
                size_of::<Upgrading>()
                    + size_of::<Http1>()
                    + upgrading.session.memory()
                    + upgrading.http.held_bytes()
            }
            Phase::Joining(joining) => size_of::<Joining>() + joining.memory(),
            Phase::Open(session) => session.memory(),
            Phase::Http2(multiplexed) => size_of::<Multiplexed>() + multiplexed.memory(),
            Phase::Stream(_) => size_of::<StreamPart>(),
            Phase::Ignored => 0,
        }
    }
}

impl Upper {
    /// `from_start`: the connection's SYN was seen.
    pub(super) fn new(from_start: bool, no_midstream: bool) -> Self {
        let may_join = !no_midstream;
        let phase = if from_start || !may_join {
            Phase::Http(Box::default())
        } else {
            Phase::Joining(Box::new(Joining::new()))
        };
        Upper {
            phase,
            handshake: Box::default(),
            anomalies: AnomalySet::default(),
            is_websocket: false,
            joined: false,
            reversed: false,
            may_join,
            server_told: false,
            passed_tls: false,
            depth: 0,
            is_http1: false,
        }
    }

    /// Is nothing more to come that its memory would grow by?
    pub(super) fn has_settled(&self) -> bool {
        matches!(self.phase, Phase::Open(_) | Phase::Ignored)
    }

    /// Does it lie in TLS, or hold streams of HTTP/2?
    pub(super) fn is_layered(&self) -> bool {
        matches!(self.phase, Phase::Tls(_) | Phase::Http2(_))
    }

    /// Has the memory of an open WebSocket grown since this was asked last?
    #[inline]
    pub(super) fn take_growth(&mut self) -> bool {
        if let Phase::Open(session) = &mut self.phase { session.take_growth() } else { false }
    }

    /// Memory it takes besides itself, in bytes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Handshake>() + self.handshake.memory() + self.phase.memory()
    }

    /// See [`Session::touch`].
    #[inline]
    pub(super) fn touch(&self, side: Side) -> u64 {
        if let Phase::Open(session) = &self.phase { session.touch(side) } else { 0 }
    }

    /// What [`Upper::stream`] does where [`Upper::has_settled`].
    #[inline(always)]
    pub(super) fn stream_settled(&mut self, side: Side, event: StreamEvent<'_>, options: &Options) {
        if let Phase::Open(session) = &mut self.phase {
            session.stream(side, event, &options.limits);
        }
    }

    pub(super) fn stream(&mut self, side: Side, event: StreamEvent<'_>, options: &Options) {
        match event {
            StreamEvent::Data { at, offset, bytes, wire } => {
                self.data(side, Run { at, offset, bytes, wire }, options);
            }
            StreamEvent::Gap(_) if matches!(self.phase, Phase::Tls(_)) => self.secured(side, event, options),
            StreamEvent::Gap(_) if matches!(self.phase, Phase::Http2(_)) => {
                self.multiplexed(side, event, options);
            }
            StreamEvent::Gap(gap) => self.gap(side, gap, &options.limits),
        }
    }

    /// See [`Session::differs`]. What TLS or HTTP/2 carries stands elsewhere than its bytes in TCP.
    pub(super) fn differs(&self, side: Side, offset: u64, bytes: &[u8], limits: &Limits) -> bool {
        matches!(&self.phase, Phase::Open(session) if session.differs(side, offset, bytes, limits))
    }

    /// The session, if one is under way.
    pub(super) fn session(&self) -> Option<&Session> {
        self.phase.session()
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        self.phase.session_mut()
    }

    /// Was an Upgrade asked for, and not answered yet?
    pub(super) fn awaits_answer(&self) -> bool {
        match &self.phase {
            Phase::Upgrading(_) => true,
            Phase::Tls(secured) => matches!(secured.inner, Phase::Upgrading(_)),
            _ => false,
        }
    }

    /// Was no request head seen whole?
    pub(super) fn is_before_http(&self) -> bool {
        self.phase.is_before_http()
    }

    fn data(&mut self, side: Side, mut run: Run<'_>, options: &Options) {
        let limits = &options.limits;
        let mut side = side;
        // Each turn uses bytes or changes the phase; phases only move on, so the turns are few.
        while !run.bytes.is_empty() {
            match &mut self.phase {
                Phase::Open(session) => {
                    session.stream(side, run.event(), limits);
                    return;
                }
                Phase::Ignored | Phase::Stream(_) => return,
                Phase::Tls(_) => {
                    self.secured(side, run.event(), options);
                    return;
                }
                Phase::Http2(_) => match self.multiplexed(side, run.event(), options) {
                    Some(next) => side = next,
                    None => return,
                },
                Phase::Http(http) => {
                    let (used, event) = http.feed(side, run.at, run.bytes, limits);
                    run = run.skip(used);
                    match event {
                        Some(HttpEvent::NotHttp)
                            if self.begins_tls(side, run.bytes, options)
                                || self.begins_http2(side, run.bytes, options) => {}
                        Some(HttpEvent::Http2(seen)) if !self.is_agreed_otherwise() => {
                            self.begin_http2(seen, options);
                        }
                        Some(event) => {
                            side = self.http_event(side, event, limits);
                            if let Phase::Upgrading(upgrading) = &mut self.phase {
                                upgrading.asked_until = run.wire.end.saturating_sub(run.bytes.len() as u64);
                            }
                        }
                        None => {}
                    }
                }
                Phase::Upgrading(_) => {
                    let used = self.upgrading(side, run, limits);
                    run = run.skip(used);
                }
                Phase::Joining(_) => match self.joining(side, run, options) {
                    Some(next) => side = next,
                    None => return,
                },
            }
        }
    }

    /// Takes an event of HTTP before any Upgrade; gives the side whose bytes are in hand.
    fn http_event(&mut self, side: Side, event: HttpEvent, limits: &Limits) -> Side {
        match event {
            HttpEvent::Request(request) => {
                self.is_websocket = true;
                *self.handshake = Handshake::default();
                self.note_head(request.has_control_characters, request.is_malformed);
                let at = request.at;
                self.handshake.set_request(request);
                let Phase::Http(mut http) = std::mem::replace(&mut self.phase, Phase::Ignored) else {
                    return side;
                };
                let answer = http.take_early_answer(at);
                let mut session = Box::<Session>::default();
                session.rsv1_allowed = true;
                // The answer is out of sight, too, if the server went so before it was asked.
                let hole = http.hole(Side::Server);
                if let Some(hole) = hole {
                    session.stream(Side::Server, StreamEvent::Gap(hole), limits);
                }
                self.phase = Phase::Upgrading(Box::new(Upgrading {
                    http,
                    session,
                    answer_lost: hole.is_some(),
                    asked_until: 0,
                }));
                if let Some(answer) = answer {
                    self.answer(answer);
                }
            }
            HttpEvent::Response(response) => {
                // A 101 to a request that the capture lacks.
                let mut session = Box::<Session>::default();
                session.lose(Side::Client);
                let (at, cause) = (response.at, HiddenCause::Unframed);
                session.sides.client.hide(Hidden { at, offset: 0, cause, unsent_at: None });
                self.take_response(response, session);
            }
            HttpEvent::NotHttp | HttpEvent::Http2(_) => self.phase = Phase::Ignored,
            // In TLS the hello has told who the client is.
            HttpEvent::RolesReversed if self.depth > 0 => self.phase = Phase::Ignored,
            HttpEvent::HeadTooLong => {
                self.anomalies.insert(Anomaly::HttpHeadTooLong);
                self.phase = Phase::Ignored;
            }
            HttpEvent::RolesReversed => {
                if let Phase::Http(http) = &mut self.phase {
                    http.swap_sides();
                }
                self.reversed = !self.reversed;
                return side.other();
            }
        }
        side
    }

    /// Takes bytes between the Upgrade request and its answer; gives how many were used.
    fn upgrading(&mut self, side: Side, run: Run<'_>, limits: &Limits) -> usize {
        let Phase::Upgrading(upgrading) = &mut self.phase else { return run.bytes.len() };
        if side == Side::Client && upgrading.http.is_in_body(side) {
            return upgrading.http.skip_body(side, run.bytes);
        }
        let in_head = upgrading.http.has_partial_head(side) || looks_like_head(side, run.bytes);
        let is_frames = match side {
            Side::Client => !in_head,
            Side::Server => upgrading.answer_lost && !in_head,
        };
        if is_frames {
            upgrading.session.stream(side, run.event(), limits);
            return run.bytes.len();
        }
        let (used, event) = upgrading.http.feed(side, run.at, run.bytes, limits);
        match event {
            Some(HttpEvent::Response(response)) if upgrading.is_too_early(&response, &run) => {}
            Some(HttpEvent::Response(response)) => self.answer(response),
            Some(HttpEvent::Request(request)) => self.handshake.set_request(request),
            Some(
                HttpEvent::NotHttp | HttpEvent::RolesReversed | HttpEvent::HeadTooLong | HttpEvent::Http2(_),
            ) => {
                upgrading.answer_lost = true;
                upgrading.session.lose(side);
                let (at, offset, cause) = (run.at, run.offset, HiddenCause::Unframed);
                upgrading.session.sides.get_mut(side).hide(Hidden { at, offset, cause, unsent_at: None });
                return run.bytes.len();
            }
            None => {}
        }
        used
    }

    /// The Upgrade request was answered.
    fn answer(&mut self, response: Response) {
        self.note_head(response.has_control_characters, response.is_malformed);
        let Phase::Upgrading(upgrading) = std::mem::replace(&mut self.phase, Phase::Ignored) else { return };
        let Upgrading { http, mut session, .. } = *upgrading;
        if http.is_in_body(Side::Client) {
            // Frames follow behind the rest of the request's body.
            session.lose(Side::Client);
        }
        // Where it names no protocol, frames will tell whether the client took it.
        if (response.status == 101 && response.is_websocket) || response.names_no_protocol() {
            if session.sides.client.traffic.frames > 0 {
                self.anomalies.insert(Anomaly::FramesBeforeResponse);
            }
            session.rsv1_allowed = response.extensions.is_some();
            self.take_response(response, session);
        } else {
            self.handshake.set_response(response);
            self.phase = Phase::Http(http);
        }
    }

    fn note_head(&mut self, has_control_characters: bool, is_malformed: bool) {
        if has_control_characters {
            self.anomalies.insert(Anomaly::HttpControlCharacter);
        }
        if is_malformed {
            self.anomalies.insert(Anomaly::HttpHeadMalformed);
        }
    }

    fn take_response(&mut self, response: Response, session: Box<Session>) {
        self.is_websocket = true;
        self.handshake.set_response(response);
        if self.handshake.accept_valid() == Some(false) {
            self.anomalies.insert(Anomaly::AcceptInvalid);
        }
        if self.handshake.subprotocol_not_offered() {
            self.anomalies.insert(Anomaly::SubprotocolNotOffered);
        }
        if self.handshake.extension_not_offered() {
            self.anomalies.insert(Anomaly::ExtensionNotOffered);
        }
        self.phase = Phase::Open(session);
    }

    /// Takes bytes of a connection joined in mid-stream. `Some(side)`: they are to be taken again.
    fn joining(&mut self, side: Side, run: Run<'_>, options: &Options) -> Option<Side> {
        if self.joins_tls(side, run.bytes, options) {
            return Some(Side::Client);
        }
        let was_reversed = self.reversed;
        if self.joins_tls_under_way(side, run.bytes, options) {
            return Some(if self.reversed == was_reversed { side } else { side.other() });
        }
        let is_head = Side::BOTH.into_iter().any(|role| looks_like_head(role, run.bytes));
        if is_head && let Phase::Joining(joining) = &self.phase {
            self.phase = Phase::Http(Box::new(Http1::behind(joining.holes)));
            return Some(side);
        }
        match self.joins_http2(side, run.event(), options) {
            Joins::No => {}
            Joins::Yes => return None,
            Joins::Reversed(side) => return Some(side),
        }
        let Phase::Joining(joining) = &mut self.phase else { return Some(side) };
        match joining.stream(side, run.event(), &options.limits) {
            Trial::Undecided => None,
            Trial::GivenUp => {
                self.phase = Phase::Ignored;
                None
            }
            Trial::RolesReversed if self.depth > 0 => {
                self.phase = Phase::Ignored;
                None
            }
            Trial::RolesReversed => {
                self.reversed = !self.reversed;
                Some(side.other())
            }
            Trial::Proved => {
                let joining = std::mem::replace(&mut **joining, Joining::new());
                self.phase = Phase::Open(joining.into_session(&options.limits));
                self.is_websocket = true;
                self.joined = true;
                None
            }
        }
    }

    fn gap(&mut self, side: Side, gap: Gap, limits: &Limits) {
        if side == Side::Server && gap.cause == GapCause::Truncated && self.take_cut_answer(gap, limits) {
            return;
        }
        // Outside of frames and heads a last byte that was not seen is taken for the FIN.
        let may_be_fin = gap.cause == GapCause::ByteOrFin;
        match &mut self.phase {
            Phase::Http(http) if may_be_fin && !http.has_partial_head(side) => {}
            Phase::Upgrading(upgrading)
                if may_be_fin && side == Side::Server && !upgrading.http.has_partial_head(side) => {}
            Phase::Open(session) => session.stream(side, StreamEvent::Gap(gap), limits),
            Phase::Joining(joining) => {
                if let Some(http2) = &mut joining.http2 {
                    http2.stream(side, StreamEvent::Gap(gap), limits);
                }
                joining.stream(side, StreamEvent::Gap(gap), limits);
            }
            Phase::Upgrading(upgrading) => {
                let in_body = side == Side::Client && upgrading.http.is_in_body(side);
                let in_frames = !in_body && (side == Side::Client || upgrading.answer_lost);
                if in_frames {
                    upgrading.session.stream(side, StreamEvent::Gap(gap), limits);
                } else if !upgrading.http.gap(side, gap) {
                    upgrading.answer_lost |= side == Side::Server;
                    upgrading.session.stream(side, StreamEvent::Gap(gap), limits);
                }
            }
            Phase::Http(http) => {
                // The request, or the answer to one, may stand in the hole: frames may follow.
                if !http.gap(side, gap) && self.may_join && !http.has_early_answer() {
                    let mut joining = Joining::new();
                    joining.stream(side, StreamEvent::Gap(gap), limits);
                    self.phase = Phase::Joining(Box::new(joining));
                }
            }
            Phase::Tls(_) | Phase::Http2(_) | Phase::Stream(_) | Phase::Ignored => {}
        }
    }

    /// A `101` whose headers the snaplen cut is an answer all the same: frames follow with the next segments, and may
    /// stand in what is cut off.
    fn take_cut_answer(&mut self, gap: Gap, limits: &Limits) -> bool {
        let http = match &self.phase {
            Phase::Http(http) => http,
            Phase::Upgrading(upgrading) => &upgrading.http,
            Phase::Joining(_)
            | Phase::Open(_)
            | Phase::Tls(_)
            | Phase::Http2(_)
            | Phase::Stream(_)
            | Phase::Ignored => return false,
        };
        let Some(response) = http.cut_answer(gap.at).filter(|response| response.status == 101) else {
            return false;
        };
        self.is_websocket = true;
        self.handshake.set_response(response);
        let mut session = match std::mem::replace(&mut self.phase, Phase::Ignored) {
            Phase::Upgrading(upgrading) => upgrading.session,
            _ => Box::new(Session::joined()),
        };
        session.stream(Side::Server, StreamEvent::Gap(gap), limits);
        self.phase = Phase::Open(session);
        true
    }

    /// Which sides sent frames.
    pub(super) fn frames(&self) -> PerSide<bool> {
        let session = self.phase.session();
        PerSide::from_fn(|side| session.is_some_and(|session| session.sides[side].traffic.frames > 0))
    }
}

impl Phase {
    fn session(&self) -> Option<&Session> {
        match self {
            Phase::Open(session) => Some(session),
            Phase::Upgrading(upgrading) => Some(&upgrading.session),
            Phase::Tls(secured) => secured.inner.session(),
            Phase::Stream(part) => Some(&part.session),
            Phase::Http(_) | Phase::Joining(_) | Phase::Http2(_) | Phase::Ignored => None,
        }
    }

    fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Phase::Open(session) => Some(session),
            Phase::Upgrading(upgrading) => Some(&mut upgrading.session),
            Phase::Tls(secured) => secured.inner.session_mut(),
            Phase::Stream(part) => Some(&mut part.session),
            Phase::Http(_) | Phase::Joining(_) | Phase::Http2(_) | Phase::Ignored => None,
        }
    }

    fn is_before_http(&self) -> bool {
        match self {
            Phase::Http(http) => http.requests() == 0 && http.hole(Side::Client).is_none(),
            Phase::Tls(secured) => !secured.is_opaque() && secured.inner.is_before_http(),
            Phase::Joining(_)
            | Phase::Upgrading(_)
            | Phase::Open(_)
            | Phase::Http2(_)
            | Phase::Stream(_)
            | Phase::Ignored => false,
        }
    }
}
