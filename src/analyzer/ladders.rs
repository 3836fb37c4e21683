//! Several connections packet by packet, in one more pass over their captures.

use super::ladder::Ladder;
use super::record::ConnectionRecord;
use crate::capture::Block;
use crate::decode::Decoder;
use crate::decode::flow_key::FlowKey;
use crate::limits::Limits;
use crate::tls::keylog::KeyLog;
use std::collections::HashMap;

/// Ladders, by the ends of their legs and the VLANs and tunnels these are in.
#[derive(Debug)]
pub struct Ladders<'a> {
    decoder: Decoder,
    ladders: Vec<(u64, Ladder)>,
    by_ends: HashMap<FlowKey, Vec<usize>>,
    keys: &'a KeyLog,
    limits: &'a Limits,
}

impl<'a> Ladders<'a> {
    /// Ladders for `records`, each with a number to know it by, that keep their last `kept` rungs; `keys` decrypt what is
    /// in TLS.
    #[must_use]
    pub fn new(
        records: impl Iterator<Item = (u64, ConnectionRecord)>,
        kept: usize,
        keys: &'a KeyLog,
        limits: &'a Limits,
    ) -> Self {
        let ladders: Vec<_> = records.map(|(id, record)| (id, Ladder::new(record, kept, limits))).collect();
        let mut by_ends: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, (_, ladder)) in ladders.iter().enumerate() {
            ladder.keys().for_each(|ends| by_ends.entry(ends).or_default().push(place));
        }
        Ladders { decoder: Decoder::new(limits, false), ladders, by_ends, keys, limits }
    }

    /// Takes all packets of `block`: those of the captures from their start on, in the order in which they were judged.
    pub fn handle_block(&mut self, block: &Block) {
        let Ladders { decoder, ladders, by_ends, keys, limits } = self;
        decoder.each_segment(block, |segment| {
            for place in by_ends.get(&segment.key).into_iter().flatten() {
                if let Some((_, ladder)) = ladders.get_mut(*place) {
                    ladder.handle_segment(segment, keys, limits);
                }
            }
        });
    }

    /// The ladders, with their numbers.
    pub fn into_ladders(self) -> impl Iterator<Item = (u64, Ladder)> {
        self.ladders.into_iter()
    }
}
