//! IP reassembly (RFC 791 §3.2, RFC 8200 §4.5) in a bounded pool.

use super::layer::{Context, Datagram, Piece};
use super::segment::EncapsulationId;
use super::span::Span;
use crate::anomaly::{Anomaly, AnomalyCounts};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::time::Timestamp;
use crate::work;
use foldhash::quality::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

/// Largest payload a datagram can have: the length fields have 16 bits (fragments have no jumbo payloads).
const PAYLOAD_MAX: usize = 65_535;

/// Fragments of a datagram whose packet numbers are kept: 1,500 bytes make 45 of the largest one.
const PACKETS_MAX: usize = 64;

/// What the fragments of one datagram share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    encapsulation: EncapsulationId,
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    /// IPv4 only: in IPv6, later fragments may name another protocol (RFC 8200 §4.5).
    protocol: u8,
}

/// What the first fragment says of the whole.
#[derive(Clone, Copy, Debug)]
struct Head {
    ttl: u8,
    protocol: u8,
}

/// A datagram under reassembly.
///
/// ```text
/// bytes  |######|      |###########|      cut: the first byte that a snaplen took from a fragment
/// have    0..a          b..c              sorted, apart from each other
/// ```
#[derive(Debug)]
struct Partial {
    since: Timestamp,
    serial: u64,
    head: Option<Head>,
    bytes: Vec<u8>,
    have: Vec<Range<usize>>,
    /// Length of the whole, once the last fragment was seen.
    total: Option<usize>,
    cut: usize,
    /// The packets its fragments came in, the first few.
    packets: Vec<u32>,
}

/// A whole datagram, put together.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    pub(super) ip_id: Option<u16>,
    pub(super) protocol: u8,
    pub(super) bytes: Vec<u8>,
    pub(super) wire: usize,
    /// The packets its fragments came in, the first few.
    pub(super) packets: Vec<u32>,
    /// The way to it, for the rest of the way.
    pub(super) context: Context,
}

/// The fragment that completed the last datagram: a copy of it must not begin a new one.
#[derive(Debug)]
struct Completed {
    key: Key,
    range: Range<usize>,
    at: Timestamp,
}

/// The datagrams under reassembly. The oldest is dropped first, when there are too many or they wait too long.
#[derive(Debug)]
pub(super) struct Pool {
    partials: HashMap<Key, Partial, RandomState>,
    /// By age.
    order: BTreeMap<u64, Key>,
    held: usize,
    next_serial: u64,
    completed: Option<Completed>,
    max_datagrams: usize,
    max_bytes: usize,
    timeout: Duration,
    copy_window: Duration,
}

impl Pool {
    pub(super) fn new(limits: &Limits) -> Self {
        Pool {
            partials: HashMap::default(),
            order: BTreeMap::new(),
            held: 0,
            next_serial: 0,
            completed: None,
            max_datagrams: limits.fragment_datagrams,
            max_bytes: limits.fragment_bytes,
            timeout: limits.fragment_timeout,
            copy_window: limits.copy_window,
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held
    }

    pub(super) fn datagrams(&self) -> usize {
        self.partials.len()
    }

    /// Adds a fragment; the whole datagram if that completes it.
    pub(super) fn add(
        &mut self,
        datagram: &Datagram<'_>,
        piece: Piece,
        encapsulation: EncapsulationId,
        context: &Context,
        moment: Moment,
        counts: &mut AnomalyCounts,
    ) -> Result<Option<Joined>, Anomaly> {
        let at = moment.at;
        self.expire(at, counts);
        let key = key_of(datagram, piece, encapsulation);
        let (span, range) = extent(datagram.payload, piece)?;
        if self.is_copy_of_completed(&key, &range, at) {
            return Ok(None);
        }
        let serial = self.next_serial;
        let partial = self.partials.entry(key).or_insert_with(|| Partial::new(at, serial));
        if partial.serial == serial {
            self.next_serial += 1;
            self.order.insert(serial, key);
        }
        if partial.packets.len() < PACKETS_MAX {
            partial.packets.push(moment.packet);
        }
        let before = partial.bytes.len();
        if piece.offset == 0 && partial.head.is_none() {
            partial.head = Some(Head { ttl: datagram.ttl, protocol: datagram.protocol });
        }
        if partial.insert(span, &range, piece.more) {
            counts.count(Anomaly::FragmentOverlap);
        }
        self.held = self.held.saturating_add(partial.bytes.len().saturating_sub(before));
        let whole = partial.whole();
        if let Some((head, wire)) = whole {
            self.completed = Some(Completed { key, range, at });
            return Ok(self.take(&key).map(|partial| joined(datagram, head, partial, wire, *context)));
        }
        self.shrink(counts);
        Ok(None)
    }

    /// Gives up all that is left at the end of the capture.
    pub(super) fn finish(&mut self, counts: &mut AnomalyCounts) {
        counts.add(Anomaly::FragmentIncomplete, u64::try_from(self.partials.len()).unwrap_or(u64::MAX));
        self.partials.clear();
        self.order.clear();
        self.held = 0;
    }

    fn is_copy_of_completed(&self, key: &Key, range: &Range<usize>, at: Timestamp) -> bool {
        self.completed.as_ref().is_some_and(|last| {
            last.key == *key
                && last.range == *range
                && !at.has_passed(self.copy_window, last.at)
                && !self.partials.contains_key(key)
        })
    }

    fn expire(&mut self, now: Timestamp, counts: &mut AnomalyCounts) {
        while let Some((_, key)) = self.order.first_key_value() {
            let key = *key;
            if self.partials.get(&key).is_some_and(|partial| !now.has_passed(self.timeout, partial.since)) {
                return;
            }
            self.drop_oldest(counts);
        }
    }

    fn shrink(&mut self, counts: &mut AnomalyCounts) {
        while self.partials.len() > self.max_datagrams || self.held > self.max_bytes {
            if !self.drop_oldest(counts) {
                return;
            }
        }
    }

    fn drop_oldest(&mut self, counts: &mut AnomalyCounts) -> bool {
        work::step();
        let Some((_, key)) = self.order.pop_first() else { return false };
        if self.take(&key).is_some() {
            counts.count(Anomaly::FragmentIncomplete);
        }
        true
    }

    fn take(&mut self, key: &Key) -> Option<Partial> {
        let partial = self.partials.remove(key)?;
        self.order.remove(&partial.serial);
        self.held = self.held.saturating_sub(partial.bytes.len());
        Some(partial)
    }
}

impl Partial {
    fn new(since: Timestamp, serial: u64) -> Self {
        Partial {
            since,
            serial,
            head: None,
            bytes: Vec::new(),
            have: Vec::new(),
            total: None,
            cut: usize::MAX,
            packets: Vec::new(),
        }
    }

