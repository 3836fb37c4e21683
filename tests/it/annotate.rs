//! `wsclose annotate`: the same packets, and comments where they belong. tshark is the independent reader.

use crate::support::capture_file::{Pcap, Pcapng, all_forms};
use crate::support::conversation::Conversation;
use crate::support::fixture;
use crate::support::packaging::{FragmentOrder, Packaging};
use crate::support::run::Answer;
use crate::support::{program, run, wire};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use wsclose::analyzer::record::ConnectionRecord;
use wsclose::decode::segment::Endpoint;
use wsclose::side::Side::{Client, Server};

fn annotate(input: &Path, output: &Path, more: &[&str]) -> Output {
    program::output(program::command().arg("annotate").arg(input).arg("-o").arg(output).args(more))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_installed() -> bool {
    let found = Command::new("tshark").arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: tshark is not installed");
    }
    found
}

/// The given fields of each packet, a line each.
fn tshark(file: &Path, fields: &[&str], more: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.args(["-T", "fields", "-E", "separator=|", "-E", "aggregator=^"]).args(more);
    fields.iter().for_each(|field| _ = command.args(["-e", field]));
    let output = command.arg("-r").arg(file).output().expect("tshark runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

const PACKET: [&str; 5] =
    ["frame.number", "frame.time_epoch", "frame.len", "frame.cap_len", "frame.encap_type"];
const INTERFACE: [&str; 2] = ["frame.interface_id", "frame.section_number"];

/// Every packet's bytes.
fn bytes(file: &Path) -> Vec<Vec<u8>> {
    let packets = crate::support::capture_file::read(&std::fs::read(file).unwrap()).expect("a whole capture");
    packets.into_iter().map(|packet| packet.bytes).collect()
}

/// A connection that ends without a Close, and one that is closed, interleaved between other hosts.
fn two_connections() -> Vec<crate::support::packet::TcpPacket> {
    let mut lost = Conversation::between("10.0.0.1:40001", "10.0.0.9:8080");
    lost.connect().upgrade("/lost").client_sends(&wire::text(Client, "hello")).server_acks().rst(Server);
    let mut closed = Conversation::between("10.0.0.2:40002", "10.0.0.9:8080");
    closed.connect().upgrade("/closed");
    closed.client_sends(&wire::close(Client, 1000, "bye")).server_sends(&wire::close(Server, 1000, "bye"));
    closed.fin(Server).fin(Client);
    let mut packets = [lost.packets(), closed.packets()].concat();
    packets.sort_by_key(|packet| packet.at_ns);
    packets
}

/// The comments by packet, as tshark shows them.
fn comments(file: &Path) -> BTreeMap<u32, String> {
    let lines = tshark(file, &["frame.number", "frame.comment"], &["-n"]);
    let pair = |line: &String| {
        let (number, comment) = line.split_once('|')?;
        (!comment.is_empty()).then(|| (number.parse().unwrap(), comment.to_owned()))
    };
    lines.iter().filter_map(pair).collect()
}

#[test]
fn tshark_reads_the_same_packets_and_the_comments_from_every_form_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output, plain) =
        (folder.path().join("in"), folder.path().join("out.pcapng"), folder.path().join("plain"));
    let raw = Packaging::default().apply(&two_connections());
    for (name, write) in all_forms() {
        std::fs::write(&input, write(&raw)).unwrap();
        let outcome = annotate(&input, &output, &[]);
        assert!(outcome.status.success(), "{name}: {}", stderr(&outcome));
        assert!(stderr(&outcome).contains("of 2 connections"), "{name}: {}", stderr(&outcome));
        if !is_installed() {
            return;
        }
        let is_pcapng = name.starts_with("pcapng");
        let form = if is_pcapng { Pcapng::default().write(&raw) } else { Pcap::default().write(&raw) };
        let is_compressed = ["gzip", "lz4", "zstd"].iter().any(|of| name.ends_with(of));
        std::fs::write(&plain, if is_compressed { form } else { write(&raw) }).unwrap();
        let fields = if is_pcapng { [&PACKET[..], &INTERFACE].concat() } else { PACKET.to_vec() };
        assert_eq!(tshark(&output, &fields, &["-n"]), tshark(&plain, &fields, &["-n"]), "{name}");
        if !is_compressed {
            assert_eq!(bytes(&output), bytes(&plain), "{name}");
        }
        let text: Vec<String> = comments(&output).into_values().collect();
        let all = text.join("\n");
        for words in
            ["server: RST", "1006 rst, closed by server", "client: Close 1000", "1000, closed by client"]
        {
            assert!(all.contains(words), "{name}: {words}\n{all}");
        }
    }
}

