//! Signs of life of one WebSocket: pings and their pongs, heartbeats in text frames, silences, message sizes.
//!
//! Evidence only: what it means is said in `diagnosis`.

use super::frame::FrameHeader;
use super::framing::FrameEvent;
use super::opcode::Opcode;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::pack::{pack_fields, pack_values};
use crate::side::{PerSide, Side};

/// Signs of life of both sides, up to the first Close.
#[derive(Clone, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Vitals {
    /// Longest time without a frame of either side, in nanoseconds; that before the end is not in it.
    pub longest_silence: i64,
    /// The first frame after that silence.
    pub longest_silence_until: Option<Moment>,
    /// Who sent the last frame.
    last_from: Option<Side>,
    /// A Close was sent: what follows is part of the end.
    closing: bool,
    /// Has their memory grown since it was counted last?
    pub(super) grew: bool,
    /// What each side showed.
    pub sides: PerSide<SideVitals>,
}

/// Signs of life of one side.
#[derive(Clone, Debug, Default, PartialEq)]
#[repr(C)]
pub struct SideVitals {
    /// Its last frame before the first Close of either side.
    pub last_frame: Option<Moment>,
    /// Longest time between two of its frames, in nanoseconds.
    pub longest_silence: i64,
    /// Its last message, if that announces the end.
    pub farewell: Option<Box<(Farewell, Moment)>>,
    /// The sizes of its messages.
    pub sizes: Sizes,
    /// Its heartbeats in text frames and the peer's answers.
    pub heartbeats: Option<Box<Pings>>,
    /// Its pings and the peer's pongs.
    pub pings: Option<Box<Pings>>,
}

/// Sizes of one side's messages, in bytes as they stand on the wire (compressed where they are).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sizes {
    /// The largest message.
    pub largest: u64,
    /// Size so far of the message in fragments that is under way, or was last.
    current: u64,
    current_at: Moment,
    /// The packet in which it began.
    pub largest_at: Moment,
    /// The largest of those before it.
    pub before: u64,
    /// Is it the largest?
    current_is_largest: bool,
    is_under_way: bool,
    /// Was the largest compressed?
    pub compressed: bool,
}

/// One side's pings and what came of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pings {
    /// Pings sent.
    pub sent: u32,
    /// Pings answered.
    pub answered: u32,
    /// The first.
    pub first: Moment,
    /// The latest.
    pub last: Moment,
    /// The latest answer.
    pub last_answer: Option<Moment>,
    /// From ping to ping.
    pub intervals: Samples,
    /// From ping to pong.
    pub round_trips: Samples,
    /// Pings without an answer, oldest first.
    pending: Vec<(u64, Moment)>,
}

/// Durations in nanoseconds: their range over all, and the latest few for the median.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// How many there were.
    pub count: u32,
    /// The shortest.
    pub min: i64,
    /// The longest.
    pub max: i64,
    latest: Vec<i64>,
}

/// A message by which an application protocol ends a session, before any Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Farewell {
    /// Engine.IO packet type 1, `close`.
    EngineIoClose,
    /// Socket.IO packet `41`, `disconnect` of a namespace.
    SocketIoDisconnect,
    /// SignalR `{"type":7}`, `Close`.
    SignalRClose,
    /// `{"type":"disconnect"`: ActionCable, Slack.
    TypeDisconnect,
}

impl Vitals {
    /// Notes a frame of `side`.
    pub fn note(&mut self, side: Side, event: &FrameEvent<'_>, limits: &Limits) {
        match event {
            FrameEvent::Close { .. } => self.closing = true,
            _ if self.closing => {}
            FrameEvent::Data { at, header, head } => self.note_message(side, *at, header, head, limits),
            FrameEvent::Control { at, header, payload } => {
                self.grew = true;
                self.note_frame(side, *at);
                match header.opcode {
                    Opcode::PING => {
                        let pings = &mut self.sides.get_mut(side).pings;
                        Pings::note(pings, fnv1a(payload), *at, limits);
                    }
                    Opcode::PONG => {
                        if let Some(pings) = &mut self.sides.get_mut(side.other()).pings {
                            pings.answer(Some(fnv1a(payload)), *at, limits);
                        }
                    }
                    _ => {}
                }
            }
            FrameEvent::Resynchronized(_) | FrameEvent::Lost(_) => {}
        }
    }

    #[inline]
    fn note_frame(&mut self, side: Side, at: Moment) {
        if let Some(last) = self.last_from.and_then(|side| self.sides[side].last_frame) {
            let silence = at.at.nanos_since(last.at);
            if silence > self.longest_silence {
                (self.longest_silence, self.longest_silence_until) = (silence, Some(at));
            }
        }
        let own = self.sides.get_mut(side);
        if let Some(last) = own.last_frame {
            own.longest_silence = own.longest_silence.max(at.at.nanos_since(last.at));
        }
        own.last_frame = Some(at);
        self.last_from = Some(side);
    }

