//! The one face that every carrier shows to HTTP and WebSocket: ordered bytes, holes, and an end.

use crate::moment::Moment;
use crate::side::Side;

/// Where a run of bytes stood in TCP, kept through every carrier: what proofs of delivery need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// TCP stream offset just behind the segment's last byte.
    pub end: u64,
    /// The acknowledgment the segment carried, as an offset in the peer's stream: what its sender had received
    /// when it sent. `None` where the segment had none or the peer's numbering is unknown.
    pub peer_acked: Option<u64>,
}

/// Why bytes are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The capture does not hold the packet, though its receiver acknowledged it or later bytes stand behind it.
    Lost,
    /// The capture's snaplen cut the packet.
    Truncated,
    /// The bytes were given up to keep within the limits.
    Limit,
    /// One byte behind all that was seen, acknowledged by the peer: a byte of data, or the FIN.
    ByteOrFin,
    /// The bytes are there, but encrypted, and can't be read.
    Encrypted,
}

/// A hole in one direction's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The packet that showed the hole.
    pub at: Moment,
    /// Stream offset of the first missing byte.
    pub offset: u64,
    /// Missing bytes.
    pub len: u64,
    /// Why they are missing.
    pub cause: GapCause,
    /// The sender's last packet that shows them not yet sent.
    pub unsent_at: Option<Moment>,
}

/// What one direction of a connection delivers, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent<'a> {
    /// Bytes that follow on all before.
    Data {
        /// The packet that carried them.
        at: Moment,
        /// Stream offset of the first.
        offset: u64,
        /// The bytes, never empty.
        bytes: &'a [u8],
        /// Their place in TCP.
        wire: Wire,
    },
    /// Bytes that will never come.
    Gap(Gap),
}

/// Takes what a carrier delivers.
pub trait StreamSink {
    /// `side` sent `event`.
    fn stream(&mut self, side: Side, event: StreamEvent<'_>);

    /// `side` sends bytes again, from stream offset `offset` on, that were delivered before. Are they other bytes, as far as that
    /// can be told?
    fn differs(&self, _side: Side, _offset: u64, _bytes: &[u8]) -> bool {
        false
    }

    /// Both sides have agreed on what the bytes behind this are (by ALPN in TLS, RFC 7301).
    fn protocol(&mut self, _name: &[u8]) {}
}
