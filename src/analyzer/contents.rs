//! What the packets of one judged connection hold, in words: its frames, through TLS and HTTP/2 where they lie in these.

use super::track::Track;
use crate::http::http1::{Http1, HttpEvent};
use crate::http::http2::frame::StreamId;
use crate::http::http2::session::{Http2Event, Http2Sink, Session as Http2};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, StreamSink, Wire};
use crate::tls::keylog::KeyLog;
use crate::tls::record::may_be_client_hello;
use crate::tls::session::{Context, Session as Tls, may_be_under_way};
use crate::websocket::close::CloseFrame;
use crate::websocket::frame::FrameHeader;
use crate::websocket::framing::{FrameEvent, Framing};

/// Layers of TLS inside TLS.
const DEPTH_MAX: usize = 2;
/// Frames of one packet that are named; of the others the last is, where a Close would stand.
const NAMED: usize = 5;

/// The protocols on top of one connection, as far as its record tells which they are.
///
/// ```text
///  TCP --> 0 to 2 x TLS --+--> head of the handshake --> frames
///                         +--> HTTP/2 --> the stream --> frames
/// ```
#[derive(Debug)]
pub(super) struct Contents {
    track: Track,
    /// Outermost first. `None`: bytes are on their way through it.
    tls: Vec<Option<Box<Tls>>>,
    http: Http1,
    http2: Option<Box<Http2>>,
    frames: PerSide<Framing>,
    /// That side's head is over: frames follow.
    is_framed: PerSide<bool>,
    words: Words,
}

/// What one packet holds.
#[derive(Debug, Default)]
pub(super) struct Words {
    first: Vec<String>,
    others: u64,
    last: Option<String>,
}

/// What reading takes beside the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aids<'a> {
    pub limits: &'a Limits,
    pub keys: &'a KeyLog,
}

/// Takes what `depth` layers of TLS have yielded.
pub(super) struct Reader<'a> {
    contents: &'a mut Contents,
    aids: Aids<'a>,
    depth: usize,
}

impl Words {
    fn push(&mut self, word: String) {
        if self.first.len() < NAMED {
            self.first.push(word);
        } else {
            self.others += u64::from(self.last.replace(word).is_some());
        }
    }

    /// All of them, taken away.
    pub(super) fn take(&mut self) -> Vec<String> {
        let mut words = std::mem::take(&mut self.first);
        let others = std::mem::take(&mut self.others);
        words.extend((others > 0).then(|| format!("{others} more frames")));
        words.extend(self.last.take());
        words
    }
}

impl Contents {
    pub(super) fn new(track: Track) -> Self {
        // Without a head nobody knows where the first frame begins.
        let frames = PerSide::from_fn(|side| match track.heads[side] {
            Some(_) => Framing::default(),
            None => Framing::lost(),
        });
        Contents {
            track,
            tls: Vec::new(),
            http: Http1::default(),
            http2: None,
            frames,
            is_framed: PerSide::default(),
            words: Words::default(),
        }
    }

    /// Takes what TCP delivers.
    pub(super) fn reader<'a>(&'a mut self, aids: Aids<'a>) -> Reader<'a> {
        Reader { contents: self, aids, depth: 0 }
    }

    /// What was found since the last time.
    pub(super) fn words(&mut self) -> &mut Words {
        &mut self.words
    }

    fn stream(&mut self, side: Side, event: StreamEvent<'_>, aids: Aids<'_>, depth: usize) {
        if depth < self.tls.len() || self.begins_tls(side, event, aids.limits) {
            self.through_tls(side, event, aids, depth);
        } else if self.track.is_tls && depth == 0 {
            // What comes before TLS: a proxy's line, or a CONNECT.
            self.before_tls(side, event, aids);
        } else if let Some(stream) = self.track.stream {
            self.through_http2(side, event, stream, aids.limits);
        } else if self.is_framed[side] {
            self.frames(side, event, aids.limits);
        } else {
            self.before_frames(side, event, aids.limits);
        }
    }

    fn begins_tls(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) -> bool {
        let StreamEvent::Data { bytes, .. } = event else { return false };
        if !self.track.is_tls || self.tls.len() >= DEPTH_MAX || self.is_framed[side] || self.http2.is_some() {
            return false;
        }
        let session = if side == Side::Client && may_be_client_hello(bytes) {
            Tls::new(false, limits)
        } else if !self.track.is_from_start && self.tls.is_empty() && may_be_under_way(bytes) {
            Tls::joined(limits)
        } else {
            return false;
        };
        self.tls.push(Some(Box::new(session)));
        true
    }

    fn through_tls(&mut self, side: Side, event: StreamEvent<'_>, aids: Aids<'_>, depth: usize) {
        let Some(mut tls) = self.tls.get_mut(depth).and_then(Option::take) else { return };
        let context = Context { limits: aids.limits, keys: aids.keys, more_keys: false };
        tls.stream(side, event, context, &mut Reader { contents: self, aids, depth: depth + 1 });
        if let Some(place) = self.tls.get_mut(depth) {
            *place = Some(tls);
        }
    }

