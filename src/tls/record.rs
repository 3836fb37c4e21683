//! The record layer: where records begin and end (RFC 8446 §5.1, RFC 5246 §6.2).

use crate::moment::Moment;
use crate::tcp::stream_event::Wire;
use nom::combinator::verify;
use nom::number::streaming::{be_u8, be_u16};
use nom::{IResult, Parser as _};
use std::fmt;

/// Bytes of a record's header.
pub const HEADER_LEN: usize = 5;
/// Longest fragment of a record: 2^14 bytes and what protection may add (RFC 5246 §6.2.3).
pub const FRAGMENT_MAX: usize = (1 << 14) + 2_048;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentType(pub u8);

impl ContentType {
    /// The sender protects what follows with new keys (up to TLS 1.2).
    pub const CHANGE_CIPHER_SPEC: ContentType = ContentType(20);
    /// Errors and `close_notify`.
    pub const ALERT: ContentType = ContentType(21);
    /// Handshake messages.
    pub const HANDSHAKE: ContentType = ContentType(22);
    /// Application data; in TLS 1.3 anything protected.
    pub const APPLICATION_DATA: ContentType = ContentType(23);
    /// Heartbeats (RFC 6520).
    pub const HEARTBEAT: ContentType = ContentType(24);

    const fn is_known(self) -> bool {
        self.0 >= Self::CHANGE_CIPHER_SPEC.0 && self.0 <= Self::HEARTBEAT.0
    }
}

/// A version of the protocol, as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtocolVersion(pub u16);

impl ProtocolVersion {
    /// SSL 3.0.
    pub const SSL_3_0: ProtocolVersion = ProtocolVersion(0x0300);
    /// TLS 1.0.
    pub const TLS_1_0: ProtocolVersion = ProtocolVersion(0x0301);
    /// TLS 1.1.
    pub const TLS_1_1: ProtocolVersion = ProtocolVersion(0x0302);
    /// TLS 1.2.
    pub const TLS_1_2: ProtocolVersion = ProtocolVersion(0x0303);
    /// TLS 1.3.
    pub const TLS_1_3: ProtocolVersion = ProtocolVersion(0x0304);
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SSL_3_0 => out.write_str("SSL 3.0"),
            Self::TLS_1_0 => out.write_str("TLS 1.0"),
            Self::TLS_1_1 => out.write_str("TLS 1.1"),
            Self::TLS_1_2 => out.write_str("TLS 1.2"),
            Self::TLS_1_3 => out.write_str("TLS 1.3"),
            ProtocolVersion(other) => write!(out, "0x{other:04x}"),
        }
    }
}

/// A record's header.
///
/// ```text
/// | content type | version     | length      |
/// | 1 byte       | 2 bytes     | 2 bytes     |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What it holds; in TLS 1.3 the true type of a protected record stands inside.
    pub content_type: ContentType,
    /// A version that means little: 1.3 says 1.2 here.
    pub version: ProtocolVersion,
    /// Bytes that follow.
    pub length: u16,
}

impl RecordHeader {
    /// The header as it stands on the wire.
    #[must_use]
    pub fn bytes(&self) -> [u8; HEADER_LEN] {
        let ([v0, v1], [l0, l1]) = (self.version.0.to_be_bytes(), self.length.to_be_bytes());
        [self.content_type.0, v0, v1, l0, l1]
    }
}

/// Reads a record's header. An error that is not `Incomplete`: there is no record here.
pub fn record_header(input: &[u8]) -> IResult<&[u8], RecordHeader> {
    let (input, content_type) = verify(be_u8, |byte| ContentType(*byte).is_known()).parse(input)?;
    let (input, version) = verify(be_u16, |version| version >> 8 == 3 && version & 0xff <= 4).parse(input)?;
    let (input, length) = verify(be_u16, |length| usize::from(*length) <= FRAGMENT_MAX).parse(input)?;
    let header =
        RecordHeader { content_type: ContentType(content_type), version: ProtocolVersion(version), length };
    Ok((input, header))
}

