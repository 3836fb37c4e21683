//! Holds a judged connection back while another that may be its other leg is still followed: two legs of one WebSocket
//! through a proxy share a handshake key, and the end of the one may explain that of the other.
//!
//! A key alone tells little, for clients made by hand send the same one each time. But the handshake behind a proxy lies
//! within the one before it; so of each followed connection the times of its handshake are kept as well, until so many others
//! have begun that no leg of it can come any more.

use super::record::{Beside, ConnectionRecord};
use super::track::Track;
use crate::limits::{HANDSHAKE_BYTES, Limits, RECORD_BYTES};
use crate::moment::Moment;
use crate::time::Timestamp;
use crate::verdict::legs::{Leg, OtherLeg, Span, Story, are_legs, follow};
use crate::verdict::verdict::ClosedBy;
use crate::work;
use foldhash::quality::RandomState;
use std::collections::{HashMap, VecDeque};

/// Records held for one key. Legs are two, or a few where proxies are chained; more share a key for no good reason.
const HELD_MAX: usize = 8;
/// Followed connections that are remembered for one key; likewise.
const FOLLOWED_MAX: usize = 16;

/// A followed connection's handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Its TCP connection's number.
    pub serial: u64,
    pub request: Moment,
    /// The answer, once there is one.
    pub response: Option<Moment>,
}

impl Asked {
    fn span(&self) -> Span {
        Span { request: self.request, response: self.response, end: None }
    }
}

/// The connections of each handshake key.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    /// Those that are alone with their key: nearly all.
    single: HashMap<u64, Asked, RandomState>,
    /// Keys that several share, or have shared.
    shared: HashMap<u64, Group, RandomState>,
    /// Key and serial number of what has begun, the oldest first.
    begun: VecDeque<(u64, u64)>,
    /// Records held, over all keys.
    held: usize,
    /// The time, where anybody tells it.
    now: Option<Timestamp>,
    /// What is held since when, the oldest first, with key and serial number; where the time is told.
    waits: VecDeque<(Timestamp, u64, u64)>,
    /// Records that wait no longer.
    ready: VecDeque<Box<ConnectionRecord>>,
    /// Connections that were let go though their other leg may come.
    pub(super) let_go: u64,
}

#[derive(Debug, Default)]
struct Group {
    followed: Vec<Asked>,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    record: Box<ConnectionRecord>,
    /// Its handshake and its end.
    span: Option<Span>,
    since: Option<Timestamp>,
}

impl Pairing {
    /// A connection with this key is followed from now on.
    pub(super) fn begin(&mut self, key: u64, asked: Asked, limits: &Limits) {
        if let Some(group) = self.shared.get_mut(&key) {
            self.let_go += u64::from(group.begin(asked));
            self.release(key, |_| false);
        } else if let Some(first) = self.single.remove(&key) {
            self.shared.insert(key, Group { followed: vec![first, asked], held: Vec::new() });
        } else {
            self.single.insert(key, asked);
        }
        self.begun.push_back((key, asked.serial));
        while self.begun.len() > limits.recent_handshakes
            && let Some((key, serial)) = self.begun.pop_front()
        {
            self.forget(key, serial);
        }
    }

    /// Its request was answered. A leg that is to come would have come before: its handshake lies within this one's.
    pub(super) fn answered(&mut self, key: u64, asked: Asked) {
        if self.single.get(&key).is_some_and(|known| known.serial == asked.serial) {
            self.single.remove(&key);
        } else if let Some(group) = self.shared.get_mut(&key) {
            group.followed.iter_mut().filter(|known| known.serial == asked.serial).for_each(|it| *it = asked);
            if !group.relates(&asked) {
                group.ended(asked.serial);
            }
            self.release(key, |_| false);
        }
    }

