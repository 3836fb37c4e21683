//! Sessions, byte by byte.

mod growth;
mod rfc8448;

use super::*;
use crate::tls::decrypt::Opener;
use crate::tls::key_schedule::{Handshake, key_block, traffic_keys};
use crate::tls::keylog::Secret;
use crate::tls::record::{HEADER_LEN, record_header};
use crate::tls::sealing::{Sealer, plain};
use crate::tls::shape::TcpEnds;
use crate::tls::suite::CipherSuite;
use crate::tls::testing::hex;
use rfc8448::{RESUMED_0_RTT, SIMPLE_1_RTT, Trace};
use sha2::{Digest as _, Sha256};

/// Content as a sink got it: a hole is `_`.
#[derive(Default)]
struct Content {
    bytes: PerSide<Vec<u8>>,
    order: Vec<Side>,
    gaps: Vec<(Side, Gap)>,
    wires: Vec<(Side, u64, u64)>,
    protocols: Vec<Vec<u8>>,
}

impl StreamSink for Content {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        self.order.push(side);
        match event {
            StreamEvent::Data { bytes, offset, wire, .. } => {
                self.bytes.get_mut(side).extend_from_slice(bytes);
                self.wires.push((side, offset, wire.end));
            }
            StreamEvent::Gap(gap) => {
                self.bytes.get_mut(side).push(b'_');
                self.gaps.push((side, gap));
            }
        }
    }

    fn protocol(&mut self, name: &[u8]) {
        assert!(self.wires.is_empty(), "it is told before any content");
        self.protocols.push(name.to_vec());
    }
}

struct Script {
    session: Session,
    keys: KeyLog,
    more_keys: bool,
    limits: Limits,
    content: Content,
    sent: PerSide<u64>,
}

fn key_log(trace: &Trace) -> KeyLog {
    let mut keys = KeyLog::default();
    for (label, secret) in trace.secrets {
        let line = format!("{label} {} {secret}\n", trace.random);
        assert_eq!(keys.read(line.as_bytes(), &Limits::default()).secrets, 1);
    }
    keys
}

impl Script {
    fn new(keys: KeyLog) -> Script {
        let limits = Limits::default();
        Script {
            session: Session::new(true, &limits),
            keys,
            more_keys: false,
            limits,
            content: Content::default(),
            sent: PerSide::default(),
        }
    }

    fn of(trace: &Trace) -> Script {
        Script::new(key_log(trace))
    }

    fn event(&mut self, side: Side, event: StreamEvent<'_>) {
        let context = Context { limits: &self.limits, keys: &self.keys, more_keys: self.more_keys };
        self.session.stream(side, event, context, &mut self.content);
    }

    fn send(&mut self, side: Side, bytes: &[u8]) {
        let offset = self.sent[side];
        let end = offset + bytes.len() as u64;
        *self.sent.get_mut(side) = end;
        let wire = Wire { end, peer_acked: Some(self.sent[side.other()]) };
        self.event(side, StreamEvent::Data { at: Moment::default(), offset, bytes, wire });
    }

    fn lose(&mut self, side: Side, len: u64) {
        let offset = self.sent[side];
        *self.sent.get_mut(side) = offset + len;
        let gap = Gap { at: Moment::default(), offset, len, cause: GapCause::Lost, unsent_at: None };
        self.event(side, StreamEvent::Gap(gap));
    }

    fn play(&mut self, trace: &Trace) {
        for (side, record) in trace.records {
            self.send(*side, &hex(record));
        }
    }
}

/// What both sides of the traces send as application data: 0, 1, ... 49.
fn fifty() -> Vec<u8> {
    (0..50).collect()
}

fn bytes_of(trace: &Trace, side: Side) -> Vec<u8> {
    trace.records.iter().filter(|(from, _)| *from == side).flat_map(|(_, record)| hex(record)).collect()
}

