//! Every cap and timeout in one place, so that nothing an input does can grow without bound.

use std::fmt;
use std::time::Duration;

/// What a limit's number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Count,
    /// Time.
    Time,
}

/// The memory that a limit bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// None that matters.
    Nothing,
    /// As many bytes as it says.
    Once,
    /// Twice as many: a buffer that grows is copied.
    Twice,
    /// So many bytes for each.
    Each(usize),
    /// So many bytes for each, in each connection.
    EachOfConnection(usize),
    /// What it bounds counts against `connection_bytes`.
    InConnectionBytes,
    /// What it bounds counts against `out_of_order_total_bytes`.
    InTotal,
}

/// One of the limits, described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name, a field of [`Limits`].
    pub name: &'static str,
    /// What it bounds and why so.
    pub about: &'static str,
    /// What its number counts.
    pub unit: Unit,
    /// What it may cost.
    pub memory: Memory,
    /// The smallest value it takes: 1 where 0 would switch off what everything else needs.
    pub least: u64,
}

/// Why a limit can't be set so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is none of this name.
    #[error("there is no limit {0:?}")]
    Unknown(String),
    /// The value is none of its kind.
    #[error("{name} takes {expected}, not {value:?}")]
    Value {
        /// The limit.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        value: String,
    },
    /// The value is too small to make sense.
    #[error("{name} takes no {value}: {least} is the least")]
    TooSmall {
        /// The limit.
        name: &'static str,
        /// The smallest value it takes.
        least: u64,
        /// What was given.
        value: String,
    },
}

macro_rules! limits {
    ($( $(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:expr, $unit:ident, $memory:expr $(, least $least:literal)?; )+) => {
        /// The caps and timeouts of an analysis. Reaching a cap is a counted anomaly that the report shows.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $( $(#[doc = $doc])+ pub $name: $kind, )+
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $( $name: $default, )+ }
            }
        }

        impl Limits {
            /// All limits, in the order of the layers.
            pub const ALL: &[Limit] = &{
                use Memory::*;
                [$( Limit {
                    name: stringify!($name),
                    about: concat!($($doc),+),
                    unit: Unit::$unit,
                    memory: $memory,
                    least: 0 $(+ $least)?,
                } ),+]
            };

            /// Sets the limit `name`. Bytes may end in K, M or G (of 1024), times in ms, s, m or h.
            ///
            /// # Errors
            /// There is no such limit, or it takes no such value.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), LimitError> {
                match name {
                    $( stringify!($name) => {
                        let (name, expected, least) = (stringify!($name), Unit::$unit.expected(), 0 $(+ $least)?);
                        let read: $kind = Value::read(value, Unit::$unit)
                            .ok_or_else(|| LimitError::Value { name, expected, value: value.to_owned() })?;
                        if read.is_below(least) {
                            return Err(LimitError::TooSmall { name, least, value: value.to_owned() });
                        }
                        self.$name = read;
                    } )+
                    _ => return Err(LimitError::Unknown(name.to_owned())),
                }
                Ok(())
            }

            /// The value of the limit `name`, as [`Limits::set`] takes it.
            #[must_use]
            pub fn show(&self, name: &str) -> Option<String> {
                match name {
                    $( stringify!($name) => Some(self.$name.show(Unit::$unit)), )+
                    _ => None,
                }
            }
        }
    };
}