/// Could `bytes`, the first that a client sends, be the start of a `ClientHello`, as far as they go?
#[must_use]
pub fn may_be_client_hello(bytes: &[u8]) -> bool {
    const CLIENT_HELLO: u8 = 1;
    let fits = |(place, byte): (usize, &u8)| match place {
        0 => *byte == ContentType::HANDSHAKE.0,
        1 => *byte == 3,
        2 => *byte <= 4,
        5 => *byte == CLIENT_HELLO,
        _ => true,
    };
    !bytes.is_empty() && bytes.iter().take(6).enumerate().all(fits)
}

/// A whole record, with its place in TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its header.
    pub header: RecordHeader,
    /// The packet that completed it.
    pub at: Moment,
    /// TCP stream offset of its first byte.
    pub offset: u64,
    /// Its end in TCP.
    pub wire: Wire,
    /// What follows the header.
    pub fragment: Vec<u8>,
}

impl Record {
    /// Memory it takes, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Record>() + self.fragment.capacity()
    }
}

/// Bytes in hand, with their place.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The packet that carried them.
    pub at: Moment,
    /// TCP stream offset of the first.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// The end of the last.
    pub wire: Wire,
}

impl Run<'_> {
    fn skip(&mut self, used: usize) {
        self.bytes = self.bytes.get(used..).unwrap_or_default();
        self.offset = self.offset.saturating_add(used as u64);
    }
}

/// Cuts one direction's bytes into records.
///
/// ```text
/// buffer = one record's header, or what follows it, incomplete; never longer than FRAGMENT_MAX
/// ```
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    /// That of the record under way, once it is whole.
    header: Option<RecordHeader>,
    buffer: Vec<u8>,
    /// Offset of the record's first byte.
    offset: u64,
    /// The packet of the buffer's last byte, and what its sender had received by then.
    latest: (Moment, Option<u64>),
}

/// There is no record where one should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARecord;

/// What a hole leaves of the record that it hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its header.
    pub header: RecordHeader,
    /// Its first byte's offset.
    pub offset: u64,
    /// Its bytes behind the hole.
    pub left: u64,
}

