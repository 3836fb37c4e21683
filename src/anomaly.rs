//! Oddities that are counted, never silently passed over.

use crate::pack::{Pack, Packer, Unpacker};
use std::fmt;

macro_rules! anomalies {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Something a well-behaved capture, network or endpoint does not produce. Counted over the whole
        /// capture, and kept as a set on each connection it touches.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Anomaly { $($(#[doc = $doc])+ $variant,)+ }

        impl Anomaly {
            /// Every anomaly, in order of declaration.
            pub const ALL: &'static [Anomaly] = &[$(Anomaly::$variant,)+];

            /// The name in reports: `snake_case`, stable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Anomaly::$variant => $name,)+ }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Anomaly::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

anomalies! {
    // -- decode
    /// A packet whose headers are cut or contradict each other.
    PacketMalformed = "packet_malformed",
    /// A packet cut by the capture's snaplen.
    PacketTruncated = "packet_truncated",
    /// A link layer or protocol number that is not decoded.
    LinkUnsupported = "link_unsupported",
    /// Encapsulation deeper than the limit.
    TunnelTooDeep = "tunnel_too_deep",
    /// A bad IP, TCP or UDP checksum (only looked at with `--verify-checksums`).
    ChecksumBad = "checksum_bad",
    /// An IP fragment that overlaps another one.
    FragmentOverlap = "fragment_overlap",
    /// An IP datagram whose fragments never completed, or were dropped by the pool's limit.
    FragmentIncomplete = "fragment_incomplete",
    /// More encapsulations (VLANs, tunnels) than the limit; further ones share one identity.
    EncapsulationLimit = "encapsulation_limit",
    // -- tcp
    /// A copy of a packet that the capture holds twice (`-i any`, mirrored ports).
    PacketCopy = "packet_copy",
    /// Bytes that the receiver acknowledged but the capture does not hold.
    TcpGap = "tcp_gap",
    /// A retransmission whose bytes differ from those first seen.
    TcpOverlapDiffers = "tcp_overlap_differs",
    /// More out-of-order bytes than the limit; the hole was given up.
    TcpOutOfOrderLimit = "tcp_out_of_order_limit",
    /// A reset that its receiver must ignore (RFC 9293 §3.5.3, RFC 5961 §3.2).
    TcpResetIgnored = "tcp_reset_ignored",
    /// Data after the sender's own FIN.
    TcpDataAfterFin = "tcp_data_after_fin",
    /// A segment far outside of any window.
    TcpOutOfWindow = "tcp_out_of_window",
    /// A connection whose state was dropped to keep within the limits.
    FlowEvicted = "flow_evicted",
    /// A connection without Wireshark's stream number: there are more of them than the limit.
    StreamNumberLimit = "stream_number_limit",
    // -- tls
    /// A line of a key log that does not follow its format (RFC 9850).
    KeyLogLineBad = "key_log_line_bad",
    /// More sessions in key logs than the limit; further ones are not decrypted.
    KeyLogLimit = "key_log_limit",
    /// Secrets of a key log that open no record of the session they name.
    TlsKeysWrong = "tls_keys_wrong",
    /// A TLS record that does not open though those before it did.
    TlsRecordUnreadable = "tls_record_unreadable",
    /// Bytes of a TLS connection that are no record.
    TlsRecordMalformed = "tls_record_malformed",
    /// TLS records were lost, and found again at a later sequence number.
    TlsResynchronized = "tls_resynchronized",
    /// More TLS records waited for their keys than the limit.
    TlsHeldLimit = "tls_held_limit",
    /// A TLS connection of ordinary HTTP, without an Upgrade up to the limit, was decrypted no further.
    TlsHttpLimit = "tls_http_limit",
    // -- http
    /// An HTTP head longer than the limit.
    HttpHeadTooLong = "http_head_too_long",
    /// A control character in an HTTP head (RFC 9110 §5.5); what stands around it was read.
    HttpControlCharacter = "http_control_character",
    /// A line of an HTTP head that follows no grammar (RFC 9112 §3, §5); what stands around it was read.
    HttpHeadMalformed = "http_head_malformed",
    /// A `101` whose `Sec-WebSocket-Accept` does not match the request's key (RFC 6455 §4.1).
    AcceptInvalid = "accept_invalid",
    /// A `101` that names a subprotocol the client did not offer.
    SubprotocolNotOffered = "subprotocol_not_offered",
    /// A `101` that names an extension the client did not offer.
    ExtensionNotOffered = "extension_not_offered",
    /// WebSocket frames of the client before the server's `101`.
    FramesBeforeResponse = "frames_before_response",
    /// A frame of HTTP/2 of a wrong length, on a wrong stream, or inside another stream's header block (RFC 9113 §6).
    Http2FrameMalformed = "http2_frame_malformed",
    /// A header block of HTTP/2 that no encoder writes (RFC 7541).
    Http2HeadersMalformed = "http2_headers_malformed",
    /// A header block of HTTP/2 longer than the limit.
    Http2HeadersTooLong = "http2_headers_too_long",
    /// Header fields of HTTP/2 that stand for earlier ones which the capture lacks.
    Http2TableLost = "http2_table_lost",
    /// A DATA frame on a stream that its sender had ended (RFC 9113 §5.1).
    Http2DataAfterEnd = "http2_data_after_end",
    /// A WebSocket over HTTP/2 that ended while a side could send nothing more, a Close neither: its flow-control window was
    /// used up (RFC 9113 §5.2).
    Http2WindowExhausted = "http2_window_exhausted",
    /// More WebSockets in one HTTP/2 connection than the limit; further ones are not followed.
    Http2WebsocketLimit = "http2_websocket_limit",
    // -- websocket
    /// A client frame without a mask (RFC 6455 §5.1).
    UnmaskedClientFrame = "unmasked_client_frame",
    /// A server frame with a mask (RFC 6455 §5.1).
    MaskedServerFrame = "masked_server_frame",
    /// A control frame with FIN clear (RFC 6455 §5.5).
    FragmentedControlFrame = "fragmented_control_frame",
    /// A control frame of more than 125 bytes (RFC 6455 §5.5).
    OversizedControlFrame = "oversized_control_frame",
    /// An opcode that no RFC defines (RFC 6455 §5.2).
    ReservedOpcode = "reserved_opcode",
    /// A reserved bit that no negotiated extension explains (RFC 6455 §5.2).
    ReservedBits = "reserved_bits",
    /// A length not in its shortest form, or with its top bit set (RFC 6455 §5.2).
    NonMinimalLength = "non_minimal_length",
    /// A continuation without a message, or a new message inside another (RFC 6455 §5.4).
    FragmentationError = "fragmentation_error",
    /// A data frame after the sender's own Close (RFC 6455 §5.5.1).
    DataAfterClose = "data_after_close",
    /// A second Close from the same side.
    CloseRepeated = "close_repeated",
    /// A Close body of one byte, or a reason that is not UTF-8 (RFC 6455 §5.5.1).
    CloseBodyMalformed = "close_body_malformed",
    /// A code on the wire that must not stand there: 1005, 1006, 1015 or outside the ranges (RFC 6455 §7.4).
    CloseCodeReserved = "close_code_reserved",
    /// Framing was lost after a gap and found again at a later segment.
    FramingResynchronized = "framing_resynchronized",
    /// Framing was lost and not found again.
    FramingLost = "framing_lost",
    // -- verdict
    /// A connection that came to no HTTP, or is encrypted, and was forgotten before its server was seen to carry WebSockets:
    /// more of them than the limit.
    CandidateLimit = "candidate_limit",
    /// A WebSocket whose server is not remembered as carrying such: more servers than the limit.
    ServerLimit = "server_limit",
    /// A connection that was not related to the other leg it may have through a proxy: more of them waited for theirs, over all or
    /// with one handshake key, than are kept.
    LegLimit = "leg_limit",
    // -- diagnosis
    /// More ICMP errors about a connection than are kept.
    IcmpLimit = "icmp_limit",
    /// More connections than the capture-wide findings remember; later ones have only findings of their own.
    SurveyLimit = "survey_limit",
}

impl Anomaly {
    const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

const _: () = assert!(Anomaly::ALL.len() <= 64, "AnomalySet is one u64");

/// The anomalies of one connection: a set in eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnomalySet(u64);

impl AnomalySet {
    /// Adds `anomaly`.
    pub const fn insert(&mut self, anomaly: Anomaly) {
        self.0 |= anomaly.bit();
    }

    /// Was none seen?
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Is `anomaly` in the set?
    #[must_use]
    pub const fn contains(self, anomaly: Anomaly) -> bool {
        self.0 & anomaly.bit() != 0
    }

    /// Adds all of `other`.
    pub const fn extend(&mut self, other: AnomalySet) {
        self.0 |= other.0;
    }

    /// The anomalies, in order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Anomaly> {
        Anomaly::ALL.iter().copied().filter(move |anomaly| self.contains(*anomaly))
    }
}

/// How often each anomaly was seen over the whole capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnomalyCounts([u64; Anomaly::ALL.len()]);

impl Default for AnomalyCounts {
    fn default() -> Self {
        AnomalyCounts([0; Anomaly::ALL.len()])
    }
}

impl AnomalyCounts {
    /// Counts one `anomaly`.
    pub fn count(&mut self, anomaly: Anomaly) {
        self.add(anomaly, 1);
    }

    /// Counts `times` of `anomaly`.
    pub fn add(&mut self, anomaly: Anomaly, times: u64) {
        if let Some(count) = self.0.get_mut(anomaly as usize) {
            *count = count.saturating_add(times);
        }
    }

    /// These and `other` ones.
    #[must_use]
    pub fn and(mut self, other: &AnomalyCounts) -> AnomalyCounts {
        for (anomaly, times) in other.iter() {
            self.add(anomaly, times);
        }
        self
    }

    /// How often `anomaly` was seen.
    #[must_use]
    pub fn of(&self, anomaly: Anomaly) -> u64 {
        self.0.get(anomaly as usize).copied().unwrap_or(0)
    }

    /// Counts `times` of the anomaly called `name`; one of a later version, which has no name here, is left out.
    pub fn add_named(&mut self, name: &str, times: u64) {
        if let Some(anomaly) = Anomaly::ALL.iter().find(|anomaly| anomaly.name() == name) {
            self.add(*anomaly, times);
        }
    }

    /// The anomalies that were seen, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Anomaly, u64)> + '_ {
        Anomaly::ALL
            .iter()
            .copied()
            .map(|anomaly| (anomaly, self.of(anomaly)))
            .filter(|(_, count)| *count > 0)
    }
}

impl Pack for AnomalySet {
    fn pack(&self, into: &mut Packer) {
        self.0.pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        AnomalySet(u64::unpack(from))
    }
}
