//! Resets: which of them end a connection, and what they look like.

use super::half::Half;
use crate::decode::segment::Segment;
use crate::moment::Moment;

/// What a receiver makes of a reset (RFC 9293 §3.5.3, RFC 5961 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetValidity {
    /// Its sequence number may be exactly what the receiver expects: the connection is gone.
    Exact,
    /// It lies beyond everything seen of its sender: bytes before it are missing, or it was guessed.
    Ahead,
    /// Behind the window, or absurdly far: the receiver ignores it.
    Outside,
}

/// A reset, with the features that tell its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The packet.
    pub at: Moment,
    /// How it fits its sender's stream.
    pub validity: ResetValidity,
    /// Its place in its sender's stream, where the numbering is known.
    pub offset: Option<i64>,
    /// What it acknowledges, as an offset in the peer's stream. `None`: the ACK flag is clear, as in a reset that
    /// answers a segment to a socket that is gone.
    pub acked: Option<u64>,
    /// Window field.
    pub window: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// IPv4 identification.
    pub ip_id: Option<u16>,
    /// False: it is of the form that answers a segment, but its sender had heard nothing since it last spoke: the
    /// capture lacks what the peer sent.
    pub provoked: bool,
    /// End of the *peer's* stream, as seen when the reset passed: new bytes acknowledged later defy the reset.
    pub peer_sent: u64,
}

/// Judges `segment`, a reset by `sender`, whose connection may still be opening.
#[must_use]
pub fn validity(sender: &Half, peer: &Half, segment: &Segment<'_>) -> (ResetValidity, Option<i64>) {
    // An answer to a SYN carries sequence number 0 and acknowledges the SYN (RFC 9293 §3.10.7.1).
    if sender.syn.is_none() && peer.syn.is_some() && sender.packets <= 1 {
        return (ResetValidity::Exact, None);
    }
    let Some(offset) = sender.offset_of(segment.seq) else {
        return (ResetValidity::Exact, None);
    };
    let Ok(at) = u64::try_from(offset) else {
        return (ResetValidity::Outside, Some(offset));
    };
    let validity = if !sender.in_window(offset) || at < sender.acked {
        ResetValidity::Outside
    } else if at <= sender.end().max(sender.acked) {
        ResetValidity::Exact
    } else {
        ResetValidity::Ahead
    };
    (validity, Some(offset))
}
