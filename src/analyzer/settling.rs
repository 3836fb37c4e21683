//! Judges what has been followed, and decides what is listed.
//!
//! It needs no packet: it may run on a thread of its own.

use super::Options;
use super::conversation::{Conversation, Opened};
use super::judging::{Ended, Judge, Judged, Seen};
use super::pairing::{Asked, Pairing};
use super::record::{ConnectionRecord, Identity};
use crate::anomaly::{Anomaly, AnomalyCounts};
use crate::decode::segment::Endpoint;
use crate::limits::{Limits, RECORD_BYTES};
use crate::moment::Moment;
use crate::time::Timestamp;
use crate::tls::shape::Score;
use crate::verdict::teardown::Blind;
use crate::verdict::verdict::{Cause, Kind};
use foldhash::quality::RandomState;
use std::collections::{BTreeSet, HashSet, VecDeque};

/// What following packets yields, in the order in which it came to light.
#[derive(Debug)]
pub struct Followed(pub(super) Event);

#[derive(Debug)]
pub(super) enum Event {
    Opened(Box<Opened>),
    /// A stream of HTTP/2 turned out to be another leg of the connection with this key.
    Linked(u64, Asked),
    /// The handshake with this key was answered.
    Answered(u64, Asked),
    /// TCP of a WebSocket has ended; its stragglers are waited for ([`Options::turns`]).
    Closing(Turn),
    /// The peer of one that was given up has spoken again.
    Revived {
        serial: u64,
        at: Moment,
    },
    /// Nothing more will be seen of a connection that is a WebSocket, or may have failed to become one.
    Ended(Ended),
    /// The same, judged ahead.
    Judged(Judged),
}

impl Event {
    /// `conversation` has ended.
    pub(super) fn ended(conversation: Box<Conversation>, seen: Seen) -> Event {
        Event::Ended(Ended { conversation, seen, is_early: false, encapsulation: Vec::new() })
    }

    /// The peer of `conversation` is taken for dead.
    pub(super) fn given_up(conversation: Conversation, seen: Seen) -> Event {
        let (conversation, encapsulation) = (Box::new(conversation), Vec::new());
        Event::Ended(Ended { conversation, seen, is_early: true, encapsulation })
    }
}

/// What has been judged.
#[derive(Debug)]
pub enum Settled {
    /// A connection that has ended.
    Final(Box<ConnectionRecord>),
    /// One whose peer is dead: reported before its end, which will not be reported again unless it is another one.
    Early(Box<ConnectionRecord>),
    /// This connection, which was reported early, has ended as was said.
    Stands {
        /// Which one.
        identity: Identity,
    },
    /// What was reported early of this connection does not hold: the packet shows it.
    Revised {
        /// Which one.
        identity: Identity,
        /// The packet.
        at: Moment,
    },
    /// A WebSocket opens, or is to ([`Options::turns`]).
    Opened(Turn),
    /// Its TCP has ended. The record follows, unless the WebSocket ended otherwise, as a stream of HTTP/2 may.
    Closing(Turn),
}

/// The begin or the end of a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who opened it.
    pub client: Endpoint,
    /// Who accepted it.
    pub server: Endpoint,
    /// When.
    pub at: Timestamp,
}

/// Turns followed connections into judged records.
#[derive(Debug)]
pub struct Settler {
    limits: Limits,
    judge: Judge,
    ws_ports: Vec<u16>,
    /// Encrypted connections that look like a WebSocket are listed.
    encrypted: bool,
    /// TCP connections without HTTP, and encrypted ones, to servers that have not (yet) carried a WebSocket.
    candidates: VecDeque<Box<ConnectionRecord>>,
    /// Servers that carried one.
    servers: HashSet<Endpoint, RandomState>,
    pairing: Pairing,
    settled: VecDeque<Settled>,
    /// Connections that were reported before they ended.
    given_up: BTreeSet<Identity>,
    turns: bool,
    other_connections: u64,
    anomalies: AnomalyCounts,
    /// WebSockets so far, and those of them that have ended.
    opened: u64,
    ended: u64,
}

