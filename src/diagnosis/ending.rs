//! What is said where nothing else explains an end.

use super::facts::{Facts, How};
use super::finding::{Confidence, Diagnosis, Id};
use crate::verdict::judge::judge;
use crate::verdict::verdict::{Cause, Kind, packet};

/// A handshake that failed.
pub(super) fn handshake(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    if facts.verdict.kind != Kind::Refused {
        return;
    }
    let answer = facts.teardown.opening.response;
    let (title, advice) = match answer.map(|answer| answer.status) {
        Some(101) => (
            "were refused by the client after a 101".to_owned(),
            "let the server answer the key, subprotocol and extensions that the client sent",
        ),
        Some(status) => (format!("were refused with HTTP status {status}"), status_advice(status)),
        None => unanswered(facts),
    };
    out.push(Diagnosis {
        id: Id::HandshakeFailed,
        confidence: Confidence::Certain,
        text: judge::<String>(facts.teardown).why,
        advice: Some(advice.to_owned()),
        title,
        packets: vec![answer.map_or(facts.end_or_last(), |answer| answer.at)],
    });
}

/// What to look at after an answer with `status`.
fn status_advice(status: u16) -> &'static str {
    match status {
        401 | 403 | 407 => "see the credentials, and the Origin that the server or a proxy allows",
        404 => "see the path, and whether the proxy routes it to the WebSocket server",
        400 | 426 => {
            "see the request's Sec-WebSocket-Version and key, and whether a proxy drops its Upgrade and Connection headers"
        }
        200..=299 => {
            "see whether that path leads to the WebSocket server: something answered an ordinary request"
        }
        300..=399 => {
            "give the client the address that the answer redirects to: many clients follow no redirect"
        }
        502..=504 => {
            "the server, or the one behind a proxy, is down or overloaded: see its log and the proxy's"
        }
        _ => "see the server's log for the reason",
    }
}

/// How far a handshake came that was never answered whole, and what to look at.
fn unanswered(facts: &Facts<'_>) -> (String, &'static str) {
    let opening = &facts.teardown.opening;
    let (what, advice) = match (opening.request, opening.syn_ack) {
        (Some(_), _) => (
            "were never answered whole after their Upgrade request",
            "see the server's log: it took the request, and closed or fell silent before its answer was whole",
        ),
        (None, Some(_)) => (
            "ended before a whole Upgrade request was sent",
            "see the client: it connected and asked for nothing (a health check or port scan does so, too)",
        ),
        (None, None) => (
            "never got a TCP connection",
            "see whether the server listens there, and what firewall stands before it",
        ),
    };
    (what.to_owned(), advice)
}

/// A FIN without a Close, and nothing that explains it.
pub(super) fn no_close(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    let Some(end) = facts.end().filter(|end| end.how == How::Fin) else { return };
    if !end.is_tls && facts.abnormal() != Some(Cause::Fin) {
        return;
    }
    let frame = facts.teardown.tcp_end().and_then(|end| end.frame);
    let stream_end = frame.filter(|_| !end.is_tls);
    let closed = match (end.is_tls, stream_end) {
        (true, _) => "ended TLS".to_owned(),
        (false, Some(frame)) => format!("ended the stream by {frame}"),
        (false, None) => "closed TCP".to_owned(),
    };
    let side = end.by;
    let suspects = match (*facts.is_proxy.get(side), stream_end) {
        (true, _) => {
            "it was stopped, a limit of its own ran out, or whoever stands behind it dropped the connection"
        }
        // Only a program that runs sends the frame: one that is killed leaves its end to TCP.
        (false, Some(_)) => "its program, or a proxy in its place, ended the stream and kept its connection",
        (false, None) => "its process ended or was killed, or it (or a proxy in its place) drops connections",
    };
    out.push(Diagnosis {
        id: Id::NoClose,
        confidence: Confidence::Possible,
        text: format!("{} {closed} in {} without a Close: {suspects}", facts.who(side), packet(end.at)),
        advice: Some(format!(
            "let {side} send a Close before it ends, 1001 on shutdown; see its log at {}",
            end.at.at.time_of_day()
        )),
        title: format!("were closed by {side} without a Close"),
        packets: vec![end.at],
    });
}