#[test]
fn the_simple_handshake_of_rfc_8448_is_decrypted() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    script.play(&SIMPLE_1_RTT);
    assert_eq!((script.content.bytes.client, script.content.bytes.server), (fifty(), fifty()));
    let facts = &script.session.facts;
    assert_eq!(facts.version, Some(ProtocolVersion::TLS_1_3));
    assert_eq!(facts.suite.unwrap().name(), "TLS_AES_128_GCM_SHA256");
    assert_eq!(facts.server_name.as_deref(), Some(&b"server"[..]));
    assert!(facts.close_notify.client.is_some() && facts.close_notify.server.is_some());
    assert!(facts.is_decrypted() && facts.finished.client && facts.finished.server);
    assert_eq!(script.session.anomalies, AnomalySet::default());
}

#[test]
fn the_handshake_of_rfc_8448_is_the_one_whose_transcript_hashes_stand_there() {
    let [client_hello, server_hello, flight, ..] = SIMPLE_1_RTT.records else { panic!("a handshake") };
    let message = |record: &str| hex(record).split_off(HEADER_LEN);
    let mut messages = [message(client_hello.1), message(server_hello.1)].concat();
    let hash = |messages: &[u8]| Sha256::digest(messages).to_vec();
    // RFC 8448 §3, "derive secret "tls13 c hs traffic"" and, over the server's Finished too, "tls13 c ap traffic".
    assert_eq!(hash(&messages), hex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8"));
    let (suite, secret) = (CipherSuite(0x1301), Secret::new(hex(SIMPLE_1_RTT.secrets[1].1)));
    let keys = traffic_keys(suite, &secret).unwrap();
    let mut opener = Opener::new(suite, ProtocolVersion::TLS_1_3, &keys, false).unwrap();
    let (header, mut fragment) = (record_header(&hex(flight.1)).unwrap().1, message(flight.1));
    let opened = opener.open(header, &mut fragment).unwrap();
    messages.extend_from_slice(&fragment[opened.content]);
    assert_eq!(hash(&messages), hex("9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13"));
}

#[test]
fn early_data_of_rfc_8448_come_before_what_follows_the_handshake() {
    let mut script = Script::of(&RESUMED_0_RTT);
    script.play(&RESUMED_0_RTT);
    assert_eq!(script.content.bytes.client, [&b"ABCDEF"[..], &fifty()].concat());
    assert_eq!(script.content.bytes.server, fifty());
}

#[test]
fn early_data_without_their_key_cost_only_themselves() {
    let trace = Trace { secrets: &RESUMED_0_RTT.secrets[1..], ..RESUMED_0_RTT };
    let mut script = Script::of(&trace);
    script.play(&trace);
    assert_eq!(script.content.bytes.server, fifty());
    assert!(!script.content.bytes.client.starts_with(b"ABCDEF"));
}

#[test]
fn records_cut_and_joined_in_every_way_give_the_same_content() {
    for size in 1..120 {
        let mut script = Script::of(&SIMPLE_1_RTT);
        for (side, record) in SIMPLE_1_RTT.records {
            for part in hex(record).chunks(size) {
                script.send(*side, part);
            }
        }
        assert_eq!(
            (&script.content.bytes.client, &script.content.bytes.server),
            (&fifty(), &fifty()),
            "{size}"
        );
    }
}

#[test]
fn content_has_the_place_of_its_record_in_tcp() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    script.play(&SIMPLE_1_RTT);
    let before: usize = [0, 3].map(|record| hex(SIMPLE_1_RTT.records[record].1).len()).iter().sum();
    let (start, end) = (before as u64, before as u64 + 72);
    assert_eq!(script.content.wires[0], (Side::Client, start, end));
}

#[test]
fn a_client_seen_before_the_server_waits_for_its_hello() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    let [hello, ..] = SIMPLE_1_RTT.records else { panic!("no records") };
    let client = bytes_of(&SIMPLE_1_RTT, Side::Client);
    script.send(Side::Client, &client);
    assert!(client.len() > hello.1.len() / 2 && script.content.order.is_empty());
    script.send(Side::Server, &bytes_of(&SIMPLE_1_RTT, Side::Server));
    assert_eq!((&script.content.bytes.client, &script.content.bytes.server), (&fifty(), &fifty()));
}

#[test]
fn records_wait_for_keys_that_are_still_to_come() {
    let mut script = Script::new(KeyLog::default());
    script.more_keys = true;
    for (side, record) in &SIMPLE_1_RTT.records[..7] {
        script.send(*side, &hex(record));
    }
    assert!(script.content.order.is_empty());
    script.keys = key_log(&SIMPLE_1_RTT);
    for (side, record) in &SIMPLE_1_RTT.records[7..] {
        script.send(*side, &hex(record));
    }
    assert_eq!((&script.content.bytes.client, &script.content.bytes.server), (&fifty(), &fifty()));
}

