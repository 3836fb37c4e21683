//! From a judged connection to its place in the report.

use super::endpoints;
use super::evidence;
use super::model;
use super::numbers;
use super::probable;
use super::tls;
use crate::analyzer::record::ConnectionRecord;
use crate::capture::InputInfo;
use crate::decode::segment::Endpoint;
use crate::side::{PerSide, Side};
use crate::time::Timestamp;
use crate::verdict::teardown::{StreamEnd, TcpEnd, TcpEndKind};
use crate::verdict::verdict::Kind;
use crate::websocket::close::{CloseBody, CloseFrame};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// What stands in place of a header value.
pub(super) const REDACTED: &str = "(redacted)";

/// What the report needs to know beside a record.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Paths of the inputs, by file index.
    pub files: &'a [String],
    /// Drop query strings and header values.
    pub redact: bool,
}

impl<'a> Context<'a> {
    /// `text` with the file of each packet it names, where there are several.
    pub(super) fn sentence(&self, text: String) -> String {
        if self.files.len() > 1 { numbers::with_files(&text, 0) } else { text }
    }

    /// The path of input `file`.
    #[must_use]
    pub fn file(&self, file: u16) -> Cow<'a, str> {
        Cow::Borrowed(self.files.get(usize::from(file)).map_or("", String::as_str))
    }
}

/// Builds the report's entry for `record`, the `id`-th.
#[must_use]
pub fn connection<'a>(id: u64, record: &'a ConnectionRecord, context: Context<'a>) -> model::Connection<'a> {
    let end = record.teardown.tcp_end();
    let ended = end.map_or(record.last, |end| end.at);
    let idle = record.idle_since.map(|since| ended.at.seconds_since(since.at).max(0.0));
    let mut built = model::Connection {
        id,
        file: context.file(record.opened.file),
        tcp_stream: record.tcp_stream,
        h2_stream: record.teardown.stream.as_ref().map(|stream| stream.id.0),
        client: address(record.client),
        server: address(record.server),
        front_leg: None,
        carrier: carrier(record).into(),
        tls: record.tls.as_deref().map(|facts| tls::of(record, facts, context)),
        encapsulation: record.encapsulation_names.iter().map(|name| Cow::Borrowed(name.as_str())).collect(),
        handshake: handshake(record, context),
        opened_at: record.opened.at,
        ended_at: ended.at,
        duration_s: ended.at.seconds_since(record.opened.at).max(0.0),
        idle_before_end_s: idle,
        close: sides(PerSide::from_fn(|side| {
            record.teardown.close[side].as_ref().map(|frame| close(record, side, frame, context))
        })),
        teardown: model::Teardown {
            kind: end.map_or("none", |end| end_name(&end)).into(),
            error: end.and_then(|end| end.frame).and_then(error_name),
            by: end.map(|end| end.by.name().into()),
            at: end.map(|end| end.at.at),
            packet: end.map(|end| end.at.packet),
        },
        verdict: model::Verdict {
            why: Cow::Owned(record.why()),
            probable: record.probable.as_deref().map(probable::of),
            ..verdict(record)
        },
        vantage: endpoints::vantage(record),
        endpoints: sides(PerSide::from_fn(|side| endpoints::of(record, side, context))),
        traffic: sides(PerSide::from_fn(|side| traffic(record, side))),
        evidence: evidence::of(record, context),
        diagnosis: Vec::new(),
        anomalies: record.anomalies.iter().map(|anomaly| anomaly.name().into()).collect(),
    };
    if context.files.len() > 1 {
        numbers::name_files(&mut built, 0);
    }
    built
}

/// How a connection ended: what is counted of one that is not shown.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'a> {
    /// Its verdict.
    pub verdict: &'a model::Verdict<'a>,
    /// [`model::Teardown::kind`].
    pub teardown: &'a str,
    /// [`model::Handshake::seen`].
    pub handshake: &'a str,
    /// [`model::Handshake::status`].
    pub status: Option<u16>,
    /// Did it carry no frame, and no TLS in which some might lie?
    pub is_silent: bool,
}

impl<'a> Outline<'a> {
    /// Of `record`, whose verdict this is.
    #[must_use]
    pub fn of(record: &ConnectionRecord, verdict: &'a model::Verdict<'a>) -> Self {
        let status = record.handshake.response.as_ref().map(|response| response.status);
        let (teardown, handshake) = (teardown_kind(record), handshake_seen(record));
        let has_no_frames = Side::BOTH.into_iter().all(|side| record.traffic[side].frames == 0);
        let is_silent = record.tls.is_none() && has_no_frames;
        Outline { verdict, teardown, handshake, status, is_silent }
    }
}

