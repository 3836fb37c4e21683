//! The layers below TCP: link headers, VLANs, tunnels, IP fragments.

use super::capture_file::RawPacket;
use super::packet::{TcpPacket, fold, ip_header, sum_words, transport_checksum};
use std::net::{IpAddr, Ipv4Addr};

/// What stands before the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    #[default]
    Ethernet,
    /// One 802.1Q tag.
    Vlan(u16),
    /// An 802.1ad tag, then an 802.1Q tag.
    QinQ(u16, u16),
    Sll,
    Sll2,
    /// BSD loopback, the family little-endian.
    Null,
    /// OpenBSD loopback, the family big-endian.
    Loop,
    Raw,
}

impl Link {
    /// Its number in the link-type registry.
    pub fn number(self) -> u16 {
        match self {
            Link::Ethernet | Link::Vlan(_) | Link::QinQ(..) => 1,
            Link::Sll => 113,
            Link::Sll2 => 276,
            Link::Null => 0,
            Link::Loop => 108,
            Link::Raw => 101,
        }
    }

    /// `ip` behind this link header.
    pub fn wrap(self, ip: &[u8]) -> Vec<u8> {
        let v6 = ip[0] >> 4 == 6;
        let protocol = if v6 { 0x86dd_u16 } else { 0x0800 }.to_be_bytes();
        let family: u32 = if v6 { 30 } else { 2 };
        let mut bytes = match self {
            Link::Ethernet | Link::Vlan(_) | Link::QinQ(..) => ethernet_addresses(),
            Link::Sll => [&[0, 0, 0, 1, 0, 6][..], &[2, 0, 0, 0, 0, 1, 0, 0], &protocol].concat(),
            Link::Sll2 => {
                [&protocol[..], &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6], &[2, 0, 0, 0, 0, 1, 0, 0]].concat()
            }
            Link::Null => family.to_le_bytes().to_vec(),
            Link::Loop => family.to_be_bytes().to_vec(),
            Link::Raw => Vec::new(),
        };
        match self {
            Link::Ethernet => bytes.extend(protocol),
            Link::Vlan(id) => bytes.extend([&[0x81, 0x00], &id.to_be_bytes()[..], &protocol].concat()),
            Link::QinQ(outer, inner) => {
                bytes.extend([&[0x88, 0xa8], &outer.to_be_bytes()[..]].concat());
                bytes.extend([&[0x81, 0x00], &inner.to_be_bytes()[..], &protocol].concat());
            }
            _ => {}
        }
        bytes.extend(ip);
        bytes
    }
}

fn ethernet_addresses() -> Vec<u8> {
    vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]
}

/// A tunnel around the IP packet, between 192.0.2.1 and 192.0.2.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tunnel {
    #[default]
    None,
    /// RFC 7348, with this VXLAN network identifier.
    Vxlan(u32),
    /// RFC 8926, with this virtual network identifier.
    Geneve(u32),
    /// RFC 2784, IP directly inside.
    Gre,
    /// RFC 2890: GRE with key and sequence number.
    GreKeyed(u32),
    /// IP in IPv4 (protocol 4 or 41).
    IpInIp,
    /// GTP version 1, user plane, with this tunnel endpoint identifier.
    GtpU(u32),
}

impl Tunnel {
    /// `ip` inside this tunnel; an IPv4 packet, except for `None`.
    pub fn wrap(self, ip: &[u8], ip_id: u16) -> Vec<u8> {
        let v6 = ip[0] >> 4 == 6;
        let protocol = if v6 { 0x86dd_u16 } else { 0x0800 }.to_be_bytes();
        let ethernet = [&ethernet_addresses()[..], &protocol, ip].concat();
        match self {
            Tunnel::None => ip.to_vec(),
            Tunnel::Vxlan(vni) => {
                let head = [&[8, 0, 0, 0][..], &(vni << 8).to_be_bytes()].concat();
                outer(17, ip_id, &udp(4789, &[head, ethernet].concat()))
            }
            Tunnel::Geneve(vni) => {
                let head = [&[0, 0, 0x65, 0x58][..], &(vni << 8).to_be_bytes()].concat();
                outer(17, ip_id, &udp(6081, &[head, ethernet].concat()))
            }
            Tunnel::Gre => outer(47, ip_id, &[&[0, 0][..], &protocol, ip].concat()),
            Tunnel::GreKeyed(key) => {
                let sequence = u32::from(ip_id).to_be_bytes();
                outer(47, ip_id, &[&[0x30, 0][..], &protocol, &key.to_be_bytes(), &sequence, ip].concat())
            }
            Tunnel::IpInIp => outer(if v6 { 41 } else { 4 }, ip_id, ip),
            Tunnel::GtpU(teid) => {
                let len = u16::try_from(ip.len()).expect("fits a GTP-U packet").to_be_bytes();
                let head = [&[0x30, 0xff], &len[..], &teid.to_be_bytes()].concat();
                outer(17, ip_id, &udp(2152, &[&head, ip].concat()))
            }
        }
    }
}

