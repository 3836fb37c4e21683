//! TLS records, and the hellos in them.

use super::{Bytes, Cuts, small_limits};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::tcp::stream_event::Wire;
use crate::tls::hello::{Message, Messages};
use crate::tls::record::{
    ContentType, Deframer, FRAGMENT_MAX, HEADER_LEN, Record, Run, may_be_client_hello, record_header,
};

/// `options | cuts | bytes of one side`
///
/// The same records and messages whether the bytes come whole or in pieces; those that a plain walk finds; headers alone
/// where records are passed over; what is put together keeps to its cap.
pub fn tls_records(input: &[u8]) {
    let mut input = Bytes(input);
    let (options, seed) = (input.byte(), input.byte());
    let limits = if options & 1 == 0 { Limits::default() } else { small_limits() };
    let bytes = input.rest();
    let pieces = Cuts::new(seed).pieces(bytes, 1 + usize::from(options >> 1));
    let (whole, cut) = (Read::of(&[bytes], &limits), Read::of(&pieces, &limits));
    assert_eq!(whole, cut, "read whole and in pieces");
    let (walked, ends_well) = walk(bytes);
    assert_eq!((whole.records.len(), whole.is_malformed), (walked.len(), !ends_well));
    let starts = || whole.records.iter().map(|record| record.offset);
    assert!(starts().eq(walked.iter().copied()));
    assert!(passed_over(&pieces).into_iter().take(walked.len()).eq(starts()));
    let is_hello = !bytes.is_empty() && may_be_client_hello(bytes);
    assert_eq!(is_hello, !pieces.is_empty() && (1..=bytes.len()).all(|cut| begins(bytes, cut)));
}

fn begins(bytes: &[u8], cut: usize) -> bool {
    may_be_client_hello(bytes.get(..cut).unwrap_or_default())
}

/// What the bytes held.
#[derive(Debug, Default, PartialEq)]
struct Read {
    records: Vec<Record>,
    messages: Vec<Message>,
    is_malformed: bool,
}

impl Read {
    fn of(pieces: &[&[u8]], limits: &Limits) -> Read {
        let (mut read, mut deframer, mut messages) =
            (Read::default(), Deframer::default(), Messages::default());
        let mut offset = 0;
        for piece in pieces {
            let mut run = run(offset, piece);
            offset += piece.len() as u64;
            while let Some(found) = deframer.next(&mut run) {
                let Ok(record) = found else {
                    read.is_malformed = true;
                    return read;
                };
                read.take(record, &mut messages, limits);
            }
            assert!(deframer.held_bytes() <= 2 * (HEADER_LEN + FRAGMENT_MAX), "a record within its cap");
            assert!(messages.held_bytes() <= 2 * (4 + limits.tls_hello_bytes), "a message within its cap");
        }
        read
    }

    fn take(&mut self, record: Record, messages: &mut Messages, limits: &Limits) {
        if record.header.content_type == ContentType::HANDSHAKE {
            let mut left = record.fragment.as_slice();
            while let Some(message) = messages.next(&mut left, limits.tls_hello_bytes) {
                self.messages.push(message);
            }
            assert!(left.is_empty(), "all bytes of a record are taken");
        }
        self.records.push(record);
    }
}

fn run(offset: u64, bytes: &[u8]) -> Run<'_> {
    let wire = Wire { end: offset + bytes.len() as u64, peer_acked: None };
    Run { at: Moment::default(), offset, bytes, wire }
}

/// Where whole records begin, and whether nothing that is no record ends them.
fn walk(bytes: &[u8]) -> (Vec<u64>, bool) {
    let (mut starts, mut at) = (Vec::new(), 0);
    loop {
        match record_header(bytes.get(at..).unwrap_or_default()) {
            Err(nom::Err::Incomplete(_)) => return (starts, true),
            Err(_) => return (starts, false),
            Ok((rest, header)) if rest.len() < usize::from(header.length) => return (starts, true),
            Ok((_, header)) => {
                starts.push(at as u64);
                at += HEADER_LEN + usize::from(header.length);
            }
        }
    }
}

/// Where records begin of which only the headers are read.
fn passed_over(pieces: &[&[u8]]) -> Vec<u64> {
    let (mut deframer, mut starts) = (Deframer::default(), Vec::new());
    let (mut offset, mut skip) = (0, 0);
    for piece in pieces {
        let mut run = run(offset, piece);
        offset += piece.len() as u64;
        loop {
            let skipped = skip.min(run.bytes.len());
            skip -= skipped;
            run.bytes = run.bytes.get(skipped..).unwrap_or_default();
            run.offset += skipped as u64;
            match deframer.next_header(&mut run) {
                Some(Ok(header)) => {
                    starts.push(run.offset - HEADER_LEN as u64);
                    skip = usize::from(header.length);
                }
                Some(Err(_)) => return starts,
                None => break,
            }
        }
    }
    starts
}
