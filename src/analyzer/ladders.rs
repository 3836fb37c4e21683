//! Several connections packet by packet, in one more pass over their captures.

use super::ladder::Ladder;
use super::record::ConnectionRecord;
use crate::capture::Block;
use crate::decode::Decoder;
use crate::decode::segment::{EncapsulationId, Endpoint};
use crate::limits::Limits;
use std::collections::HashMap;

/// Ladders by their ends, the lesser first, and the VLANs and tunnels they are in.
#[derive(Debug)]
pub struct Ladders {
    decoder: Decoder,
    by_ends: HashMap<(Endpoint, Endpoint, EncapsulationId), Vec<(u64, Ladder)>>,
}

impl Ladders {
    /// Ladders for `records`, each with a number to know it by, that keep their last `kept` rungs.
    #[must_use]
    pub fn new(records: impl Iterator<Item = (u64, ConnectionRecord)>, kept: usize, limits: &Limits) -> Self {
        let mut by_ends: HashMap<_, Vec<_>> = HashMap::new();
        for (id, record) in records {
            let ends = (record.client, record.server);
            let key = (ends.0.min(ends.1), ends.0.max(ends.1), record.encapsulation);
            by_ends.entry(key).or_default().push((id, Ladder::new(record, kept, limits)));
        }
        Ladders { decoder: Decoder::new(limits, false), by_ends }
    }

    /// Takes all packets of `block`: those of the captures from their start on, in the order in which they were judged.
    pub fn handle_block(&mut self, block: &Block) {
        let by_ends = &mut self.by_ends;
        self.decoder.each_segment(block, |segment| {
            let (one, other) = (segment.source, segment.destination);
            let key = (one.min(other), one.max(other), segment.encapsulation);
            for (_, ladder) in by_ends.get_mut(&key).into_iter().flatten() {
                ladder.handle_segment(segment);
            }
        });
    }

    /// The ladders, with their numbers.
    pub fn into_ladders(self) -> impl Iterator<Item = (u64, Ladder)> {
        self.by_ends.into_values().flatten()
    }
}
