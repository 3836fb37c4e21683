//! HTTP/2: frames, header blocks, and the streams of WebSockets.

use super::{Bytes, Cuts, small_limits};
use crate::http::http2::frame::StreamId;
use crate::http::http2::session::{Http2Event, Http2Sink, Session};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, Wire};
use std::collections::{BTreeMap, BTreeSet};

/// `options | cuts | side and length or hole, bytes | ...`
///
/// The same events whether the bytes come as they are or in small pieces, where none are lost; never more held than the
/// caps allow.
pub fn http2(input: &[u8]) {
    let mut input = Bytes(input);
    let (options, seed) = (input.byte(), input.byte());
    let limits = if options & 1 == 0 { Limits::default() } else { small_limits() };
    let (mut whole, mut cut) = (Reader::new(&limits), Reader::new(&limits));
    let (mut round, mut has_holes) = (0_u8, false);
    while !input.is_empty() {
        let place = input.u16();
        let side = if place & 0x8000 == 0 { Side::Client } else { Side::Server };
        let bytes = input.take(usize::from(place & 0x0fff));
        if place & 0x4000 != 0 {
            has_holes = true;
            whole.lose(side, bytes.len() as u64, &limits);
            cut.lose(side, bytes.len() as u64, &limits);
            continue;
        }
        whole.feed(side, bytes, &limits);
        round = round.wrapping_add(1);
        for piece in Cuts::new(seed ^ round).pieces(bytes, 1 + usize::from(seed % 23)) {
            cut.feed(side, piece, &limits);
        }
        if !has_holes {
            assert_eq!(whole.seen, cut.seen, "told whole and in pieces");
        }
    }
}

struct Reader {
    session: Session,
    offset: u64,
    seen: Seen,
}

/// What was told.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    followed: BTreeSet<StreamId>,
    content: BTreeMap<(Side, StreamId), Vec<u8>>,
    others: Vec<String>,
    is_over: bool,
}

impl Reader {
    fn new(limits: &Limits) -> Self {
        Reader { session: Session::new(0, limits), offset: 0, seen: Seen::default() }
    }

    fn feed(&mut self, side: Side, bytes: &[u8], limits: &Limits) {
        if bytes.is_empty() || self.seen.is_over {
            return;
        }
        let event =
            StreamEvent::Data { at: Moment::default(), offset: self.offset, bytes, wire: Wire::default() };
        self.offset += bytes.len() as u64;
        self.session.stream(side, event, limits, &mut self.seen);
        // Two tables, two blocks, two payloads, each of which may have grown to twice its size.
        let most = 4 * (limits.http2_table_bytes + 2 * limits.http2_header_block_bytes) + 8_192;
        assert!(self.session.held_bytes() <= most, "{} of {most}", self.session.held_bytes());
    }

    fn lose(&mut self, side: Side, len: u64, limits: &Limits) {
        if len == 0 || self.seen.is_over {
            return;
        }
        let gap =
            Gap { at: Moment::default(), offset: self.offset, len, cause: GapCause::Lost, unsent_at: None };
        self.offset += len;
        self.session.stream(side, StreamEvent::Gap(gap), limits, &mut self.seen);
    }
}

impl Http2Sink for Seen {
    fn is_followed(&self, stream: StreamId) -> bool {
        self.followed.contains(&stream)
    }

    fn http2(&mut self, side: Side, event: Http2Event<'_>) {
        assert!(!self.is_over, "nothing behind the end");
        let mut follows =
            |stream: StreamId| assert!(self.followed.contains(&stream), "{stream:?} is followed");
        match event {
            Http2Event::Content { stream, event: StreamEvent::Data { bytes, .. } } => {
                follows(stream);
                assert!(!bytes.is_empty());
                self.content.entry((side, stream)).or_default().extend_from_slice(bytes);
            }
            Http2Event::Request { stream, request, .. } => {
                assert!(self.followed.insert(stream) && side == Side::Client && stream.is_of_client());
                self.others.push(format!("{stream:?} {request:?}"));
            }
            Http2Event::NotHttp2 => self.is_over = true,
            Http2Event::End { stream, .. }
            | Http2Event::Sent { stream, .. }
            | Http2Event::Response { stream, .. } => {
                follows(stream);
                let text = match &event {
                    Http2Event::End { reset, .. } => format!("{side} {stream:?} ends {reset:?}"),
                    Http2Event::Response { response, .. } => format!("{side} {stream:?} {response:?}"),
                    _ => format!("{side} {stream:?} sent"),
                };
                self.others.push(text);
            }
            Http2Event::Content { .. } | Http2Event::Lost(_) => {}
            Http2Event::GoAway { goaway, .. } => self.others.push(format!("{side} {goaway:?}")),
            Http2Event::Allows { stream, by, .. } => self.others.push(format!("{side} {stream:?} {by}")),
        }
    }
}
