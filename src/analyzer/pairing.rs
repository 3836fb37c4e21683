//! Holds a judged connection back while another with the same handshake key is still followed: they may be two legs of
//! one WebSocket through a proxy, and the end of the one may explain that of the other.
//!
//! Without a proxy's both legs in the capture no key is shared, and nothing is held.

#![expect(
    clippy::vec_box,
    reason = "the tracker hands records on in boxes; taking them out would copy each one"
)]

use super::record::{Beside, ConnectionRecord};
use super::track::Track;
use crate::verdict::legs::{Leg, OtherLeg, Story, are_legs, follow};
use crate::verdict::verdict::ClosedBy;
use foldhash::quality::RandomState;
use std::collections::{HashMap, HashSet};

/// Records held for one key. Legs are two, or a few where proxies are chained; more share a key for no good reason.
const HELD_MAX: usize = 8;

/// The connections of each handshake key.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    /// Keys of one connection that is followed: nearly all, and the key is all that is kept of them.
    single: HashSet<u64, RandomState>,
    /// Those that several share, or have shared.
    shared: HashMap<u64, Group, RandomState>,
    /// Records held, over all keys.
    held: usize,
}

#[derive(Debug)]
struct Group {
    followed: u32,
    held: Vec<Box<ConnectionRecord>>,
}

impl Pairing {
    /// A connection with this key is followed from now on.
    pub(super) fn begin(&mut self, key: u64) {
        if let Some(group) = self.shared.get_mut(&key) {
            group.followed = group.followed.saturating_add(1);
        } else if !self.single.insert(key) {
            self.single.remove(&key);
            self.shared.insert(key, Group { followed: 2, held: Vec::new() });
        }
    }

    /// A connection with this key was judged; `settle` is given those that need wait no longer.
    ///
    /// With `most` held over all keys, no more are: their legs go unrelated.
    pub(super) fn finish(
        &mut self,
        key: u64,
        record: Box<ConnectionRecord>,
        most: usize,
        mut settle: impl FnMut(Box<ConnectionRecord>),
    ) {
        let Some(group) = self.shared.get_mut(&key) else {
            self.single.remove(&key);
            return settle(record);
        };
        group.followed = group.followed.saturating_sub(1);
        if group.followed > 0 {
            if group.held.len() >= HELD_MAX || self.held >= most {
                return settle(record);
            }
            group.held.push(record);
            self.held += 1;
            return;
        }
        let mut held = self.shared.remove(&key).map(|group| group.held).unwrap_or_default();
        self.held = self.held.saturating_sub(held.len());
        held.push(record);
        relate(&mut held);
        held.into_iter().for_each(settle);
    }
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
