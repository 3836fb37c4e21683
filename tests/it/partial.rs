//! Captures of which packets are missing or cut: what is left may say less than the whole, but never something else.

use crate::support::partial::Pieces;
use crate::support::rng::Rng;
use crate::support::run::{self, Answer, Outcome};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use wsclose::report::model::Connection;

/// The scenario whose client breaks the protocol on purpose: data behind a Close, or two of them. That nothing follows a Close
/// (RFC 6455 §5.5.1) is what lets frames behind a hole tell that none is in it.
const BREAKS_THE_RULES: &str = "close-odd-by-client";
const ROUNDS: usize = 12;
const ONE_SIDE: &str = ", all of one side";

/// Both endpoints, the lower first, and the stream of HTTP/2: who is the client may look otherwise.
type Key = (SocketAddr, SocketAddr, Option<u32>);

fn key(connection: &Connection<'_>) -> Key {
    let (client, server) = run::endpoints(connection);
    (client.min(server), client.max(server), connection.h2_stream)
}

fn by_key(outcome: &Outcome) -> BTreeMap<Key, Vec<&Connection<'static>>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for connection in &outcome.connections {
        found.entry(key(connection)).or_default().push(connection);
    }
    found
}

/// What a damaged capture says of a connection against what the whole one says.
fn contradiction(part: &Connection<'_>, whole: &Connection<'_>, silences: bool) -> Option<&'static str> {
    let (found, right) = (Answer::of(part), Answer::of(whole));
    let sides = |answer: &Answer| answer.closed_by.clone().filter(|by| by == "client" || by == "server");
    match found.kind.as_str() {
        // What loses one side's packets alone, up to the end, looks like a dead peer: nothing else shows.
        "abnormal" if found.cause.as_deref() == Some("timeout") && silences => {}
        "abnormal" if right.kind != "abnormal" => return Some("a false 1006"),
        "refused" if right.kind != "refused" => return Some("it opened"),
        // Of two that crossed, the one that is left may be either.
        "coded" if right.closed_by.as_deref() == Some("both") => {}
        "coded" if right.kind == "coded" && found.label != right.label => return Some("another code"),
        "unknown" | "open" => {}
        _ => {
            let (by, truly_by) = (sides(&found), sides(&right));
            if by.is_some() && truly_by.is_some() && by != truly_by {
                return Some("the other side");
            }
        }
    }
    let certain = |end: &wsclose::report::model::Endpoint<'_>| {
        (end.certainty == "certain").then_some(end.code).flatten()
    };
    let ends = [
        (&part.endpoints.client, &whole.endpoints.client),
        (&part.endpoints.server, &whole.endpoints.server),
    ];
    let differs = |found, right| matches!((certain(found), certain(right)), (Some(a), Some(b)) if a != b);
    ends.into_iter().any(|(found, right)| differs(found, right)).then_some("another code for an end")
}

/// Contradictions between a part of a capture and the whole.
fn contradictions(part: &Outcome, whole: &Outcome, silences: bool) -> Vec<String> {
    let whole = by_key(whole);
    let mut found = Vec::new();
    for (key, parts) in by_key(part) {
        let Some(right) = whole.get(&key) else { continue };
        for part in parts {
            // Where addresses and ports were used again, any of those connections may be the one.
            let faults: Vec<_> = right.iter().map(|whole| contradiction(part, whole, silences)).collect();
            if let Some(fault) = faults.iter().copied().min().flatten() {
                let was: Vec<_> = right.iter().map(|it| it.verdict.why.as_ref()).collect();
                found.push(format!("{fault}: {key:?} {} | whole: {was:?}", part.verdict.why));
            }
        }
    }
    found
}

/// Direction of a packet: the bytes of its IP addresses and ports, where it is plain IPv4 in Ethernet.
fn direction(frame: &[u8]) -> Option<&[u8]> {
    (frame.get(12..14) == Some(&[8, 0]) && frame.get(14) == Some(&0x45)).then(|| frame.get(26..38)).flatten()
}

