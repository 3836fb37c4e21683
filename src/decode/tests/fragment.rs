use super::*;

const MORE: u16 = 0x2000;

/// The segment of `payload` in IPv4 fragments of 8 bytes each.
fn pieces(id: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    let whole = tcp(payload);
    let count = whole.len().div_ceil(8);
    let piece = |(index, bytes): (usize, &[u8])| {
        let more = if index + 1 < count { MORE } else { 0 };
        ipv4_fragment(TCP, id, more | u16::try_from(index).unwrap(), bytes)
    };
    whole.chunks(8).enumerate().map(piece).collect()
}

/// Payloads of the segments that come out of `packets`.
fn feed(decoder: &mut Decoder, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for packet in packets {
        if let Decoded::Segment(found) = decode(decoder, LinkType::RAW, packet) {
            assert_eq!(found.source().port, 40_000);
            payloads.push(found.payload.to_vec());
        }
    }
    payloads
}

#[test]
fn fragments_join_in_order_and_reversed() {
    let mut packets = pieces(1, b"a payload of some length");
    assert!(packets.len() > 5, "the TCP header too is split");
    for _ in 0..2 {
        let mut decoder = decoder();
        assert_eq!(feed(&mut decoder, &packets), [b"a payload of some length"]);
        decoder.finish();
        assert_eq!(decoder.anomalies().iter().count(), 0);
        packets.reverse();
    }
}

#[test]
fn the_joined_segment_has_the_first_fragments_ttl_and_the_last_packets_moment() {
    let mut packets = pieces(9, b"hello");
    packets[1][8] = 1;
    packets.reverse();
    let mut decoder = decoder();
    let (last, others) = packets.split_last().unwrap();
    feed(&mut decoder, others);
    let at = moment(5);
    let found = segment(decoder.decode(at, LinkType::RAW, 0, last, 28));
    assert_eq!((found.ttl, found.ip_id, found.at), (64, Some(9), at));
}

#[test]
fn copies_of_fragments_are_no_overlap_and_leave_nothing_behind() {
    let packets = pieces(1, b"hello world");
    let doubled: Vec<_> = packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
    let mut decoder = decoder();
    assert_eq!(feed(&mut decoder, &doubled), [b"hello world"]);
    decoder.finish();
    assert_eq!(decoder.anomalies().iter().count(), 0);
}

#[test]
fn overlapping_bytes_never_change_those_first_seen() {
    let mut packets = pieces(1, b"AAAAAAAABBBBBBBBCCCC");
    // Replaces the pieces of A and B by one that overlaps both, and comes late or early.
    let evil = ipv4_fragment(TCP, 1, MORE | 4, b"XXXXXXXXXXXXXXXX");
    packets.insert(5, evil.clone());
    let mut decoder = decoder();
    assert_eq!(feed(&mut decoder, &packets), [b"AAAAAAAAXXXXXXXXCCCC"]);
    assert!(decoder.anomalies().of(Anomaly::FragmentOverlap) >= 1);
    packets.remove(5);
    packets.insert(6, evil);
    let mut decoder = self::decoder();
    assert_eq!(feed(&mut decoder, &packets), [b"AAAAAAAABBBBBBBBCCCC"]);
    assert_eq!(decoder.anomalies().of(Anomaly::FragmentOverlap), 1);
}

#[test]
fn a_second_end_changes_nothing_and_is_counted() {
    let mut packets = pieces(1, b"hello");
    let last = packets.pop().unwrap();
    let longer = ipv4_fragment(TCP, 1, 6, b"longer!");
    let mut decoder = decoder();
    let order = [vec![last, longer], packets].concat();
    assert_eq!(feed(&mut decoder, &order), [b"hello"]);
    assert_eq!(decoder.anomalies().of(Anomaly::FragmentOverlap), 1);
}

#[test]
fn fragments_of_different_datagrams_and_vlans_do_not_mix() {
    let (one, two) = (pieces(1, b"one"), pieces(2, b"two"));
    let mixed: Vec<_> = one.iter().zip(&two).flat_map(|(one, two)| [one.clone(), two.clone()]).collect();
    assert_eq!(feed(&mut decoder(), &mixed), [b"one", b"two"]);
    let vlan = |id: u8, ip: &[u8]| ethernet(0x8100, &[&[0, id, 0x08, 0x00][..], ip].concat());
    let mut decoder = decoder();
    for (index, packet) in one.iter().enumerate() {
        let id = if index == 0 { 1 } else { 2 };
        assert_eq!(decode(&mut decoder, LinkType::ETHERNET, &vlan(id, packet)), Decoded::Nothing);
    }
}

