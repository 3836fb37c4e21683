//! Rewrites that take packets away, as a capture that drops: the verdict stays, or becomes `unknown` or `open`.

use super::packet::TcpPacket;
use super::rng::Rng;

/// The capture without packets `start..start + len`.
pub fn without_burst(packets: &[TcpPacket], start: usize, len: usize) -> Vec<TcpPacket> {
    let end = (start + len).min(packets.len());
    [&packets[..start], &packets[end..]].concat()
}

/// Each capture that lacks one packet, with that packet's index.
pub fn each_packet_removed(packets: &[TcpPacket]) -> impl Iterator<Item = (usize, Vec<TcpPacket>)> + '_ {
    (0..packets.len()).map(|index| (index, without_burst(packets, index, 1)))
}

/// Each capture that lacks `len` packets in a row, with the first one's index.
pub fn each_burst_removed(
    packets: &[TcpPacket],
    len: usize,
) -> impl Iterator<Item = (usize, Vec<TcpPacket>)> + '_ {
    (0..=packets.len().saturating_sub(len)).map(move |start| (start, without_burst(packets, start, len)))
}

/// The capture without a random `per_mille` of its packets.
pub fn random_removed(packets: &[TcpPacket], per_mille: u64, seed: u64) -> Vec<TcpPacket> {
    let mut rng = Rng::new(seed);
    packets.iter().filter(|_| !rng.chance(per_mille)).cloned().collect()
}

/// Only the packets that the host which sent the first one sent, or only those of the other hosts.
pub fn one_sided(packets: &[TcpPacket], first_sender: bool) -> Vec<TcpPacket> {
    let first = packets.first().map(|packet| packet.src);
    packets.iter().filter(|packet| (Some(packet.src) == first) == first_sender).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::rewrite_set::sample;
    use super::*;

    #[test]
    fn each_packet_is_missing_once() {
        let all: Vec<_> = each_packet_removed(&sample()).collect();
        assert_eq!(all.len(), sample().len());
        for (index, mut packets) in all {
            packets.insert(index, sample()[index].clone());
            assert_eq!(packets, sample());
        }
    }

    #[test]
    fn bursts_slide_over_the_capture() {
        let all: Vec<_> = each_burst_removed(&sample(), 3).collect();
        assert_eq!(all.len(), sample().len() - 2);
        assert_eq!(all[2].1[..2], sample()[..2]);
        assert_eq!(all[2].1[2..], sample()[5..]);
    }

    #[test]
    fn random_removal_is_the_same_for_the_same_seed() {
        let many = vec![sample(); 50].concat();
        let kept = random_removed(&many, 300, 5);
        assert_eq!(kept, random_removed(&many, 300, 5));
        assert_ne!(kept, random_removed(&many, 300, 6));
        let share = kept.len() as f64 / many.len() as f64;
        assert!((0.6..0.8).contains(&share), "{share}");
        assert_eq!(random_removed(&many, 0, 5), many);
    }

    #[test]
    fn one_side_holds_no_packet_of_the_other() {
        let (client, server) = (one_sided(&sample(), true), one_sided(&sample(), false));
        assert_eq!(client.len() + server.len(), sample().len());
        assert!(client.iter().all(|packet| packet.src == sample()[0].src));
        assert!(server.iter().all(|packet| packet.src == sample()[1].src));
    }
}
