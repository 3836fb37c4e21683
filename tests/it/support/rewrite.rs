//! Rewrites that say the same in other segments or another order: the verdict must not change.

use super::packet::{ACK, FIN, PSH, RST, SYN, TcpPacket};
use super::rng::Rng;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// Copies of one packet lie nearer together than this; a retransmission that is as near has its own IP ID.
const COPY_WINDOW_NS: u64 = 5_000_000;

/// The largest payload that `coalesce` makes: it still fits an IPv4 packet with any options, inside any tunnel.
const MAX_PAYLOAD: usize = 65_000;

/// What tells a packet from all others but its own copies.
type Identity = (SocketAddr, SocketAddr, u32, u32, u8, u16, Vec<u8>);

/// Numbers packets so that copies of one packet (same bytes and IP ID, near in time) share a number.
pub(super) fn copy_groups(packets: &[TcpPacket]) -> Vec<usize> {
    let mut seen: HashMap<Identity, (usize, u64)> = HashMap::new();
    let group = |(index, packet): (usize, &TcpPacket)| {
        let TcpPacket { src, dst, seq, ack, flags, ip_id, payload, .. } = packet.clone();
        let entry = seen.entry((src, dst, seq, ack, flags, ip_id, payload)).or_insert((index, packet.at_ns));
        if packet.at_ns.saturating_sub(entry.1) > COPY_WINDOW_NS {
            *entry = (index, packet.at_ns);
        }
        entry.0
    };
    packets.iter().enumerate().map(group).collect()
}

/// Every payload in segments of at most `size` bytes.
pub fn recut(packets: &[TcpPacket], size: usize) -> Vec<TcpPacket> {
    replace_each(packets, |packet| {
        let starts: Vec<_> = (0..packet.payload.len().max(1)).step_by(size).collect();
        split(packet, &starts)
    })
}

/// Every payload longer than `at` bytes in two segments, the first of `at` bytes (at least 1).
pub fn cut_at(packets: &[TcpPacket], at: usize) -> Vec<TcpPacket> {
    assert!(at > 0, "a cut at 0 leaves an empty segment");
    replace_each(packets, |packet| {
        if packet.payload.len() > at { split(packet, &[0, at]) } else { vec![packet.clone()] }
    })
}

/// The packet as several, cut before each position: SYN stays on the first, FIN and PSH on the last.
fn split(packet: &TcpPacket, starts: &[usize]) -> Vec<TcpPacket> {
    let last = starts.len() - 1;
    let piece = |(index, &start): (usize, &usize)| {
        let end = starts.get(index + 1).copied().unwrap_or(packet.payload.len());
        let mut piece = packet.clone();
        piece.payload = packet.payload[start..end].to_vec();
        if index > 0 {
            piece.seq = packet.payload_seq().wrapping_add(start as u32);
            piece.flags &= !SYN;
        }
        if index < last {
            piece.flags &= !(FIN | PSH);
        }
        piece
    };
    starts.iter().enumerate().map(piece).collect()
}

/// Replaces each packet by several; its sender's later IP IDs move up. Zero IDs stay zero, and copies stay copies.
fn replace_each(packets: &[TcpPacket], make: impl Fn(&TcpPacket) -> Vec<TcpPacket>) -> Vec<TcpPacket> {
    let mut shift_of_sender: BTreeMap<_, u16> = BTreeMap::new();
    let mut shift_of_group: BTreeMap<usize, u16> = BTreeMap::new();
    let mut out = Vec::with_capacity(packets.len());
    for (packet, group) in packets.iter().zip(copy_groups(packets)) {
        let pieces = make(packet);
        let sender = shift_of_sender.entry(packet.direction()).or_default();
        let shift = *shift_of_group.entry(group).or_insert_with(|| {
            let before = *sender;
            *sender = sender.wrapping_add(pieces.len() as u16 - 1);
            before
        });
        out.extend(pieces.into_iter().zip(0_u16..).map(|(mut piece, index)| {
            if packet.ip_id != 0 {
                piece.ip_id = packet.ip_id.wrapping_add(shift).wrapping_add(index);
            }
            piece
        }));
    }
    out
}

/// Neighbours of one direction that continue each other become one segment, as receive offload does.
///
/// The joined segment has the first's IP ID, and the last's time, window and acknowledgment.
pub fn coalesce(packets: &[TcpPacket]) -> Vec<TcpPacket> {
    let mut out: Vec<TcpPacket> = Vec::with_capacity(packets.len());
    for packet in packets {
        match out.last_mut() {
            Some(last) if continues(last, packet) => {
                last.payload.extend(&packet.payload);
                last.flags |= packet.flags;
                (last.at_ns, last.ack, last.window) = (packet.at_ns, packet.ack, packet.window);
                last.options.clone_from(&packet.options);
            }
            _ => out.push(packet.clone()),
        }
    }
    out
}

