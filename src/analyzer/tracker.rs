//! Follows all TCP connections: which segment belongs where, what is listed, what is dropped.

use super::Options;
use super::conversation::Conversation;
use super::conversations::Conversations;
use super::judging::Seen;
use super::settling::{Event, Turn};
use super::split::Which;
use super::translated::Waiting;
use super::watch::{Standing, Watch};
use crate::anomaly::{Anomaly, AnomalyCounts};
use crate::decode::flow_key::FlowKey;
use crate::decode::segment::{IcmpError, Segment};
use crate::flow::copies::CopyFilter;
use crate::flow::stream_number::StreamNumbers;
use crate::flow::table::FlowId;
use crate::http::upgrade::Heads;
use crate::time::Timestamp;
use crate::tls::keylog::Reading;
use crate::verdict::teardown::Observed;
use crate::work;
use std::collections::VecDeque;

/// Connections looked at to find one to evict.
const EVICTION_SAMPLE: usize = 64;

/// How often connections are put to rest, in packets: not in batches, so that the same ones rest however packets come.
const REST_EVERY: u32 = 32;

/// All TCP connections of one capture.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) options: Options,
    copies: CopyFilter,
    numbers: StreamNumbers,
    pub(super) table: Conversations,
    /// Ended connections, with the time at which their stragglers are no longer waited for.
    pub(super) lingering: VecDeque<(Timestamp, FlowId)>,
    pub(super) watch: Watch,
    /// What the handshakes of many connections have in common.
    heads: Heads,
    /// Requests over HTTP/2 whose other leg may come.
    pub(super) waiting: Waiting,
    /// What has come to light and was not yet handed on.
    pub(super) events: VecDeque<Event>,
    anomalies: AnomalyCounts,
    held_bytes: usize,
    eviction_cursor: usize,
    opened: u64,
    other_connections: u64,
    encrypted_connections: u64,
    pub(super) now: Timestamp,
    /// How often time has passed.
    steps: u32,
    /// When the next connection has had its time, at the earliest.
    pub(super) due: Timestamp,
    /// Once the input is over: what is still to be judged, by serial number, the next one last.
    left: Vec<(u64, FlowId)>,
}

/// A segment with the identity of its connection.
#[derive(Debug)]
pub(super) struct Located<'a> {
    segment: Segment<'a>,
    hash: u64,
    /// Where the connection was found when the batch was looked up.
    found: Option<FlowId>,
}

impl Tracker {
    pub(super) fn new(options: Options) -> Self {
        Tracker {
            copies: CopyFilter::new(&options.limits),
            numbers: StreamNumbers::default(),
            table: Conversations::new(&options.limits),
            lingering: VecDeque::new(),
            watch: Watch::default(),
            heads: Heads::default(),
            waiting: Waiting::default(),
            events: VecDeque::new(),
            anomalies: AnomalyCounts::default(),
            held_bytes: 0,
            eviction_cursor: 0,
            opened: 0,
            other_connections: 0,
            encrypted_connections: 0,
            now: Timestamp::MIN,
            steps: 0,
            due: Timestamp::MAX,
            left: Vec::new(),
            options,
        }
    }