const OUTER: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));

fn outer(protocol: u8, ip_id: u16, payload: &[u8]) -> Vec<u8> {
    ip_header(IpAddr::V4(OUTER.0), IpAddr::V4(OUTER.1), protocol, 64, ip_id, payload)
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("fits a UDP datagram");
    let mut udp =
        [&49_152_u16.to_be_bytes()[..], &port.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload].concat();
    let sum = transport_checksum(IpAddr::V4(OUTER.0), IpAddr::V4(OUTER.1), 17, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    udp
}

/// Cuts an IP packet into fragments of at most `max_payload` bytes behind the IP header (rounded down to a multiple of
/// eight). IPv6 gets a fragment header with `id`; IPv4 uses its own identification, or `id` where that is 0.
pub fn fragment(ip: &[u8], max_payload: usize, id: u16) -> Vec<Vec<u8>> {
    let step = (max_payload / 8 * 8).max(8);
    let v6 = ip[0] >> 4 == 6;
    let (head, body) = ip.split_at(if v6 { 40 } else { 20 });
    if body.len() <= step {
        return vec![ip.to_vec()];
    }
    let pieces = body.len().div_ceil(step);
    let cut = |(index, piece): (usize, &[u8])| {
        let (offset, more) = ((index * step / 8) as u16, index + 1 < pieces);
        if v6 {
            v6_fragment(head, piece, offset, more, id)
        } else {
            v4_fragment(head, piece, offset, more, id)
        }
    };
    body.chunks(step).enumerate().map(cut).collect()
}

fn v4_fragment(head: &[u8], piece: &[u8], offset: u16, more: bool, id: u16) -> Vec<u8> {
    let mut head = head.to_vec();
    head[2..4].copy_from_slice(&((20 + piece.len()) as u16).to_be_bytes());
    if head[4..6] == [0, 0] {
        head[4..6].copy_from_slice(&id.to_be_bytes());
    }
    head[6..8].copy_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
    head[10..12].fill(0);
    let sum = fold(sum_words(&head));
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    [&head, piece].concat()
}

fn v6_fragment(head: &[u8], piece: &[u8], offset: u16, more: bool, id: u16) -> Vec<u8> {
    let mut head = head.to_vec();
    let next = std::mem::replace(&mut head[6], 44);
    head[4..6].copy_from_slice(&((8 + piece.len()) as u16).to_be_bytes());
    let position = (offset << 3 | u16::from(more)).to_be_bytes();
    [&head[..], &[next, 0], &position, &u32::from(id).to_be_bytes(), piece].concat()
}

/// In what order the fragments of a packet are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FragmentOrder {
    #[default]
    Forward,
    Backward,
}

/// How TCP packets become captured packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packaging {
    pub link: Link,
    pub tunnel: Tunnel,
    /// Fragments of at most so many bytes behind the IP header; of the outer packet, where there is a tunnel.
    pub fragments: Option<usize>,
    pub fragment_order: FragmentOrder,
}

impl Packaging {
    /// The captured packets; fragments carry the time of their packet.
    pub fn apply(&self, packets: &[TcpPacket]) -> Vec<RawPacket> {
        packets.iter().zip(1_u16..).flat_map(|(packet, number)| self.one(packet, number)).collect()
    }

    fn one(&self, packet: &TcpPacket, number: u16) -> Vec<RawPacket> {
        let ip = self.tunnel.wrap(&packet.ip_bytes(), number);
        let mut pieces = match self.fragments {
            Some(max) => fragment(&ip, max, number),
            None => vec![ip],
        };
        if self.fragment_order == FragmentOrder::Backward {
            pieces.reverse();
        }
        let raw = |ip: Vec<u8>| RawPacket::new(packet.at_ns, self.link.number(), self.link.wrap(&ip));
        pieces.into_iter().map(raw).collect()
    }
}