fn continues(last: &TcpPacket, packet: &TcpPacket) -> bool {
    let joins = |packet: &TcpPacket| !packet.payload.is_empty() && packet.flags & !(ACK | PSH | FIN) == 0;
    last.direction() == packet.direction()
        && joins(last)
        && joins(packet)
        && !last.has(FIN)
        && last.seq.wrapping_add(last.payload.len() as u32) == packet.seq
        && last.payload.len() + packet.payload.len() <= MAX_PAYLOAD
}

/// Packets change places inside runs of one direction, by at most `window` places, as parallel paths or a capture
/// with several queues reorder them. Times stay in order. SYN and RST keep their place, and no packet overtakes one
/// of the other direction: either would tell another story, for the other side had not yet seen what it answers.
pub fn reorder(packets: &[TcpPacket], window: usize, seed: u64) -> Vec<TcpPacket> {
    let mut rng = Rng::new(seed);
    let mut out = packets.to_vec();
    for run in runs(packets) {
        for slots in run.chunks(window + 1) {
            let mut order = slots.to_vec();
            rng.shuffle(&mut order);
            for (&slot, &from) in slots.iter().zip(&order) {
                out[slot] = TcpPacket { at_ns: packets[slot].at_ns, ..packets[from].clone() };
            }
        }
    }
    out
}

/// Indices of the packets that may change places with each other: by connection, between turns of direction.
fn runs(packets: &[TcpPacket]) -> Vec<Vec<usize>> {
    let mut runs: Vec<Vec<usize>> = Vec::new();
    let mut open: BTreeMap<_, usize> = BTreeMap::new();
    for (index, packet) in packets.iter().enumerate() {
        if packet.flags & (SYN | RST) != 0 {
            open.remove(&packet.connection());
            continue;
        }
        match open.get(&packet.connection()) {
            Some(&run) if packets[runs[run][0]].direction() == packet.direction() => runs[run].push(index),
            _ => {
                open.insert(packet.connection(), runs.len());
                runs.push(vec![index]);
            }
        }
    }
    runs
}

/// Every packet twice, as a capture on two interfaces sees it: the copy `delay_ns` later, its TTL lower by
/// `hops`, all else the same.
pub fn duplicate(packets: &[TcpPacket], delay_ns: u64, hops: u8) -> Vec<TcpPacket> {
    let copy = |packet: &TcpPacket| TcpPacket {
        at_ns: packet.at_ns + delay_ns,
        ttl: packet.ttl.saturating_sub(hops).max(1),
        ..packet.clone()
    };
    let mut out: Vec<_> = packets.iter().flat_map(|packet| [packet.clone(), copy(packet)]).collect();
    out.sort_by_key(|packet| packet.at_ns);
    out
}

/// Every data segment that is sent once is sent again at once, with an IP ID of its own, as after a spurious
/// retransmission timeout. Segments that are sent twice already stay: one more might make them a `timeout`.
pub fn retransmit(packets: &[TcpPacket]) -> Vec<TcpPacket> {
    let mut times: BTreeMap<_, usize> = BTreeMap::new();
    let key = |packet: &TcpPacket| (packet.direction(), packet.seq);
    packets
        .iter()
        .for_each(|packet| *times.entry(key(packet)).or_default() += usize::from(!packet.payload.is_empty()));
    replace_each(packets, |packet| {
        let again = !packet.payload.is_empty() && packet.flags & (SYN | RST) == 0 && times[&key(packet)] == 1;
        vec![packet.clone(); 1 + usize::from(again)]
    })
}

/// Several captures as one, in time order.
pub fn interleave(captures: &[Vec<TcpPacket>]) -> Vec<TcpPacket> {
    let mut out = captures.concat();
    out.sort_by_key(|packet| packet.at_ns);
    out
}

#[cfg(test)]
mod tests {
    use super::super::conversation::Conversation;
    use super::super::packet::streams;
    use super::super::rewrite_set::sample;
    use super::*;
    use wsclose::side::Side;

    #[test]
    fn recut_makes_one_byte_segments_of_the_same_bytes() {
        let cut = recut(&sample(), 1);
        assert!(cut.iter().all(|packet| packet.payload.len() <= 1));
        assert_eq!(streams(&cut), streams(&sample()));
    }

    #[test]
    fn recut_keeps_flags_acknowledgments_and_bare_packets() {
        let cut = recut(&sample(), 7);
        for flag in [SYN, FIN, RST] {
            let count = |packets: &[TcpPacket]| packets.iter().filter(|packet| packet.has(flag)).count();
            assert_eq!(count(&cut), count(&sample()));
        }
        let bare = |packets: &[TcpPacket]| packets.iter().filter(|packet| packet.payload.is_empty()).count();
        assert_eq!(bare(&cut), bare(&sample()));
        let mut acks: Vec<_> = cut.iter().map(|packet| (packet.src, packet.ack)).collect();
        acks.dedup();
        let mut expected: Vec<_> = sample().iter().map(|packet| (packet.src, packet.ack)).collect();
        expected.dedup();
        assert_eq!(acks, expected);
    }

