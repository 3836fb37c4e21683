//! One direction of a TLS connection: what its records are protected with, and how it goes on behind a hole.

use super::decrypt::Opener;
use super::held::Held;
use super::hello::Messages;
use super::keylog::Secret;
use super::record::{
    ContentType, Deframer, HEADER_LEN, ProtocolVersion, Record, RecordHeader, record_header,
};
use crate::limits::Limits;
use crate::tcp::stream_event::{Gap, Wire};
use crate::work;

/// Least bytes that a protected record takes: its header, and a tag of 8 bytes.
const RECORD_MIN: u64 = HEADER_LEN as u64 + 8;

/// Which keys a direction's records are protected with, in the order in which they come.
#[derive(Clone, Debug)]
pub(super) enum Epoch {
    /// Early data of a TLS 1.3 client.
    Early,
    /// The rest of the TLS 1.3 handshake.
    Handshake,
    /// Application data of TLS 1.3, under this secret.
    Application(Secret),
    /// Everything behind a `ChangeCipherSpec`, up to TLS 1.2.
    Legacy,
}

/// The keys in use.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub opener: Opener,
    pub epoch: Epoch,
}

/// How a direction's records are read.
///
/// ```text
///  Clear ---- ServerHello (1.3), ChangeCipherSpec (1.2) ----> Open ---- a record that does not open ----> Blind
///    |                                                         ^ ^                                          ^
///    |                                                    keys | +-- found again -- Open with a search --+  |
///    +---- protected, but the keys or the ServerHello are still to come ----> Waiting ---- too much -----+--+
/// ```
#[derive(Clone, Debug, Default)]
pub(super) enum Reading {
    /// In the clear.
    #[default]
    Clear,
    /// Protected, and held until it is known how.
    Waiting,
    /// Of a session that is not known, since the capture lacks the start of its handshake; so many records were tried.
    Sought(u8),
    /// Decrypted.
    Open(Box<Current>),
    /// Never to be read again.
    Blind,
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Direction {
    pub deframer: Deframer,
    pub messages: Messages,
    pub reading: Reading,
    /// The keys that the next `ChangeCipherSpec` brings into use, up to TLS 1.2.
    pub pending: Option<Box<Opener>>,
    /// Records that wait for keys.
    pub held: Held,
    /// Bytes to pass over: the rest of a record that a hole has hit, or that nobody will read.
    pub skip: u64,
    /// A hole in the content that nobody was told of: nothing was decrypted yet, or it is not known whether there was any
    /// content, of a side whose session is sought.
    pub untold: Option<Gap>,
    /// Looks for a record behind a hole.
    pub search: Option<Box<Search>>,
}

impl Direction {
    /// Memory for what waits to be read or decrypted, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let search = self.search.as_ref().map_or(0, |search| search.buffer.capacity());
        self.deframer.held_bytes() + self.messages.held_bytes() + self.held.memory() + search
    }

    /// What may have been content was not read.
    pub(super) fn miss(&mut self, gap: Gap) {
        self.untold.get_or_insert(gap);
    }

    pub(super) fn is_blind(&self) -> bool {
        matches!(self.reading, Reading::Blind)
    }
}

/// Bytes behind a hole in which the next record is looked for.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// The hole.
    pub gap: Gap,
    /// Bytes behind it; those in front of `start` are known to hold no record's start.
    buffer: Vec<u8>,
    start: usize,
    /// TCP stream offset of the byte at `start`.
    offset: u64,
    /// Records that may have been lost.
    pub lost_records: u64,
    /// Bytes looked at in vain.
    pub in_vain: usize,
}

/// What a search makes of the bytes so far.
pub(super) enum Candidate {
    /// Here a record may stand.
    Found(Record),
    /// More bytes are needed.
    Undecided,
}

impl Search {
    pub(super) fn new(gap: Gap, limits: &Limits) -> Search {
        let lost_records = (gap.len / RECORD_MIN).saturating_add(1).min(limits.tls_resync_records);
        let offset = gap.offset.saturating_add(gap.len);
        Search { gap, buffer: Vec::new(), start: 0, offset, lost_records, in_vain: 0 }
    }

    /// Another hole follows before anything was found.
    pub(super) fn widen(&mut self, gap: Gap, limits: &Limits) {
        let end = gap.offset.saturating_add(gap.len);
        self.gap.len = end.saturating_sub(self.gap.offset);
        let wider = Search::new(self.gap, limits);
        *self = Search { in_vain: self.in_vain, ..wider };
    }

    /// More bytes behind the hole.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        // Here, not at each place that is ruled out: there may be as many as bytes.
        if self.start > 0 {
            work::steps(self.rest().len());
            self.buffer.drain(..self.start.min(self.buffer.len()));
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The next place where a whole record of this version may stand.
    pub(super) fn candidate(
        &mut self,
        version: ProtocolVersion,
        at: crate::moment::Moment,
        wire: Wire,
    ) -> Candidate {
        let mut place = 0;
        let found = loop {
            work::step();
            let rest = self.rest().get(place..).unwrap_or_default();
            match record_header(rest) {
                Ok((behind, header)) if may_be_protected(header, version) => {
                    break behind
                        .get(..usize::from(header.length))
                        .map(|fragment| (header, fragment.to_vec()));
                }
                Err(nom::Err::Incomplete(_)) => break None,
                _ => place += 1,
            }
        };
        self.drop_front(place);
        let Some((header, fragment)) = found else { return Candidate::Undecided };
        let whole = HEADER_LEN + fragment.len();
        let end = self.offset.saturating_add(whole as u64);
        let wire = Wire { end, peer_acked: wire.peer_acked };
        Candidate::Found(Record { header, at, offset: self.offset, wire, fragment })
    }

    /// No record stands at the front.
    pub(super) fn reject(&mut self) {
        self.drop_front(1);
    }

    /// A record of `length` bytes stands at the front: what follows it, and where.
    pub(super) fn behind(&self, length: usize) -> (Vec<u8>, u64) {
        let rest = self.rest().get(length..).unwrap_or_default().to_vec();
        (rest, self.offset.saturating_add(length as u64))
    }

    fn drop_front(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.buffer.len());
        self.offset = self.offset.saturating_add(count as u64);
        self.in_vain = self.in_vain.saturating_add(count);
    }
}

/// Can a protected record of this version have such a header?
fn may_be_protected(header: RecordHeader, version: ProtocolVersion) -> bool {
    let kind = header.content_type;
    let is_tls13 = version >= ProtocolVersion::TLS_1_3;
    let of_version = header.version == version.min(ProtocolVersion::TLS_1_2);
    let of_type = kind == ContentType::APPLICATION_DATA
        || (!is_tls13 && matches!(kind, ContentType::ALERT | ContentType::HANDSHAKE));
    of_version && of_type && u64::from(header.length) + HEADER_LEN as u64 >= RECORD_MIN
}
