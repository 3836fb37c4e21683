//! Where frames of a side are missing, or out of sight.

use super::{Call, Http2Event, Http2Sink, Session, UNKNOWN_LEN};
use crate::http::http2::frame::{FrameHeader, FrameType, StreamId};
use crate::http::http2::half::{Hit, Run};
use crate::side::Side;
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, Wire};

impl Session {
    /// Bytes pass of which nobody knows where frames begin.
    pub(super) fn skip<S: Http2Sink>(&mut self, run: &Run<'_>, call: &mut Call<'_, S>) {
        if self.holes[call.side].is_none() && !run.bytes.is_empty() {
            let (at, offset) = (run.at, run.offset);
            self.hide(Gap { at, offset, len: UNKNOWN_LEN, cause: GapCause::Lost, unsent_at: None }, call);
        }
    }

    /// The sender is out of sight from here on: for the streams that are followed, and for those that begin meanwhile.
    fn hide<S: Http2Sink>(&mut self, gap: Gap, call: &mut Call<'_, S>) {
        if self.holes[call.side].is_some() {
            return; // all streams know
        }
        let gap = Gap { len: UNKNOWN_LEN, ..gap };
        *self.holes.get_mut(call.side) = Some(gap);
        call.send(Http2Event::Lost(gap));
    }

    /// Tells of a stream that begins, and that a side is out of sight.
    pub(super) fn begin<S: Http2Sink>(
        &self,
        stream: StreamId,
        event: Http2Event<'_>,
        call: &mut Call<'_, S>,
    ) {
        call.send(event);
        for side in Side::BOTH {
            if let Some(gap) = self.holes[side] {
                call.sink.http2(side, Http2Event::Content { stream, event: StreamEvent::Gap(gap) });
            }
        }
    }

    pub(super) fn gap<S: Http2Sink>(&mut self, gap: Gap, call: &mut Call<'_, S>) {
        let side = call.side;
        match self.halves.get_mut(side).gap(gap.len, gap.cause == GapCause::ByteOrFin) {
            Hit::Nothing => {}
            Hit::Data(header, len, ends) => {
                let stream = header.stream;
                if len > 0 && call.sink.is_followed(stream) {
                    call.send(Http2Event::Content { stream, event: StreamEvent::Gap(Gap { len, ..gap }) });
                }
                if ends {
                    call.ends(
                        header,
                        gap.at,
                        Wire { end: gap.offset.saturating_add(gap.len), peer_acked: None },
                    );
                }
            }
            Hit::Payload(header) => self.lost_payload(header, gap, call),
            Hit::Boundary => self.lost_boundary(gap, call),
        }
    }

    /// The payload of a frame that matters is not whole: of a header block the fields are lost, of others too much.
    fn lost_payload<S: Http2Sink>(&mut self, header: FrameHeader, gap: Gap, call: &mut Call<'_, S>) {
        let is_block = matches!(
            header.frame_type,
            FrameType::HEADERS | FrameType::PUSH_PROMISE | FrameType::CONTINUATION
        );
        if is_block {
            let wire = Wire { end: gap.offset.saturating_add(gap.len), peer_acked: None };
            self.frame(header, None, gap.at, wire, call);
        } else {
            self.is_whole = false;
            call.send(Http2Event::Lost(Gap { len: UNKNOWN_LEN, ..gap }));
        }
    }

    pub(super) fn lost_boundary<S: Http2Sink>(&mut self, gap: Gap, call: &mut Call<'_, S>) {
        self.lose_tables(call.side);
        self.hide(gap, call);
    }
}
