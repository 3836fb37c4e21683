//! What drew a coded Close: the message, the violation, the protocol's own reason.

use super::facts::{Facts, How};
use super::finding::{Confidence, Diagnosis, Id};
use super::services;
use super::words::duration;
use crate::anomaly::Anomaly;
use crate::side::Side;
use crate::verdict::verdict::packet;
use crate::websocket::close::CloseFrame;
use crate::websocket::close_code::CloseCode;
use crate::websocket::vitals::Farewell;

/// Oddities that a peer may fail the connection for, with 1002 or 1007.
const VIOLATIONS: &[(Anomaly, Option<Side>)] = &[
    (Anomaly::UnmaskedClientFrame, Some(Side::Client)),
    (Anomaly::MaskedServerFrame, Some(Side::Server)),
    (Anomaly::FragmentedControlFrame, None),
    (Anomaly::OversizedControlFrame, None),
    (Anomaly::ReservedOpcode, None),
    (Anomaly::ReservedBits, None),
    (Anomaly::NonMinimalLength, None),
    (Anomaly::FragmentationError, None),
    (Anomaly::CloseBodyMalformed, None),
    (Anomaly::CloseCodeReserved, None),
];
/// No receiver limits its messages to less, in bytes: a 1009 after smaller ones is an application's own.
const SMALLEST_LIMIT: u64 = 512;
/// A browser that leaves its page closes TCP within this time of its Close, in seconds.
const LEAVES_WITHIN: f64 = 0.1;

/// What came before the Close.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    let Some((side, close)) = facts.first_close() else { return };
    out.extend(farewell(facts, side, close));
    let Some(code) = close.code else { return };
    let found = match code {
        CloseCode::MESSAGE_TOO_BIG => too_big(facts, side, close),
        CloseCode::PROTOCOL_ERROR | CloseCode::INVALID_PAYLOAD => violation(facts, side, close),
        CloseCode::GOING_AWAY => Some(going_away(facts, side, close)),
        CloseCode::NORMAL => None,
        _ if !code.is_valid_on_wire() => Some(reserved(side, close, code)),
        _ => protocol_code(facts, side, close, code),
    };
    let other = || (code != CloseCode::NORMAL).then(|| meaning(side, close, code));
    out.extend(found.or_else(other));
}

fn too_big(facts: &Facts<'_>, side: Side, close: &CloseFrame) -> Option<Diagnosis> {
    let peer = side.other();
    let sizes = facts.vitals.sides[peer].sizes;
    let is_small = sizes.largest < SMALLEST_LIMIT;
    // Of compressed messages one larger than those accepted before is suspect, whatever its size.
    let is_suspect = sizes.compressed && sizes.before > 0 && sizes.largest > sizes.before;
    if sizes.largest_at > close.at || (is_small && !is_suspect) {
        return None;
    }
    let compressed = if sizes.compressed { " (compressed)" } else { "" };
    // Unpacked it may be a thousand times as large, and over any limit.
    let confidence = if is_small { Confidence::Possible } else { Confidence::Certain };
    let accepted = match sizes.before {
        0 => "it had accepted none before".to_owned(),
        before => format!("the largest it had accepted before had {before} bytes"),
    };
    Some(Diagnosis {
        id: Id::MessageTooBig,
        confidence,
        text: format!(
            "{side} sent Close 1009 in {} after {peer}'s message of {} bytes{compressed} in {}; {accepted}",
            packet(close.at),
            sizes.largest,
            packet(sizes.largest_at)
        ),
        advice: Some(format!(
            "raise {side}'s limit for messages above {} bytes, or let {peer} split them",
            sizes.largest
        )),
        title: format!("sent a message that was too big for {side}"),
        packets: vec![sizes.largest_at, close.at],
    })
}

fn violation(facts: &Facts<'_>, side: Side, close: &CloseFrame) -> Option<Diagnosis> {
    let peer = side.other();
    let broken: Vec<&str> = VIOLATIONS
        .iter()
        .filter(|(anomaly, by)| by.is_none_or(|by| by == peer) && facts.anomalies.contains(*anomaly))
        .map(|(anomaly, _)| anomaly.meaning().trim().trim_end_matches('.'))
        .collect();
    let code = close.code?;
    if broken.is_empty() {
        return None;
    }
    Some(Diagnosis {
        id: Id::ProtocolViolation,
        confidence: Confidence::Likely,
        text: format!(
            "{side} sent Close {} in {} because the connection broke a rule: {}",
            code.0,
            packet(close.at),
            broken.join("; ")
        ),
        advice: Some(format!("find what sends such frames at {peer}, or alters them on the way")),
        title: format!("broke the protocol, and {side} said so"),
        packets: vec![close.at],
    })
}

