//! TCP that sends the same bytes again and again: whose, since when, and what is dead.

use super::facts::Facts;
use super::finding::{Confidence, Diagnosis, Id};
use super::words::duration;
use crate::side::Side;
use crate::tcp::liveness::Unanswered;
use crate::verdict::verdict::{Cause, Kind, packet};

/// Waits that have doubled so often in a row are no chance.
const BACKED_OFF: u32 = 2;

/// What TCP's unanswered sendings say.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    let is_timeout = matches!(facts.verdict.kind, Kind::Abnormal(Cause::Timeout) | Kind::Refused);
    // What an error of ICMP explains needs no silence.
    let given_up = facts.teardown.gave_up_opening().filter(|_| facts.teardown.icmp.is_empty());
    let Some((side, unanswered)) = facts.teardown.timed_out().or(given_up).filter(|_| is_timeout) else {
        return;
    };
    let silent = side.other();
    let keepalive = facts.keepalives[side].last.is_some_and(|last| last == unanswered.last);
    let what = match keepalive {
        true => "the same keepalive probe",
        false if facts.teardown.opening.is_only_asked() => "its SYN",
        false => "the same bytes",
    };
    let span = unanswered.last.at.seconds_since(unanswered.first.at);
    let mut text = format!(
        "{side} sent {what} {} times within {}, from {} to {}, and nothing came back",
        unanswered.sendings,
        duration(span),
        packet(unanswered.first),
        packet(unanswered.last)
    );
    if unanswered.doublings >= BACKED_OFF {
        text += "; it waited about twice as long each time, as TCP backs off";
    }
    let mut packets = vec![unanswered.first, unanswered.last];
    if let Some(last) = facts.teardown.last[silent] {
        text += &format!("; {silent}'s last sign of life is {} at {}", packet(last), last.at.time_of_day());
        packets.push(last);
    }
    text += &pings_before(facts, side, &unanswered);
    let (cause, advice) = suspects(facts, silent);
    text += &cause;
    out.push(Diagnosis {
        id: Id::TcpTimeout,
        confidence: Confidence::Certain,
        text,
        advice: Some(advice),
        title: format!("ended because nothing came from {silent} any more"),
        packets,
    });
}

/// Were pings among what went unanswered?
fn pings_before(facts: &Facts<'_>, side: Side, unanswered: &Unanswered) -> String {
    let pings = facts.vitals.sides[side].pings.as_deref();
    let waiting = pings.and_then(|pings| pings.unanswered_since());
    match waiting {
        Some(since) if since >= unanswered.first => {
            format!("; {side}'s ping in {} was among it", packet(since))
        }
        _ => String::new(),
    }
}

/// Is the peer dead, or the path to it?
fn suspects(facts: &Facts<'_>, silent: Side) -> (String, String) {
    let reporter = facts.teardown.icmp.first().map(|error| error.reporter);
    let advice = |what: &str| {
        format!(
            "look for what cut {what} at that time; ping in both directions to notice sooner, and reconnect with backoff"
        )
    };
    if let Some(reporter) = reporter {
        return (format!("; {reporter} reported an error about it: the path is broken"), advice("the path"));
    }
    (
        format!(" ({silent}'s host or the path to it is dead: from here the packets can't tell which)"),
        advice(&format!("{silent}'s host or the path to it")),
    )
}
