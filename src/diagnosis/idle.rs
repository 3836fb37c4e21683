//! Idle and lifetime limits: did the connection end when some timer ran out?

use super::facts::{End, Facts, How, Silence};
use super::finding::{Confidence, Diagnosis, Id};
use super::idle_limits::{LIMITS, Limit, Style, Timer, tolerance};
use super::words::{duration, either, seconds_of};
use crate::side::Side;
use crate::verdict::verdict::{Cause, Kind, packet};
use crate::websocket::vitals::Pings;

/// Shorter silences are no sign of a NAT or load balancer that forgot the connection, in seconds.
const FORGOTTEN_MIN: f64 = 60.0;

/// What the silence, or the age, of a connection at its end says.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    out.extend(forgotten(facts));
    let (Some(end), Some(silence)) = (facts.end(), facts.silence()) else { return };
    if !matches!(facts.verdict.kind, Kind::Coded(_) | Kind::Abnormal(Cause::Fin | Cause::Rst)) {
        return;
    }
    let matching: Vec<&Limit> = LIMITS.iter().filter(|limit| fits(facts, &end, &silence, limit)).collect();
    let Some(longest) = matching.iter().map(|limit| limit.seconds).reduce(f64::max) else { return };
    // A second feature: the product names itself, or ends connections with a Close of its own.
    let sure: Vec<&Limit> = matching.iter().copied().filter(|limit| is_named(facts, limit)).collect();
    let (confidence, limits) =
        if sure.is_empty() { (Confidence::Possible, &matching) } else { (Confidence::Likely, &sure) };
    if limits.iter().all(|limit| limit.timer == Timer::Lifetime) {
        out.push(lifetime(facts, &end, confidence, limits));
        return;
    }
    let pinger = slow_pinger(facts, longest);
    out.push(idle(facts, &end, &silence, confidence, limits, pinger));
}

/// Does `limit` explain the end?
fn fits(facts: &Facts<'_>, end: &End, silence: &Silence, limit: &Limit) -> bool {
    let (measured, longest_before) = match limit.timer {
        Timer::Either => (silence.either, facts.vitals.longest_silence),
        Timer::From(side) => (silence.sides[side], facts.vitals.sides[side].longest_silence),
        Timer::Lifetime => (end.at.at.seconds_since(facts.established().at), 0),
    };
    let slack = tolerance(limit.seconds);
    // Asked of every limit for every connection, and true of hardly any.
    if (measured - limit.seconds).abs() > slack {
        return false;
    }
    let style = match (limit.style, end.how) {
        (Style::Fin, How::Fin) | (Style::FinOrRst, How::Fin | How::Rst) => true,
        // A Close is an application's choice, unless the server is known to send it then, or says that a rule was
        // broken though none was.
        (Style::Close(code), How::Close(Some(sent))) => {
            end.by == Side::Server && sent.0 == code && (is_named(facts, limit) || code == 1002)
        }
        _ => false,
    };
    // A limit on silence that an earlier silence passed unharmed is none.
    style
        && seconds_of(longest_before) <= limit.seconds + slack
        && (limit.timer != Timer::Lifetime || silence.either < limit.seconds / 2.0)
}

fn is_named(facts: &Facts<'_>, limit: &Limit) -> bool {
    facts.names(Side::Server, limit.header)
}

/// The side, if any, whose pings come no faster than a limit of `seconds`.
pub(super) fn slow_pinger<'a>(facts: &Facts<'a>, seconds: f64) -> Option<(Side, &'a Pings, f64)> {
    Side::BOTH.into_iter().find_map(|side| {
        let vitals = &facts.vitals.sides[side];
        let pings = vitals.pings.as_deref().or(vitals.heartbeats.as_deref())?;
        let period = seconds_of(pings.intervals.median()?);
        (period >= seconds - tolerance(seconds)).then_some((side, pings, period))
    })
}