#[test]
fn without_keys_nothing_is_given_and_nothing_waits() {
    let mut script = Script::new(KeyLog::default());
    script.play(&SIMPLE_1_RTT);
    assert!(script.content.order.is_empty());
    let facts = &script.session.facts;
    assert_eq!((facts.decryption, facts.is_opaque()), (Decryption::NoKeys, true));
    // Both records of 19 bytes hold an alert.
    let said = facts.shape.as_ref().unwrap().probable(&TcpEnds::default());
    assert!(said.close_notify.client.is_some() && said.close_notify.server.is_some());
}

#[test]
fn keys_of_one_side_alone_leave_the_other_a_hole() {
    let one = [SIMPLE_1_RTT.secrets[0], SIMPLE_1_RTT.secrets[2]];
    let mut keys = KeyLog::default();
    for (label, secret) in one {
        keys.read(format!("{label} {} {secret}", SIMPLE_1_RTT.random).as_bytes(), &Limits::default());
    }
    let mut script = Script::new(keys);
    script.play(&SIMPLE_1_RTT);
    assert_eq!(
        (&script.content.bytes.client[..], &script.content.bytes.server[..]),
        (&fifty()[..], &b"_"[..])
    );
}

#[test]
fn keys_of_another_session_are_named_as_such() {
    let secrets = RESUMED_0_RTT.secrets;
    let mut script = Script::of(&Trace { secrets: &secrets[1..], ..SIMPLE_1_RTT });
    script.play(&SIMPLE_1_RTT);
    assert_eq!(script.session.facts.decryption, Decryption::WrongKeys);
    assert!(script.session.anomalies.contains(Anomaly::TlsKeysWrong));
    assert!(script.content.bytes.client.iter().all(|byte| *byte == b'_'));
}

#[test]
fn traffic_secrets_alone_are_enough_for_the_content() {
    let mut script = Script::of(&Trace { secrets: &SIMPLE_1_RTT.secrets[2..], ..SIMPLE_1_RTT });
    script.play(&SIMPLE_1_RTT);
    assert_eq!((&script.content.bytes.client, &script.content.bytes.server), (&fifty(), &fifty()));
}

#[test]
fn a_lost_record_is_a_hole_and_the_next_one_is_found() {
    // Without the client's Finished its keys must be found by trial, and with its ticket the server's sequence.
    for lost in [3, 4] {
        let mut script = Script::of(&SIMPLE_1_RTT);
        for (place, (side, record)) in SIMPLE_1_RTT.records.iter().enumerate() {
            if place == lost {
                script.lose(*side, hex(record).len() as u64);
            } else {
                script.send(*side, &hex(record));
            }
        }
        let side = SIMPLE_1_RTT.records[lost].0;
        assert_eq!(script.content.bytes[side], [b"_", &fifty()[..]].concat(), "{lost}");
        assert_eq!(script.content.bytes[side.other()], fifty());
        assert!(script.session.anomalies.contains(Anomaly::TlsResynchronized));
        assert!(script.session.facts.close_notify[side].is_some());
    }
}

#[test]
fn bytes_lost_inside_a_record_cost_that_record() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    for (place, (side, record)) in SIMPLE_1_RTT.records.iter().enumerate() {
        let record = hex(record);
        if place == 5 {
            script.send(*side, &record[..20]);
            script.lose(*side, 10);
            script.send(*side, &record[30..]);
        } else {
            script.send(*side, &record);
        }
    }
    assert_eq!(script.content.bytes.client, b"_");
    assert!(script.session.facts.close_notify.client.is_some(), "the record behind it is read");
}

