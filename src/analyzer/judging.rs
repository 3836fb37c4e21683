//! Judges what has ended: the part of settling that hangs on one connection alone.
//!
//! Either of two threads may do it: the one that follows packets judges what the one that reports has no time for.

use super::conversation::Conversation;
use super::record::ConnectionRecord;
use super::settling::{Event, Followed};
use crate::diagnosis::stack::Recogniser;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::verdict::teardown::Observed;
use crate::verdict::vantage::Vantage;

/// How far a connection was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub observed: Observed,
    /// Up to when the capture was followed.
    pub until: Timestamp,
    /// The capture dropped packets while it ended.
    pub dropped: bool,
}

/// A connection of which nothing more will be seen.
#[derive(Debug)]
pub(super) struct Ended {
    pub conversation: Box<Conversation>,
    pub seen: Seen,
    /// It has not ended, but its peer has not answered for long: judged as if the capture ended here.
    pub is_early: bool,
    /// Names of its VLANs and tunnels.
    pub encapsulation: Vec<String>,
}

/// A connection that was judged, with what decides whether it is listed.
#[derive(Debug)]
pub(super) struct Judged {
    pub record: Box<ConnectionRecord>,
    pub is_early: bool,
    pub is_websocket: bool,
    /// In TLS that could not be decrypted.
    pub is_hidden: bool,
    /// Hash of its handshake key.
    pub key: Option<u64>,
}

/// Judges connections, one by one.
#[derive(Debug)]
pub struct Judge {
    limits: Limits,
    vantage: Option<Vantage>,
    recogniser: Recogniser,
}

impl Judge {
    pub(super) fn new(limits: Limits, vantage: Option<Vantage>) -> Self {
        Judge { limits, vantage, recogniser: Recogniser::default() }
    }

    /// One that judges alike.
    pub(super) fn another(&self) -> Judge {
        Judge::new(self.limits.clone(), self.vantage)
    }

    /// Judges `followed` ahead of [`Settler::take`](super::Settler::take), if it is a connection that has ended.
    pub fn judge_ahead(&mut self, followed: Followed) -> Followed {
        match followed.0 {
            Event::Ended(ended) => Followed(Event::Judged(self.judge(ended))),
            event => Followed(event),
        }
    }

    pub(super) fn judge(&mut self, ended: Ended) -> Judged {
        let Ended { conversation, seen, is_early, encapsulation } = ended;
        let (is_websocket, is_hidden) = (conversation.is_websocket(), conversation.is_opaque());
        let key = conversation.key();
        let (vantage, recogniser) = (self.vantage, &mut self.recogniser);
        let mut record = conversation.finish(seen, vantage, recogniser, &self.limits);
        record.encapsulation_names = encapsulation;
        Judged { record, is_early, is_websocket, is_hidden, key }
    }
}