    /// Adds a fragment where nothing stands yet: the first bytes win. True if it overlaps and is no mere copy.
    fn insert(&mut self, span: Span<'_>, range: &Range<usize>, more: bool) -> bool {
        let end = self.have.last().map_or(0, |last| last.end);
        let mut contradicts = match self.total {
            Some(total) => range.end > total || (!more && range.end != total),
            None if !more && range.end < end => true,
            None => {
                self.total = (!more).then_some(range.end);
                false
            }
        };
        let range = range.start..range.end.min(self.total.unwrap_or(usize::MAX));
        if range.is_empty() {
            return contradicts;
        }
        contradicts |= self.overlaps(span, &range);
        self.fill(span, &range);
        self.merge(range);
        contradicts
    }

    /// Does `range` overlap what is there, other than as a copy of it?
    fn overlaps(&self, span: Span<'_>, range: &Range<usize>) -> bool {
        let first = self.have.partition_point(|have| have.end <= range.start);
        let Some(have) = self.have.get(first).filter(|have| have.start < range.end) else { return false };
        let held = self.bytes.get(range.start..range.end.min(self.bytes.len())).unwrap_or_default();
        let common = held.len().min(span.bytes.len());
        let same = held.get(..common) == span.bytes.get(..common);
        !(same && have.start <= range.start && range.end <= have.end)
    }

    /// Copies the captured bytes into the holes of `range`.
    fn fill(&mut self, span: Span<'_>, range: &Range<usize>) {
        if self.bytes.len() < range.end {
            self.bytes.resize(range.end, 0);
        }
        let first = self.have.partition_point(|have| have.end <= range.start);
        let mut at = range.start;
        let blocks = self.have.get(first..).unwrap_or_default().iter();
        let last = range.end..range.end;
        for have in blocks.take_while(|have| have.start < range.end).chain([&last]) {
            work::step();
            let hole = at..have.start.max(at);
            let from = hole.start - range.start..hole.end - range.start;
            let captured = span.bytes.get(from.start.min(span.bytes.len())..from.end.min(span.bytes.len()));
            let captured = captured.unwrap_or_default();
            if captured.len() < hole.len() {
                self.cut = self.cut.min(hole.start + captured.len());
            }
            if let Some(target) = self.bytes.get_mut(hole.start..hole.start + captured.len()) {
                target.copy_from_slice(captured);
            }
            at = have.end;
        }
    }

    /// Adds `range` to `have`, joining those that touch.
    fn merge(&mut self, range: Range<usize>) {
        let first = self.have.partition_point(|have| have.end < range.start);
        let last = self.have.partition_point(|have| have.start <= range.end);
        let touched = self.have.get(first..last).unwrap_or_default();
        let start = touched.first().map_or(range.start, |have| have.start.min(range.start));
        let end = touched.last().map_or(range.end, |have| have.end.max(range.end));
        self.have.splice(first..last.max(first), std::iter::once(start..end));
    }

    /// The first fragment's words and the length, if nothing is missing.
    fn whole(&self) -> Option<(Head, usize)> {
        let total = self.total?;
        match self.have.as_slice() {
            [only] if only.start == 0 && only.end >= total => Some((self.head?, total)),
            _ => None,
        }
    }
}

fn key_of(datagram: &Datagram<'_>, piece: Piece, encapsulation: EncapsulationId) -> Key {
    Key {
        encapsulation,
        source: datagram.source,
        destination: datagram.destination,
        id: piece.id,
        protocol: if datagram.source.is_ipv4() { datagram.protocol } else { 0 },
    }
}

/// The fragment's bytes and where they belong.
fn extent(payload: Span<'_>, piece: Piece) -> Result<(Span<'_>, Range<usize>), Anomaly> {
    // All but the last come in units of 8 bytes; Linux too ignores the rest of a crooked one.
    let len = if piece.more { payload.wire & !7 } else { payload.wire };
    let end = piece.offset.saturating_add(len);
    if len == 0 || end > PAYLOAD_MAX {
        return Err(Anomaly::PacketMalformed);
    }
    Ok((payload.limit(len), piece.offset..end))
}

fn joined(last: &Datagram<'_>, head: Head, partial: Partial, wire: usize, context: Context) -> Joined {
    let mut bytes = partial.bytes;
    bytes.truncate(wire.min(partial.cut));
    Joined {
        source: last.source,
        destination: last.destination,
        ttl: head.ttl,
        ip_id: last.ip_id,
        protocol: head.protocol,
        bytes,
        wire,
        packets: partial.packets,
        context,
    }
}