#[test]
fn a_datagram_that_never_completes_is_counted_at_the_end() {
    let mut packets = pieces(1, b"hello");
    packets.remove(2);
    let mut decoder = decoder();
    assert!(feed(&mut decoder, &packets).is_empty());
    assert_eq!(decoder.anomalies().of(Anomaly::FragmentIncomplete), 0);
    decoder.finish();
    assert_eq!(decoder.anomalies().of(Anomaly::FragmentIncomplete), 1);
}

#[test]
fn a_datagram_that_waits_too_long_is_given_up() {
    let packets = pieces(1, b"hello");
    let mut decoder = decoder();
    let (last, others) = packets.split_last().unwrap();
    feed(&mut decoder, others);
    let wire = u32::try_from(last.len()).unwrap();
    assert_eq!(decoder.decode(moment(61), LinkType::RAW, 0, last, wire), Decoded::Nothing);
    assert_eq!(decoder.anomalies().of(Anomaly::FragmentIncomplete), 1);
}

#[test]
fn the_pool_drops_the_oldest_first() {
    let limits = Limits { fragment_datagrams: 2, ..Limits::default() };
    let mut decoder = Decoder::new(&limits, false);
    let datagrams = [pieces(1, b"one"), pieces(2, b"two"), pieces(3, b"333")];
    for datagram in &datagrams {
        feed(&mut decoder, &datagram[..1]);
    }
    assert_eq!(decoder.anomalies().of(Anomaly::FragmentIncomplete), 1);
    assert_eq!(feed(&mut decoder, &datagrams[1][1..]), [b"two"]);
    assert_eq!(feed(&mut decoder, &datagrams[2][1..]), [b"333"]);
    assert!(feed(&mut decoder, &datagrams[0][1..]).is_empty());
}

#[test]
fn the_pool_holds_no_more_bytes_than_its_limit() {
    let limits = Limits { fragment_bytes: 100_000, ..Limits::default() };
    let mut decoder = Decoder::new(&limits, false);
    for id in 0..10 {
        // At the far end of the datagram: 65 KB each.
        let packet = ipv4_fragment(TCP, id, MORE | 8_100, &[0; 8]);
        assert_eq!(decode(&mut decoder, LinkType::RAW, &packet), Decoded::Nothing);
    }
    assert_eq!(decoder.anomalies().of(Anomaly::FragmentIncomplete), 9);
}

#[test]
fn a_fragment_beyond_the_largest_datagram_is_malformed() {
    let packet = ipv4_fragment(TCP, 1, 8_191, &[0; 8]);
    assert_eq!(nothing(LinkType::RAW, &packet), [Anomaly::PacketMalformed]);
}

#[test]
fn a_snaplen_cut_in_a_fragment_is_missing_payload() {
    let packets = pieces(1, b"AAAAAAAABBBBBBBBCCCC");
    let mut decoder = decoder();
    let mut found = None;
    for (index, packet) in packets.iter().enumerate() {
        // The piece of B lacks its last 3 bytes.
        let held = if index == 5 { packet.len() - 3 } else { packet.len() };
        let wire = u32::try_from(packet.len()).unwrap();
        if let Decoded::Segment(segment) = decoder.decode(moment(0), LinkType::RAW, 0, &packet[..held], wire)
        {
            found = Some((segment.payload.to_vec(), segment.missing));
        }
    }
    assert_eq!(found, Some((b"AAAAAAAABBBBB".to_vec(), 7)));
    assert_eq!(decoder.anomalies().of(Anomaly::PacketTruncated), 1);
}

#[test]
fn ipv6_fragments_join_and_their_extensions_are_skipped() {
    let whole = [&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &tcp(b"hello")].concat();
    let (first, last) = whole.split_at(24);
    let fragment = |offset_more: u16, bytes: &[u8]| {
        let header = [&[60, 0][..], &offset_more.to_be_bytes(), &[0, 0, 0, 5]].concat();
        ipv6(44, &[&header[..], bytes].concat())
    };
    let packets = [fragment(24, last), fragment(1, first)];
    let mut decoder = decoder();
    assert_eq!(feed(&mut decoder, &packets), [b"hello"]);
}

#[test]
fn a_tunnel_in_fragments_may_hold_fragments() {
    let inner = pieces(1, b"hello");
    let mut packets = Vec::new();
    for (id, packet) in (10..).zip(&inner) {
        let (first, last) = packet.split_at(16);
        packets.push(ipv4_fragment(4, id, MORE, first));
        packets.push(ipv4_fragment(4, id, 2, last));
    }
    let mut decoder = decoder();
    assert_eq!(feed(&mut decoder, &packets), [b"hello"]);
    assert_eq!(decoder.anomalies().iter().count(), 0);
}
