use super::*;

const NO_NAMES: [&str; 0] = [];

fn gre(flags: u8, protocol: u16, fields: &[u8], payload: &[u8]) -> Vec<u8> {
    ipv4(47, &[&[flags, 0][..], &protocol.to_be_bytes(), fields, payload].concat())
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let ports = [&[0xc0, 0x00][..], &port.to_be_bytes()].concat();
    ipv4(17, &[&ports[..], &len.to_be_bytes(), &[0, 0], payload].concat())
}

#[test]
fn ip_in_ip_is_read_in_all_four_pairings() {
    let v6 = ipv6(TCP, &tcp(b"hello"));
    for outer in [ipv4(4, &hello()), ipv4(41, &v6), ipv6(4, &hello()), ipv6(41, &v6)] {
        assert_eq!(arrives(LinkType::RAW, &outer), ["ip-in-ip"]);
    }
}

#[test]
fn gre_fields_are_skipped_and_the_key_is_its_identity() {
    assert_eq!(arrives(LinkType::RAW, &gre(0x00, 0x0800, &[], &hello())), ["gre"]);
    assert_eq!(arrives(LinkType::RAW, &gre(0x80, 0x0800, &[0; 4], &hello())), ["gre"]);
    assert_eq!(arrives(LinkType::RAW, &gre(0x10, 0x0800, &[0; 4], &hello())), ["gre"]);
    let key = [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1];
    assert_eq!(arrives(LinkType::RAW, &gre(0xb0, 0x0800, &key, &hello())), ["gre key 9"]);
}

#[test]
fn gre_carries_ethernet_and_mpls() {
    let frame = ethernet(0x0800, &hello());
    assert_eq!(arrives(LinkType::RAW, &gre(0x00, 0x6558, &[], &frame)), ["gre"]);
    assert_eq!(arrives(LinkType::RAW, &gre(0x20, 0x6558, &[0, 0, 1, 2], &frame)), ["gre key 258"]);
    let labelled = [&[0x00, 0x02, 0x01, 64][..], &hello()].concat();
    assert_eq!(arrives(LinkType::RAW, &gre(0x00, 0x8847, &[], &labelled)), ["gre"]);
}

#[test]
fn the_flow_number_of_nvgre_is_no_identity() {
    let frame = ethernet(0x0800, &hello());
    for flow in [0x01, 0xfe] {
        let key = [0x00, 0x13, 0x88, flow];
        assert_eq!(arrives(LinkType::RAW, &gre(0x20, 0x6558, &key, &frame)), ["nvgre 5000"]);
    }
}

