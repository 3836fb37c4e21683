//! Wires the layers: packets in, judged connections out.

mod conversation;
mod facts;
mod joining;
mod pairing;
pub mod record;
mod tracker;
mod upper;

use crate::anomaly::AnomalyCounts;
use crate::capture::{Block, PacketRef};
use crate::decode::Decoder;
use crate::decode::segment::Decoded;
use crate::limits::Limits;
use crate::verdict::vantage::Vantage;
use record::ConnectionRecord;
use tracker::Tracker;

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
    pub fn handle_block(&mut self, block: &Block) {
        for packet in &block.packets {
            self.handle_packet(packet, block.packet_bytes(packet));
        }
    }

    /// Takes one packet.
    pub fn handle_packet(&mut self, packet: &PacketRef, bytes: &[u8]) {
        self.tracker.advance(packet.at.at);
        let decoded =
            self.decoder.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
        match decoded {
            Decoded::Segment(segment) => self.tracker.handle_segment(&segment),
            Decoded::Icmp(error) => self.tracker.handle_icmp(&error),
            Decoded::Nothing => {}
        }
    }

    /// The input is over: everything left is judged.
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

    /// TCP connections that carried no WebSocket.
    #[must_use]
    pub fn other_connections(&self) -> u64 {
        self.tracker.other_connections()
    }
}
