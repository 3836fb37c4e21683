//! What live capture asks of the [`Tracker`] besides: verdicts before the end, losses of the capture, clocks that step.
//!
//! ```text
//!  Alive -- the peer stops answering --> Suspected -- dead_after later --> GivenUp (reported)
//!    ^                                     |                                 |
//!    +---------- it answers again ---------+---------------------------------+ (revised)
//! ```

use super::conversation::Conversation;
use super::settling::Event;
use super::split::Which;
use super::tracker::Tracker;
use crate::flow::table::FlowId;
use crate::moment::Moment;
use crate::time::Timestamp;
use crate::verdict::teardown::Observed;
use std::collections::VecDeque;
use std::time::Duration;

/// Spans of losses that are told apart; the oldest ones run together.
const LOSS_SPANS: usize = 1_024;
/// Losses closer to each other than this are one.
const LOSS_GAP: Duration = Duration::from_secs(1);
/// A packet's time may lie so far ahead of the clock without the clock having stepped.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// What is known of a connection's peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing bad.
    #[default]
    Alive,
    /// It has stopped answering.
    Suspected,
    /// It was reported as dead.
    GivenUp,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Connections whose peer has stopped answering, with the time at which they are looked at again.
    suspects: VecDeque<(Timestamp, FlowId)>,
    /// When the capture dropped packets, in the order of time.
    losses: VecDeque<(Timestamp, Timestamp)>,
}

impl Watch {
    /// When the next suspect has had its time.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.suspects.front().map(|(deadline, _)| *deadline)
    }
}

impl Tracker {
    /// A segment came that was out of the ordinary, or belongs to a connection that was.
    pub(super) fn watch(&mut self, id: FlowId, at: Moment) {
        let Some(dead_after) = self.options.dead_after else { return };
        let Some(conversation) = self.table.awake_mut(id) else { return };
        let is_dead = conversation.dead_since(&self.options.limits).is_some();
        match conversation.standing {
            Standing::Alive if is_dead => {
                conversation.standing = Standing::Suspected;
                let deadline = self.now.saturating_add(dead_after);
                self.watch.suspects.push_back((deadline, id));
                self.due = self.due.min(deadline);
            }
            Standing::GivenUp if !is_dead && !conversation.has_ended() => {
                conversation.standing = Standing::Alive;
                let serial = conversation.serial();
                self.events.push_back(Event::Revived { serial, at });
            }
            Standing::Alive | Standing::Suspected | Standing::GivenUp => {}
        }
    }

    /// Reports the suspects that have had their time.
    pub(super) fn give_up_dead(&mut self) {
        while let Some((deadline, id)) = self.watch.suspects.front().copied() {
            if deadline > self.now {
                break;
            }
            self.watch.suspects.pop_front();
            self.give_up(id);
        }
    }

    fn give_up(&mut self, id: FlowId) {
        let Some(dead_after) = self.options.dead_after else { return };
        let Some(conversation) = self.table.get_mut(id) else { return };
        let Some(since) = conversation.dead_since(&self.options.limits) else {
            conversation.standing = Standing::Alive;
            return;
        };
        if !self.now.has_passed(dead_after, since) {
            // It has answered meanwhile, and then stopped again.
            self.watch.suspects.push_back((self.now.saturating_add(dead_after), id));
            return;
        }
        conversation.standing = Standing::GivenUp;
        // Judged as at the end of a file, on a copy: this one may have a future.
        let mut copy = conversation.clone();
        copy.flush(&self.options);
        copy.finish_tls(&self.options);
        let parts = if copy.is_multiplexed() { copy.take_streams(Which::All) } else { vec![copy] };
        for part in parts {
            let dropped = !part.is_closed_stream() && self.dropped_at_end_of(&part);
            self.events.push_back(Event::given_up(part, self.seen(Observed::Whole, dropped)));
        }
    }

    /// The capture dropped packets between these times.
    pub(super) fn note_losses(&mut self, from: Timestamp, to: Timestamp) {
        let losses = &mut self.watch.losses;
        match losses.back_mut() {
            Some((begin, end)) if from.nanos_since(*end) <= nanos(LOSS_GAP) => {
                (*begin, *end) = (from.min(*begin), to.max(*end));
            }
            _ => losses.push_back((from, to)),
        }
        if losses.len() > LOSS_SPANS
            && let Some((begin, _)) = losses.pop_front()
            && let Some((next, _)) = losses.front_mut()
        {
            *next = begin;
        }
    }

    /// Did the capture drop packets while `conversation` ended?
    pub(super) fn dropped_at_end_of(&self, conversation: &Conversation) -> bool {
        if self.watch.losses.is_empty() {
            return false;
        }
        let Some((from, to)) = conversation.end_span(self.now, &self.options.limits) else { return false };
        self.watch.losses.iter().any(|(begin, end)| *begin <= to && *end >= from)
    }

    /// Goes back with a clock that has stepped back to `now`; gives by how many nanoseconds.
    pub(super) fn follow_clock(&mut self, now: Timestamp) -> Option<u64> {
        let ahead = self.now.nanos_since(now);
        if self.now == Timestamp::MIN || ahead <= nanos(CLOCK_SLACK) {
            return None;
        }
        let by = Duration::from_nanos(ahead.unsigned_abs());
        self.now = now;
        for (deadline, _) in self.lingering.iter_mut().chain(&mut self.watch.suspects) {
            *deadline = deadline.saturating_sub(by);
        }
        self.look_ahead();
        Some(ahead.unsigned_abs())
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
