//! Which code each application was given: every rule, and every row of its matrix, as packets.

use crate::support::capture_file::RawPacket;
use crate::support::conversation::Conversation;
use crate::support::packaging::Packaging;
use crate::support::packet::TcpPacket;
use crate::support::wire;
use std::time::Duration;
use wsclose::analyzer::record::ConnectionRecord;
use wsclose::analyzer::{Analyzer, Options};
use wsclose::capture::PacketRef;
use wsclose::capture::link_type::LinkType;
use wsclose::moment::Moment;
use wsclose::side::Side;
use wsclose::time::Timestamp;
use wsclose::verdict::endpoint::Certainty::{self, Ambiguous, Certain, Likely, Unknown};
use wsclose::verdict::vantage::Vantage;

mod libraries;
mod matrix;
mod rules;
mod vantages;

use Side::{Client, Server};

/// A code, how sure it is, and the other possible one.
type Said = (Option<u16>, Certainty, Option<u16>);

fn certain(code: u16) -> Said {
    (Some(code), Certain, None)
}

fn likely(code: u16) -> Said {
    (Some(code), Likely, None)
}

fn either(code: u16, other: u16) -> Said {
    (Some(code), Ambiguous, Some(other))
}

const UNKNOWN: Said = (None, Unknown, None);

fn analyzed(conn: &Conversation, options: Options) -> ConnectionRecord {
    analyzed_packets(&conn.packets(), options)
}

fn analyzed_packets(packets: &[TcpPacket], options: Options) -> ConnectionRecord {
    let mut analyzer = Analyzer::new(options);
    for (number, packet) in (1..).zip(Packaging::default().apply(packets)) {
        let RawPacket { at_ns, link_type, bytes, original_len } = packet;
        let at = Timestamp::from_nanos(i64::try_from(at_ns).unwrap());
        let packet = PacketRef {
            at: Moment::new(at, number, 0),
            link_type: LinkType(link_type),
            fcs_len: 0,
            range: 0..u32::try_from(bytes.len()).unwrap(),
            original_len,
        };
        analyzer.handle_packet(&packet, &bytes);
    }
    analyzer.finish();
    *analyzer.poll_record().expect("one connection")
}

fn record(conn: &Conversation) -> ConnectionRecord {
    analyzed(conn, Options { ws_ports: vec![9001], ..Options::default() })
}

/// As captured at this place.
fn seen_at(conn: &Conversation, vantage: Vantage) -> ConnectionRecord {
    analyzed(conn, Options { vantage: Some(vantage), ..Options::default() })
}

fn said(record: &ConnectionRecord, side: Side) -> Said {
    let end = &record.endpoints[side];
    (end.code.map(|code| code.0), end.certainty, end.alternative.map(|code| code.0))
}

/// What client and server were told.
fn told(conn: &Conversation) -> (Said, Said) {
    let record = record(conn);
    (said(&record, Client), said(&record, Server))
}

fn close(from: Side, code: u16) -> Vec<u8> {
    wire::close(from, code, "")
}

/// A whole closing handshake, begun by `first`; the server closes TCP.
fn closed_by(first: Side, code: u16, answer: u16) -> Conversation {
    let mut conn = Conversation::opened();
    conn.sends(first, &close(first, code)).sends(first.other(), &close(first.other(), answer));
    conn.fin(Server).fin(Client).acks(Server);
    conn
}

/// Open, with these header lines in request and answer.
fn opened_between(request: &str, answer: &str) -> Conversation {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request_with("/ws", request)).server_acks();
    conn.server_sends(&wire::response_with(answer)).client_acks();
    conn
}

fn seconds(time: u64) -> Duration {
    Duration::from_secs(time)
}
