//! One HTTP/2 connection: takes what TCP or TLS delivers, gives what belongs to each WebSocket in it.

use super::error_code::ErrorCode;
use super::flow_control::{Window, Windows};
use super::frame::{self, Flags, FrameHeader, FrameType, GoAway, Setting, StreamId, block_fragment};
use super::half::{Block, Half, Piece, Run};
use super::head::{Head, Nothing};
use super::hpack::{self, Decoder};
use crate::anomaly::{Anomaly, AnomalySet};
use crate::http::upgrade::{Request, Response};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, Wire};
use std::ops::Range;

mod holes;

/// Length of a hole in a stream's content where it is unknown: more than any frame has left.
const UNKNOWN_LEN: u64 = u64::MAX / 2;

/// What a connection yields of the WebSockets in it.
#[derive(Debug)]
pub enum Http2Event<'a> {
    /// A new stream asks for a WebSocket (RFC 8441 §4), or may do so.
    Request {
        /// The stream.
        stream: StreamId,
        /// What it asks, as far as that can be read.
        request: Request,
        /// How much each side may send on it at first; `None`: part of the connection was missed.
        windows: Option<PerSide<Window>>,
        /// Does it say so? Else what it says can't be read.
        is_sure: bool,
        /// Has the server answered it, or a later one, before it came to light?
        is_late: bool,
    },
    /// A stream on which the server answers before its request came to light: that may lie behind a hole.
    Early {
        /// The stream.
        stream: StreamId,
        /// The packet.
        at: Moment,
    },
    /// The request of a followed stream, now that it has come to light, asks for no WebSocket.
    OtherRequest {
        /// The stream.
        stream: StreamId,
    },
    /// A DATA frame begins on a stream that is not followed, and whose request was missed.
    Unannounced {
        /// The stream.
        stream: StreamId,
        /// The packet.
        at: Moment,
    },
    /// The final answer on a followed stream; `None`: its header block can't be read.
    Response {
        /// The stream.
        stream: StreamId,
        /// The answer.
        response: Option<Response>,
    },
    /// Content of a followed stream, or a hole in it.
    Content {
        /// The stream.
        stream: StreamId,
        /// Bytes or a hole.
        event: StreamEvent<'a>,
    },
    /// A followed stream's sender has sent a DATA frame of so many bytes, padding included.
    Sent {
        /// The stream.
        stream: StreamId,
        /// Bytes that count for flow control.
        length: u32,
        /// The packet.
        at: Moment,
    },
    /// The sender ends a followed stream: END_STREAM, or RST_STREAM.
    End {
        /// The stream.
        stream: StreamId,
        /// The packet.
        at: Moment,
        /// Its place in TCP.
        wire: Wire,
        /// Why, of RST_STREAM.
        reset: Option<ErrorCode>,
    },
    /// The sender takes no new streams, or gives the connection up.
    GoAway {
        /// The packet.
        at: Moment,
        /// Its place in TCP.
        wire: Wire,
        /// What it says.
        goaway: GoAway,
    },
    /// The sender lets the other side send so many bytes more, or fewer, on one followed stream or on all of them.
    Allows {
        /// The stream; `None`: all that are open.
        stream: Option<StreamId>,
        /// Bytes.
        by: i64,
        /// The packet.
        at: Moment,
    },
    /// Frames of the sender were lost, of any stream.
    Lost(Gap),
    /// The side taken for the client is the server.
    RolesReversed,
    /// It is no HTTP/2.
    NotHttp2,
}

