//! What a proxy whose two legs are in the capture made of the end.

use super::facts::Facts;
use super::finding::{Confidence, Diagnosis, Id};
use super::words::duration;
use crate::verdict::legs::{OtherLeg, Story};
use crate::verdict::verdict::packet;

/// A timer's silence lies this near to whole seconds.
const WHOLE: f64 = 0.05;

/// What the other leg shows.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    let (Some(other), Some(end)) = (facts.other_leg, facts.end()) else { return };
    let address = format!("{}:{}", other.proxy.address, other.proxy.port);
    let (text, advice, title) = match other.story {
        Story::Relayed => return,
        Story::ProxyEnded => proxy_ended(facts, &other, &format!("the proxy at {address}")),
        Story::CloseSwallowed(side) => (
            format!(
                "{side}'s Close did not pass the proxy at {address}: it only dropped TCP of the other leg"
            ),
            "let the proxy pass Close frames on, or see why it dropped the connection first".to_owned(),
            format!("lost their Close at the proxy at {address}"),
        ),
        Story::CloseInvented(side, code) => (
            format!(
                "{side} dropped TCP without a Close, and the proxy at {address} made a Close {} of it",
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
    out.push(Diagnosis {
        id: Id::ProxyEnded,
        confidence: Confidence::Certain,
        text: format!("{text} (this leg's end: {}, the other's: {})", packet(end.at), packet(other.end)),
        advice: Some(advice),
        title,
        packets: vec![end.at, other.end],
    });
}

fn proxy_ended(facts: &Facts<'_>, other: &OtherLeg, proxy: &str) -> (String, String, String) {
    let idle = facts.silence().map_or(0.0, |silence| silence.either);
    let whole = idle.round();
    if facts.abnormal().is_some() && whole >= 1.0 && (idle - whole).abs() <= WHOLE.max(0.01 * idle) {
        let time = duration(whole);
        return (
            format!(
                "{proxy} dropped both legs {} after the last frame: an idle limit of {time}",
                duration(idle)
            ),
            format!("send pings at least every {}, or raise the proxy's limit", duration(whole / 2.0)),
            format!("were dropped by {proxy} after {time} of silence"),
        );
    }
    let how = if facts.abnormal().is_some() {
        "dropped both legs"
    } else {
        "closed both legs with a Close of its own"
    };
    let apart = facts.end_or_last().at.seconds_since(other.end.at).abs();
    (
        format!("{proxy} {how} within {}; neither end had begun to", duration(apart)),
        "see the proxy's log: a reload, a restart or a limit of its own; let it drain connections".to_owned(),
        format!("were ended by {proxy}"),
    )
}
