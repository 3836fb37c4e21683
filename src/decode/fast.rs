//! The common shapes, read in one go: Ethernet with up to two VLAN tags, Linux "cooked" or raw; IPv4 without options
//! or IPv6 without extension headers, not a fragment; TCP with its whole header captured.
//!
//! Whatever is not exactly that (also anything malformed, VLAN 0, or a length field of zero) gets `None` and is left
//! to the general path. A property test holds the two against each other.

use super::encapsulation::{Kind, Wrapping};
use super::flow_key::{EncapsulationId, Endpoint, FlowKey};
use super::segment::{Segment, TcpFlags};
use crate::capture::link_type::LinkType;
use crate::moment::Moment;
use crate::seq::SeqNum;
use std::net::{IpAddr, Ipv6Addr};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const VLAN_SERVICE: u16 = 0x88a8;
const TCP: u8 = 6;

/// Up to two VLAN tags, outermost first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tags {
    tags: [Wrapping; 2],
    len: usize,
}

impl Tags {
    pub(super) fn as_slice(&self) -> &[Wrapping] {
        self.tags.get(..self.len).unwrap_or_default()
    }
}

/// The segment in `bytes` (its encapsulation still to be set from the tags), if the packet is of a common shape.
#[inline(always)]
pub(super) fn read<'a>(
    at: Moment,
    link_type: LinkType,
    bytes: &'a [u8],
    tags: &mut Tags,
) -> Option<Segment<'a>> {
    let (number, rest) = match link_type {
        LinkType::ETHERNET => {
            let (&[.., t0, t1], rest) = bytes.split_first_chunk::<14>()?;
            skip_tags(u16::from_be_bytes([t0, t1]), rest, tags)?
        }
        LinkType::LINUX_SLL => {
            let (&[.., t0, t1], rest) = bytes.split_first_chunk::<16>()?;
            (u16::from_be_bytes([t0, t1]), rest)
        }
        LinkType::LINUX_SLL2 => {
            let (&[t0, t1, ..], rest) = bytes.split_first_chunk::<20>()?;
            (u16::from_be_bytes([t0, t1]), rest)
        }
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => match bytes.first()? >> 4 {
            4 => (IPV4, bytes),
            6 => (IPV6, bytes),
            _ => return None,
        },
        _ => return None,
    };
    match number {
        IPV4 => ipv4(at, rest),
        IPV6 => ipv6(at, rest),
        _ => None,
    }
}

#[inline]
fn skip_tags<'a>(mut number: u16, mut rest: &'a [u8], tags: &mut Tags) -> Option<(u16, &'a [u8])> {
    while matches!(number, VLAN | VLAN_SERVICE) {
        let (&[v0, v1, t0, t1], after) = rest.split_first_chunk::<4>()?;
        let id = u32::from(u16::from_be_bytes([v0 & 0x0f, v1]));
        let slot = tags.tags.get_mut(tags.len).filter(|_| id != 0)?;
        *slot = Wrapping { kind: Kind::Vlan, id };
        tags.len += 1;
        number = u16::from_be_bytes([t0, t1]);
        rest = after;
    }
    Some((number, rest))
}

/// A header's five words: read as such, not byte by byte.
#[inline]
fn words(header: &[u8; 20]) -> Option<[u32; 5]> {
    let (words, _) = header.as_chunks::<4>();
    let &[a, b, c, d, e] = words else { return None };
    Some([a, b, c, d, e].map(u32::from_be_bytes))
}

#[inline(always)]
fn ipv4(at: Moment, bytes: &[u8]) -> Option<Segment<'_>> {
    let (head, rest) = bytes.split_first_chunk::<20>()?;
    let [first, second, third, source, destination] = words(head)?;
    let ([version, _, _, _], [ttl, protocol, _, _]) = (first.to_be_bytes(), third.to_be_bytes());
    // A fragment: more follow, or this is not the first.
    let is_fragment = second & 0x3fff != 0;
    if version != 0x45 || protocol != TCP || is_fragment {
        return None;
    }
    let wire = (first & 0xffff).checked_sub(20)? as usize;
    let between = |from, to| FlowKey::between_v4((source, from), (destination, to));
    let mut segment = tcp(at, between, rest.get(..wire).unwrap_or(rest), wire)?;
    segment.ttl = ttl;
    segment.ip_id = u16::try_from(second >> 16).ok();
    Some(segment)
}

#[inline]
fn ipv6(at: Moment, bytes: &[u8]) -> Option<Segment<'_>> {
    let (head, rest) = bytes.split_first_chunk::<40>()?;
    let (fixed, addresses) = head.split_first_chunk::<8>()?;
    let &[version, _, _, _, l0, l1, TCP, ttl] = fixed else { return None };
    if version >> 4 != 6 {
        return None;
    }
    let (source, destination) = addresses.split_first_chunk::<16>()?;
    let destination: [u8; 16] = *destination.first_chunk()?;
    let wire = usize::from(u16::from_be_bytes([l0, l1]));
    let end = |address: [u8; 16], port| Endpoint { address: IpAddr::V6(Ipv6Addr::from(address)), port };
    let between =
        |from, to| FlowKey::between(end(*source, from), end(destination, to), EncapsulationId::default());
    let mut segment = tcp(at, between, rest.get(..wire).unwrap_or(rest), wire)?;
    segment.ttl = ttl;
    Some(segment)
}

#[inline(always)]
fn tcp(
    at: Moment,
    between: impl FnOnce(u16, u16) -> (FlowKey, bool),
    bytes: &[u8],
    wire: usize,
) -> Option<Segment<'_>> {
    let (head, after) = bytes.split_first_chunk::<20>()?;
    let [ports, seq, ack, rest, _] = words(head)?;
    let [offset, flags, w0, w1] = rest.to_be_bytes();
    let [s0, s1, d0, d1] = ports.to_be_bytes();
    let header_len = usize::from(offset >> 4) * 4;
    let (options, payload) = after.split_at_checked(header_len.checked_sub(20)?)?;
    let missing = wire.checked_sub(header_len)?.checked_sub(payload.len())?;
    let flags = TcpFlags(flags);
    let (key, from_lower) = between(u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    Some(Segment {
        at,
        key,
        from_lower,
        seq: SeqNum(seq),
        ack: flags.ack().then_some(SeqNum(ack)),
        flags,
        window: u16::from_be_bytes([w0, w1]),
        ttl: 0,
        ip_id: None,
        options,
        payload,
        missing: u32::try_from(missing).ok()?,
    })
}
