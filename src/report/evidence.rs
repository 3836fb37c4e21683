//! The packets that prove a verdict, in order.

use super::build::Context;
use super::model;
use crate::analyzer::record::ConnectionRecord;
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::reset::Reset;
use crate::verdict::teardown::{Sight, Teardown};
use crate::websocket::close::{CloseBody, CloseFrame};

/// The evidence for `record`'s verdict, by packet.
pub(super) fn of(record: &ConnectionRecord, context: Context<'_>) -> Vec<model::Evidence> {
    let mut items = opening(record);
    for side in Side::BOTH {
        ending(&record.teardown, side, &mut items);
    }
    items.sort_by_key(|(at, ..)| *at);
    items
        .into_iter()
        .map(|(at, from, what)| model::Evidence {
            file: context.file(at.file),
            packet: at.packet,
            at: at.at.to_rfc3339(),
            from: from.name().to_owned(),
            what,
        })
        .collect()
}

type Item = (Moment, Side, String);

fn opening(record: &ConnectionRecord) -> Vec<Item> {
    let opening = &record.teardown.opening;
    let mut items = Vec::new();
    if let Some(at) = opening.request {
        items.push((at, Side::Client, "Upgrade request".to_owned()));
    }
    if let Some(answer) = opening.response {
        let mismatch = answer.status == 101 && answer.accept_valid == Some(false);
        let fault = if mismatch { ", Sec-WebSocket-Accept does not match" } else { "" };
        items.push((answer.at, Side::Server, format!("status {}{fault}", answer.status)));
    }
    if opening.request.is_none()
        && let Some(at) = opening.syn
    {
        items.push((at, Side::Client, "SYN".to_owned()));
    }
    items
}

fn ending(teardown: &Teardown, side: Side, items: &mut Vec<Item>) {
    if let Some(close) = &teardown.close[side] {
        items.push((close.at, side, close_text(close)));
    }
    if let Some(fin) = teardown.fin[side] {
        items.push((fin.at, side, "FIN".to_owned()));
    }
    if let Some(reset) = &teardown.reset[side] {
        items.push((reset.at, side, reset_text(reset)));
    }
    let unanswered = teardown.unanswered[side];
    if unanswered.sendings >= teardown.unanswered_limit {
        items.push((unanswered.first, side, "bytes that were never answered".to_owned()));
        items.push((unanswered.last, side, format!("sent for the {}th time", unanswered.sendings)));
    }
    if let Sight::Lost(lost) = teardown.sight[side]
        && let Some(at) = lost.at
    {
        items.push((at, side, format!("bytes from here on are unknown ({})", lost.blind.name())));
    }
}

fn close_text(close: &CloseFrame) -> String {
    let reason = String::from_utf8_lossy(&close.reason);
    match (close.code, close.body) {
        (Some(code), _) if reason.is_empty() => format!("Close {}", code.0),
        (Some(code), _) => format!("Close {} \"{reason}\"", code.0),
        (None, CloseBody::Empty) => "Close, empty".to_owned(),
        (None, CloseBody::Missing) => "Close, its code not in the capture".to_owned(),
        (None, _) => "Close, malformed".to_owned(),
    }
}

fn reset_text(reset: &Reset) -> String {
    let ack = if reset.acked.is_some() { "RST+ACK" } else { "RST" };
    format!("{ack} (window {}, TTL {})", reset.window, reset.ttl)
}
