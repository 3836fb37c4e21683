//! The identity of a connection.

use crate::decode::segment::{EncapsulationId, Endpoint, Segment};

/// Both endpoints, lower one first, and the VLANs and tunnels: the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The endpoint that sorts first.
    pub low: Endpoint,
    /// The other one.
    pub high: Endpoint,
    /// VLANs and tunnels.
    pub encapsulation: EncapsulationId,
}

impl FlowKey {
    /// The key of `segment`'s connection.
    #[must_use]
    pub fn of(segment: &Segment<'_>) -> Self {
        FlowKey::between(segment.source, segment.destination, segment.encapsulation)
    }

    /// The key of a connection between `a` and `b`.
    #[must_use]
    pub fn between(a: Endpoint, b: Endpoint, encapsulation: EncapsulationId) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        FlowKey { low, high, encapsulation }
    }
}
