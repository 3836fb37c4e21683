//! The identity of a connection.

use crate::decode::segment::{EncapsulationId, Endpoint, Segment};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// Both endpoints, lower one first, and the VLANs and tunnels: the same for both directions.
///
/// Plain numbers, so that hashing and comparing cost a few instructions: they are done for every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    addresses: [u128; 2],
    ports: [u16; 2],
    encapsulation: EncapsulationId,
    is_v6: bool,
}

impl FlowKey {
    /// The key of `segment`'s connection, and whether its sender is the lower endpoint.
    #[must_use]
    pub fn of(segment: &Segment<'_>) -> (Self, bool) {
        FlowKey::between(segment.source, segment.destination, segment.encapsulation)
    }

    /// The key of a connection between `a` and `b`, and whether `a` is the lower endpoint.
    #[must_use]
    pub fn between(a: Endpoint, b: Endpoint, encapsulation: EncapsulationId) -> (Self, bool) {
        let (from, to) = ((number(a.address), a.port), (number(b.address), b.port));
        let in_order = from <= to;
        let (low, high) = if in_order { (from, to) } else { (to, from) };
        let key = FlowKey {
            addresses: [low.0, high.0],
            ports: [low.1, high.1],
            encapsulation,
            is_v6: a.address.is_ipv6() || b.address.is_ipv6(),
        };
        (key, in_order)
    }
}

impl FlowKey {
    /// Both addresses and the ports in 96 bits, for an IPv4 connection; leaves the encapsulation out.
    #[must_use]
    pub fn v4(&self) -> Option<[u32; 3]> {
        let [low, high] = self.addresses;
        let [low_port, high_port] = self.ports;
        let ports = u32::from(low_port) << 16 | u32::from(high_port);
        match (u32::try_from(low), u32::try_from(high)) {
            (Ok(low), Ok(high)) if !self.is_v6 => Some([low, high, ports]),
            _ => None,
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high] = self.addresses;
        let [low_port, high_port] = self.ports;
        let ports = u64::from(low_port) << 16 | u64::from(high_port);
        state.write_u64(ports << 32 | u64::from(self.encapsulation.0));
        if self.is_v6 {
            state.write_u128(low);
            state.write_u128(high);
        } else {
            // Two IPv4 addresses fit one word.
            #[expect(clippy::cast_possible_truncation, reason = "IPv4 addresses have 32 bits")]
            state.write_u64((low as u64) << 32 | high as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn both_directions_have_one_key() {
        let at = |last, port| Endpoint { address: Ipv4Addr::new(10, 0, 0, last).into(), port };
        let (there, in_order) = FlowKey::between(at(1, 5000), at(2, 80), EncapsulationId(0));
        let (back, reversed) = FlowKey::between(at(2, 80), at(1, 5000), EncapsulationId(0));
        assert_eq!((there, in_order), (back, !reversed));
        let (other, _) = FlowKey::between(at(1, 80), at(2, 5000), EncapsulationId(0));
        assert_ne!(there, other);
    }

    #[test]
    fn a_v4_address_is_not_the_v6_address_of_the_same_number() {
        let v4 = Endpoint { address: Ipv4Addr::new(0, 0, 0, 1).into(), port: 1 };
        let v6 = Endpoint { address: IpAddr::V6(1.into()), port: 1 };
        let key = |end| FlowKey::between(end, end, EncapsulationId(0)).0;
        assert_ne!(key(v4), key(v6));
    }
}