limits! {
    // -- capture
    /// Largest packet record accepted, in bytes. A larger claim is a corrupt file. libpcap's own bound is 256 KiB;
    /// BIG TCP and USB captures reach further.
    packet_bytes: u32 = 16 << 20, Bytes, Twice, least 1;
    /// Interfaces kept for one pcapng section.
    interfaces: usize = 65_536, Count, Each(128), least 1;
    /// Decryption secrets taken from one file, in bytes. A key log line has some 200 bytes.
    secrets_bytes: usize = 16 << 20, Bytes, Once;
    /// Memory a zstd frame may ask for as its window, in bytes: what the zstd tool itself accepts.
    zstd_window_bytes: u64 = 128 << 20, Bytes, Once, least 1;
    // -- decode
    /// Nested encapsulations (tunnels, VLAN stacks, MPLS stacks count one each) inside one packet.
    encapsulation_depth: usize = 8, Count, Nothing;
    /// Distinct encapsulations told apart in one capture.
    encapsulations: usize = 65_536, Count, Each(320), least 1;
    /// IP datagrams under reassembly at a time.
    fragment_datagrams: usize = 4_096, Count, Each(512);
    /// Bytes held for IP datagrams under reassembly.
    fragment_bytes: usize = 16 << 20, Bytes, Twice;
    /// Age at which an incomplete IP datagram is given up (RFC 791 and RFC 8200 say 60 s).
    fragment_timeout: Duration = Duration::from_secs(60), Time, Nothing;
    // -- flow and tcp
    /// TCP connections held at a time.
    connections: usize = 2 << 20, Count, InConnectionBytes, least 1;
    /// Memory for the TCP connections held, in bytes: some 1,500 for an open WebSocket, 150
    /// for one at rest, and heads that are not whole yet or its own.
    connection_bytes: usize = 4 << 30, Bytes, Once, least 1;
    /// TCP connections without HTTP, and encrypted ones, kept until it is known whether their server carries WebSockets.
    candidates: usize = 65_536, Count, Each(RECORD_BYTES), least 1;
    /// Addresses and ports remembered as carrying WebSockets.
    servers: usize = 65_536, Count, Each(64);
    /// Judged connections held back because another that may be their other leg (its handshake has the same key, and lies
    /// within theirs or around it) is still followed.
    held_legs: usize = 65_536, Count, Each(RECORD_BYTES);
    /// In live capture, how long such a connection waits; then it is reported by itself.
    leg_patience: Duration = Duration::from_secs(5), Time, Nothing;
    /// Handshakes begun last, in which another one with the same key may lie: that of the leg behind a proxy.
    recent_handshakes: usize = 16_384, Count, Each(HANDSHAKE_BYTES);
    /// TCP conversations whose Wireshark stream number is remembered.
    stream_numbers: usize = 4 << 20, Count, Each(64);
    /// Memory for out-of-order segments of one direction, in bytes: their payload, and 128 for each.
    out_of_order_bytes: usize = 4 << 20, Bytes, InTotal;
    /// Out-of-order segments held for one direction.
    out_of_order_segments: usize = 4_096, Count, InTotal;
    /// Memory for out-of-order segments over all connections, in bytes.
    out_of_order_total_bytes: usize = 256 << 20, Bytes, Once;
    /// Packets of a connection after which bytes that were acknowledged but not seen count as lost by the capture
    /// rather than out of order.
    gap_patience_packets: u32 = 64, Count, Nothing;
    /// Time after which they do.
    gap_patience: Duration = Duration::from_secs(5), Time, Nothing;
    /// Where connections take more memory, in bytes, those that are quiet are packed to a tenth of theirs; each takes a
    /// microsecond more when its next packet comes.
    awake_bytes: usize = 16 << 20, Bytes, InConnectionBytes;
    /// How long a connection is quiet before it may be packed.
    rest_after: Duration = Duration::from_millis(100), Time, Nothing;
    /// How long after a reset packets may come that were on their way then: the round trip of a bad path.
    reset_patience: Duration = Duration::from_secs(1), Time, Nothing;
    /// How long a connection whose TCP has ended is kept for its stragglers.
    linger: Duration = Duration::from_secs(10), Time, Nothing;
    /// Sendings of the same bytes, or keepalive probes, without any answer, that prove a dead peer; one more where all
    /// came within a second.
    unanswered_sendings: u32 = 3, Count, Nothing, least 1;
    /// Longest wait for the first repetition of a SYN that was not answered (RFC 6298 §2.1 says 1 s, it was 3 s before).
    syn_timeout: Duration = Duration::from_secs(3), Time, Nothing;
    /// Longest delay between two copies of one packet in a capture, where the IP identification shows it.
    copy_window: Duration = Duration::from_millis(500), Time, Nothing;
    /// Longest delay between two copies of one packet where IP has no identification (zero, or IPv6).
    copy_window_anonymous: Duration = Duration::from_millis(5), Time, Nothing;
    // -- tls
    /// Largest key log that `inject-keys` takes keys from, in bytes.
    key_log_bytes: usize = 256 << 20, Bytes, Once;
    /// TLS sessions whose secrets are kept.
    key_log_sessions: usize = 1 << 20, Count, Each(500);
    /// Longest hello message read, in bytes; certificates and the like are passed over by their length.
    tls_hello_bytes: usize = 64 << 10, Bytes, InConnectionBytes, least 1;
    /// Records of one direction held for keys, or for the server's word on early data: both come in a round trip or so.
    tls_held_bytes: usize = 64 << 10, Bytes, InConnectionBytes;
    /// Sequence numbers tried for a record behind a hole: as many records may have been lost at a time.
    tls_resync_records: u64 = 1_024, Count, Nothing, least 1;
    /// Bytes searched for a record behind one hole: the next one begins within 18 KiB, unless more is lost.
    tls_search_bytes: usize = 256 << 10, Bytes, InConnectionBytes;
    /// Bytes deciphered on trial for one connection, to find its records again behind holes.
    tls_trial_bytes: usize = 32 << 20, Bytes, Nothing;
    /// Content decrypted of one connection that is ordinary HTTP so far, in bytes: an Upgrade may still follow on it.
    tls_http_bytes: u64 = 1 << 20, Count, Nothing;
    // -- http
    /// Longest HTTP head read, in bytes.
    http_head_bytes: usize = 64 << 10, Bytes, InConnectionBytes, least 1;
    /// Heads of requests, and as many of answers, held once for all connections that sent the same; where there are
    /// more, connections keep their own.
    shared_heads: usize = 1_024, Count, Each(8_192);
    /// Messages of a connection that is not (yet) a WebSocket after which HTTP is no longer followed.
    http_messages: u32 = 100_000, Count, Nothing, least 1;
    /// Dynamic table of one direction of HTTP/2 that is kept, in bytes; browsers allow as much.
    http2_table_bytes: usize = 64 << 10, Bytes, InConnectionBytes;
    /// Longest header block read of HTTP/2, in bytes, with its continuations.
    http2_header_block_bytes: usize = 64 << 10, Bytes, InConnectionBytes, least 1;
    /// WebSockets followed at a time in one HTTP/2 connection; a server allows some hundred streams.
    http2_websockets: usize = 4_096, Count, InConnectionBytes, least 1;
    // -- websocket
    /// Consecutive valid frames that show a WebSocket, or HTTP/2, joined in mid-stream.
    midstream_frames: u32 = 3, Count, Nothing, least 1;
    /// Segments of one direction looked at for them.
    midstream_segments: u32 = 16, Count, Nothing, least 1;
    /// Pings of one side that wait for their pong.
    pings_pending: usize = 16, Count, EachOfConnection(24);
    /// Durations kept for a median (round trips, ping intervals): the latest ones.
    ping_samples: usize = 16, Count, EachOfConnection(8);
    /// Longest Close reason kept, in bytes (RFC 6455 allows 123).
    close_reason_bytes: usize = 1_024, Bytes, EachOfConnection(1);
    // -- verdict and diagnosis
    /// ICMP errors kept for one connection.
    icmp_errors: usize = 8, Count, EachOfConnection(96);
    /// Connections remembered for what only many together show (idle limits, restarts, reconnects): packed to some 45
    /// bytes each; when they are compared 64 of one that is still open, 112 of one that has ended, 256 at the most.
    surveyed_connections: usize = 1 << 20, Count, Each(TRACE_BYTES);
    /// Connections that one finding lists by number.
    finding_connections: usize = 1_000, Count, Nothing;
    /// Packets that one diagnosis or finding names.
    finding_packets: usize = 8, Count, Nothing;
    // -- report
    /// Text of the comments that `wsclose annotate` adds to a capture, in bytes: some 600 for a connection.
    comment_bytes: usize = 256 << 20, Bytes, Twice;
}