    fn before_tls(&mut self, side: Side, event: StreamEvent<'_>, aids: Aids<'_>) {
        let StreamEvent::Data { at, offset, bytes, wire } = event else { return };
        let (used, found) = self.http.feed(side, at, bytes, aids.limits);
        let rest = bytes.get(used..).unwrap_or_default();
        let event = StreamEvent::Data { at, offset: offset + used as u64, bytes: rest, wire };
        if matches!(found, Some(HttpEvent::NotHttp)) && self.begins_tls(side, event, aids.limits) {
            self.through_tls(side, event, aids, 0);
        }
    }

    fn through_http2(&mut self, side: Side, event: StreamEvent<'_>, stream: StreamId, limits: &Limits) {
        let http2 = self.http2.get_or_insert_with(|| Box::new(Http2::new(0, limits)));
        let (frames, words, is_open) = (&mut self.frames, &mut self.words, self.track.is_open);
        http2.stream(side, event, limits, &mut OfStream { stream, is_open, frames, words, limits });
    }

    /// Looks for the end of that side's head.
    fn before_frames(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) {
        let (at, mut rest, wire) = match event {
            StreamEvent::Data { at, bytes, wire, .. } => (at, bytes, wire),
            StreamEvent::Gap(gap) => {
                self.http.gap(side, gap);
                *self.frames.get_mut(side) = Framing::lost();
                return;
            }
        };
        let Some(head) = self.track.heads[side] else {
            self.begin_frames(side, at, rest, wire, limits);
            return;
        };
        // Bodies of other answers are no frames.
        while !rest.is_empty() && at <= head {
            let (used, found) = self.http.feed(side, at, rest, limits);
            rest = rest.get(used..).unwrap_or_default();
            match found {
                Some(HttpEvent::Request(_) | HttpEvent::Response(_)) if at == head => {
                    self.begin_frames(side, at, rest, wire, limits);
                    return;
                }
                Some(HttpEvent::Request(_) | HttpEvent::Response(_)) => {}
                Some(_) | None => return,
            }
        }
        if at > head {
            *self.frames.get_mut(side) = Framing::lost();
            self.begin_frames(side, at, rest, wire, limits);
        }
    }

    fn begin_frames(&mut self, side: Side, at: Moment, bytes: &[u8], wire: Wire, limits: &Limits) {
        self.is_framed[side] = true;
        if !bytes.is_empty() {
            self.frames(side, StreamEvent::Data { at, offset: 0, bytes, wire }, limits);
        }
    }

    fn frames(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) {
        if self.track.is_open {
            name_frames(self.frames.get_mut(side), &mut self.words, side, event, limits);
        }
    }
}

impl StreamSink for Reader<'_> {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        self.contents.stream(side, event, self.aids, self.depth);
    }
}

/// Takes what HTTP/2 holds of one stream.
struct OfStream<'a> {
    stream: StreamId,
    is_open: bool,
    frames: &'a mut PerSide<Framing>,
    words: &'a mut Words,
    limits: &'a Limits,
}

impl Http2Sink for OfStream<'_> {
    fn is_followed(&self, stream: StreamId) -> bool {
        stream == self.stream
    }

    fn http2(&mut self, side: Side, event: Http2Event<'_>) {
        let OfStream { stream, frames, words, limits, .. } = self;
        match event {
            Http2Event::Content { stream: of, event } if of == *stream && self.is_open => {
                name_frames(frames.get_mut(side), words, side, event, limits);
            }
            Http2Event::End { stream: of, reset, .. } if of == *stream => {
                words.push(reset.map_or("END_STREAM".to_owned(), |error| format!("RST_STREAM ({error})")));
            }
            Http2Event::GoAway { goaway, .. } => words.push(format!("GOAWAY ({})", goaway.error)),
            Http2Event::Lost(_) => *frames.get_mut(side) = Framing::lost(),
            _ => {}
        }
    }
}

fn name_frames(
    framing: &mut Framing,
    words: &mut Words,
    side: Side,
    event: StreamEvent<'_>,
    limits: &Limits,
) {
    let mut note = |event: FrameEvent<'_>| words.push(frame_text(&event));
    match event {
        StreamEvent::Data { at, bytes, wire, .. } => {
            framing.feed(at, bytes, wire, side == Side::Client, limits, &mut note);
        }
        // Its length is not known, and what can't be decrypted is told by the verdict.
        StreamEvent::Gap(gap) if gap.cause == GapCause::Encrypted => framing.gap(gap, limits, &mut |_| {}),
        StreamEvent::Gap(gap) => framing.gap(gap, limits, &mut note),
    }
}

fn frame_text(event: &FrameEvent<'_>) -> String {
    let named = |header: &FrameHeader| {
        let more = if header.fin { "" } else { ", more follows" };
        format!("{} of {} bytes{more}", header.opcode, header.payload_len)
    };
    match event {
        FrameEvent::Data { header, .. } | FrameEvent::Control { header, .. } => named(header),
        FrameEvent::Close { close, .. } => close_text(close),
        FrameEvent::Resynchronized(_) => "frames found again".to_owned(),
        FrameEvent::Lost(Gap { len, .. }) => {
            format!("{len} bytes are missing, and with them the frame boundary")
        }
    }
}

fn close_text(close: &CloseFrame) -> String {
    match close.code {
        Some(code) => format!("Close {} {:?}", code.0, String::from_utf8_lossy(&close.reason)),
        None => "Close without a code".to_owned(),
    }
}