#[test]
fn fixtures_keep_their_packets_and_have_a_comment_on_each_packet_of_the_evidence() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.pcapng");
    let all = fixture::all().into_iter().map(|fixture| fixture.path);
    let (pcapng, pcap): (Vec<PathBuf>, Vec<PathBuf>) =
        all.partition(|path| path.extension().is_some_and(|extension| extension == "pcapng"));
    assert!(!pcapng.is_empty());
    let mut commented = 0;
    for file in pcapng.iter().chain(pcap.iter().step_by(16)) {
        let outcome = annotate(file, &output, &[]);
        assert!(outcome.status.success(), "{}: {}", file.display(), stderr(&outcome));
        let fields = if pcapng.contains(file) { [&PACKET[..], &INTERFACE].concat() } else { PACKET.to_vec() };
        assert_eq!(tshark(&output, &fields, &["-n"]), tshark(file, &fields, &["-n"]), "{}", file.display());
        assert_eq!(bytes(&output), bytes(file), "{}", file.display());
        let comments = comments(&output);
        for connection in &run::analyze_path(file).connections {
            for item in &connection.evidence {
                let expected = format!("#{} {}: ", connection.id, item.from);
                let found = comments.get(&item.packet).is_some_and(|comment| comment.contains(&expected));
                assert!(found, "{} packet {}: {expected}", file.display(), item.packet);
                commented += 1;
            }
        }
    }
    assert!(commented > 100, "{commented}");
}

#[test]
fn only_keeps_the_packets_of_those_connections_alone_fragments_included() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcapng"));
    let packets = two_connections();
    for fragment_order in [FragmentOrder::Forward, FragmentOrder::Backward] {
        let packaging = Packaging { fragments: Some(24), fragment_order, ..Packaging::default() };
        let raw = packaging.apply(&packets);
        let lost: Vec<_> =
            packets.iter().filter(|packet| packet.connection().0.port() != 40_002).cloned().collect();
        let lost_only: Vec<_> = raw
            .iter()
            .filter(|packet| !packet.bytes.windows(4).any(|four| four == [10, 0, 0, 2]))
            .map(|packet| packet.bytes.clone())
            .collect();
        assert!(lost_only.len() > lost.len() && lost_only.len() < raw.len());
        std::fs::write(&input, Pcap { nanoseconds: true, ..Pcap::default() }.write(&raw)).unwrap();
        let outcome = annotate(&input, &output, &["--only", "abnormal"]);
        assert!(outcome.status.success(), "{}", stderr(&outcome));
        assert_eq!(bytes(&output), lost_only);
        let answers: Vec<_> =
            run::analyze_path(&output).connections.iter().map(|c| c.verdict.label.to_string()).collect();
        assert_eq!(answers, ["1006"]);
    }
}

/// The streams of HTTP/2 that are kept, each with its answer.
fn streams(outcome: &run::Outcome, kept: impl Fn(&Answer) -> bool) -> Vec<(u64, u32, Answer)> {
    let of = |(connection, record): (&_, &ConnectionRecord)| {
        let answer = Answer::of(connection);
        Some((u64::from(record.client.port), connection.h2_stream?, answer)).filter(|it| kept(&it.2))
    };
    let mut found: Vec<_> = outcome.connections.iter().zip(&outcome.records).filter_map(of).collect();
    found.sort();
    found
}

