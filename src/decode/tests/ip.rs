use super::*;

/// Decodes a packet of which the capture holds less than `wire` bytes.
fn cut(decoder: &mut Decoder, bytes: &[u8], wire: usize) -> Option<(Vec<u8>, Vec<u8>, u32)> {
    match decoder.decode(moment(0), LinkType::ETHERNET, 0, bytes, u32::try_from(wire).unwrap()) {
        Decoded::Segment(found) => Some((found.options.to_vec(), found.payload.to_vec(), found.missing)),
        _ => None,
    }
}

#[test]
fn ethernet_padding_and_check_sequence_are_no_payload() {
    let bare = ethernet(0x0800, &ipv4(TCP, &tcp(b"")));
    let padded = [&bare[..], &[0xee; 10]].concat();
    for fcs_len in [0, 4] {
        let mut decoder = decoder();
        let found = decoder.decode(moment(0), LinkType::ETHERNET, fcs_len, &padded, 76);
        assert_eq!(segment(found).payload, b"");
    }
}

#[test]
fn ipv4_options_are_skipped() {
    let mut packet = ipv4(TCP, &[&[1, 1, 1, 0][..], &tcp(b"hello")].concat());
    packet[0] = 0x46;
    arrives(LinkType::RAW, &packet);
}

#[test]
fn a_header_length_below_five_words_is_malformed() {
    let mut packet = hello();
    packet[0] = 0x44;
    assert_eq!(nothing(LinkType::RAW, &packet), [Anomaly::PacketMalformed]);
}

#[test]
fn a_total_length_below_its_header_is_malformed() {
    let mut packet = hello();
    packet[2..4].copy_from_slice(&[0, 19]);
    assert_eq!(nothing(LinkType::RAW, &packet), [Anomaly::PacketMalformed]);
}

#[test]
fn a_data_offset_below_five_or_beyond_the_segment_is_malformed() {
    for offset in [0x40, 0xf0] {
        let mut packet = hello();
        packet[20 + 12] = offset;
        assert_eq!(nothing(LinkType::RAW, &packet), [Anomaly::PacketMalformed]);
    }
}

#[test]
fn a_total_length_of_zero_takes_the_packets_own_length_without_check_sequence() {
    let mut packet = ethernet(0x0800, &hello());
    packet[16..18].copy_from_slice(&[0, 0]);
    packet.extend([0xee; 4]);
    let mut decoder = decoder();
    let wire = u32::try_from(packet.len()).unwrap();
    let found = segment(decoder.decode(moment(0), LinkType::ETHERNET, 4, &packet, wire));
    assert_eq!(found.payload, b"hello");
}

#[test]
fn an_offloaded_segment_cut_by_the_snaplen_knows_what_is_missing() {
    let mut packet = ethernet(0x0800, &hello());
    packet[16..18].copy_from_slice(&[0, 0]);
    let mut decoder = decoder();
    let wire = u32::try_from(packet.len() + 90_000).unwrap();
    let found = segment(decoder.decode(moment(0), LinkType::ETHERNET, 0, &packet, wire));
    assert_eq!((found.payload, found.missing), (&b"hello"[..], 90_000));
}

#[test]
fn a_payload_length_of_zero_is_big_tcp() {
    let mut packet = ipv6(TCP, &tcp(b"hello"));
    packet[4..6].copy_from_slice(&[0, 0]);
    arrives(LinkType::RAW, &packet);
}

#[test]
fn a_jumbo_payload_option_gives_the_length() {
    let segment_bytes = tcp(b"hello");
    let len = u32::try_from(8 + segment_bytes.len()).unwrap();
    let option = [&[TCP, 0, 0xc2, 4][..], &len.to_be_bytes()].concat();
    let mut packet = ipv6(0, &[option, segment_bytes].concat());
    packet[4..6].copy_from_slice(&[0, 0]);
    packet.extend([0xee; 6]);
    arrives(LinkType::RAW, &packet);
}

