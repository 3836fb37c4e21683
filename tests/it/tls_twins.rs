//! Scenarios recorded over TLS, with their keys, beside the same scenarios in the clear.

use crate::fixtures::matched;
use crate::support::fixture::{self, Expected, Fixture, Libraries};
use crate::support::pcapng::without_secrets;
use crate::support::run::{self, Answer, Outcome};
use crate::tls_shape::{Tallies, assert_claims_nothing, assert_high_is_right};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use wsclose::analyzer::Options;
use wsclose::anomaly::Anomaly;
use wsclose::limits::Limits;
use wsclose::report::model::{Connection, Endpoint, Probable};

/// A connection over TLS, and its twin's.
struct Pair<'a> {
    name: String,
    libraries: &'a Libraries,
    truth: &'a Expected,
    secured: &'a Connection<'static>,
    clear: &'a Connection<'static>,
}

/// Each connection that both recordings hold; `missing` is told of the others.
fn each_pair(mut missing: impl FnMut(String), mut check: impl FnMut(&Pair<'_>)) {
    let clear: BTreeMap<String, Fixture> =
        fixture::all().into_iter().map(|fixture| (fixture.name.clone(), fixture)).collect();
    for twin in fixture::twins() {
        let Some(clear) = clear.get(&twin.name) else {
            missing(format!("{}: no twin", twin.name));
            continue;
        };
        let (here, there) = (run::analyze_path(&twin.path), run::analyze_path(&clear.path));
        let (ours, theirs) = (matched(&twin, &here), matched(clear, &there));
        let names = clear.truth.connections.iter().map(|one| (&one.name, &one.leg));
        let theirs: BTreeMap<_, _> = names.zip(theirs).collect();
        for (truth, ours) in twin.truth.connections.iter().zip(ours) {
            let name = format!("{} {}", twin.name, truth.name);
            match (ours, theirs.get(&(&truth.name, &truth.leg)).copied().flatten()) {
                (Some(secured), Some(clear)) => {
                    let libraries = &twin.truth.endpoints;
                    check(&Pair { name, libraries, truth, secured, clear });
                }
                _ => missing(format!("{name}: not listed")),
            }
        }
    }
}

#[test]
fn the_silence_before_an_end_is_that_of_the_recording_in_the_clear() {
    let (mut misses, mut silent) = (Vec::new(), 0);
    each_pair(drop, |pair| {
        let (ours, theirs) = (pair.secured.idle_before_end_s, pair.clear.idle_before_end_s);
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return };
        // A close_notify breaks no silence. The two were recorded at different times: a browser is killed sooner or later.
        if pair.clear.verdict.kind == "abnormal" && pair.secured.verdict.kind == "abnormal" && theirs > 1.0 {
            silent += 1;
            if ours < theirs / 3.0 || ours > theirs * 3.0 {
                misses.push(format!("{}: {ours} s, in the clear {theirs} s", pair.name));
            }
        }
    });
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    assert!(silent > 10, "only {silent} ends behind a silence");
}

#[test]
fn every_twin_gets_the_verdict_of_its_recording_in_the_clear() {
    let (mut misses, mut pairs, mut secured) = (Vec::new(), 0, 0);
    each_pair(
        |missing| panic!("{missing}"),
        |pair| {
            pairs += 1;
            secured += usize::from(pair.secured.tls.as_ref().is_some_and(|tls| tls.decrypted));
            let (ours, theirs) = (Answer::of(pair.secured), Answer::of(pair.clear));
            // What is a matter of milliseconds may come out one way here and the other way there.
            let is_race = pair.truth.expected.len() > 1 && pair.truth.allows(&ours);
            if ours != theirs && !is_race {
                misses.push(format!("{}: {ours}, in the clear {theirs}", pair.name));
            }
        },
    );
    eprintln!("{} of {pairs} connections over TLS get their twin's verdict", pairs - misses.len());
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    assert!(pairs > 150 && secured * 10 > pairs * 8, "{secured} of {pairs} over TLS");
}

/// The codes that an application may have been told, its library's ways included.
fn codes(end: &Endpoint<'_>) -> BTreeSet<u16> {
    let (code, others) = match &end.reported_as {
        Some(said) => (said.code, &said.alternatives),
        None => (end.code, &end.alternatives),
    };
    code.into_iter().chain(others.iter().copied()).collect()
}

