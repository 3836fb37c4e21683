use super::*;
use crate::decode::segment::{IcmpError, IcmpErrorKind};

fn error(decoded: Decoded<'_>) -> IcmpError {
    match decoded {
        Decoded::Icmp(error) => error,
        other => panic!("no error: {other:?}"),
    }
}

/// The kind that an ICMPv4 message with these type, code and second word is.
fn kind_v4(icmp_type: u8, code: u8, word: [u8; 4]) -> IcmpErrorKind {
    let quote = &hello()[..28];
    let packet = ipv4(1, &[&[icmp_type, code, 0, 0][..], &word, quote].concat());
    error(decode(&mut decoder(), LinkType::RAW, &packet)).kind
}

fn kind_v6(icmp_type: u8, code: u8, word: [u8; 4]) -> IcmpErrorKind {
    let quote = ipv6(TCP, &tcp(b"hello"));
    let packet = ipv6(58, &[&[icmp_type, code, 0, 0][..], &word, &quote].concat());
    error(decode(&mut decoder(), LinkType::RAW, &packet)).kind
}

#[test]
fn an_error_that_quotes_eight_bytes_names_the_segment() {
    let message: &[&[u8]] = &[
        &[3, 3],        // destination unreachable, port
        &[0, 0],        // checksum
        &[0; 4],        // unused
        &hello()[..28], // IPv4 header and 8 bytes of TCP
    ];
    let packet = ipv4(1, &message.concat());
    let mut decoder = decoder();
    let found = error(decode(&mut decoder, LinkType::RAW, &packet));
    assert_eq!(found.reporter, address("10.0.0.1"));
    assert_eq!(found.kind, IcmpErrorKind::PortUnreachable);
    assert_eq!((found.source.address, found.source.port), (address("10.0.0.1"), 40_000));
    assert_eq!((found.destination.address, found.destination.port), (address("10.0.0.2"), 80));
    assert_eq!(found.seq, Some(SeqNum(0x0102_0304)));
    assert_eq!(decoder.anomalies().iter().count(), 0);
}

#[test]
fn a_quotation_of_ports_alone_has_no_sequence_number() {
    let packet = ipv4(1, &[&[3, 1, 0, 0, 0, 0, 0, 0][..], &hello()[..24]].concat());
    assert_eq!(error(decode(&mut decoder(), LinkType::RAW, &packet)).seq, None);
}

#[test]
fn icmp_codes_have_their_kinds() {
    assert_eq!(kind_v4(3, 1, [0; 4]), IcmpErrorKind::Unreachable);
    assert_eq!(kind_v4(3, 13, [0; 4]), IcmpErrorKind::AdministrativelyProhibited);
    assert_eq!(kind_v4(3, 4, [0, 0, 0x05, 0x14]), IcmpErrorKind::PacketTooBig { mtu: 1300 });
    assert_eq!(kind_v4(11, 0, [0; 4]), IcmpErrorKind::TimeExceeded);
    assert_eq!(kind_v4(11, 1, [0; 4]), IcmpErrorKind::Other { icmp_type: 11, code: 1 });
}

#[test]
fn icmp_v6_codes_have_their_kinds() {
    assert_eq!(kind_v6(1, 0, [0; 4]), IcmpErrorKind::Unreachable);
    assert_eq!(kind_v6(1, 1, [0; 4]), IcmpErrorKind::AdministrativelyProhibited);
    assert_eq!(kind_v6(1, 4, [0; 4]), IcmpErrorKind::PortUnreachable);
    assert_eq!(kind_v6(2, 0, [0, 0, 0x05, 0x00]), IcmpErrorKind::PacketTooBig { mtu: 1280 });
    assert_eq!(kind_v6(3, 0, [0; 4]), IcmpErrorKind::TimeExceeded);
    assert_eq!(kind_v6(4, 1, [0; 4]), IcmpErrorKind::Other { icmp_type: 4, code: 1 });
}

#[test]
fn echoes_and_errors_about_other_protocols_are_nothing() {
    let echo = ipv4(1, &[&[8, 0, 0, 0, 0, 0, 0, 0][..], &hello()].concat());
    assert_eq!(nothing(LinkType::RAW, &echo), []);
    let about_udp = ipv4(1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &ipv4(17, &[0; 8])].concat());
    assert_eq!(nothing(LinkType::RAW, &about_udp), []);
}
