//! A connection as one row of a table: the columns that CSV and Parquet share.

use super::model::{Close, Connection, Traffic};
use crate::time::Timestamp;
use std::borrow::Cow;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; may be anything that the packets held.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Real,
    /// True or false.
    Flag,
    /// A point in time.
    Time,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(u64),
    /// A number.
    Real(f64),
    /// True or false.
    Flag(bool),
    /// A point in time.
    Time(Timestamp),
}

/// A column: its name, its kind, what it is, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The field of the JSON report that holds the same.
    pub field: &'static str,
    /// Its value, where there is one.
    pub of: for<'a> fn(&'a Connection<'_>) -> Option<Value<'a>>,
}

macro_rules! columns {
    ($( $name:literal $kind:ident $field:literal: $of:expr; )+) => {
        /// The columns, in order.
        pub const COLUMNS: &[Column] = &[ $( Column {
            name: $name,
            kind: Kind::$kind,
            field: $field,
            of: {
                fn of<'a>(connection: &'a Connection<'_>) -> Option<Value<'a>> {
                    let of: fn(&'a Connection<'_>) -> _ = $of;
                    Option::from(of(connection)).map(Value::$kind)
                }
                of
            },
        } ),+ ];
    };
}

columns! {
    "id" Integer "id": |c| c.id;
    "file" Text "file": |c| text(&c.file);
    "tcp_stream" Integer "tcp_stream": |c| c.tcp_stream.map(u64::from);
    "h2_stream" Integer "h2_stream": |c| c.h2_stream.map(u64::from);
    "client_address" Text "client.address": |c| owned(c.client.address.to_string());
    "client_port" Integer "client.port": |c| u64::from(c.client.port);
    "server_address" Text "server.address": |c| owned(c.server.address.to_string());
    "server_port" Integer "server.port": |c| u64::from(c.server.port);
    "carrier" Text "carrier": |c| text(&c.carrier);
    "encapsulation" Text "encapsulation": |c| list(&c.encapsulation);
    "opened_at" Time "opened_at": |c| c.opened_at;
    "ended_at" Time "ended_at": |c| c.ended_at;
    "duration_s" Real "duration_s": |c| c.duration_s;
    "idle_before_end_s" Real "idle_before_end_s": |c| c.idle_before_end_s;
    "label" Text "verdict.label": |c| text(&c.verdict.label);
    "kind" Text "verdict.kind": |c| text(&c.verdict.kind);
    "code" Integer "verdict.code": |c| c.verdict.code.map(u64::from);
    "cause" Text "verdict.cause": |c| c.verdict.cause.as_deref().map(text);
    "closed_by" Text "verdict.closed_by": |c| c.verdict.closed_by.as_deref().map(text);
    "blind" Text "verdict.blind": |c| c.verdict.blind.as_deref().map(text);
    "clean" Flag "verdict.clean": |c| c.verdict.clean;
    "why" Text "verdict.why": |c| text(&c.verdict.why);
    "probable" Text "verdict.probable.text": |c| c.verdict.probable.as_ref().map(|it| text(&it.text));
    "client_close_code" Integer "close.client.code": |c| code(c.close.client.as_ref());
    "client_close_reason" Text "close.client.reason": |c| reason(c.close.client.as_ref());
    "server_close_code" Integer "close.server.code": |c| code(c.close.server.as_ref());
    "server_close_reason" Text "close.server.reason": |c| reason(c.close.server.as_ref());
    "teardown" Text "teardown.kind": |c| text(&c.teardown.kind);
    "teardown_by" Text "teardown.by": |c| c.teardown.by.as_deref().map(text);
    "client_told" Integer "endpoints.client.code": |c| c.endpoints.client.code.map(u64::from);
    "client_told_certainty" Text "endpoints.client.certainty": |c| text(&c.endpoints.client.certainty);
    "server_told" Integer "endpoints.server.code": |c| c.endpoints.server.code.map(u64::from);
    "server_told_certainty" Text "endpoints.server.certainty": |c| text(&c.endpoints.server.certainty);
    "vantage" Text "vantage.at": |c| text(&c.vantage.at);
    "status" Integer "handshake.status": |c| c.handshake.status.map(u64::from);
    "host" Text "handshake.host": |c| c.handshake.host.as_deref().map(text);
    "path" Text "handshake.path": |c| c.handshake.path.as_deref().map(text);
    "origin" Text "handshake.origin": |c| c.handshake.origin.as_deref().map(text);
    "user_agent" Text "handshake.user_agent": |c| c.handshake.user_agent.as_deref().map(text);
    "server_software" Text "handshake.server": |c| c.handshake.server.as_deref().map(text);
    "subprotocol" Text "handshake.subprotocol": |c| c.handshake.subprotocol.as_deref().map(text);
    "tls_version" Text "tls.version": |c| c.tls.as_ref().and_then(|tls| tls.version.as_deref().map(text));
    "sni" Text "tls.sni": |c| c.tls.as_ref().and_then(|tls| tls.sni.as_deref().map(text));
    "client_messages" Integer "traffic.client.messages": |c| c.traffic.client.messages;
    "client_payload_bytes" Integer "traffic.client.payload_bytes": |c| c.traffic.client.payload_bytes;
    "client_ping_round_trip_s" Real "traffic.client.ping_round_trip_s": |c| round_trip(&c.traffic.client);
    "server_messages" Integer "traffic.server.messages": |c| c.traffic.server.messages;
    "server_payload_bytes" Integer "traffic.server.payload_bytes": |c| c.traffic.server.payload_bytes;
    "server_ping_round_trip_s" Real "traffic.server.ping_round_trip_s": |c| round_trip(&c.traffic.server);
    "diagnosis" Text "diagnosis[].id": |c| owned(c.diagnosis.iter().map(|it| it.id.as_ref()).collect::<Vec<_>>().join(", "));
    "anomalies" Text "anomalies": |c| list(&c.anomalies);
}

fn text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

fn owned<'a>(text: String) -> Cow<'a, str> {
    Cow::Owned(text)
}

fn list<'a>(items: &'a [Cow<'_, str>]) -> Cow<'a, str> {
    owned(items.join(", "))
}

fn code(close: Option<&Close<'_>>) -> Option<u64> {
    close?.code.map(u64::from)
}

fn reason<'a>(close: Option<&'a Close<'_>>) -> Option<Cow<'a, str>> {
    close.map(|close| text(&close.reason))
}

fn round_trip(traffic: &Traffic) -> Option<f64> {
    traffic.ping_round_trip_s
}
