//! One TCP connection with what runs on it, from its first packet to its verdict.

mod finish;
mod resting;

use super::Options;
use super::pairing::Asked;
use super::translated::Target;
use super::upper::{Phase, Upper};
use super::watch::Standing;
use crate::anomaly::{Anomaly, AnomalySet};
use crate::decode::flow_key::{EncapsulationId, Endpoint, FlowKey};
use crate::decode::segment::{IcmpError, Segment};
use crate::http::http2::frame::StreamId;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::seq::SeqNum;
use crate::side::{PerSide, Side};
use crate::tcp::connection::Connection;
use crate::tcp::stream_event::{StreamEvent, StreamSink};
use crate::time::Timestamp;
use crate::websocket::vitals::fnv1a;
pub(super) use resting::{Parts, Resting};
use std::num::NonZeroU64;

/// A TCP connection and the protocol on top of it.
///
/// ```text
///  Conversation, 768 bytes, at the start of a cache line
///  0 what few packets need | 64 phase, both ends, who is client | 128 tcp's latest | 192 halves, 256 each | 704 oddities
///             |                    |                                                     |
///             |                    +-> Session 512, or Http1 120 before the Upgrade      +-> reset, recovery: if any
///             +-> Handshake 96 + its values
/// ```
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Conversation {
    serial: u64,
    /// ICMP errors about it, the first few; mostly none.
    #[expect(clippy::box_collection, reason = "a third of an empty vector's size")]
    icmp: Option<Box<Vec<IcmpError>>>,
    /// Hash of its handshake key, once the tracker was told.
    key: Option<NonZeroU64>,
    tcp_stream: Option<u32>,
    /// Its memory as it was counted last, in bytes.
    counted: u32,
    pub(super) upper: Upper,
    /// Both ends, VLANs and tunnels.
    ends: FlowKey,
    /// Is the lower end the client?
    client_is_lower: bool,
    /// Has its peer stopped answering?
    pub(super) standing: Standing,
    /// Has ended, and its stragglers are waited for.
    lingers: bool,
    /// At the end of observation that side's frame (or head) was still incomplete.
    in_frame: PerSide<bool>,
    pub(super) tcp: Connection,
}

/// A connection turned out to be a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    /// Number of its TCP connection.
    pub serial: u64,
    pub client: Endpoint,
    pub server: Endpoint,
    /// Its first packet.
    pub began: Moment,
    pub request: Option<Moment>,
    /// Hash of its handshake key.
    pub key: Option<u64>,
    /// Its stream, where it lies in HTTP/2.
    pub stream: Option<StreamId>,
    /// What its request asks for.
    pub target: Option<Target>,
}

/// How much sooner than others a connection may be dropped, as a factor of the time it has been idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Idleness {
    Spoke = 1,
    NeverAsked = 8,
    /// Nothing of a WebSocket or of HTTP: also what began before the capture, until it is known what it is.
    NeverSpoke = 64,
}

/// See [`Conversation::idle`].
fn idle(now: Timestamp, last: Timestamp, idleness: Idleness) -> i64 {
    now.nanos_since(last).max(0).saturating_mul(idleness as i64)
}

struct Sink<'a> {
    upper: &'a mut Upper,
    options: &'a Options,
}

impl StreamSink for Sink<'_> {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        // Until TCP is told that the roles are reversed, its sides are the wrong way round.
        let side = if self.upper.reversed { side.other() } else { side };
        self.upper.stream(side, event, self.options);
    }

    fn differs(&self, side: Side, offset: u64, bytes: &[u8]) -> bool {
        self.upper.differs(side, offset, bytes, &self.options.limits)
    }
}

/// A sink for connections whose kind is settled: their roles can't turn out reversed.
struct SettledSink<'a> {
    upper: &'a mut Upper,
    options: &'a Options,
}

impl StreamSink for SettledSink<'_> {
    #[inline(always)]
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        self.upper.stream_settled(side, event, self.options);
    }
}

