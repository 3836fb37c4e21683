//! Which packets belong to some connections that have been judged already.

use super::record::ConnectionRecord;
use super::track::Track;
use crate::capture::{Block, PacketRef};
use crate::decode::Decoder;
use crate::decode::flow_key::FlowKey;
use crate::decode::segment::Decoded;
use crate::limits::Limits;
use crate::seq::SeqNum;
use std::collections::{BTreeMap, HashMap};

/// Finds the packets of connections in the one file they came from, which is read again.
#[derive(Debug)]
pub struct Members {
    decoder: Decoder,
    /// The connections between the same ends, by the number of their first packet.
    connections: HashMap<FlowKey, BTreeMap<u32, Span>>,
    packets: PacketSet,
}

/// Which packets are a connection's, from its first on.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The last one that the verdict knows of.
    last: u32,
    /// Of HTTP/2: what TCP carries behind a stream's end is kept, too, up to the SYN of another connection.
    goes_on: bool,
    /// The client's initial sequence number: a SYN with another one is another connection's.
    initial: Option<SeqNum>,
}

impl Span {
    fn of(record: &ConnectionRecord) -> Span {
        let goes_on = record.teardown.stream.is_some();
        Span { last: record.last.packet, goes_on, initial: record.initial_seq.client }
    }

    /// Is this packet behind its first one its own?
    fn takes(&mut self, number: u32, opens: Option<SeqNum>) -> bool {
        if number > self.last && opens.is_some() && opens != self.initial {
            self.goes_on = false;
        }
        number <= self.last || self.goes_on
    }
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

    /// What number each packet has in a file of these alone.
    #[must_use]
    pub fn renumbered(&self) -> Renumbered<'_> {
        let before = |sum: &mut u32, word: &u64| {
            let before = *sum;
            *sum = sum.saturating_add(word.count_ones());
            Some(before)
        };
        Renumbered { set: self, before: self.words.iter().scan(0, before).collect() }
    }

    fn place(number: u32) -> (usize, u64) {
        (number as usize / 64, 1 << (number % 64))
    }
}

/// The numbers that packets have in a file of some of them alone.
#[derive(Clone, Debug)]
pub struct Renumbered<'a> {
    set: &'a PacketSet,
    /// How many are in the words before each.
    before: Vec<u32>,
}

impl Renumbered<'_> {
    /// The new number of packet `number`; `None`: it is not there.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<u32> {
        let (place, bit) = PacketSet::place(number);
        let (word, before) = (self.set.words.get(place)?, self.before.get(place)?);
        (word & bit != 0).then(|| before + (word & (bit - 1)).count_ones() + 1)
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
        let key = Track::of(record).key();
        let span = Span::of(record);
        let spans = self.connections.entry(key).or_default();
        let known = spans.entry(record.tcp_opened().packet).or_insert(span);
        known.last = known.last.max(span.last);
    }

    /// Takes all packets of `block`, which must be those of the file from its start on.
    pub fn handle_block(&mut self, block: &Block) {
        block.packets.iter().for_each(|packet| self.handle_packet(packet, block.packet_bytes(packet)));
    }

    fn handle_packet(&mut self, packet: &PacketRef, bytes: &[u8]) {
        let decoded =
            self.decoder.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
        let (key, opens) = match decoded {
            Decoded::Segment(segment) => {
                let opens = (segment.flags.syn() && !segment.flags.ack()).then_some(segment.seq);
                (segment.key, opens)
            }
            // A router's error about one of its packets.
            Decoded::Icmp(error) => {
                (FlowKey::between(error.source, error.destination, error.encapsulation).0, None)
            }
            Decoded::Nothing => return,
        };
        let number = packet.at.packet;
        let Some(spans) = self.connections.get_mut(&key) else { return };
        if spans.range_mut(..=number).next_back().is_some_and(|(_, span)| span.takes(number, opens)) {
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