    /// A connection with this key was judged; [`poll`](Pairing::poll) gives it once it need wait no longer.
    ///
    /// With `held_legs` held over all keys, no more are: their legs go unrelated, which is counted.
    pub(super) fn finish(&mut self, key: u64, record: Box<ConnectionRecord>, limits: &Limits) {
        if self.single.get(&key).is_some_and(|asked| asked.serial == record.serial) {
            self.single.remove(&key);
        }
        let Some(group) = self.shared.get_mut(&key) else { return self.ready.push_back(record) };
        group.ended(record.serial);
        // Of a client that sends the same key each time, one after the other.
        if group.held.is_empty() && !group.awaits(Span::of(&record.teardown)) {
            self.ready.push_back(record);
            return self.release(key, |_| false);
        }
        let has_room = group.held.len() < HELD_MAX && self.held < limits.held_legs;
        if has_room || !group.awaits(Span::of(&record.teardown)) {
            self.hold(key, record, limits.held_legs);
        } else {
            self.let_go += 1;
            self.ready.push_back(record);
        }
        self.release(key, |_| false);
    }

    fn hold(&mut self, key: u64, record: Box<ConnectionRecord>, most: usize) {
        let Some(group) = self.shared.get_mut(&key) else { return };
        let (serial, since) = (record.serial, self.now);
        group.held.push(Held { span: Span::of(&record.teardown), record, since });
        self.held += 1;
        let Some(since) = since else { return };
        self.waits.push_back((since, key, serial));
        if self.waits.len() > 2 * most.max(HELD_MAX) {
            let shared = &self.shared;
            self.waits
                .retain(|(_, key, serial)| shared.get(key).is_some_and(|it| it.held(*serial).is_some()));
        }
    }

    /// It is `now`: what has been held for as long as `leg_patience` goes unrelated. Unless somebody tells the time, as in
    /// live capture, all wait for as long as it takes.
    pub(super) fn advance(&mut self, now: Timestamp, limits: &Limits) {
        self.now = Some(now);
        // Where the clock has stepped back, nobody knows how long that was.
        let is_due = |since: Timestamp| since > now || now.has_passed(limits.leg_patience, since);
        while let Some((_, key, _)) = self.waits.front().copied().filter(|(since, ..)| is_due(*since)) {
            self.waits.pop_front();
            self.release(key, |held| held.since.is_some_and(is_due));
        }
    }

    /// Nothing more is followed: what still waits, waits in vain.
    pub(super) fn finish_all(&mut self) {
        let mut keys: Vec<u64> =
            self.shared.iter().filter(|(_, group)| !group.held.is_empty()).map(|(key, _)| *key).collect();
        // A table's order is another one in each run.
        keys.sort_unstable();
        keys.into_iter().for_each(|key| self.release(key, |_| true));
    }

    /// The next record that waits no longer.
    pub(super) fn poll(&mut self) -> Option<Box<ConnectionRecord>> {
        self.ready.pop_front()
    }

    /// Memory of what is held and of handshakes that are remembered, as estimated, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.held * RECORD_BYTES + self.begun.len() * HANDSHAKE_BYTES
    }

    /// The records held, where the time is told.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &ConnectionRecord> {
        let held = |(_, key, serial): &(Timestamp, u64, u64)| self.shared.get(key)?.held(*serial);
        self.waits.iter().filter_map(held).map(|held| &*held.record)
    }

    /// Forgets the handshake of a followed connection, unless another leg of it is known of.
    fn forget(&mut self, key: u64, serial: u64) {
        if self.single.get(&key).is_some_and(|asked| asked.serial == serial) {
            self.single.remove(&key);
        } else if let Some(group) = self.shared.get_mut(&key) {
            let is_needed = group.followed.iter().any(|asked| asked.serial == serial && group.relates(asked));
            if !is_needed {
                group.ended(serial);
                self.release(key, |_| false);
            }
        }
    }

    /// Relates what is held for `key` and waits no longer, or has done so for too long.
    fn release(&mut self, key: u64, is_due: impl Fn(&Held) -> bool) {
        let Some(group) = self.shared.get_mut(&key) else { return };
        if group.held.is_empty() {
            if group.followed.is_empty() {
                self.shared.remove(&key);
            }
            return;
        }
        let before = group.held.len();
        for part in parts(std::mem::take(&mut group.held)) {
            let waits = part.iter().any(|held| group.awaits(held.span));
            if waits && !part.iter().any(&is_due) {
                group.held.extend(part);
            } else {
                let mut records: Vec<_> = part.into_iter().map(|held| held.record).collect();
                relate(&mut records);
                self.ready.extend(records);
            }
        }
        self.held = self.held.saturating_sub(before.saturating_sub(group.held.len()));
        if group.followed.is_empty() && group.held.is_empty() {
            self.shared.remove(&key);
        }
    }
}

