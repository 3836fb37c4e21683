//! Which packets belong to some connections that have been judged already.

use super::record::ConnectionRecord;
use crate::capture::{Block, PacketRef};
use crate::decode::Decoder;
use crate::decode::segment::{Decoded, EncapsulationId, Endpoint};
use crate::limits::Limits;
use std::collections::{BTreeMap, HashMap};

/// Both ends of a connection, the lesser first, and the VLANs and tunnels it is in.
type Key = (Endpoint, Endpoint, EncapsulationId);

/// Finds the packets of connections in the one file they came from, which is read again.
#[derive(Debug)]
pub struct Members {
    decoder: Decoder,
    /// First and last packet of each connection between the same ends.
    connections: HashMap<Key, BTreeMap<u32, u32>>,
    packets: PacketSet,
}

/// Packet numbers. Takes a bit for each packet up to the largest number, which is little beside the packets themselves.
#[derive(Clone, Debug, Default)]
pub struct PacketSet {
    words: Vec<u64>,
}

impl PacketSet {
    /// Adds packet `number`.
    pub fn insert(&mut self, number: u32) {
        let (word, bit) = Self::place(number);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= bit;
        }
    }

    /// Is packet `number` in it?
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        let (word, bit) = Self::place(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(number: u32) -> (usize, u64) {
        (number as usize / 64, 1 << (number % 64))
    }
}

impl Members {
    /// A search for no connection yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let decoder = Decoder::new(limits, false);
        Members { decoder, connections: HashMap::new(), packets: PacketSet::default() }
    }

    /// Searches for the packets of `record`, too.
    pub fn add(&mut self, record: &ConnectionRecord) {
        let key = key(record.client, record.server, record.encapsulation);
        self.connections.entry(key).or_default().insert(record.opened.packet, record.last.packet);
    }

    /// Takes all packets of `block`, which must be those of the file from its start on.
    pub fn handle_block(&mut self, block: &Block) {
        block.packets.iter().for_each(|packet| self.handle_packet(packet, block.packet_bytes(packet)));
    }

    fn handle_packet(&mut self, packet: &PacketRef, bytes: &[u8]) {
        let decoded =
            self.decoder.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
        let key = match decoded {
            Decoded::Segment(segment) => key(segment.source, segment.destination, segment.encapsulation),
            // A router's error about one of its packets.
            Decoded::Icmp(error) => key(error.source, error.destination, error.encapsulation),
            Decoded::Nothing => return,
        };
        let number = packet.at.packet;
        let Some(spans) = self.connections.get(&key) else { return };
        if spans.range(..=number).next_back().is_some_and(|(_, last)| number <= *last) {
            self.packets.insert(number);
            self.decoder.fragments().iter().for_each(|fragment| self.packets.insert(*fragment));
        }
    }

    /// The packets found.
    #[must_use]
    pub fn into_packets(self) -> PacketSet {
        self.packets
    }
}

fn key(one: Endpoint, other: Endpoint, encapsulation: EncapsulationId) -> Key {
    (one.min(other), one.max(other), encapsulation)
}
