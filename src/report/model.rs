//! The report as data, schema `wsclose.report/1`. `docs/report-format.md` documents each field;
//! `docs/report.schema.json` is generated from these types.

use super::diagnosis::{Diagnosis, Finding};
use crate::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The schema's name and version.
pub const SCHEMA: &str = "wsclose.report/1";

/// A whole report (`--format json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report<'a> {
    /// `wsclose.report/1`.
    pub schema: String,
    /// What wrote it.
    pub generator: Generator,
    /// The connections, in the order in which their ends became final.
    pub connections: Vec<Connection<'a>>,
    /// The inputs, in the order given.
    pub inputs: Vec<Input>,
    /// Totals.
    pub summary: Summary,
    /// How often each oddity was seen, over the whole capture.
    pub anomalies: BTreeMap<String, u64>,
}

/// The program that wrote a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// `wsclose`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One input file, pipe or interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Input {
    /// Path as given; `-` is standard input.
    pub path: String,
    /// `pcap`, `pcapng` or `live`.
    pub format: Option<String>,
    /// `gzip`, `zstd` or `lz4`.
    pub compression: Option<String>,
    /// Packets read.
    pub packets: u64,
    /// Bytes read, compressed where the input is.
    pub bytes: u64,
    /// Earliest packet time, RFC 3339.
    pub first_packet_at: Option<String>,
    /// Latest packet time, RFC 3339.
    pub last_packet_at: Option<String>,
    /// Link types in order of appearance, by their registered names.
    pub link_types: Vec<String>,
    /// Packets that the capture says it lost.
    pub dropped_packets: u64,
    /// Bytes of TLS secrets in the file that were not read: beyond the limit, or claimed by a block that ends before them.
    #[serde(default)]
    pub unread_secrets_bytes: u64,
    /// Read to its proper end?
    pub complete: bool,
    /// Why not.
    pub error: Option<InputError>,
}

/// Why an input could not be read whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InputError {
    /// Byte offset of the damage in the (decompressed) file.
    pub offset: Option<u64>,
    /// What was expected and what was found.
    pub reason: String,
}

/// Totals over all connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Connections listed.
    pub connections: u64,
    /// By `verdict.kind`.
    pub by_kind: BTreeMap<String, u64>,
    /// By `verdict.label`.
    pub by_label: BTreeMap<String, u64>,
    /// Abnormal ends by `verdict.cause`.
    pub by_cause: BTreeMap<String, u64>,
    /// By `verdict.closed_by`.
    pub by_closed_by: BTreeMap<String, u64>,
    /// Pairs of them that are one WebSocket each: its two legs, before and behind a proxy.
    #[serde(default)]
    pub proxied_pairs: u64,
    /// TCP connections that are not listed.
    pub other_tcp_connections: u64,
    /// TLS connections of which nothing could be decrypted, listed or not.
    #[serde(default)]
    pub encrypted_connections: u64,
    /// What to do, that which would have saved most connections first.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// One WebSocket connection, or one that failed to become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connection<'a> {
    /// Number in this report, from 1.
    pub id: u64,
    /// The input that holds its first packet.
    pub file: Cow<'a, str>,
    /// Wireshark's `tcp.stream` in that file.
    pub tcp_stream: Option<u32>,
    /// HTTP/2 stream, where it has one.
    pub h2_stream: Option<u32>,
    /// Who opened it.
    pub client: Address,
    /// Who accepted it.
    pub server: Address,
    /// `id` of its leg before a proxy, where it is the one behind it and both are listed.
    #[serde(default)]
    pub front_leg: Option<u64>,
    /// `tcp`, `tls`, `h2` or `tls+h2`.
    pub carrier: Cow<'a, str>,
    /// The TLS that carries it; null where there is none.
    #[serde(default)]
    pub tls: Option<Tls<'a>>,
    /// VLANs and tunnels, outermost first.
    pub encapsulation: Vec<Cow<'a, str>>,
    /// The opening handshake.
    pub handshake: Handshake<'a>,
    /// Time of its first packet.
    #[schemars(with = "String")]
    pub opened_at: Timestamp,
    /// Time of the event in `teardown`, else of its last packet.
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
    /// From the one to the other, in seconds.
    pub duration_s: f64,
    /// From the last payload before its end to that end, in seconds.
    pub idle_before_end_s: Option<f64>,
    /// Each side's first Close frame.
    pub close: Sides<Option<Close<'a>>>,
    /// The first event that ended TCP.
    pub teardown: Teardown<'a>,
    /// How it ended.
    pub verdict: Verdict<'a>,
    /// Where the capture was taken.
    pub vantage: Vantage<'a>,
    /// The code that each application was given.
    pub endpoints: Sides<Endpoint<'a>>,
    /// What each side sent.
    pub traffic: Sides<Traffic>,
    /// The packets that prove it, in order.
    pub evidence: Vec<Evidence<'a>>,
    /// The causes of its end that its own packets show, the strongest first.
    #[serde(default)]
    pub diagnosis: Vec<Diagnosis<'a>>,
    /// Its oddities.
    pub anomalies: Vec<Cow<'a, str>>,
}

