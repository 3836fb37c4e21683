//! Packet scripts: one small story a test, and the answer that the rules demand.
//!
//! An answer is written as `kind:label[:cause] by closed_by`.

mod closes;
mod ends;
mod forged;
mod framing;
mod joining;
mod odd_heads;
mod opening;
mod partial_close;
mod tcp;
mod timeouts;
mod unopened;

use crate::support::conversation::Conversation;
use crate::support::packet::TcpPacket;
use crate::support::run::{self, Answer, Outcome};
use crate::support::wire;
use wsclose::side::Side::{self, Client, Server};

/// The capture's one connection must get `answer`.
#[track_caller]
fn check(conn: &Conversation, answer: &str) -> Outcome {
    check_packets(&conn.packets(), answer)
}

#[track_caller]
fn check_packets(packets: &[TcpPacket], answer: &str) -> Outcome {
    let outcome = run::analyze_packets(packets);
    let found: Vec<_> = outcome.connections.iter().map(|found| Answer::of(found).to_string()).collect();
    let why: Vec<_> = outcome.connections.iter().map(|found| &found.verdict.why).collect();
    assert_eq!(found, [answer], "{why:?}");
    outcome
}

/// The answers of all connections, in the order in which they were opened.
fn answers(packets: &[TcpPacket]) -> Vec<String> {
    let mut connections = run::analyze_packets(packets).connections;
    connections.sort_by_key(|connection| connection.opened_at);
    connections.iter().map(|connection| Answer::of(connection).to_string()).collect()
}

fn has_anomaly(outcome: &Outcome, name: &str) -> bool {
    outcome.only().anomalies.iter().any(|anomaly| anomaly == name)
}

/// An open WebSocket that has carried a message each way.
pub(crate) fn busy() -> Conversation {
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::text(Client, "hello")).server_acks();
    conn.server_sends(&wire::text(Server, "world")).client_acks();
    conn
}

/// Both FINs and their acknowledgments, `first` first.
fn both_fins(conn: &mut Conversation, first: Side) {
    conn.fin(first).fin(first.other()).acks(first);
}