impl Conversation {
    pub(super) fn begin(
        segment: &Segment<'_>,
        tcp_stream: Option<u32>,
        serial: u64,
        options: &Options,
    ) -> Self {
        let is_named = |endpoint: Endpoint| options.ws_ports.contains(&endpoint.port);
        let from_server = if segment.flags.syn() {
            segment.flags.ack()
        } else {
            // In mid-stream only a port that was named tells; what they send may tell more.
            is_named(segment.source()) && !is_named(segment.destination())
        };
        let mut upper = Upper::new(segment.flags.syn(), options.no_midstream);
        // In live capture nothing has a number.
        if tcp_stream.is_none() && options.limits.stream_numbers > 0 {
            upper.anomalies.insert(Anomaly::StreamNumberLimit);
        }
        Conversation {
            tcp: Connection::new(segment.at),
            upper,
            ends: segment.key,
            client_is_lower: segment.from_lower != from_server || segment.key.is_loop(),
            tcp_stream,
            serial,
            counted: 0,
            lingers: false,
            standing: Standing::Alive,
            in_frame: PerSide::default(),
            icmp: None,
            key: None,
        }
    }

    /// Part of this conversation: between the same ends, and in the same packets.
    pub(super) fn part_of(&self, tcp: Connection, upper: Upper, key: Option<u64>) -> Self {
        let key = key.and_then(NonZeroU64::new);
        Conversation { tcp, upper, icmp: self.icmp.clone(), key, ..*self }
    }

    /// Reads something from each part that `segment` needs, so that it is near when its turn comes.
    #[inline]
    pub(super) fn touch(&self, segment: &Segment<'_>) -> u64 {
        let side = self.side_of(segment);
        self.tcp.touch(side) ^ self.upper.touch(side)
    }

    /// Reads something from each part that is packed when it is put to rest.
    pub(super) fn touch_all(&self) -> u64 {
        let of_sides = Side::BOTH.iter().fold(0, |sum, side| sum ^ self.upper.touch(*side));
        let has_request = self.upper.handshake.request.is_some();
        of_sides ^ self.tcp.touch_all() ^ self.serial ^ u64::from(has_request)
    }

    /// Takes a segment if it is the next one of a connection without any trouble, whose kind is settled; see
    /// [`Connection::handle_plain`].
    #[inline]
    pub(super) fn handle_plain(&mut self, segment: &Segment<'_>, options: &Options) -> bool {
        if !self.upper.has_settled() {
            return false;
        }
        let side = self.side_of(segment);
        self.tcp.handle_plain(side, segment, &mut SettledSink { upper: &mut self.upper, options })
    }

    pub(super) fn handle_segment(&mut self, segment: &Segment<'_>, options: &Options) {
        let side = self.side_of(segment);
        let mut sink = Sink { upper: &mut self.upper, options };
        self.tcp.handle_segment(side, segment, &options.limits, &mut sink);
        self.settle_roles();
    }

    /// Notes a copy of a packet that was handled before.
    pub(super) fn note_copy(&mut self, segment: &Segment<'_>) {
        let side = self.side_of(segment);
        self.tcp.note_copy(side, segment);
    }

    #[inline]
    fn side_of(&self, segment: &Segment<'_>) -> Side {
        if segment.from_lower == self.client_is_lower { Side::Client } else { Side::Server }
    }

    pub(super) fn client(&self) -> Endpoint {
        self.ends.endpoint(self.client_is_lower)
    }

    /// Takes an ICMP error that quotes one of its segments.
    pub(super) fn handle_icmp(&mut self, error: &IcmpError, limits: &Limits) {
        let icmp = self.icmp.get_or_insert_default();
        if icmp.len() < limits.icmp_errors {
            icmp.push(*error);
        } else {
            self.upper.anomalies.insert(Anomaly::IcmpLimit);
        }
    }