    /// Memory they take besides themselves, in bytes.
    pub(super) fn memory(&self) -> usize {
        let of = |pings: &Option<Box<Pings>>| pings.as_ref().map_or(0, |pings| pings.memory());
        let of_side = |side: &SideVitals| of(&side.pings) + of(&side.heartbeats);
        of_side(&self.sides.client) + of_side(&self.sides.server)
    }

    /// See [`Session::touch`](super::session::Session::touch).
    #[inline]
    pub(super) fn touch(&self, side: Side) -> u64 {
        let (own, peer) = (&self.sides[side], &self.sides[side.other()]);
        let sum = own.last_frame.map_or(0, |at| u64::from(at.packet))
            ^ peer.last_frame.map_or(0, |at| u64::from(at.packet))
            ^ own.sizes.largest
            ^ u64::from(own.farewell.is_some());
        sum ^ self.longest_silence.cast_unsigned()
    }

    /// Notes a message of one frame, whose payload begins with `head`.
    #[inline]
    pub(super) fn note_message(
        &mut self,
        side: Side,
        at: Moment,
        header: &FrameHeader,
        head: &[u8],
        limits: &Limits,
    ) {
        if !self.closing {
            self.note_frame(side, at);
            self.note_data(side, at, header, head, limits);
        }
    }

    #[inline]
    fn note_data(&mut self, side: Side, at: Moment, header: &FrameHeader, head: &[u8], limits: &Limits) {
        let own = self.sides.get_mut(side);
        own.sizes.note(at, header);
        if own.farewell.is_some() {
            own.farewell = None;
        }
        let is_text = header.opcode == Opcode::TEXT && header.rsv == 0 && header.fin;
        if is_text && may_tell(header, head) {
            self.note_telling(side, at, header, head, limits);
        }
    }

    /// Notes a text that may be a heartbeat or a farewell.
    fn note_telling(&mut self, side: Side, at: Moment, header: &FrameHeader, head: &[u8], limits: &Limits) {
        self.grew = true;
        let own = self.sides.get_mut(side);
        let mut plain = [0; FAREWELL_LEN];
        let plain = unmasked_head(header, head, &mut plain);
        match (header.payload_len, plain) {
            (1, b"2") => Pings::note(&mut own.heartbeats, 0, at, limits),
            (1, b"3") => {
                if let Some(pings) = &mut self.sides.get_mut(side.other()).heartbeats {
                    pings.answer(None, at, limits);
                }
            }
            (len, plain) => own.farewell = farewell(len, plain).map(|farewell| Box::new((farewell, at))),
        }
    }
}

/// The longest of the openings that [`farewell`] knows.
const FAREWELL_LEN: usize = 20;

/// Could a text be a heartbeat, or one of those that [`farewell`] knows? Its first bytes tell of nearly all that it is none.
#[inline]
fn may_tell(header: &FrameHeader, head: &[u8]) -> bool {
    let key = header.mask.unwrap_or_default();
    match (head.first_chunk::<3>(), key) {
        (Some([a, b, c]), [x, y, z, _]) => {
            matches!([a ^ x, b ^ y, c ^ z], [b'4', b'1', b'/'] | [b'{', b'"', b't'])
        }
        (None, _) => head.len() as u64 == header.payload_len,
    }
}

fn farewell(len: u64, head: &[u8]) -> Option<Farewell> {
    match head {
        b"1" if len == 1 => Some(Farewell::EngineIoClose),
        b"41" if len == 2 => Some(Farewell::SocketIoDisconnect),
        _ if head.starts_with(b"41/") => Some(Farewell::SocketIoDisconnect),
        _ if head.starts_with(b"{\"type\":7") => Some(Farewell::SignalRClose),
        _ if head.starts_with(b"{\"type\":\"disconnect\"") => Some(Farewell::TypeDisconnect),
        _ => None,
    }
}

/// The first bytes of a frame's payload, as far as they stand in `head`, without their mask.
fn unmasked_head<'b>(header: &FrameHeader, head: &[u8], out: &'b mut [u8; FAREWELL_LEN]) -> &'b [u8] {
    let len = head.len().min(FAREWELL_LEN);
    let key = header.mask.unwrap_or_default();
    for ((to, from), key) in out.iter_mut().zip(head).zip(key.iter().cycle()) {
        *to = from ^ key;
    }
    out.get(..len).unwrap_or_default()
}

