//! Judges what has been followed, and decides what is listed.
//!
//! It needs no packet: it may run on a thread of its own.

use super::Options;
use super::conversation::{Conversation, Opened};
use super::pairing::Pairing;
use super::record::ConnectionRecord;
use crate::decode::segment::Endpoint;
use crate::limits::Limits;
use crate::tls::shape::Score;
use crate::verdict::teardown::Observed;
use crate::verdict::vantage::Vantage;
use crate::verdict::verdict::Kind;
use std::collections::{HashSet, VecDeque};

/// What following packets yields, in the order in which it came to light.
#[derive(Debug)]
pub struct Followed(pub(super) Event);

#[derive(Debug)]
pub(super) enum Event {
    Opened(Opened),
    /// Nothing more will be seen of a connection that is a WebSocket, or may have failed to become one.
    Ended {
        conversation: Box<Conversation>,
        observed: Observed,
        /// Names of its VLANs and tunnels.
        encapsulation: Vec<String>,
    },
}

/// Turns followed connections into judged records.
#[derive(Debug)]
pub struct Settler {
    limits: Limits,
    vantage: Option<Vantage>,
    ws_ports: Vec<u16>,
    /// Encrypted connections that look like a WebSocket are listed.
    encrypted: bool,
    /// Failed and encrypted TCP connections to servers that have not (yet) carried a WebSocket.
    candidates: VecDeque<Box<ConnectionRecord>>,
    /// Servers that carried one.
    servers: HashSet<Endpoint>,
    pairing: Pairing,
    settled: VecDeque<Box<ConnectionRecord>>,
    other_connections: u64,
}

impl Settler {
    pub(super) fn new(options: &Options) -> Self {
        Settler {
            limits: options.limits.clone(),
            vantage: options.vantage,
            ws_ports: options.ws_ports.clone(),
            encrypted: options.encrypted,
            candidates: VecDeque::new(),
            servers: HashSet::new(),
            pairing: Pairing::default(),
            settled: VecDeque::new(),
            other_connections: 0,
        }
    }

    /// Takes what following packets has yielded next.
    pub fn take(&mut self, followed: Followed) {
        match followed.0 {
            Event::Opened(Opened { server, key }) => {
                if self.servers.len() < self.limits.servers {
                    self.servers.insert(server);
                }
                if let Some(key) = key {
                    self.pairing.begin(key);
                }
            }
            Event::Ended { conversation, observed, encapsulation } => {
                self.judge(*conversation, observed, encapsulation);
            }
        }
    }

    fn judge(&mut self, conversation: Conversation, observed: Observed, encapsulation: Vec<String>) {
        let is_websocket = conversation.is_websocket();
        let server = conversation.server();
        let is_named = self.ws_ports.contains(&server.port);
        let is_hidden = conversation.is_opaque();
        let key = conversation.key();
        let mut record = Box::new(conversation.finish(observed, self.vantage, &self.limits));
        record.encapsulation_names = encapsulation;
        if is_websocket {
            match key {
                Some(key) => self.settled.extend(self.pairing.finish(key, record, self.limits.held_legs)),
                None => self.settled.push_back(record),
            }
        } else if is_hidden {
            self.take_hidden(record, is_named);
        } else if record.verdict.kind != Kind::Refused {
            self.other_connections += 1;
        } else if is_named || self.servers.contains(&server) {
            self.settled.push_back(record);
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
            self.settled.push_back(record);
        } else if is_possible {
            self.keep_candidate(record);
        } else {
            self.other_connections += 1;
        }
    }

    fn keep_candidate(&mut self, record: Box<ConnectionRecord>) {
        if self.candidates.len() >= self.limits.candidates.max(1) {
            self.candidates.pop_front();
            self.other_connections += 1;
        }
        self.candidates.push_back(record);
    }

    /// Nothing more was followed: failed connections to servers that carried WebSockets are listed.
    pub fn finish(&mut self) {
        for candidate in std::mem::take(&mut self.candidates) {
            if self.servers.contains(&candidate.server) {
                self.settled.push_back(candidate);
            } else {
                self.other_connections += 1;
            }
        }
    }

    /// The next judged connection.
    pub fn poll_record(&mut self) -> Option<Box<ConnectionRecord>> {
        self.settled.pop_front()
    }

    /// TCP connections that were judged and carried no WebSocket.
    #[must_use]
    pub fn other_connections(&self) -> u64 {
        self.other_connections
    }
}
