//! Rewrites that change what a packet calls things: addresses, ports, path, TTL, IP ID, clock, sequence numbers.
//! What changes with these was fitted to the fixtures, not to the protocol.

use super::packet::{ACK, SYN, TcpPacket};
use super::rewrite::copy_groups;
use super::rng::Rng;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

fn each(packets: &[TcpPacket], mut change: impl FnMut(&mut TcpPacket)) -> Vec<TcpPacket> {
    let mut packets = packets.to_vec();
    packets.iter_mut().for_each(&mut change);
    packets
}

/// Other addresses of the same family: the first is 198.18.0.1 or 2001:db8:18::1, and so on.
pub fn other_addresses(packets: &[TcpPacket]) -> Vec<TcpPacket> {
    let mut known: BTreeMap<IpAddr, u16> = BTreeMap::new();
    let mut rename = |address: &mut SocketAddr| {
        let next = known.len() as u16 + 1;
        let number = *known.entry(address.ip()).or_insert(next);
        let [high, low] = number.to_be_bytes();
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::new(198, 18, high, low).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0x18, 0, 0, 0, 0, number).into(),
        });
    };
    each(packets, |packet| [&mut packet.src, &mut packet.dst].into_iter().for_each(&mut rename))
}

/// Other ports: the first is `first`, the next seven higher, and so on.
pub fn other_ports(packets: &[TcpPacket], first: u16) -> Vec<TcpPacket> {
    let mut known: BTreeMap<u16, u16> = BTreeMap::new();
    let mut rename = |address: &mut SocketAddr| {
        let next = first.wrapping_add(known.len() as u16 * 7);
        address.set_port(*known.entry(address.port()).or_insert(next));
    };
    each(packets, |packet| [&mut packet.src, &mut packet.dst].into_iter().for_each(&mut rename))
}

/// IPv4 becomes IPv6 with the address in its last four bytes (2001:db8::a.b.c.d), without IP IDs.
pub fn to_ipv6(packets: &[TcpPacket]) -> Vec<TcpPacket> {
    each(packets, |packet| {
        for address in [&mut packet.src, &mut packet.dst] {
            if let IpAddr::V4(v4) = address.ip() {
                let [a, b, c, d] = v4.octets().map(u16::from);
                address.set_ip(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, a << 8 | b, c << 8 | d).into());
            }
        }
        packet.ip_id = 0;
    })
}

/// Where the path of a request that stands whole in this payload's first line lies.
fn path_range(payload: &[u8]) -> Option<Range<usize>> {
    let rest = payload.strip_prefix(b"GET ")?;
    let end = rest.windows(11).position(|window| window == b" HTTP/1.1\r\n")?;
    rest[..end].iter().all(|byte| !byte.is_ascii_whitespace()).then_some(4..4 + end)
}

/// The letters of the path of every request become `x`; its length stays.
pub fn mask_path(packets: &[TcpPacket]) -> Vec<TcpPacket> {
    each(packets, |packet| {
        let range = path_range(&packet.payload).unwrap_or_default();
        packet.payload[range]
            .iter_mut()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .for_each(|byte| *byte = b'x');
    })
}

/// The path of each connection's first request becomes `path`; all later sequence numbers of that direction, and the
/// acknowledgments of them, move by the difference. A request line that is cut over segments stays as it is.
pub fn change_path(packets: &[TcpPacket], path: &str) -> Vec<TcpPacket> {
    let mut found: BTreeMap<_, (u32, Range<usize>)> = BTreeMap::new();
    for packet in packets {
        if let Some(range) = path_range(&packet.payload) {
            found.entry(packet.direction()).or_insert((packet.payload_seq(), range));
        }
    }
    let mut moved = each(packets, |packet| {
        let (src, dst) = packet.direction();
        if let Some((seq, range)) = found.get(&(src, dst))
            && packet.payload_seq() == *seq
            && path_range(&packet.payload).as_ref() == Some(range)
        {
            packet.payload.splice(range.clone(), path.bytes());
        }
    });
    for ((src, dst), (seq, range)) in &found {
        let end = seq.wrapping_add(range.end as u32);
        let by = (path.len() as u32).wrapping_sub(range.len() as u32);
        let shift = |number: &mut u32| {
            if number.wrapping_sub(end) as i32 >= 0 {
                *number = number.wrapping_add(by);
            }
        };
        moved.iter_mut().for_each(|packet| shift_numbers(packet, (*src, *dst), &shift));
    }
    moved
}