    #[test]
    fn recut_lets_ip_ids_count_on() {
        let cut = recut(&sample(), 3);
        for side in [sample()[0].src, sample()[1].src] {
            let ids: Vec<_> =
                cut.iter().filter(|packet| packet.src == side).map(|packet| packet.ip_id).collect();
            assert!(ids.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{ids:?}");
        }
    }

    #[test]
    fn recut_keeps_copies_copies() {
        let cut = recut(&duplicate(&sample(), 0, 0), 3);
        let ids =
            |packet: &TcpPacket| (packet.src, packet.seq, packet.flags, packet.ip_id, packet.payload.clone());
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        cut.iter().for_each(|packet| *counts.entry(ids(packet)).or_default() += 1);
        assert!(counts.values().all(|&count| count == 2));
    }

    #[test]
    fn recut_counts_data_on_a_syn_behind_it() {
        let mut packets = Conversation::opened().packets();
        packets[0].payload = b"abc".to_vec();
        let cut = recut(&packets[..1], 2);
        let seen: Vec<_> = cut.iter().map(|packet| (packet.flags, packet.seq, &packet.payload[..])).collect();
        assert_eq!(seen, [(SYN, 1_000_000, &b"ab"[..]), (0, 1_000_003, &b"c"[..])]);
    }

    #[test]
    fn cut_at_divides_in_two() {
        let cut = cut_at(&sample(), 1);
        let long = sample().iter().filter(|packet| packet.payload.len() > 1).count();
        assert_eq!(cut.len(), sample().len() + long);
        assert_eq!(streams(&cut), streams(&sample()));
    }

    #[test]
    fn coalesce_undoes_recut() {
        let again = coalesce(&recut(&sample(), 1));
        assert_eq!(streams(&again), streams(&sample()));
        assert!(again.len() <= sample().len());
    }

    #[test]
    fn coalesce_joins_only_what_continues() {
        let mut conn = Conversation::connected();
        conn.client_sends(b"ab").client_sends(b"cd").server_sends(b"x").client_sends(b"ef");
        let payloads: Vec<_> =
            coalesce(&conn.packets()[3..]).into_iter().map(|packet| packet.payload).collect();
        assert_eq!(payloads, [&b"abcd"[..], b"x", b"ef"]);
    }

    #[test]
    fn reorder_moves_packets_only_within_their_run() {
        let cut = recut(&sample(), 2);
        let shuffled = reorder(&cut, 3, 7);
        assert_ne!(shuffled, cut);
        assert_eq!(streams(&shuffled), streams(&cut));
        let shape =
            |packets: &[TcpPacket]| -> Vec<_> { packets.iter().map(|p| (p.at_ns, p.direction())).collect() };
        assert_eq!(shape(&shuffled), shape(&cut));
        for (slot, packet) in shuffled.iter().enumerate() {
            let from =
                cut.iter().position(|p| (p.src, p.seq, p.ip_id) == (packet.src, packet.seq, packet.ip_id));
            assert!(from.expect("no packet is lost").abs_diff(slot) <= 3);
        }
    }

    #[test]
    fn reorder_leaves_syn_and_rst_in_place() {
        let mut conn = Conversation::connected();
        conn.client_sends(b"a").client_sends(b"b").rst(Side::Client);
        for seed in 0..20 {
            let shuffled = reorder(&conn.packets(), 5, seed);
            assert!(shuffled[0].has(SYN) && shuffled[1].has(SYN) && shuffled[5].has(RST));
        }
    }

    #[test]
    fn duplicate_doubles_every_packet_in_time_order() {
        let doubled = duplicate(&sample(), 3_000, 1);
        assert_eq!(doubled.len(), 2 * sample().len());
        assert!(doubled.is_sorted_by_key(|packet| packet.at_ns));
        assert_eq!(
            doubled[1],
            TcpPacket { at_ns: doubled[0].at_ns + 3_000, ttl: doubled[0].ttl - 1, ..doubled[0].clone() }
        );
        assert_eq!(streams(&doubled), streams(&sample()));
    }

    #[test]
    fn retransmit_doubles_data_with_new_ip_ids() {
        let packets = retransmit(&sample());
        let data = |packets: &[TcpPacket]| packets.iter().filter(|packet| !packet.payload.is_empty()).count();
        assert_eq!(data(&packets), 2 * data(&sample()));
        assert_eq!(packets.len() - sample().len(), data(&sample()));
        let ids: Vec<_> = packets.iter().map(|packet| (packet.src, packet.ip_id)).collect();
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
        assert_eq!(streams(&packets), streams(&sample()));
    }

    #[test]
    fn interleave_keeps_each_conversation() {
        let mut other = Conversation::between("10.77.1.3:40000", "10.77.2.2:9001");
        other.connect().upgrade("/other");
        let both = interleave(&[sample(), other.packets()]);
        assert!(both.is_sorted_by_key(|packet| packet.at_ns));
        assert_eq!(
            both.iter().filter(|packet| packet.connection() == sample()[0].connection()).count(),
            sample().len()
        );
        assert_eq!(streams(&both).len(), 4);
    }
}
