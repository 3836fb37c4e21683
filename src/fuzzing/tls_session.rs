//! A TLS session with its keys.

use super::{Bytes, Cuts, small_limits};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, StreamSink, Wire};
use crate::tls::key_schedule::{Handshake, key_block, traffic_keys, updated};
use crate::tls::keylog::{KeyLog, Secret};
use crate::tls::record::{ContentType, FRAGMENT_MAX, HEADER_LEN, ProtocolVersion};
use crate::tls::sealing::{Sealer, plain};
use crate::tls::session::{Context, Session};
use crate::tls::suite::CipherSuite;

const CLIENT_RANDOM: [u8; 32] = [0xc1; 32];
const SERVER_RANDOM: [u8; 32] = [0x5e; 32];
/// One of each AEAD, for TLS 1.3 and 1.2.
const SUITES: [u16; 10] = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305, 0xc02f, 0xc030, 0xcca8, 0xc09c, 0xc0a1];

/// `options | suite | cuts | operation and side, length, bytes | ...`, or with the topmost option
/// `options | - | cuts | length, key log | side, length, bytes | ...`
///
/// In the first form the body is both endpoints: it shakes hands, and seals what the operations say. The content is what
/// was sealed; the same content, holes, facts and anomalies come of it however TCP cuts the bytes; what waits for keys,
/// for the server's word on early data, or behind a hole, keeps to its caps.
pub fn tls_session(input: &[u8]) {
    let mut input = Bytes(input);
    let (options, suite, seed) = (input.byte(), input.byte(), input.byte());
    let play =
        if options & 0x80 == 0 { Endpoints::play(options, suite, &mut input) } else { raw(&mut input) };
    let (whole, cut) = (play.read(options, None), play.read(options, Some(seed)));
    // With small caps, what exceeds them depends on how much comes at a time.
    if has_room(options) {
        assert_eq!(whole.told, cut.told, "told whole and in pieces");
        if let Some(sent) = &play.sent {
            assert_eq!(&whole.sink.content, sent, "the content is what was sealed");
        }
    }
}

fn has_room(options: u8) -> bool {
    options & 1 == 0
}

/// What happens on the wire.
enum Step {
    Bytes(Side, Vec<u8>),
    Hole(Side, u64),
    /// From here on the key log is known.
    Keys,
}

/// A conversation.
#[derive(Default)]
struct Play {
    steps: Vec<Step>,
    keys: KeyLog,
    /// What both sides sealed, where nothing was done that could hide some of it.
    sent: Option<PerSide<Vec<u8>>>,
}

/// What was read of it.
struct Outcome {
    sink: Sink,
    told: String,
}

/// Content, a hole being `_`, and the place of each piece.
#[derive(Default)]
struct Sink {
    content: PerSide<Vec<u8>>,
    places: Vec<String>,
}

impl StreamSink for Sink {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Data { offset, bytes, wire, .. } => {
                assert!(!bytes.is_empty());
                self.content.get_mut(side).extend_from_slice(bytes);
                self.places.push(format!("{side:?} {offset} {wire:?}"));
            }
            StreamEvent::Gap(gap) => {
                assert!(gap.len > 0);
                self.content.get_mut(side).push(b'_');
                self.places.push(format!("{side:?} {gap:?}"));
            }
        }
    }
}

