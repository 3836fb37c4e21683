//! One direction's bytes, cut into frames.

use super::frame::{
    self, CLIENT_PREFACE, Flags, FrameHeader, FrameType, HEADER_LEN, Setting, block_fragment,
};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::tcp::stream_event::{StreamEvent, Wire};
use crate::work;
use std::borrow::Cow;

/// Bytes in hand, with their place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub at: Moment,
    pub offset: u64,
    pub bytes: &'a [u8],
    pub wire: Wire,
}

impl<'a> Run<'a> {
    pub(super) fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at_checked(most).unwrap_or((self.bytes, &[]));
        self.bytes = rest;
        self.offset = self.offset.saturating_add(taken.len() as u64);
        taken
    }

    pub(super) fn event(self) -> StreamEvent<'a> {
        StreamEvent::Data { at: self.at, offset: self.offset, bytes: self.bytes, wire: self.wire }
    }
}

/// What comes next in a direction.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// A DATA frame begins.
    DataBegins(FrameHeader),
    /// Some of its content, padding left out.
    Data(FrameHeader, Run<'a>),
    /// It has ended.
    DataEnds(FrameHeader),
    /// A frame whose payload matters, whole. Of SETTINGS and GOAWAY only the beginning may be there.
    Whole(FrameHeader, Cow<'a, [u8]>),
    /// A header block longer than the limit: it is passed over.
    TooLong(FrameHeader),
    /// A frame whose payload does not matter.
    Skipped(FrameHeader),
    /// Bytes that do not begin as HTTP/2 does.
    NotHttp2,
    /// Behind a loss: what was taken for a boundary was none.
    LostAgain,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes of the client's preface were seen.
    Preface(usize),
    /// Between frames, or inside a header.
    Header,
    /// Before the length of a DATA frame's padding.
    Padding(FrameHeader),
    /// Inside a DATA frame: content, then padding.
    Data { header: FrameHeader, left: usize, padding: usize },
    /// Inside a frame whose payload is collected: so many bytes of it.
    Wanted { header: FrameHeader, wanted: usize },
    /// Inside a payload that does not matter.
    Skip(usize),
    /// No boundary is known.
    Lost,
}

/// What a hole leaves of the frame that it hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hit {
    /// Nothing that matters.
    Nothing,
    /// So many bytes of a DATA frame's content, which may end with them.
    Data(FrameHeader, u64, bool),
    /// The payload of a frame that matters.
    Payload(FrameHeader),
    /// The boundary.
    Boundary,
}

/// One direction.
///
/// ```text
///  Preface --> Header --+--> Padding --> Data --+--> Header
///                |      +--> Wanted ------------+
///                v      +--> Skip --------------+
///              Lost --- a plausible boundary at a segment's start ---> Header
/// ```
#[derive(Clone, Debug)]
pub(super) struct Half {
    state: State,
    /// An incomplete header, or the incomplete payload of a frame that matters.
    held: Vec<u8>,
    /// Frames so far.
    frames: u64,
    /// Boundaries were lost once: what follows is taken for a frame only if it looks like one.
    was_lost: bool,
    /// It is known to be HTTP/2, whatever it begins with.
    is_agreed: bool,
    /// Frames in a row since boundaries were lost that have a payload.
    pub(super) filled: u32,
    /// Is any of them none of DATA?
    pub(super) has_control: bool,
}

impl Half {
    /// A direction of which `seen` bytes of the client's preface have passed; `None`: it is the server's.
    pub(super) fn new(seen: Option<usize>) -> Half {
        let state = seen.map_or(State::Header, State::Preface);
        Half {
            state,
            held: Vec::new(),
            frames: 0,
            was_lost: false,
            is_agreed: false,
            filled: 0,
            has_control: false,
        }
    }

    /// A direction in its middle: frames are looked for where segments begin.
    pub(super) fn joined() -> Half {
        Half { state: State::Lost, was_lost: true, ..Half::new(None) }
    }

    /// It is known to be HTTP/2: where it does not begin as that does, its beginning was missed.
    pub(super) fn agreed(self) -> Half {
        Half { is_agreed: true, ..self }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held.capacity()
    }

    /// Does the next byte belong to a frame that has begun?
    pub(super) fn is_inside(&self) -> bool {
        match self.state {
            State::Header => !self.held.is_empty(),
            State::Lost => false,
            State::Preface(_)
            | State::Padding(_)
            | State::Data { .. }
            | State::Wanted { .. }
            | State::Skip(_) => true,
        }
    }

    /// Has it lost its boundaries? If `bytes`, a segment's, begin with frames, it has found them again.
    pub(super) fn is_lost_before(&mut self, bytes: &[u8]) -> bool {
        if self.is_agreed && self.lacks_beginning(bytes) {
            self.lose();
        }
        if !matches!(self.state, State::Lost) {
            return false;
        }
        work::step();
        if frame::chain(bytes) > 0 {
            self.state = State::Header;
        }
        matches!(self.state, State::Lost)
    }

