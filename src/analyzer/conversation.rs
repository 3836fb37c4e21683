//! One TCP connection with what runs on it, from its first packet to its verdict.

use super::Options;
use super::opaque;
use super::record::ConnectionRecord;
use super::translated::Target;
use super::upper::{Phase, Upper};
use super::watch::Standing;
use crate::anomaly::{Anomaly, AnomalySet};
use crate::decode::flow_key::{EncapsulationId, Endpoint, FlowKey};
use crate::decode::segment::{IcmpError, Segment};
use crate::diagnosis::stack;
use crate::flow::table::Keyed;
use crate::http::http2::frame::StreamId;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::seq::SeqNum;
use crate::side::{PerSide, Side};
use crate::tcp::connection::Connection;
use crate::tcp::reset::ResetValidity;
use crate::tcp::stream_event::{GapCause, StreamEvent, StreamSink};
use crate::time::Timestamp;
use crate::tls::facts::Facts;
use crate::verdict::endpoint::endpoints;
use crate::verdict::judge::judge;
use crate::verdict::teardown::{
    Answer, Blind, LastMessage, Lost, Observed, Opening, Secrecy, Sight, Teardown,
};
use crate::verdict::vantage::{self, Vantage};
use crate::websocket::session::{Direction, HiddenCause, Traffic};
use crate::websocket::vitals::{Vitals, fnv1a};
use std::num::NonZeroU64;

/// A TCP connection and the protocol on top of it.
///
/// ```text
///  Conversation, 712 bytes, at the start of a cache line in the flow table
///  0 tcp 592 -----------------------------------+ 592 upper 40 + 632 serial + 640 both ends ... + 685 the rest -+
///  | client's half 256 | server's half 256 | 80 | phase, ...   |            |  and who is client |               |
///  +--|--------------------|--------------------+--|------|----+------------+--------------------+---------------+
///     +-> reset, recovery, oddities: if any        |      +-> Handshake 96 + its values
///                                                  +-> Session 512, or Http1 120 before the Upgrade
/// ```
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Conversation {
    pub(super) tcp: Connection,
    pub(super) upper: Upper,
    serial: u64,
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
    /// ICMP errors about it, the first few; mostly none.
    #[expect(clippy::box_collection, reason = "a third of an empty vector's size")]
    icmp: Option<Box<Vec<IcmpError>>>,
    /// Hash of its handshake key, once the tracker was told.
    key: Option<NonZeroU64>,
    tcp_stream: Option<u32>,
}

impl Keyed for Conversation {
    #[inline]
    fn flow_key(&self) -> &FlowKey {
        &self.ends
    }
}

