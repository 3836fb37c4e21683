//! Captures that begin amid a TLS connection: after its `ClientHello`, or after its handshake.

use crate::support::fixture;
use crate::support::pcapng::{SECRETS, blocks};
use crate::support::run::{self, Outcome};
use std::collections::BTreeMap;
use wsclose::analyzer::Options;
use wsclose::report::model::{Connection, Endpoint};
use wsclose::side::{PerSide, Side};

const ENHANCED_PACKET: u32 = 6;
/// The recordings' server.
const PORT: u16 = 9443;

/// A packet of a recording: Ethernet, IPv4, TCP.
struct Packet<'a> {
    client_port: u16,
    from_client: bool,
    payload: &'a [u8],
}

fn packet(block: &[u8]) -> Packet<'_> {
    let frame = &block[28..];
    let ip = &frame[14..];
    let tcp = &ip[usize::from(ip[0] & 15) * 4..usize::from(u16::from_be_bytes([ip[2], ip[3]]))];
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let from_client = port(2) == PORT;
    let client_port = if from_client { port(0) } else { port(2) };
    Packet { client_port, from_client, payload: &tcp[usize::from(tcp[12] >> 4) * 4..] }
}

/// Is this the client's hello?
fn is_client_hello(packet: &Packet<'_>) -> bool {
    packet.from_client && packet.payload.first() == Some(&22) && packet.payload.get(5) == Some(&1)
}

/// Does a side send application data, in TLS 1.3 other than of the handshake?
fn is_data(packet: &Packet<'_>) -> bool {
    packet.payload.starts_with(&[23, 3])
}

/// The recording without what each connection sent up to its `nth` packet for which `is_last`.
fn begun_late(file: &[u8], nth: usize, with_keys: bool, is_last: fn(&Packet<'_>) -> bool) -> Vec<u8> {
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    for (kind, block) in blocks(file) {
        let keeps = match kind {
            SECRETS => with_keys,
            ENHANCED_PACKET => {
                let packet = packet(block);
                let count = seen.entry(packet.client_port).or_default();
                let begun = *count >= nth;
                *count += usize::from(is_last(&packet));
                begun
            }
            _ => true,
        };
        if keeps {
            kept.extend_from_slice(block);
        }
    }
    kept
}

fn labels(outcome: &Outcome) -> Vec<String> {
    outcome.connections.iter().map(|it| it.verdict.label.to_string()).collect()
}

/// Recordings whose hellos stand in one segment each: not that of the retry, which has two.
fn recordings() -> impl Iterator<Item = (String, Vec<u8>)> {
    let name = |path: &std::path::Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let all = fixture::tls().into_iter().map(move |path| (name(&path), std::fs::read(path).unwrap()));
    all.filter(|(name, _)| !name.contains("retry"))
}

#[test]
fn a_capture_that_begins_behind_the_client_hello_is_decrypted_in_every_version() {
    for (name, file) in recordings() {
        let outcome = run::analyze_bytes(begun_late(&file, 1, true, is_client_hello));
        assert_eq!(labels(&outcome), ["1000", "1001", "1006"], "{name}");
        for found in &outcome.connections {
            assert!(found.tls.as_ref().is_some_and(|tls| tls.decrypted), "{name}");
            assert_eq!(found.server.port, PORT, "{name}");
        }
    }
}

#[test]
fn a_capture_that_begins_behind_the_handshake_is_decrypted_in_tls_1_3_and_unknown_before() {
    for (name, file) in recordings() {
        let late = begun_late(&file, 3, true, is_data);
        let outcome = run::analyze_bytes_with(late, Options { ws_ports: vec![PORT], ..Options::default() });
        let found = labels(&outcome);
        if name.starts_with("1.3") {
            // What is left of the third one may be too little to tell a WebSocket by, as it would be in the clear.
            assert!(
                ["1000", "1001", "1006"].starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()),
                "{name}: {found:?}"
            );
            assert!(found.len() >= 2, "{name}: {found:?}");
        } else {
            let blind = outcome.connections.iter().map(|it| it.verdict.blind.as_deref());
            assert!(blind.eq([Some("encrypted"); 3]), "{name}: {found:?}");
        }
    }
}