impl Play {
    /// `seed`: in pieces.
    fn read(&self, options: u8, seed: Option<u8>) -> Outcome {
        let limits = if has_room(options) { Limits::default() } else { small_limits() };
        let (mut session, mut sink) = (Session::new(options & 2 != 0, &limits), Sink::default());
        let (none, mut offsets) = (KeyLog::default(), PerSide::<u64>::default());
        let mut waits = options & 4 != 0;
        for (step, round) in self.steps.iter().zip((0_u8..=u8::MAX).cycle()) {
            let keys = if waits { &none } else { &self.keys };
            let context = Context { limits: &limits, keys, more_keys: waits };
            match step {
                Step::Keys => waits = false,
                Step::Hole(side, len) => {
                    let (at, offset) = (Moment::default(), offsets[*side]);
                    let gap = Gap { at, offset, len: *len, cause: GapCause::Lost, unsent_at: None };
                    session.stream(*side, StreamEvent::Gap(gap), context, &mut sink);
                    *offsets.get_mut(*side) += len;
                }
                Step::Bytes(side, bytes) => {
                    let most = seed.map_or(bytes.len(), |seed| 1 + usize::from(seed & 63));
                    for bytes in Cuts::new(seed.unwrap_or(0) ^ round).pieces(bytes, most) {
                        let offset = offsets[*side];
                        let end = offset + bytes.len() as u64;
                        *offsets.get_mut(*side) = end;
                        let wire = Wire { end, peer_acked: Some(0) };
                        let event = StreamEvent::Data { at: Moment::default(), offset, bytes, wire };
                        session.stream(*side, event, context, &mut sink);
                        assert!(session.held_bytes() <= most_held(&limits), "what waits keeps to its caps");
                    }
                }
            }
        }
        session.finish(Moment::default(), &mut sink);
        assert!(session.is_blind());
        // It goes by the segments' places, too.
        session.facts.shape = None;
        let told = format!("{:?} {:?} {:?}", sink.places, session.facts, session.anomalies);
        let told = format!("{told} {:?}", sink.content);
        Outcome { sink, told }
    }
}

/// Each side's record, hello, waiting records and searched bytes, and the early data; a buffer may have grown to twice
/// its content.
fn most_held(limits: &Limits) -> usize {
    const INPUT: usize = 8 << 10;
    let record = HEADER_LEN + FRAGMENT_MAX;
    let side = 2 * record + 2 * (4 + limits.tls_hello_bytes) + limits.tls_held_bytes + 2 * (record + INPUT);
    2 * side + limits.tls_held_bytes
}

/// A conversation as it was recorded.
fn raw(input: &mut Bytes<'_>) -> Play {
    let mut play = Play::default();
    let length = usize::from(input.u16());
    play.keys.read(input.take(length), &Limits::default());
    while !input.is_empty() {
        let place = input.u16();
        let side = if place & 0x8000 == 0 { Side::Client } else { Side::Server };
        play.steps.push(Step::Bytes(side, input.take(usize::from(place & 0x3fff)).to_vec()));
        if place & 0x4000 != 0 {
            play.steps.push(Step::Keys);
        }
    }
    play
}

/// Both endpoints.
struct Endpoints {
    suite: CipherSuite,
    version: ProtocolVersion,
    secrets: PerSide<Secret>,
    sealers: PerSide<Sealer>,
    sent: PerSide<Vec<u8>>,
    /// All that was sealed can be read.
    is_exact: bool,
    play: Play,
}

impl Endpoints {
    fn play(options: u8, suite: u8, input: &mut Bytes<'_>) -> Play {
        let suite = CipherSuite(SUITES.get(usize::from(suite) % SUITES.len()).copied().unwrap_or(0x1301));
        let mut ends = if suite.is_tls13() { Self::of_tls13(options, suite) } else { Self::of_tls12(suite) };
        while !input.is_empty() {
            let (operation, length) = (input.byte(), usize::from(input.byte()));
            let bytes = input.take(length);
            ends.operate(operation, bytes);
        }
        let waits_at_end = options & 4 != 0;
        ends.play.sent = (ends.is_exact && !waits_at_end).then_some(ends.sent);
        ends.play
    }

    fn is_tls13(&self) -> bool {
        self.version >= ProtocolVersion::TLS_1_3
    }