#[test]
fn a_stream_of_http2_keeps_all_packets_of_its_tcp_connection() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.pcapng");
    let all = run::capture_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/http2"));
    let mut seen = 0;
    for file in all {
        let outcome = annotate(&file, &output, &["--only", "abnormal"]);
        assert!(outcome.status.success(), "{}: {}", file.display(), stderr(&outcome));
        let (before, after) = (run::analyze_path(&file), run::analyze_path(&output));
        let abnormal = |answer: &Answer| answer.is("abnormal");
        let expected = streams(&before, abnormal);
        assert!(!expected.is_empty(), "{}", file.display());
        assert_eq!(streams(&after, abnormal), expected, "{}", file.display());
        // Streams that end well share the packets.
        let ports: BTreeSet<u64> = expected.iter().map(|(port, ..)| *port).collect();
        let beside = streams(&before, |_| true).into_iter().filter(|(port, ..)| ports.contains(port));
        assert_eq!(streams(&after, |_| true), beside.collect::<Vec<_>>(), "{}", file.display());
        seen += expected.len();
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn a_later_connection_between_the_same_ports_is_none_of_an_http2_connections_packets() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcapng"));
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/http2/node-h2c-client-killed.pcapng");
    let mut packets = crate::support::capture_file::read(&std::fs::read(&fixture).unwrap()).unwrap();
    let own = packets.len();
    let first = run::analyze_path(&fixture).records[0].clone();
    let (client, server) = (first.client, first.server);
    let end = |it: Endpoint| format!("{}:{}", it.address, it.port);
    let mut later = Conversation::between(&end(client), &end(server));
    later.connect().client_sends(b"GET / HTTP/1.1\r\n\r\n").fin(Client).fin(Server);
    let mut later = Packaging::default().apply(&later.packets());
    let begin = packets[own - 1].at_ns + 60_000_000_000;
    later.iter_mut().enumerate().for_each(|(index, packet)| packet.at_ns = begin + index as u64 * 1_000);
    packets.extend(later);
    std::fs::write(&input, Pcap { nanoseconds: true, ..Pcap::default() }.write(&packets)).unwrap();
    let outcome = annotate(&input, &output, &["--only", "abnormal"]);
    assert!(outcome.status.success(), "{}", stderr(&outcome));
    assert_eq!(bytes(&output), bytes(&input)[..own]);
}

#[test]
fn addresses_are_named_by_their_role_unless_that_is_not_wanted() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcapng"));
    std::fs::write(&input, Pcap::default().write(&Packaging::default().apply(&two_connections()))).unwrap();
    let hosts = |more: &[&str]| {
        let outcome = annotate(&input, &output, more);
        assert!(outcome.status.success(), "{}", stderr(&outcome));
        let mut hosts = tshark(&output, &["ip.src_host"], &["-N", "n", "-Y", "tcp.flags.syn == 1"]);
        hosts.sort();
        hosts.dedup();
        hosts
    };
    assert_eq!(hosts(&[]), ["client-1", "client-2", "server"]);
    assert_eq!(hosts(&["--no-names"]), ["10.0.0.1", "10.0.0.2", "10.0.0.9"]);
}

#[test]
fn what_can_t_be_read_twice_or_would_be_overwritten_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.pcap");
    let file = Pcap::default().write(&Packaging::default().apply(&two_connections()));
    std::fs::write(&input, &file).unwrap();
    for (from, to, words) in [
        (Path::new("-"), folder.path().join("out"), "more than once"),
        (&input, input.clone(), "overwritten"),
        (Path::new("/nowhere/at-all"), folder.path().join("out"), "nowhere"),
    ] {
        let outcome = annotate(from, &to, &[]);
        assert_eq!(outcome.status.code(), Some(2));
        assert!(stderr(&outcome).contains(words), "{}", stderr(&outcome));
    }
    assert_eq!(std::fs::read(&input).unwrap(), file);
    let outcome = annotate(&input, &folder.path().join("out"), &["--only", "1011"]);
    assert_eq!(outcome.status.code(), Some(2));
    assert!(stderr(&outcome).contains("holds no WebSocket connection that was asked for"));
}

#[test]
fn a_damaged_capture_is_annotated_as_far_as_it_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcapng"));
    for write in [|p: &_| Pcap::default().write(p), |p: &_| Pcapng::default().write(p)] {
        let packets = Packaging::default().apply(&two_connections());
        let mut file = write(&packets);
        file.truncate(file.len() - 3);
        std::fs::write(&input, file).unwrap();
        let outcome = annotate(&input, &output, &[]);
        assert_eq!(outcome.status.code(), Some(1), "{}", stderr(&outcome));
        let all = format!("; {} packets in all", packets.len() - 1);
        assert!(stderr(&outcome).contains(&all), "{all}: {}", stderr(&outcome));
        assert_eq!(run::analyze_path(&output).connections.len(), 2);
    }
}

