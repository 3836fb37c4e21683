//! Wires the layers: packets in, judged connections out.

mod begins_http2;
mod conversation;
mod conversations;
mod contents;
mod facts;
pub(crate) mod interned;
mod joining;
mod judging;
mod multiplexed;
mod on_trial;
mod opaque;
pub mod ladder;
pub mod ladders;
pub mod members;
mod pairing;
pub mod record;
mod secured;
mod settling;
mod split;
pub mod track;
mod tracker;
mod translated;
mod upper;
mod watch;

#[cfg(test)]
mod growth;

use crate::anomaly::AnomalyCounts;
use crate::capture::{Block, PacketRef};
use crate::decode::Decoder;
use crate::decode::segment::Decoded;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::tls::keylog::{KeyLog, Reading};
use crate::verdict::vantage::Vantage;
pub use judging::Judge;
use record::ConnectionRecord;
use settling::Event;
pub use settling::{Followed, Settled, Settler, Turn};
use std::time::Duration;
use tracker::{Located, Tracker};

/// Packets worked on together.
const BATCH: usize = 32;

/// How an analysis is done.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Caps and timeouts.
    pub limits: Limits,
    /// Drop packets with bad checksums.
    pub verify_checksums: bool,
    /// Do not recognise WebSockets whose handshake is not in the capture.
    pub no_midstream: bool,
    /// Server ports that carry WebSockets, even where none was seen to open.
    pub ws_ports: Vec<u16>,
    /// Keys of TLS sessions. More of them may come with the packets ([`Block::secrets`]).
    pub keys: KeyLog,
    /// Keys may come later than the packets they are for, which then wait for them.
    pub more_keys: bool,
    /// List connections in TLS that can't be decrypted, where they look like a WebSocket.
    pub encrypted: bool,
    /// Report a connection whose peer is dead once it has been so for this long, before it ends; `None`: never, as in
    /// files.
    pub dead_after: Option<Duration>,
    /// Tell when a WebSocket opens, and when its TCP ends, before it is judged ([`Settled::Opened`]).
    pub turns: bool,
    /// Where the capture was taken; `None`: it is estimated for each connection.
    pub vantage: Option<Vantage>,
}

/// The first half of an analysis: packets in, followed connections out.
///
/// ```text
///  blocks --> Follower --Followed--> Settler --ConnectionRecord-->
///             decode, flow, tcp,     verdict, pairing of legs
///             http, websocket
/// ```
///
/// The halves share nothing, so that they may run on two threads; [`Analyzer`] is both on one.
#[derive(Debug)]
pub struct Follower {
    decoder: Decoder,
    tracker: Tracker,
}

impl Options {
    /// Is there any use in following TLS: keys, or ports whose connections are listed even without?
    fn follows_tls(&self) -> bool {
        !self.keys.is_empty() || self.more_keys || self.encrypted || !self.ws_ports.is_empty()
    }
}

/// Reads something of the headers of each packet and of what follows them, where another thread has just written them:
/// they come together, not one by one.
#[inline]
fn touch_headers(block: &Block, packets: &[PacketRef]) {
    /// Where the headers of Ethernet, IPv4 and TCP with its usual options begin and end.
    const PLACES: [usize; 2] = [14, 66];
    let starts = packets.iter().map(|packet| packet.range.start as usize);
    let places = starts.flat_map(|start| PLACES.map(|place| start + place));
    let sum = places.fold(0, |sum, place| sum ^ block.bytes.get(place).map_or(0, |byte| *byte));
    std::hint::black_box(sum);
}

/// The two halves of an analysis.
#[must_use]
pub fn halves(options: Options) -> (Follower, Settler) {
    let settler = Settler::new(&options);
    let decoder = Decoder::new(&options.limits, options.verify_checksums);
    (Follower { decoder, tracker: Tracker::new(options) }, settler)
}