    /// Tells TCP if content has shown that the roles were guessed wrongly.
    fn settle_roles(&mut self) {
        if self.upper.reversed {
            self.upper.reversed = false;
            self.tcp.swap_sides();
            self.client_is_lower = !self.client_is_lower || self.ends.is_loop();
        }
    }

    /// Gives up all holes: what is held is delivered.
    pub(super) fn flush(&mut self, options: &Options) {
        self.tcp.flush_held(&mut Sink { upper: &mut self.upper, options });
        // Whether a last byte that nobody saw is a FIN hangs on what stands before it.
        if let Some(in_frame) = self.upper.in_frame() {
            self.in_frame = in_frame;
        }
        self.tcp.flush(&mut Sink { upper: &mut self.upper, options });
        self.settle_roles();
    }

    /// Is `segment`, a SYN, one of this connection's own?
    pub(super) fn is_same_syn(&self, segment: &Segment<'_>) -> bool {
        let side = self.side_of(segment);
        let (own, peer) = (&self.tcp.halves[side], &self.tcp.halves[side.other()]);
        match own.initial_seq() {
            Some(initial) => initial == segment.seq,
            // The other side's SYN of a simultaneous open, or a first SYN that arrives behind other packets.
            None if own.packets == 0 => peer.syn.is_some() && peer.packets < 4,
            None => own.offset_of(segment.seq) == Some(-1) && own.next <= 1,
        }
    }

    /// Does `segment`, a SYN,ACK, belong to another connection? It names other initial sequence numbers for both sides.
    pub(super) fn is_other_syn_ack(&self, segment: &Segment<'_>) -> bool {
        let side = self.side_of(segment);
        let (own, peer) = (&self.tcp.halves[side], &self.tcp.halves[side.other()]);
        let acked = segment.ack.map(|ack| SeqNum(ack.0.wrapping_sub(1)));
        own.initial_seq().is_some_and(|initial| initial != segment.seq)
            && peer.initial_seq().is_some_and(|initial| acked.is_some_and(|acked| initial != acked))
    }

    /// May the next packet change its memory?
    #[inline]
    pub(super) fn may_grow(&self) -> bool {
        !self.upper.has_settled()
    }

    /// May a packet without payload change it?
    pub(super) fn grows_by_time(&self) -> bool {
        self.upper.is_layered()
    }

    /// Memory it takes in all, out-of-order segments left out, in bytes.
    fn memory(&self) -> usize {
        let icmp =
            self.icmp.as_ref().map_or(0, |all| size_of_val(&**all) + all.capacity() * size_of::<IcmpError>());
        size_of::<Self>() + self.upper.memory() + icmp
    }

    /// Counts its memory anew; gives what it was and what it is.
    pub(super) fn recount(&mut self) -> (usize, usize) {
        let is = u32::try_from(self.memory()).unwrap_or(u32::MAX);
        let was = std::mem::replace(&mut self.counted, is);
        (was as usize, is as usize)
    }

    /// Its memory as it was counted last, in bytes.
    pub(super) fn counted(&self) -> usize {
        self.counted as usize
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.tcp.held_bytes()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.tcp.has_ended()
    }

    /// Has it ended? True once, however often a reset turns out to be none.
    pub(super) fn begins_to_linger(&mut self) -> bool {
        let begins = !self.lingers && self.has_ended();
        self.lingers |= begins;
        begins
    }

    /// Its stragglers have had their time. False: what had ended it turned out to be no end.
    pub(super) fn ends_to_linger(&mut self) -> bool {
        self.lingers = false;
        self.has_ended()
    }

    /// How long it has been idle, in nanoseconds, where the longest is to be dropped first: as many times as long as it has
    /// little to tell.
    pub(super) fn idle(&self, now: Timestamp) -> i64 {
        idle(now, self.tcp.last_at(), self.idleness())
    }

