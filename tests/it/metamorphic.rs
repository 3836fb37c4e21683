//! The same story told by other packets gets the same verdict; with packets missing, the same or none.
//!
//! Every rewrite runs on every fixture, and every packaging in every file form too: some 70,000 runs in 12 s on two
//! cores with the dev profile, so no sample is taken.

use crate::support::capture_file;
use crate::support::fixture::{self, Fixture};
use crate::support::packaging;
use crate::support::packet::{TcpPacket, parse_capture};
use crate::support::rewrite_set;
use crate::support::run::{self, Answer};
use wsclose::analyzer::Options;

/// The fixtures whose packets can be rewritten: whole TCP packets.
fn rewritable() -> Vec<(Fixture, Vec<TcpPacket>)> {
    let parsed = |fixture: Fixture| {
        let file = std::fs::read(&fixture.path).expect("readable");
        let packets = parse_capture(&capture_file::read(&file).expect("whole")).ok()?;
        Some((fixture, packets))
    };
    fixture::all().into_iter().filter_map(parsed).collect()
}

/// All answers of a capture, in no order: rewrites change addresses and times.
fn answers(outcome: &run::Outcome) -> Vec<Answer> {
    let mut answers: Vec<_> = outcome.connections.iter().map(Answer::of).collect();
    answers.sort();
    answers
}

/// Frames without a handshake are recognised where segments begin with them: cut elsewhere, they may stay unseen.
fn joins_in_mid_stream(fixture: &Fixture) -> bool {
    run::analyze_path(&fixture.path).connections.iter().any(|found| found.handshake.seen == "none")
}

/// Two legs of one connection are known by one handshake lying inside the other: packets of one that change places no
/// longer tell who of the two began.
fn without_initiators(answers: &[Answer]) -> Vec<Answer> {
    answers.iter().map(|answer| Answer { closed_by: None, ..answer.clone() }).collect()
}

fn is_same(rewritten: &[Answer], original: &[Answer], may_miss: bool) -> bool {
    rewritten == original
        || (may_miss && rewritten.iter().all(|answer| original.contains(answer) || answer.is("unknown")))
}

