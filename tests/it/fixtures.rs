//! Every recorded capture gets the verdict that its truth file demands, and the codes that its applications reported.

use crate::support::fixture::{self, Fixture};
use crate::support::run::{self, Answer, Outcome};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use wsclose::report::model::Connection;

/// The report's connections in the truth file's order: by endpoints, those used again in the order of use.
pub(crate) fn matched<'a>(fixture: &Fixture, outcome: &'a Outcome) -> Vec<Option<&'a Connection<'static>>> {
    let mut found: BTreeMap<_, Vec<&Connection<'static>>> = BTreeMap::new();
    for connection in &outcome.connections {
        found.entry(run::endpoints(connection)).or_default().push(connection);
    }
    for same in found.values_mut() {
        same.sort_by_key(|found| std::cmp::Reverse(found.opened_at));
    }
    let of = |expected: &fixture::Expected| found.get_mut(&expected.endpoints()).and_then(Vec::pop);
    fixture.truth.connections.iter().map(of).collect()
}

#[test]
fn every_fixture_gets_the_verdict_of_its_truth_file() {
    let (mut misses, mut connections) = (String::new(), 0);
    for fixture in fixture::everything() {
        let outcome = run::analyze_path(&fixture.path);
        for (expected, found) in fixture.truth.connections.iter().zip(matched(&fixture, &outcome)) {
            connections += 1;
            let Some(found) = found else {
                writeln!(misses, "{} {}: not listed", fixture.name, expected.name).unwrap();
                continue;
            };
            let answer = Answer::of(found);
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
    for fixture in fixture::everything() {
        let outcome = run::analyze_path(&fixture.path);
        assert_eq!(outcome.connections.len(), fixture.truth.connections.len(), "{}", fixture.name);
    }
}

#[test]
fn every_fixture_is_read_whole() {
    for fixture in fixture::everything() {
        for input in run::analyze_path(&fixture.path).inputs {
            assert!(input.complete, "{}: {:?}", fixture.name, input.error);
        }
    }
}

/// What each application of each fixture reported, beside what the report says: `right`, or how it differs.
fn codes(check: &mut dyn FnMut(String, &Asked)) {
    for fixture in fixture::everything() {
        let outcome = run::analyze_path(&fixture.path);
        for (expected, found) in fixture.truth.connections.iter().zip(matched(&fixture, &outcome)) {
            let Some(found) = found.filter(|found| found.verdict.kind != "open") else { continue };
            for side in ["client", "server"] {
                if let Some(told) = expected.told(side, &fixture.truth.endpoints) {
                    let naive = expected.naive_code(side);
                    check(
                        format!("{} {} {side}", fixture.name, expected.name),
                        &Asked::of(found, side, told, naive),
                    );
                }
            }
        }
    }
}

/// One application's code.
#[derive(Debug)]
struct Asked {
    /// What it said.
    told: u16,
    /// The report's code, with its alternatives.
    codes: Vec<Option<u16>>,
    certainty: String,
    /// The first Close that tshark sees of the other side, else 1006.
    naive: Option<u16>,
}

impl Asked {
    fn of(found: &Connection<'_>, side: &str, told: u16, naive: Option<u16>) -> Self {
        let end = serde_json::to_value(&found.endpoints).expect("JSON")[side].clone();
        let said = if end["reported_as"].is_object() { &end["reported_as"] } else { &end };
        let code = |value: &serde_json::Value| value.as_u64().map(|code| code as u16);
        let mut codes = vec![code(&said["code"])];
        codes.extend(said["alternatives"].as_array().expect("a list").iter().map(code));
        let certainty = said["certainty"].as_str().expect("a certainty").to_owned();
        Asked { told, codes, certainty, naive }
    }

    fn is_right(&self) -> bool {
        self.codes.contains(&Some(self.told))
    }
}

#[test]
fn no_code_is_certain_that_neither_the_application_nor_the_wire_supports() {
    let mut asked_for = 0;
    codes(&mut |name, asked| {
        asked_for += 1;
        let supported = asked.is_right() || asked.naive.is_none_or(|naive| asked.codes[0] == Some(naive));
        assert!(asked.certainty != "certain" || supported, "{name}: {asked:?}");
    });
    assert!(asked_for > 0);
}

#[test]
fn of_100_applications_99_said_what_the_report_says_or_it_declines() {
    let (mut answered, mut wrong) = (0, Vec::new());
    codes(&mut |name, asked| {
        if asked.certainty != "unknown" {
            answered += 1;
            if !asked.is_right() {
                wrong.push(format!("{name}: {asked:?}"));
            }
        }
    });
    assert!(answered > 0);
    assert!(100 * wrong.len() <= answered, "{} of {answered}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_1006_is_claimed_only_where_the_truth_file_allows_it() {
    for fixture in fixture::everything() {
        let outcome = run::analyze_path(&fixture.path);
        for (expected, found) in fixture.truth.connections.iter().zip(matched(&fixture, &outcome)) {
            let claimed = found.is_some_and(|found| found.verdict.kind == "abnormal");
            let allowed = expected.expected.iter().any(|right| right.is("abnormal"));
            assert!(!claimed || allowed, "{} {}: false 1006", fixture.name, expected.name);
        }
    }
}
