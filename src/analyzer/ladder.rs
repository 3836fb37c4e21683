//! One connection packet by packet, as a ladder between its two ends; with both legs of a proxied one, between three.

use super::contents::{Aids, Contents};
use super::record::ConnectionRecord;
use super::track::Track;
use crate::decode::flow_key::FlowKey;
use crate::decode::segment::{Segment, TcpFlags};
use crate::flow::copies::CopyFilter;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::connection::Connection;
use crate::tls::keylog::KeyLog;
use std::collections::VecDeque;

/// Where a packet went.
///
/// ```text
///  client ------------ Whole ----------- server
///  client -- Front -- proxy -- Back ---- server
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Leg {
    /// From end to end, as far as anybody knows.
    #[default]
    Whole,
    /// Between client and proxy.
    Front,
    /// Between proxy and server.
    Back,
}

/// One packet of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The packet.
    pub at: Moment,
    /// Who sent it; of two legs, the one that is nearer to that end.
    pub from: Side,
    /// Where it went.
    pub leg: Leg,
    /// What it holds: flags, frames, bytes.
    pub what: String,
}

/// Follows the packets of one connection that has been judged already, and keeps the last rungs.
#[derive(Debug)]
pub struct Ladder {
    record: ConnectionRecord,
    climbs: Vec<Climb>,
    /// A packet that was captured at two places is one.
    copies: CopyFilter,
    rungs: VecDeque<Rung>,
    kept: usize,
    left_out: u64,
}

/// The packets of one leg.
#[derive(Debug)]
struct Climb {
    track: Track,
    leg: Leg,
    tcp: Connection,
    contents: Contents,
}

impl Climb {
    fn new(track: Track, leg: Leg) -> Self {
        Climb { track, leg, tcp: Connection::new(track.begun), contents: Contents::new(track) }
    }

    /// Who of this leg sent `segment`, if it is one of its own.
    fn side_of(&self, segment: &Segment<'_>) -> Option<Side> {
        let Track { client, begun, last, .. } = self.track;
        let is_own = segment.key == self.track.key() && (begun..=last).contains(&segment.at);
        is_own.then(|| if segment.source() == client { Side::Client } else { Side::Server })
    }

    /// What `segment` holds, in words; `None`: nothing of this connection.
    fn take(&mut self, side: Side, segment: &Segment<'_>, aids: Aids<'_>) -> Option<String> {
        self.tcp.handle_segment(side, segment, aids.limits, &mut self.contents.reader(aids));
        let words = self.contents.words().take();
        let head = self.head_text(side, segment.at);
        // HTTP/2 brings packets of all its streams.
        let is_own = self.track.stream.is_none() || head.is_some() || !words.is_empty() || is_end(segment);
        if segment.at < self.track.opened || !is_own {
            return None;
        }
        let mut what = flags(segment);
        if segment.payload_len() > 0 {
            what = format!("{what}, {} bytes", segment.payload_len());
        }
        for word in head.into_iter().chain(words) {
            what = format!("{what}; {word}");
        }
        Some(what)
    }

    /// The head of the opening handshake that `side` completed in packet `at`.
    fn head_text(&self, side: Side, at: Moment) -> Option<String> {
        let is_head = self.track.heads[side] == Some(at);
        match side {
            Side::Client => is_head.then(|| "Upgrade request".to_owned()),
            Side::Server => self.track.status.filter(|_| is_head).map(|status| format!("status {status}")),
        }
    }
}

impl Ladder {
    /// A ladder for `record` that keeps its last `kept` rungs; `keys` decrypt what is in TLS.
    #[must_use]
    pub fn new(record: ConnectionRecord, kept: usize, limits: &Limits) -> Self {
        let own = Track::of(&record);
        let climbs = match &record.beside {
            None => vec![Climb::new(own, Leg::Whole)],
            Some(beside) if beside.is_back => {
                vec![Climb::new(own, Leg::Front), Climb::new(beside.track, Leg::Back)]
            }
            Some(beside) => vec![Climb::new(own, Leg::Back), Climb::new(beside.track, Leg::Front)],
        };
        let copies = CopyFilter::new(limits);
        Ladder { record, climbs, copies, rungs: VecDeque::new(), kept, left_out: 0 }
    }

    /// Between which ends its packets go, as [`Track::key`] has it: of one leg, or of two.
    pub fn keys(&self) -> impl Iterator<Item = FlowKey> {
        self.climbs.iter().map(|climb| climb.track.key())
    }

    /// Where the connection itself lies; its other leg is the other one.
    #[must_use]
    pub fn own_leg(&self) -> Leg {
        self.climbs.first().map(|climb| climb.leg).unwrap_or_default()
    }

    /// Takes a segment, which need not be the connection's; `keys` decrypt what is in TLS.
    pub fn handle_segment(&mut self, segment: &Segment<'_>, keys: &KeyLog, limits: &Limits) {
        for (climb, place) in self.climbs.iter_mut().zip(0_u64..) {
            let Some(side) = climb.side_of(segment) else { continue };
            let flow = place << 1 | u64::from(side == Side::Server);
            if self.copies.is_copy(flow, segment) {
                continue;
            }
            if let Some(what) = climb.take(side, segment, Aids { limits, keys }) {
                self.rungs.push_back(Rung { at: segment.at, from: side, leg: climb.leg, what });
            }
        }
        while self.rungs.len() > self.kept {
            self.rungs.pop_front();
            self.left_out += 1;
        }
    }

    /// The rungs kept, and how many came before them.
    pub fn rungs(&self) -> (impl Iterator<Item = &Rung>, u64) {
        (self.rungs.iter(), self.left_out)
    }

    /// The connection.
    #[must_use]
    pub fn record(&self) -> &ConnectionRecord {
        &self.record
    }
}

/// Does it open or end TCP?
fn is_end(segment: &Segment<'_>) -> bool {
    segment.flags.0 & (TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) != 0
}

/// `SYN`, `FIN, ACK`, `ACK`, as tcpdump and Wireshark name them.
fn flags(segment: &Segment<'_>) -> String {
    let names =
        [(TcpFlags::SYN, "SYN"), (TcpFlags::FIN, "FIN"), (TcpFlags::RST, "RST"), (TcpFlags::ACK, "ACK")];
    let set: Vec<&str> =
        names.iter().filter(|(bit, _)| segment.flags.0 & bit != 0).map(|(_, name)| *name).collect();
    set.join(", ")
}