/// Applies `shift` to every number that lives in the sequence space of `direction`.
fn shift_numbers(packet: &mut TcpPacket, direction: (SocketAddr, SocketAddr), shift: &impl Fn(&mut u32)) {
    if packet.direction() == direction {
        shift(&mut packet.seq);
    } else if (packet.dst, packet.src) == direction && packet.has(ACK) {
        shift(&mut packet.ack);
        for (kind, body) in option_bodies(&packet.options) {
            if kind == 5 {
                for edge in packet.options[body].chunks_exact_mut(4) {
                    let mut number = u32::from_be_bytes([edge[0], edge[1], edge[2], edge[3]]);
                    shift(&mut number);
                    edge.copy_from_slice(&number.to_be_bytes());
                }
            }
        }
    }
}

/// Kind and place of the body of each TCP option but End of List and No-Operation (RFC 9293 §3.2).
fn option_bodies(options: &[u8]) -> Vec<(u8, Range<usize>)> {
    let mut bodies = Vec::new();
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        match (kind, options.get(at + 1).copied().map(usize::from)) {
            (0, _) => break,
            (1, _) => at += 1,
            (_, Some(len)) if len >= 2 && at + len <= options.len() => {
                bodies.push((kind, at + 2..at + len));
                at += len;
            }
            _ => break,
        }
    }
    bodies
}

/// Without the timestamps option (kind 8), as some stacks never send it.
pub fn without_timestamps(packets: &[TcpPacket]) -> Vec<TcpPacket> {
    each(packets, |packet| {
        let kept = option_bodies(&packet.options).into_iter().filter(|(kind, _)| *kind != 8);
        let mut options: Vec<u8> =
            kept.flat_map(|(_, body)| packet.options[body.start - 2..body.end].to_vec()).collect();
        options.resize(options.len().next_multiple_of(4), 1);
        packet.options = options;
    })
}

/// As if every host counted TTLs down from `base`: each sender's TTLs move by what its first packet needs.
pub fn with_ttl_base(packets: &[TcpPacket], base: u8) -> Vec<TcpPacket> {
    let mut shifts: BTreeMap<IpAddr, i16> = BTreeMap::new();
    each(packets, |packet| {
        let shift = *shifts.entry(packet.src.ip()).or_insert_with(|| {
            let own = [64, 128].into_iter().find(|own| packet.ttl <= *own).unwrap_or(255_u8);
            i16::from(base) - i16::from(own)
        });
        packet.ttl = (i16::from(packet.ttl) + shift).clamp(1, 255) as u8;
    })
}

/// All IP IDs zero, as stacks may send them with Don't Fragment (RFC 6864 §4.1).
pub fn with_zero_ip_ids(packets: &[TcpPacket]) -> Vec<TcpPacket> {
    each(packets, |packet| packet.ip_id = 0)
}

/// Random IP IDs; copies of one packet keep a common one. IPv6 still has none.
pub fn with_random_ip_ids(packets: &[TcpPacket], seed: u64) -> Vec<TcpPacket> {
    let mut rng = Rng::new(seed);
    let ids: Vec<_> = packets.iter().map(|_| 1 + rng.below(0xffff) as u16).collect();
    let mut groups = copy_groups(packets).into_iter();
    each(packets, |packet| {
        let group = groups.next().expect("one for each packet");
        packet.ip_id = if packet.src.is_ipv4() { ids[group] } else { 0 };
    })
}