/// A judged connection that is kept, in bytes: some.
pub(crate) const RECORD_BYTES: usize = 2_500;
/// A handshake that is remembered, in bytes, with its place in a table.
pub(crate) const HANDSHAKE_BYTES: usize = 200;
/// What is remembered of a connection for what only many show, in bytes.
pub(crate) const TRACE_BYTES: usize = 256;

/// What the program takes before it has read anything, and for what it reads ahead, in bytes.
const PROGRAM_BYTES: u64 = 16 << 20;

impl Limits {
    /// The largest limits that together keep to `memory` bytes, up to the default ones.
    ///
    /// What may grow with the input shares the memory, of which connections get most; a little is left to what does not.
    /// Beyond its share the connections' table drops the one that was idle the longest, whose verdict is then `unknown`
    /// (`evicted`).
    #[must_use]
    pub fn within(memory: u64) -> Limits {
        let most = Limits::default();
        // Compressors take as large a window as they like: 8 MB at the highest levels that are usual.
        let zstd_window_bytes = (memory / 8).min(most.zstd_window_bytes);
        let memory = memory - (memory / 2).min(PROGRAM_BYTES);
        let share = |parts: u64| usize::try_from(memory / 128 * parts).unwrap_or(usize::MAX);
        let bytes = |parts, most: usize| share(parts).min(most);
        let count = |parts, each: usize, most: usize| (share(parts) / each).clamp(1, most);
        let out_of_order_total_bytes = bytes(8, most.out_of_order_total_bytes);
        Limits {
            connection_bytes: bytes(78, most.connection_bytes),
            awake_bytes: bytes(39, most.awake_bytes),
            shared_heads: count(2, 8_192, most.shared_heads),
            connections: count(78, 128, most.connections),
            out_of_order_bytes: most.out_of_order_bytes.min(out_of_order_total_bytes / 2),
            out_of_order_total_bytes,
            stream_numbers: count(8, 64, most.stream_numbers),
            surveyed_connections: count(4, TRACE_BYTES, most.surveyed_connections),
            candidates: count(2, RECORD_BYTES, most.candidates),
            held_legs: count(2, RECORD_BYTES, most.held_legs),
            recent_handshakes: count(1, HANDSHAKE_BYTES, most.recent_handshakes),
            servers: count(1, 64, most.servers),
            key_log_sessions: count(1, 500, most.key_log_sessions),
            encapsulations: count(1, 320, most.encapsulations),
            interfaces: count(1, 128, most.interfaces),
            secrets_bytes: bytes(1, most.secrets_bytes),
            fragment_bytes: bytes(1, most.fragment_bytes),
            packet_bytes: u32::try_from(bytes(1, most.packet_bytes as usize))
                .unwrap_or(u32::MAX)
                .max(262_144),
            zstd_window_bytes,
            ..most
        }
    }
}

