//! Captures that nobody here made (`../shared/captures`, `INDEX.md`): real and pathological ones.

use crate::support::run::{self, Answer};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A capture of section 1, the answers of its WebSockets by stream, and what its packets show.
type Pinned = (&'static str, &'static [(u32, &'static str)], &'static str);

const WEBSOCKETS: &[Pinned] = &[
    (
        "OISF+suricata-verify/tests/http-request-header-multi/input.pcap",
        &[(0, "open:open by -")],
        "an Upgrade request in packet 4, acknowledged, and no answer before the capture ends",
    ),
    (
        "OISF+suricata-verify/tests/websocket-compressed/example_websocket.pcap",
        &[(0, "open:open by -")],
        "101 in packet 6, ten messages of the server, no Close, FIN or RST",
    ),
    (
        "OISF+suricata-verify/tests/websocket-control-frag/input.pcap",
        &[(0, "open:open by -")],
        "101 in packet 6, a Ping between two fragments and its Pong, no Close, FIN or RST",
    ),
    (
        "OISF+suricata-verify/tests/websocket-ping/input.pcap",
        &[(0, "abnormal:1006:fin by client"), (1, "refused:refused by client")],
        "FIN by the client in packet 10 and no Close; its RST in 12 answers the Pong in 11. Stream 1 to the same server \
      connects and ends by the client's FIN in 16 with no HTTP byte",
    ),
    (
        "OISF+suricata-verify/tests/websocket/basic_websockets.pcap",
        &[(0, "open:open by -")],
        "101 in packet 5, text both ways, no Close, FIN or RST",
    ),
    (
        "arkime+arkime/tests/pcap/arkime_synthetic.pcap",
        &[(89, "coded:1000 by server")],
        "the server's Close 1000 is split over two segments; the client sends FIN and never a Close",
    ),
    (
        "arkime+arkime/tests/pcap/websocket.pcap",
        &[(0, "open:open by -")],
        "text both ways, then TCP keepalives, each answered; no Close, FIN or RST",
    ),
    (
        "seladb+PcapPlusPlus/Tests/Pcap++Test/PcapExamples/650HttpResponses.pcap",
        &[(207, "unknown:unknown by unknown")],
        "the server's direction only: one lone 101; a reset by the client would not be seen",
    ),
    (
        "zeek+zeek/testing/btest/Traces/websocket/fragmented-http-reply.pcap",
        &[(0, "coded:1000 by client")],
        "Close 1000 by the client in packet 14, answered in 15; FINs follow",
    ),
    (
        "zeek+zeek/testing/btest/Traces/websocket/jupyter-websocket.pcap",
        &[(0, "coded:1005 by client")],
        "an empty Close by the client in packet 16, answered by one in 17; FINs follow",
    ),
    (
        "zeek+zeek/testing/btest/Traces/websocket/oversized-close-frame.pcapng",
        &[(0, "coded:1000 by server")],
        "a Close 1000 of 258 bytes by the server in packet 6; FINs in 7 and 8",
    ),
    (
        "zeek+zeek/testing/btest/Traces/websocket/reply-ping-coalesced.pcap",
        &[(0, "coded:1000 by client")],
        "Close 1000 by the client in packet 12, answered in 13; FINs follow",
    ),
    (
        "zeek+zeek/testing/btest/Traces/websocket/reply-ping-separate.pcap",
        &[(0, "coded:1000 by client")],
        "Close 1000 by the client in packet 14, answered in 15; FINs follow",
    ),
    (
        "zeek+zeek/testing/btest/Traces/websocket/two-binary-fragments.pcap",
        &[(0, "coded:1000 by client")],
        "Close 1000 by the client in packet 14, answered in 15; FINs follow",
    ),
    (
        "zeek+zeek/testing/btest/Traces/websocket/wrong-accept-header.pcap",
        &[(0, "refused:refused by client")],
        "the 101 in packet 6 has a wrong Sec-WebSocket-Accept; the client sends no frame, and FIN in packet 10",
    ),
    (
        "zeek+zeek/testing/btest/Traces/websocket/wstunnel-ssh.pcap",
        &[(0, "coded:1000 by client"), (1, "coded:1000 by client")],
        "Close 1000 by the client in packets 38 and 255, answered in 40 and 257; its RSTs in 42 and 258 are consequences",
    ),
];

#[test]
fn every_websocket_capture_gets_the_verdict_that_its_packets_show() {
    let Some(root) = run::shared("captures") else { return };
    for (path, expected, shown) in WEBSOCKETS {
        let outcome = run::analyze_path(&root.join(path));
        let mut found: Vec<_> =
            outcome.connections.iter().map(|c| (c.tcp_stream.unwrap(), Answer::of(c).to_string())).collect();
        found.sort();
        let expected: Vec<_> =
            expected.iter().map(|(stream, answer)| (*stream, (*answer).to_owned())).collect();
        assert_eq!(found, expected, "{path}: {shown}");
    }
}

#[test]
fn only_the_captures_of_websockets_hold_websockets() {
    let Some(root) = run::shared("captures") else { return };
    for file in run::capture_files(&root) {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        if WEBSOCKETS.iter().any(|(path, _, _)| *path == name) {
            continue;
        }
        let outcome = run::analyze_path(&file);
        let found: Vec<_> = outcome.connections.iter().map(|c| Answer::of(c).to_string()).collect();
        assert_eq!(found, [""; 0], "{name}");
    }
}

#[test]
fn no_capture_takes_long() {
    let Some(root) = run::shared("captures") else { return };
    for file in run::capture_files(&root) {
        let start = Instant::now();
        run::analyze_path(&file);
        assert!(start.elapsed() < Duration::from_secs(10), "{}: {:?}", file.display(), start.elapsed());
    }
}

/// Packets as capinfos counts them; `None` where it can't read the file.
fn capinfos(file: &Path) -> Option<u64> {
    let output = Command::new("capinfos").args(["-cMrT"]).arg(file).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()?.lines().next()?.rsplit('\t').next()?.trim().parse().ok()
}

#[test]
fn packets_are_counted_as_capinfos_counts_them() {
    let Some(root) = run::shared("captures") else { return };
    if Command::new("capinfos").arg("--version").output().is_err() {
        eprintln!("SKIPPED: capinfos is not installed");
        return;
    }
    let mut compared = 0;
    let mut differ = Vec::new();
    for file in run::capture_files(&root) {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let input = &run::analyze_path(&file).inputs[0];
        let Some(packets) = capinfos(&file) else { continue };
        compared += 1;
        if input.packets != packets {
            differ.push(format!(
                "{name}: {} packets, capinfos has {packets}: {:?}",
                input.packets, input.error
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(compared > 100, "{compared}");
}
