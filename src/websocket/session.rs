//! One WebSocket: both directions' frames, counted, with each side's first Close.

use super::close::{CloseBody, CloseFrame};
use super::frame::{CONTROL_PAYLOAD_MAX, FrameHeader};
use super::framing::{FrameEvent, Framing};
use super::opcode::Opcode;
use super::plausible::is_plausible;
use super::vitals::Vitals;
use crate::anomaly::{Anomaly, AnomalySet};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::pack::pack_fields;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent};

/// What one side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames of any kind.
    pub frames: u64,
    /// Messages begun: data frames that are no continuation.
    pub messages: u64,
    /// Pings.
    pub pings: u64,
    /// Pongs.
    pub pongs: u64,
    /// Payload bytes of data frames, as their headers say it.
    pub payload_bytes: u64,
}

/// Bytes that may hide a Close: no data frame has followed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The packet that showed it.
    pub at: Moment,
    /// Stream offset of the first such byte.
    pub offset: u64,
    /// Why they can't be read.
    pub cause: HiddenCause,
    /// The sender's last packet that shows it not yet sent.
    pub unsent_at: Option<Moment>,
}

/// Why bytes can't be read as frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenCause {
    /// They are missing.
    Gap(GapCause),
    /// They are there, but no frame boundary is known.
    Unframed,
}

/// One direction.
///
/// ```text
///   0 traffic, last_data, message_bytes: what every message changes
///  64 earlier_bytes, close, hidden, flags
/// ```
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Direction {
    /// What it carried.
    pub traffic: Traffic,
    /// Its last data frame.
    pub last_data: Option<Moment>,
    /// Payload bytes of its latest message, compressed where it is.
    pub message_bytes: u64,
    /// Payload bytes of its largest message before that.
    pub earlier_bytes: u64,
    /// Its first Close.
    pub close: Option<Box<CloseFrame>>,
    /// Unreadable bytes since its last data frame: a Close may stand in them.
    pub hidden: Option<Box<Hidden>>,
    /// Inside a fragmented message?
    pub(super) in_message: bool,
    /// Did it break the protocol in a way that the frame headers show?
    pub violates: bool,
    /// Is the header of its last data frame one that no sound sender writes?
    pub(super) is_nonsense: bool,
}

/// Both directions of a WebSocket.
///
/// ```text
///    0 framings, anomalies, rsv1_allowed
///   64 vitals: those of both, 32, then each side's, 112
///  320 sides, 96 each
/// ```
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Session {
    pub(super) framings: PerSide<Framing>,
    /// Oddities.
    pub anomalies: AnomalySet,
    /// May messages be compressed (RSV1)? Unknown where the handshake was not seen.
    pub rsv1_allowed: bool,
    /// Signs of life.
    pub vitals: Vitals,
    /// What each side sent.
    pub sides: PerSide<Direction>,
}

impl Session {
    /// Joined in mid-stream: neither direction's boundaries are known.
    #[must_use]
    pub fn joined() -> Self {
        let mut session = Session { rsv1_allowed: true, ..Session::default() };
        for side in Side::BOTH {
            session.lose(side);
        }
        session
    }

    /// Reads something of each part that a frame of `side` needs; the result means nothing.
    #[must_use]
    #[inline]
    pub fn touch(&self, side: Side) -> u64 {
        let direction = &self.sides[side];
        direction.traffic.frames
            ^ direction.earlier_bytes
            ^ u64::from(direction.in_message)
            ^ u64::from(self.framings[side].is_lost())
            ^ self.vitals.touch(side)
    }

    /// Is it open, with nothing under way that is not packed?
    #[must_use]
    pub fn can_rest(&self) -> bool {
        Side::BOTH.iter().all(|side| {
            let direction = &self.sides[*side];
            direction.close.is_none() && direction.hidden.is_none() && self.framings[*side].can_rest()
        })
    }

    /// Is the next frame boundary of `side` unknown?
    #[must_use]
    pub fn is_lost(&self, side: Side) -> bool {
        self.framings[side].is_lost()
    }

    /// Does `side` stand exactly between two frames?
    #[must_use]
    pub fn is_at_boundary(&self, side: Side) -> bool {
        self.framings[side].is_at_boundary()
    }

    /// Does the next byte of `side` belong to a frame that has begun?
    #[must_use]
    pub fn is_in_frame(&self, side: Side) -> bool {
        !self.is_lost(side) && !self.is_at_boundary(side)
    }

