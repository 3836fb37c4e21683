use super::super::link::is_supported;
use super::*;

const NO_NAMES: [&str; 0] = [];

#[test]
fn ethernet_ii_carries_both_ip_versions() {
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x0800, &hello())), NO_NAMES);
    let v6 = ipv6(TCP, &tcp(b"hello"));
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x86dd, &v6)), NO_NAMES);
}

#[test]
fn snap_and_llc_carry_ip_in_802_3() {
    let snap = [&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00][..], &hello()].concat();
    let len = u16::try_from(snap.len()).unwrap();
    let padded = [&ethernet(len, &snap)[..], &[0; 9]].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &padded), NO_NAMES);
    let llc = [&[0x06, 0x06, 0x03][..], &hello()].concat();
    let len = u16::try_from(llc.len()).unwrap();
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(len, &llc)), NO_NAMES);
}

fn tagged(tags: &[(u16, u16)], ip: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1];
    for (ether_type, control) in tags {
        bytes.extend(ether_type.to_be_bytes());
        bytes.extend(control.to_be_bytes());
    }
    bytes.extend([0x08, 0x00]);
    bytes.extend(ip);
    bytes
}

#[test]
fn vlan_stacks_name_each_tag() {
    // Priority 5 and the drop bit are not part of the ID.
    assert_eq!(arrives(LinkType::ETHERNET, &tagged(&[(0x8100, 0xb00c)], &hello())), ["vlan 12"]);
    let stack = [(0x88a8, 100), (0x8100, 12)];
    assert_eq!(arrives(LinkType::ETHERNET, &tagged(&stack, &hello())), ["vlan 100", "vlan 12"]);
    let stack = [(0x9100, 3), (0x8100, 2), (0x8100, 1)];
    assert_eq!(arrives(LinkType::ETHERNET, &tagged(&stack, &hello())), ["vlan 3", "vlan 2", "vlan 1"]);
}

#[test]
fn a_priority_tag_is_the_plain_network() {
    assert_eq!(arrives(LinkType::ETHERNET, &tagged(&[(0x8100, 0xa000)], &hello())), NO_NAMES);
}

#[test]
fn same_addresses_in_different_vlans_differ() {
    let (first, second) = (tagged(&[(0x8100, 1)], &hello()), tagged(&[(0x8100, 2)], &hello()));
    let mut decoder = decoder();
    let one = segment(decode(&mut decoder, LinkType::ETHERNET, &first)).encapsulation();
    let two = segment(decode(&mut decoder, LinkType::ETHERNET, &second)).encapsulation();
    let again = segment(decode(&mut decoder, LinkType::ETHERNET, &first)).encapsulation();
    assert_ne!(one, two);
    assert_eq!(one, again);
}

#[test]
fn encapsulations_beyond_the_limit_are_counted_and_share_one() {
    let mut decoder = Decoder::new(&Limits { encapsulations: 1, ..Limits::default() }, false);
    let mut of = |id| {
        let packet = tagged(&[(0x8100, id)], &hello());
        segment(decode(&mut decoder, LinkType::ETHERNET, &packet)).encapsulation()
    };
    let ids = [of(1), of(2), of(3)];
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[1], ids[2]);
    assert_eq!(decoder.anomalies().of(Anomaly::EncapsulationLimit), 2);
}

/// Found by the fuzz target `decode`, which took five tags for five layers.
#[test]
fn a_stack_of_vlan_tags_counts_one_layer() {
    let limits = Limits { encapsulation_depth: 1, ..Limits::default() };
    let mut decoder = Decoder::new(&limits, false);
    let packet = tagged(&[(0x8100, 7); 5], &hello());
    let id = segment(decode(&mut decoder, LinkType::ETHERNET, &packet)).encapsulation();
    assert_eq!(decoder.encapsulation_names(id).len(), 5);
}

#[test]
fn a_vlan_stack_without_end_stops_at_the_limit() {
    let packet = tagged(&[(0x8100, 1); 200], &hello());
    assert_eq!(nothing(LinkType::ETHERNET, &packet), [Anomaly::TunnelTooDeep]);
}

#[test]
fn switch_port_tags_are_skipped() {
    let etag = [&[0, 0, 0, 1, 0, 0, 0x08, 0x00][..], &hello()].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x893f, &etag)), NO_NAMES);
    let vntag = [&[0, 0, 0, 1, 0x08, 0x00][..], &hello()].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x8926, &vntag)), NO_NAMES);
}