    /// Time passes: connections whose stragglers have had their time are finished.
    #[inline]
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.steps = self.steps.wrapping_add(1);
        if self.due <= self.now || self.steps.is_multiple_of(REST_EVERY) {
            self.step();
        }
    }

    /// What is not done for every packet, apart so that the rest is short.
    #[cold]
    fn step(&mut self) {
        if self.due <= self.now {
            self.expire();
            self.give_up_dead();
            self.look_ahead();
        }
        if self.steps.is_multiple_of(REST_EVERY) {
            self.table.rest(self.now);
        }
    }

    /// Notes when the next connection has had its time.
    pub(super) fn look_ahead(&mut self) {
        let linger = self.lingering.front().map(|(deadline, _)| *deadline);
        self.due = linger.into_iter().chain(self.watch.due()).min().unwrap_or(Timestamp::MAX);
    }

    /// Which connection `segment` belongs to, before any look-up.
    #[inline]
    pub(super) fn locate<'a>(&self, segment: Segment<'a>) -> Located<'a> {
        Located { segment, hash: self.table.hash(&segment.key), found: None }
    }

    /// Looks up the connection of a packet that comes alone.
    #[inline]
    pub(super) fn look_up<'a>(&self, located: Located<'a>) -> Located<'a> {
        let found = self.table.find(located.hash, &located.segment.key);
        Located { found, ..located }
    }

    /// Looks the connections of a batch up and reads from all of them what its packets will need.
    pub(super) fn touch(&self, batch: &mut [Option<Located<'_>>]) {
        for located in batch.iter_mut().flatten() {
            located.found = self.table.find(located.hash, &located.segment.key);
        }
        let mut sum = 0;
        for located in batch.iter().flatten() {
            sum ^= located.found.map_or(0, |id| self.table.touch(id, &located.segment));
        }
        std::hint::black_box(sum);
    }

    /// Takes lines of a key log.
    pub(super) fn add_keys(&mut self, lines: &[u8]) -> Reading {
        let reading = self.options.keys.read(lines, &self.options.limits);
        self.anomalies.add(Anomaly::KeyLogLineBad, reading.bad);
        self.anomalies.add(Anomaly::KeyLogLimit, reading.beyond_limit);
        reading
    }

    /// Takes one TCP segment.
    #[inline]
    pub(super) fn handle_located(&mut self, located: &Located<'_>) {
        let direction = located.hash ^ u64::from(located.segment.from_lower);
        if self.copies.is_copy(direction, &located.segment) {
            self.note_copy(located);
        } else if !self.handle_plain(located) {
            self.handle_generally(located);
        }
    }

    /// Takes a segment if it is the next one of a connection without any trouble, that is a WebSocket or surely none.
    #[inline]
    fn handle_plain(&mut self, located: &Located<'_>) -> bool {
        let Some(id) = located.found else { return false };
        let Some(conversation) = self.table.awake_mut(id) else { return false };
        if !conversation.handle_plain(&located.segment, &self.options) {
            return false;
        }
        let (is_alive, grew) = (conversation.standing == Standing::Alive, conversation.upper.take_growth());
        if !is_alive {
            self.watch(id, located.segment.at);
        }
        if grew {
            self.table.recount(id);
            self.keep_to_memory();
        }
        true
    }

    fn note_copy(&mut self, located: &Located<'_>) {
        self.anomalies.count(Anomaly::PacketCopy);
        let found = self.table.find(located.hash, &located.segment.key);
        if let Some(conversation) = found.and_then(|id| self.table.get_mut(id)) {
            conversation.note_copy(&located.segment);
            self.keep_to_memory();
        }
    }

    /// Takes any segment.
    fn handle_generally(&mut self, located: &Located<'_>) {
        let segment = &located.segment;
        let Some(id) = self.conversation_of(located) else { return };
        let Some(conversation) = self.table.get_mut(id) else { return };
        // What payload brings, or was lost of it, is counted with the next payload at the latest.
        let may_grow = conversation.may_grow()
            && (segment.payload_len() > 0 || conversation.held_bytes() > 0 || conversation.grows_by_time());
        let held = conversation.held_bytes();
        let awaits_answer = may_grow && !conversation.has_answer();
        conversation.handle_segment(segment, &self.options);
        let grew = conversation.upper.take_growth();
        if may_grow {
            self.note_growth(id, awaits_answer);
        } else if grew {
            self.table.recount(id);
        }
        self.account(id, held);
        self.watch(id, segment.at);
        self.keep_to_memory();
    }

    /// Notes what a segment made of a connection whose kind may change with every packet: an open WebSocket is none of
    /// these. `awaited_answer`: before that segment no answer to its handshake had come.
    fn note_growth(&mut self, id: FlowId, awaited_answer: bool) {
        let now = self.now;
        let Some(conversation) = self.table.awake_mut(id) else { return };
        let openings: Vec<_> = std::iter::from_fn(|| conversation.take_opening()).collect();
        if conversation.is_websocket() {
            conversation.upper.handshake.share(&mut self.heads, &self.options.limits);
            if conversation.upper.has_settled() {
                conversation.upper.handshake.forget_key();
            }
        }
        let answered = if awaited_answer { conversation.answered() } else { None };
        let has_ended = conversation.has_ended_streams(now);
        let streams = if has_ended { conversation.take_streams(Which::Ended(now)) } else { Vec::new() };
        self.table.recount(id);
        for opened in openings {
            self.note_opening(id, opened);
        }
        self.events.extend(answered.map(|(key, asked)| Event::Answered(key, asked)));
        self.streams_ended(streams, Observed::Whole);
    }

    /// Puts connections to rest, finishes those that are over, then drops the longest idle, until all keep to the memory they
    /// are allowed.
    fn keep_to_memory(&mut self) {
        while self.table.memory() > self.options.limits.connection_bytes && self.table.len() > 1 {
            if !self.table.make_room() && !self.finish_over() {
                self.evict();
            }
        }
    }

    /// Finishes the first of those whose stragglers are waited for, if none can change anything: both FINs have arrived.
    fn finish_over(&mut self) -> bool {
        let Some((_, id)) = self.lingering.front().copied() else { return false };
        // One that is not there any more has made way.
        let is_over = self.table.awake(id).is_none_or(|conversation| conversation.tcp.is_over());
        if is_over {
            self.lingering.pop_front();
            self.finish_conversation(id, Observed::Whole);
        }
        is_over
    }

    /// Notes what a segment changed: `held` bytes were held before it.
    fn account(&mut self, id: FlowId, held: usize) {
        let limits = &self.options.limits;
        let Some(conversation) = self.table.awake_mut(id) else { return };
        if conversation.begins_to_linger() {
            let deadline = self.now.saturating_add(limits.linger);
            self.lingering.push_back((deadline, id));
            self.due = self.due.min(deadline);
            if self.options.turns && conversation.is_websocket() {
                let (client, server, at) = (conversation.client(), conversation.server(), self.now);
                self.events.push_back(Event::Closing(Turn { client, server, at }));
            }
        }
        self.held_bytes = (self.held_bytes + conversation.held_bytes()).saturating_sub(held);
        if self.held_bytes > limits.out_of_order_total_bytes {
            self.held_bytes = self.held_bytes.saturating_sub(conversation.held_bytes());
            self.anomalies.count(Anomaly::TcpOutOfOrderLimit);
            conversation.flush(&self.options);
            self.table.recount(id);
        }
    }

    /// Takes an ICMP error about a segment; an error about no known connection tells nothing.
    pub(super) fn handle_icmp(&mut self, error: &IcmpError) {
        let (key, _) = FlowKey::between(error.source, error.destination, error.encapsulation);
        let hash = self.table.hash(&key);
        let Some(id) = self.table.find(hash, &key) else { return };
        if let Some(conversation) = self.table.get_mut(id) {
            conversation.handle_icmp(error, &self.options.limits);
            self.table.recount(id);
            self.keep_to_memory();
        }
    }

    /// The input is over: everything left is judged, one by one as it is polled.
    pub(super) fn finish(&mut self) {
        self.numbers = StreamNumbers::default();
        self.left = Vec::with_capacity(self.table.len());
        self.left.extend(self.table.serials());
        // The oldest last: they are taken from the end.
        self.left.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// What came to light next.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        while self.events.is_empty()
            && let Some((_, id)) = self.left.pop()
        {
            if let Some(conversation) = self.table.remove_for_good(id) {
                self.conclude(conversation, Observed::Whole);
            }
            if 2 * self.left.len() < self.left.capacity() {
                self.left.shrink_to_fit();
            }
        }
        self.events.pop_front()
    }

    /// Oddities of the TCP layer and above.
    pub(super) fn anomalies(&self) -> &AnomalyCounts {
        &self.anomalies
    }

    /// TLS connections of which nothing could be decrypted.
    pub(super) fn encrypted_connections(&self) -> u64 {
        self.encrypted_connections
    }

    pub(super) fn open_connections(&self) -> usize {
        self.table.len()
    }

    pub(super) fn opened_connections(&self) -> u64 {
        self.opened
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Memory of the connections followed, out-of-order segments left out, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.table.memory()
    }

    /// TCP connections that surely carried no WebSocket.
    pub(super) fn other_connections(&self) -> u64 {
        self.other_connections
    }

    /// The conversation `segment` belongs to, begun if need be. `None`: it opens nothing worth following.
    fn conversation_of(&mut self, located: &Located<'_>) -> Option<FlowId> {
        let Located { segment, hash, found } = located;
        let key = &segment.key;
        // What the batch found may have been removed, what it did not find may have been added since.
        let found = found.filter(|id| self.table.holds(*id)).or_else(|| self.table.find(*hash, key));
        let is_syn = segment.flags.syn() && !segment.flags.ack();
        if let Some(id) = found {
            let may_begin = is_syn || segment.flags.syn() && self.begins_anew(id, segment);
            if !may_begin {
                return Some(id);
            }
            let stream = self.numbers.number(segment, &self.options.limits);
            let conversation = self.table.get_mut(id)?;
            if conversation.is_same_syn(segment) {
                return Some(id);
            }
            self.finish_conversation(id, Observed::Superseded(segment.at));
            return Some(self.begin(segment, stream));
        }
        let stream = self.numbers.number(segment, &self.options.limits);
        Some(self.begin(segment, stream))
    }

    /// Does a SYN,ACK answer a SYN that the capture lacks?
    fn begins_anew(&mut self, id: FlowId, segment: &Segment<'_>) -> bool {
        self.table.get_mut(id).is_some_and(|conversation| conversation.is_other_syn_ack(segment))
    }

    fn begin(&mut self, segment: &Segment<'_>, stream: Option<u32>) -> FlowId {
        while self.table.len() >= self.options.limits.connections.max(1) {
            self.evict();
        }
        self.opened += 1;
        self.table.insert(Conversation::begin(segment, stream, self.opened, &self.options))
    }

    /// Drops the longest idle of a sample of connections ([`Conversation::idle`]).
    fn evict(&mut self) {
        work::steps(EVICTION_SAMPLE);
        let oldest = self.table.longest_idle(self.eviction_cursor, EVICTION_SAMPLE, self.now);
        self.eviction_cursor = self.eviction_cursor.wrapping_add(EVICTION_SAMPLE);
        if let Some(id) = oldest {
            self.anomalies.count(Anomaly::FlowEvicted);
            self.finish_conversation(id, Observed::Evicted);
        }
    }

    /// Finishes connections whose stragglers have had their time.
    fn expire(&mut self) {
        while let Some((deadline, id)) = self.lingering.front().copied() {
            if deadline > self.now {
                break;
            }
            self.lingering.pop_front();
            if self.table.get_mut(id).is_some_and(|conversation| conversation.ends_to_linger()) {
                self.finish_conversation(id, Observed::Whole);
            }
        }
    }

    /// WebSockets in streams of one connection are over.
    fn streams_ended(&mut self, streams: Vec<Conversation>, observed: Observed) {
        for mut conversation in streams {
            conversation.finish_frames(&self.options.limits);
            for anomaly in conversation.own_anomalies().iter() {
                self.anomalies.count(anomaly);
            }
            // A packet that was dropped before TCP ended leaves a hole, which is known.
            let dropped = !conversation.is_closed_stream() && self.dropped_at_end_of(&conversation);
            self.events.push_back(Event::ended(Box::new(conversation), self.seen(observed, dropped)));
        }
    }

    fn finish_conversation(&mut self, id: FlowId, observed: Observed) {
        if let Some(conversation) = self.table.remove(id) {
            self.conclude(conversation, observed);
        }
    }

    /// Tells what became of a connection that is no longer followed.
    fn conclude(&mut self, mut conversation: Box<Conversation>, observed: Observed) {
        self.held_bytes = self.held_bytes.saturating_sub(conversation.held_bytes());
        conversation.flush(&self.options);
        conversation.finish_tls(&self.options);
        conversation.finish_frames(&self.options.limits);
        while let Some(opened) = conversation.take_opening() {
            self.events.push_back(Event::Opened(Box::new(opened)));
        }
        let anomalies = conversation.anomalies();
        for anomaly in anomalies.iter() {
            self.anomalies.count(anomaly);
        }
        if conversation.is_multiplexed() {
            let streams = conversation.take_streams(Which::All);
            self.streams_ended(streams, observed);
            return;
        }
        let is_hidden = conversation.is_opaque();
        self.encrypted_connections += u64::from(is_hidden || conversation.is_unread_tls());
        if !conversation.is_websocket() && !is_hidden && !conversation.may_have_failed() {
            self.other_connections += 1;
            return;
        }
        let dropped = self.dropped_at_end_of(&conversation);
        self.events.push_back(Event::ended(conversation, self.seen(observed, dropped)));
    }

    pub(super) fn seen(&self, observed: Observed, dropped: bool) -> Seen {
        Seen { observed, until: self.now, dropped }
    }
}