    /// Forgets where `side`'s frames stand: they begin somewhere.
    pub fn lose(&mut self, side: Side) {
        *self.framings.get_mut(side) = Framing::lost();
    }

    /// Has `side` begun a frame that no sound sender begins, whose payload has not ended? A Close may stand in what
    /// counts as that payload. The packet of its header, where that is known.
    ///
    /// To be asked at the end: while bytes still come, the answer hangs on where the segments end.
    #[must_use]
    pub fn nonsense_frame(&self, side: Side) -> Option<Option<Moment>> {
        let (framing, direction) = (&self.framings[side], &self.sides[side]);
        if framing.is_in_payload() {
            return direction.is_nonsense.then_some(direction.last_data);
        }
        framing.open_control().is_some_and(|header| !is_plausible(header)).then_some(None)
    }

    /// Takes what `side` sent.
    // So that the common case writes down no event.
    #[inline(always)]
    pub fn stream(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) {
        let StreamEvent::Data { at, bytes, wire, offset } = event else {
            self.stream_generally(side, event, limits);
            return;
        };
        let rest = self.take_messages(side, at, bytes, wire.end, limits);
        if !rest.is_empty() {
            let offset = offset + (bytes.len() - rest.len()) as u64;
            self.stream_generally(side, StreamEvent::Data { at, bytes: rest, wire, offset }, limits);
        }
    }

    /// Do `bytes`, which `side` sends again from TCP stream offset `offset` on, differ from what its latest frame was? Only
    /// where TCP carries it without anything in between.
    #[must_use]
    pub fn differs(&self, side: Side, offset: u64, bytes: &[u8], limits: &Limits) -> bool {
        let close = self.sides[side].close.as_deref();
        self.framings[side].latest.differs(offset, bytes, close, limits)
    }

    /// What [`Session::stream`] does with frames of any kind.
    pub(super) fn stream_generally(&mut self, side: Side, event: StreamEvent<'_>, limits: &Limits) {
        let expects_mask = side == Side::Client;
        let Session { framings, sides, rsv1_allowed, anomalies, vitals } = self;
        let (framing, direction) = (framings.get_mut(side), sides.get_mut(side));
        let mut note = |event: FrameEvent<'_>| {
            vitals.note(side, &event, limits);
            direction.take(side, event, *rsv1_allowed, anomalies);
        };
        match event {
            StreamEvent::Data { at, bytes, wire, offset } => {
                framing.feed(at, bytes, wire, expects_mask, limits, &mut note);
                if framing.is_lost() {
                    let cause = HiddenCause::Unframed;
                    direction.hide(Hidden { at, offset, cause, unsent_at: None });
                }
            }
            StreamEvent::Gap(gap) => framing.gap(gap, limits, &mut note),
        }
        vitals.grew |= framing.open_control().is_some();
    }

    /// Memory it takes, in bytes; a Close left out, behind which not much more comes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let framings = self.framings.client.memory() + self.framings.server.memory();
        size_of::<Self>() + framings + self.vitals.memory()
    }

    /// Has its memory grown since this was asked last?
    #[inline]
    pub fn take_growth(&mut self) -> bool {
        std::mem::take(&mut self.vitals.grew)
    }

    /// Nothing more will come, as far as `last`. `is_cut`: that side has ended its stream.
    pub fn finish(&mut self, last: Moment, is_cut: PerSide<bool>, limits: &Limits) {
        for side in Side::BOTH {
            let Session { framings, sides, rsv1_allowed, anomalies, .. } = self;
            let (framing, direction) = (framings.get_mut(side), sides.get_mut(side));
            framing.finish(is_cut[side], limits, &mut |event| {
                direction.take(side, event, *rsv1_allowed, anomalies);
            });
            if framing.ends_in_doubt() || framing.begins_close() && !is_cut[side] {
                let at = if framing.begins_close() { last } else { direction.last_data.unwrap_or(last) };
                direction.hide(Hidden { at, offset: 0, cause: HiddenCause::Unframed, unsent_at: None });
            }
            if framing.is_lost() {
                anomalies.insert(Anomaly::FramingLost);
            }
        }
    }
}

impl Direction {
    /// Bytes that can't be read begin, unless others did before.
    pub fn hide(&mut self, hidden: Hidden) {
        self.hidden.get_or_insert_with(|| Box::new(hidden));
    }

