//! A connection at rest: what [`Conversation`] keeps, packed.

use super::{Conversation, idle};
use crate::analyzer::upper::{Phase, Upper};
use crate::analyzer::watch::Standing;
use crate::decode::flow_key::FlowKey;
use crate::http::upgrade::SharedHeads;
use crate::pack::{Pack, Packer, Unpacker, pack_fields, pack_values};
use crate::time::Timestamp;

/// See the module. Beside the bytes stands what can't be packed, and what is asked for without waking it.
///
/// ```text
///  48 bytes, in the table: bytes 16 | heads 2 x 8 | last 8 | own 4 | idle_factor 1
///                          +-> serial, both ends, the rest; some 180
/// ```
#[derive(Debug)]
pub(crate) struct Resting {
    bytes: Box<[u8]>,
    heads: SharedHeads,
    last: Timestamp,
    /// Memory of its handshake, where that is not shared, in bytes.
    own: u32,
    /// See [`Conversation::idle`].
    idle_factor: u8,
}

impl Resting {
    pub(crate) fn of(conversation: &mut Conversation, packer: &mut Packer) -> Self {
        conversation.tcp.write_up();
        conversation.pack(packer);
        let handshake = &conversation.upper.handshake;
        Resting {
            bytes: packer.finish(),
            heads: handshake.heads(),
            last: conversation.tcp.last_at(),
            own: u32::try_from(handshake.memory()).unwrap_or(u32::MAX),
            idle_factor: conversation.idle_factor(),
        }
    }

    pub(crate) fn wake(&mut self) -> Conversation {
        let mut conversation = Conversation::unpack(&mut Unpacker::new(&self.bytes));
        conversation.upper.handshake.set_heads(std::mem::take(&mut self.heads));
        conversation.recount();
        conversation
    }

    pub(crate) fn serial(&self) -> u64 {
        u64::unpack(&mut Unpacker::new(&self.bytes))
    }

    pub(crate) fn flow_key(&self) -> FlowKey {
        <(u64, FlowKey)>::unpack(&mut Unpacker::new(&self.bytes)).1
    }

    /// See [`Conversation::idle`].
    pub(crate) fn idle(&self, now: Timestamp) -> i64 {
        idle(now, self.last, self.idle_factor)
    }

    /// Memory it takes besides itself, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + self.own as usize
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

// The first two are asked for without the rest: see `Resting`.
pack_fields!(Conversation {
    serial, ends, key, tcp_stream, upper, client_is_lower, standing, lingers, in_frame, tcp,
    icmp,
} without { counted });

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
