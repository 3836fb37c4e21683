//! Wires the layers: packets in, judged connections out.

mod conversation;
mod facts;
mod joining;
mod opaque;
pub mod ladder;
mod pairing;
pub mod record;
mod secured;
mod tracker;
mod upper;

use crate::anomaly::AnomalyCounts;
use crate::capture::{Block, PacketRef};
use crate::decode::Decoder;
use crate::decode::segment::Decoded;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::tls::keylog::{KeyLog, Reading};
use crate::verdict::vantage::Vantage;
use record::ConnectionRecord;
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
    /// Where the capture was taken; `None`: it is estimated for each connection.
    pub vantage: Option<Vantage>,
}

/// The analysis of one capture, driven by [`handle_block`](Analyzer::handle_block) and drained by
/// [`poll_record`](Analyzer::poll_record).
#[derive(Debug)]
pub struct Analyzer {
    decoder: Decoder,
    tracker: Tracker,
}

impl Options {
    /// Is there any use in following TLS: keys, or ports whose connections are listed even without?
    fn follows_tls(&self) -> bool {
        !self.keys.is_empty() || self.more_keys || self.encrypted || !self.ws_ports.is_empty()
    }
}

impl Analyzer {
    /// A fresh analysis.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Analyzer {
            decoder: Decoder::new(&options.limits, options.verify_checksums),
            tracker: Tracker::new(options),
        }
    }

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
            for packet in packets {
                let bytes = block.packet_bytes(packet);
                let segment = self.decoder.decode_common(packet.at, packet.link_type, bytes);
                batch.push(segment.map(|segment| self.tracker.locate(segment)));
            }
            self.tracker.touch(&mut batch);
            for (packet, located) in packets.iter().zip(&batch) {
                match located {
                    Some(located) => {
                        self.tracker.advance(packet.at.at);
                        self.tracker.handle_located(located);
                    }
                    None => self.handle_uncommon(packet, block.packet_bytes(packet)),
                }
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
                self.tracker.handle_located(&located);
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

    /// The input is over: everything left is judged, as [`poll_record`](Analyzer::poll_record) asks for it. Totals are
    /// final once that has given `None`.
    pub fn finish(&mut self) {
        self.decoder.finish();
        self.tracker.finish();
    }

    /// The next judged connection.
    pub fn poll_record(&mut self) -> Option<Box<ConnectionRecord>> {
        self.tracker.poll_record()
    }

    /// Oddities so far, over all layers.
    #[must_use]
    pub fn anomalies(&self) -> AnomalyCounts {
        let mut all = self.tracker.anomalies().clone();
        for (anomaly, count) in self.decoder.anomalies().iter() {
            all.add(anomaly, count);
        }
        all
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

    /// TCP connections that carried no WebSocket.
    #[must_use]
    pub fn other_connections(&self) -> u64 {
        self.tracker.other_connections()
    }
}
