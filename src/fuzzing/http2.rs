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
    let (mut whole, mut cut) = (Reader::new(options, &limits), Reader::new(options, &limits));
    // In its middle a frame is looked for where a segment begins: pieces hide what the whole shows.
    let (mut round, mut has_holes) = (0_u8, options & 6 != 0);
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
    unannounced: BTreeSet<StreamId>,
    content: BTreeMap<(Side, StreamId), Vec<u8>>,
    others: Vec<String>,
    is_over: bool,
}

impl Reader {
    /// From its start; with bit 1 of `options` as ALPN has agreed, with bit 2 in its middle.
    fn new(options: u8, limits: &Limits) -> Self {
        let session = match options & 6 {
            0 => Session::new(0, limits),
            2 => Session::agreed(limits),
            _ => Session::joined(options & 2 != 0, limits),
        };
        Reader { session, offset: 0, seen: Seen::default() }
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
        let follows = |stream: StreamId| assert!(self.followed.contains(&stream), "{stream:?} is followed");
        match event {
            Http2Event::Content { stream, event: StreamEvent::Data { bytes, .. } } => {
                follows(stream);
                assert!(!bytes.is_empty());
                self.content.entry((side, stream)).or_default().extend_from_slice(bytes);
            }
            Http2Event::Request { stream, request, .. } => {
                let is_new = self.followed.insert(stream) || self.unannounced.contains(&stream);
                assert!(is_new && side == Side::Client && stream.is_of_client());
                self.others.push(format!("{stream:?} {request:?}"));
            }
            Http2Event::OtherRequest { stream } => {
                assert!(self.unannounced.remove(&stream) && self.followed.remove(&stream));
            }
            Http2Event::Early { stream, .. } | Http2Event::Unannounced { stream, .. } => {
                assert!(
                    stream.is_of_client() && self.followed.insert(stream) && self.unannounced.insert(stream)
                );
            }
            Http2Event::RolesReversed => self.others.push("roles".to_owned()),
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
