//! Sequences of record lengths, as real endpoints send them, and what they allow to be said.

use super::*;
use crate::time::Timestamp;
use std::time::Duration;

/// A connection in short: records and ends, one by one.
struct Script {
    shape: Shape,
    tcp: TcpEnds,
    sent: PerSide<u64>,
    heard: PerSide<u64>,
    now: i64,
    packet: u32,
}

impl Script {
    fn new(protection: Protection) -> Self {
        let mut shape = Shape::default();
        shape.set_server_hello(Some(protection), None);
        let tcp = TcpEnds { round_trip: Duration::from_millis(20), ..TcpEnds::default() };
        Script { shape, tcp, sent: PerSide::default(), heard: PerSide::default(), now: 0, packet: 0 }
    }

    /// TLS 1.3 with AES-256-GCM, up to the answer to the Upgrade request.
    fn tls13() -> Self {
        let mut script = Script::new(Protection::tls13(16, 48));
        script.data(Side::Server, &[23, 848, 281, 69]).data(Side::Client, &[69]);
        script.data(Side::Client, &[293]).data(Side::Server, &[250, 250, 146]);
        script
    }

    /// TLS 1.2 with AES-GCM, up to the answer to the Upgrade request.
    fn tls12() -> Self {
        let mut script = Script::new(Protection::tls12(8, 16));
        script.data(Side::Client, &[300]).data(Side::Server, &[199]);
        script
    }

    fn next(&mut self, side: Side) -> Moment {
        self.now += 1_000_000;
        self.packet += 1;
        // Each packet arrives before the next one is sent.
        *self.heard.get_mut(side) = self.sent[side.other()];
        Moment::new(Timestamp::from_nanos(self.now), self.packet, 0)
    }

    fn record(&mut self, side: Side, content_type: ContentType, length: u16) -> &mut Self {
        let at = self.next(side);
        *self.sent.get_mut(side) += 5 + u64::from(length);
        let wire = Wire { end: self.sent[side], peer_acked: Some(self.heard[side]) };
        self.shape.handle_record(side, &RecordSeen { at, content_type, length, wire });
        self
    }

    fn data(&mut self, side: Side, lens: &[u16]) -> &mut Self {
        for len in lens {
            self.record(side, ContentType::APPLICATION_DATA, *len);
        }
        self
    }

    fn alert(&mut self, side: Side, len: u16) -> &mut Self {
        self.record(side, ContentType::ALERT, len)
    }

    fn end(&mut self, side: Side, is_reset: bool) -> &mut Self {
        let at = self.next(side);
        let end = SideEnd { at, peer_received: Some(self.heard[side]), offset: self.sent[side], is_reset };
        *self.tcp.sides.get_mut(side) = Some(end);
        *self.sent.get_mut(side) += 1;
        self
    }

    fn fin(&mut self, side: Side) -> &mut Self {
        self.end(side, false)
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += i64::try_from(time.as_nanos()).unwrap();
        self
    }

    fn probable(&self) -> Probable {
        self.shape.probable(&self.tcp)
    }

    fn ending(&self) -> (Ending, Confidence) {
        let probable = self.probable();
        (probable.ending, probable.confidence)
    }
}

use Side::{Client, Server};

const SERVER_FIRST: Ending = Ending::ClosingHandshake { first: Server, body: FrameBody::Code };

#[test]
fn a_code_from_the_server_echoed_by_the_client_is_a_closing_handshake() {
    let mut python = Script::tls13();
    python
        .data(Client, &[40])
        .data(Server, &[21])
        .data(Client, &[25])
        .data(Server, &[19])
        .data(Client, &[19]);
    assert_eq!(python.fin(Client).fin(Server).ending(), (SERVER_FIRST, Confidence::High));
    let mut node = Script::tls12();
    node.data(Client, &[40]).data(Server, &[28]).data(Client, &[32]).alert(Client, 26).fin(Client);
    assert_eq!(node.ending(), (SERVER_FIRST, Confidence::High));
}