    /// Are `bytes`, the first that are seen, not what HTTP/2 begins with?
    fn lacks_beginning(&self, bytes: &[u8]) -> bool {
        match self.state {
            State::Preface(0) => bytes.iter().zip(CLIENT_PREFACE).any(|(found, expected)| found != expected),
            State::Header if self.frames == 0 && self.held.is_empty() && !self.was_lost => {
                frame::frame_header(bytes).is_ok_and(|(_, header)| !header.opens())
            }
            _ => false,
        }
    }

    /// Forgets where frames begin.
    pub(super) fn lose(&mut self) {
        self.state = State::Lost;
        self.held = Vec::new();
        self.was_lost = true;
        (self.filled, self.has_control) = (0, false);
    }

    fn note_frame(&mut self, header: FrameHeader) {
        self.frames = self.frames.saturating_add(1);
        if self.was_lost && header.length > 0 {
            self.filled = self.filled.saturating_add(1);
            self.has_control |= header.frame_type != FrameType::DATA;
        }
    }

    /// What comes next; `None`: nothing is left of `run`.
    pub(super) fn next<'a>(&mut self, run: &mut Run<'a>, limits: &Limits) -> Option<Piece<'a>> {
        loop {
            work::step();
            let piece = match self.state {
                State::Lost => {
                    run.take(usize::MAX);
                    return None;
                }
                State::Data { header, left: 0, padding: 0 } => {
                    self.state = State::Header;
                    return Some(Piece::DataEnds(header));
                }
                State::Skip(0) => {
                    self.state = State::Header;
                    None
                }
                _ if run.bytes.is_empty() => return None,
                State::Preface(seen) => self.preface(seen, run),
                State::Header => self.header(run, limits),
                State::Padding(header) => {
                    self.padding(header, run);
                    None
                }
                State::Data { header, left, padding } => self.data(header, left, padding, run),
                State::Skip(left) => {
                    self.state = State::Skip(left - run.take(left).len());
                    None
                }
                State::Wanted { header, wanted } => self.wanted(header, wanted, run),
            };
            if piece.is_some() {
                return piece;
            }
        }
    }

    fn preface<'a>(&mut self, seen: usize, run: &mut Run<'a>) -> Option<Piece<'a>> {
        let expected = CLIENT_PREFACE.get(seen..).unwrap_or_default();
        let taken = run.take(expected.len());
        if !expected.starts_with(taken) {
            return Some(self.is_none());
        }
        let seen = seen + taken.len();
        self.state = if seen < CLIENT_PREFACE.len() { State::Preface(seen) } else { State::Header };
        None
    }

    /// It does not begin as HTTP/2 does.
    fn is_none<'a>(&mut self) -> Piece<'a> {
        if !self.is_agreed {
            return Piece::NotHttp2;
        }
        self.lose();
        Piece::LostAgain
    }

    fn header<'a>(&mut self, run: &mut Run<'a>, limits: &Limits) -> Option<Piece<'a>> {
        let parsed = if self.held.is_empty() && run.bytes.len() >= HEADER_LEN {
            frame::frame_header(run.take(HEADER_LEN)).ok()
        } else {
            self.held.extend_from_slice(run.take(HEADER_LEN - self.held.len()));
            frame::frame_header(&self.held).ok()
        };
        let (_, header) = parsed?;
        self.held.clear();
        if self.frames == 0 && !self.was_lost && !header.opens() {
            return Some(self.is_none());
        }
        if self.was_lost && !header.is_plausible() {
            self.lose();
            return Some(Piece::LostAgain);
        }
        self.note_frame(header);
        self.begin(header, limits)
    }

    fn begin<'a>(&mut self, header: FrameHeader, limits: &Limits) -> Option<Piece<'a>> {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if header.frame_type == FrameType::DATA {
            self.state = match header.flags.has(Flags::PADDED) && length > 0 {
                true => State::Padding(header),
                false => State::Data { header, left: length, padding: 0 },
            };
            return Some(Piece::DataBegins(header));
        }
        let wanted = match header.frame_type {
            FrameType::HEADERS | FrameType::PUSH_PROMISE | FrameType::CONTINUATION => {
                if length > limits.http2_header_block_bytes {
                    self.state = State::Skip(length);
                    return Some(Piece::TooLong(header));
                }
                length
            }
            FrameType::SETTINGS => length.min(SETTINGS_READ),
            FrameType::GOAWAY => length.min(8),
            FrameType::RST_STREAM | FrameType::WINDOW_UPDATE => length.min(4),
            _ => {
                self.state = State::Skip(length);
                return Some(Piece::Skipped(header));
            }
        };
        self.state = State::Wanted { header, wanted };
        if wanted == 0 { self.wanted(header, 0, &mut Run::nothing()) } else { None }
    }

    fn padding(&mut self, header: FrameHeader, run: &mut Run<'_>) {
        let padding = run.take(1).first().map_or(0, |byte| usize::from(*byte));
        let rest = usize::try_from(header.length).unwrap_or(usize::MAX).saturating_sub(1);
        // With more padding than there is room for, there is no content.
        let left = rest.saturating_sub(padding);
        self.state = State::Data { header, left, padding: rest - left };
    }

    fn data<'a>(
        &mut self,
        header: FrameHeader,
        left: usize,
        padding: usize,
        run: &mut Run<'a>,
    ) -> Option<Piece<'a>> {
        if left == 0 {
            self.state = State::Data { header, left, padding: padding - run.take(padding).len() };
            return None;
        }
        let whole = *run;
        let bytes = run.take(left);
        self.state = State::Data { header, left: left - bytes.len(), padding };
        Some(Piece::Data(header, Run { bytes, ..whole }))
    }

    fn wanted<'a>(&mut self, header: FrameHeader, wanted: usize, run: &mut Run<'a>) -> Option<Piece<'a>> {
        let payload = if self.held.is_empty() && run.bytes.len() >= wanted {
            Cow::Borrowed(run.take(wanted))
        } else {
            self.held.extend_from_slice(run.take(wanted - self.held.len()));
            if self.held.len() < wanted {
                return None;
            }
            Cow::Owned(std::mem::take(&mut self.held))
        };
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        self.state = State::Skip(length.saturating_sub(wanted));
        Some(Piece::Whole(header, payload))
    }

    /// `len` bytes are missing. `may_be_fin`: it is one byte, which may be the FIN.
    pub(super) fn gap(&mut self, len: u64, may_be_fin: bool) -> Hit {
        let missing = usize::try_from(len).unwrap_or(usize::MAX);
        match self.state {
            State::Header if may_be_fin && self.held.is_empty() => Hit::Nothing,
            State::Lost if may_be_fin => Hit::Nothing,
            State::Lost => Hit::Boundary,
            State::Data { header, left, padding } if missing <= left + padding => {
                let content = missing.min(left);
                let (left, padding) = (left - content, padding - (missing - content));
                let ends = left == 0 && padding == 0;
                self.state = if ends { State::Header } else { State::Data { header, left, padding } };
                Hit::Data(header, content as u64, ends)
            }
            State::Skip(left) if missing <= left => {
                self.state = State::Skip(left - missing);
                Hit::Nothing
            }
            State::Wanted { header, .. } if missing <= self.unread(header) => {
                self.state = State::Skip(self.unread(header) - missing);
                self.held = Vec::new();
                Hit::Payload(header)
            }
            State::Preface(_)
            | State::Header
            | State::Padding(_)
            | State::Data { .. }
            | State::Skip(_)
            | State::Wanted { .. } => {
                self.lose();
                Hit::Boundary
            }
        }
    }

    /// Bytes of the payload that is being collected that have not come.
    fn unread(&self, header: FrameHeader) -> usize {
        usize::try_from(header.length).unwrap_or(usize::MAX).saturating_sub(self.held.len())
    }
}

