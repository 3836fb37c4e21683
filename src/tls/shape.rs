//! What the lengths and times of encrypted records tell of a WebSocket and of its end, without any key.
//!
//! A record's length gives the length of what it protects, but for padding and block ciphers. A Close frame has 2 to
//! 127 bytes from a server and 6 to 131 from a client (RFC 6455 §5.5), and so has many a message: nothing here is
//! proof, and no length tells a close code.

mod ending;
mod score;
#[cfg(test)]
mod tests;

pub use ending::{Confidence, Ending, FrameBody, Probable, SideEnd, TcpEnds, Unreadable};
pub use score::{Score, Sign};

use super::record::{ContentType, ProtocolVersion};
use super::suite::{CipherSuite, RecordCipher};
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::Wire;
use crate::time::Timestamp;
use score::Hellos;
use std::collections::VecDeque;

/// Records kept of the end of a connection: two Close frames, two alerts and what stood before them.
const TAIL: usize = 12;
/// Content of a close_notify alert, and of an empty frame without a mask.
const ALERT_LEN: u16 = 2;
/// A control frame's longest payload (RFC 6455 §5.5).
const BODY_MAX: u16 = 125;
/// No HTTP/1.1 request is shorter: `GET / HTTP/1.1`, `Host: x`, a blank line.
const REQUEST_MIN: u16 = 27;
/// A request with a `Sec-WebSocket-Key` is not shorter.
const UPGRADE_MIN: u16 = 120;
/// The shortest `101 Switching Protocols` with a `Sec-WebSocket-Accept`.
const SWITCH_MIN: u16 = 97;
/// Longest head of either that speaks for a WebSocket.
const HEAD_MAX: u16 = 4_096;

/// How records are protected, as the `ServerHello` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// TLS 1.3: all encrypted records look like application data.
    pub hides_type: bool,
    /// Bytes by which a record is longer than its content; `None`: a block cipher's padding hides it.
    pub expansion: Option<u16>,
    /// Length of the record that holds only a `Finished` message, in TLS 1.3.
    pub finished: u16,
}

impl Protection {
    /// What `suite` does in `version`; `None` for a suite that is not known.
    #[must_use]
    pub fn of(version: ProtocolVersion, suite: CipherSuite) -> Option<Protection> {
        let cipher = suite.record_cipher()?;
        let tag = if matches!(cipher, RecordCipher::AesCcm8 { .. }) { 8 } else { 16 };
        if version >= ProtocolVersion::TLS_1_3 {
            let hash = u16::try_from(suite.key_derivation_hash().output_len()).ok()?;
            return Some(Protection::tls13(tag, hash));
        }
        Some(match cipher {
            RecordCipher::AesCbc { .. } => Protection::block(),
            RecordCipher::ChaCha20Poly1305 => Protection::tls12(0, tag),
            RecordCipher::AesGcm { .. } | RecordCipher::AesCcm { .. } | RecordCipher::AesCcm8 { .. } => {
                Protection::tls12(8, tag)
            }
        })
    }

    /// TLS 1.3 with a tag of `tag` bytes, and a hash of `hash` bytes (RFC 8446 §4.4.4, §5.2).
    #[must_use]
    pub const fn tls13(tag: u16, hash: u16) -> Self {
        Protection { hides_type: true, expansion: Some(tag + 1), finished: 4 + hash + 1 + tag }
    }

    /// TLS 1.2 with an AEAD suite that adds `nonce` bytes before the content and `tag` behind it (RFC 5246 §6.2.3.3).
    #[must_use]
    pub const fn tls12(nonce: u16, tag: u16) -> Self {
        Protection { hides_type: false, expansion: Some(nonce + tag), finished: 0 }
    }

    /// TLS 1.2 or older with a block cipher: contents of 16 lengths share one record length (RFC 5246 §6.2.3.2).
    #[must_use]
    pub const fn block() -> Self {
        Protection { hides_type: false, expansion: None, finished: 0 }
    }
}

/// A record as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSeen {
    /// The packet that its header stands in.
    pub at: Moment,
    /// The type in its header; in TLS 1.3 whatever is encrypted looks like application data.
    pub content_type: ContentType,
    /// The length in its header.
    pub length: u16,
    /// Its place in TCP.
    pub wire: Wire,
}

/// One of the last records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    side: Side,
    at: Moment,
    /// Length of its content.
    content: u16,
    is_alert: bool,
    wire: Wire,
}

/// What one side sent, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sent {
    /// Encrypted records that may still be handshake messages, in TLS 1.3.
    before_finished: u8,
    /// Application data began.
    is_open: bool,
    /// Records of application data.
    records: u32,
    /// Content of the first one.
    first: u16,
    /// All contents with their type byte, one bit or another: low bits that stay clear show padding to a multiple.
    bits: u16,
    /// How often the length was another than the one before.
    changes: u32,
    latest: u16,
    /// Records shorter than any HTTP request.
    tiny: u32,
    /// Lengths of control-sized payloads that were seen: bit n for n bytes.
    lengths: u128,
    beat: Beat,
}

/// Tiny records at a constant interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Beat {
    content: u16,
    last: Option<Timestamp>,
    interval: i64,
    steady: u32,
}

/// What was seen of one connection's records. Some 1,200 bytes, whatever the connection carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    protection: Option<Protection>,
    hellos: Hellos,
    sent: PerSide<Sent>,
    tail: VecDeque<Seen>,
    /// Bytes were lost: the tail does not reach back to before that.
    has_gap: PerSide<bool>,
    first_data: Option<Timestamp>,
    last_data: PerSide<Option<Timestamp>>,
    /// A record of one side directly followed by one of the other whose content differs by the mask's four bytes.
    twins: u32,
    /// Server records that nothing asked for.
    pushes: u32,
}

