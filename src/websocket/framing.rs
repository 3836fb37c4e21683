//! Frames of one direction: finds the headers, skips the payloads, collects control frames.

use super::close::CloseFrame;
use super::frame::{CONTROL_PAYLOAD_MAX, FrameHeader, HEADER_MAX, frame_header};
use super::latest::Latest;
use super::mask;
use super::opcode::Opcode;
use super::plausible;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::pack::{Pack, Packer, Unpacker, pack_fields};
use crate::tcp::stream_event::{Gap, GapCause, Wire};

/// Bytes of a control frame's payload that are kept: what RFC 6455 allows, and an over-long Close reason.
const CONTROL_KEPT: usize = 2_048;

/// What a direction holds, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameEvent<'a> {
    /// A data frame (or one of a reserved opcode) has begun; its payload is skipped.
    Data {
        /// The packet that completed the header.
        at: Moment,
        /// Its header.
        header: FrameHeader,
        /// The start of its payload as it stands on the wire, masked or not, as far as it came with the header.
        head: &'a [u8],
    },
    /// A Ping, a Pong or a reserved control frame is whole.
    Control {
        /// The packet that completed it.
        at: Moment,
        /// Its header.
        header: FrameHeader,
        /// Its payload, unmasked, as far as it is kept.
        payload: &'a [u8],
    },
    /// A Close frame is whole.
    Close {
        /// Its header.
        header: FrameHeader,
        /// The frame.
        close: CloseFrame,
    },
    /// After a hole, frames were found again.
    Resynchronized(Moment),
    /// A hole took the place of a frame boundary.
    Lost(Gap),
}

/// Where a direction stands between two frames.
///
/// ```text
///            header whole              payload skipped or collected
///  Header ------------------> Payload / Control ------------------> Header
///    |                            |
///    +---- hole ----> Lost <------+ hole beyond the frame's end
///                      |
///                      +---- plausible frames at a segment's start ----> Header
/// ```
#[derive(Clone, Debug)]
enum State {
    /// Collecting a header, of which `len` bytes are in `bytes`.
    Header { bytes: [u8; HEADER_MAX], len: u8 },
    /// Skipping a payload.
    Payload { remaining: u64 },
    /// Collecting a control frame's payload.
    Control(Box<Control>),
    /// Somewhere inside frames.
    Lost,
}

#[derive(Clone, Debug)]
struct Control {
    header: FrameHeader,
    payload: Vec<u8>,
    remaining: u64,
    is_whole: bool,
    /// The packet that brought its latest bytes.
    at: Moment,
    /// What its sender had received when it began to send it.
    peer_acked: Option<u64>,
}

const HEADER_START: State = State::Header { bytes: [0; HEADER_MAX], len: 0 };

/// The frames of one direction.
#[derive(Clone, Debug)]
pub struct Framing {
    state: State,
    pub(super) latest: Latest,
    /// Headers since framing was found again after a hole, up to where they are trusted like any other.
    on_probation: u8,
}

impl Default for Framing {
    fn default() -> Self {
        Framing { state: HEADER_START, latest: Latest::default(), on_probation: 0 }
    }
}

/// Plausible headers in a row after which a recovered framing is trusted.
const PROBATION: u8 = 8;

impl Framing {
    /// A direction whose frame boundaries are not known yet.
    #[must_use]
    pub fn lost() -> Self {
        Framing { state: State::Lost, latest: Latest::default(), on_probation: 0 }
    }

