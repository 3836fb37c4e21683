//! A connection at rest: what [`Conversation`] keeps, packed.

use super::{Conversation, Idleness, idle};
use crate::analyzer::interned::Interned;
use crate::analyzer::upper::{Phase, Upper};
use crate::analyzer::watch::Standing;
use crate::decode::flow_key::FlowKey;
use crate::http::upgrade::SharedHeads;
use crate::moment::Moment;
use crate::pack::{Pack, Packer, Unpacker, pack_fields, pack_values};
use crate::time::Timestamp;

/// Patterns held at a time, and the longest of them, in bytes: half a megabyte at most.
const PATTERNS: usize = 4_096;
const PATTERN_MAX: usize = 128;
/// Bytes of a serial number: more connections than are ever met.
const SERIAL: usize = 6;
/// Stands for a pattern that is not held: it lies with the bytes.
const INLINE: u16 = u16::MAX;

/// See the module. Beside the bytes stands what is asked for without waking it, and what connections have in common.
///
/// ```text
///  32 bytes, in the table: bytes 16 | last 8 | heads 4 | pattern 2 | idleness 1
///                          |                   |         +-> of what kind and length each value is: Parts::patterns
///                          |                   +-> Parts::heads
///                          +-> serial 6 | both ends 13 | the rest; some 80
/// ```
#[derive(Debug)]
pub(crate) struct Resting {
    bytes: Box<[u8]>,
    last: Timestamp,
    /// Number of its handshake's heads.
    heads: u32,
    pattern: u16,
    idleness: Idleness,
}

/// What connections at rest have in common, and what packs them.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    patterns: Interned<Box<[u8]>>,
    heads: Interned<SharedHeads>,
    packer: Packer,
    buffer: Vec<u8>,
    /// Where the first one began: times are told by their distance from it.
    start: Option<Moment>,
}

impl Parts {
    /// Memory of what may grow with the connections, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.heads.memory()
    }
}

impl Resting {
    pub(crate) fn of(conversation: &mut Conversation, parts: &mut Parts) -> Self {
        conversation.tcp.write_up();
        let handshake = &conversation.upper.handshake;
        let Parts { patterns, heads, packer, buffer, start } = parts;
        let start = *start.get_or_insert(conversation.tcp.opened);
        buffer.clear();
        let [serial @ .., _, _] = conversation.serial.to_le_bytes();
        buffer.extend_from_slice(&serial);
        conversation.ends.write(buffer);
        packer.begin_at(start);
        conversation.pack(packer);
        let (bytes, bits) = packer.close();
        let is_short = bits.len() <= PATTERN_MAX;
        let held = if is_short { patterns.hold(bits, PATTERNS) } else { None };
        let pattern = held.and_then(|number| u16::try_from(number).ok());
        match pattern {
            Some(_) => buffer.extend_from_slice(bytes),
            None => packer.finish(buffer),
        }
        Resting {
            bytes: buffer.as_slice().into(),
            last: conversation.tcp.last_at(),
            heads: heads.hold(&handshake.heads(), usize::MAX).unwrap_or(u32::MAX),
            pattern: pattern.unwrap_or(INLINE),
            idleness: conversation.idleness(),
        }
    }

    /// Reads something of what lies farthest from what tells its ends.
    pub(crate) fn touch(&self) -> u64 {
        self.bytes.last().map_or(0, |byte| u64::from(*byte))
    }

    pub(crate) fn wake(&self, parts: &mut Parts) -> Conversation {
        let Parts { patterns, heads, start, .. } = parts;
        let (ends, rest) = self.split();
        let rest = match patterns.get(self.pattern.into()).filter(|_| self.pattern != INLINE) {
            Some(bits) => Unpacker::of_parts(rest, bits),
            None => Unpacker::new(rest),
        };
        let start = start.unwrap_or_default();
        let mut conversation = Conversation::unpack(&mut rest.starting_at(start));
        (conversation.serial, conversation.ends) = (self.serial(), ends);
        if let Some(heads) = heads.get(self.heads) {
            conversation.upper.handshake.set_heads(heads.clone());
        }
        if self.pattern != INLINE {
            patterns.release::<[u8]>(self.pattern.into());
        }
        heads.release::<SharedHeads>(self.heads);
        conversation.recount();
        conversation
    }

    /// Both ends, and what is packed.
    fn split(&self) -> (FlowKey, &[u8]) {
        FlowKey::read(self.bytes.get(SERIAL..).unwrap_or_default())
    }

    pub(crate) fn serial(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(self.bytes.iter().take(SERIAL)).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn flow_key(&self) -> FlowKey {
        self.split().0
    }

    /// See [`Conversation::idle`].
    pub(crate) fn idle(&self, now: Timestamp) -> i64 {
        idle(now, self.last, self.idleness)
    }

    /// Memory it takes besides itself, in bytes: as allocators round it, and with its handshake, where that is not shared.
    pub(crate) fn memory(&self, parts: &Parts) -> usize {
        let own = parts.heads.get(self.heads).map_or(0, SharedHeads::own);
        self.bytes.len().next_multiple_of(16) + own
    }
}

impl Conversation {
    /// Has it not begun, or does it go on as a WebSocket, or surely as none, with nothing under way that is not packed?
    pub(crate) fn can_rest(&self) -> bool {
        let can_pack = match &self.upper.phase {
            Phase::Open(session) => session.can_rest(),
            Phase::Http(http) => http.is_fresh(),
            Phase::Ignored => true,
            _ => false,
        };
        let is_calm = !self.lingers && self.standing == Standing::Alive && !self.upper.reversed;
        is_calm && can_pack && self.tcp.can_rest()
    }
}

pack_fields!(Conversation {
    key, tcp_stream, upper, client_is_lower, standing, lingers, in_frame, tcp,
    icmp,
} without { counted, serial, ends });

pack_fields!(Upper {
    anomalies,
    handshake,
    reversed,
    is_websocket,
    joined,
    may_join,
    server_told,
    passed_tls,
    depth,
    is_http1,
    phase,
});

pack_values!(Standing: 2 bits, Standing::Alive, Standing::Suspected, Standing::GivenUp);

/// Of those that rest: see [`Conversation::can_rest`].
impl Pack for Phase {
    fn pack(&self, into: &mut Packer) {
        match self {
            Phase::Open(session) => {
                into.put_bits(0, 2);
                session.pack(into);
            }
            Phase::Http(_) => into.put_bits(1, 2),
            _ => into.put_bits(2, 2),
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        match from.bits(2) {
            0 => Phase::Open(Pack::unpack(from)),
            1 => Phase::Http(Box::default()),
            _ => Phase::Ignored,
        }
    }
}
