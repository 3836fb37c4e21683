//! TLS key logs: the secrets of sessions, by client random (RFC 9850, the format of NSS).
//!
//! ```text
//! CLIENT_RANDOM <64 hex digits of the client random> <hex digits of the secret>
//! ```

use crate::limits::Limits;
use crate::side::{PerSide, Side};
use std::collections::HashMap;
use std::fmt;
use zeroize::Zeroizing;

/// Bad lines named by number in a [`Reading`]; the others are only counted.
pub const BAD_LINES_NAMED: usize = 8;

/// A secret. It is wiped when it is dropped and never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes `bytes` over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(Zeroizing::new(bytes))
    }

    /// Its bytes, for key derivation only.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Secret({} bytes)", self.0.len())
    }
}

/// The random of a `ClientHello`, by which key logs name a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientRandom(pub [u8; 32]);

/// What a key log says of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The master secret, up to TLS 1.2 (`CLIENT_RANDOM`).
    pub master: Option<Secret>,
    /// Protects early data (`CLIENT_EARLY_TRAFFIC_SECRET`).
    pub early: Option<Secret>,
    /// Protects the rest of the handshake (`..._HANDSHAKE_TRAFFIC_SECRET`).
    pub handshake: PerSide<Option<Secret>>,
    /// Protects application data up to the first key update (`..._TRAFFIC_SECRET_0`).
    pub traffic: PerSide<Option<Secret>>,
}

/// What reading some lines gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Lines with a secret that decrypts records.
    pub secrets: u64,
    /// Lines that don't follow the format.
    pub bad: u64,
    /// Numbers of the first of them, from 1.
    pub bad_lines: Vec<u64>,
    /// Lines passed over because the log was full.
    pub beyond_limit: u64,
}

/// All key logs of an analysis.
#[derive(Clone, Default)]
pub struct KeyLog {
    sessions: HashMap<ClientRandom, Secrets>,
    /// In the order in which they came: a replay tries them in the same one.
    order: Vec<ClientRandom>,
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyLog({} sessions)", self.sessions.len())
    }
}

/// What a line's label says.
#[derive(Clone, Copy)]
enum Label {
    Master,
    Early,
    Handshake(Side),
    Traffic(Side),
    /// One that decrypts no records: exporters, Encrypted Client Hello, labels of the future (RFC 9850 §2).
    Other,
}

impl Label {
    fn parse(name: &[u8]) -> Label {
        match name {
            b"CLIENT_RANDOM" => Label::Master,
            b"CLIENT_EARLY_TRAFFIC_SECRET" => Label::Early,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::Handshake(Side::Client),
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::Handshake(Side::Server),
            b"CLIENT_TRAFFIC_SECRET_0" => Label::Traffic(Side::Client),
            b"SERVER_TRAFFIC_SECRET_0" => Label::Traffic(Side::Server),
            _ => Label::Other,
        }
    }

    /// Is a secret of this many bytes possible? 48 for a master secret, else a SHA-256 or a SHA-384 value.
    fn allows(self, len: usize) -> bool {
        match self {
            Label::Master => len == 48,
            Label::Early | Label::Handshake(_) | Label::Traffic(_) => matches!(len, 32 | 48),
            Label::Other => true,
        }
    }
}

impl KeyLog {
    /// Are there no secrets?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Sessions that it has secrets of.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The secrets of the session that began with `random`.
    #[must_use]
    pub fn secrets(&self, random: &ClientRandom) -> Option<&Secrets> {
        self.sessions.get(random)
    }

    /// All sessions, in the order in which they came.
    pub fn in_order(&self) -> impl Iterator<Item = (ClientRandom, &Secrets)> {
        self.order.iter().filter_map(|random| Some((*random, self.sessions.get(random)?)))
    }

    /// Adds the lines of `text`. A bad line costs only itself.
    pub fn read(&mut self, text: &[u8], limits: &Limits) -> Reading {
        let mut reading = Reading::default();
        for (number, line) in (1_u64..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match parse_line(line) {
                Some((Label::Other, ..)) => {}
                Some((label, random, secret)) => self.insert(label, random, secret, limits, &mut reading),
                None => {
                    reading.bad += 1;
                    if reading.bad_lines.len() < BAD_LINES_NAMED {
                        reading.bad_lines.push(number);
                    }
                }
            }
        }
        reading
    }