impl Shape {
    /// The `ServerHello` tells how records are protected, and up to TLS 1.2 which protocol they carry.
    pub fn set_server_hello(&mut self, protection: Option<Protection>, alpn: Option<&[u8]>) {
        self.protection = protection;
        self.hellos.chose_http2 = alpn == Some(b"h2");
    }

    /// Takes a record that `side` sent.
    pub fn handle_record(&mut self, side: Side, record: &RecordSeen) {
        let Some(Protection { hides_type, expansion, finished }) = self.protection else { return };
        let is_alert = record.content_type == ContentType::ALERT;
        if !is_alert && record.content_type != ContentType::APPLICATION_DATA {
            return;
        }
        if hides_type && !self.has_opened(side, record, finished) {
            return;
        }
        let content = record.length.saturating_sub(expansion.unwrap_or(0));
        let seen = Seen { side, at: record.at, content, is_alert, wire: record.wire };
        if !is_alert {
            self.note_data(&seen);
        }
        if self.tail.len() >= TAIL {
            self.forget_oldest();
        }
        self.tail.push_back(seen);
    }

    /// Of the oldest record in the tail only its length stays.
    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.tail.pop_front()
            && let Some(body) = oldest.close_body()
        {
            self.sent.get_mut(oldest.side).lengths |= 1 << body;
        }
    }

    /// Bytes of `side` were lost, and with them perhaps records, or the place where the next one begins.
    pub fn handle_gap(&mut self, side: Side) {
        *self.has_gap.get_mut(side) = true;
        while !self.tail.is_empty() {
            self.forget_oldest();
        }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.tail.capacity() * size_of::<Seen>()
    }

    /// What it probably was, and how it probably ended.
    #[must_use]
    pub fn probable(&self, tcp: &TcpEnds) -> Probable {
        ending::probable(self, tcp)
    }

    /// Has `side` ended its TLS 1.3 handshake with a record before this one?
    fn has_opened(&mut self, side: Side, record: &RecordSeen, finished: u16) -> bool {
        /// Client certificate, its verification, `Finished`; the server's flight has one more.
        const FLIGHT: u8 = 5;
        if self.sent[side].is_open {
            return true;
        }
        // The server's flight may share records; all that follows the client's `Finished` is behind it.
        if side == Side::Server && self.sent.client.is_open {
            self.sent.server.is_open = true;
            return true;
        }
        let sent = self.sent.get_mut(side);
        sent.before_finished = sent.before_finished.saturating_add(1);
        sent.is_open = record.length == finished || sent.before_finished >= FLIGHT;
        false
    }

    fn note_data(&mut self, seen: &Seen) {
        self.first_data.get_or_insert(seen.at.at);
        *self.last_data.get_mut(seen.side) = Some(seen.at.at);
        if let Some(before) = self.tail.back() {
            self.twins += u32::from(is_twin(before, seen));
            self.pushes += u32::from(is_push(before, seen));
        }
        let sent = self.sent.get_mut(seen.side);
        if sent.records == 0 {
            sent.first = seen.content;
        }
        sent.records = sent.records.saturating_add(1);
        sent.bits |= seen.content.saturating_add(1);
        sent.changes = sent.changes.saturating_add(u32::from(sent.latest != seen.content));
        sent.latest = seen.content;
        let is_tiny = seen.content < REQUEST_MIN;
        // A close_notify of TLS 1.3 is no frame.
        if is_tiny && seen.content != ALERT_LEN {
            sent.tiny = sent.tiny.saturating_add(1);
        }
        if is_tiny {
            sent.beat.note(seen);
        }
    }
}

impl Beat {
    /// Notes a tiny record: is it one of a regular series?
    fn note(&mut self, seen: &Seen) {
        /// Shorter intervals are traffic, not a keepalive.
        const SHORTEST: i64 = 4_000_000_000;
        if self.content != seen.content {
            *self = Beat { content: seen.content, last: Some(seen.at.at), ..Beat::default() };
            return;
        }
        let interval = self.last.map_or(0, |last| seen.at.at.nanos_since(last));
        self.last = Some(seen.at.at);
        if interval < SHORTEST {
            return;
        }
        let is_steady = interval.abs_diff(self.interval) <= self.interval.unsigned_abs() / 10;
        self.steady = if is_steady { self.steady.saturating_add(1) } else { 0 };
        self.interval = interval;
    }
}

impl Seen {
    /// The payload length, if this is one frame that may be a Close: control-sized, and not of one byte
    /// (RFC 6455 §5.5, §5.5.1).
    fn close_body(&self) -> Option<u16> {
        let header = match self.side {
            Side::Client => 6,
            Side::Server => 2,
        };
        let body = self.content.checked_sub(header)?;
        (!self.is_alert && body <= BODY_MAX && body != 1).then_some(body)
    }
}

/// Do they differ by the four bytes of a mask alone, as a small message and its answer or a ping and its pong do?
fn is_twin(before: &Seen, after: &Seen) -> bool {
    let (client, server) = match (before.side, after.side) {
        (Side::Client, Side::Server) => (before, after),
        (Side::Server, Side::Client) => (after, before),
        _ => return false,
    };
    client.close_body().is_some() && client.content == server.content + 4
}

/// Did the server speak again without having been asked?
fn is_push(before: &Seen, after: &Seen) -> bool {
    const PAUSE: i64 = 200_000_000;
    let both_servers = before.side == Side::Server && after.side == Side::Server;
    both_servers && after.at.at.nanos_since(before.at.at) >= PAUSE && after.content > ALERT_LEN
}