impl Follower {
    /// Takes all packets of `block`.
    ///
    /// Works on a few packets at a time, step by step: with many connections, what one packet needs of memory is far
    /// from the processor, and asking for all of it before using any hides most of the way.
    pub fn handle_block(&mut self, block: &Block) {
        for secrets in &block.secrets {
            self.add_keys(secrets);
        }
        let mut batch: Vec<Option<Located<'_>>> = Vec::with_capacity(BATCH);
        for packets in block.packets.chunks(BATCH) {
            batch.clear();
            touch_headers(block, packets);
            let Follower { decoder, tracker } = self;
            batch.extend(packets.iter().map(|packet| {
                let bytes = block.packet_bytes(packet);
                let segment = decoder.decode_common(packet.at, packet.link_type, bytes)?;
                Some(tracker.locate(segment))
            }));
            self.handle_batch(block, packets, &mut batch);
        }
    }

    fn handle_batch<'b>(
        &mut self,
        block: &'b Block,
        packets: &'b [PacketRef],
        batch: &mut [Option<Located<'b>>],
    ) {
        self.tracker.touch(batch);
        for (packet, located) in packets.iter().zip(batch) {
            match located {
                Some(located) => {
                    self.tracker.advance(packet.at.at);
                    self.tracker.handle_located(located);
                }
                None => self.handle_uncommon(packet, block.packet_bytes(packet)),
            }
        }
    }

    /// Takes lines of a key log. Bad ones are counted.
    pub fn add_keys(&mut self, lines: &[u8]) -> Reading {
        self.tracker.add_keys(lines)
    }

    /// Takes one packet.
    pub fn handle_packet(&mut self, packet: &PacketRef, bytes: &[u8]) {
        match self.decoder.decode_common(packet.at, packet.link_type, bytes) {
            Some(segment) => {
                self.tracker.advance(packet.at.at);
                let located = self.tracker.locate(segment);
                self.tracker.handle_located(&self.tracker.look_up(located));
            }
            None => self.handle_uncommon(packet, bytes),
        }
    }

    /// Takes a packet that the decoder's fast path has left.
    fn handle_uncommon(&mut self, packet: &PacketRef, bytes: &[u8]) {
        self.tracker.advance(packet.at.at);
        let decoded = self.decoder.decode_generally(
            packet.at,
            packet.link_type,
            packet.fcs_len,
            bytes,
            packet.original_len,
        );
        match decoded {
            Decoded::Segment(segment) => {
                let located = self.tracker.locate(segment);
                self.tracker.handle_located(&located);
            }
            Decoded::Icmp(error) => self.tracker.handle_icmp(&error),
            Decoded::Nothing => {}
        }
    }

    /// Time has passed without a packet, as in live capture: what has had its time is finished.
    pub fn advance(&mut self, now: Timestamp) {
        self.tracker.advance(now);
    }

    /// The latest time that packets, or [`advance`](Follower::advance), have told.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.tracker.now
    }

    /// The capture dropped packets between two times: no connection that ended then is said to have sent no Close.
    pub fn note_losses(&mut self, from: Timestamp, to: Timestamp) {
        self.tracker.note_losses(from, to);
    }

    /// Where the clock has stepped back to `now`, goes back with it; gives by how many nanoseconds, if at all.
    pub fn follow_clock(&mut self, now: Timestamp) -> Option<u64> {
        self.tracker.follow_clock(now)
    }

    /// The input is over: what is left comes out as [`poll`](Follower::poll) asks for it.
    pub fn finish(&mut self) {
        self.decoder.finish();
        self.tracker.finish();
    }

    /// What came to light next.
    pub fn poll(&mut self) -> Option<Followed> {
        let mut event = self.tracker.poll_event()?;
        if let Event::Ended(ended) = &mut event {
            ended.encapsulation = self.decoder.encapsulation_names(ended.conversation.encapsulation());
        }
        Some(Followed(event))
    }

    /// The keys of TLS sessions so far.
    #[must_use]
    pub fn keys(&self) -> &KeyLog {
        &self.tracker.options.keys
    }

    /// Oddities so far, over all layers; [`Settler::anomalies`] has the rest.
    #[must_use]
    pub fn anomalies(&self) -> AnomalyCounts {
        self.tracker.anomalies().clone().and(self.decoder.anomalies())
    }

    /// The decoder, for what it met.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// TLS connections of which nothing could be decrypted.
    #[must_use]
    pub fn encrypted_connections(&self) -> u64 {
        self.tracker.encrypted_connections()
    }

    /// TCP connections followed now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.tracker.open_connections()
    }

    /// TCP connections followed so far.
    #[must_use]
    pub fn opened_connections(&self) -> u64 {
        self.tracker.opened_connections()
    }

    /// Memory of the connections followed now, as estimated, in bytes; out-of-order segments left out.
    #[must_use]
    pub fn connection_bytes(&self) -> usize {
        self.tracker.memory()
    }

    /// Memory for out-of-order payload now, over all connections, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.tracker.held_bytes()
    }

    /// How often a connection was put to rest so far.
    #[must_use]
    pub fn rested(&self) -> u64 {
        self.tracker.table.rested()
    }

    /// TCP connections that surely carried no WebSocket; [`Settler::other_connections`] has the rest.
    #[must_use]
    pub fn other_connections(&self) -> u64 {
        self.tracker.other_connections()
    }
}