/// Time runs `numerator / denominator` times as slowly from the first packet on.
pub fn scale_time(packets: &[TcpPacket], numerator: u64, denominator: u64) -> Vec<TcpPacket> {
    let start = packets.first().map_or(0, |packet| packet.at_ns);
    each(packets, |packet| {
        let elapsed =
            u128::from(packet.at_ns.saturating_sub(start)) * u128::from(numerator) / u128::from(denominator);
        packet.at_ns = start + elapsed as u64;
    })
}

/// Every direction starts at another initial sequence number.
pub fn shift_isn(packets: &[TcpPacket], by: u32) -> Vec<TcpPacket> {
    let mut known: BTreeMap<_, u32> = BTreeMap::new();
    for packet in packets {
        let turn = known.len() as u32;
        known.entry(packet.direction()).or_insert(by.wrapping_mul(2 * turn + 1));
    }
    shift_directions(packets, &known)
}

/// Every direction's sequence numbers wrap around to 0 after its first `bytes` numbers, of a later connection after some
/// more: no two connections get the same initial numbers.
pub fn wrap_after(packets: &[TcpPacket], bytes: u32) -> Vec<TcpPacket> {
    let mut shifts: BTreeMap<_, u32> = BTreeMap::new();
    for packet in packets {
        let (src, dst) = packet.direction();
        let first = 0_u32.wrapping_sub(bytes).wrapping_sub(shifts.len() as u32 / 2);
        shifts.entry((src, dst)).or_insert(first.wrapping_sub(packet.seq));
        if packet.has(ACK) && !packet.has(SYN) {
            shifts.entry((dst, src)).or_insert(first.wrapping_sub(packet.ack));
        }
    }
    shift_directions(packets, &shifts)
}