    fn take(&mut self, side: Side, event: FrameEvent<'_>, rsv1_allowed: bool, anomalies: &mut AnomalySet) {
        match event {
            FrameEvent::Data { at, header, .. } => {
                self.check(side, &header, rsv1_allowed, anomalies);
                self.take_data(at, &header, anomalies);
            }
            FrameEvent::Control { header, .. } => {
                self.check(side, &header, rsv1_allowed, anomalies);
                self.traffic.frames += 1;
                match header.opcode {
                    Opcode::PING => self.traffic.pings += 1,
                    Opcode::PONG => self.traffic.pongs += 1,
                    _ => {}
                }
            }
            FrameEvent::Close { header, close } => {
                self.check(side, &header, rsv1_allowed, anomalies);
                self.traffic.frames += 1;
                self.take_close(close, anomalies);
            }
            FrameEvent::Resynchronized(_) => anomalies.insert(Anomaly::FramingResynchronized),
            FrameEvent::Lost(Gap { at, offset, cause, unsent_at, .. }) => {
                self.hide(Hidden { at, offset, cause: HiddenCause::Gap(cause), unsent_at });
            }
        }
    }

    fn take_data(&mut self, at: Moment, header: &FrameHeader, anomalies: &mut AnomalySet) {
        if self.close.is_some() {
            anomalies.insert(Anomaly::DataAfterClose);
        } else {
            // After a Close no data may follow: data shows that no Close stood in the hole before it.
            self.hidden = None;
        }
        self.is_nonsense = !is_plausible(header);
        let is_continuation = header.opcode == Opcode::CONTINUATION;
        if is_continuation != self.in_message && !header.opcode.is_reserved() {
            anomalies.insert(Anomaly::FragmentationError);
            self.violates = true;
        }
        self.in_message = !header.fin;
        if !is_continuation {
            self.earlier_bytes = self.earlier_bytes.max(self.message_bytes);
            self.message_bytes = 0;
        }
        self.message_bytes = self.message_bytes.saturating_add(header.payload_len);
        self.last_data = Some(at);
        self.traffic.frames += 1;
        self.traffic.messages += u64::from(!is_continuation);
        self.traffic.payload_bytes = self.traffic.payload_bytes.saturating_add(header.payload_len);
    }

    fn take_close(&mut self, close: CloseFrame, anomalies: &mut AnomalySet) {
        if self.close.is_some() {
            anomalies.insert(Anomaly::CloseRepeated);
            return;
        }
        if close.body == CloseBody::Malformed {
            anomalies.insert(Anomaly::CloseBodyMalformed);
        }
        if close.code.is_some_and(|code| !code.is_valid_on_wire()) {
            anomalies.insert(Anomaly::CloseCodeReserved);
        }
        self.close = Some(Box::new(close));
    }

    fn check(&mut self, side: Side, header: &FrameHeader, rsv1_allowed: bool, all: &mut AnomalySet) {
        let mut anomalies = AnomalySet::default();
        match side {
            Side::Client if header.mask.is_none() => anomalies.insert(Anomaly::UnmaskedClientFrame),
            Side::Server if header.mask.is_some() => anomalies.insert(Anomaly::MaskedServerFrame),
            _ => {}
        }
        if header.opcode.is_control() && !header.fin {
            anomalies.insert(Anomaly::FragmentedControlFrame);
        }
        if header.opcode.is_control() && header.payload_len > CONTROL_PAYLOAD_MAX {
            anomalies.insert(Anomaly::OversizedControlFrame);
        }
        if header.opcode.is_reserved() {
            anomalies.insert(Anomaly::ReservedOpcode);
        }
        let starts_message = matches!(header.opcode, Opcode::TEXT | Opcode::BINARY);
        let explained = header.rsv == FrameHeader::RSV1 && rsv1_allowed && starts_message;
        if header.rsv != 0 && !explained {
            anomalies.insert(Anomaly::ReservedBits);
        }
        if !header.is_minimal {
            anomalies.insert(Anomaly::NonMinimalLength);
        }
        self.violates |= !anomalies.is_empty();
        all.extend(anomalies);
    }
}

pack_fields!(Session { framings, anomalies, rsv1_allowed, vitals, sides });
pack_fields!(Traffic { frames, messages, pings, pongs, payload_bytes });
pack_fields!(Direction {
    traffic, last_data, message_bytes, earlier_bytes, in_message, violates, is_nonsense,
} without { close, hidden });