fn show(answers: &[Answer]) -> String {
    answers.iter().map(Answer::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn other_segments_order_and_names_keep_every_verdict() {
    let fixtures = rewritable();
    let originals: Vec<_> =
        fixtures.iter().map(|(fixture, _)| answers(&run::analyze_path(&fixture.path))).collect();
    let mut misses = Vec::new();
    for (name, rewrite) in rewrite_set::keeping_the_verdict() {
        for ((fixture, packets), original) in fixtures.iter().zip(&originals) {
            let rewritten = answers(&run::analyze_packets(&rewrite(packets)));
            let legs_apart = fixture.holds_legs()
                && name.contains("reorder")
                && without_initiators(&rewritten) == without_initiators(original);
            if !legs_apart && !is_same(&rewritten, original, joins_in_mid_stream(fixture)) {
                misses.push(format!(
                    "{} {name}: {}\n    was {}",
                    fixture.name,
                    show(&rewritten),
                    show(original)
                ));
            }
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn other_links_tunnels_fragments_and_files_keep_every_verdict() {
    let fixtures = rewritable();
    let originals: Vec<_> =
        fixtures.iter().map(|(fixture, _)| answers(&run::analyze_path(&fixture.path))).collect();
    let mut misses = Vec::new();
    for (packaging_name, packaging) in packaging::all() {
        for (form_name, write) in capture_file::all_forms() {
            for ((fixture, packets), original) in fixtures.iter().zip(&originals) {
                let rewritten = answers(&run::analyze_bytes(write(&packaging.apply(packets))));
                if rewritten != *original {
                    let name = &fixture.name;
                    misses.push(format!(
                        "{name} {packaging_name} {form_name}: {}\n    was {}",
                        show(&rewritten),
                        show(original)
                    ));
                }
            }
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn no_snaplen_makes_a_1006_of_another_end() {
    let labels = |outcome: &run::Outcome| -> std::collections::BTreeMap<_, String> {
        outcome.connections.iter().map(|it| (it.tcp_stream, it.verdict.label.to_string())).collect()
    };
    let (mut misses, mut kept) = (Vec::new(), 0);
    for fixture in fixture::all() {
        let file = std::fs::read(&fixture.path).expect("readable");
        let Some(raw) = capture_file::read(&file) else { continue };
        let original = labels(&run::analyze_raw(&raw));
        for snaplen in [60, 70, 80, 96, 128, 160, 192, 256, 320, 400] {
            let cut = labels(&run::analyze_raw(&capture_file::with_snaplen(&raw, snaplen)));
            kept += cut.values().filter(|label| *label == "1006").count();
            let is_false =
                |(stream, label): &(&_, &String)| *label == "1006" && original.get(*stream) != Some(*label);
            misses.extend(cut.iter().filter(is_false).map(|(stream, _)| {
                format!("{} at {snaplen}: {stream:?}, really {:?}", fixture.name, original.get(stream))
            }));
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    assert!(kept > 1_000, "only {kept} ends are still seen to be 1006");
}

#[test]
fn most_fixtures_can_be_rewritten() {
    let (all, rewritable) = (fixture::all().len(), rewritable().len());
    assert!(rewritable * 10 >= all * 9, "{rewritable} of {all}");
}

pub(crate) mod removal {
    use super::*;
    use crate::support::packet::{ACK, RST, SYN};
    use crate::support::rewrite_loss;
    use std::collections::{BTreeMap, BTreeSet};

    /// One connection of a fixture, alone.
    struct Alone {
        name: String,
        packets: Vec<TcpPacket>,
        answer: Answer,
    }

    fn analyze(packets: &[TcpPacket]) -> Vec<(Answer, String)> {
        // The server is named, so that connections that failed before any HTTP byte are listed too.
        let ws_ports = packets
            .iter()
            .flat_map(|packet| [packet.src.port(), packet.dst.port()])
            .filter(|port| *port == 9001);
        let options = Options { ws_ports: ws_ports.take(1).collect(), ..Options::default() };
        let outcome = run::analyze_packets_with(packets, options);
        outcome.connections.iter().map(|found| (Answer::of(found), found.verdict.why.to_string())).collect()
    }

    /// Every connection that has its ports to itself.
    fn connections() -> Vec<Alone> {
        let mut all = Vec::new();
        for (fixture, packets) in rewritable() {
            let mut by_ports: BTreeMap<_, Vec<TcpPacket>> = BTreeMap::new();
            for packet in packets {
                by_ports.entry(packet.connection()).or_default().push(packet);
            }
            for (ports, packets) in by_ports {
                if let [(answer, _)] = &analyze(&packets)[..] {
                    let name = format!("{} {} -- {}", fixture.name, ports.0, ports.1);
                    all.push(Alone { name, packets, answer: answer.clone() });
                }
            }
        }
        all
    }

    /// Can nothing in `kept` tell that something is missing?
    ///
    /// What a direction sent is shown by its own later sequence numbers and by the other side's acknowledgments. Where
    /// neither reaches the missing numbers, the capture is what another, shorter conversation would have left.
    pub(crate) fn is_undecidable(whole: &[TcpPacket], kept: &[TcpPacket]) -> bool {
        let end = |packet: &TcpPacket| {
            packet.payload_seq().wrapping_add(packet.sequence_len() - u32::from(packet.has(SYN)))
        };
        let beyond = |a: u32, b: u32| (a.wrapping_sub(b) as i32) > 0;
        whole.iter().map(TcpPacket::direction).collect::<BTreeSet<_>>().into_iter().any(|direction| {
            let sent = |packets: &[TcpPacket]| {
                let own = packets
                    .iter()
                    .filter(|packet| packet.direction() == direction && !packet.has(RST))
                    .map(end);
                let peer = (direction.1, direction.0);
                let acked = packets
                    .iter()
                    .filter(|packet| packet.direction() == peer && packet.has(ACK))
                    .map(|packet| packet.ack);
                own.chain(acked).reduce(|most, next| if beyond(next, most) { next } else { most })
            };
            match (sent(whole), sent(kept)) {
                (Some(whole), Some(kept)) => beyond(whole, kept),
                (whole, kept) => whole != kept,
            }
        })
    }

    /// Did a side send on after its own Close? Then data behind a hole does not show what RFC 6455 §5.5.1 says it shows:
    /// that no Close stood in the hole.
    pub(crate) fn breaks_the_closing_rules(packets: &[TcpPacket]) -> bool {
        let anomalies = &run::analyze_packets(packets).connections[0].anomalies;
        anomalies.iter().any(|anomaly| anomaly == "data_after_close" || anomaly == "close_repeated")
    }

    /// The answer must be the same, or none; who began the end may become unknown. Excepted is only what no reader of
    /// these packets could tell.
    fn check(alone: &Alone, kept: &[TcpPacket], what: &dyn Fn() -> String, misses: &mut Vec<String>) {
        for (answer, why) in analyze(kept) {
            // Fewer sendings than prove a dead peer may be left.
            let is_timeout = alone.answer.cause.as_deref() == Some("timeout") && answer.is("abnormal");
            let same_end =
                |answer: &Answer| (answer.kind.clone(), answer.label.clone(), answer.cause.clone());
            let nobody_named = answer.closed_by.as_deref() == Some("unknown")
                && same_end(&answer) == same_end(&alone.answer);
            let allowed = answer == alone.answer
                || nobody_named
                || answer.is("unknown")
                || answer.is("open")
                || is_timeout
                || is_undecidable(&alone.packets, kept)
                || breaks_the_closing_rules(&alone.packets);
            if !allowed {
                misses.push(format!("{} {}: {answer}, was {}\n    {why}", alone.name, what(), alone.answer));
            }
        }
    }

    #[test]
    fn any_one_packet() {
        let mut misses = Vec::new();
        for alone in connections() {
            for (index, kept) in rewrite_loss::each_packet_removed(&alone.packets) {
                check(&alone, &kept, &|| format!("without {}", index + 1), &mut misses);
            }
        }
        assert!(misses.is_empty(), "{}\n{}", misses.len(), misses.join("\n"));
    }

    #[test]
    fn any_burst() {
        let mut misses = Vec::new();
        for (number, alone) in connections().into_iter().enumerate() {
            let len = 2 + number % 7;
            for (index, kept) in rewrite_loss::each_burst_removed(&alone.packets, len) {
                check(&alone, &kept, &|| format!("without {}..={}", index + 1, index + len), &mut misses);
            }
        }
        assert!(misses.is_empty(), "{}\n{}", misses.len(), misses.join("\n"));
    }

    #[test]
    fn random_packets() {
        let mut misses = Vec::new();
        for alone in connections() {
            for seed in 0..6 {
                let per_mille = [50, 100, 200, 300, 500, 700][seed as usize];
                let kept = rewrite_loss::random_removed(&alone.packets, per_mille, seed);
                check(&alone, &kept, &|| format!("without {per_mille} per mille, seed {seed}"), &mut misses);
            }
        }
        assert!(misses.is_empty(), "{}\n{}", misses.len(), misses.join("\n"));
    }

    #[test]
    fn one_direction() {
        let mut misses = Vec::new();
        for alone in connections() {
            for first in [true, false] {
                let kept = rewrite_loss::one_sided(&alone.packets, first);
                check(
                    &alone,
                    &kept,
                    &|| format!("with one side only, that of the first packet: {first}"),
                    &mut misses,
                );
            }
        }
        assert!(misses.is_empty(), "{}\n{}", misses.len(), misses.join("\n"));
    }
}