#[test]
fn extension_headers_are_skipped() {
    let chain: &[&[u8]] = &[
        &[60, 0, 1, 4, 0, 0, 0, 0], // hop-by-hop: padding; next destination options
        &[43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // 16 bytes; next routing
        &[44, 0, 253, 0, 0, 0, 0, 0], // routing, nothing left; next fragment
        &[51, 0, 0, 0, 0, 0, 0, 9], // an atomic fragment; next authentication
        &[TCP, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], // 16 bytes
        &tcp(b"hello"),
    ];
    arrives(LinkType::RAW, &ipv6(0, &chain.concat()));
}

#[test]
fn a_routing_header_names_the_true_destination() {
    let last = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let segment_routing: &[&[u8]] = &[&[TCP, 2, 4, 1], &[0, 0, 0, 0], &last, &tcp(b"hello")];
    let packet = ipv6(43, &segment_routing.concat());
    let mut decoder = decoder();
    let found = segment(decode(&mut decoder, LinkType::RAW, &packet));
    assert_eq!(found.destination().address, address("fd00::9"));
}

#[test]
fn a_cut_at_every_byte_never_panics_and_never_invents() {
    let packet = ethernet(0x0800, &hello());
    let options_at = 14 + 20 + 20;
    let payload_at = options_at + 12;
    for len in 0..packet.len() {
        let mut decoder = decoder();
        let found = cut(&mut decoder, &packet[..len], packet.len());
        assert_eq!(decoder.anomalies().of(Anomaly::PacketTruncated), 1, "{len} bytes");
        // Ports, sequence numbers, offset and flags are the first 14 bytes of the TCP header.
        let Some((options, payload, missing)) = found else {
            assert!(len < 14 + 20 + 14, "{len} bytes hold enough of the header");
            continue;
        };
        assert!(len >= 14 + 20 + 14, "{len} bytes do not hold enough of the header");
        assert_eq!(options, packet[options_at.min(len)..payload_at.min(len)]);
        assert_eq!(payload, packet[payload_at.min(len)..len]);
        assert_eq!(payload.len() + usize::try_from(missing).unwrap(), 5);
    }
}

#[test]
fn checksums_are_looked_at_only_when_asked() {
    let mut packet = hello();
    let mut verifying = Decoder::new(&Limits::default(), true);
    assert_eq!(decode(&mut verifying, LinkType::RAW, &packet), Decoded::Nothing);
    assert_eq!(verifying.anomalies().of(Anomaly::ChecksumBad), 1);
    fill_checksums(&mut packet);
    assert_eq!(segment(decode(&mut verifying, LinkType::RAW, &packet)).payload, b"hello");
    let last = packet.len() - 1;
    packet[last] ^= 1;
    assert_eq!(decode(&mut verifying, LinkType::RAW, &packet), Decoded::Nothing);
    assert_eq!(verifying.anomalies().of(Anomaly::ChecksumBad), 2);
    arrives_with(&packet, b"helln");
}

#[test]
fn the_checksum_of_a_cut_segment_is_not_looked_at() {
    let mut packet = hello();
    fill_checksums(&mut packet);
    let mut verifying = Decoder::new(&Limits::default(), true);
    let wire = u32::try_from(packet.len()).unwrap();
    let held = packet.len() - 2;
    let found = segment(verifying.decode(moment(0), LinkType::RAW, 0, &packet[..held], wire));
    assert_eq!((found.payload, found.missing), (&b"hel"[..], 2));
}

fn arrives_with(packet: &[u8], payload: &[u8]) {
    assert_eq!(segment(decode(&mut decoder(), LinkType::RAW, packet)).payload, payload);
}

/// The sum of RFC 1071, written here anew.
fn internet_checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

fn fill_checksums(packet: &mut [u8]) {
    let sum = internet_checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum);
    let len = u16::try_from(packet.len() - 20).unwrap().to_be_bytes();
    let pseudo = [&packet[12..20], &[0, TCP], &len, &packet[20..]].concat();
    packet[36..38].copy_from_slice(&internet_checksum(&pseudo));
}

#[test]
fn a_total_length_beyond_the_record_is_missing_payload() {
    let packet = ethernet(0x0800, &hello());
    let held = packet.len() - 2;
    let mut decoder = decoder();
    assert_eq!(cut(&mut decoder, &packet[..held], held).unwrap().2, 2);
}