impl<'a> From<&'a model::Connection<'_>> for Outline<'a> {
    fn from(connection: &'a model::Connection<'_>) -> Self {
        let traffic = &connection.traffic;
        let has_no_frames = traffic.client.frames == 0 && traffic.server.frames == 0;
        Outline {
            verdict: &connection.verdict,
            teardown: &connection.teardown.kind,
            handshake: &connection.handshake.seen,
            status: connection.handshake.status,
            is_silent: connection.tls.is_none() && has_no_frames,
        }
    }
}

fn teardown_kind(record: &ConnectionRecord) -> &'static str {
    record.teardown.tcp_end().map_or("none", |end| end_name(&end))
}

fn handshake_seen(record: &ConnectionRecord) -> &'static str {
    match (&record.handshake.request, &record.handshake.response) {
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "request",
        (None, Some(_)) => "response",
        (None, None) => "none",
    }
}

fn traffic(record: &ConnectionRecord, side: Side) -> model::Traffic {
    let (traffic, pings) = (&record.traffic[side], record.vitals.sides[side].pings.as_deref());
    model::Traffic {
        frames: traffic.frames,
        messages: traffic.messages,
        pings: traffic.pings,
        pongs: traffic.pongs,
        payload_bytes: traffic.payload_bytes,
        ping_round_trip_s: pings
            .and_then(|pings| pings.round_trips.median())
            .map(|nanos| Timestamp::from_nanos(nanos).seconds_since(Timestamp::default())),
    }
}

/// Builds the report's entry for an input.
#[must_use]
pub fn input(info: &InputInfo) -> model::Input {
    model::Input {
        path: info.path.clone(),
        format: info.format.map(str::to_owned),
        compression: info.compression.map(str::to_owned),
        packets: info.packets,
        bytes: info.bytes,
        first_packet_at: info.first_packet_at.map(|at| at.to_rfc3339()),
        last_packet_at: info.last_packet_at.map(|at| at.to_rfc3339()),
        link_types: info.link_types.iter().map(ToString::to_string).collect(),
        dropped_packets: info.dropped_packets,
        unread_secrets_bytes: info.skipped_secrets_bytes,
        complete: info.complete,
        error: info
            .error
            .as_ref()
            .map(|error| model::InputError { offset: error.offset, reason: error.reason.clone() }),
    }
}

/// Builds the report's verdict on `record`, without its reason and without an opinion on what is encrypted: as far as it
/// is counted.
#[must_use]
pub fn verdict(record: &ConnectionRecord) -> model::Verdict<'static> {
    let verdict = &record.verdict;
    let (code, cause, blind) = match verdict.kind {
        Kind::Coded(code) => (code.map(|code| code.0), None, None),
        Kind::Abnormal(cause) => (Some(1006), Some(cause.name()), None),
        Kind::Unknown(blind) => (None, None, Some(blind.name())),
        Kind::Refused | Kind::Open => (None, None, None),
    };
    model::Verdict {
        label: verdict.kind.label(),
        kind: verdict.kind.name().into(),
        code,
        cause: cause.map(Cow::Borrowed),
        closed_by: verdict.closed_by.map(|by| by.name().into()),
        blind: blind.map(Cow::Borrowed),
        clean: verdict.clean,
        why: Cow::Borrowed(""),
        probable: None,
    }
}

fn close<'a>(
    record: &ConnectionRecord,
    side: Side,
    frame: &'a CloseFrame,
    context: Context<'a>,
) -> model::Close<'a> {
    let teardown = &record.teardown;
    let proof = if teardown.close_answered(side) {
        "answered"
    } else if teardown.close_delivered(side) {
        "acknowledged"
    } else if record.vantage.vantage.is_at(side.other()) {
        "arrived"
    } else {
        "sent"
    };
    let (reason, reason_base64) = text(&frame.reason);
    model::Close {
        code: frame.code.map(|code| code.0),
        body: body_name(frame.body).into(),
        reason,
        reason_base64,
        at: frame.at.at,
        file: context.file(frame.at.file),
        packet: frame.at.packet,
        proof: proof.into(),
    }
}

