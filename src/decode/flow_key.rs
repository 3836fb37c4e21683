//! The identity of a connection.

use crate::pack::{Pack, Packer, Unpacker, pack_fields};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// IPv4 or IPv6 address.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
}

/// A distinct stack of VLANs and tunnels, in 31 bits; 0 is none. Same addresses in different ones are different connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EncapsulationId(pub u32);

/// Both endpoints, lower one first, and the VLANs and tunnels: the same for both directions.
///
/// Plain numbers, so that hashing and comparing cost a few instructions: they are done for every packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowKey {
    /// Address by address, lower half first.
    words: [u64; 4],
    /// Port by port.
    ports: u32,
    /// The encapsulation's number doubled; odd: IPv6.
    network: u32,
}

impl FlowKey {
    /// The key of a connection between `a` and `b`, and whether `a` is the lower endpoint.
    #[must_use]
    #[inline]
    pub fn between(a: Endpoint, b: Endpoint, encapsulation: EncapsulationId) -> (Self, bool) {
        if let (IpAddr::V4(from), IpAddr::V4(to)) = (a.address, b.address) {
            let (key, in_order) = FlowKey::between_v4((from.to_bits(), a.port), (to.to_bits(), b.port));
            return (key.within(encapsulation), in_order);
        }
        FlowKey::between_any(a, b, encapsulation)
    }

    /// The same for two IPv4 endpoints outside of any VLAN or tunnel.
    #[inline]
    pub(super) fn between_v4(from: (u32, u16), to: (u32, u16)) -> (Self, bool) {
        let number = |(address, port): (u32, u16)| u64::from(address) << 16 | u64::from(port);
        let (from, to) = (number(from), number(to));
        let (low, high) = (from.min(to), from.max(to));
        let words = [low >> 16, 0, high >> 16, 0];
        let ports = (low & 0xffff) << 16 | high & 0xffff;
        let ports = u32::try_from(ports).unwrap_or_default();
        (FlowKey { words, ports, network: 0 }, from <= to)
    }

    /// The same endpoints in other VLANs and tunnels.
    #[must_use]
    #[inline]
    pub fn within(self, encapsulation: EncapsulationId) -> Self {
        FlowKey { network: encapsulation.0 << 1 | self.network & 1, ..self }
    }

    /// VLANs and tunnels.
    #[must_use]
    pub fn encapsulation(&self) -> EncapsulationId {
        EncapsulationId(self.network >> 1)
    }

    /// The lower endpoint, or the higher one.
    #[must_use]
    pub fn endpoint(&self, is_lower: bool) -> Endpoint {
        let [a, b, c, d] = self.words;
        let [p0, p1, p2, p3] = self.ports.to_be_bytes();
        let (low, high, port) = if is_lower { (a, b, [p0, p1]) } else { (c, d, [p2, p3]) };
        let address = match u32::try_from(low) {
            Ok(bits) if !self.is_v6() => IpAddr::V4(Ipv4Addr::from_bits(bits)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))),
        };
        Endpoint { address, port: u16::from_be_bytes(port) }
    }

    /// Is it a connection of an endpoint with itself?
    #[must_use]
    pub fn is_loop(&self) -> bool {
        self.endpoint(true) == self.endpoint(false)
    }

    /// Both ports, the lower endpoint's in the upper half.
    #[must_use]
    #[inline]
    pub fn ports(&self) -> u32 {
        self.ports
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

    /// Adds the key to `out`: 13 bytes for IPv4 outside of any VLAN or tunnel, else 41.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self.v4().filter(|_| self.network == 0) {
            Some(parts) => {
                out.push(SHORT);
                out.extend(parts.into_iter().flat_map(u32::to_le_bytes));
            }
            None => {
                out.push(LONG);
                out.extend(self.words.into_iter().flat_map(u64::to_le_bytes));
                out.extend([self.ports, self.network].into_iter().flat_map(u32::to_le_bytes));
            }
        }
    }

    /// Reads what [`FlowKey::write`] has written; gives the bytes behind it as well.
    pub(crate) fn read(bytes: &[u8]) -> (Self, &[u8]) {
        match bytes.split_first() {
            Some((&SHORT, rest)) => {
                let ([low, high, ports], rest) = numbers(rest);
                (FlowKey { words: [low.into(), 0, high.into(), 0], ports, network: 0 }, rest)
            }
            Some((_, rest)) => {
                let (halves, rest): ([u32; 8], _) = numbers(rest);
                let ([ports, network], rest) = numbers(rest);
                let [a, b, c, d, e, f, g, h] = halves.map(u64::from);
                let words = [a | b << 32, c | d << 32, e | f << 32, g | h << 32];
                (FlowKey { words, ports, network }, rest)
            }
            None => (FlowKey::default(), bytes),
        }
    }

    fn is_v6(&self) -> bool {
        self.network & 1 != 0
    }
}

/// How a key is written.
const SHORT: u8 = 0;
const LONG: u8 = 1;

/// The next `N` numbers, zeros beyond the end, and the bytes behind them.
fn numbers<const N: usize>(mut bytes: &[u8]) -> ([u32; N], &[u8]) {
    let mut numbers = [0; N];
    for number in &mut numbers {
        if let Some((four, rest)) = bytes.split_first_chunk() {
            (*number, bytes) = (u32::from_le_bytes(*four), rest);
        }
    }
    (numbers, bytes)
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

pack_fields!(Endpoint { address, port });

impl Pack for EncapsulationId {
    fn pack(&self, into: &mut Packer) {
        self.0.pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        EncapsulationId(u32::unpack(from))
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
        assert_eq!((there.endpoint(true), there.endpoint(false)), (at(1, 5000), at(2, 80)));
        assert_eq!(there.within(EncapsulationId(7)).encapsulation(), EncapsulationId(7));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let v4 =
            |last| Endpoint { address: Ipv4Addr::new(10, 9, 8, last).into(), port: 5000 + u16::from(last) };
        let v6 = |last: u128| Endpoint { address: IpAddr::V6((u128::MAX - last).into()), port: 443 };
        let key = |a, b, vlan| FlowKey::between(a, b, EncapsulationId(vlan)).0;
        for (key, len) in [(key(v4(1), v4(2), 0), 13), (key(v4(1), v4(2), 7), 41), (key(v6(1), v6(2), 0), 41)]
        {
            let mut bytes = Vec::new();
            key.write(&mut bytes);
            assert_eq!(bytes.len(), len);
            bytes.push(77);
            assert_eq!(FlowKey::read(&bytes), (key, [77].as_slice()));
            assert!((0..len).all(|cut| FlowKey::read(bytes.get(..cut).unwrap()).0 != key), "cut");
        }
    }

    #[test]
    fn a_v4_address_is_not_the_v6_address_of_the_same_number() {
        let v4 = Endpoint { address: Ipv4Addr::new(0, 0, 0, 1).into(), port: 1 };
        let v6 = Endpoint { address: IpAddr::V6(1.into()), port: 1 };
        let key = |end| FlowKey::between(end, end, EncapsulationId(0)).0;
        assert_ne!(key(v4), key(v6));
        assert_eq!((key(v4).endpoint(true), key(v6).endpoint(false)), (v4, v6));
    }
}