    /// A flood of SYNs, or of requests that never end, must not push out those that have something to tell.
    fn idleness(&self) -> Idleness {
        match &self.upper.phase {
            _ if self.tcp.last_payload.is_none() => Idleness::NeverSpoke,
            // What was dropped comes back in mid-stream, and may push out another in its turn.
            Phase::Joining(_) => Idleness::NeverSpoke,
            Phase::Http(_) | Phase::Ignored => Idleness::NeverAsked,
            _ => Idleness::Spoke,
        }
    }

    /// Since when its peer has not answered, where that proves it dead (see `Teardown::timed_out`).
    pub(super) fn dead_since(&self, limits: &Limits) -> Option<Timestamp> {
        let halves = &self.tcp.halves;
        let is_dead = |side: &Side| {
            let silent = &halves[side.other()];
            halves[*side].unanswered.proves_death(limits.unanswered_sendings)
                && silent.fin.is_none()
                && silent.reset.is_none()
        };
        Side::BOTH.into_iter().find(is_dead).map(|side| halves[side].unanswered.first.at)
    }

    /// The time in which a Close may have been sent that no later packet shows: from its last payload before its end to
    /// its last packet, or to `now` where it was given up. `None`: it has not ended.
    pub(super) fn end_span(&self, now: Timestamp, limits: &Limits) -> Option<(Timestamp, Timestamp)> {
        let dead_since = self.dead_since(limits);
        if dead_since.is_none() && !self.tcp.may_have_ended() && !self.has_unseen_end() {
            // An answer to its SYN may be what the capture lacks.
            return self.is_only_asked().then_some((self.tcp.opened.at, now));
        }
        let payload = self.tcp.payload_before.or(self.tcp.last_payload).unwrap_or(self.tcp.opened).at;
        let from = dead_since.map_or(payload, |since| since.min(payload));
        let to = if dead_since.is_some() { now } else { self.tcp.last.at };
        Some((from, to.max(from)))
    }

    /// Was nothing seen but the client's SYN?
    fn is_only_asked(&self) -> bool {
        let PerSide { client, server } = &self.tcp.halves;
        client.syn.is_some() && client.established.is_none() && server.packets == 0
    }

    fn has_unseen_end(&self) -> bool {
        Side::BOTH.into_iter().any(|side| self.tcp.halves[side].unseen_fin().is_some())
    }