#[test]
fn without_keys_a_connection_under_way_is_counted_as_encrypted_and_nothing_is_claimed() {
    for (name, file) in recordings() {
        for (nth, is_last) in [(1, is_client_hello as fn(&Packet<'_>) -> bool), (3, is_data)] {
            let late = begun_late(&file, nth, false, is_last);
            let options = Options { ws_ports: vec![PORT], ..Options::default() };
            let outcome = run::analyze_bytes_with(late.clone(), options);
            assert_eq!((outcome.connections.len(), outcome.encrypted_connections), (3, 3), "{name}");
            for found in &outcome.connections {
                crate::tls_shape::assert_claims_nothing(found);
                assert_eq!(found.verdict.blind.as_deref(), Some("encrypted"), "{name}: {:?}", found.verdict);
            }
            let unasked = run::analyze_bytes(late);
            assert_eq!((unasked.connections.len(), unasked.encrypted_connections), (0, 3), "{name}");
        }
    }
}

fn is_server_hello(packet: &Packet<'_>) -> bool {
    !packet.from_client && packet.payload.first() == Some(&22) && packet.payload.get(5) == Some(&2)
}

/// The recording without each connection's `nth` packet of the server's that carries anything.
fn without_a_packet(file: &[u8], nth: usize) -> Vec<u8> {
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    for (kind, block) in blocks(file) {
        let is_it = kind == ENHANCED_PACKET && {
            let packet = packet(block);
            let counts = !packet.from_client && !packet.payload.is_empty();
            let count = seen.entry(packet.client_port).or_default();
            *count += usize::from(counts);
            counts && *count == nth + 1
        };
        if !is_it {
            kept.extend_from_slice(block);
        }
    }
    kept
}

/// The label, and of each end's code what is certain.
type Claims = (String, PerSide<Option<u16>>);

fn claims(outcome: &Outcome) -> BTreeMap<u16, Claims> {
    let claims = |it: &Connection<'_>| {
        let certain = |end: &Endpoint<'_>| end.code.filter(|_| end.certainty == "certain");
        let (client, server) = (certain(&it.endpoints.client), certain(&it.endpoints.server));
        (it.verdict.label.to_string(), PerSide { client, server })
    };
    outcome.connections.iter().map(|it| (it.client.port, claims(it))).collect()
}

#[test]
fn a_late_capture_that_lacks_a_packet_more_says_the_same_or_less() {
    for (name, file) in recordings() {
        let truth = claims(&run::analyze_bytes(file.clone()));
        for is_first in [is_client_hello as fn(&Packet<'_>) -> bool, is_server_hello, is_data] {
            let late = begun_late(&file, 1, true, is_first);
            for nth in 0..7 {
                for (port, (label, codes)) in claims(&run::analyze_bytes(without_a_packet(&late, nth))) {
                    let (right, right_codes) = &truth[&port];
                    let says_no_more = ["unknown", "open", right].contains(&label.as_str());
                    assert!(says_no_more, "{name}, without packet {nth}: {label} for {right}");
                    for side in Side::BOTH {
                        let says_no_more = codes[side].is_none() || codes[side] == right_codes[side];
                        assert!(says_no_more, "{name}, without packet {nth}: {codes:?} for {right_codes:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn without_the_server_s_secret_a_late_capture_gives_no_end_without_a_close() {
    const LABEL: &[u8] = b"SERVER_TRAFFIC_SECRET_0";
    let mut checked = 0;
    for (name, mut file) in recordings().filter(|(name, _)| name.starts_with("1.3")) {
        while let Some(at) = file.windows(LABEL.len()).position(|it| it == LABEL) {
            file[at] = b'-';
        }
        for is_first in [is_client_hello as fn(&Packet<'_>) -> bool, is_server_hello] {
            let outcome = run::analyze_bytes(begun_late(&file, 1, true, is_first));
            for found in &outcome.connections {
                assert_eq!(found.verdict.label, "unknown", "{name}: {}", found.verdict.why);
                checked += 1;
            }
        }
    }
    assert!(checked > 0);
}

#[test]
fn a_hole_from_the_server_hello_to_the_end_hides_what_was_said_in_it() {
    for (name, file) in recordings() {
        let mut kept = Vec::new();
        let mut begun: BTreeMap<u16, bool> = BTreeMap::new();
        for (kind, block) in blocks(&file) {
            let is_lost = kind == ENHANCED_PACKET && {
                let packet = packet(block);
                let has_begun = begun.entry(packet.client_port).or_default();
                let is_lost = *has_begun && !packet.payload.is_empty();
                *has_begun |= is_server_hello(&packet);
                is_lost
            };
            if !is_lost {
                kept.extend_from_slice(block);
            }
        }
        let options = Options { ws_ports: vec![PORT], ..Options::default() };
        let outcome = run::analyze_bytes_with(kept, options);
        let found = labels(&outcome);
        // In TLS 1.3 nothing of it is left that would be listed.
        assert_eq!(found.is_empty(), name.starts_with("1.3"), "{name}");
        assert!(found.iter().all(|label| label == "unknown"), "{name}: {found:?}");
    }
}