impl Settler {
    pub(super) fn new(options: &Options) -> Self {
        Settler {
            limits: options.limits.clone(),
            judge: Judge::new(options.limits.clone(), options.vantage),
            ws_ports: options.ws_ports.clone(),
            encrypted: options.encrypted,
            candidates: VecDeque::new(),
            servers: HashSet::default(),
            pairing: Pairing::default(),
            settled: VecDeque::new(),
            given_up: BTreeSet::new(),
            turns: options.turns,
            other_connections: 0,
            anomalies: AnomalyCounts::default(),
            opened: 0,
            ended: 0,
        }
    }

    /// What judges as this settler does, on another thread perhaps.
    #[must_use]
    pub fn judge(&self) -> Judge {
        self.judge.another()
    }

    /// Takes what following packets has yielded next.
    pub fn take(&mut self, followed: Followed) {
        match followed.0 {
            Event::Linked(key, asked) => self.pairing.begin(key, asked, &self.limits),
            Event::Answered(key, asked) => self.pairing.answered(key, asked),
            Event::Opened(opened) => self.note_opening(&opened),
            Event::Closing(turn) => self.settled.push_back(Settled::Closing(turn)),
            Event::Ended(ended) => {
                let judged = self.judge.judge(ended);
                self.take_judged(judged);
            }
            Event::Judged(judged) => self.take_judged(judged),
            Event::Revived { serial, at } => {
                let revived: Vec<Identity> = self.given_up.range(Identity::all_of(serial)).copied().collect();
                for identity in revived {
                    self.given_up.remove(&identity);
                    self.settled.push_back(Settled::Revised { identity, at });
                }
            }
        }
        self.take_paired();
    }

    fn note_opening(&mut self, opened: &Opened) {
        self.opened += 1;
        if self.turns {
            let Opened { client, server, began, .. } = *opened;
            self.settled.push_back(Settled::Opened(Turn { client, server, at: began.at }));
        }
        self.remember_server(opened.server);
        if let Some((key, request)) = opened.key.zip(opened.request) {
            let asked = Asked { serial: opened.serial, request, response: None };
            self.pairing.begin(key, asked, &self.limits);
        }
    }

    /// Takes over what need not wait for another leg any longer.
    fn take_paired(&mut self) {
        self.anomalies.add(Anomaly::LegLimit, std::mem::take(&mut self.pairing.let_go));
        while let Some(record) = self.pairing.poll() {
            self.settled.push_back(Settled::Final(record));
        }
    }

    /// Tells the time, as only live capture does: from now on nothing waits for its other leg for longer than
    /// [`Limits::leg_patience`].
    pub fn advance(&mut self, now: Timestamp) {
        self.pairing.advance(now, &self.limits);
        self.take_paired();
    }

    /// Reports a connection whose peer is dead before it ends.
    fn give_up(&mut self, record: Box<ConnectionRecord>) {
        if record.verdict.kind == Kind::Abnormal(Cause::Timeout) {
            self.given_up.insert(record.identity());
            self.settled.push_back(Settled::Early(record));
        }
    }

    fn take_judged(&mut self, judged: Judged) {
        let Judged { record, is_early, is_websocket, is_hidden, key } = judged;
        let server = record.server;
        let is_named = self.ws_ports.contains(&server.port);
        if is_early {
            if is_websocket {
                self.give_up(record);
            }
        } else if is_websocket {
            self.ended += 1;
            match key {
                Some(key) => self.pairing.finish(key, record, &self.limits),
                None => self.settled.push_back(Settled::Final(record)),
            }
        } else if is_hidden {
            self.take_hidden(record, is_named);
        } else if record.verdict.kind == Kind::Unknown(Blind::Evicted) {
            // It may have come to anything; a flood of SYNs would fill the report with these.
            self.other_connections += 1;
        } else if is_named || self.servers.contains(&server) {
            self.settled.push_back(Settled::Final(record));
        } else {
            self.keep_candidate(record);
        }
    }

