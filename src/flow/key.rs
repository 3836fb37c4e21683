//! The identity of a connection.

use crate::decode::segment::{EncapsulationId, Endpoint, Segment};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

/// Both endpoints, lower one first, and the VLANs and tunnels: the same for both directions.
///
/// Plain numbers, so that hashing and comparing cost a few instructions: they are done for every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// Address by address, lower half first.
    words: [u64; 4],
    /// Port by port.
    ports: u32,
    /// The encapsulation's number doubled; odd: IPv6.
    network: u32,
}

impl FlowKey {
    /// The key of `segment`'s connection, and whether its sender is the lower endpoint.
    #[must_use]
    #[inline]
    pub fn of(segment: &Segment<'_>) -> (Self, bool) {
        FlowKey::between(segment.source, segment.destination, segment.encapsulation)
    }

    /// The key of a connection between `a` and `b`, and whether `a` is the lower endpoint.
    #[must_use]
    #[inline]
    pub fn between(a: Endpoint, b: Endpoint, encapsulation: EncapsulationId) -> (Self, bool) {
        if let (IpAddr::V4(from), IpAddr::V4(to)) = (a.address, b.address) {
            let number = |address: Ipv4Addr, port| u64::from(address.to_bits()) << 16 | u64::from(port);
            let (from, to) = (number(from, a.port), number(to, b.port));
            let (low, high) = (from.min(to), from.max(to));
            let words = [low >> 16, 0, high >> 16, 0];
            let ports = (low & 0xffff) << 16 | high & 0xffff;
            let ports = u32::try_from(ports).unwrap_or_default();
            return (FlowKey { words, ports, network: encapsulation.0 << 1 }, from <= to);
        }
        FlowKey::between_any(a, b, encapsulation)
    }

    fn between_any(a: Endpoint, b: Endpoint, encapsulation: EncapsulationId) -> (Self, bool) {
        let (from, to) = ((number(a.address), a.port), (number(b.address), b.port));
        let in_order = from <= to;
        let ((low, low_port), (high, high_port)) = if in_order { (from, to) } else { (to, from) };
        #[expect(clippy::cast_possible_truncation, reason = "half by half")]
        let halves = |address: u128| (address as u64, (address >> 64) as u64);
        let ((a, b), (c, d)) = (halves(low), halves(high));
        let ports = u32::from(low_port) << 16 | u32::from(high_port);
        (FlowKey { words: [a, b, c, d], ports, network: encapsulation.0 << 1 | 1 }, in_order)
    }

    /// Both addresses and the ports in 96 bits, for an IPv4 connection; leaves the encapsulation out.
    #[must_use]
    pub fn v4(&self) -> Option<[u32; 3]> {
        let [low, _, high, _] = self.words;
        match (u32::try_from(low), u32::try_from(high)) {
            (Ok(low), Ok(high)) if !self.is_v6() => Some([low, high, self.ports]),
            _ => None,
        }
    }

    fn is_v6(&self) -> bool {
        self.network & 1 != 0
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d] = self.words;
        state.write_u64(u64::from(self.ports) << 32 | u64::from(self.network));
        if self.is_v6() {
            state.write_u128(u128::from(b) << 64 | u128::from(a));
            state.write_u128(u128::from(d) << 64 | u128::from(c));
        } else {
            // Two IPv4 addresses fit one word.
            state.write_u64(a << 32 | c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
