//! The packets that prove a verdict, in order.

use super::build::Context;
use super::model;
use super::numbers::quoted;
use super::text::words::ordinal;
use super::tls::alert_text;
use crate::analyzer::record::ConnectionRecord;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::reset::Reset;
use crate::tls::shape::Probable;
use crate::verdict::teardown::{Sight, Teardown};
use crate::websocket::close::{CloseBody, CloseFrame};
use std::borrow::Cow;

/// The evidence for `record`'s verdict, by packet.
pub(super) fn of<'a>(record: &ConnectionRecord, context: Context<'a>) -> Vec<model::Evidence<'a>> {
    let mut items = opening(record);
    for side in Side::BOTH {
        ending(&record.teardown, side, &mut items);
        items.extend(probable(record, side));
    }
    items.sort_by_key(|(at, ..)| *at);
    items
        .into_iter()
        .map(|(at, from, what)| model::Evidence {
            file: context.file(at.file),
            packet: at.packet,
            at: at.at,
            from: from.name().into(),
            what,
        })
        .collect()
}

type Item = (Moment, Side, Cow<'static, str>);

/// The records that an opinion on an encrypted connection rests on.
fn probable(record: &ConnectionRecord, side: Side) -> impl Iterator<Item = Item> {
    let probable = record.probable.as_deref();
    let at = |sides: fn(&Probable) -> &PerSide<Option<Moment>>| probable.and_then(|it| sides(it)[side]);
    let close = at(|it| &it.close).map(|at| (at, side, "record of a Close's size".into()));
    let notify = at(|it| &it.close_notify).map(|at| (at, side, "record of a close_notify's size".into()));
    close.into_iter().chain(notify)
}

fn opening(record: &ConnectionRecord) -> Vec<Item> {
    let opening = &record.teardown.opening;
    let mut items = Vec::with_capacity(8);
    if let Some(at) = opening.request {
        items.push((at, Side::Client, "Upgrade request".into()));
    }
    if let Some(answer) = opening.response {
        let mismatch = answer.status == 101 && answer.accept_valid == Some(false);
        let fault = if mismatch { ", Sec-WebSocket-Accept does not match" } else { "" };
        items.push((answer.at, Side::Server, status_text(answer.status, fault)));
    }
    if opening.request.is_none()
        && let Some(at) = opening.syn
    {
        items.push((at, Side::Client, "SYN".into()));
    }
    items
}

fn ending(teardown: &Teardown, side: Side, items: &mut Vec<Item>) {
    if let Some(close) = &teardown.close[side] {
        items.push((close.at, side, close_text(close)));
    }
    let frame_at = frames(teardown, side, items);
    if let Some(fin) = teardown.fin[side].filter(|fin| Some(fin.at) != frame_at) {
        items.push((fin.at, side, "FIN".into()));
    }
    if let Some(reset) = teardown.reset[side].as_ref().filter(|reset| Some(reset.at) != frame_at) {
        items.push((reset.at, side, reset_text(reset)));
    }
    if let Some(secrecy) = &teardown.tls {
        if let Some(notify) = secrecy.close_notify[side] {
            items.push((notify.at, side, "TLS close_notify".into()));
        }
        if let Some(alert) = secrecy.alert[side] {
            items.push((alert.at, side, alert_text(alert.description)));
        }
    }
    let unanswered = teardown.unanswered[side];
    if unanswered.proves_death(teardown.unanswered_limit) {
        items.push((unanswered.first, side, "bytes that were never answered".into()));
        let again = format!("sent for the {} time", ordinal(unanswered.sendings));
        items.push((unanswered.last, side, again.into()));
    }
    if let Some((_, syns)) = teardown.gave_up_opening().filter(|(asking, _)| *asking == side)
        && !syns.proves_death(teardown.unanswered_limit)
    {
        items.push((syns.last, side, "its SYN again, which was never answered".into()));
    }
    if let Some(Some(at)) = teardown.nonsense_frame[side] {
        items.push((at, side, "a frame begins that no sound sender writes, and never ends".into()));
    }
    if let Sight::Lost(lost) = teardown.sight[side]
        && let Some(at) = lost.at
    {
        items.push((at, side, format!("bytes from here on are unknown ({})", lost.blind.name()).into()));
    }
}

/// The frames with which `side` ended its stream of HTTP/2; gives the moment of the one that did.
fn frames(teardown: &Teardown, side: Side, items: &mut Vec<Item>) -> Option<Moment> {
    let stream = teardown.stream.as_deref()?;
    if let Some(at) = stream.blocked[side] {
        items.push((at, side, "flow-control window used up".into()));
    }
    let (end, goaway) = (stream.ends[side], stream.goaway[side]);
    if let Some((at, error)) = goaway.filter(|(at, _)| end.is_none_or(|(end, _)| end != *at)) {
        items.push((at, side, format!("GOAWAY ({error})").into()));
    }
    let (at, how) = end?;
    items.push((at, side, how.to_string().into()));
    Some(at)
}

fn status_text(status: u16, fault: &str) -> Cow<'static, str> {
    match (status, fault) {
        (101, "") => "status 101".into(),
        _ => format!("status {status}{fault}").into(),
    }
}

fn close_text(close: &CloseFrame) -> Cow<'static, str> {
    let reason = String::from_utf8_lossy(&close.reason);
    match (close.code, close.body) {
        (Some(code), _) if reason.is_empty() => format!("Close {}", code.0).into(),
        (Some(code), _) => format!("Close {} {}", code.0, quoted(&reason)).into(),
        (None, CloseBody::Empty) => "Close, empty".into(),
        (None, CloseBody::Missing) => "Close, its code not in the capture".into(),
        (None, _) => "Close, malformed".into(),
    }
}

fn reset_text(reset: &Reset) -> Cow<'static, str> {
    let ack = if reset.acked.is_some() { "RST+ACK" } else { "RST" };
    format!("{ack} (window {}, TTL {})", reset.window, reset.ttl).into()
}