#[test]
fn each_suite_has_its_own_lengths() {
    for (protection, server, client) in [
        (Protection::tls12(0, 16), 20, 24), // ChaCha20-Poly1305
        (Protection::tls12(8, 8), 20, 24),  // AES-CCM-8
        (Protection::tls12(8, 16), 28, 32), // AES-GCM
    ] {
        let mut script = Script::new(protection);
        script.data(Client, &[300]).data(Server, &[199, 77]).data(Server, &[server]).data(Client, &[client]);
        assert_eq!(script.fin(Server).ending(), (SERVER_FIRST, Confidence::High), "{protection:?}");
    }
    let mut ccm8 = Script::new(Protection::tls13(8, 32));
    ccm8.data(Server, &[800, 45]).data(Client, &[45, 300]).data(Server, &[199, 13]).data(Client, &[17]);
    assert_eq!(ccm8.fin(Server).ending(), (SERVER_FIRST, Confidence::High));
}

#[test]
fn a_suite_s_protection_is_that_of_its_cipher_and_version() {
    let of = |version, suite| Protection::of(version, CipherSuite(suite));
    let (new, old) = (ProtocolVersion::TLS_1_3, ProtocolVersion::TLS_1_2);
    assert_eq!(of(new, 0x1302), Some(Protection::tls13(16, 48)));
    assert_eq!(of(new, 0x1305), Some(Protection::tls13(8, 32)));
    assert_eq!(of(old, 0xc02f), Some(Protection::tls12(8, 16)));
    assert_eq!(of(old, 0xcca8), Some(Protection::tls12(0, 16)));
    assert_eq!(of(old, 0xc0a2), Some(Protection::tls12(8, 8)));
    assert_eq!(of(old, 0xc014), Some(Protection::block()));
    assert_eq!(of(old, 0x0005), None);
}

#[test]
fn a_reason_shows_by_its_length() {
    let mut script = Script::tls13();
    script.data(Client, &[40, 47]).data(Server, &[43]).data(Server, &[19]).fin(Server);
    let body = FrameBody::Reason(22);
    assert_eq!(script.ending(), (Ending::ClosingHandshake { first: Client, body }, Confidence::High));
    let close = script.probable().close;
    assert!(close.client < close.server && close.client.is_some());
}

#[test]
fn an_echo_after_which_the_client_ends_is_no_closing_handshake() {
    for is_reset in [false, true] {
        let mut script = Script::tls13();
        script.data(Client, &[25]).data(Server, &[21]).end(Client, is_reset).fin(Server);
        assert_eq!(script.ending(), (Ending::NoClose, Confidence::Low));
    }
    let mut later = Script::tls13();
    later.data(Client, &[40, 90]).data(Server, &[86]).data(Client, &[19]).data(Server, &[19]).fin(Client);
    assert_eq!(later.ending(), (Ending::Unclear, Confidence::Low));
}

#[test]
fn a_length_that_is_usual_in_a_connection_is_no_sign_of_a_close() {
    let mut script = Script::tls13();
    for _ in 0..20 {
        script.data(Client, &[47]).data(Server, &[43]);
    }
    assert_eq!(script.fin(Server).ending(), (Ending::NoClose, Confidence::Low));
    let mut pings = Script::tls13();
    for _ in 0..20 {
        pings.wait(Duration::from_secs(20)).data(Server, &[23]).data(Client, &[27]);
    }
    assert_eq!(pings.fin(Server).ending(), (Ending::Unclear, Confidence::Low));
}

#[test]
fn an_end_long_after_the_reply_lowers_the_confidence_and_then_ends_it() {
    let at = |wait| {
        let mut script = Script::tls13();
        script.data(Client, &[40]).data(Server, &[21]).data(Client, &[25]).wait(wait).fin(Server).ending()
    };
    assert_eq!(at(Duration::from_millis(200)), (SERVER_FIRST, Confidence::High));
    assert_eq!(at(Duration::from_millis(700)), (SERVER_FIRST, Confidence::Medium));
    assert_eq!(at(Duration::from_secs(9)), (Ending::NoClose, Confidence::Low));
    assert_eq!(at(Duration::from_secs(60)), (Ending::NoClose, Confidence::Medium));
}

#[test]
fn an_empty_server_close_and_a_close_notify_of_tls13_are_told_apart_by_what_follows() {
    let empty = Ending::ClosingHandshake { first: Server, body: FrameBody::Empty };
    let mut close = Script::tls13();
    close.data(Client, &[40]).data(Server, &[19]).data(Client, &[23]).data(Server, &[19]).fin(Server);
    assert_eq!(close.ending(), (empty, Confidence::Medium));
    assert_eq!(close.probable().close_notify.server.map(|at| at.packet), Some(13));
    let mut notify = Script::tls13();
    notify.data(Client, &[40]).data(Server, &[200, 19]).data(Client, &[19]).fin(Server);
    assert_eq!(notify.ending().0, Ending::NoClose);
    assert!(notify.probable().close_notify.client.is_some());
}