    /// An encrypted connection is listed if its port is named, if it looks like a WebSocket and such are asked for, or
    /// if it may be one and its server is known, or becomes known, to carry them.
    fn take_hidden(&mut self, record: Box<ConnectionRecord>, is_named: bool) {
        let score = record.probable.as_ref().map(|probable| &probable.websocket);
        let is_asked_for = self.encrypted && score.is_some_and(Score::is_probable);
        let is_possible = score.is_some_and(Score::is_possible);
        if is_named || is_asked_for || (is_possible && self.servers.contains(&record.server)) {
            self.settled.push_back(Settled::Final(record));
        } else if is_possible {
            self.keep_candidate(record);
        } else {
            self.other_connections += 1;
        }
    }

    fn remember_server(&mut self, server: Endpoint) {
        if self.servers.len() < self.limits.servers {
            self.servers.insert(server);
        } else if !self.servers.contains(&server) {
            self.anomalies.count(Anomaly::ServerLimit);
        }
    }

    fn keep_candidate(&mut self, record: Box<ConnectionRecord>) {
        if self.candidates.len() >= self.limits.candidates.max(1)
            && let Some(oldest) = self.candidates.pop_front()
            && !self.let_go(oldest)
        {
            self.anomalies.count(Anomaly::CandidateLimit);
        }
        self.candidates.push_back(record);
    }

    /// Lists `candidate` if its server has carried a WebSocket; did it?
    fn let_go(&mut self, candidate: Box<ConnectionRecord>) -> bool {
        let is_known = self.servers.contains(&candidate.server);
        if is_known {
            self.settled.push_back(Settled::Final(candidate));
        } else {
            self.other_connections += 1;
        }
        is_known
    }

    /// Nothing more was followed: connections that came to nothing are listed if their servers carried WebSockets.
    pub fn finish(&mut self) {
        self.pairing.finish_all();
        self.take_paired();
        for candidate in std::mem::take(&mut self.candidates) {
            self.let_go(candidate);
        }
    }

    /// The next judged connection.
    pub fn poll_record(&mut self) -> Option<Box<ConnectionRecord>> {
        loop {
            match self.poll()? {
                Settled::Early(record) | Settled::Final(record) => return Some(record),
                Settled::Stands { .. }
                | Settled::Revised { .. }
                | Settled::Opened(_)
                | Settled::Closing(_) => {}
            }
        }
    }

    /// What has been settled next, early verdicts and their revisions included ([`Options::dead_after`]).
    pub fn poll(&mut self) -> Option<Settled> {
        let next = self.settled.pop_front()?;
        let Settled::Final(record) = &next else { return Some(next) };
        let identity = record.identity();
        if !self.given_up.remove(&identity) {
            return Some(next);
        }
        if record.verdict.kind == Kind::Abnormal(Cause::Timeout) {
            return Some(Settled::Stands { identity });
        }
        let revised = Settled::Revised { identity, at: record.last };
        self.settled.push_front(next);
        Some(revised)
    }

    /// WebSockets that opened, or were to open, so far.
    #[must_use]
    pub fn opened_websockets(&self) -> u64 {
        self.opened
    }

    /// How many of them have not ended.
    #[must_use]
    pub fn open_websockets(&self) -> u64 {
        self.opened.saturating_sub(self.ended)
    }

    /// Limits that were reached in settling.
    #[must_use]
    pub fn anomalies(&self) -> &AnomalyCounts {
        &self.anomalies
    }

    /// WebSockets that have ended and wait for their other leg, where [the time is told](Settler::advance).
    pub fn held_back(&self) -> impl Iterator<Item = &ConnectionRecord> {
        self.pairing.waiting()
    }

    /// Memory of what waits for another leg, or for its server to be known, as estimated, in bytes.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.pairing.memory() + self.candidates.len() * RECORD_BYTES
    }

    /// TCP connections that were judged and carried no WebSocket.
    #[must_use]
    pub fn other_connections(&self) -> u64 {
        self.other_connections
    }
}