fn reserved(side: Side, close: &CloseFrame, code: CloseCode) -> Diagnosis {
    Diagnosis {
        id: Id::ReservedCode,
        confidence: Confidence::Certain,
        text: format!(
            "{side} put the code {} on the wire in {}, which must not stand there",
            code.0,
            packet(close.at)
        ),
        advice: Some(format!("let {side} send 1000, 1001, 1008, 1011 or a code of 3000 to 4999")),
        title: format!("were closed by {side} with a code that must not be sent"),
        packets: vec![close.at],
    }
}

fn going_away(facts: &Facts<'_>, side: Side, close: &CloseFrame) -> Diagnosis {
    let tcp_end = facts.teardown.tcp_end().filter(|end| end.by == side);
    let left = tcp_end.is_some_and(|end| end.at.at.seconds_since(close.at.at) < LEAVES_WITHIN)
        && !facts.teardown.close_answered(side);
    let (id, text) = match side {
        Side::Client if left || facts.names(Side::Client, "Mozilla/") => (
            Id::PageLeft,
            format!(
                "client left in {}, as a browser does when its page or tab is closed; a page that is kept and comes back (BFCache) is told 1006, one that is gone nothing: the packets can't tell which",
                packet(close.at)
            ),
        ),
        Side::Client => (Id::PageLeft, format!("client went away in {} and said so", packet(close.at))),
        Side::Server => (
            Id::ServerGoesAway,
            format!("server goes away: it said so in {}, as on shutdown or an idle limit", packet(close.at)),
        ),
    };
    note(id, text, close)
}

/// A code with a meaning in the subprotocol agreed on, or of the service spoken to.
fn protocol_code(facts: &Facts<'_>, side: Side, close: &CloseFrame, code: CloseCode) -> Option<Diagnosis> {
    let meaning = services::meaning(code, facts.subprotocol, facts.host)?;
    Some(Diagnosis {
        id: Id::ProtocolCode,
        confidence: Confidence::Certain,
        text: format!(
            "{side} sent Close {} in {}: \"{}\" in {}",
            code.0,
            packet(close.at),
            meaning.name,
            meaning.by
        ),
        advice: Some(if meaning.may_reconnect {
            "see its documents; the client may reconnect with backoff".to_owned()
        } else {
            "see its documents; the client must change something before it reconnects".to_owned()
        }),
        title: format!("were closed with {} \"{}\"", code.0, meaning.name),
        packets: vec![close.at],
    })
}

/// What the code says by itself: orientation, as nothing else shows a cause.
fn meaning(side: Side, close: &CloseFrame, code: CloseCode) -> Diagnosis {
    let reason = String::from_utf8_lossy(&close.reason);
    let reason = if reason.is_empty() { String::new() } else { format!(" with the reason {reason:?}") };
    let name = code.name().unwrap_or("a code of the application's own");
    note(
        Id::CodeMeaning,
        format!("{side} sent Close {} ({name}){reason} in {}", code.0, packet(close.at)),
        close,
    )
}

/// Did an application protocol announce the end?
fn farewell(facts: &Facts<'_>, side: Side, close: &CloseFrame) -> Option<Diagnosis> {
    let (farewell, at) = facts.vitals.sides[side].farewell.as_deref().copied()?;
    let what = match farewell {
        Farewell::EngineIoClose => "Engine.IO \"close\"",
        Farewell::SocketIoDisconnect => "Socket.IO \"disconnect\"",
        Farewell::SignalRClose => "SignalR \"close\"",
        Farewell::TypeDisconnect => "a \"disconnect\" message",
    };
    let before = close.at.at.seconds_since(at.at);
    let text = format!(
        "{side} sent {what} in {}, {} before its Close: the application's protocol ended the session",
        packet(at),
        duration(before)
    );
    (facts.end().is_some_and(|end| matches!(end.how, How::Close(_)))).then(|| note(Id::Farewell, text, close))
}

fn note(id: Id, text: String, close: &CloseFrame) -> Diagnosis {
    Diagnosis {
        id,
        confidence: Confidence::Likely,
        text,
        advice: None,
        title: String::new(),
        packets: vec![close.at],
    }
}