/// FNV-1a: tells ping payloads of at most 125 bytes apart without keeping them.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_on(0xcbf2_9ce4_8422_2325, bytes)
}

/// The same of what `hash` is the hash of, with `bytes` behind it.
pub(crate) fn fnv1a_on(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Sizes {
    #[inline]
    fn note(&mut self, at: Moment, header: &FrameHeader) {
        if !header.fin || header.opcode == Opcode::CONTINUATION {
            self.note_fragment(at, header);
            return;
        }
        if header.payload_len > self.largest {
            self.surpass(header);
            (self.largest, self.largest_at) = (header.payload_len, at);
        }
    }

    fn note_fragment(&mut self, at: Moment, header: &FrameHeader) {
        if header.opcode != Opcode::CONTINUATION || !self.is_under_way {
            (self.current, self.current_at, self.current_is_largest) = (0, at, false);
        }
        self.current = self.current.saturating_add(header.payload_len);
        if self.current > self.largest {
            if !self.current_is_largest {
                self.current_is_largest = true;
                self.surpass(header);
            }
            (self.largest, self.largest_at) = (self.current, self.current_at);
        }
        self.is_under_way = !header.fin;
    }

    /// A message that `header` is of is larger than the largest so far.
    fn surpass(&mut self, header: &FrameHeader) {
        self.before = self.largest;
        self.compressed = header.rsv & FrameHeader::RSV1 != 0;
    }
}

impl Pings {
    fn note(pings: &mut Option<Box<Pings>>, hash: u64, at: Moment, limits: &Limits) {
        let pings = pings.get_or_insert_with(|| Box::new(Pings::starting(at)));
        if pings.sent > 0 {
            pings.intervals.add(at.at.nanos_since(pings.last.at), limits.ping_samples);
        }
        pings.sent = pings.sent.saturating_add(1);
        pings.last = at;
        if pings.pending.len() >= limits.pings_pending.max(1) {
            pings.pending.remove(0);
        }
        pings.pending.push((hash, at));
    }

    fn starting(at: Moment) -> Self {
        Pings {
            sent: 0,
            answered: 0,
            first: at,
            last: at,
            last_answer: None,
            intervals: Samples::default(),
            round_trips: Samples::default(),
            pending: Vec::new(),
        }
    }

    /// A pong answers its ping and all before it (RFC 6455 §5.5.3). `None`: it answers the latest.
    fn answer(&mut self, hash: Option<u64>, at: Moment, limits: &Limits) {
        let index = match hash {
            Some(hash) => self.pending.iter().position(|(pending, _)| *pending == hash),
            None => self.pending.len().checked_sub(1),
        };
        let Some(index) = index else { return };
        if let Some((_, ping)) = self.pending.get(index) {
            self.round_trips.add(at.at.nanos_since(ping.at), limits.ping_samples);
        }
        self.pending.drain(..=index);
        self.answered = self.answered.saturating_add(1);
        self.last_answer = Some(at);
    }

    fn memory(&self) -> usize {
        let durations = self.intervals.latest.capacity() + self.round_trips.latest.capacity();
        let pending = self.pending.capacity() * size_of::<(u64, Moment)>();
        size_of::<Self>() + pending + durations * size_of::<i64>()
    }

    /// The oldest ping without an answer, where every later one lacks it too.
    #[must_use]
    pub fn unanswered_since(&self) -> Option<Moment> {
        self.pending.first().map(|(_, at)| *at)
    }

    /// How many pings lack an answer, up to the limit on those remembered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.pending.len()
    }
}

impl Samples {
    fn add(&mut self, nanos: i64, cap: usize) {
        let is_first = self.count == 0;
        self.min = if is_first { nanos } else { self.min.min(nanos) };
        self.max = if is_first { nanos } else { self.max.max(nanos) };
        let place = usize::try_from(self.count).unwrap_or(usize::MAX).checked_rem(cap.max(1)).unwrap_or(0);
        self.count = self.count.saturating_add(1);
        match self.latest.get_mut(place) {
            Some(slot) => *slot = nanos,
            None => self.latest.push(nanos),
        }
    }

