//! What decrypting costs beside the AEAD alone, on the same records.
//!
//! One side of a TLS 1.3 or 1.2 connection is sealed here and read twice, in turn: once by the cipher's own crate, record
//! by record in place; once as the analyzer does, from TCP segments of 1,448 bytes to the content of WebSocket frames.
//!
//! ```text
//! cargo bench --bench decryption
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a benchmark program: it prints, and a wrong generator must stop it at once"
)]

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wsclose::limits::Limits;
use wsclose::moment::Moment;
use wsclose::side::Side;
use wsclose::tcp::stream_event::{StreamEvent, StreamSink, Wire};
use wsclose::tls::key_schedule::{TrafficKeys, traffic_keys};
use wsclose::tls::keylog::{KeyLog, Secret};
use wsclose::tls::session::{Context, Session};
use wsclose::tls::suite::CipherSuite;

/// Decrypting may cost so many times the AEAD alone.
const MOST: f64 = 1.5;
/// Content of each measurement, in bytes.
const CONTENT: usize = 32 << 20;
const ROUNDS: usize = 9;
/// A segment's payload on Ethernet.
const SEGMENT: usize = 1_448;
const HEADER: usize = 5;
const TAG: usize = 16;
const SUITES: [(u16, &str); 3] =
    [(0x1301, "AES-128-GCM"), (0x1302, "AES-256-GCM"), (0x1303, "ChaCha20-Poly1305")];
/// Content of a record: the longest, a page of memory, one segment, a short message.
const LENGTHS: [usize; 4] = [16_384, 4_096, 1_400, 100];

/// The server's side of one connection.
struct Recorded {
    keys: TrafficKeys,
    hellos: [Vec<u8>; 2],
    log: KeyLog,
    /// Its records behind the hellos, end to end.
    records: Vec<u8>,
    length: usize,
}

/// Counts the content.
#[derive(Default)]
struct Count(usize);

impl StreamSink for Count {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Data { bytes, .. } => self.0 += bytes.len(),
            StreamEvent::Gap(gap) => panic!("{side:?}: {gap:?}"),
        }
    }
}

/// A hello of TLS 1.3 in its record.
fn hello(kind: u8, random: u8, rest: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[random; 32], &[0], rest].concat();
    let message = [&[kind, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 3, 0, message.len() as u8][..], &message].concat()
}

fn header(length: usize) -> [u8; HEADER] {
    let [high, low] = (length as u16).to_be_bytes();
    [23, 3, 3, high, low]
}

fn nonce(iv: &[u8], sequence: u64) -> [u8; 12] {
    let mut nonce: [u8; 12] = iv.try_into().unwrap();
    nonce[4..].iter_mut().zip(sequence.to_be_bytes()).for_each(|(byte, part)| *byte ^= part);
    nonce
}

impl Recorded {
    fn new<A: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit>(
        suite: CipherSuite,
        length: usize,
    ) -> Self {
        let secret = vec![7; if suite.0 == 0x1302 { 48 } else { 32 }];
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = |side: &str| format!("{side}_TRAFFIC_SECRET_0 {} {}\n", hex(&[1; 32]), hex(&secret));
        let mut log = KeyLog::default();
        log.read([line("CLIENT"), line("SERVER")].concat().as_bytes(), &Limits::default());
        let [high, low] = suite.0.to_be_bytes();
        let hellos = [
            hello(1, 1, &[0, 2, high, low, 1, 0]),
            // With the extension supported_versions.
            hello(2, 2, &[high, low, 0, 0, 6, 0, 43, 0, 2, 3, 4]),
        ];
        let keys = traffic_keys(suite, &Secret::new(secret)).unwrap();
        let cipher = A::new_from_slice(keys.key.bytes()).unwrap();
        let mut records = Vec::new();
        for sequence in 0..(CONTENT / length) as u64 {
            let header = header(length + 1 + TAG);
            let mut text = vec![sequence as u8; length];
            text.push(23);
            let nonce = nonce(keys.iv.bytes(), sequence);
            let tag =
                cipher.encrypt_inout_detached((&nonce).into(), &header, text.as_mut_slice().into()).unwrap();
            records.extend_from_slice(&header);
            records.extend_from_slice(&text);
            records.extend_from_slice(&tag);
        }
        Recorded { keys, hellos, log, records, length }
    }

