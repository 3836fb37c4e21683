//! Resets: which of them end a connection, and what they look like.

use super::half::{Half, UsualTtl};
use crate::decode::segment::Segment;
use crate::moment::Moment;
use std::cmp::Ordering;

/// What a receiver makes of a reset (RFC 9293 §3.5.3, RFC 5961 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetValidity {
    /// Its sequence number is exactly what the receiver expects, all bytes received: the connection is gone.
    Exact,
    /// It is what the receiver expects if the bytes in flight had not reached it.
    InFlight,
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
    /// End of the sender's own stream when the reset passed.
    pub sent: u64,
    /// False: it is of the form that answers a segment, but its sender had heard nothing since it last spoke: the
    /// capture lacks what the peer sent.
    pub provoked: bool,
    /// End of the peer's stream then. New bytes of either side that are acknowledged later defy the reset.
    pub peer_sent: u64,
    /// TTL or hop limit of its sender's other packets.
    pub usual_ttl: UsualTtl,
    /// Did its sender send new bytes afterwards?
    pub talked_on: bool,
    /// Did the peer speak long afterwards, and not to reset?
    pub peer_talked_on: bool,
}

impl Reset {
    /// Do acknowledgments show that its receiver ignored it: `acked` of its sender's stream, `peer_acked` of the peer's? What
    /// lies behind it had been received before it came, or it would have been the last; or it was acknowledged after it.
    #[must_use]
    pub(super) fn is_defied(&self, acked: u64, peer_acked: u64) -> bool {
        let place = self.offset.and_then(|offset| u64::try_from(offset).ok());
        peer_acked > self.peer_sent || acked > place.unwrap_or(self.sent).min(self.sent)
    }
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
    } else {
        match at.cmp(&sender.end().max(sender.acked)) {
            Ordering::Less => ResetValidity::InFlight,
            Ordering::Equal => ResetValidity::Exact,
            Ordering::Greater => ResetValidity::Ahead,
        }
    };
    (validity, Some(offset))
}
