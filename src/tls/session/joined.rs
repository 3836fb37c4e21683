//! A TLS connection of which the capture lacks the start: which session of the key log is it?
//!
//! Without the `ClientHello` nothing names the session. An AEAD opens under the right key and sequence number alone, so
//! the secrets of the log are tried in turn, within a budget of bytes. Up to TLS 1.2 the keys depend on the server's random,
//! too: there the capture must hold the `ServerHello`.

use super::{Call, Context, Session, UNKNOWN_LEN, hole};
use crate::limits::Limits;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{GapCause, StreamSink};
use crate::tls::decrypt::{Opened, Opener};
use crate::tls::direction::{Current, Epoch, Reading};
use crate::tls::facts::Decryption;
use crate::tls::key_schedule::{Handshake, key_block, traffic_keys};
use crate::tls::keylog::{ClientRandom, Secret, Secrets};
use crate::tls::record::{ContentType, HEADER_LEN, ProtocolVersion, Record, record_header};
use crate::tls::suite::CipherSuite;

/// Records of a side that are tried: the first ones may be part of a handshake whose secrets the log lacks.
const TRIES: u8 = 6;
/// Records under handshake keys: a flight has few.
const FLIGHT: u64 = 8;
/// What deriving the keys of one trial costs, in bytes deciphered.
const KEYS_COST: usize = 4 << 10;
/// Message type of a `ServerHello`.
const SERVER_HELLO: u8 = 2;
/// Suites of TLS 1.3 (RFC 8446 §B.4), those of SHA-384 first.
const SUITES: [CipherSuite; 5] =
    [CipherSuite(0x1302), CipherSuite(0x1301), CipherSuite(0x1303), CipherSuite(0x1304), CipherSuite(0x1305)];

/// Keys that a record may be under.
struct Candidate {
    random: ClientRandom,
    /// Who would have sent it.
    by: Side,
    current: Current,
    version: ProtocolVersion,
    suite: CipherSuite,
    /// Sequence numbers worth a trial.
    most: u64,
}

/// Could a segment in mid-stream, the first that is seen, begin with a TLS record: one of application data, or a
/// `ServerHello`?
#[must_use]
pub fn may_be_under_way(bytes: &[u8]) -> bool {
    let Ok((rest, header)) = record_header(bytes) else { return false };
    let is_version = (ProtocolVersion::TLS_1_0..=ProtocolVersion::TLS_1_2).contains(&header.version);
    let is_data = header.content_type == ContentType::APPLICATION_DATA && is_version && header.length > 0;
    let is_hello = header.content_type == ContentType::HANDSHAKE && rest.first() == Some(&SERVER_HELLO);
    // What follows in the same segment must be a record, too.
    let next = rest.get(usize::from(header.length)..).unwrap_or_default();
    let goes_on = match record_header(next) {
        Ok(_) | Err(nom::Err::Incomplete(_)) => true,
        Err(_) => false,
    };
    (is_data || is_hello) && goes_on
}

impl Session {
    /// A connection that is under way.
    #[must_use]
    pub fn joined(limits: &Limits) -> Session {
        let mut session = Session::new(true, limits);
        session.is_joined = true;
        session.facts.decryption = Decryption::NoHello;
        for side in Side::BOTH {
            session.directions.get_mut(side).reading = Reading::Sought(0);
        }
        session
    }

    /// Did the records tell that the roles were taken for each other? True once.
    pub fn take_reversed(&mut self) -> bool {
        std::mem::take(&mut self.reversed)
    }

    /// Is this segment of a side that is still sought the inside of a record whose start was not seen?
    pub(super) fn is_amid_record(&self, side: Side, bytes: &[u8]) -> bool {
        let direction = &self.directions[side];
        matches!(direction.reading, Reading::Sought(_))
            && !direction.deframer.is_inside()
            && (bytes.len() < HEADER_LEN || record_header(bytes).is_err())
    }

    /// Takes a record of a session that is not known.
    pub(super) fn seek<S: StreamSink>(&mut self, side: Side, mut record: Record, call: &mut Call<'_, S>) {
        let kind = record.header.content_type;
        // Up to TLS 1.2 the handshake is in the clear until the ChangeCipherSpec, in TLS 1.3 until the ServerHello.
        let is_clear = !self.facts.finished[side] && (self.server_hello.is_none() || !self.is_tls13());
        match kind {
            ContentType::CHANGE_CIPHER_SPEC => {
                *self.facts.finished.get_mut(side) |= !self.is_tls13();
                return;
            }
            ContentType::HANDSHAKE if is_clear => {
                let content = std::mem::take(&mut record.fragment);
                self.handshake(side, record.at, &content, call);
                return;
            }
            _ => {}
        }
        // Without its ServerHello nothing older than TLS 1.3 is to be had, and that says 1.2 here.
        let is_hopeless = self.server_hello.is_none() && record.header.version != ProtocolVersion::TLS_1_2;
        let found = if is_hopeless { None } else { self.identify(side, &mut record, call.context) };
        match found {
            Some((candidate, opened)) => self.adopt(side, record, candidate, &opened, call),
            None => {
                let direction = self.directions.get_mut(side);
                let tried = match direction.reading {
                    Reading::Sought(tried) => tried.saturating_add(1),
                    _ => TRIES,
                };
                direction.reading = Reading::Sought(tried);
                direction.miss(hole(record.at, record.offset, UNKNOWN_LEN, GapCause::Encrypted));
                if is_hopeless || tried >= TRIES || self.trial_bytes == 0 {
                    self.blind(side, record.at, record.offset, call);
                }
            }
        }
    }