    fn operate(&mut self, operation: u8, bytes: &[u8]) {
        let side = if operation & 1 == 0 { Side::Client } else { Side::Server };
        let more = usize::from(operation >> 4);
        match (operation >> 1) & 7 {
            0 => self.says(side, bytes, more),
            1 => self.seals(side, ContentType::ALERT, bytes, more),
            2 => {
                // Messages of any kind: one may be taken for what changes the keys.
                self.is_exact = false;
                self.seals(side, ContentType::HANDSHAKE, bytes, more);
            }
            3 if self.is_tls13() => self.updates_keys(side),
            3 => self.says(side, b"", 0),
            4 => {
                self.is_exact &= self.is_tls13() && more & 3 == 0;
                let kind = ContentType(20 + (operation >> 4 & 3));
                self.play.steps.push(Step::Bytes(side, plain(kind, bytes)));
            }
            5 => {
                self.is_exact = false;
                let mut record = self.sealers.get_mut(side).seal(ContentType::APPLICATION_DATA, bytes, 0);
                if let Some(byte) = record.get_mut(more * 3) {
                    *byte ^= 1;
                }
                self.play.steps.push(Step::Bytes(side, record));
            }
            6 => self.loses(side, bytes, more),
            _ => self.play.steps.push(Step::Keys),
        }
    }

    fn says(&mut self, side: Side, bytes: &[u8], padding: usize) {
        self.sent.get_mut(side).extend_from_slice(bytes);
        self.seals(side, ContentType::APPLICATION_DATA, bytes, padding);
    }

    fn seals(&mut self, side: Side, kind: ContentType, bytes: &[u8], padding: usize) {
        let record = self.sealers.get_mut(side).seal(kind, bytes, padding);
        self.play.steps.push(Step::Bytes(side, record));
    }

    fn updates_keys(&mut self, side: Side) {
        self.seals(side, ContentType::HANDSHAKE, &[24, 0, 0, 1, 0], 0);
        let secret = updated(self.suite, &self.secrets[side]).expect("a suite of TLS 1.3");
        *self.sealers.get_mut(side) = sealer(self.suite, &secret);
        *self.secrets.get_mut(side) = secret;
    }

    /// A record of which the capture has only the first bytes, and the last.
    fn loses(&mut self, side: Side, bytes: &[u8], more: usize) {
        self.is_exact = false;
        let record = self.sealers.get_mut(side).seal(ContentType::APPLICATION_DATA, bytes, 0);
        let (head, rest) = record.split_at(record.len().min(more));
        let (lost, tail) = rest.split_at(rest.len().saturating_sub(usize::from(more & 1 != 0)));
        for part in [head, tail] {
            self.play.steps.push(Step::Bytes(side, part.to_vec()));
            if part == head && !lost.is_empty() {
                self.play.steps.push(Step::Hole(side, lost.len() as u64));
            }
        }
    }