impl Group {
    /// Adds one that is followed. True: another one, that may have another leg, made way for it.
    fn begin(&mut self, asked: Asked) -> bool {
        let mut made_way = false;
        if self.followed.len() >= FOLLOWED_MAX {
            work::steps(FOLLOWED_MAX);
            let alone = self.followed.iter().find(|asked| !self.relates(asked));
            made_way = alone.is_none();
            let out = alone.or(self.followed.first()).map(|asked| asked.serial);
            out.into_iter().for_each(|serial| self.ended(serial));
        }
        self.followed.push(asked);
        made_way
    }

    /// A connection is no longer followed, or no longer remembered. Streams of one have its number, too.
    fn ended(&mut self, serial: u64) {
        if let Some(at) = self.followed.iter().position(|asked| asked.serial == serial) {
            self.followed.remove(at);
        }
    }

    /// May one that is followed be the other leg?
    fn awaits(&self, span: Option<Span>) -> bool {
        span.is_some_and(|span| self.followed.iter().any(|asked| may_be_legs(&span, &asked.span())))
    }

    /// May any other one be the other leg of one that is followed?
    fn relates(&self, asked: &Asked) -> bool {
        let span = asked.span();
        let others = self.followed.iter().filter(|other| other.serial != asked.serial).map(Asked::span);
        others.chain(self.held.iter().filter_map(|held| held.span)).any(|other| may_be_legs(&span, &other))
    }

    fn held(&self, serial: u64) -> Option<&Held> {
        self.held.iter().find(|held| held.record.serial == serial)
    }
}

/// May they be legs, the one before the proxy or the other?
fn may_be_legs(one: &Span, other: &Span) -> bool {
    one.may_enclose(other) || other.may_enclose(one)
}

/// What is held, in parts that have nothing to do with each other.
fn parts(held: Vec<Held>) -> Vec<Vec<Held>> {
    let mut parts: Vec<Vec<Held>> = Vec::new();
    for record in held {
        let is_leg = |other: &Held| other.span.zip(record.span).is_some_and(|(a, b)| may_be_legs(&a, &b));
        let (related, others): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.iter().any(is_leg));
        let mut part: Vec<Held> = related.into_iter().flatten().collect();
        part.push(record);
        parts = others;
        parts.push(part);
    }
    parts
}

/// Relates each leg to the next one behind it.
fn relate(records: &mut [Box<ConnectionRecord>]) {
    records.sort_by_key(|record| record.teardown.opening.request);
    for index in 1..records.len() {
        let Some([front, back]) = records.get_mut(index - 1..=index) else { continue };
        if !are_legs(&leg(front), &leg(back)) {
            continue;
        }
        front.beside = Some(Box::new(Beside { is_back: true, track: Track::of(back) }));
        back.beside = Some(Box::new(Beside { is_back: false, track: Track::of(front) }));
        let Some((story, front_end, back_end)) = follow(&leg(front), &leg(back)) else { continue };
        let proxy = front.server;
        front.other_leg = Some(OtherLeg { is_back: true, story, proxy, end: back_end });
        back.other_leg = Some(OtherLeg { is_back: false, story, proxy, end: front_end });
        if story == Story::ProxyEnded {
            for record in [front, back] {
                record.verdict.closed_by = Some(ClosedBy::Proxy);
            }
        }
    }
}

fn leg(record: &ConnectionRecord) -> Leg<'_> {
    Leg {
        teardown: &record.teardown,
        verdict: &record.verdict,
        initial_seq: record.initial_seq,
        traffic: record.traffic,
    }
}