/// Takes what a connection yields.
pub trait Http2Sink {
    /// Is `stream` one of the WebSockets?
    fn is_followed(&self, stream: StreamId) -> bool;
    /// `side` sent `event`.
    fn http2(&mut self, side: Side, event: Http2Event<'_>);
}

/// An HTTP/2 connection as a passive observer follows it.
///
/// It keeps nothing for a stream that is no WebSocket; which ones are, its sink knows.
#[derive(Clone, Debug)]
pub struct Session {
    halves: PerSide<Half>,
    blocks: PerSide<Option<Box<Block>>>,
    tables: PerSide<Decoder>,
    head: Box<Head>,
    /// The client's latest stream.
    latest: StreamId,
    /// The latest of them on which the server has answered.
    answered: StreamId,
    windows: Windows,
    /// Were all frames seen?
    is_whole: bool,
    /// Streams whose requests may have been missed.
    unseen: Range<u32>,
    /// Where a side has gone out of sight, until its frames are found again.
    holes: PerSide<Option<Gap>>,
    /// Are the roles only guessed?
    seeks_roles: bool,
    /// Oddities.
    pub anomalies: AnomalySet,
}

/// What a call works with.
struct Call<'a, S> {
    side: Side,
    limits: &'a Limits,
    sink: &'a mut S,
}

impl Session {
    /// A connection of whose preface the client's first `seen` bytes have passed.
    #[must_use]
    pub fn new(seen: usize, limits: &Limits) -> Session {
        Session {
            halves: PerSide { client: Half::new(Some(seen)), server: Half::new(None) },
            blocks: PerSide::default(),
            tables: PerSide::from_fn(|_| Decoder::new(limits.http2_table_bytes)),
            head: Box::default(),
            latest: StreamId(0),
            answered: StreamId(0),
            windows: Windows::default(),
            is_whole: true,
            unseen: 0..0,
            holes: PerSide::default(),
            seeks_roles: false,
            anomalies: AnomalySet::default(),
        }
    }

    /// A connection of which it is known what it is, though it may not be seen from its beginning.
    #[must_use]
    pub fn agreed(limits: &Limits) -> Session {
        let mut session = Session::new(0, limits);
        session.halves = session.halves.map(Half::agreed);
        session
    }

    /// A connection in its middle. `roles_known`: is it sure who the client is?
    #[must_use]
    pub fn joined(roles_known: bool, limits: &Limits) -> Session {
        Session {
            halves: PerSide::from_fn(|_| Half::joined()),
            tables: PerSide::from_fn(|_| Decoder::joined(limits.http2_table_bytes)),
            is_whole: false,
            unseen: 0..u32::MAX,
            seeks_roles: !roles_known,
            ..Session::new(0, limits)
        }
    }

    /// Do the frames since it was joined show that it is HTTP/2? There are enough in a row, and not only what other
    /// protocols may look like: both sides speak so, or with more than DATA.
    #[must_use]
    pub fn is_proved(&self, limits: &Limits) -> bool {
        let filled = PerSide::from_fn(|side| self.halves[side].filled);
        let both = filled.client > 0 && filled.server > 0;
        let has_control = Side::BOTH.iter().any(|side| self.halves[*side].has_control);
        let enough = filled.client.max(filled.server) >= limits.midstream_frames
            && filled.client.saturating_add(filled.server) > limits.midstream_frames;
        enough && (both || has_control)
    }

    /// Are the roles only guessed?
    #[must_use]
    pub fn seeks_roles(&self) -> bool {
        self.seeks_roles
    }

    /// The roles are known.
    pub fn settle_roles(&mut self) {
        self.seeks_roles = false;
    }