fn shift_directions(
    packets: &[TcpPacket],
    shifts: &BTreeMap<(SocketAddr, SocketAddr), u32>,
) -> Vec<TcpPacket> {
    each(packets, |packet| {
        let (src, dst) = packet.direction();
        for direction in [(src, dst), (dst, src)] {
            let by = shifts.get(&direction).copied().unwrap_or(0);
            shift_numbers(packet, direction, &|number: &mut u32| *number = number.wrapping_add(by));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::conversation::Conversation;
    use super::super::packet::streams;
    use super::super::rewrite::duplicate;
    use super::super::rewrite_set::sample;
    use super::*;

    fn contents(packets: &[TcpPacket]) -> Vec<Vec<Option<u8>>> {
        let mut contents: Vec<_> = streams(packets).into_values().collect();
        contents.sort();
        contents
    }

    #[test]
    fn addresses_change_one_to_one() {
        let renamed = other_addresses(&sample());
        assert!(
            renamed
                .iter()
                .zip(sample())
                .all(|(new, old)| new.src.ip() != old.src.ip() && new.src.port() == old.src.port())
        );
        assert_eq!(contents(&renamed), contents(&sample()));
    }

    #[test]
    fn ports_change_one_to_one() {
        let renamed = other_ports(&sample(), 20_000);
        assert_eq!((renamed[0].src.port(), renamed[0].dst.port()), (20_000, 20_007));
        assert_eq!(contents(&renamed), contents(&sample()));
    }

    #[test]
    fn ipv6_addresses_hold_the_ipv4_ones() {
        let v6 = to_ipv6(&sample());
        assert_eq!(v6[0].src.to_string(), "[2001:db8::a4d:102]:33046");
        assert!(v6.iter().all(|packet| packet.ip_id == 0));
        assert_eq!(contents(&v6), contents(&sample()));
    }

    #[test]
    fn a_masked_path_keeps_its_length() {
        let masked = mask_path(&sample());
        assert!(masked[3].payload.starts_with(b"GET /xx HTTP/1.1\r\n"));
        assert_eq!(masked[3].payload.len(), sample()[3].payload.len());
    }

    fn path_change_moves_what_follows(path: &str) {
        let (old, new) = (sample(), change_path(&sample(), path));
        let by = (path.len() as u32).wrapping_sub(3);
        assert!(new[3].payload.starts_with(format!("GET {path} HTTP/1.1\r\n").as_bytes()));
        assert_eq!(new[3].seq, old[3].seq);
        assert_eq!(new[4].ack, old[4].ack.wrapping_add(by), "the acknowledgment of the request moves");
        assert_eq!(new[6].seq, old[6].seq.wrapping_add(by), "the client's next packet moves");
        assert_eq!(new[5].seq, old[5].seq, "the server's bytes stay");
        assert!(streams(&new).values().flatten().all(Option::is_some), "no hole");
    }

    #[test]
    fn a_longer_path_moves_what_follows() {
        path_change_moves_what_follows("/a/much/longer/path?with=query");
    }

    #[test]
    fn a_shorter_path_moves_what_follows() {
        path_change_moves_what_follows("/");
    }

    #[test]
    fn sack_blocks_move_with_the_acknowledgments() {
        let mut packets = sample();
        let edge = packets[3].seq + 1;
        packets[4].options = [&[1, 1, 5, 10][..], &edge.to_be_bytes(), &(edge + 5).to_be_bytes()].concat();
        let shifted = shift_isn(&packets, 100);
        let moved = edge + 100;
        assert_eq!(
            shifted[4].options,
            [&[1, 1, 5, 10][..], &moved.to_be_bytes(), &(moved + 5).to_be_bytes()].concat()
        );
    }

    #[test]
    fn timestamps_go_and_the_other_options_stay() {
        let bare = without_timestamps(&sample());
        assert_eq!(bare[0].options, [2, 4, 5, 180, 4, 2, 3, 3, 7, 1, 1, 1]);
        assert!(bare[3].options.is_empty());
    }

    #[test]
    fn ttl_base_keeps_the_hops() {
        for (base, expected) in [(64, [64, 63]), (128, [128, 127]), (255, [255, 254])] {
            let packets = with_ttl_base(&sample(), base);
            assert_eq!([packets[0].ttl, packets[1].ttl], expected);
            assert_eq!(with_ttl_base(&packets, 64), sample(), "the way back gives the original");
        }
    }

    #[test]
    fn random_ip_ids_are_common_to_copies_only() {
        let doubled = with_random_ip_ids(&duplicate(&sample(), 0, 1), 1);
        assert!(doubled.chunks(2).all(|pair| pair[0].ip_id == pair[1].ip_id && pair[0].ip_id != 0));
        let ids: std::collections::BTreeSet<_> = doubled.iter().map(|packet| packet.ip_id).collect();
        assert!(ids.len() > sample().len() / 2);
        assert!(with_zero_ip_ids(&sample()).iter().all(|packet| packet.ip_id == 0));
    }

    #[test]
    fn time_scales_from_the_first_packet() {
        let (slow, fast) = (scale_time(&sample(), 10, 1), scale_time(&sample(), 1, 10));
        let elapsed = |packets: &[TcpPacket]| packets[5].at_ns - packets[0].at_ns;
        assert_eq!(elapsed(&slow), 10 * elapsed(&sample()));
        assert_eq!(elapsed(&fast), elapsed(&sample()) / 10);
    }

    #[test]
    fn shifted_isns_keep_every_relation() {
        let shifted = shift_isn(&sample(), 0x8000_0123);
        assert_ne!(shifted[0].seq, sample()[0].seq);
        assert_eq!(contents(&shifted), contents(&sample()));
        for (new, old) in shifted.iter().zip(sample()).skip(1) {
            let (start, old_start) = (
                shifted[usize::from(new.src == shifted[0].src)].seq,
                sample()[usize::from(old.src == sample()[0].src)].seq,
            );
            assert_eq!(new.ack.wrapping_sub(start), old.ack.wrapping_sub(old_start));
        }
    }

    #[test]
    fn both_directions_wrap_around_where_told() {
        let wrapped = wrap_after(&Conversation::opened().packets(), 10);
        assert_eq!((wrapped[0].seq, wrapped[1].seq), (u32::MAX - 9, u32::MAX - 9));
        assert!(wrapped.last().expect("packets").ack < 1000);
        assert_eq!(contents(&wrapped), contents(&Conversation::opened().packets()));
    }
}
