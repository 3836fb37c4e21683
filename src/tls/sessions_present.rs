//! Which sessions of a key log took place in a capture, so that only their keys need to go along with it.

use crate::decode::flow_key::FlowKey;
use crate::decode::segment::Segment;
use crate::limits::Limits;
use crate::side::{PerSide, Side};
use crate::tcp::connection::Connection;
use crate::tcp::stream_event::{StreamEvent, StreamSink};
use std::collections::{HashMap, HashSet};

/// A `ClientHello`'s random, by which key logs name a session (RFC 9850 §2).
type ClientRandom = [u8; 32];

/// Bytes of a direction in which a `ClientHello` is looked for: it is the first message, but for an HTTP CONNECT or a
/// PROXY header before it.
const HEAD_BYTES: usize = 4 << 10;
/// From a record's start to the random of the `ClientHello` in it, and to the random's end.
const RANDOM: std::ops::Range<usize> = 11..43;

/// Looks for the sessions of a key log in a capture's segments.
#[derive(Debug)]
pub struct SessionSearch {
    wanted: HashSet<ClientRandom>,
    found: HashSet<ClientRandom>,
    flows: HashMap<FlowKey, Option<Box<Head>>>,
    /// Connections were not looked at, to keep within the limits: any session may have been one of theirs.
    overflowed: bool,
    limits: Limits,
}

/// The first bytes of a connection.
#[derive(Debug)]
struct Head {
    tcp: Connection,
    /// Is the lower end the client?
    client_is_lower: bool,
    bytes: PerSide<Vec<u8>>,
}

impl StreamSink for PerSide<Vec<u8>> {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        if let StreamEvent::Data { bytes, .. } = event {
            let held = self.get_mut(side);
            let room = HEAD_BYTES.saturating_sub(held.len());
            held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }
}

impl SessionSearch {
    /// Looks for the sessions that `key_log` holds keys of.
    #[must_use]
    pub fn new(key_log: &[u8], limits: &Limits) -> Self {
        SessionSearch {
            wanted: lines(key_log).filter_map(random).collect(),
            found: HashSet::new(),
            flows: HashMap::new(),
            overflowed: false,
            limits: limits.clone(),
        }
    }

    /// Takes a segment.
    pub fn handle_segment(&mut self, segment: &Segment<'_>) {
        let key = segment.key;
        let begins = segment.flags.syn() && !segment.flags.ack();
        if self.flows.len() >= self.limits.connections && !self.flows.contains_key(&key) {
            self.overflowed = true;
            return;
        }
        let fresh = || {
            let (tcp, bytes) = (Connection::new(segment.at), PerSide::default());
            Some(Box::new(Head { tcp, client_is_lower: segment.from_lower, bytes }))
        };
        let place = self.flows.entry(key).or_insert_with(fresh);
        if place.is_none() && begins {
            *place = fresh();
        }
        let Some(head) = place else { return };
        let side = if segment.from_lower == head.client_is_lower { Side::Client } else { Side::Server };
        let before = head.bytes[side].len();
        head.tcp.handle_segment(side, segment, &self.limits, &mut head.bytes);
        if head.bytes[side].len() > before {
            let found = randoms(&head.bytes[side]).find(|random| self.wanted.contains(random));
            self.found.extend(found);
            let is_full = Side::BOTH.into_iter().any(|side| head.bytes[side].len() >= HEAD_BYTES);
            if found.is_some() || is_full {
                *place = None;
            }
        }
    }

    /// Sessions that the key log holds keys of.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    /// Those of them that were seen.
    #[must_use]
    pub fn found(&self) -> usize {
        if self.overflowed { self.wanted.len() } else { self.found.len() }
    }

    /// The lines of `key_log` for the sessions that were seen.
    #[must_use]
    pub fn select(&self, key_log: &[u8]) -> Vec<u8> {
        let is_seen =
            |line: &&[u8]| random(line).is_some_and(|random| self.overflowed || self.found.contains(&random));
        // Of the right size from the start: growing would leave copies of keys behind.
        let mut selected = Vec::with_capacity(key_log.len().saturating_add(1));
        for line in lines(key_log).filter(is_seen) {
            selected.extend_from_slice(line);
            selected.push(b'\n');
        }
        selected
    }
}

/// The lines that may hold a secret.
fn lines(key_log: &[u8]) -> impl Iterator<Item = &[u8]> {
    key_log.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.starts_with(b"#"))
}

/// The second word of a line, if it is a client random.
fn random(line: &[u8]) -> Option<ClientRandom> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let word = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1)?;
    let (pairs, []) = word.as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes?.try_into().ok()
}

/// What stands where a `ClientHello` has its random, at each place that could begin one (RFC 8446 §4.1.2, §5.1).
fn randoms(bytes: &[u8]) -> impl Iterator<Item = ClientRandom> {
    bytes.windows(RANDOM.end).filter_map(|window| match window {
        [22, 3, _, _, _, 1, ..] => window.get(RANDOM).and_then(|random| random.try_into().ok()),
        _ => None,
    })
}