/// The TLS that carries a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tls<'a> {
    /// The version agreed on: `TLS 1.3`.
    pub version: Option<String>,
    /// The cipher suite agreed on, by its registered name or as `0x1301`.
    pub cipher_suite: Option<Cow<'a, str>>,
    /// The server name that the client asked for.
    pub sni: Option<Cow<'a, str>>,
    /// The application protocol agreed on, where it can be read.
    pub alpn: Option<Cow<'a, str>>,
    /// Was it decrypted?
    pub decrypted: bool,
    /// Why not.
    pub undecrypted_because: Option<Cow<'a, str>>,
    /// Packet of each side's `close_notify`, where it can be read.
    pub close_notify: Sides<Option<u32>>,
    /// The first alert that ended it.
    pub alert: Option<TlsAlert<'a>>,
}

/// An alert that ended TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TlsAlert<'a> {
    /// Its registered name.
    pub description: Cow<'a, str>,
    /// Who sent it.
    pub by: Cow<'a, str>,
    /// Its packet.
    pub packet: u32,
}

/// One value for each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sides<T> {
    /// The client's.
    pub client: T,
    /// The server's.
    pub server: T,
}

/// An IP address and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// IPv4 or IPv6.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
}

/// The opening handshake, as far as it was seen. A field `<name>_base64` holds the exact bytes of `<name>` where
/// they are not UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handshake<'a> {
    /// `both`, `request`, `response` or `none`.
    pub seen: Cow<'a, str>,
    /// Status of the answer.
    pub status: Option<u16>,
    /// Method of the request.
    pub method: Option<Cow<'a, str>>,
    /// Host asked for.
    pub host: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[allow(missing_docs, reason = "see the type")]
    pub host_base64: Option<Cow<'a, str>>,
    /// Path with its query.
    pub path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[allow(missing_docs, reason = "see the type")]
    pub path_base64: Option<Cow<'a, str>>,
    /// `Origin`.
    pub origin: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[allow(missing_docs, reason = "see the type")]
    pub origin_base64: Option<Cow<'a, str>>,
    /// `User-Agent`.
    pub user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[allow(missing_docs, reason = "see the type")]
    pub user_agent_base64: Option<Cow<'a, str>>,
    /// `Server`.
    pub server: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[allow(missing_docs, reason = "see the type")]
    pub server_base64: Option<Cow<'a, str>>,
    /// Subprotocol agreed on.
    pub subprotocol: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[allow(missing_docs, reason = "see the type")]
    pub subprotocol_base64: Option<Cow<'a, str>>,
    /// Extensions agreed on.
    pub extensions: Vec<Cow<'a, str>>,
    /// Does `Sec-WebSocket-Accept` match the key?
    pub accept_valid: Option<bool>,
    /// Packet that completed the request.
    pub request_packet: Option<u32>,
    /// Packet that completed the answer.
    pub response_packet: Option<u32>,
}

/// A Close frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Close<'a> {
    /// The code on the wire; null where the body is empty, malformed or not in the capture.
    pub code: Option<u16>,
    /// `empty`, `code`, `malformed` or `missing`.
    pub body: Cow<'a, str>,
    /// The reason.
    pub reason: Cow<'a, str>,
    /// Its exact bytes, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason_base64: Option<Cow<'a, str>>,
    /// Time of the packet that completed it.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Input of that packet.
    pub file: Cow<'a, str>,
    /// That packet.
    pub packet: u32,
    /// `answered`, `acknowledged`, `arrived` or `sent`.
    pub proof: Cow<'a, str>,
}