    fn count(&self) -> usize {
        CONTENT / self.length
    }

    /// The cipher alone.
    fn aead<A: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit>(&self) -> Duration {
        let mut copy = self.records.clone();
        let cipher = A::new_from_slice(self.keys.key.bytes()).unwrap();
        let start = Instant::now();
        for (sequence, record) in (0..).zip(copy.chunks_exact_mut(HEADER + self.length + 1 + TAG)) {
            let (header, rest) = record.split_at_mut(HEADER);
            let (text, tag) = rest.split_at_mut(self.length + 1);
            let nonce = nonce(self.keys.iv.bytes(), sequence);
            let tag = (&*tag).try_into().unwrap();
            cipher.decrypt_inout_detached((&nonce).into(), header, text.into(), tag).unwrap();
        }
        start.elapsed()
    }

    /// As the analyzer does it.
    fn session(&self) -> Duration {
        let limits = Limits::default();
        let context = Context { limits: &limits, keys: &self.log, more_keys: false };
        let (mut session, mut count) = (Session::new(false, &limits), Count::default());
        let mut offset = 0;
        let mut say = |side, bytes| {
            let end = offset + 1_u64;
            let wire = Wire { end, peer_acked: Some(0) };
            let event = StreamEvent::Data { at: Moment::default(), offset, bytes, wire };
            session.stream(side, event, context, &mut count);
            offset = end;
        };
        say(Side::Client, &self.hellos[0]);
        say(Side::Server, &self.hellos[1]);
        let start = Instant::now();
        self.records.chunks(SEGMENT).for_each(|segment| say(Side::Server, segment));
        let took = start.elapsed();
        assert_eq!(count.0, self.count() * self.length, "all of it was decrypted");
        took
    }
}

/// Prints a line; false: too slow.
fn measure<A: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit>(
    suite: u16,
    name: &str,
    length: usize,
) -> bool {
    let recorded = Recorded::new::<A>(CipherSuite(suite), length);
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (recorded.aead::<A>(), recorded.session())).collect();
    let (alone, whole): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    // The fastest: what else the machine does only ever adds.
    let (alone, whole) = (alone.into_iter().min().unwrap(), whole.into_iter().min().unwrap());
    let ratio = whole.as_secs_f64() / alone.as_secs_f64();
    let speed = |time: Duration| CONTENT as f64 / 1e9 / time.as_secs_f64();
    let each = |time: Duration| time.as_nanos() as f64 / recorded.count() as f64;
    println!(
        "{name:<18}  {length:>6}  {:>9.2} {:>11.0}  {:>9.2} {:>11.0}  {ratio:>6.2}",
        speed(alone),
        each(alone),
        speed(whole),
        each(whole)
    );
    ratio <= MOST
}

fn main() -> ExitCode {
    // The arguments of the other benchmark: it is not this one that is wanted.
    if std::env::args().skip(1).any(|argument| argument != "--bench") {
        return ExitCode::SUCCESS;
    }
    println!(
        "Decrypting beside the AEAD alone, TLS 1.3, {} MiB each, the fastest of {ROUNDS}:\n",
        CONTENT >> 20
    );
    println!("{:<18}  {:>6}  {:>21}  {:>21}  {:>6}", "", "record", "AEAD alone", "whole session", "ratio");
    println!(
        "{:<18}  {:>6}  {:>9} {:>11}  {:>9} {:>11}",
        "suite", "bytes", "GB/s", "ns/record", "GB/s", "ns/record"
    );
    let mut holds = true;
    for (suite, name) in SUITES {
        for length in LENGTHS {
            holds &= match suite {
                0x1301 => measure::<Aes128Gcm>(suite, name, length),
                0x1302 => measure::<Aes256Gcm>(suite, name, length),
                _ => measure::<ChaCha20Poly1305>(suite, name, length),
            };
        }
    }
    println!("\nat most {MOST} times the AEAD alone: {}", if holds { "yes" } else { "no" });
    ExitCode::SUCCESS
}
