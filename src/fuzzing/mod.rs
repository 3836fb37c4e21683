//! The bodies of the fuzz targets in `fuzz/`: one a layer, each ending in assertions.
//!
//! Compiled for tests and by cargo-fuzz (`--cfg fuzzing`) only. A body panics where the library is wrong, and nowhere
//! else; the tests below run each on arbitrary bytes too, so that none rots between two fuzzings.

#![expect(clippy::panic, clippy::expect_used, reason = "a body reports what is wrong by a panic")]

mod decode;
mod defrag;
mod file;
mod frames;
mod http2;
mod http_head;
mod midstream;
mod reassembly;
mod script;
mod tls_keylog;
mod tls_records;
mod tls_session;
mod whole;

pub use decode::decode;
pub use defrag::defrag;
pub use file::file;
pub use frames::frames;
pub use http_head::http_head;
pub use http2::http2;
pub use midstream::midstream;
pub use reassembly::reassembly;
pub use tls_keylog::tls_keylog;
pub use tls_records::tls_records;
pub use tls_session::tls_session;
pub use whole::analyzer;

use crate::limits::Limits;
use std::time::Duration;

/// A target: takes any bytes, panics if the library is wrong.
pub type Body = fn(&[u8]);

/// All targets by name, in the order of the layers.
pub const TARGETS: [(&str, Body); 12] = [
    ("file", file),
    ("decode", decode),
    ("defrag", defrag),
    ("reassembly", reassembly),
    ("tls_records", tls_records),
    ("tls_keylog", tls_keylog),
    ("tls_session", tls_session),
    ("http_head", http_head),
    ("http2", http2),
    ("frames", frames),
    ("midstream", midstream),
    ("analyzer", analyzer),
];

/// Bytes read from a file at a time: zeroing large buffers would be most of the work.
const READ_BYTES: usize = 2_048;

/// Caps so small that an input of a few kilobytes reaches each of them.
fn small_limits() -> Limits {
    Limits {
        packet_bytes: 4_096,
        interfaces: 4,
        secrets_bytes: 256,
        zstd_window_bytes: 1 << 20,
        encapsulation_depth: 4,
        encapsulations: 4,
        fragment_datagrams: 3,
        fragment_bytes: 2_048,
        fragment_timeout: Duration::from_millis(50),
        connections: 4,
        connection_bytes: 6_000,
        stream_numbers: 6,
        out_of_order_bytes: 1_024,
        out_of_order_segments: 8,
        out_of_order_total_bytes: 1_536,
        gap_patience_packets: 8,
        http_head_bytes: 512,
        http_messages: 6,
        http2_table_bytes: 256,
        http2_header_block_bytes: 512,
        http2_websockets: 2,
        pings_pending: 2,
        ping_samples: 2,
        close_reason_bytes: 16,
        icmp_errors: 2,
        key_log_sessions: 2,
        tls_hello_bytes: 256,
        tls_held_bytes: 1_024,
        tls_resync_records: 4,
        tls_search_bytes: 2_048,
        tls_trial_bytes: 8_192,
        ..Limits::default()
    }
}

/// Takes an input apart. Past its end it gives zeros.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// The next `count` bytes, fewer at the end.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }

    fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// A pseudo-random sequence (an xorshift), so that one byte of input decides many cuts.
struct Cuts(u32);

impl Cuts {
    fn new(seed: u8) -> Self {
        Cuts(u32::from(seed).wrapping_mul(0x9e37_79b9) | 1)
    }

    /// A number of 1 to `most`.
    fn next(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        1 + (self.0 >> 8) as usize % most.max(1)
    }

    /// `bytes` in pieces of at most `most`.
    fn pieces(mut self, bytes: &[u8], most: usize) -> Vec<&[u8]> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.next(most).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn every_body_holds_for_arbitrary_bytes(input in proptest::collection::vec(any::<u8>(), 0..600)) {
            for (name, body) in TARGETS {
                let outcome = std::panic::catch_unwind(|| body(&input));
                prop_assert!(outcome.is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn pieces_put_together_are_the_whole() {
        let bytes: Vec<u8> = (0..200).collect();
        assert_eq!(Cuts::new(7).pieces(&bytes, 9).concat(), bytes);
    }

    /// Found by fuzzing: what had been read as one side's, before the masking showed the roles reversed, stayed with it, and hid the
    /// server's Close.
    #[test]
    fn what_was_read_before_the_roles_turned_out_reversed_is_read_anew() {
        const INPUT: &str = "\
            0012816f348c8d8b59e9fe07aa1417010e810c00000000000000000000000000000000100000000000000000000000000000\
            0000000000000012816f348c8d8b59e9fe07aa1417010e17010e810c00000000000000000000000000000000100000000000\
            0000000000000000000000000000000012816f348c8d06008b59e9fe07aa1417010e810c0000000000000000000000000000\
            0000100000000000000000000000000000000000000000000000000016000000000000000000000000000000000000000000\
            00000000000000000000000000ffffffffffffffff0000000000006d6573736167652030202e2e010e0782b18d816c000001\
            09c10782b18d816c0000000dc1871835ba1f9a84f79f7435ba0109c10782b14d806c0000000c88865e03f6a351a392cc3066\
            000c88865e03f6a351a392cc30660104880203e8e12e000104880203e8e0003050d0d30300000ec188810c615e2073677365\
            6d5420302efb535c5a010a8804010400000000000000000000000000000000008c3d9ac44a5073656d5420302efb535c3a01\
            0a880401040f063c179ce100e000";
        let (pairs, _) = INPUT.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        midstream::midstream(&pairs.iter().map(byte).collect::<Vec<_>>());
    }
}