/// The first event that ended TCP, or the stream of HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Teardown<'a> {
    /// `fin`, `rst` or `none`; of an HTTP/2 stream also `end_stream`, `rst_stream` or `goaway`.
    pub kind: Cow<'a, str>,
    /// The error code of `rst_stream` or `goaway`, by its registered name, such as `CANCEL`.
    #[serde(default)]
    pub error: Option<Cow<'a, str>>,
    /// `client`, `server`, `middlebox` or `unknown`.
    pub by: Option<Cow<'a, str>>,
    /// Its time.
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// Its packet.
    pub packet: Option<u32>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict<'a> {
    /// `1001`, `1006`, `refused`, `open`, `unknown`, ...
    pub label: Cow<'a, str>,
    /// `coded`, `abnormal`, `refused`, `open` or `unknown`.
    pub kind: Cow<'a, str>,
    /// The code of the first Close on the wire; 1006 for an abnormal end.
    pub code: Option<u16>,
    /// `rst`, `fin` or `timeout`, for an abnormal end.
    pub cause: Option<Cow<'a, str>>,
    /// Who began it: `client`, `server`, `both`, `network`, `proxy` or `unknown`.
    pub closed_by: Option<Cow<'a, str>>,
    /// Why nothing is claimed, for `unknown`.
    pub blind: Option<Cow<'a, str>>,
    /// Both Close frames seen and delivered before TCP ended.
    pub clean: bool,
    /// The reasons in one sentence.
    pub why: Cow<'a, str>,
    /// What lengths and times of its encrypted records allow to be said; null where it is not encrypted.
    #[serde(default)]
    pub probable: Option<Probable<'a>>,
}

/// An opinion on an encrypted connection: never a verdict, and never a code but 1006.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probable<'a> {
    /// The opinion in words, with its confidence.
    pub text: Cow<'a, str>,
    /// `closing-handshake`, `one-sided-close`, `no-close`, `still-open`, `unclear` or `unreadable`.
    pub ending: Cow<'a, str>,
    /// `high` (seldom wrong), `medium` or `low`.
    pub confidence: Cow<'a, str>,
    /// 1006 where there was probably no Close.
    pub code: Option<u16>,
    /// Who probably sent the first Close.
    pub closed_by: Option<Cow<'a, str>>,
    /// What that Close would hold by its length: `empty`, `code` or `code-and-reason`.
    pub body: Option<Cow<'a, str>>,
    /// Bytes of its reason.
    pub reason_bytes: Option<u8>,
    /// Packets of the probable Close frames.
    pub close_packets: Sides<Option<u32>>,
    /// Packets of the probable `close_notify` alerts.
    pub close_notify_packets: Sides<Option<u32>>,
    /// Is it a WebSocket? 0 to 100; from 50 on it probably is.
    pub websocket_score: u8,
    /// What speaks for and against it.
    pub websocket_signs: Vec<Cow<'a, str>>,
}

/// Where the capture was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vantage<'a> {
    /// `client`, `server`, `middle` or `unknown`.
    pub at: Cow<'a, str>,
    /// What speaks for it.
    pub why: Cow<'a, str>,
}

/// The code that the application at one end was given, by RFC 6455 §7.1.5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint<'a> {
    /// The code; null where it can't be told.
    pub code: Option<u16>,
    /// `certain`, `likely`, `ambiguous` or `unknown`.
    pub certainty: Cow<'a, str>,
    /// The one other possible code, where it is `ambiguous`.
    pub alternatives: Vec<u16>,
    /// The connection closed after a complete closing handshake, as this end saw it.
    pub was_clean: bool,
    /// The reason in one sentence.
    pub why: Cow<'a, str>,
    /// What this end's library says instead, where the library is recognised and known to differ.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reported_as: Option<ReportedAs<'a>>,
}