    /// The median of the latest few, in nanoseconds.
    #[must_use]
    pub fn median(&self) -> Option<i64> {
        let mut sorted = self.latest.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

pack_fields!(Vitals { longest_silence, longest_silence_until, last_from, closing, sides } without { grew });
pack_fields!(SideVitals { last_frame, longest_silence, farewell, sizes, heartbeats, pings });
pack_fields!(Sizes {
    largest,
    current,
    current_at,
    largest_at,
    before,
    current_is_largest,
    is_under_way,
    compressed,
});
pack_fields!(Pings { sent, answered, first, last, last_answer, intervals, round_trips, pending });
pack_fields!(Samples { count, min, max, latest });
pack_values!(
    Farewell: 2 bits, Farewell::EngineIoClose, Farewell::SocketIoDisconnect, Farewell::SignalRClose,
    Farewell::TypeDisconnect,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn at(seconds: i64) -> Moment {
        Moment::new(Timestamp::from_parts(seconds, 0), 1, 0)
    }

    fn header(opcode: Opcode, payload_len: u64) -> FrameHeader {
        FrameHeader { fin: true, rsv: 0, opcode, mask: None, payload_len, is_minimal: true }
    }

    fn control(vitals: &mut Vitals, side: Side, opcode: Opcode, payload: &[u8], seconds: i64) {
        let event =
            FrameEvent::Control { at: at(seconds), header: header(opcode, payload.len() as u64), payload };
        vitals.note(side, &event, &Limits::default());
    }

    fn text(vitals: &mut Vitals, side: Side, payload: &[u8], seconds: i64) {
        let header = header(Opcode::TEXT, payload.len() as u64);
        vitals.note(side, &FrameEvent::Data { at: at(seconds), header, head: payload }, &Limits::default());
    }

    #[test]
    fn a_pong_answers_its_ping_and_those_before_it() {
        let mut vitals = Vitals::default();
        control(&mut vitals, Side::Server, Opcode::PING, b"a", 20);
        control(&mut vitals, Side::Server, Opcode::PING, b"b", 40);
        control(&mut vitals, Side::Client, Opcode::PONG, b"b", 41);
        control(&mut vitals, Side::Server, Opcode::PING, b"c", 60);
        let pings = vitals.sides.server.pings.unwrap();
        assert_eq!((pings.sent, pings.answered, pings.unanswered()), (3, 1, 1));
        assert_eq!(pings.unanswered_since(), Some(at(60)));
        assert_eq!(pings.round_trips.median(), Some(1_000_000_000));
        assert_eq!(pings.intervals.median(), Some(20_000_000_000));
    }

    #[test]
    fn a_pong_with_other_payload_answers_nothing() {
        let mut vitals = Vitals::default();
        control(&mut vitals, Side::Client, Opcode::PING, b"a", 1);
        control(&mut vitals, Side::Server, Opcode::PONG, b"x", 2);
        assert_eq!(vitals.sides.client.pings.unwrap().unanswered(), 1);
    }

    #[test]
    fn engine_io_heartbeats_are_paired() {
        let mut vitals = Vitals::default();
        text(&mut vitals, Side::Server, b"2", 25);
        text(&mut vitals, Side::Client, b"3", 26);
        text(&mut vitals, Side::Server, b"2", 50);
        let heartbeats = vitals.sides.server.heartbeats.unwrap();
        assert_eq!((heartbeats.sent, heartbeats.answered, heartbeats.unanswered()), (2, 1, 1));
    }

    #[test]
    fn the_last_message_may_be_a_farewell() {
        let mut vitals = Vitals::default();
        text(&mut vitals, Side::Server, b"{\"type\":7,\"error\":\"x\"}", 1);
        assert_eq!(vitals.sides.server.farewell.as_deref(), Some(&(Farewell::SignalRClose, at(1))));
        text(&mut vitals, Side::Server, b"{\"type\":1}", 2);
        assert_eq!(vitals.sides.server.farewell, None);
    }

    #[test]
    fn the_largest_message_stands_beside_the_largest_before_it() {
        let mut vitals = Vitals::default();
        let mut data = |opcode, len, fin, seconds| {
            let header = FrameHeader { fin, ..header(opcode, len) };
            let event = FrameEvent::Data { at: at(seconds), header, head: &[] };
            vitals.note(Side::Client, &event, &Limits::default());
        };
        data(Opcode::BINARY, 100, true, 1);
        data(Opcode::BINARY, 900, false, 2);
        data(Opcode::CONTINUATION, 900, true, 2);
        data(Opcode::BINARY, 10, true, 3);
        let sizes = vitals.sides.client.sizes;
        assert_eq!((sizes.largest, sizes.largest_at, sizes.before), (1800, at(2), 100));
    }

    #[test]
    fn the_longest_silence_is_between_frames_of_either_side() {
        let mut vitals = Vitals::default();
        text(&mut vitals, Side::Client, b"a", 0);
        text(&mut vitals, Side::Server, b"b", 10);
        text(&mut vitals, Side::Client, b"c", 15);
        assert_eq!(vitals.longest_silence, 10_000_000_000);
        assert_eq!(vitals.sides.client.longest_silence, 15_000_000_000);
    }
}
