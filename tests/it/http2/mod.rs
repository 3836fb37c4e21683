//! WebSockets over HTTP/2 (RFC 8441): each stream is a connection of its own, judged by what was seen of it.

mod ends;
mod hostile;
mod joined;
mod loss;
mod opening;
mod recorded;

use crate::support::conversation::Conversation;
use crate::support::run::{self, Answer, Outcome};
use wsclose::diagnosis::connection::diagnose;
use wsclose::diagnosis::finding::Diagnosis;
use wsclose::limits::Limits;
use wsclose::report::model::Connection;

/// The one connection on `stream`.
#[track_caller]
fn on(outcome: &Outcome, stream: u32) -> &Connection<'static> {
    let mut found = outcome.connections.iter().filter(|found| found.h2_stream == Some(stream));
    let first = found.next().unwrap_or_else(|| panic!("no stream {stream} in {:?}", answers(outcome)));
    assert!(found.next().is_none(), "two on stream {stream}");
    first
}

fn answers(outcome: &Outcome) -> Vec<(Option<u32>, String)> {
    let of = |found: &Connection<'_>| (found.h2_stream, Answer::of(found).to_string());
    outcome.connections.iter().map(of).collect()
}

/// Each stream has its answer, and there is nothing else.
#[track_caller]
fn check(conn: &Conversation, expected: &[(u32, &str)]) -> Outcome {
    let outcome = run::analyze_packets(&conn.packets());
    let expected: Vec<_> =
        expected.iter().map(|(stream, answer)| (Some(*stream), (*answer).to_owned())).collect();
    let mut found = answers(&outcome);
    found.sort();
    assert_eq!(found, expected);
    outcome
}

/// What the packets of the one connection say of its end.
#[track_caller]
fn diagnoses(outcome: &Outcome) -> Vec<Diagnosis> {
    let [record] = &outcome.records[..] else { panic!("{:?}", answers(outcome)) };
    diagnose(&record.facts(), &Limits::default())
}

fn has(found: &Connection<'_>, anomaly: &str) -> bool {
    found.anomalies.iter().any(|name| name == anomaly)
}