/// What a library says instead of the code of RFC 6455.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedAs<'a> {
    /// The code.
    pub code: Option<u16>,
    /// As for the endpoint.
    pub certainty: Cow<'a, str>,
    /// As for the endpoint.
    pub alternatives: Vec<u16>,
    /// The library.
    pub library: Cow<'a, str>,
    /// What it was recognised by.
    pub recognised_by: Cow<'a, str>,
}

/// What one side sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Frames of any kind.
    pub frames: u64,
    /// Messages.
    pub messages: u64,
    /// Pings.
    pub pings: u64,
    /// Pongs.
    pub pongs: u64,
    /// Payload bytes of data frames.
    pub payload_bytes: u64,
    /// Median time from its latest pings to their pongs, as seen at the capture's place, in seconds.
    #[serde(default)]
    pub ping_round_trip_s: Option<f64>,
}

/// One packet that proves something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence<'a> {
    /// Its input.
    pub file: Cow<'a, str>,
    /// Its number there, as Wireshark's `frame.number`.
    pub packet: u32,
    /// Its time.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Who sent it.
    pub from: Cow<'a, str>,
    /// What it shows.
    pub what: Cow<'a, str>,
}

/// One line of `--format ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line<'a> {
    /// First.
    Begin {
        /// `wsclose.report/1`.
        schema: String,
        /// What writes it.
        generator: Generator,
        /// Inputs, as far as known then.
        inputs: Vec<Input>,
    },
    /// A connection whose verdict is final.
    Connection(Box<Connection<'a>>),
    /// What a live capture said of this connection does not hold: its peer speaks again. Its end will come as another
    /// connection line.
    Revised {
        /// The connection's number in this report.
        id: u64,
        /// The label that was said.
        label: String,
        /// Time of the packet that shows it.
        at: String,
        /// That packet.
        packet: u32,
    },
    /// How a live capture does, at an interval.
    Stats(Box<Stats>),
    /// Last.
    Summary {
        /// Inputs, as read.
        inputs: Vec<Input>,
        /// Totals.
        summary: Summary,
        /// Oddities.
        anomalies: BTreeMap<String, u64>,
    },
}

/// How a live capture does. Counts are totals since its start, unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// When, RFC 3339.
    pub at: String,
    /// Seconds since the capture began.
    pub uptime_s: f64,
    /// Packets captured.
    pub packets: u64,
    /// Bytes captured.
    pub bytes: u64,
    /// Packets lost for want of room in the capture's buffer.
    pub dropped_by_kernel: u64,
    /// Packets lost by an interface.
    pub dropped_by_interface: u64,
    /// Packets lost since the last such line.
    pub dropped_since_last: u64,
    /// TCP connections.
    pub tcp_connections: Flow,
    /// Those of them that turned out to be WebSockets, or asked to become one.
    pub websockets: Flow,
    /// Listed ends by `verdict.label`, with those that wait for their other leg before they are written.
    pub ended: BTreeMap<String, u64>,
    /// Connections whose state was dropped to keep within the limits.
    pub evicted: u64,
    /// Memory in use.
    pub memory: Memory,
    /// Files of the flight recorder; null without `--record`.
    #[serde(default)]
    pub recordings: Option<Recordings>,
}

/// What became of the flight recorder's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recordings {
    /// Written.
    pub written: u64,
    /// Could not be written, and are lost.
    pub lost: u64,
    /// Packets that were let go before their connection ended, to keep to `--record-budget`.
    #[serde(default)]
    pub dropped_packets: u64,
}

/// How many came, and how many are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// Opened.
    pub opened: u64,
    /// Open now; the others have ended.
    pub open: u64,
}

/// Memory in use, in bytes, as estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// The table of connections.
    pub connections: u64,
    /// Payload that came out of order.
    pub out_of_order: u64,
    /// IP fragments.
    pub fragments: u64,
    /// Judged connections that wait for their other leg, or until their server is known to carry WebSockets; and handshakes in
    /// which another one may lie.
    #[serde(default)]
    pub waiting: u64,
    /// What is remembered of ended connections for the findings.
    #[serde(default)]
    pub survey: u64,
    /// The flight recorder's packets.
    #[serde(default)]
    pub recorder: u64,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Memory { connections, out_of_order, fragments, waiting, survey, recorder } = *self;
        [connections, out_of_order, fragments, waiting, survey, recorder]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}