impl Deframer {
    /// Memory for bytes that wait for more, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Stands inside a record.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.header.is_some() || !self.buffer.is_empty()
    }

    /// The header of the record it stands in, if that is whole.
    #[must_use]
    pub fn header(&self) -> Option<RecordHeader> {
        self.header
    }

    /// Offset of the incomplete record's first byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes bytes of `run` up to the end of a record. `None`: the record goes on in later bytes.
    ///
    /// # Errors
    /// There is no record here.
    pub fn next(&mut self, run: &mut Run<'_>) -> Option<Result<Record, NotARecord>> {
        if self.header.is_none() {
            if self.buffer.is_empty() {
                self.offset = run.offset;
            }
            match self.next_header(run)? {
                Ok(header) => self.header = Some(header),
                Err(not) => return Some(Err(not)),
            }
        }
        let header = self.header?;
        let length = usize::from(header.length);
        // Room for all of it as soon as a quarter is there: a header alone may claim what it likes.
        if self.buffer.capacity() < length && (run.bytes.len() + self.buffer.len()) * 4 >= length {
            self.buffer.reserve_exact(length - self.buffer.len());
        }
        self.take(run, length.saturating_sub(self.buffer.len()));
        if self.buffer.len() < length {
            self.latest = (run.at, run.wire.peer_acked);
            return None;
        }
        self.header = None;
        let fragment = std::mem::take(&mut self.buffer);
        let end = self.offset.saturating_add((HEADER_LEN + length) as u64);
        let wire = Wire { end, peer_acked: run.wire.peer_acked };
        Some(Ok(Record { header, at: run.at, offset: self.offset, wire, fragment }))
    }

    /// What there is of the record under way, if its header is whole. Its [`Record::wire`] ends where it would have ended.
    pub fn take_part(&mut self) -> Option<Record> {
        let header = self.header.take()?;
        let (at, peer_acked) = self.latest;
        let end = self.offset.saturating_add(HEADER_LEN as u64 + u64::from(header.length));
        let wire = Wire { end, peer_acked };
        Some(Record { header, at, offset: self.offset, wire, fragment: std::mem::take(&mut self.buffer) })
    }

    /// Takes bytes of `run` up to the end of a header, and leaves what follows: for records that are passed over.
    ///
    /// # Errors
    /// There is no record here.
    pub fn next_header(&mut self, run: &mut Run<'_>) -> Option<Result<RecordHeader, NotARecord>> {
        if self.buffer.is_empty()
            && let Ok((_, header)) = record_header(run.bytes)
        {
            run.skip(HEADER_LEN);
            return Some(Ok(header));
        }
        self.take(run, HEADER_LEN.saturating_sub(self.buffer.len()));
        let header = match record_header(&self.buffer) {
            Ok((_, header)) => Ok(header),
            Err(nom::Err::Incomplete(_)) => return None,
            Err(_) => Err(NotARecord),
        };
        self.buffer.clear();
        Some(header)
    }

    fn take(&mut self, run: &mut Run<'_>, most: usize) {
        let taken = run.bytes.get(..most.min(run.bytes.len())).unwrap_or_default();
        self.buffer.extend_from_slice(taken);
        run.skip(taken.len());
    }

    /// A hole of `len` bytes follows. `Some`: it lies inside one record, whose end is known.
    pub fn gap(&mut self, len: u64) -> Option<Hit> {
        let held = self.buffer.len() as u64;
        self.buffer.clear();
        let header = self.header.take()?;
        let left = u64::from(header.length).checked_sub(held.saturating_add(len))?;
        Some(Hit { header, offset: self.offset, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: [u8; 9] = [22, 3, 1, 0, 4, 1, 0, 0, 0];

    fn run(bytes: &[u8], offset: u64) -> Run<'_> {
        let wire = Wire { end: offset + bytes.len() as u64, peer_acked: Some(7) };
        Run { at: Moment::default(), offset, bytes, wire }
    }

    #[test]
    fn records_cut_anywhere_are_found_whole_with_their_places() {
        let stream = [&HELLO[..], &[23, 3, 3, 0, 0], &[21, 3, 3, 0, 2, 1, 0]].concat();
        for cut in 0..=stream.len() {
            let mut deframer = Deframer::default();
            let mut found = Vec::new();
            for (offset, part) in [(0, &stream[..cut]), (cut as u64, &stream[cut..])] {
                let mut run = run(part, offset);
                while let Some(record) = deframer.next(&mut run) {
                    let record = record.unwrap();
                    found.push((
                        record.header.content_type.0,
                        record.offset,
                        record.wire.end,
                        record.fragment,
                    ));
                }
            }
            let hello = (22, 0, 9, vec![1, 0, 0, 0]);
            assert_eq!(found, [hello, (23, 9, 14, vec![]), (21, 14, 21, vec![1, 0])], "cut at {cut}");
            assert!(!deframer.is_inside());
        }
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        for bytes in [&b"GET /"[..], &[22, 2, 0, 0, 1], &[23, 3, 3, 0xff, 0xff], &[19, 3, 3, 0, 1]] {
            assert_eq!(Deframer::default().next(&mut run(bytes, 0)), Some(Err(NotARecord)), "{bytes:?}");
        }
    }

    #[test]
    fn a_hole_inside_a_record_leaves_its_end_known() {
        let mut deframer = Deframer::default();
        assert_eq!(deframer.next(&mut run(&[23, 3, 3, 0, 10, 1, 2], 100)), None);
        let hit = deframer.gap(5).unwrap();
        assert_eq!((hit.header.length, hit.offset, hit.left), (10, 100, 3));
        assert!(deframer.next(&mut run(&[23, 3, 3, 0, 10, 1, 2], 100)).is_none());
        assert_eq!(deframer.gap(9), None, "it reaches into the next record");
        assert_eq!(deframer.gap(1), None, "between records nothing is known of the next one");
    }

    #[test]
    fn the_first_bytes_of_a_client_hello_are_known_however_few() {
        for cut in 1..=HELLO.len() {
            assert!(may_be_client_hello(&HELLO[..cut]), "{cut}");
        }
        assert!(!may_be_client_hello(b""));
        assert!(!may_be_client_hello(b"GET / HTTP/1.1"));
        assert!(!may_be_client_hello(&[22, 3, 3, 0, 80, 2]), "a ServerHello");
    }
}