#[test]
fn every_twin_s_endpoints_get_the_codes_of_its_recording_in_the_clear() {
    let (mut misses, mut ends) = (String::new(), 0);
    each_pair(
        |_| {},
        |pair| {
            let sides = [
                ("client", &pair.secured.endpoints.client, &pair.clear.endpoints.client),
                ("server", &pair.secured.endpoints.server, &pair.clear.endpoints.server),
            ];
            for (side, ours, theirs) in sides {
                ends += 1;
                let (ours, theirs) = (codes(ours), codes(theirs));
                // Where the library itself told its application another code over TLS, that one is right.
                let told = pair.truth.told(side, pair.libraries);
                let is_own = told.is_some_and(|told| ours.contains(&told));
                if ours != theirs && ours.is_disjoint(&theirs) && !is_own {
                    let name = &pair.name;
                    writeln!(misses, "{name} {side}: {ours:?}, in the clear {theirs:?}, told {told:?}")
                        .unwrap();
                }
            }
        },
    );
    assert!(misses.is_empty(), "of {ends} ends:\n{misses}");
    assert!(ends > 300);
}

/// Is what is said of an encrypted connection right? `None`: nothing definite is said.
fn is_right(said: &Probable<'_>, truth: &Expected) -> Option<bool> {
    let any = |fits: &dyn Fn(&Answer) -> bool| Some(truth.expected.iter().any(fits));
    match &*said.ending {
        "closing-handshake" | "one-sided-close" => any(&|it| {
            it.is("coded")
                && (it.closed_by == said.closed_by.as_deref().map(str::to_owned)
                    || it.closed_by.as_deref() == Some("both"))
        }),
        "no-close" => any(&|it| !it.is("coded")),
        "still-open" => any(&|it| it.is("open")),
        _ => None,
    }
}

fn without_keys(fixture: &Fixture) -> Outcome {
    let bare = without_secrets(&std::fs::read(&fixture.path).unwrap());
    run::analyze_bytes_with(bare, Options { encrypted: true, ..Options::default() })
}

#[test]
fn high_confidence_is_right_in_19_of_20_recordings_without_their_keys() {
    // The rules were written with other recordings at hand: these test them.
    let mut tallies = Tallies::new();
    let (mut listed, mut hidden) = (0, 0);
    for fixture in fixture::twins() {
        let outcome = without_keys(&fixture);
        hidden += outcome.encrypted_connections;
        for (truth, found) in fixture.truth.connections.iter().zip(matched(&fixture, &outcome)) {
            let Some(found) = found.filter(|found| found.carrier == "tls") else { continue };
            let Some(said) = &found.verdict.probable else { continue };
            assert_claims_nothing(found);
            listed += 1;
            let suite = found.tls.as_ref().and_then(|tls| tls.cipher_suite.as_deref()).unwrap_or("?");
            let what =
                || format!("{} {}: {}, not {}", fixture.name, truth.name, said.text, truth.expected[0]);
            let key = (suite.to_owned(), said.confidence.clone().into_owned());
            tallies.entry(key).or_default().count(is_right(said, truth), what);
        }
    }
    eprintln!("{listed} of {hidden} encrypted connections look like a WebSocket");
    assert_high_is_right(&tallies);
}

#[test]
fn ordinary_http_over_tls_is_read_on_for_an_upgrade_up_to_the_limit() {
    let twins = fixture::twins().into_iter();
    let before = twins.filter(|twin| twin.name.starts_with("request-before-upgrade/")).collect::<Vec<_>>();
    assert_eq!(before.len(), 2);
    for twin in before {
        let bytes = std::fs::read(&twin.path).unwrap();
        let analyze = |most: u64| {
            let limits = Limits { tls_http_bytes: most, ..Limits::default() };
            run::analyze_bytes_with(bytes.clone(), Options { limits, ..Options::default() })
        };
        let (all, few) = (analyze(Limits::default().tls_http_bytes), analyze(20));
        assert_eq!((all.connections.len(), all.other_connections), (twin.truth.connections.len(), 0));
        assert_eq!(all.count(Anomaly::TlsHttpLimit), 0);
        // Those whose first request is not the Upgrade.
        let others = few.other_connections;
        assert!(
            others > 0 && few.connections.len() + others as usize == all.connections.len(),
            "{}",
            twin.name
        );
        assert_eq!(few.count(Anomaly::TlsHttpLimit), others, "{}", twin.name);
    }
}