fn handshake<'a>(record: &'a ConnectionRecord, context: Context<'_>) -> model::Handshake<'a> {
    let (request, response) = (record.handshake.request.as_ref(), record.handshake.response.as_ref());
    let value = |bytes: Option<&'a [u8]>| -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
        match bytes {
            Some(_) if context.redact => (Some(REDACTED.into()), None),
            Some(bytes) => {
                let (text, base64) = text(bytes);
                (Some(text), base64)
            }
            None => (None, None),
        }
    };
    let path =
        request.map(|request| if context.redact { without_query(request.path()) } else { request.path() });
    let (path, path_base64) = path.filter(|path| !path.is_empty()).map_or((None, None), |path| {
        let (text, base64) = text(path);
        (Some(text), base64)
    });
    let (host, host_base64) = value(request.and_then(|request| request.host()));
    let (origin, origin_base64) = value(request.and_then(|request| request.origin.as_deref()));
    let (user_agent, user_agent_base64) = value(request.and_then(|request| request.user_agent.as_deref()));
    let (server, server_base64) = value(response.and_then(|response| response.server.as_deref()));
    let (subprotocol, subprotocol_base64) =
        value(response.and_then(|response| response.subprotocol.as_deref()));
    model::Handshake {
        seen: handshake_seen(record).into(),
        status: response.map(|response| response.status),
        // Of HTTP/2 with a hole a header field may be unknown.
        method: request.filter(|it| !it.method.is_empty()).map(|request| text(&request.method).0),
        host,
        host_base64,
        path,
        path_base64,
        origin,
        origin_base64,
        user_agent,
        user_agent_base64,
        server,
        server_base64,
        subprotocol,
        subprotocol_base64,
        extensions: extensions(response.and_then(|response| response.extensions.as_deref()), context),
        accept_valid: record.handshake.accept_valid().filter(|_| response.is_some_and(|it| it.status == 101)),
        request_packet: request.map(|request| request.at.packet),
        response_packet: response.map(|response| response.at.packet),
    }
}

fn extensions<'a>(value: Option<&'a [u8]>, context: Context<'_>) -> Vec<Cow<'a, str>> {
    match value {
        Some(_) if context.redact => vec![REDACTED.into()],
        Some(value) => value.split(|byte| *byte == b',').map(|item| text(item.trim_ascii()).0).collect(),
        None => Vec::new(),
    }
}

/// A path up to its query.
fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'?' || *byte == b'#').next().unwrap_or_default()
}

/// Bytes as text, bad UTF-8 replaced by U+FFFD, then with the exact bytes in base64.
pub(super) fn text(bytes: &[u8]) -> (Cow<'_, str>, Option<Cow<'_, str>>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), None),
        Err(_) => (String::from_utf8_lossy(bytes), Some(STANDARD.encode(bytes).into())),
    }
}

fn address(endpoint: Endpoint) -> model::Address {
    model::Address { address: endpoint.address, port: endpoint.port }
}

pub(super) fn sides<T>(both: PerSide<T>) -> model::Sides<T> {
    model::Sides { client: both.client, server: both.server }
}

fn carrier(record: &ConnectionRecord) -> &'static str {
    match (record.tls.is_some(), record.teardown.stream.is_some()) {
        (false, false) => "tcp",
        (true, false) => "tls",
        (false, true) => "h2",
        (true, true) => "tls+h2",
    }
}

fn end_name(end: &TcpEnd) -> &'static str {
    match (end.frame, end.kind) {
        (Some(StreamEnd::EndStream), _) => "end_stream",
        (Some(StreamEnd::RstStream(_)), _) => "rst_stream",
        (Some(StreamEnd::GoAway(_)), _) => "goaway",
        (None, TcpEndKind::Fin) => "fin",
        (None, TcpEndKind::Rst) => "rst",
    }
}

fn error_name(frame: StreamEnd) -> Option<Cow<'static, str>> {
    match frame {
        StreamEnd::EndStream => None,
        StreamEnd::RstStream(error) | StreamEnd::GoAway(error) => {
            Some(error.name().map_or_else(|| error.to_string().into(), Cow::Borrowed))
        }
    }
}

fn body_name(body: CloseBody) -> &'static str {
    match body {
        CloseBody::Empty => "empty",
        CloseBody::Code => "code",
        CloseBody::Malformed => "malformed",
        CloseBody::Missing => "missing",
    }
}
