//! Every recorded capture gets the verdict that its truth file demands.

use crate::support::fixture::{self, Fixture};
use crate::support::run::{self, Answer, Outcome};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use wsclose::report::model::Connection;

/// Connections whose bytes the recording itself lost, so that their truth file asks for more than the packets hold.
/// They must be `unknown` for a gap; a new recording that is whole makes this list's test fail.
const RECORDED_WITH_A_HOLE: [(&str, &str); 1] = [
    // The client's packet with IP ID 0xc347 is in neither of the two copies: 20 bytes, enough for a Close.
    ("router-any/websockets--aiohttp.any", "fin"),
];

fn is_recorded_with_a_hole(fixture: &Fixture, connection: &str) -> bool {
    RECORDED_WITH_A_HOLE.contains(&(fixture.name.as_str(), connection))
}

/// The report's connections in the truth file's order: by endpoints, those used again in the order of use.
fn matched<'a>(fixture: &Fixture, outcome: &'a Outcome) -> Vec<Option<&'a Connection>> {
    let mut found: BTreeMap<_, Vec<&Connection>> = BTreeMap::new();
    for connection in &outcome.connections {
        found.entry(run::endpoints(connection)).or_default().push(connection);
    }
    for same in found.values_mut() {
        same.sort_by(|a, b| b.opened_at.cmp(&a.opened_at));
    }
    let of = |expected: &fixture::Expected| found.get_mut(&expected.endpoints()).and_then(Vec::pop);
    fixture.truth.connections.iter().map(of).collect()
}

#[test]
fn every_fixture_gets_the_verdict_of_its_truth_file() {
    let (mut misses, mut connections) = (String::new(), 0);
    for fixture in fixture::all() {
        let outcome = run::analyze_path(&fixture.path);
        for (expected, found) in fixture.truth.connections.iter().zip(matched(&fixture, &outcome)) {
            connections += 1;
            let Some(found) = found else {
                writeln!(misses, "{} {}: not listed", fixture.name, expected.name).unwrap();
                continue;
            };
            let answer = Answer::of(found);
            if is_recorded_with_a_hole(&fixture, &expected.name) {
                assert_eq!(found.verdict.blind.as_deref(), Some("gap"), "{}", fixture.name);
                continue;
            }
            if !expected.allows(&answer) {
                let (why, right) = (&found.verdict.why, &expected.expected[0]);
                writeln!(misses, "{} {}: {answer}, not {right}: {why}", fixture.name, expected.name).unwrap();
            }
        }
    }
    assert!(misses.is_empty(), "of {connections} connections:\n{misses}");
    assert!(connections > 0);
}

#[test]
fn no_fixture_lists_a_connection_that_its_truth_file_lacks() {
    for fixture in fixture::all() {
        let outcome = run::analyze_path(&fixture.path);
        assert_eq!(outcome.connections.len(), fixture.truth.connections.len(), "{}", fixture.name);
    }
}

#[test]
fn every_fixture_is_read_whole() {
    for fixture in fixture::all() {
        for input in run::analyze_path(&fixture.path).inputs {
            assert!(input.complete, "{}: {:?}", fixture.name, input.error);
        }
    }
}

#[test]
fn a_1006_is_claimed_only_where_the_truth_file_allows_it() {
    for fixture in fixture::all() {
        let outcome = run::analyze_path(&fixture.path);
        for (expected, found) in fixture.truth.connections.iter().zip(matched(&fixture, &outcome)) {
            let claimed = found.is_some_and(|found| found.verdict.kind == "abnormal");
            let allowed = expected.expected.iter().any(|right| right.is("abnormal"));
            assert!(!claimed || allowed, "{} {}: false 1006", fixture.name, expected.name);
        }
    }
}