impl Run<'_> {
    fn nothing() -> Self {
        Run { at: Moment::default(), offset: 0, bytes: &[], wire: Wire::default() }
    }
}

/// SETTINGS are read up to here, in bytes: a hundred of them.
const SETTINGS_READ: usize = 100 * Setting::LEN;

/// A header block that is still coming: HEADERS or PUSH_PROMISE without END_HEADERS.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The frame that began it.
    pub header: FrameHeader,
    /// Its fragments so far; `None`: they are not all there.
    pub fragments: Option<Vec<u8>>,
}

impl Block {
    /// Begins with the payload of `header`; `None`: not all of that is there.
    pub(super) fn begin(header: FrameHeader, payload: Option<&[u8]>) -> Block {
        let fragments = payload.and_then(|payload| block_fragment(header, payload)).map(<[u8]>::to_vec);
        Block { header, fragments }
    }

    /// Goes on with the payload of a CONTINUATION. False: it is longer than `most` bytes, and given up.
    pub(super) fn extend(&mut self, payload: Option<&[u8]>, most: usize) -> bool {
        let (Some(fragments), Some(payload)) = (&mut self.fragments, payload) else {
            self.fragments = None;
            return true;
        };
        if fragments.len() + payload.len() > most {
            self.fragments = None;
            return false;
        }
        fragments.extend_from_slice(payload);
        true
    }
}
