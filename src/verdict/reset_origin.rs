//! Who sent a reset: the end it names, or something in between?

use super::teardown::Teardown;
use crate::side::Side;
use crate::tcp::half::UsualTtl;
use crate::tcp::reset::Reset;

/// Where a reset came from, as far as the packets tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetOrigin {
    /// The end it names aborted: it acknowledges what that end had received.
    Endpoint,
    /// The end it names had no such connection any more, though nothing shows that it had ended it: its reset only
    /// answers the peer's segment.
    NoSuchConnection,
    /// Something else sent it.
    Foreign(Sign),
}

/// What gives a foreign reset away (Weaver, Sommer, Paxson: Detecting Forged TCP Reset Packets, NDSS 2009).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// It came a different number of hops than all other packets of the end it names.
    Hops {
        /// Hops of the reset.
        reset: u8,
        /// Hops of that end's other packets.
        usual: u8,
    },
    /// The end it names went on sending.
    TalkedOn,
    /// Both ends were reset at once, each "by" the other.
    BothEnds,
    /// It acknowledges, as an abort does, and yet lies before bytes that its sender had already sent.
    Behind,
    /// It has no ACK, as an answer to a segment, and yet a window, which hosts leave 0 in such an answer.
    Form,
}

/// The origin of `side`'s reset; `None` if it sent none.
#[must_use]
pub fn reset_origin(teardown: &Teardown, side: Side) -> Option<ResetOrigin> {
    let reset = teardown.reset[side]?;
    Some(if let Some(sign) = foreign_sign(teardown, side, &reset) {
        ResetOrigin::Foreign(sign)
    } else if reset.acked.is_none() && !ended_before(teardown, side, &reset) && is_established(teardown) {
        ResetOrigin::NoSuchConnection
    } else {
        ResetOrigin::Endpoint
    })
}

fn foreign_sign(teardown: &Teardown, side: Side, reset: &Reset) -> Option<Sign> {
    if let Some(sign) = other_way(reset) {
        return Some(sign);
    }
    if reset.talked_on {
        return Some(Sign::TalkedOn);
    }
    both_ends(teardown, side, reset).or_else(|| odd_form(reset))
}

/// It came another way than its end's other packets.
fn other_way(reset: &Reset) -> Option<Sign> {
    let came = hops(reset.ttl);
    match reset.usual_ttl {
        UsualTtl::Always(ttl) if hops(ttl) != came => Some(Sign::Hops { reset: came, usual: hops(ttl) }),
        UsualTtl::Either(one, other) if hops(one) != came && hops(other) != came => {
            Some(Sign::Hops { reset: came, usual: hops(one) })
        }
        _ => None,
    }
}

/// A reset end falls silent: it neither answers a reset nor aborts by itself at the same moment. And what resets one end in
/// the other's name resets both.
fn both_ends(teardown: &Teardown, side: Side, reset: &Reset) -> Option<Sign> {
    let other = teardown.reset[side.other()]?;
    let aborts = |reset: &Reset| reset.acked.is_some() || reset.window != 0;
    let is_forged = aborts(reset) && aborts(&other) || other_way(&other).is_some();
    let at_once = reset.at.at.seconds_since(other.at.at).abs() < AT_ONCE_SECONDS;
    (is_forged && at_once).then_some(Sign::BothEnds)
}

/// What an end that aborts (with the next number it would send) or answers does not send.
fn odd_form(reset: &Reset) -> Option<Sign> {
    let is_behind = reset.offset.is_some_and(|at| u64::try_from(at).is_ok_and(|at| at < reset.sent));
    match reset.acked {
        Some(_) if is_behind => Some(Sign::Behind),
        None if reset.window != 0 => Some(Sign::Form),
        _ => None,
    }
}

/// Resets to both ends nearer in time than this are one device's.
const AT_ONCE_SECONDS: f64 = 0.001;

/// Had `side` sent its FIN by then?
fn ended_before(teardown: &Teardown, side: Side, reset: &Reset) -> bool {
    teardown.fin[side].is_some_and(|fin| fin.at <= reset.at)
}

/// Was data exchanged? A reset in answer to a SYN is the endpoint's own way to refuse.
fn is_established(teardown: &Teardown) -> bool {
    teardown.opening.request.is_some() || teardown.opening.response.is_some() || teardown.opening.joined
}

/// Routers a packet has passed, from its TTL: senders start at 32, 64, 128 or 255, and one that uses another start for
/// its resets still sends them the same way.
const fn hops(ttl: u8) -> u8 {
    match ttl {
        0..=32 => 32 - ttl,
        33..=64 => 64 - ttl,
        65..=128 => 128 - ttl,
        _ => 255 - ttl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::tcp::reset::ResetValidity;

    fn teardown(ttl: u8, usual: UsualTtl, acked: Option<u64>) -> Teardown {
        let mut teardown = Teardown::default();
        teardown.opening.request = Some(Moment::default());
        teardown.reset.server = Some(Reset {
            peer_talked_on: false,
            at: Moment::default(),
            validity: ResetValidity::Exact,
            offset: Some(0),
            acked,
            window: 0,
            ttl,
            ip_id: None,
            sent: 0,
            peer_sent: 0,
            usual_ttl: usual,
            talked_on: false,
            provoked: true,
        });
        teardown
    }

    fn origin(ttl: u8, usual: UsualTtl, acked: Option<u64>) -> Option<ResetOrigin> {
        reset_origin(&teardown(ttl, usual, acked), Side::Server)
    }

    #[test]
    fn another_start_ttl_over_the_same_way_is_the_endpoint() {
        assert_eq!(origin(254, UsualTtl::Always(63), Some(1)), Some(ResetOrigin::Endpoint));
        assert_eq!(origin(63, UsualTtl::Always(63), Some(1)), Some(ResetOrigin::Endpoint));
        assert_eq!(origin(63, UsualTtl::Varies, Some(1)), Some(ResetOrigin::Endpoint));
    }

    #[test]
    fn another_number_of_hops_is_foreign() {
        assert_eq!(
            origin(64, UsualTtl::Always(63), Some(1)),
            Some(ResetOrigin::Foreign(Sign::Hops { reset: 0, usual: 1 }))
        );
    }

    #[test]
    fn a_reset_captured_before_or_behind_a_router_is_the_endpoints() {
        assert_eq!(origin(63, UsualTtl::Either(64, 63), Some(1)), Some(ResetOrigin::Endpoint));
    }

    #[test]
    fn a_bare_reset_out_of_the_blue_is_no_abort() {
        assert_eq!(origin(63, UsualTtl::Always(63), None), Some(ResetOrigin::NoSuchConnection));
    }
}
