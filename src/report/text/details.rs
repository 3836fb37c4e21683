//! What `--verbose` shows under a connection.

use super::files::FileNames;
use super::words::{counted, duration, time_of_day};
use crate::report::escape::{cell, terminal};
use crate::report::model::{Connection, Evidence, Handshake, Traffic};

/// Columns of one header's value.
const VALUE_WIDTH: usize = 100;

/// The lines under a connection: why, what was agreed on, what was sent, and the packets that prove it.
pub(super) fn of(connection: &Connection, files: &FileNames) -> Vec<String> {
    let mut lines = vec![terminal(&connection.verdict.why)];
    lines.extend(agreed(&connection.handshake));
    let traffic = &connection.traffic;
    if traffic.client.frames > 0 || traffic.server.frames > 0 {
        lines.push(format!("client sent {}; server sent {}", sent(&traffic.client), sent(&traffic.server)));
    }
    if let Some(idle) = connection.idle_before_end_s.filter(|idle| *idle >= 1.0) {
        lines.push(format!("no payload in its last {}", duration(idle)));
    }
    if !connection.anomalies.is_empty() {
        lines.push(format!("oddities: {}", connection.anomalies.join(", ")));
    }
    lines.extend(connection.evidence.iter().map(|item| evidence(item, files)));
    lines
}

/// What the handshake says of the two and of their agreement.
fn agreed(handshake: &Handshake) -> Option<String> {
    let extensions = handshake.extensions.join(", ");
    let values = [
        ("origin", handshake.origin.as_deref()),
        ("user agent", handshake.user_agent.as_deref()),
        ("server", handshake.server.as_deref()),
        ("subprotocol", handshake.subprotocol.as_deref()),
        ("extensions", Some(extensions.as_str()).filter(|text| !text.is_empty())),
    ];
    let known = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let texts: Vec<String> =
        known.map(|(name, value)| format!("{name} {}", cell(value, VALUE_WIDTH))).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// `8 messages (1,200 bytes), 1 ping`.
fn sent(traffic: &Traffic) -> String {
    let mut text =
        format!("{} ({})", counted(traffic.messages, "message"), counted(traffic.payload_bytes, "byte"));
    for (count, noun) in [(traffic.pings, "ping"), (traffic.pongs, "pong")] {
        if count > 0 {
            text += &format!(", {}", counted(count, noun));
        }
    }
    text
}

fn evidence(item: &Evidence, files: &FileNames) -> String {
    let packet = format!("packet {}{}", item.packet, files.reference(&item.file));
    format!("{packet:<14}  {}  {:<6}  {}", time_of_day(&item.at, 6), item.from, terminal(&item.what))
}
