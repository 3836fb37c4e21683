//! What stands under a connection's line: why it was lost; with `--verbose`, everything that is known.

use super::files::FileNames;
use super::words::{counted, duration, stream_filter, time_of_day, untold};
use crate::report::diagnosis::Diagnosis;
use crate::report::escape::{cell, terminal};
use crate::report::model::{Connection, Endpoint, Evidence, Handshake, Probable, Traffic};
use crate::report::numbers::renamed;

/// Columns of one header's value.
const VALUE_WIDTH: usize = 100;

/// The line under a connection that was lost, or whose end can't be told: the strongest cause, else the reasons.
pub(super) fn brief(connection: &Connection<'_>) -> Vec<String> {
    let verdict = &connection.verdict;
    let why = match (&*verdict.kind, connection.diagnosis.first()) {
        ("abnormal", Some(strongest)) => strongest.text.as_str(),
        ("abnormal", None) | ("unknown", _) => &*verdict.why,
        _ => return Vec::new(),
    };
    let probable = verdict.probable.as_ref().map(|probable| terminal(&probable.text));
    std::iter::once(terminal(why)).chain(probable).collect()
}

/// What stands under a connection that ended as the one listed before it did: in the same words, in other packets.
pub(super) fn likewise<T: AsRef<str>>(before: &[T], now: &[T]) -> Option<String> {
    let ([before], [now]) = (before, now) else { return None };
    let ((before, _), (now, packets)) = (without_packets(before.as_ref()), without_packets(now.as_ref()));
    if before != now {
        return None;
    }
    Some(match packets.split_last() {
        None => "likewise".to_owned(),
        Some((only, [])) => format!("likewise, in packet {only}"),
        Some((last, others)) => format!("likewise, in packets {} and {last}", others.join(", ")),
    })
}

/// `text` without its packets' numbers, and these, with their files.
fn without_packets(text: &str) -> (String, Vec<String>) {
    let mut packets = Vec::new();
    let rest = renamed(text, |named| {
        let file = named.file.map(|file| format!(" of file {file}")).unwrap_or_default();
        packets.push(format!("{}{file}", named.packet));
        "packet ".to_owned()
    });
    (rest, packets)
}

/// The lines under a connection: why, what each application was told, what was agreed on, what was sent, the causes
/// with their advice, and the packets that prove it.
pub(super) fn of(connection: &Connection<'_>, files: &FileNames) -> Vec<String> {
    let mut lines = vec![terminal(&connection.verdict.why)];
    if let Some(probable) = &connection.verdict.probable {
        lines.push(terminal(&probable.text));
        lines.push(likeness(probable));
    }
    if connection.verdict.kind != "open" {
        let told = [("client", &connection.endpoints.client), ("server", &connection.endpoints.server)];
        let kind = &connection.verdict.kind;
        lines.push(
            told.map(|(side, endpoint)| format!("{side} was told {}", code(endpoint, kind))).join("; "),
        );
    }
    lines.extend(stream_filter(connection).map(|filter| format!("HTTP/2 stream; in Wireshark: {filter}")));
    lines.extend(connection.diagnosis.iter().map(cause));
    lines.extend(agreed(&connection.handshake));
    let traffic = &connection.traffic;
    if traffic.client.frames > 0 || traffic.server.frames > 0 {
        lines.push(format!("client sent {}; server sent {}", sent(&traffic.client), sent(&traffic.server)));
    }
    if let Some(idle) = connection.idle_before_end_s.filter(|idle| *idle >= 1.0) {
        lines.push(format!("no payload in its last {}", duration(idle)));
    }
    if !connection.anomalies.is_empty() {
        lines.push(format!("oddities: {}", terminal(&connection.anomalies.join(", "))));
    }
    lines.extend(connection.evidence.iter().map(|item| evidence(item, files)));
    lines
}

/// Why it is taken for a WebSocket, or is not.
fn likeness(probable: &Probable<'_>) -> String {
    let signs = probable.websocket_signs.join("; ");
    format!("WebSocket by {} of 100: {}", probable.websocket_score, terminal(&signs))
}

/// `1006 (certain)`, `1001 or 1006 (ambiguous)`; with what its library makes of it.
fn code(endpoint: &Endpoint<'_>, kind: &str) -> String {
    let one = |code: Option<u16>, alternatives: &[u16], certainty: &str| match code {
        Some(code) => {
            let codes: Vec<String> = std::iter::once(&code).chain(alternatives).map(u16::to_string).collect();
            format!("{} ({certainty})", codes.join(" or "))
        }
        None => untold(kind, certainty).to_owned(),
    };
    let rfc = one(endpoint.code, &endpoint.alternatives, &endpoint.certainty);
    match &endpoint.reported_as {
        Some(said) => {
            let code = one(said.code, &said.alternatives, &said.certainty);
            format!("{rfc}, which {} reports as {code}", terminal(&said.library))
        }
        None => rfc,
    }
}

/// One cause, with its advice.
fn cause(diagnosis: &Diagnosis<'_>) -> String {
    let advice = diagnosis.advice.as_ref().map_or_else(String::new, |advice| format!(". Advice: {advice}"));
    terminal(&format!("{}: {}{advice}", diagnosis.confidence, diagnosis.text))
}

/// What the handshake says of the two and of their agreement.
fn agreed(handshake: &Handshake<'_>) -> Option<String> {
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

fn evidence(item: &Evidence<'_>, files: &FileNames) -> String {
    let packet = format!("packet {}{}", item.packet, files.reference(&item.file));
    format!(
        "{packet:<14}  {}  {:<6}  {}",
        time_of_day(&item.at.to_rfc3339(), 6),
        item.from,
        terminal(&item.what)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_words_in_other_packets_are_likewise() {
        let short = |before: &str, now: &str| likewise(&[before], &[now]);
        assert_eq!(
            short("FIN by server in packet 7; none before", "FIN by server in packet 19; none before")
                .as_deref(),
            Some("likewise, in packet 19")
        );
        assert_eq!(
            short("packet 1, packet 2 and packet 3", "packet 4, packet 5 and packet 6").as_deref(),
            Some("likewise, in packets 4, 5 and 6")
        );
        assert_eq!(
            short("FIN by server in packet 7 of file 1", "FIN by server in packet 7 of file 2").as_deref(),
            Some("likewise, in packet 7 of file 2")
        );
        assert_eq!(short("no packet shows it", "no packet shows it").as_deref(), Some("likewise"));
        assert_eq!(short("FIN by server in packet 7", "FIN by client in packet 7"), None);
        assert_eq!(short("after 3 s, packet 7", "after 4 s, packet 8"), None);
        assert_eq!(likewise::<&str>(&[], &[]), None);
    }
}