#[test]
fn erspan_is_the_mirrored_network_itself() {
    let frame = ethernet(0x0800, &hello());
    assert_eq!(arrives(LinkType::RAW, &gre(0x00, 0x88be, &[], &frame)), NO_NAMES);
    let second = [&[0, 0, 0, 1][..], &[0x10, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(arrives(LinkType::RAW, &gre(0x10, 0x88be, &second, &frame)), NO_NAMES);
    let third = [&[0, 0, 0, 1][..], &[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 8]].concat();
    assert_eq!(arrives(LinkType::RAW, &gre(0x10, 0x22eb, &third, &frame)), NO_NAMES);
}

#[test]
fn pptp_carries_ppp() {
    let header: &[&[u8]] = &[
        &[0x30, 0x81, 0x88, 0x0b], // key, sequence; acknowledgment, version 1; PPP
        &[0, 70, 0, 5],            // payload length, call ID
        &[0, 0, 0, 1],             // sequence
        &[0, 0, 0, 2],             // acknowledgment
        &[0xff, 0x03, 0x00, 0x21],
        &hello(),
    ];
    assert_eq!(arrives(LinkType::RAW, &ipv4(47, &header.concat())), ["pptp"]);
}

#[test]
fn etherip_and_mpls_in_ip_are_entered() {
    let etherip = [&[0x30, 0x00][..], &ethernet(0x0800, &hello())].concat();
    assert_eq!(arrives(LinkType::RAW, &ipv4(97, &etherip)), ["etherip"]);
    let labelled = [&[0x00, 0x02, 0x01, 64][..], &hello()].concat();
    assert_eq!(arrives(LinkType::RAW, &ipv4(137, &labelled)), NO_NAMES);
}

#[test]
fn vxlan_is_read_at_both_its_ports() {
    let header: &[&[u8]] = &[
        &[0x08],           // VNI valid
        &[0, 0, 0],        // reserved
        &[0x00, 0x00, 42], // VNI
        &[0],              // reserved
        &ethernet(0x0800, &hello()),
    ];
    for port in [4789, 8472] {
        assert_eq!(arrives(LinkType::RAW, &udp(port, &header.concat())), ["vxlan 42"]);
    }
    let mut reserved = header.concat();
    reserved[..4].copy_from_slice(&[0xff, 0x01, 0xd1, 0xf2]);
    assert_eq!(arrives(LinkType::RAW, &udp(4789, &reserved)), ["vxlan 42"]);
    let mut flagless = header.concat();
    flagless[0] = 0;
    assert_eq!(arrives(LinkType::RAW, &udp(4789, &flagless)), ["vxlan 42"]);
    let generic = [&[0x0c, 0, 0, 1, 0, 0, 42, 0][..], &hello()].concat();
    assert_eq!(arrives(LinkType::RAW, &udp(4790, &generic)), ["vxlan 42"]);
}

#[test]
fn gre_in_udp_is_entered() {
    let gre = [&[0x20, 0, 0x08, 0x00, 0, 0, 0, 3][..], &hello()].concat();
    assert_eq!(arrives(LinkType::RAW, &udp(4754, &gre)), ["gre key 3"]);
}

#[test]
fn geneve_options_are_skipped() {
    let header: &[&[u8]] = &[
        &[0x02],           // version 0, 8 bytes of options
        &[0x00],           // control, critical
        &[0x65, 0x58],     // Ethernet
        &[0x00, 0x01, 44], // VNI
        &[0],              // reserved
        &[0, 1, 0, 1, 0, 0, 0, 0],
        &ethernet(0x0800, &hello()),
    ];
    assert_eq!(arrives(LinkType::RAW, &udp(6081, &header.concat())), ["geneve 300"]);
    let ip = [&[0x00, 0x00, 0x08, 0x00, 0, 0, 5, 0][..], &hello()].concat();
    assert_eq!(arrives(LinkType::RAW, &udp(6081, &ip)), ["geneve 5"]);
}

#[test]
fn gtp_u_extensions_are_skipped_and_its_endpoint_is_no_identity() {
    let len = u16::try_from(hello().len()).unwrap().to_be_bytes();
    for endpoint in [1, 2] {
        let plain = [&[0x30, 255][..], &len, &[0, 0, 0, endpoint], &hello()].concat();
        assert_eq!(arrives(LinkType::RAW, &udp(2152, &plain)), ["gtp-u"]);
    }
    let extended_len = u16::try_from(hello().len() + 8).unwrap().to_be_bytes();
    let header: &[&[u8]] = &[
        &[0x34, 255],        // extension header, G-PDU
        &extended_len,       //
        &[0, 0, 0, 1],       // tunnel endpoint
        &[0, 0, 0, 0x85],    // sequence, N-PDU, next: PDU session container
        &[1, 0x00, 0x09, 0], // 4 bytes, contents, no next
        &hello(),
    ];
    assert_eq!(arrives(LinkType::RAW, &udp(2152, &header.concat())), ["gtp-u"]);
}

#[test]
fn other_traffic_at_a_tunnel_port_is_nothing_and_not_malformed() {
    for port in [4789, 8472, 6081, 2152] {
        assert_eq!(nothing(LinkType::RAW, &udp(port, b"")), []);
        assert_eq!(nothing(LinkType::RAW, &udp(port, b"\xf7\x01 no tunnel at all")), []);
    }
}

#[test]
fn tunnels_nest_up_to_the_limit() {
    let vxlan = [&[0x08, 0, 0, 0, 0, 0, 7, 0][..], &ethernet(0x0800, &hello())].concat();
    let nested = ethernet(0x0800, &gre(0x20, 0x0800, &[0, 0, 0, 1], &udp(4789, &vxlan)));
    assert_eq!(arrives(LinkType::ETHERNET, &nested), ["gre key 1", "vxlan 7"]);
    let mut deep = hello();
    for _ in 0..8 {
        deep = ipv4(4, &deep);
    }
    assert_eq!(arrives(LinkType::RAW, &deep), ["ip-in-ip"; 8]);
    assert_eq!(nothing(LinkType::RAW, &ipv4(4, &deep)), [Anomaly::TunnelTooDeep]);
}

#[test]
fn esp_is_nothing() {
    assert_eq!(nothing(LinkType::RAW, &ipv4(50, &[0; 40])), []);
}