/// A way to damage a capture: how much of each packet is left.
type Damage = Box<dyn Fn(usize) -> Option<usize>>;

fn whole(keeps: bool) -> Option<usize> {
    keeps.then_some(usize::MAX)
}

fn damages(pieces: &Pieces, rng: &mut Rng) -> Vec<(String, Damage)> {
    let packets = pieces.packets();
    let mut below = |bound: usize| rng.below(bound.max(1) as u64) as usize;
    let mut all: Vec<(String, Damage)> = Vec::new();
    for _ in 0..ROUNDS {
        let (start, length) = (below(packets), 1 + below(8));
        all.push((format!("begins behind {start}"), Box::new(move |n| whole(n >= start))));
        all.push((format!("ends before {start}"), Box::new(move |n| whole(n < start))));
        let run = start..start + length;
        all.push((format!("without {run:?}"), Box::new(move |n| whole(!run.contains(&n)))));
        let chosen: Vec<_> = (0..1 + below(5)).map(|_| below(packets)).collect();
        all.push((format!("without {chosen:?}"), Box::new(move |n| whole(!chosen.contains(&n)))));
        let cut = (below(packets), 40 + below(160));
        let snaplen = move |n: usize| Some(if n == cut.0 { cut.1 } else { usize::MAX });
        all.push((format!("{} cut to {}", cut.0, cut.1), Box::new(snaplen)));
        let snaplen = 60 + below(300);
        all.push((format!("snaplen {snaplen}"), Box::new(move |_| Some(snaplen))));
        let frames: Vec<_> = pieces.frames().map(|frame| direction(frame).map(<[u8]>::to_vec)).collect();
        let of_one: Vec<_> = (start..packets).filter(|n| frames[*n] == frames[start]).take(length).collect();
        all.push((format!("without {of_one:?}{ONE_SIDE}"), Box::new(move |n| whole(!of_one.contains(&n)))));
    }
    all
}

fn recordings(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let is_capture = |path: &PathBuf| path.to_str().is_some_and(|path| path.contains(".pcap"));
    run::capture_files(&root).into_iter().filter(is_capture).collect()
}

fn check(folder: &str, seed: u64) -> usize {
    let (mut faults, mut compared) = (Vec::new(), 0);
    for path in recordings(folder) {
        let name = path.to_str().expect("UTF-8");
        if name.contains(BREAKS_THE_RULES) {
            continue;
        }
        let pieces = Pieces::of(&std::fs::read(&path).expect("readable"));
        let original = run::analyze_bytes(pieces.write(whole_of));
        // By the file's own name, so that the same damages are tried wherever the checkout lies.
        let own = path.file_name().map_or(0, |own| own.len());
        let mut rng = Rng::new(seed ^ own as u64);
        for (damage, left) in damages(&pieces, &mut rng) {
            let part = run::analyze_bytes(pieces.write(left));
            compared += part.connections.len();
            faults.extend(
                contradictions(&part, &original, damage.ends_with(ONE_SIDE))
                    .iter()
                    .map(|fault| format!("{name} {damage}: {fault}")),
            );
        }
    }
    assert!(faults.is_empty(), "{} of {compared}:\n{}", faults.len(), faults.join("\n"));
    compared
}

fn whole_of(_: usize) -> Option<usize> {
    whole(true)
}

#[test]
fn a_part_of_a_capture_never_contradicts_the_whole() {
    assert!(check("captures", 1) > 10_000);
}

#[test]
fn a_part_of_a_capture_never_contradicts_the_whole_in_tls() {
    assert!(check("tls", 2) + check("tls-twins", 3) > 3_000);
}

#[test]
fn a_part_of_a_capture_never_contradicts_the_whole_in_http2() {
    assert!(check("http2", 4) > 1_000);
}