    /// `options`: 8, early data are offered; 16, and accepted; 32, the client's hello comes in two; 64, no handshake keys.
    fn of_tls13(options: u8, suite: CipherSuite) -> Endpoints {
        let secret = |number: u8| Secret::new(vec![number; suite.key_derivation_hash().output_len()]);
        let (offers, accepts, skips) = (options & 8 != 0, options & 16 != 0, options & 64 != 0);
        let mut play = Play::default();
        let mut log = vec![("CLIENT_TRAFFIC_SECRET_0", 3), ("SERVER_TRAFFIC_SECRET_0", 4)];
        if !skips {
            log.extend([("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 1), ("SERVER_HANDSHAKE_TRAFFIC_SECRET", 2)]);
        }
        if offers {
            log.push(("CLIENT_EARLY_TRAFFIC_SECRET", 5));
        }
        for (label, number) in log {
            note(&mut play.keys, label, secret(number).bytes());
        }
        let early_data: &[u8] = if offers { &[0, 42, 0, 0] } else { &[] };
        play.hello(Side::Client, &hello(Side::Client, suite, early_data), options & 32 != 0);
        let (mut early, mut sent) = (sealer(suite, &secret(5)), PerSide::<Vec<u8>>::default());
        if offers {
            play.bytes(Side::Client, early.seal(ContentType::APPLICATION_DATA, b"early", 0));
        }
        play.hello(Side::Server, &hello(Side::Server, suite, &[0, 43, 0, 2, 3, 4]), false);
        let mut handshake = PerSide { client: sealer(suite, &secret(1)), server: sealer(suite, &secret(2)) };
        let accepted = offers && accepts;
        let found: &[u8] = if accepted { &[8, 0, 0, 6, 0, 4, 0, 42, 0, 0] } else { &[8, 0, 0, 2, 0, 0] };
        let flight = [found, &finished()].concat();
        play.bytes(Side::Server, handshake.server.seal(ContentType::HANDSHAKE, &flight, 0));
        if accepted {
            sent.client.extend_from_slice(b"early");
            play.bytes(Side::Client, early.seal(ContentType::HANDSHAKE, &[5, 0, 0, 0], 0));
        }
        play.bytes(Side::Client, handshake.client.seal(ContentType::HANDSHAKE, &finished(), 0));
        let secrets = PerSide { client: secret(3), server: secret(4) };
        let sealers = PerSide::from_fn(|side| sealer(suite, &secrets[side]));
        // Without the handshake's keys nobody can tell whether early data were accepted.
        let is_exact = !(skips && offers);
        Endpoints { suite, version: ProtocolVersion::TLS_1_3, secrets, sealers, sent, is_exact, play }
    }

    fn of_tls12(suite: CipherSuite) -> Endpoints {
        let (version, master) = (ProtocolVersion::TLS_1_2, Secret::new(vec![6; 48]));
        let mut play = Play::default();
        note(&mut play.keys, "CLIENT_RANDOM", master.bytes());
        let randoms =
            Handshake { version, suite, client_random: &CLIENT_RANDOM, server_random: &SERVER_RANDOM };
        let keys = key_block(randoms, &master).expect("a suite that is decrypted");
        let mut sealers = PerSide::from_fn(|side| Sealer::new(suite, version, &keys[side]));
        for side in Side::BOTH {
            play.hello(side, &hello(side, suite, &[]), false);
        }
        for side in Side::BOTH {
            play.bytes(side, plain(ContentType::CHANGE_CIPHER_SPEC, &[1]));
            play.bytes(side, sealers.get_mut(side).seal(ContentType::HANDSHAKE, &finished(), 0));
        }
        let secrets = PerSide { client: master.clone(), server: master };
        let sent = PerSide::default();
        Endpoints { suite, version, secrets, sealers, sent, is_exact: true, play }
    }
}

impl Play {
    fn bytes(&mut self, side: Side, bytes: Vec<u8>) {
        self.steps.push(Step::Bytes(side, bytes));
    }

    /// A hello in one record, or in two.
    fn hello(&mut self, side: Side, message: &[u8], in_two: bool) {
        let (first, second) = message.split_at(if in_two { 20 } else { message.len() });
        self.bytes(side, plain(ContentType::HANDSHAKE, first));
        if in_two {
            self.bytes(side, plain(ContentType::HANDSHAKE, second));
        }
    }
}

fn sealer(suite: CipherSuite, secret: &Secret) -> Sealer {
    let keys = traffic_keys(suite, secret).expect("a secret of the suite's length");
    Sealer::new(suite, ProtocolVersion::TLS_1_3, &keys)
}

fn note(keys: &mut KeyLog, label: &str, secret: &[u8]) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = format!("{label} {} {}", hex(&CLIENT_RANDOM), hex(secret));
    assert_eq!(keys.read(line.as_bytes(), &Limits::default()).secrets, 1);
}

/// A Finished, which nobody verifies.
fn finished() -> [u8; 16] {
    let mut message = [0xf1; 16];
    message[..4].copy_from_slice(&[20, 0, 0, 12]);
    message
}

fn hello(side: Side, suite: CipherSuite, extensions: &[u8]) -> Vec<u8> {
    let length = u8::try_from(extensions.len()).unwrap_or(0);
    let suite = suite.0.to_be_bytes();
    let (kind, random, choice) = match side {
        Side::Client => (1, CLIENT_RANDOM, [&[0, 2][..], &suite, &[1, 0]].concat()),
        Side::Server => (2, SERVER_RANDOM, [&suite[..], &[0]].concat()),
    };
    let body = [&[3, 3][..], &random, &[0], &choice, &[0, length], extensions].concat();
    [&[kind, 0, 0, u8::try_from(body.len()).unwrap_or(0)][..], &body].concat()
}