/// A connection turned out to be a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub server: Endpoint,
    /// Hash of its handshake key.
    pub key: Option<u64>,
    /// Its stream, where it lies in HTTP/2.
    pub stream: Option<StreamId>,
    /// What its request asks for.
    pub target: Option<Target>,
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
        Conversation {
            tcp: Connection::new(segment.at),
            upper: Upper::new(segment.flags.syn(), options.no_midstream),
            ends: segment.key,
            client_is_lower: segment.from_lower != from_server || segment.key.is_loop(),
            tcp_stream,
            serial,
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
        self.tcp.touch() ^ self.upper.touch(self.side_of(segment))
    }

    /// Takes a segment if it is the next one of a connection without any trouble; see [`Connection::handle_plain`].
    pub(super) fn handle_plain(&mut self, segment: &Segment<'_>, options: &Options) -> bool {
        let side = self.side_of(segment);
        let mut sink = Sink { upper: &mut self.upper, options };
        let is_plain = self.tcp.handle_plain(side, segment, &mut sink);
        if is_plain {
            self.settle_roles();
        }
        is_plain
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

    fn client(&self) -> Endpoint {
        let (lower, higher) = self.ends.endpoints();
        if self.client_is_lower { lower } else { higher }
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
        if let Some(in_frame) = self.upper.in_frame() {
            self.in_frame = in_frame;
        }
        let mut sink = Sink { upper: &mut self.upper, options };
        self.tcp.flush(&mut sink);
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
    pub(super) fn may_grow(&self) -> bool {
        !self.upper.has_settled()
    }

    /// Memory it takes in all, out-of-order segments left out, in bytes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.upper.memory()
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

    /// How long it has been idle, in nanoseconds, where the longest is to be dropped first. One that never carried a byte
    /// counts as idle many times as long: a flood of SYNs must not push out those that have something to tell.
    pub(super) fn idle(&self, now: Timestamp) -> i64 {
        const NEVER_SPOKE: i64 = 64;
        let idle = now.nanos_since(self.tcp.last_at()).max(0);
        let spoke = self.tcp.last_payload.is_some();
        if spoke { idle } else { idle.saturating_mul(NEVER_SPOKE) }
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
            return None;
        }
        let payload = self.tcp.payload_before.or(self.tcp.last_payload).unwrap_or(self.tcp.opened).at;
        let from = dead_since.map_or(payload, |since| since.min(payload));
        let to = if dead_since.is_some() { now } else { self.tcp.last.at };
        Some((from, to.max(from)))
    }

    fn has_unseen_end(&self) -> bool {
        Side::BOTH.into_iter().any(|side| self.tcp.halves[side].unseen_fin().is_some())
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn encapsulation(&self) -> EncapsulationId {
        self.ends.encapsulation()
    }

    pub(super) fn server(&self) -> Endpoint {
        let (lower, higher) = self.ends.endpoints();
        if self.client_is_lower { higher } else { lower }
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
        let server = self.server();
        if let Some(multiplexed) = self.upper.http2_mut() {
            let (stream, target) = multiplexed.streams.take_opening()?;
            return Some(Opened { server, key: None, stream: Some(stream), target });
        }
        if self.upper.server_told {
            return None;
        }
        self.upper.server_told = true;
        let request = self.upper.handshake.request.as_ref();
        self.key = request.and_then(|request| request.key.as_deref()).map(fnv1a).and_then(NonZeroU64::new);
        Some(Opened { server, key: self.key(), stream: None, target: request.map(Target::of) })
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

    /// Could it have failed before any HTTP?
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
        let last = self.tcp.last;
        if let Some(session) = self.upper.session_mut() {
            session.finish(last, limits);
        }
    }

    /// Nothing more will come: what TLS holds is given up or decrypted.
    pub(super) fn finish_tls(&mut self, options: &Options) {
        self.upper.finish_tls(self.tcp.last, options);
    }

    /// Judges it.
    pub(super) fn finish(
        mut self,
        observed: Observed,
        dropped: bool,
        vantage: Option<Vantage>,
        limits: &Limits,
    ) -> ConnectionRecord {
        self.finish_frames(limits);
        let last = self.tcp.last;
        let teardown = Box::new(self.whole_teardown(observed, dropped, limits));
        let verdict = judge(&teardown);
        let probable = self.upper.tls_facts().and_then(|facts| opaque::probable(facts, &teardown));
        let vantage = vantage.map_or_else(|| vantage::estimate(&teardown), vantage::given);
        let endpoints = endpoints(&teardown, verdict.kind, &vantage);
        let reported = PerSide::from_fn(|side| {
            stack::reported_as(&self.upper.handshake, &teardown, side, &endpoints[side])
        });
        let (anomalies, traffic, vitals) = self.take_sums();
        let last_payload = self.tcp.last_payload;
        // An alert of TLS is payload of TCP's, but breaks no silence.
        let is_read = teardown.stream.is_none() && teardown.sight == PerSide::default();
        let quiet_since = self.upper.tls_facts().filter(|_| is_read).and_then(Facts::quiet_since);
        ConnectionRecord {
            serial: self.serial,
            tcp_stream: self.tcp_stream,
            client: self.client(),
            server: self.server(),
            encapsulation: self.encapsulation(),
            encapsulation_names: Vec::new(),
            opened: self.tcp.opened,
            last,
            last_payload,
            idle_since: quiet_since.or(self.tcp.payload_before).or(last_payload),
            tls: self.upper.take_tls_facts(),
            handshake: self.upper.handshake,
            traffic,
            vitals,
            keepalives: PerSide::from_fn(|side| self.tcp.halves[side].keepalives()),
            initial_seq: PerSide::from_fn(|side| self.tcp.halves[side].initial_seq()),
            teardown,
            verdict,
            vantage,
            probable,
            endpoints,
            reported,
            other_leg: None,
            beside: None,
            anomalies,
        }
    }

    /// What was odd, and what the WebSocket carried.
    fn take_sums(&mut self) -> (AnomalySet, PerSide<Traffic>, Vitals) {
        let mut anomalies = self.anomalies();
        if let Phase::Stream(part) = &self.upper.phase {
            anomalies.extend(part.shared_anomalies);
        }
        let Some(session) = self.upper.session_mut() else {
            return (anomalies, PerSide::default(), Vitals::default());
        };
        let traffic = PerSide::from_fn(|side| session.sides[side].traffic);
        (anomalies, traffic, std::mem::take(&mut session.vitals))
    }

    /// The evidence, with what its stream of HTTP/2 has in place of TCP's.
    fn whole_teardown(&mut self, observed: Observed, dropped: bool, limits: &Limits) -> Teardown {
        let mut teardown = self.teardown(observed, limits);
        if dropped {
            teardown.lose_to_drops(PerSide::from_fn(|side| self.tcp.halves[side].next));
        }
        if let Phase::Stream(part) = &self.upper.phase {
            part.lay_over(&mut teardown);
        }
        teardown
    }

    fn teardown(&mut self, observed: Observed, limits: &Limits) -> Teardown {
        let opening = self.opening();
        let joined = self.upper.joined;
        let session = self.upper.session_mut();
        let halves = &self.tcp.halves;
        let mut close = PerSide::default();
        let mut sight = PerSide::from_fn(|side| {
            let unseen = halves[side].packets == 0;
            if unseen { lost(Blind::OneSided, None, 0, None) } else { Sight::Full }
        });
        let mut last_message = PerSide::default();
        let mut nonsense_frame = PerSide::default();
        if let Some(session) = session {
            nonsense_frame = PerSide::from_fn(|side| session.nonsense_frame(side));
            last_message = PerSide::from_fn(|side| last_message_of(&session.sides[side]));
            for side in Side::BOTH {
                let direction = session.sides.get_mut(side);
                *close.get_mut(side) = direction.close.take().map(|close| *close);
                if sight[side] == Sight::Full {
                    *sight.get_mut(side) = sight_of(direction, joined);
                }
            }
        }
        for side in Side::BOTH {
            // Its receiver may have taken other bytes than those read here.
            if let Some(at) = halves[side].differs()
                && sight[side] == Sight::Full
            {
                *sight.get_mut(side) = lost(Blind::Desynchronized, Some(at), 0, None);
            }
            // A reset ahead of its sender's bytes that ended the connection all the same: those bytes are missing.
            if let Some(reset) = halves[side].reset.as_deref().filter(|r| r.validity == ResetValidity::Ahead)
                && sight[side] == Sight::Full
            {
                *sight.get_mut(side) = lost(Blind::Gap, Some(reset.at), halves[side].next, None);
            }
        }
        Teardown {
            opening,
            close,
            fin: PerSide::from_fn(|side| halves[side].fin),
            unseen_fin: self.unseen_fins(),
            reset: PerSide::from_fn(|side| halves[side].reset.as_deref().copied()),
            sight,
            nonsense_frame,
            acked: PerSide::from_fn(|side| halves[side].acked),
            unanswered: PerSide::from_fn(|side| halves[side].unanswered),
            last: PerSide::from_fn(|side| halves[side].last),
            last_message,
            icmp: self.icmp.take().map_or_else(Vec::new, |icmp| *icmp),
            tls: self.upper.tls_facts().map(|facts| Box::new(Secrecy::of(facts))),
            stream: None,
            observed,
            unanswered_limit: limits.unanswered_sendings,
        }
    }

    /// FINs that only their acknowledgments show.
    fn unseen_fins(&self) -> PerSide<Option<Moment>> {
        let (halves, in_frame) = (&self.tcp.halves, self.in_frame);
        let mut unseen = PerSide::from_fn(|side| halves[side].unseen_fin().filter(|_| !in_frame[side]));
        for side in Side::BOTH {
            let by_peer = unseen[side.other()];
            if by_peer.is_some() && halves[side].last == by_peer && halves[side].has_hidden_fin() {
                *unseen.get_mut(side) = by_peer;
            }
        }
        unseen
    }

    fn opening(&self) -> Opening {
        let handshake = &self.upper.handshake;
        let response = handshake.response.as_ref().map(|response| Answer {
            at: response.at,
            status: response.status,
            is_switch: response.status == 101 && response.is_websocket,
            accept_valid: handshake.accept_valid(),
            not_offered: handshake.subprotocol_not_offered() || handshake.extension_not_offered(),
            is_cut: response.is_cut,
        });
        Opening {
            joined: self.upper.joined,
            syn: self.tcp.halves.client.syn,
            syn_ack: self.tcp.halves.server.syn,
            established: self.tcp.halves.client.established,
            ttl: PerSide::from_fn(|side| self.tcp.halves[side].first_ttl),
            request: handshake.request.as_ref().map(|request| request.at),
            response,
            frames: self.upper.frames(),
        }
    }
}

fn lost(blind: Blind, at: Option<Moment>, offset: u64, unsent_at: Option<Moment>) -> Sight {
    Sight::Lost(Lost { blind, at, offset, unsent_at })
}

fn last_message_of(direction: &Direction) -> LastMessage {
    LastMessage {
        at: direction.last_data,
        is_largest: direction.message_bytes > direction.earlier_bytes,
        violates: direction.violates,
    }
}

/// Could a Close of this direction have passed unseen?
fn sight_of(direction: &Direction, joined: bool) -> Sight {
    let Some(hidden) = direction.hidden.as_deref() else { return Sight::Full };
    let blind = match hidden.cause {
        HiddenCause::Gap(GapCause::Lost | GapCause::Limit | GapCause::ByteOrFin) => Blind::Gap,
        HiddenCause::Gap(GapCause::Truncated) => Blind::Truncated,
        HiddenCause::Gap(GapCause::Encrypted) => Blind::Encrypted,
        HiddenCause::Unframed if joined => Blind::StartedLate,
        HiddenCause::Unframed => Blind::Desynchronized,
    };
    lost(blind, Some(hidden.at), hidden.offset, hidden.unsent_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::table::FlowTable;
    use crate::http::upgrade::Handshake;
    use crate::tcp::half::Half;
    use crate::websocket::session::Session;

    #[test]
    fn a_connection_takes_no_more_memory_than_its_layout_says() {
        assert_eq!(size_of::<Conversation>(), 712);
        assert_eq!((size_of::<Connection>(), size_of::<Half>()), (592, 256));
        assert_eq!(FlowTable::<Conversation>::SLOT, 768);
        assert_eq!((size_of::<Upper>(), size_of::<Session>(), size_of::<Handshake>()), (40, 512, 96));
    }

    #[test]
    fn what_every_packet_needs_lies_together() {
        use std::mem::offset_of;
        let upper = offset_of!(Conversation, upper);
        assert_eq!((offset_of!(Half, plain), offset_of!(Half, unanswered)), (63, 64));
        assert_eq!((offset_of!(Connection, last), offset_of!(Connection, anomalies)), (512, 568));
        // One line more: whose packet it is, and where its payload goes.
        assert_eq!(upper / 64, (upper + offset_of!(Upper, reversed)) / 64);
        // One line more: whose packet it is.
        let (ends, last) = (offset_of!(Conversation, ends), offset_of!(Conversation, in_frame));
        assert_eq!(ends / 64, last / 64);
    }

    #[test]
    fn a_record_and_its_parts_fit_the_quick_lists_of_the_allocator() {
        assert!(size_of::<ConnectionRecord>() <= 1024 && size_of::<Teardown>() <= 1024);
    }
}