impl Limits {
    /// These limits for a live capture of weeks: what a file's length bounds would here grow for as long as the capture
    /// runs. Packets have no stream number in a file, failed connections wait for their server to be known for a while
    /// only, and what many connections show together is looked for in fewer of them.
    #[must_use]
    pub fn for_live(self) -> Limits {
        Limits {
            stream_numbers: 0,
            candidates: self.candidates.min(4_096),
            surveyed_connections: self.surveyed_connections.min(16_384),
            ..self
        }
    }
}

/// Reads a number of bytes: `4096`, `64K`, `16M`, `2G`.
#[must_use]
pub fn read_bytes(text: &str) -> Option<u64> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Reads a time: `500ms`, `10s`, `5m`, `2h`; a number alone is seconds.
#[must_use]
pub fn read_time(text: &str) -> Option<Duration> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

/// What a limit's value may be.
trait Value: Sized {
    fn read(text: &str, unit: Unit) -> Option<Self>;
    fn show(&self, unit: Unit) -> String;
    fn is_below(&self, least: u64) -> bool;
}

macro_rules! number {
    ($($kind:ty),+) => { $(
        impl Value for $kind {
            fn read(text: &str, unit: Unit) -> Option<Self> {
                let number = if unit == Unit::Bytes { read_bytes(text)? } else { text.parse().ok()? };
                number.try_into().ok()
            }

            fn show(&self, unit: Unit) -> String {
                let of = |shift: u32, letter| (*self >> shift << shift == *self).then(|| format!("{}{letter}", *self >> shift));
                match unit {
                    Unit::Bytes if *self >= 1 << 10 => {
                        let large = of(30, 'G').filter(|_| *self >= 1 << 30).or_else(|| of(20, 'M').filter(|_| *self >= 1 << 20));
                        large.or_else(|| of(10, 'K')).unwrap_or_else(|| self.to_string())
                    }
                    _ => self.to_string(),
                }
            }

            fn is_below(&self, least: u64) -> bool {
                u64::try_from(*self).is_ok_and(|number| number < least)
            }
        }
    )+ };
}

number!(u32, u64, usize);

impl Value for Duration {
    fn read(text: &str, _: Unit) -> Option<Self> {
        read_time(text)
    }

    fn show(&self, _: Unit) -> String {
        if self.subsec_millis() == 0 {
            format!("{}s", self.as_secs())
        } else {
            format!("{}ms", self.as_millis())
        }
    }

