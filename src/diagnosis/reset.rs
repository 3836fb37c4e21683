//! Where the reset that ended a connection came from, with what speaks for it.

use super::facts::{Facts, How};
use super::finding::{Confidence, Diagnosis, Id};
use crate::side::Side;
use crate::tcp::half::UsualTtl;
use crate::tcp::reset::Reset;
use crate::verdict::reset_origin::{ResetOrigin, Sign, reset_origin};
use crate::verdict::verdict::{Cause, packet};

/// What the reset's features say. A reset behind a Close is only a way to end TCP.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    let Some(end) = facts.end().filter(|end| end.how == How::Rst) else { return };
    let (Some(Cause::Rst), Some(origin)) = (facts.abnormal(), reset_origin(facts.teardown, end.by)) else {
        return;
    };
    let Some(reset) = facts.teardown.reset[end.by] else { return };
    let features = features(facts, end.by, &reset);
    let side = end.by;
    let (id, confidence, what, advice, title) = match origin {
        ResetOrigin::Foreign(sign) => (
            Id::ForeignReset,
            match sign {
                Sign::TalkedOn | Sign::BothEnds => Confidence::Certain,
                Sign::Hops { .. } | Sign::Behind | Sign::Form => Confidence::Likely,
            },
            format!("something between the ends sent the RST in {}, in {side}'s name", packet(reset.at)),
            "look for a firewall, intrusion prevention or load balancer on the path that resets connections",
            "were reset by something between the ends".to_owned(),
        ),
        ResetOrigin::NoSuchConnection => (
            Id::Abort,
            Confidence::Likely,
            format!(
                "{side}'s address no longer knew the connection: the RST in {} only answers a segment",
                packet(reset.at)
            ),
            "look for a restart, a failover or a connection table (NAT, load balancer) that lost its state",
            format!("were unknown to {side} when it was spoken to"),
        ),
        ResetOrigin::Endpoint => (
            Id::Abort,
            Confidence::Likely,
            format!("{} aborted TCP with the RST in {}", facts.who(side), packet(reset.at)),
            "see why it aborts: a process killed or closed with unread data, terminate(), or SO_LINGER 0; close with a Close frame instead",
            format!("were aborted by {side}"),
        ),
    };
    out.push(Diagnosis {
        id,
        confidence,
        text: format!("{what} ({features})"),
        advice: Some(advice.to_owned()),
        title,
        packets: vec![reset.at],
    });
}

fn features(facts: &Facts<'_>, side: Side, reset: &Reset) -> String {
    let mut features = vec![match reset.acked {
        Some(acked) if acked < reset.peer_sent => {
            format!("it acknowledges all but the last {} bytes it was sent", reset.peer_sent - acked)
        }
        Some(_) => "it acknowledges all it was sent, as an active abort does".to_owned(),
        None if reset.window != 0 => {
            "it has no ACK, and yet a window, which a host's answer has not".to_owned()
        }
        None => "it has no ACK, as the answer of a host without the connection".to_owned(),
    }];
    match reset.usual_ttl {
        UsualTtl::Always(usual) if usual != reset.ttl => {
            features.push(format!("TTL {} where {side}'s other packets have {usual}", reset.ttl));
        }
        UsualTtl::Either(one, other) if one != reset.ttl && other != reset.ttl => {
            features.push(format!("TTL {} where {side}'s other packets have {one} or {other}", reset.ttl));
        }
        UsualTtl::Always(_) | UsualTtl::Either(..) => features.push(format!("TTL {} as usual", reset.ttl)),
        UsualTtl::Unseen | UsualTtl::Varies => {}
    }
    if let Some(ip_id) = reset.ip_id {
        features.push(format!("IP ID {ip_id}"));
    }
    features.push(format!("window {}", reset.window));
    if reset.acked.is_some()
        && let Some(behind) =
            reset.offset.and_then(|at| reset.sent.checked_add_signed(at.checked_neg()?)).filter(|by| *by > 0)
    {
        features.push(format!("it lies {behind} bytes before what {side} had sent"));
    }
    if reset.talked_on {
        features.push(format!("{side} went on sending"));
    }
    if let Some(other) = facts.teardown.reset[side.other()] {
        features.push(format!("{} was reset too, in {}", side, packet(other.at)));
    }
    features.join(", ")
}