#[test]
fn mpls_carries_ip_and_pseudowires_and_is_no_identity() {
    let stack = [&[0x00, 0x01, 0x00, 64][..], &[0x00, 0x02, 0x01, 64]].concat();
    let ip = [&stack[..], &hello()].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x8847, &ip)), NO_NAMES);
    let v6 = [&stack[..], &ipv6(TCP, &tcp(b"hello"))].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x8847, &v6)), NO_NAMES);
    let frame = ethernet(0x0800, &hello());
    let pseudowire = [&stack[..], &frame].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x8847, &pseudowire)), NO_NAMES);
    let control_word = [&stack[..], &[0, 0, 0, 9], &frame].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x8847, &control_word)), NO_NAMES);
}

#[test]
fn an_mpls_stack_without_bottom_is_malformed() {
    let packet = ethernet(0x8847, &[0; 40]);
    assert_eq!(nothing(LinkType::ETHERNET, &packet), [Anomaly::PacketMalformed]);
}

/// A PPPoE session header of session 17.
fn pppoe(ppp: &[u8]) -> Vec<u8> {
    let len = u16::try_from(ppp.len()).unwrap();
    [&[0x11, 0x00, 0x00, 17][..], &len.to_be_bytes(), ppp].concat()
}

#[test]
fn pppoe_sessions_are_told_apart() {
    let session = pppoe(&[&[0x00, 0x21][..], &hello()].concat());
    let padded = [&ethernet(0x8864, &session)[..], &[0xee; 4]].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &padded), ["pppoe 17"]);
    assert_eq!(arrives(LinkType::PPP_ETHER, &session), ["pppoe 17"]);
}

#[test]
fn an_ip_length_beyond_its_pppoe_frame_adds_no_payload() {
    // Seen in the wild: the Ethernet padding counted into the IP total length.
    let mut bare = ipv4(TCP, &tcp(b""));
    bare[2..4].copy_from_slice(&[0, 58]);
    let session = pppoe(&[&[0x00, 0x21][..], &bare].concat());
    let packet = [&ethernet(0x8864, &session)[..], &[0; 6]].concat();
    let mut decoder = decoder();
    let found = segment(decode(&mut decoder, LinkType::ETHERNET, &packet));
    assert_eq!((found.payload, found.missing), (&b""[..], 0));
}

#[test]
fn provider_backbone_services_are_told_apart() {
    let service = [&[0x00, 0x00, 0x01, 0x00][..], &ethernet(0x0800, &hello())].concat();
    assert_eq!(arrives(LinkType::ETHERNET, &ethernet(0x88e7, &service)), ["pbb 256"]);
}

#[test]
fn ppp_is_read_in_each_of_its_forms() {
    let v6 = ipv6(TCP, &tcp(b"hello"));
    let forms: [(LinkType, &[u8], &[u8]); 7] = [
        (LinkType::PPP, &[0xff, 0x03, 0x00, 0x21], &hello()),
        (LinkType::PPP, &[0x00, 0x21], &hello()),
        (LinkType::PPP, &[0x21], &hello()),
        (LinkType::PPP, &[0xff, 0x03, 0x57], &v6),
        (LinkType::PPP_HDLC, &[0xff, 0x03, 0x00, 0x57], &v6),
        (LinkType::PPP_HDLC, &[0x0f, 0x00, 0x08, 0x00], &hello()),
        (LinkType::PPP_WITH_DIR, &[0x01, 0xff, 0x03, 0x00, 0x21], &hello()),
    ];
    for (link_type, header, ip) in forms {
        assert_eq!(arrives(link_type, &[header, ip].concat()), NO_NAMES);
    }
}

#[test]
fn cisco_hdlc_carries_ip() {
    assert_eq!(arrives(LinkType::C_HDLC, &[&[0x0f, 0x00, 0x08, 0x00][..], &hello()].concat()), NO_NAMES);
}

#[test]
fn linux_cooked_carries_ip_and_vlans() {
    let v1: &[&[u8]] = &[
        &[0, 0],                   // packet type
        &[0, 1],                   // ARPHRD_ETHER
        &[0, 6],                   // address length
        &[2, 0, 0, 0, 0, 1, 0, 0], // address
    ];
    let v1 = v1.concat();
    assert_eq!(arrives(LinkType::LINUX_SLL, &[&v1[..], &[0x08, 0x00], &hello()].concat()), NO_NAMES);
    let vlan = [&v1[..], &[0x81, 0x00, 0x00, 0x05, 0x08, 0x00], &hello()].concat();
    assert_eq!(arrives(LinkType::LINUX_SLL, &vlan), ["vlan 5"]);
    let v2: &[&[u8]] = &[
        &[0x08, 0x00],             // protocol
        &[0, 0],                   // reserved
        &[0, 0, 0, 2],             // interface
        &[0, 1],                   // ARPHRD_ETHER
        &[0],                      // packet type
        &[6],                      // address length
        &[2, 0, 0, 0, 0, 1, 0, 0], // address
        &hello(),
    ];
    assert_eq!(arrives(LinkType::LINUX_SLL2, &v2.concat()), NO_NAMES);
}