#[test]
fn last_records_too_large_for_a_close_show_that_there_was_none() {
    let mut script = Script::tls13();
    script.data(Client, &[500]).data(Server, &[900]).fin(Server);
    assert_eq!(script.ending(), (Ending::NoClose, Confidence::High));
}

#[test]
fn a_client_that_sends_a_code_and_leaves_has_probably_closed() {
    let mut script = Script::tls13();
    script.data(Client, &[60]).data(Server, &[400]).data(Client, &[25]).fin(Client);
    let ending = Ending::OneSidedClose { by: Client, body: FrameBody::Code };
    assert_eq!(script.ending(), (ending, Confidence::Medium));
}

#[test]
fn silence_and_an_open_end_are_no_closes() {
    let mut script = Script::tls13();
    script.data(Client, &[500]);
    assert_eq!(script.ending(), (Ending::StillOpen, Confidence::Medium));
    script.tcp.timed_out = true;
    assert_eq!(script.ending(), (Ending::NoClose, Confidence::Medium));
}

#[test]
fn what_hides_lengths_is_named() {
    let why = |script: &Script| match script.ending().0 {
        Ending::Unreadable(why) => why,
        other => panic!("{other:?}"),
    };
    let mut block = Script::new(Protection::block());
    block.data(Client, &[400]).data(Server, &[300, 52]).data(Client, &[52]).fin(Server);
    assert_eq!(why(&block), Unreadable::BlockCipher);
    let mut padded = Script::new(Protection::tls13(16, 32));
    padded.data(Server, &[900, 53]).data(Client, &[53, 528, 144, 160]).data(Server, &[272, 144, 144]);
    assert_eq!(why(&padded), Unreadable::Padded);
    let mut gap = Script::tls13();
    gap.shape.handle_gap(Server);
    gap.data(Client, &[25]).fin(Client);
    assert_eq!(why(&gap), Unreadable::Gap);
    let mut unknown = Script::tls13();
    unknown.shape = Shape::default();
    assert_eq!(why(unknown.data(Client, &[25]).fin(Client)), Unreadable::SuiteUnknown);
    assert_eq!(why(&Script::new(Protection::tls12(8, 16))), Unreadable::NoData);
}

#[test]
fn a_chat_scores_as_a_websocket() {
    let mut script = Script::tls13();
    script.shape.set_client_hello(Some(b"ws.example.org"), std::iter::once(&b"http/1.1"[..]));
    for _ in 0..4 {
        script.data(Client, &[31]).data(Server, &[27]);
    }
    let score = script.probable().websocket;
    assert!(score.is_probable() && score.points == 100, "{score:?}");
}

#[test]
fn pages_and_http2_do_not_score_as_websockets() {
    let mut http = Script::tls13();
    http.shape.set_client_hello(None, [&b"h2"[..], b"http/1.1"].into_iter());
    for _ in 0..6 {
        http.data(Client, &[450]).data(Server, &[16_401, 9_000]);
    }
    assert!(http.probable().websocket.points < 20, "{:?}", http.probable().websocket);
    let mut http2 = Script::new(Protection::tls12(8, 16));
    http2.shape.set_client_hello(None, [&b"h2"[..], b"http/1.1"].into_iter());
    http2.shape.set_server_hello(Some(Protection::tls12(8, 16)), Some(b"h2"));
    http2.data(Client, &[88, 33, 37, 300]).data(Server, &[57, 33, 800, 3_000]).data(Client, &[37, 41]);
    assert!(http2.probable().websocket.points == 0, "{:?}", http2.probable().websocket);
}

#[test]
fn a_steady_ping_counts_and_a_shape_stays_small() {
    let mut script = Script::tls13();
    for _ in 0..10_000 {
        script.wait(Duration::from_secs(20)).data(Server, &[23]).data(Client, &[27]);
    }
    let score = script.probable().websocket;
    assert!(score.signs.contains(&Sign::Heartbeat) && score.signs.contains(&Sign::LongLived), "{score:?}");
    assert!(script.shape.tail.capacity() <= 16);
    assert!(size_of::<Shape>() + 16 * size_of::<Seen>() < 1_500);
}