    /// Memory for tables and for what is incomplete, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let of = |side: Side| {
            let block = self.blocks[side].as_ref().and_then(|block| block.fragments.as_ref());
            self.halves[side].held_bytes() + self.tables[side].memory() + block.map_or(0, Vec::capacity)
        };
        size_of::<Head>() + self.head.memory() + of(Side::Client) + of(Side::Server)
    }

    /// Does the next byte of `side` belong to a frame that has begun?
    #[must_use]
    pub fn is_inside(&self, side: Side) -> bool {
        self.halves[side].is_inside()
    }

    /// What each side may still send on all streams together; `None`: part of the connection was missed.
    #[must_use]
    pub fn windows(&self) -> Option<PerSide<Window>> {
        self.is_whole.then_some(self.windows.connection)
    }

    /// Takes what `side` sent.
    pub fn stream<S: Http2Sink>(
        &mut self,
        side: Side,
        event: StreamEvent<'_>,
        limits: &Limits,
        sink: &mut S,
    ) {
        let call = &mut Call { side, limits, sink };
        match event {
            StreamEvent::Data { at, offset, bytes, wire } => self.data(Run { at, offset, bytes, wire }, call),
            StreamEvent::Gap(gap) => self.gap(gap, call),
        }
    }

    fn data<S: Http2Sink>(&mut self, mut run: Run<'_>, call: &mut Call<'_, S>) {
        if self.halves.get_mut(call.side).is_lost_before(run.bytes) {
            self.skip(&run, call);
            return;
        }
        *self.holes.get_mut(call.side) = None;
        let (at, wire) = (run.at, run.wire);
        while let Some(piece) = self.halves.get_mut(call.side).next(&mut run, call.limits) {
            match piece {
                Piece::Data(header, content) => {
                    if call.sink.is_followed(header.stream) {
                        call.send(Http2Event::Content { stream: header.stream, event: content.event() });
                    }
                }
                Piece::DataBegins(header) => self.data_begins(header, at, call),
                Piece::DataEnds(header) => call.ends(header, at, wire),
                Piece::Whole(header, payload) => self.frame(header, Some(&payload), at, wire, call),
                Piece::TooLong(header) => {
                    self.anomalies.insert(Anomaly::Http2HeadersTooLong);
                    self.frame(header, None, at, wire, call);
                }
                Piece::Skipped(header) => self.check(header, call.side),
                Piece::LostAgain => {
                    let (offset, cause) = (run.offset, GapCause::Lost);
                    let gap = Gap { at, offset, len: UNKNOWN_LEN, cause, unsent_at: None };
                    self.lost_boundary(gap, call);
                }
                Piece::NotHttp2 => {
                    call.send(Http2Event::NotHttp2);
                    return;
                }
            }
        }
    }

    fn data_begins<S: Http2Sink>(&mut self, header: FrameHeader, at: Moment, call: &mut Call<'_, S>) {
        self.check(header, call.side);
        self.windows.connection.get_mut(call.side).sent(header.length, at);
        let stream = header.stream;
        if self.unseen.contains(&stream.0) && stream.is_of_client() && !call.sink.is_followed(stream) {
            self.begin(stream, Http2Event::Unannounced { stream, at }, call);
        }
        if call.sink.is_followed(header.stream) {
            call.send(Http2Event::Sent { stream: header.stream, length: header.length, at });
        }
    }

    /// Notes what is wrong with a frame: between those of a header block there may stand no other.
    fn check(&mut self, header: FrameHeader, side: Side) {
        let interrupts = self.blocks[side].take_if(|block| {
            header.frame_type != FrameType::CONTINUATION || header.stream != block.header.stream
        });
        if interrupts.is_some() {
            self.lose_table(side);
        }
        if interrupts.is_some() || !header.is_well_formed() {
            self.anomalies.insert(Anomaly::Http2FrameMalformed);
        }
    }

    /// Takes a frame; `payload` is `None` where it is not all there.
    fn frame<S: Http2Sink>(
        &mut self,
        header: FrameHeader,
        payload: Option<&[u8]>,
        at: Moment,
        wire: Wire,
        call: &mut Call<'_, S>,
    ) {
        self.check(header, call.side);
        match header.frame_type {
            FrameType::HEADERS | FrameType::PUSH_PROMISE | FrameType::CONTINUATION => {
                self.block(header, payload, at, wire, call);
            }
            FrameType::RST_STREAM => {
                let error = payload.and_then(|payload| frame::rst_stream(payload).ok());
                if let Some((_, error)) = error.filter(|_| call.sink.is_followed(header.stream)) {
                    call.send(Http2Event::End { stream: header.stream, at, wire, reset: Some(error) });
                }
            }
            FrameType::GOAWAY => {
                if let Some((_, goaway)) = payload.and_then(|payload| frame::goaway(payload).ok()) {
                    call.send(Http2Event::GoAway { at, wire, goaway });
                }
            }
            FrameType::WINDOW_UPDATE => {
                if let Some((_, by)) = payload.and_then(|payload| frame::window_update(payload).ok()) {
                    self.window_update(header.stream, by, at, call);
                }
            }
            FrameType::SETTINGS if !header.flags.has(Flags::ACK) => {
                self.settings(payload.unwrap_or_default(), at, call);
            }
            _ => {}
        }
    }

    fn window_update<S: Http2Sink>(&mut self, stream: StreamId, by: u32, at: Moment, call: &mut Call<'_, S>) {
        let by = i64::from(by);
        if stream == StreamId::CONNECTION {
            self.windows.connection.get_mut(call.side.other()).change(by, at);
        } else if call.sink.is_followed(stream) {
            call.send(Http2Event::Allows { stream: Some(stream), by, at });
        }
    }

    fn settings<S: Http2Sink>(&mut self, mut rest: &[u8], at: Moment, call: &mut Call<'_, S>) {
        let mut by = 0;
        while let Ok((behind, setting)) = frame::setting(rest) {
            rest = behind;
            if setting.id == Setting::INITIAL_WINDOW_SIZE {
                by += self.windows.set_initial(call.side.other(), setting.value);
            }
        }
        if by != 0 {
            call.send(Http2Event::Allows { stream: None, by, at });
        }
    }

    /// Takes a frame of a header block.
    fn block<S: Http2Sink>(
        &mut self,
        header: FrameHeader,
        payload: Option<&[u8]>,
        at: Moment,
        wire: Wire,
        call: &mut Call<'_, S>,
    ) {
        let ends = header.flags.has(Flags::END_HEADERS);
        if header.frame_type != FrameType::CONTINUATION {
            if ends {
                // The usual case: nothing is copied.
                let fragment = payload.and_then(|payload| block_fragment(header, payload));
                self.whole_block(header, fragment, at, wire, call);
            } else {
                *self.blocks.get_mut(call.side) = Some(Box::new(Block::begin(header, payload)));
            }
            return;
        }
        let Some(block) = self.blocks.get_mut(call.side) else {
            // The block's first frame was given up.
            self.anomalies.insert(Anomaly::Http2FrameMalformed);
            self.lose_table(call.side);
            return;
        };
        if !block.extend(payload, call.limits.http2_header_block_bytes) {
            self.anomalies.insert(Anomaly::Http2HeadersTooLong);
        }
        if ends && let Some(block) = self.blocks.get_mut(call.side).take() {
            self.whole_block(block.header, block.fragments.as_deref(), at, wire, call);
        }
    }

    /// Takes a header block that has ended; `fragment` is `None` where it is not all there.
    fn whole_block<S: Http2Sink>(
        &mut self,
        header: FrameHeader,
        fragment: Option<&[u8]>,
        at: Moment,
        wire: Wire,
        call: &mut Call<'_, S>,
    ) {
        let stream = header.stream;
        if self.seeks_roles && self.tells_roles(header, fragment, call) {
            return;
        }
        if header.frame_type == FrameType::PUSH_PROMISE {
            self.decode(call.side, fragment, None);
            return;
        }
        if call.side == Side::Server && stream.is_of_client() {
            if stream > self.latest && !call.sink.is_followed(stream) {
                self.begin(stream, Http2Event::Early { stream, at }, call);
            }
            self.answered = self.answered.max(stream);
        }
        let is_followed = call.sink.is_followed(stream);
        let is_new = call.side == Side::Client && stream > self.latest && stream.is_of_client();
        if is_new {
            self.latest = stream;
            self.unseen.end = self.unseen.end.min(stream.0);
        }
        let is_read = is_new || (is_followed && call.side == Side::Server);
        self.decode(call.side, fragment, is_read.then_some(call.limits.http2_header_block_bytes));
        if is_new {
            self.request(stream, at, call);
        } else if is_read {
            self.response(stream, fragment.is_some(), at, call);
        }
        self.head.begin(0);
        call.ends(header, at, wire);
    }

    /// Who asks and who answers? True: the roles were taken for each other.
    fn tells_roles<S: Http2Sink>(
        &mut self,
        header: FrameHeader,
        fragment: Option<&[u8]>,
        call: &mut Call<'_, S>,
    ) -> bool {
        let sender = match header.frame_type {
            FrameType::PUSH_PROMISE => Some(Side::Server),
            _ => fragment.and_then(hpack::sender),
        };
        let Some(sender) = sender else { return false };
        if sender != call.side {
            call.send(Http2Event::RolesReversed);
            return true;
        }
        self.seeks_roles = false;
        false
    }

    /// Reads a block for its effect on the table; into `head`, with values of at most so many bytes, where `room` says
    /// so.
    fn decode(&mut self, side: Side, fragment: Option<&[u8]>, room: Option<usize>) {
        let table = self.tables.get_mut(side);
        self.head.begin(room.unwrap_or(0));
        let read = match (fragment, room) {
            (None, _) => {
                table.lose();
                self.head.has_unknown = true;
                Ok(())
            }
            (Some(fragment), Some(_)) => table.decode(fragment, &mut *self.head),
            (Some(fragment), None) => table.decode(fragment, &mut Nothing),
        };
        if read.is_err() {
            self.anomalies.insert(Anomaly::Http2HeadersMalformed);
            self.head.has_unknown = true;
        }
    }

    fn request<S: Http2Sink>(&mut self, stream: StreamId, at: Moment, call: &mut Call<'_, S>) {
        let is_sure = match self.head.wants_websocket() {
            Some(false) => {
                if call.sink.is_followed(stream) {
                    call.send(Http2Event::OtherRequest { stream });
                }
                return;
            }
            wants => wants.is_some(),
        };
        let is_late = stream <= self.answered;
        self.note_unknown();
        let windows = self.is_whole.then(|| self.windows.of_new_stream());
        let request = self.head.request(at);
        self.begin(stream, Http2Event::Request { stream, request, windows, is_sure, is_late }, call);
    }

    fn response<S: Http2Sink>(
        &mut self,
        stream: StreamId,
        is_there: bool,
        at: Moment,
        call: &mut Call<'_, S>,
    ) {
        self.note_unknown();
        let response = self.head.response(at);
        // An interim answer says its status; a block without one is unreadable, or trailers.
        if response.is_some() || self.head.has_unknown || !is_there {
            call.send(Http2Event::Response { stream, response });
        }
    }

    fn note_unknown(&mut self) {
        if self.head.has_unknown {
            self.anomalies.insert(Anomaly::Http2TableLost);
        }
    }

    fn lose_table(&mut self, side: Side) {
        self.tables.get_mut(side).lose();
    }

    /// Frames of `side` were missed: what they did to its table, and to the other's windows, is unknown.
    fn lose_tables(&mut self, side: Side) {
        self.lose_table(side);
        *self.blocks.get_mut(side) = None;
        self.is_whole = false;
        if side == Side::Client {
            // Up to the next request.
            let begin = if self.unseen.is_empty() { self.latest.0 + 1 } else { self.unseen.start };
            self.unseen = begin..u32::MAX;
        }
    }
}

impl<S: Http2Sink> Call<'_, S> {
    fn send(&mut self, event: Http2Event<'_>) {
        self.sink.http2(self.side, event);
    }

    /// A frame that may end its stream has ended.
    fn ends(&mut self, header: FrameHeader, at: Moment, wire: Wire) {
        let may_end = matches!(header.frame_type, FrameType::DATA | FrameType::HEADERS);
        if may_end && header.flags.has(Flags::END_STREAM) && self.sink.is_followed(header.stream) {
            self.send(Http2Event::End { stream: header.stream, at, wire, reset: None });
        }
    }
}
