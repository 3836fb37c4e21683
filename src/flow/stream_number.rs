//! Wireshark's `tcp.stream` numbers.

use crate::decode::segment::{EncapsulationId, Segment};
use crate::flow::key::FlowKey;
use crate::limits::Limits;
use crate::seq::SeqNum;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Numbers TCP conversations as tshark does: by addresses and ports alone, per file, a new number for a SYN whose
/// sequence number differs from the one its sender began with.
#[derive(Debug, Default)]
pub struct StreamNumbers {
    files: HashMap<u16, FileNumbers, RandomState>,
}

#[derive(Debug, Default)]
struct FileNumbers {
    next: u32,
    conversations: HashMap<FlowKey, Conversation, RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Conversation {
    number: u32,
    /// First sequence number of the lower and of the higher endpoint.
    base: [Option<SeqNum>; 2],
}

impl StreamNumbers {
    /// The number of `segment`'s conversation. Must be asked for each connection's first packet and for each SYN.
    pub fn number(&mut self, segment: &Segment<'_>, limits: &Limits) -> Option<u32> {
        let file = self.files.entry(segment.at.file).or_default();
        let (key, in_order) =
            FlowKey::between(segment.source, segment.destination, EncapsulationId::default());
        let direction = usize::from(!in_order);
        let full = file.conversations.len() >= limits.stream_numbers;
        if full && !file.conversations.contains_key(&key) {
            return None;
        }
        let next = &mut file.next;
        let mut begin = || {
            let number = *next;
            *next = next.wrapping_add(1);
            Conversation { number, base: [None; 2] }
        };
        let conversation = file.conversations.entry(key).or_insert_with(&mut begin);
        let is_syn = segment.flags.syn() && !segment.flags.ack();
        let base = conversation.base.get(direction).copied().flatten();
        if is_syn && base.is_some_and(|base| base != segment.seq) {
            *conversation = begin();
        }
        if let Some(base) = conversation.base.get_mut(direction) {
            // Without a SYN, tshark takes the number before the first one seen for it.
            let before = u32::from(!segment.flags.syn());
            base.get_or_insert(SeqNum(segment.seq.0.wrapping_sub(before)));
        }
        Some(conversation.number)
    }

    /// Forgets file `file`, which has been read.
    pub fn forget_file(&mut self, file: u16) {
        self.files.remove(&file);
    }
}