#[test]
fn loopback_is_read_in_both_byte_orders_and_all_families() {
    let v6 = ipv6(TCP, &tcp(b"hello"));
    for link_type in [LinkType::NULL, LinkType::LOOP] {
        assert_eq!(arrives(link_type, &[&[2, 0, 0, 0][..], &hello()].concat()), NO_NAMES);
        assert_eq!(arrives(link_type, &[&[0, 0, 0, 2][..], &hello()].concat()), NO_NAMES);
        for family in [10, 24, 28, 30] {
            assert_eq!(arrives(link_type, &[&[family, 0, 0, 0][..], &v6].concat()), NO_NAMES);
            assert_eq!(arrives(link_type, &[&[0, 0, 0, family][..], &v6].concat()), NO_NAMES);
        }
    }
    assert_eq!(nothing(LinkType::NULL, &[&[7, 0, 0, 0][..], &hello()].concat()), []);
}

#[test]
fn raw_ip_is_read_under_all_its_numbers() {
    for number in [12, 14, 101, 228] {
        assert_eq!(arrives(LinkType(number), &hello()), NO_NAMES);
    }
    for number in [12, 14, 101, 229] {
        assert_eq!(arrives(LinkType(number), &ipv6(TCP, &tcp(b"hello"))), NO_NAMES);
    }
}

#[test]
fn a_packet_that_netfilter_logged_is_read_in_both_byte_orders() {
    // Packet header, mark, prefix "x", the packet: as `nft ... log group 0 prefix "x"` gives them.
    let values = |number: fn(u16) -> [u8; 2], packet: &[u8]| {
        let value = |kind: u16, bytes: &[u8]| {
            let len = u16::try_from(bytes.len() + 4).unwrap();
            let mut value = [&number(len)[..], &number(kind), bytes].concat();
            value.resize(value.len().next_multiple_of(4), 0);
            value
        };
        [
            vec![2, 0, 0, 0],
            value(1, &[8, 0, 3, 0]),
            value(2, &[0, 0, 0, 7]),
            value(10, b"x\0"),
            value(9, packet),
        ]
        .concat()
    };
    for number in [u16::to_le_bytes, u16::to_be_bytes] {
        assert_eq!(arrives(LinkType::NFLOG, &values(number, &hello())), NO_NAMES);
        assert_eq!(arrives(LinkType::NFLOG, &values(number, &ipv6(TCP, &tcp(b"hello")))), NO_NAMES);
        let mut whole = values(number, &hello());
        whole.truncate(whole.len() - hello().len().next_multiple_of(4) - 4);
        assert_eq!(nothing(LinkType::NFLOG, &whole), [], "the log need not hold the packet");
    }
    // `snaplen 44`: IP says how long the packet was.
    let cut = values(u16::to_le_bytes, hello().get(..hello().len() - 4).unwrap());
    let mut decoder = decoder();
    let Decoded::Segment(segment) = decode(&mut decoder, LinkType::NFLOG, &cut) else { panic!("no segment") };
    assert_eq!((segment.payload, segment.missing), (&b"h"[..], 4));
    // A value that is shorter than its own header.
    assert_eq!(nothing(LinkType::NFLOG, &[2, 0, 0, 0, 3, 0, 1, 0]), [Anomaly::PacketMalformed]);
}

#[test]
fn an_unsupported_link_type_is_counted_by_number() {
    let mut decoder = decoder();
    for number in [147, 105, 147] {
        assert_eq!(decode(&mut decoder, LinkType(number), &hello()), Decoded::Nothing);
    }
    let met: Vec<_> = decoder.unsupported_link_types().collect();
    assert_eq!(met, [(LinkType(105), 1), (LinkType(147), 2)]);
    assert_eq!(decoder.anomalies().of(Anomaly::LinkUnsupported), 3);
    assert!([147, 105].into_iter().all(|number| !is_supported(LinkType(number))));
    assert!(
        [LinkType::ETHERNET, LinkType::NULL, LinkType::RAW, LinkType::NFLOG].into_iter().all(is_supported)
    );
}