/// A client of TLS 1.2 that has said its ChangeCipherSpec, and what protects its records from then on.
fn tls12_client(suite: CipherSuite) -> (Script, Sealer) {
    let (version, random) = (ProtocolVersion::TLS_1_2, "11".repeat(32));
    let mut keys = KeyLog::default();
    let line = format!("CLIENT_RANDOM {random} {}", "22".repeat(48));
    keys.read(line.as_bytes(), &Limits::default());
    let mut script = Script::new(keys);
    let hello = |kind: u8, choice: &[u8]| {
        let body = [&[3, 3][..], &[0x11; 32], &[0], choice].concat();
        plain(ContentType::HANDSHAKE, &[&[kind, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat())
    };
    let [high, low] = suite.0.to_be_bytes();
    script.send(Side::Client, &hello(1, &[0, 2, high, low, 1, 0]));
    script.send(Side::Server, &hello(2, &[high, low, 0]));
    let random = [0x11; 32];
    let handshake = Handshake { version, suite, client_random: &random, server_random: &random };
    let keys = key_block(handshake, &Secret::new(vec![0x22; 48])).unwrap();
    script.send(Side::Client, &plain(ContentType::CHANGE_CIPHER_SPEC, &[1]));
    (script, Sealer::new(suite, version, &keys.client))
}

/// A hello's extension ALPN that names one protocol.
fn alpn(name: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[0, 16, 0, length + 3, 0, length + 1, length][..], name].concat()
}

#[test]
fn the_protocol_that_alpn_agreed_on_is_told_before_any_content() {
    let message = |kind: u8, body: &[u8]| [&[kind, 0, 0, u8::try_from(body.len()).unwrap()], body].concat();
    let extensions = |all: &[u8]| [&u16::try_from(all.len()).unwrap().to_be_bytes(), all].concat();
    let hello = |suite: u16, more: &[u8]| {
        let [high, low] = suite.to_be_bytes();
        let body = [&[3, 3][..], &[0x11; 32], &[0, high, low, 0], &extensions(more)].concat();
        plain(ContentType::HANDSHAKE, &message(2, &body))
    };
    let client = message(1, &[&[3, 3][..], &[0x11; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat());
    let client = plain(ContentType::HANDSHAKE, &client);
    // TLS 1.2: in the ServerHello.
    let mut script = Script::new(KeyLog::default());
    script.send(Side::Client, &client);
    script.send(Side::Server, &hello(0xc02f, &alpn(b"http/1.1")));
    assert_eq!(script.content.protocols, [b"http/1.1".to_vec()]);
    // TLS 1.3: in the encrypted extensions, in one segment with the server's first content.
    let (suite, random) = (CipherSuite(0x1301), "11".repeat(32));
    let mut keys = KeyLog::default();
    for (label, byte) in [("SERVER_HANDSHAKE_TRAFFIC_SECRET", "22"), ("SERVER_TRAFFIC_SECRET_0", "33")] {
        keys.read(format!("{label} {random} {}", byte.repeat(32)).as_bytes(), &Limits::default());
    }
    let sealer = |byte: u8| {
        let keys = traffic_keys(suite, &Secret::new(vec![byte; 32])).unwrap();
        Sealer::new(suite, ProtocolVersion::TLS_1_3, &keys)
    };
    let mut script = Script::new(keys);
    script.send(Side::Client, &client);
    let flight = [message(8, &extensions(&alpn(b"h2"))), message(20, &[0; 32])].concat();
    let records = [
        hello(0x1301, &[0, 43, 0, 2, 3, 4]),
        sealer(0x22).seal(ContentType::HANDSHAKE, &flight, 0),
        sealer(0x33).seal(ContentType::APPLICATION_DATA, b"content", 0),
    ];
    script.send(Side::Server, &records.concat());
    assert_eq!(script.content.protocols, [b"h2".to_vec()]);
    assert_eq!(script.content.bytes.server, b"content");
    assert_eq!(script.session.facts.alpn.as_deref(), Some(&b"h2"[..]));
}

#[test]
fn what_there_is_of_a_record_whose_rest_was_never_sent_is_read_where_the_cipher_allows_it() {
    // AES-GCM, ChaCha20, AES-CCM and CCM_8; the bytes before the text: a header, and a nonce where one travels.
    for (suite, before) in [(0xc02f, 13), (0xcca8, 5), (0xc09c, 13), (0xc0a0, 13)] {
        for there in 0..=3 {
            let (mut script, mut sealer) = tls12_client(CipherSuite(suite));
            script.send(Side::Client, &sealer.seal(ContentType::APPLICATION_DATA, b"one", 0));
            let record = sealer.seal(ContentType::APPLICATION_DATA, b"two", 0);
            script.send(Side::Client, &record[..before + there]);
            script.session.finish(Moment::default(), &mut script.content);
            let text = [b"one", &b"two"[..there]].concat();
            assert_eq!(script.content.bytes.client, text, "{suite:04x}");
            assert!(script.content.gaps.is_empty(), "what was never sent is no hole");
        }
        // All but the last byte of its tag: nothing of the tag is taken for text.
        let (mut script, mut sealer) = tls12_client(CipherSuite(suite));
        script.send(Side::Client, &sealer.seal(ContentType::APPLICATION_DATA, b"one", 0));
        let record = sealer.seal(ContentType::APPLICATION_DATA, b"two", 0);
        script.send(Side::Client, &record[..record.len() - 1]);
        script.session.finish(Moment::default(), &mut script.content);
        assert_eq!(script.content.bytes.client, b"onetwo", "{suite:04x}");
    }
}

#[test]
fn bytes_lost_inside_a_record_of_nothing_leave_no_hole() {
    let (mut script, mut sealer) = tls12_client(CipherSuite(0xc02f));
    script.send(Side::Client, &sealer.seal(ContentType::APPLICATION_DATA, b"one", 0));
    let empty = sealer.seal(ContentType::APPLICATION_DATA, b"", 0);
    script.send(Side::Client, &empty[..10]);
    script.lose(Side::Client, empty.len() as u64 - 10);
    script.send(Side::Client, &sealer.seal(ContentType::APPLICATION_DATA, b"two", 0));
    assert_eq!((script.content.bytes.client, script.content.gaps.len()), (b"onetwo".to_vec(), 0));
}

#[test]
fn what_is_never_found_again_is_blind_and_says_so() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    for (side, record) in &SIMPLE_1_RTT.records[..6] {
        script.send(*side, &hex(record));
    }
    script.lose(Side::Client, 500);
    script.session.finish(Moment::default(), &mut script.content);
    assert_eq!(script.content.bytes.client, [&fifty()[..], b"_"].concat());
    assert_eq!(script.content.gaps[0].1.cause, GapCause::Lost);
}

#[test]
fn a_record_that_was_tampered_with_ends_the_sight_of_its_side_only() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    for (place, (side, record)) in SIMPLE_1_RTT.records.iter().enumerate() {
        let mut record = hex(record);
        if place == 5 {
            record[10] ^= 1;
        }
        script.send(*side, &record);
    }
    assert_eq!(script.content.bytes.client, b"_");
    assert_eq!(script.content.gaps[0].1.cause, GapCause::Encrypted);
    assert_eq!(script.content.bytes.server, fifty());
}

#[test]
fn a_record_without_its_end_hides_no_more_than_it_could_hold() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    for (side, record) in &SIMPLE_1_RTT.records[..5] {
        script.send(*side, &hex(record));
    }
    script.send(Side::Client, &hex(SIMPLE_1_RTT.records[5].1)[..40]);
    script.session.finish(Moment::default(), &mut script.content);
    assert_eq!((script.content.gaps[0].1.len, script.content.gaps[0].1.cause), (50, GapCause::Encrypted));
}

#[test]
fn what_is_no_record_ends_the_reading_of_its_side() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    script.send(Side::Client, &hex(SIMPLE_1_RTT.records[0].1));
    script.send(Side::Client, b"GET / HTTP/1.1\r\n\r\n");
    assert!(script.session.anomalies.contains(Anomaly::TlsRecordMalformed));
    assert!(script.content.order.is_empty());
}

#[test]
fn a_server_hello_that_the_capture_lacks_is_no_failed_handshake() {
    let mut script = Script::of(&SIMPLE_1_RTT);
    for (place, (side, record)) in SIMPLE_1_RTT.records.iter().enumerate() {
        let record = hex(record);
        if place == 1 { script.lose(*side, record.len() as u64) } else { script.send(*side, &record) }
    }
    let facts = &script.session.facts;
    assert_eq!((facts.decryption, facts.is_opaque()), (Decryption::NoHello, true));
    assert!(script.content.order.is_empty());
}