    #[inline]
    pub(super) fn ends(&self) -> &FlowKey {
        &self.ends
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn encapsulation(&self) -> EncapsulationId {
        self.ends.encapsulation()
    }

    pub(super) fn server(&self) -> Endpoint {
        self.ends.endpoint(!self.client_is_lower)
    }

    /// Was an Upgrade asked for, answered, or were frames recognised?
    pub(super) fn is_websocket(&self) -> bool {
        self.upper.is_websocket
    }

    /// That it is a WebSocket, once, when it turns out to be one; of HTTP/2 once for each stream.
    pub(super) fn take_opening(&mut self) -> Option<Opened> {
        if !self.upper.is_websocket {
            return None;
        }
        let (serial, client, server, began) = (self.serial, self.client(), self.server(), self.tcp.opened);
        let opened =
            Opened { serial, client, server, began, request: None, key: None, stream: None, target: None };
        if let Some(multiplexed) = self.upper.http2_mut() {
            let (stream, target) = multiplexed.streams.take_opening()?;
            let request = multiplexed.streams.began(stream);
            let began = request.unwrap_or(began);
            return Some(Opened { began, request, stream: Some(stream), target, ..opened });
        }
        if self.upper.server_told {
            return None;
        }
        self.upper.server_told = true;
        let request = self.upper.handshake.request.as_ref();
        self.key = request.and_then(|request| request.key.as_deref()).map(fnv1a).and_then(NonZeroU64::new);
        let (key, target) = (self.key(), request.map(Target::of));
        Some(Opened { request: request.map(|request| request.at), key, target, ..opened })
    }

    /// Was its request answered?
    pub(super) fn has_answer(&self) -> bool {
        self.upper.handshake.response.is_some()
    }

    /// Its handshake, with the hash of its key, once the request was answered.
    pub(super) fn answered(&self) -> Option<(u64, Asked)> {
        let handshake = &self.upper.handshake;
        let response = Some(handshake.response.as_ref()?.at);
        Some((self.key()?, Asked { serial: self.serial, request: handshake.request.as_ref()?.at, response }))
    }

    /// The hash of its handshake key, if the tracker was told of it.
    pub(super) fn key(&self) -> Option<u64> {
        self.key.map(NonZeroU64::get)
    }

    /// Is it encrypted, with nothing of it decrypted?
    pub(super) fn is_opaque(&self) -> bool {
        self.upper.is_opaque()
    }

    /// Is it TLS, which is not followed?
    pub(super) fn is_unread_tls(&self) -> bool {
        self.upper.passed_tls
    }

    /// Was it seen to begin, and has not come to any HTTP?
    pub(super) fn may_have_failed(&self) -> bool {
        self.tcp.halves.client.syn.is_some() && self.upper.is_before_http()
    }

    pub(super) fn anomalies(&self) -> AnomalySet {
        let mut all = self.tcp.anomalies;
        all.extend(self.own_anomalies());
        if let Some(tls) = self.upper.tls() {
            all.extend(tls.anomalies);
        }
        if let Some(http2) = self.upper.http2() {
            all.extend(http2.anomalies());
        }
        all
    }

    /// Oddities of this stream alone, where it is one of several in a connection.
    pub(super) fn own_anomalies(&self) -> AnomalySet {
        let mut own = self.upper.anomalies;
        if let Some(session) = self.upper.session() {
            own.extend(session.anomalies);
        }
        own
    }

    /// Nothing more will come: a frame that is cut off shows what it has. A second call changes nothing.
    pub(super) fn finish_frames(&mut self, limits: &Limits) {
        // A stream of HTTP/2 ends by itself.
        let is_stream = matches!(self.upper.phase, Phase::Stream(_));
        let is_cut = PerSide::from_fn(|side| is_stream || self.tcp.halves[side].fin.is_some());
        let last = self.tcp.last;
        if let Some(session) = self.upper.session_mut() {
            session.finish(last, is_cut, limits);
        }
    }

    /// Nothing more will come: what TLS holds is given up or decrypted.
    pub(super) fn finish_tls(&mut self, options: &Options) {
        self.upper.finish_tls(self.tcp.last, options);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::record::ConnectionRecord;
    use crate::http::upgrade::Handshake;
    use crate::tcp::half::Half;
    use crate::verdict::teardown::Teardown;
    use crate::websocket::session::Session;

    #[test]
    fn a_connection_takes_no_more_memory_than_its_layout_says() {
        assert_eq!(size_of::<Conversation>(), 768);
        assert_eq!((size_of::<Connection>(), size_of::<Half>()), (584, 256));
        assert_eq!((size_of::<Upper>(), size_of::<Session>(), size_of::<Handshake>()), (40, 512, 96));
    }

    #[test]
    fn what_every_packet_needs_lies_together() {
        use std::mem::offset_of;
        // A line for whose packet it is and where its payload goes, one for the latest packets, one for each side.
        let phase = offset_of!(Conversation, upper) + offset_of!(Upper, phase);
        assert_eq!((phase, offset_of!(Conversation, ends), offset_of!(Conversation, tcp)), (64, 80, 128));
        assert_eq!((offset_of!(Connection, last), offset_of!(Connection, halves)), (0, 64));
        assert_eq!((offset_of!(Half, plain), offset_of!(Half, unanswered)), (47, 48));
    }

    #[test]
    fn a_record_and_its_parts_fit_the_quick_lists_of_the_allocator() {
        assert!(size_of::<ConnectionRecord>() <= 1024 && size_of::<Teardown>() <= 1024);
    }
}