    /// Is the next frame boundary unknown?
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// Does the direction stand exactly between two frames?
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Header { len: 0, .. })
    }

    /// Does the direction stand exactly between two frames, as trusted as any?
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.is_at_boundary() && self.on_probation == 0
    }

    /// Memory of a control frame's payload so far, in bytes.
    pub(super) fn memory(&self) -> usize {
        let State::Control(control) = &self.state else { return 0 };
        size_of::<Control>() + control.payload.capacity()
    }

    /// Can all of it be packed?
    pub(super) fn can_rest(&self) -> bool {
        !matches!(self.state, State::Control(_))
    }

    /// Does the direction stand inside a data frame's payload?
    pub(super) fn is_in_payload(&self) -> bool {
        matches!(self.state, State::Payload { .. })
    }

    /// The header of the control frame whose payload is being collected.
    pub(super) fn open_control(&self) -> Option<&FrameHeader> {
        if let State::Control(control) = &self.state { Some(&control.header) } else { None }
    }

    /// Takes bytes that arrived in `at`, ending at `wire`; hands each frame to `out`.
    pub fn feed(
        &mut self,
        at: Moment,
        bytes: &[u8],
        wire: Wire,
        expects_mask: bool,
        limits: &Limits,
        out: &mut impl FnMut(FrameEvent<'_>),
    ) {
        let mut rest = bytes;
        if self.is_lost() && !self.find_frames(at, rest, expects_mask, out) {
            return;
        }
        while !rest.is_empty() {
            let step = match &mut self.state {
                State::Header { .. } => self.feed_header(at, rest, wire, limits, out),
                State::Payload { remaining } => {
                    let step = rest.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                    *remaining -= step as u64;
                    if *remaining == 0 {
                        self.state = HEADER_START;
                    }
                    step
                }
                State::Control(_) => self.feed_control(at, rest, wire, limits, out),
                State::Lost => return,
            };
            rest = rest.get(step..).unwrap_or_default();
        }
    }

    /// Takes a hole.
    pub fn gap(&mut self, gap: Gap, limits: &Limits, out: &mut impl FnMut(FrameEvent<'_>)) {
        match &mut self.state {
            State::Payload { remaining } if gap.len < *remaining => *remaining -= gap.len,
            State::Payload { remaining } if gap.len == *remaining => self.state = HEADER_START,
            State::Control(control) if gap.len <= control.remaining => {
                control.remaining -= gap.len;
                control.is_whole = false;
                if control.remaining == 0 {
                    self.finish_control(gap.offset + gap.len, limits, out);
                }
            }
            // Between frames that one byte is the FIN: no frame is that short.
            State::Header { len: 0, .. } if gap.cause == GapCause::ByteOrFin => {}
            State::Lost => out(FrameEvent::Lost(gap)),
            State::Header { .. } | State::Payload { .. } => self.lose(gap, out),
            State::Control(control) => {
                // The frame's end lies in the hole: what is known of it is kept, what follows is not.
                control.is_whole = false;
                let end = gap.offset + control.remaining;
                self.finish_control(end, limits, out);
                self.lose(gap, out);
            }
        }
    }

    /// Nothing more will come: a control frame whose end the capture does not hold is handed on as it is. `is_cut`: its sender
    /// has ended the stream, within the frame if it is not whole.
    pub fn finish(&mut self, is_cut: bool, limits: &Limits, out: &mut impl FnMut(FrameEvent<'_>)) {
        let State::Control(control) = &mut self.state else { return };
        let may_have_ended = control.header.opcode == Opcode::CLOSE && !is_cut;
        if may_have_ended || !control.is_whole {
            control.is_whole = false;
            self.finish_control(u64::MAX, limits, out);
        }
    }

    /// Does it stand within the header of what can only be a Close?
    pub(super) fn begins_close(&self) -> bool {
        let State::Header { bytes: [first, ..], len } = &self.state else { return false };
        *len > 0 && Opcode(first & 0xf) == Opcode::CLOSE
    }

    /// Does it end within a frame that was found behind a hole, and not proven by many? Then that may have been none.
    pub(super) fn ends_in_doubt(&self) -> bool {
        self.on_probation > 0 && !self.is_at_boundary() && !self.is_lost()
    }

    fn lose(&mut self, gap: Gap, out: &mut impl FnMut(FrameEvent<'_>)) {
        self.state = State::Lost;
        out(FrameEvent::Lost(gap));
    }

    /// Looks for frames at the start of a segment.
    fn find_frames(
        &mut self,
        at: Moment,
        bytes: &[u8],
        expects_mask: bool,
        out: &mut impl FnMut(FrameEvent<'_>),
    ) -> bool {
        let found = plausible::chain(bytes)
            .is_some_and(|chain| chain.masked == expects_mask && (chain.beyond == 0 || chain.frames > 1));
        if found {
            self.state = HEADER_START;
            self.on_probation = PROBATION;
            out(FrameEvent::Resynchronized(at));
        }
        found
    }

    fn feed_header(
        &mut self,
        at: Moment,
        rest: &[u8],
        wire: Wire,
        limits: &Limits,
        out: &mut impl FnMut(FrameEvent<'_>),
    ) -> usize {
        let State::Header { bytes, len } = &mut self.state else { return 0 };
        let held = usize::from(*len);
        let parsed = if held == 0 {
            frame_header(rest).map(|(after, header)| (rest.len() - after.len(), header))
        } else {
            let room = bytes.get_mut(held..).unwrap_or_default();
            let copied = room.len().min(rest.len());
            if let (Some(to), Some(from)) = (room.get_mut(..copied), rest.get(..copied)) {
                to.copy_from_slice(from);
            }
            let input = bytes.get(..held + copied).unwrap_or_default();
            frame_header(input).map(|(after, header)| (copied - after.len(), header))
        };
        let Ok((used, header)) = parsed else {
            for (to, from) in bytes.iter_mut().skip(held).zip(rest) {
                *to = *from;
            }
            *len = u8::try_from(held + rest.len()).unwrap_or(0);
            return rest.len();
        };
        if self.on_probation > 0 && !plausible::is_plausible(&header) {
            let gap = Gap {
                at,
                offset: wire.end.saturating_sub(rest.len() as u64),
                len: 0,
                cause: GapCause::Lost,
                unsent_at: None,
            };
            self.lose(gap, out);
            return rest.len();
        }
        self.on_probation = self.on_probation.saturating_sub(1);
        self.latest.note(&header, wire.end, rest.len() + held);
        let frame_wire = Wire { end: wire.end.saturating_sub((rest.len() - used) as u64), ..wire };
        let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let behind = rest.get(used..).unwrap_or_default();
        let head = behind.get(..payload_len).unwrap_or(behind);
        self.begin(at, header, head, frame_wire, limits, out);
        used
    }

    /// A header is whole.
    fn begin(
        &mut self,
        at: Moment,
        header: FrameHeader,
        head: &[u8],
        wire: Wire,
        limits: &Limits,
        out: &mut impl FnMut(FrameEvent<'_>),
    ) {
        let remaining = header.payload_len;
        if !header.opcode.is_control() {
            out(FrameEvent::Data { at, header, head });
            self.state = if remaining == 0 { HEADER_START } else { State::Payload { remaining } };
            return;
        }
        self.state = State::Control(Box::new(Control {
            header,
            payload: Vec::new(),
            remaining,
            is_whole: true,
            at,
            peer_acked: wire.peer_acked,
        }));
        if remaining == 0 {
            self.finish_control(wire.end, limits, out);
        }
    }

    fn feed_control(
        &mut self,
        at: Moment,
        rest: &[u8],
        wire: Wire,
        limits: &Limits,
        out: &mut impl FnMut(FrameEvent<'_>),
    ) -> usize {
        let State::Control(control) = &mut self.state else { return 0 };
        let step = rest.len().min(usize::try_from(control.remaining).unwrap_or(usize::MAX));
        let kept = step.min(CONTROL_KEPT.saturating_sub(control.payload.len()));
        if control.is_whole {
            control.payload.extend_from_slice(rest.get(..kept).unwrap_or_default());
        }
        control.remaining -= step as u64;
        control.at = at;
        if control.remaining == 0 {
            self.finish_control(wire.end.saturating_sub((rest.len() - step) as u64), limits, out);
        }
        step
    }

    /// The control frame under way is over; in TCP it ends at offset `end`.
    fn finish_control(&mut self, end: u64, limits: &Limits, out: &mut impl FnMut(FrameEvent<'_>)) {
        let State::Control(mut control) = std::mem::replace(&mut self.state, HEADER_START) else { return };
        let (header, at) = (control.header, control.at);
        let wire = Wire { end, peer_acked: control.peer_acked };
        mask::apply(header.mask, &mut control.payload);
        let is_whole = control.is_whole || control.payload.len() as u64 > CONTROL_PAYLOAD_MAX;
        if header.opcode == Opcode::CLOSE {
            let close = CloseFrame::read(at, wire, &header, &control.payload, is_whole, limits);
            out(FrameEvent::Close { header, close });
        } else {
            out(FrameEvent::Control { at, header, payload: &control.payload });
        }
    }
}

pack_fields!(Framing { state, latest, on_probation });

/// A control frame under way is not packed: see [`Framing::can_rest`].
impl Pack for State {
    fn pack(&self, into: &mut Packer) {
        match self {
            State::Header { bytes, len } => {
                into.put_bits(0, 2);
                len.pack(into);
                if *len > 0 {
                    bytes.pack(into);
                }
            }
            State::Payload { remaining } => {
                into.put_bits(1, 2);
                remaining.pack(into);
            }
            State::Control(_) | State::Lost => into.put_bits(2, 2),
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        match from.bits(2) {
            0 => {
                let len = u8::unpack(from);
                let bytes = if len > 0 { Pack::unpack(from) } else { [0; HEADER_MAX] };
                State::Header { bytes, len }
            }
            1 => State::Payload { remaining: u64::unpack(from) },
            _ => State::Lost,
        }
    }
}