    fn insert(
        &mut self,
        label: Label,
        random: ClientRandom,
        secret: Secret,
        limits: &Limits,
        reading: &mut Reading,
    ) {
        if self.sessions.len() >= limits.key_log_sessions && !self.sessions.contains_key(&random) {
            reading.beyond_limit += 1;
            return;
        }
        reading.secrets += 1;
        let order = &mut self.order;
        let secrets = self.sessions.entry(random).or_insert_with(|| {
            order.push(random);
            Secrets::default()
        });
        let place = match label {
            Label::Master => &mut secrets.master,
            Label::Early => &mut secrets.early,
            Label::Handshake(side) => secrets.handshake.get_mut(side),
            Label::Traffic(side) => secrets.traffic.get_mut(side),
            Label::Other => return,
        };
        *place = Some(secret);
    }
}

/// `label random secret`.
fn parse_line(line: &[u8]) -> Option<(Label, ClientRandom, Secret)> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (label, random, secret) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !label.iter().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let label = Label::parse(label);
    if matches!(label, Label::Other) {
        // What stands behind it is not ours to know.
        return Some((label, ClientRandom([0; 32]), Secret::new(Vec::new())));
    }
    let random = ClientRandom(hex(random)?.as_slice().try_into().ok()?);
    let secret = Secret(hex(secret)?);
    label.allows(secret.bytes().len()).then_some((label, random, secret))
}

/// Bytes from hexadecimal digits of either case.
fn hex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    // Of the right size from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, random: u8, secret: u8, len: usize) -> String {
        let hex = |byte: u8, len| format!("{byte:02x}").repeat(len);
        format!("{label} {} {}\n", hex(random, 32), hex(secret, len))
    }

    fn read(text: &str) -> (KeyLog, Reading) {
        let mut log = KeyLog::default();
        let reading = log.read(text.as_bytes(), &Limits::default());
        (log, reading)
    }

    #[test]
    fn each_label_fills_its_place() {
        let text = [
            line("CLIENT_RANDOM", 1, 0x10, 48),
            line("CLIENT_EARLY_TRAFFIC_SECRET", 2, 0x20, 32),
            line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 2, 0x21, 32),
            line("SERVER_HANDSHAKE_TRAFFIC_SECRET", 2, 0x22, 32),
            line("CLIENT_TRAFFIC_SECRET_0", 2, 0x23, 48),
            line("SERVER_TRAFFIC_SECRET_0", 2, 0x24, 48),
        ]
        .concat();
        let (log, reading) = read(&text);
        assert_eq!((reading.secrets, reading.bad, log.sessions()), (6, 0, 2));
        let first = |secret: &Option<Secret>| secret.as_ref().unwrap().bytes()[0];
        assert_eq!(first(&log.secrets(&ClientRandom([1; 32])).unwrap().master), 0x10);
        let tls13 = log.secrets(&ClientRandom([2; 32])).unwrap();
        assert_eq!(first(&tls13.early), 0x20);
        assert_eq!((first(&tls13.handshake.client), first(&tls13.handshake.server)), (0x21, 0x22));
        assert_eq!((first(&tls13.traffic.client), first(&tls13.traffic.server)), (0x23, 0x24));
    }

    #[test]
    fn bad_lines_are_counted_by_number_and_cost_only_themselves() {
        let good = line("CLIENT_RANDOM", 1, 1, 48);
        let short = line("CLIENT_RANDOM", 2, 1, 47);
        let text = format!("# comment\r\n\n{short}nonsense\n{good}CLIENT_RANDOM zz 00\n");
        let (log, reading) = read(&text);
        assert_eq!((reading.secrets, reading.bad), (1, 3));
        assert_eq!(reading.bad_lines, [3, 4, 6]);
        assert_eq!(log.sessions(), 1);
    }

    #[test]
    fn labels_that_decrypt_nothing_are_no_fault() {
        let (log, reading) = read("EXPORTER_SECRET 00 11\nECH_CONFIG 00 0000\nLABEL_OF_2040 x y\n");
        assert_eq!((reading.secrets, reading.bad, log.is_empty()), (0, 0, true));
    }

    #[test]
    fn sessions_beyond_the_limit_are_passed_over_and_counted() {
        let limits = Limits { key_log_sessions: 1, ..Limits::default() };
        let mut log = KeyLog::default();
        let two = [line("CLIENT_RANDOM", 1, 1, 48), line("CLIENT_RANDOM", 2, 1, 48)].concat();
        assert_eq!(log.read(two.as_bytes(), &limits).beyond_limit, 1);
        assert_eq!(log.read(line("CLIENT_RANDOM", 1, 2, 48).as_bytes(), &limits).beyond_limit, 0);
        assert_eq!(log.sessions(), 1);
    }

    #[test]
    fn nothing_prints_a_secret() {
        let (log, _) = read(&line("CLIENT_RANDOM", 0xab, 0xcd, 48));
        let shown = format!("{log:?} {:?}", log.secrets(&ClientRandom([0xab; 32])));
        assert!(!shown.contains("cdcd") && !shown.contains("205"), "{shown}");
    }
}
