//! What can be said of a connection that could not be decrypted.

use crate::side::PerSide;
use crate::tls::facts::Facts;
use crate::tls::shape::{Probable, SideEnd, TcpEnds};
use crate::verdict::teardown::Teardown;
use std::time::Duration;

/// What its records allow to be said; `None` where it was decrypted, or never protected.
pub(super) fn probable(facts: &Facts, teardown: &Teardown) -> Option<Box<Probable>> {
    let shape = facts.shape.as_ref().filter(|_| facts.is_opaque())?;
    Some(Box::new(shape.probable(&tcp_ends(teardown))))
}

fn tcp_ends(teardown: &Teardown) -> TcpEnds {
    let sides = PerSide::from_fn(|side| {
        let fin = teardown.fin[side].map(|fin| SideEnd {
            at: fin.at,
            peer_received: fin.peer_acked,
            offset: fin.offset,
            is_reset: false,
        });
        let reset = teardown.reset[side].map(|reset| SideEnd {
            at: reset.at,
            peer_received: reset.acked,
            offset: reset.sent,
            is_reset: true,
        });
        let unseen = teardown.unseen_fin[side].map(|fin| SideEnd {
            at: fin.at,
            peer_received: None,
            offset: teardown.acked[side].saturating_sub(1),
            is_reset: false,
        });
        fin.into_iter().chain(reset).chain(unseen).min_by_key(|end| end.at)
    });
    let opening = &teardown.opening;
    let round_trip =
        opening.syn.zip(opening.established).map_or(0, |(syn, next)| next.at.nanos_since(syn.at));
    TcpEnds {
        sides,
        timed_out: teardown.timed_out().is_some(),
        round_trip: Duration::from_nanos(u64::try_from(round_trip).unwrap_or(0)),
    }
}
