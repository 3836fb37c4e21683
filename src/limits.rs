//! Every cap and timeout in one place, so that nothing an input does can grow without bound.

use std::time::Duration;

/// The caps and timeouts of an analysis. Reaching a cap is a counted anomaly that the report shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    // -- capture
    /// Largest packet record accepted, in bytes. A larger claim is a corrupt file. libpcap's own bound is 256 KiB;
    /// BIG TCP and USB captures reach further.
    pub packet_bytes: u32,
    /// Interfaces kept for one pcapng section.
    pub interfaces: usize,
    /// Decryption secrets taken from one file, in bytes. A key log line has some 200 bytes.
    pub secrets_bytes: usize,
    /// Memory a zstd frame may ask for as its window, in bytes: what the zstd tool itself accepts.
    pub zstd_window_bytes: u64,
    // -- decode
    /// Nested encapsulations (tunnels, VLAN stacks, MPLS stacks count one each) inside one packet.
    pub encapsulation_depth: usize,
    /// Distinct encapsulations told apart in one capture.
    pub encapsulations: usize,
    /// IP datagrams under reassembly at a time.
    pub fragment_datagrams: usize,
    /// Bytes held for IP datagrams under reassembly.
    pub fragment_bytes: usize,
    /// Age at which an incomplete IP datagram is given up (RFC 791 and RFC 8200 say 60 s).
    pub fragment_timeout: Duration,
    // -- flow and tcp
    /// TCP connections held at a time.
    pub connections: usize,
    /// TCP conversations whose Wireshark stream number is remembered.
    pub stream_numbers: usize,
    /// Memory for out-of-order segments of one direction, in bytes: their payload, and 128 for each.
    pub out_of_order_bytes: usize,
    /// Out-of-order segments held for one direction.
    pub out_of_order_segments: usize,
    /// Memory for out-of-order segments over all connections, in bytes.
    pub out_of_order_total_bytes: usize,
    /// Packets of a connection after which bytes that were acknowledged but not seen count as lost by the capture
    /// rather than out of order.
    pub gap_patience_packets: u32,
    /// Time after which they do.
    pub gap_patience: Duration,
    /// How long a connection whose TCP has ended is kept for its stragglers.
    pub linger: Duration,
    /// Sendings of the same bytes, or keepalive probes, without any answer, that prove a dead peer.
    pub unanswered_sendings: u32,
    /// Longest delay between two copies of one packet in a capture, where the IP identification shows it.
    pub copy_window: Duration,
    /// Longest delay between two copies of one packet where IP has no identification (zero, or IPv6).
    pub copy_window_anonymous: Duration,
    // -- tls
    /// Bytes read of one key log.
    pub key_log_bytes: u64,
    /// TLS sessions whose secrets are kept: some 500 bytes each.
    pub key_log_sessions: usize,
    /// Longest hello message read, in bytes; certificates and the like are passed over by their length.
    pub tls_hello_bytes: usize,
    /// Records of one connection held until their keys come, in bytes: keys follow within a round trip or so.
    pub tls_held_bytes: usize,
    /// Sequence numbers tried for a record behind a hole: as many records may have been lost at a time.
    pub tls_resync_records: u64,
    /// Bytes searched for a record behind one hole: the next one begins within 18 KiB, unless more is lost.
    pub tls_search_bytes: usize,
    /// Records noted at the begin and at the end of a connection that is not decrypted: 32 bytes each.
    pub tls_records_seen: usize,
    /// Bytes deciphered on trial for one connection, to find its records again behind holes.
    pub tls_trial_bytes: usize,
    // -- http
    /// Longest HTTP head read, in bytes.
    pub http_head_bytes: usize,
    /// Messages of a connection that is not (yet) a WebSocket after which HTTP is no longer followed.
    pub http_messages: u32,
    // -- websocket
    /// Consecutive valid frames that show a WebSocket joined in mid-stream.
    pub midstream_frames: u32,
    /// Segments of one direction looked at for them.
    pub midstream_segments: u32,
    /// Pings of one side that wait for their pong.
    pub pings_pending: usize,
    /// Durations kept for a median (round trips, ping intervals): the latest ones.
    pub ping_samples: usize,
    /// Longest Close reason kept, in bytes (RFC 6455 allows 123).
    pub close_reason_bytes: usize,
    // -- verdict and diagnosis
    /// ICMP errors kept for one connection.
    pub icmp_errors: usize,
    /// Connections remembered for what only many together show (idle limits, restarts, reconnects): some 200 bytes
    /// each.
    pub surveyed_connections: usize,
    /// Connections that one finding lists by number.
    pub finding_connections: usize,
    /// Packets that one diagnosis or finding names.
    pub finding_packets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            packet_bytes: 16 << 20,
            interfaces: 65_536,
            secrets_bytes: 16 << 20,
            zstd_window_bytes: 128 << 20,
            encapsulation_depth: 8,
            encapsulations: 65_536,
            fragment_datagrams: 4_096,
            fragment_bytes: 16 << 20,
            fragment_timeout: Duration::from_secs(60),
            connections: 2 << 20,
            stream_numbers: 4 << 20,
            out_of_order_bytes: 4 << 20,
            out_of_order_segments: 4_096,
            out_of_order_total_bytes: 256 << 20,
            gap_patience_packets: 64,
            gap_patience: Duration::from_secs(5),
            linger: Duration::from_secs(10),
            unanswered_sendings: 3,
            copy_window: Duration::from_millis(500),
            copy_window_anonymous: Duration::from_millis(5),
            key_log_bytes: 1 << 30,
            key_log_sessions: 1 << 20,
            tls_hello_bytes: 64 << 10,
            tls_held_bytes: 64 << 10,
            tls_resync_records: 1_024,
            tls_search_bytes: 256 << 10,
            tls_records_seen: 32,
            tls_trial_bytes: 32 << 20,
            http_head_bytes: 64 << 10,
            http_messages: 100_000,
            midstream_frames: 3,
            midstream_segments: 16,
            pings_pending: 16,
            ping_samples: 16,
            close_reason_bytes: 1_024,
            icmp_errors: 8,
            surveyed_connections: 1 << 20,
            finding_connections: 1_000,
            finding_packets: 8,
        }
    }
}