/// The analysis of one capture, driven by [`handle_block`](Analyzer::handle_block) and drained by
/// [`poll_record`](Analyzer::poll_record).
#[derive(Debug)]
pub struct Analyzer {
    follower: Follower,
    settler: Settler,
    is_over: bool,
}

impl Analyzer {
    /// A fresh analysis.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (follower, settler) = halves(options);
        Analyzer { follower, settler, is_over: false }
    }

    /// Takes all packets of `block`.
    pub fn handle_block(&mut self, block: &Block) {
        self.follower.handle_block(block);
    }

    /// Takes lines of a key log. Bad ones are counted.
    pub fn add_keys(&mut self, lines: &[u8]) -> Reading {
        self.follower.add_keys(lines)
    }

    /// Takes one packet.
    pub fn handle_packet(&mut self, packet: &PacketRef, bytes: &[u8]) {
        self.follower.handle_packet(packet, bytes);
    }

    /// Time has passed without a packet, as in live capture: what has had its time is finished.
    pub fn advance(&mut self, now: Timestamp) {
        self.follower.advance(now);
    }

    /// The input is over: everything left is judged, as [`poll_record`](Analyzer::poll_record) asks for it. Totals are
    /// final once that has given `None`.
    pub fn finish(&mut self) {
        self.follower.finish();
        self.is_over = true;
    }

    /// The next judged connection.
    pub fn poll_record(&mut self) -> Option<Box<ConnectionRecord>> {
        loop {
            if let Some(record) = self.settler.poll_record() {
                return Some(record);
            }
            match self.follower.poll() {
                Some(followed) => self.settler.take(followed),
                None if self.is_over => {
                    self.settler.finish();
                    return self.settler.poll_record();
                }
                None => return None,
            }
        }
    }

    /// The keys of TLS sessions so far.
    #[must_use]
    pub fn keys(&self) -> &KeyLog {
        self.follower.keys()
    }

    /// Oddities so far, over all layers.
    #[must_use]
    pub fn anomalies(&self) -> AnomalyCounts {
        self.follower.anomalies().and(self.settler.anomalies())
    }

    /// The decoder, for what it met.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        self.follower.decoder()
    }

    /// TCP connections followed now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.follower.open_connections()
    }

    /// Memory of the connections followed now, as estimated, in bytes; out-of-order segments left out.
    #[must_use]
    pub fn connection_bytes(&self) -> usize {
        self.follower.connection_bytes()
    }

    /// Memory for out-of-order payload now, over all connections, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.follower.held_bytes()
    }

    /// How often a connection was put to rest so far.
    #[must_use]
    pub fn rested(&self) -> u64 {
        self.follower.rested()
    }

    /// TLS connections of which nothing could be decrypted.
    #[must_use]
    pub fn encrypted_connections(&self) -> u64 {
        self.follower.encrypted_connections()
    }

    /// TCP connections that carried no WebSocket.
    #[must_use]
    pub fn other_connections(&self) -> u64 {
        self.follower.other_connections() + self.settler.other_connections()
    }
}