#[test]
fn comments_of_packets_that_are_kept_alone_name_them_by_their_new_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcapng"));
    let raw = Packaging::default().apply(&two_connections());
    std::fs::write(&input, Pcap::default().write(&raw)).unwrap();
    let outcome = annotate(&input, &output, &["--only", "abnormal"]);
    assert!(outcome.status.success(), "{}", stderr(&outcome));
    let file = std::fs::read(&output).unwrap();
    let text = String::from_utf8_lossy(&file);
    let [_, about, comment] = text.split("1006 rst, closed by server: ").collect::<Vec<_>>()[..] else {
        panic!("one verdict, on the capture and on its packet")
    };
    let why = run::analyze_path(&output).connections[0].verdict.why.to_string();
    for text in [about, comment] {
        assert!(text.starts_with(&why), "{why}: {}", text.get(..80).unwrap());
    }
    assert_ne!(run::analyze_path(&input).connections[0].verdict.why, why, "it had another number before");
}

#[test]
fn the_capture_says_what_it_holds_in_every_form_of_file() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out.pcapng"));
    let raw = Packaging::default().apply(&two_connections());
    for (name, write) in all_forms() {
        std::fs::write(&input, write(&raw)).unwrap();
        let outcome = annotate(&input, &output, &[]);
        assert!(outcome.status.success(), "{name}: {}", stderr(&outcome));
        // What wiretap, which tshark reads by, makes of it.
        let said = Command::new("capinfos").arg("-k").arg(&output).output().expect("capinfos runs");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let once = |text: &str| said.matches(text).count() == 1;
        assert!(once("wsclose: 2 WebSocket connections: 1 1000, 1 1006"), "{name}: {said}");
        assert!(
            once("#1 1006 rst, closed by server: ") && once("#2 1000, closed by client: "),
            "{name}: {said}"
        );
    }
}

#[test]
fn an_output_that_cant_be_written_is_an_error_whatever_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Pcap::default().write(&Packaging::default().apply(&two_connections()));
    for (name, input) in [("whole", &whole[..]), ("cut", &whole[..whole.len() - 3])] {
        let path = folder.path().join(name);
        std::fs::write(&path, input).unwrap();
        for output in [folder.path(), &folder.path().join("missing/out"), Path::new("/dev/full")] {
            if !output.exists() && output.is_absolute() && output.starts_with("/dev") {
                continue;
            }
            let outcome = annotate(&path, output, &[]);
            let text = stderr(&outcome);
            assert_eq!(outcome.status.code(), Some(2), "{name}: {text}");
            assert!(
                text.contains(&*output.to_string_lossy()) && !text.contains("comments on"),
                "{name}: {text}"
            );
        }
    }
}

#[test]
fn behind_damage_nothing_of_other_connections_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    let packets = Packaging::default().apply(&two_connections());
    let whole = Pcapng::default().write(&packets);
    let has_closed = |bytes: &[u8]| bytes.windows(7).any(|window| window == b"/closed");
    let first = Pcapng::default().write(&packets[..1]);
    // A packet block claims no bytes, four more than it has, or none behind what was cut off.
    let at = first.len();
    for total in [0_u32, u32::from_le_bytes(whole[at + 4..at + 8].try_into().unwrap()) + 4] {
        let mut damaged = [&whole[..], &whole[at..]].concat();
        let place = whole.len();
        damaged[place + 4..place + 8].copy_from_slice(&total.to_le_bytes());
        std::fs::write(&input, &damaged).unwrap();
        let outcome = annotate(&input, &output, &["--only", "abnormal"]);
        assert_eq!(outcome.status.code(), Some(1), "{}", stderr(&outcome));
        assert!(has_closed(&damaged) && !has_closed(&std::fs::read(&output).unwrap()), "{total}");
        let written = std::fs::read(&output).unwrap();
        assert!(crate::support::capture_file::read(&written).is_some(), "{total}");
        // All packets asked for: the rest is passed on.
        annotate(&input, &output, &[]);
        assert!(has_closed(&std::fs::read(&output).unwrap()[whole.len()..]), "{total}");
    }
}