    fn is_below(&self, _: u64) -> bool {
        // No time at all is a time to wait for something.
        false
    }
}

impl Unit {
    const fn expected(self) -> &'static str {
        match self {
            Unit::Bytes => "a number of bytes (64K, 16M, 2G)",
            Unit::Count => "a number",
            Unit::Time => "a time (500ms, 10s, 5m)",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Unit::Bytes => "bytes",
            Unit::Count => "number",
            Unit::Time => "time",
        })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Memory::Nothing => out.write_str("-"),
            Memory::Once => out.write_str("itself"),
            Memory::Twice => out.write_str("twice itself"),
            Memory::Each(1) => out.write_str("1 byte each"),
            Memory::EachOfConnection(1) => out.write_str("1 byte each, a connection"),
            Memory::Each(bytes) => write!(out, "{bytes} bytes each"),
            Memory::EachOfConnection(bytes) => write!(out, "{bytes} bytes each, a connection"),
            Memory::InConnectionBytes => out.write_str("in connection_bytes"),
            Memory::InTotal => out.write_str("in out_of_order_total_bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_to_what_it_shows() {
        let mut limits = Limits::default();
        for limit in Limits::ALL {
            let shown = limits.show(limit.name).unwrap();
            limits.set(limit.name, &shown).unwrap();
            assert_eq!(limits, Limits::default(), "{} = {shown}", limit.name);
            let other = if limit.unit == Unit::Time { "7s" } else { "7" };
            limits.set(limit.name, other).unwrap();
            assert_eq!(limits.show(limit.name).unwrap(), other, "{}", limit.name);
            assert_ne!(limits, Limits::default());
            limits = Limits::default();
        }
    }

    #[test]
    fn a_limit_without_which_nothing_is_read_takes_no_zero() {
        let mut limits = Limits::default();
        let outcome = limits.set("connections", "0").unwrap_err();
        assert_eq!(outcome.to_string(), "connections takes no 0: 1 is the least");
        limits.set("connections", "1").unwrap();
        for limit in Limits::ALL {
            let zero = Limits::default().set(limit.name, "0");
            assert_eq!(zero.is_ok(), limit.least == 0, "{}: {zero:?}", limit.name);
        }
        assert!(limits.set("linger", "0s").is_ok() && limits.set("fragment_bytes", "0").is_ok());
    }

    #[test]
    fn values_have_units_and_nonsense_is_refused() {
        let mut limits = Limits::default();
        limits.set("out_of_order_bytes", "64K").unwrap();
        limits.set("linger", "250ms").unwrap();
        assert_eq!((limits.out_of_order_bytes, limits.linger), (65_536, Duration::from_millis(250)));
        assert!(matches!(limits.set("nope", "1"), Err(LimitError::Unknown(_))));
        for (name, value) in
            [("connections", "64K"), ("packet_bytes", "5G"), ("linger", "5 s"), ("linger", "-1s")]
        {
            assert!(matches!(limits.set(name, value), Err(LimitError::Value { .. })), "{name}={value}");
        }
    }

    #[test]
    fn what_shares_the_memory_keeps_to_it() {
        for memory in [32 << 20, 64 << 20, 256 << 20, 1 << 30, 64 << 30] {
            let limits = Limits::within(memory);
            let each = |count: usize, bytes: usize| count * bytes;
            let sum = limits.connection_bytes
                + limits.out_of_order_total_bytes
                + each(limits.stream_numbers, 64)
                + each(limits.surveyed_connections, TRACE_BYTES)
                + each(limits.candidates + limits.held_legs, RECORD_BYTES)
                + each(limits.recent_handshakes, HANDSHAKE_BYTES)
                + each(limits.servers, 64)
                + each(limits.key_log_sessions, 500)
                + each(limits.shared_heads, 8_192)
                + each(limits.encapsulations, 320)
                + each(limits.interfaces, 128)
                + limits.secrets_bytes
                + 2 * limits.fragment_bytes
                + 2 * limits.packet_bytes as usize
                + usize::try_from(limits.zstd_window_bytes).unwrap();
            assert!(sum as u64 <= memory, "{sum} of {memory}");
        }
        let plenty = Limits { connections: Limits::within(1 << 40).connections, ..Limits::default() };
        assert_eq!(Limits::within(1 << 40), plenty, "never more than the defaults");
    }
}
