//! No false alarm: where every connection of a capture ends as its applications meant it to, nothing is found.

use crate::support::fixture;
use crate::support::run::{self, Outcome};
use std::path::Path;
use wsclose::report::diagnosis::Finding;

/// What the drivers of `../shared/lab-samples` did where all went well.
const IN_ORDER: [&str; 7] = [
    "app-close-client",
    "app-close-server",
    "app-close-both",
    "browser-navigated",
    "browser-tab-closed",
    "browser-quit",
    "capture-ended",
];

/// Both Closes, or no end yet. A page that is left waits for no answer.
fn ended_in_order(outcome: &Outcome) -> bool {
    outcome.connections.iter().all(|found| {
        let verdict = &found.verdict;
        let page_left = verdict.label == "1001" && verdict.closed_by.as_deref() == Some("client");
        verdict.clean || verdict.kind == "open" || page_left
    })
}

/// A server that says goodbye to all of its clients at once is news, though nothing went wrong.
fn is_announced_shutdown(finding: &Finding, outcome: &Outcome) -> bool {
    let goodbye = |code: Option<u16>| code.is_some_and(|code| matches!(code, 1001 | 1012));
    let of = |id: &u64| &outcome.connections[usize::try_from(*id).expect("small") - 1].verdict;
    finding.id == "many-at-once" && finding.connections.iter().all(|id| goodbye(of(id).code))
}

/// Fails if anything is found in a capture that ended in order; else says whether it did.
fn check(path: &Path) -> bool {
    let outcome = run::analyze_path(path);
    if !ended_in_order(&outcome) {
        return false;
    }
    let mut findings = run::findings(&outcome);
    findings.retain(|finding| !is_announced_shutdown(finding, &outcome));
    assert_eq!(findings, [], "{}", path.display());
    true
}

#[test]
fn a_fixture_whose_applications_closed_has_no_findings() {
    let mut checked = 0;
    for fixture in fixture::all() {
        let meant = |injected: &str| {
            [" calls close(", "sends websocket.close", "closes after"]
                .iter()
                .any(|verb| injected.contains(verb))
        };
        if fixture.truth.connections.iter().all(|one| meant(&one.injected)) {
            checked += u32::from(check(&fixture.path));
        }
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn a_sample_whose_applications_closed_has_no_findings() {
    let Some(root) = run::shared("lab-samples") else { return };
    let mut checked = 0;
    for file in run::capture_files(&root) {
        let truth = std::fs::read_to_string(file.with_file_name("truth.json")).expect("a truth file");
        let truth: serde_json::Value = serde_json::from_str(&truth).expect("JSON");
        let connections = truth["connections"].as_array().expect("a list");
        let in_order =
            |cause: &serde_json::Value| cause.as_str().is_some_and(|cause| IN_ORDER.contains(&cause));
        if connections.iter().all(|one| in_order(&one["injected_cause"]) && one["tls"].is_null()) {
            checked += u32::from(check(&file));
        }
    }
    assert!(checked >= 20, "{checked}");
}