    /// Looks for the keys that open a record.
    fn identify(
        &mut self,
        side: Side,
        record: &mut Record,
        context: Context<'_>,
    ) -> Option<(Candidate, Opened)> {
        let keys = context.keys;
        // Once anything is known, so are the roles.
        let known = self.client_random;
        let sides: &[Side] = match side {
            _ if self.server_hello.is_some() || known.is_some() => &[side],
            Side::Client => &[Side::Client, Side::Server],
            Side::Server => &[Side::Server, Side::Client],
        };
        let is_it = |random: &ClientRandom| known.is_none_or(|known| known == *random);
        let count = if known.is_some() { 1 } else { keys.sessions() };
        let fair = self.fair_share(side, record.fragment.len(), count.saturating_mul(sides.len()));
        for by in sides {
            for (random, secrets) in keys.in_order().filter(|(random, _)| is_it(random)) {
                for mut candidate in self.keys_of(random, secrets, *by) {
                    if !self.trial(KEYS_COST) {
                        return None;
                    }
                    let most = candidate.most.min(fair).min(context.limits.tls_resync_records.max(1));
                    for sequence in 0..most {
                        if !self.trial(record.fragment.len()) {
                            return None;
                        }
                        let opener = &mut candidate.current.opener;
                        if let Ok(opened) = opener.open_at(sequence, record.header, &mut record.fragment) {
                            return Some((candidate, opened));
                        }
                    }
                }
            }
        }
        None
    }

    /// Sequence numbers to try with each key, if `sessions` share what may be tried for one of the records that are left.
    fn fair_share(&self, side: Side, length: usize, sessions: usize) -> u64 {
        let Reading::Sought(tried) = self.directions[side].reading else { return 0 };
        let share = self.trial_bytes / usize::from(TRIES - tried.min(TRIES - 1));
        let suites = if self.facts.suite.is_some() { 1 } else { SUITES.len() };
        let each = length.saturating_add(super::TRIAL_OVERHEAD);
        let left = share.saturating_sub(sessions.saturating_mul(suites).saturating_mul(KEYS_COST));
        let trials = left / each.max(1) / sessions.saturating_mul(suites).max(1);
        (trials as u64).max(1)
    }

    fn keys_of(&self, random: ClientRandom, secrets: &Secrets, by: Side) -> Vec<Candidate> {
        if let Some(hello) = self.server_hello.as_ref().filter(|_| !self.is_tls13()) {
            let (version, suite) = (hello.version, hello.suite);
            let handshake =
                Handshake { version, suite, client_random: &random.0, server_random: &hello.random };
            let keys = secrets.master.as_ref().and_then(|master| key_block(handshake, master));
            let opener = keys.and_then(|keys| Opener::new(suite, version, &keys[by], hello.encrypt_then_mac));
            let current = opener.map(|opener| Current { opener, epoch: Epoch::Legacy });
            // The Finished is the first.
            let candidate = current.map(|current| Candidate { random, by, current, version, suite, most: 1 });
            return candidate.into_iter().collect();
        }
        let version = ProtocolVersion::TLS_1_3;
        let epochs = [
            secrets.traffic[by].as_ref().map(|it| (it, Epoch::Application(it.clone()), u64::MAX)),
            secrets.handshake[by].as_ref().map(|it| (it, Epoch::Handshake, FLIGHT)),
        ];
        let suites = SUITES.into_iter().filter(|suite| self.facts.suite.is_none_or(|known| known == *suite));
        let pairs = suites.flat_map(|suite| epochs.iter().flatten().map(move |epoch| (suite, epoch)));
        let candidate = |(suite, (secret, epoch, most)): (CipherSuite, &(&Secret, Epoch, u64))| {
            let opener = Opener::new(suite, version, &traffic_keys(suite, secret)?, false)?;
            let current = Current { opener, epoch: epoch.clone() };
            Some(Candidate { random, by, current, version, suite, most: *most })
        };
        pairs.filter_map(candidate).collect()
    }

    /// The session is known from here on.
    fn adopt<S: StreamSink>(
        &mut self,
        side: Side,
        record: Record,
        candidate: Candidate,
        opened: &Opened,
        call: &mut Call<'_, S>,
    ) {
        self.facts.version = Some(candidate.version);
        self.facts.suite = Some(candidate.suite);
        self.client_random = Some(candidate.random);
        if matches!(candidate.current.epoch, Epoch::Application(_)) {
            self.facts.finished = PerSide { client: true, server: true };
        }
        if candidate.by != side {
            self.directions.swap();
            self.reversed = !self.reversed;
        }
        // What was passed over before the first record of content was the handshake. Before a later one stood content.
        let is_first = candidate.current.opener.sequence() <= 1;
        if is_first || !matches!(candidate.current.epoch, Epoch::Application(_)) {
            self.directions.get_mut(candidate.by).untold = None;
        } else if self.directions[candidate.by].untold.is_some() {
            self.tell_untold(candidate.by, call);
        }
        self.directions.get_mut(candidate.by).reading = Reading::Open(Box::new(candidate.current));
        self.content(candidate.by, record, opened, call);
    }
}