fn idle(
    facts: &Facts<'_>,
    end: &End,
    silence: &Silence,
    confidence: Confidence,
    limits: &[&Limit],
    pinger: Option<(Side, &Pings, f64)>,
) -> Diagnosis {
    let seconds = limits.iter().map(|limit| limit.seconds).fold(f64::MAX, f64::min);
    let products: Vec<&str> = limits.iter().map(|limit| limit.product).collect();
    let one_sided = limits.iter().all(|limit| matches!(limit.timer, Timer::From(_)));
    let measured = if one_sided { silence.sides.client } else { silence.either };
    let whose = if one_sided { "client frame" } else { "frame of either side" };
    let mut text = format!(
        "{} {} in {}, {} after the last {whose}, as the idle limit of {} would",
        facts.who(end.by),
        ended(end),
        packet(end.at),
        duration(measured),
        either(&products)
    );
    let mut packets = vec![silence.since, end.at];
    let half = duration(seconds / 2.0);
    let (id, advice) = match pinger {
        Some((side, pings, period)) => {
            text += &format!("; {side} pings only every {}, which is a race against it", duration(period));
            packets.push(pings.last);
            (Id::PingTooSlow, format!("ping at least every {half}, half of the limit"))
        }
        None => (
            Id::IdleLimit,
            format!(
                "send a ping at least every {half}, or raise the limit where {} is set",
                duration(seconds)
            ),
        ),
    };
    Diagnosis {
        id,
        confidence,
        text,
        advice: Some(advice),
        title: format!("ended when an idle limit of {} ran out", duration(seconds)),
        packets,
    }
}

fn lifetime(facts: &Facts<'_>, end: &End, confidence: Confidence, limits: &[&Limit]) -> Diagnosis {
    let products: Vec<&str> = limits.iter().map(|limit| limit.product).collect();
    let age = end.at.at.seconds_since(facts.established().at);
    Diagnosis {
        id: Id::LifetimeLimit,
        confidence,
        text: format!(
            "{} {} in {}, {} after the handshake though it was not idle, as the lifetime limit of {} would",
            facts.who(end.by),
            ended(end),
            packet(end.at),
            duration(age),
            either(&products)
        ),
        advice: Some("raise the limit, and let the client reconnect before it runs out".to_owned()),
        title: format!("ended when a lifetime limit of {} ran out", duration(age.round())),
        packets: vec![facts.established(), end.at],
    }
}

/// `sent FIN`, `sent Close 1000`, ...
pub(super) fn ended(end: &End) -> String {
    match end.how {
        How::Fin if end.is_tls => "ended TLS".to_owned(),
        How::Fin => "sent FIN".to_owned(),
        How::Rst => "sent RST".to_owned(),
        How::Close(Some(code)) => format!("sent Close {}", code.0),
        How::Close(None) => "sent an empty Close".to_owned(),
    }
}

/// After a long silence the next packet was reset or met nothing: something on the way had forgotten the connection.
fn forgotten(facts: &Facts<'_>) -> Option<Diagnosis> {
    let (first, since) = match facts.abnormal()? {
        Cause::Timeout => {
            let (_, unanswered) = facts.teardown.timed_out()?;
            (unanswered.first, facts.vitals.longest_silence_until?)
        }
        Cause::Rst => (facts.end()?.at, facts.vitals.longest_silence_until?),
        Cause::Fin => return None,
    };
    let silence = seconds_of(facts.vitals.longest_silence);
    // The packet that ended the silence is the one that met nothing.
    let at_once = first.at.seconds_since(since.at).abs() < 1.0;
    if silence < FORGOTTEN_MIN || !at_once {
        return None;
    }
    let products: Vec<&str> = LIMITS
        .iter()
        .filter(|limit| limit.style == Style::Silent && limit.seconds <= silence + tolerance(limit.seconds))
        .map(|limit| limit.product)
        .collect();
    let known = if products.is_empty() { String::new() } else { format!(" ({})", either(&products)) };
    Some(Diagnosis {
        id: Id::ForgottenWhileIdle,
        confidence: Confidence::Possible,
        text: format!(
            "after a silence of {}, {} met no living connection: a NAT, firewall or load balancer may have forgotten it{known}",
            duration(silence),
            packet(since)
        ),
        advice: Some("ping more often than the connection tables on the way forget".to_owned()),
        title: "met no living connection after a long silence".to_owned(),
        packets: vec![since, first],
    })
}