/// Every packaging that must not change a verdict, with a name for the test's message.
pub fn all() -> Vec<(&'static str, Packaging)> {
    let link = |link| Packaging { link, ..Packaging::default() };
    let tunnel = |tunnel| Packaging { tunnel, ..Packaging::default() };
    let fragments =
        |max, order| Packaging { fragments: Some(max), fragment_order: order, ..Packaging::default() };
    vec![
        ("ethernet", link(Link::Ethernet)),
        ("vlan", link(Link::Vlan(12))),
        ("qinq", link(Link::QinQ(7, 12))),
        ("sll", link(Link::Sll)),
        ("sll2", link(Link::Sll2)),
        ("null", link(Link::Null)),
        ("loop", link(Link::Loop)),
        ("raw", link(Link::Raw)),
        ("vxlan", tunnel(Tunnel::Vxlan(42))),
        ("geneve", tunnel(Tunnel::Geneve(42))),
        ("gre", tunnel(Tunnel::Gre)),
        ("gre_keyed", tunnel(Tunnel::GreKeyed(9))),
        ("ip_in_ip", tunnel(Tunnel::IpInIp)),
        ("gtp_u", tunnel(Tunnel::GtpU(77))),
        (
            "vxlan_in_vlan",
            Packaging { link: Link::Vlan(5), tunnel: Tunnel::Vxlan(42), ..Packaging::default() },
        ),
        ("fragments_of_24", fragments(24, FragmentOrder::Forward)),
        ("fragments_of_40_backward", fragments(40, FragmentOrder::Backward)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::conversation::Conversation;
    use super::super::packet::{Parsed, parse, parse_capture};
    use super::super::rewrite_names::to_ipv6;
    use super::*;
    use etherparse::SlicedPacket;
    use etherparse::defrag::IpDefragPool;

    const LINKS: [Link; 8] = [
        Link::Ethernet,
        Link::Vlan(12),
        Link::QinQ(7, 12),
        Link::Sll,
        Link::Sll2,
        Link::Null,
        Link::Loop,
        Link::Raw,
    ];

    #[test]
    fn every_link_layer_carries_both_ip_versions_unchanged() {
        for link in LINKS {
            for packets in [Conversation::opened().packets(), to_ipv6(&Conversation::opened().packets())] {
                let raw = Packaging { link, ..Packaging::default() }.apply(&packets);
                assert_eq!(parse_capture(&raw), Ok(packets), "{link:?}");
            }
        }
    }

    #[test]
    fn qinq_shows_both_tags() {
        let raw = Packaging { link: Link::QinQ(7, 12), ..Packaging::default() }
            .apply(&Conversation::opened().packets());
        let sliced = SlicedPacket::from_ethernet(&raw[0].bytes).expect("well-formed");
        assert_eq!(sliced.vlan_ids().iter().map(|id| id.value()).collect::<Vec<_>>(), [7, 12]);
    }

    /// What follows the outer IPv4 header, the tunnel header and an inner Ethernet header of the given lengths.
    fn inner(tunnel: Tunnel, skip: usize) {
        let packet = Conversation::opened().packets()[3].clone();
        let wrapped = tunnel.wrap(&packet.ip_bytes(), 1);
        SlicedPacket::from_ip(&wrapped).expect("outer headers are well-formed");
        let inner = RawPacket::new(packet.at_ns, 101, wrapped[20 + skip..].to_vec());
        assert_eq!(parse(&inner), Parsed::Tcp(packet), "{tunnel:?}");
    }

    #[test]
    fn every_tunnel_holds_the_packet_behind_its_headers() {
        inner(Tunnel::Vxlan(42), 8 + 8 + 14);
        inner(Tunnel::Geneve(42), 8 + 8 + 14);
        inner(Tunnel::Gre, 4);
        inner(Tunnel::GreKeyed(9), 12);
        inner(Tunnel::IpInIp, 0);
        inner(Tunnel::GtpU(77), 8 + 8);
    }

    fn reassemble(packets: &[TcpPacket], order: FragmentOrder) {
        let packaging =
            Packaging { link: Link::Raw, fragments: Some(24), fragment_order: order, ..Packaging::default() };
        let raw = packaging.apply(packets);
        assert!(raw.len() > packets.len() * 2, "packets really are cut");
        let mut pool = IpDefragPool::<(), ()>::new();
        let mut whole = Vec::new();
        for piece in &raw {
            let sliced = SlicedPacket::from_ip(&piece.bytes).expect("well-formed");
            whole.extend(pool.process_sliced_packet(&sliced, (), ()).expect("consistent"));
        }
        let expected: Vec<_> = packets.iter().map(|packet| packet.ip_bytes()).collect();
        let head = if expected[0][0] >> 4 == 6 { 40 } else { 20 };
        assert_eq!(whole.len(), expected.len());
        for (whole, expected) in whole.iter().zip(&expected) {
            assert_eq!(whole.payload, expected[head..]);
        }
    }

    #[test]
    fn fragments_reassemble_to_the_packet() {
        for order in [FragmentOrder::Forward, FragmentOrder::Backward] {
            reassemble(&Conversation::opened().packets(), order);
            reassemble(&to_ipv6(&Conversation::opened().packets()), order);
        }
    }

    #[test]
    fn packaging_names_are_unique() {
        let mut names: Vec<_> = all().into_iter().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
