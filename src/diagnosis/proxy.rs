//! What a proxy whose two legs are in the capture made of the end.

use super::facts::Facts;
use super::finding::{Confidence, Diagnosis, Id};
use super::words::{duration, seconds_of, within};
use crate::verdict::legs::{OtherLeg, Story};
use crate::verdict::verdict::packet;

/// A timer ends its silence at most so much after whole seconds: proxies keep time coarsely.
const LATE: f64 = 0.1;
/// And so much before them, since it started when the proxy had read the last frame: hardly at all.
const EARLY: f64 = 0.02;
/// Shorter silences are no limit's, in seconds.
const SHORTEST: f64 = 2.0;

/// What the other leg shows.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    let (Some(other), Some(end)) = (facts.other_leg, facts.end()) else { return };
    let address = format!("{}:{}", other.proxy.address, other.proxy.port);
    let (text, advice, title) = match other.story {
        Story::Relayed => return,
        Story::ProxyEnded => proxy_ended(facts, &other, &format!("the proxy at {address}")),
        Story::CloseSwallowed(side) => (
            format!("{side}'s Close did not pass the proxy at {address}: it ended the other leg without one"),
            "let the proxy pass Close frames on, or see why it dropped the connection first".to_owned(),
            format!("lost their Close at the proxy at {address}"),
        ),
        Story::CloseInvented(side, code) => (
            format!(
                "{side} left without a Close, and the proxy at {address} made a Close {} of it",
                code.map_or("without a code".to_owned(), |code| code.0.to_string())
            ),
            format!("do not trust the code behind the proxy: see why {side} dropped the connection"),
            format!("were given a Close by the proxy at {address} that no end had sent"),
        ),
        Story::CodeChanged(side, code) => (
            format!(
                "the proxy at {address} passed {side}'s Close on {}",
                code.map_or("without its code".to_owned(), |code| format!("as {}", code.0))
            ),
            "see why the proxy rewrites close codes".to_owned(),
            format!("had their close code rewritten by the proxy at {address}"),
        ),
    };
    let is_timed = other.story == Story::ProxyEnded && limit(facts).is_some();
    let confidence = if is_timed { Confidence::Likely } else { Confidence::Certain };
    out.push(Diagnosis {
        id: Id::ProxyEnded,
        confidence,
        text: format!("{text} (this leg's end: {}, the other's: {})", packet(end.at), packet(other.end)),
        advice: Some(advice),
        title,
        packets: vec![end.at, other.end],
    });
}

/// The idle limit that the silence before the end looks like, in whole seconds.
fn limit(facts: &Facts<'_>) -> Option<f64> {
    facts.abnormal()?;
    let idle = facts.silence()?.either;
    let whole = idle.round();
    let slack = LATE.max(0.01 * idle);
    let is_longest = seconds_of(facts.vitals.longest_silence) <= whole + slack;
    (whole >= SHORTEST && is_longest && (-EARLY..=slack).contains(&(idle - whole))).then_some(whole)
}

fn proxy_ended(facts: &Facts<'_>, other: &OtherLeg, proxy: &str) -> (String, String, String) {
    if let (Some(limit), Some(silence)) = (limit(facts), facts.silence()) {
        let time = duration(limit);
        return (
            format!(
                "{proxy} dropped both legs {} after the last frame, as an idle limit of {time} would",
                duration(silence.either)
            ),
            format!("send pings at least every {}, or raise the proxy's limit", duration(limit / 2.0)),
            format!("were dropped by {proxy} after {time} of silence"),
        );
    }
    let how = match facts.abnormal() {
        Some(_) => "dropped both legs",
        None => "closed both legs with a Close of its own",
    };
    let apart = facts.end_or_last().at.seconds_since(other.end.at).abs();
    (
        format!("{proxy} {how} within {}; neither end had begun to", within(apart)),
        "see the proxy's log: a reload, a restart or a limit of its own; let it drain connections".to_owned(),
        format!("were ended by {proxy}"),
    )
}
