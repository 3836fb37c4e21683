//! Bytes in, segments out.

mod fragment;
mod icmp;
mod ip;
mod link;
mod property;
mod tunnel;

use super::Decoder;
use super::segment::{Decoded, EncapsulationId, Segment};
use crate::anomaly::Anomaly;
use crate::capture::link_type::LinkType;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::seq::SeqNum;
use crate::time::Timestamp;
use std::net::IpAddr;

const TCP: u8 = 6;

/// A TCP segment from port 40000 to 80 with a padded timestamp option.
fn tcp(payload: &[u8]) -> Vec<u8> {
    let header: &[&[u8]] = &[
        &[0x9c, 0x40],             // source port 40000
        &[0x00, 0x50],             // destination port 80
        &[0x01, 0x02, 0x03, 0x04], // sequence number
        &[0x05, 0x06, 0x07, 0x08], // acknowledgment number
        &[0x80],                   // data offset: 32 bytes
        &[0x18],                   // PSH, ACK
        &[0x01, 0xf4],             // window 500
        &[0x00, 0x00],             // checksum
        &[0x00, 0x00],             // urgent pointer
        &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        payload,
    ];
    header.concat()
}

/// An IPv4 header without options, and its payload.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_fragment(protocol, 7, 0, payload)
}

/// `flags_offset`: the flags and the offset in units of 8 bytes, as they stand.
fn ipv4_fragment(protocol: u8, id: u16, flags_offset: u16, payload: &[u8]) -> Vec<u8> {
    let total_len = u16::try_from(20 + payload.len()).unwrap();
    let header: &[&[u8]] = &[
        &[0x45],                     // version 4, header length 20
        &[0x00],                     // DSCP, ECN
        &total_len.to_be_bytes(),    //
        &id.to_be_bytes(),           // identification
        &flags_offset.to_be_bytes(), //
        &[64],                       // TTL
        &[protocol],                 //
        &[0x00, 0x00],               // checksum
        &[10, 0, 0, 1],              // source
        &[10, 0, 0, 2],              // destination
        payload,
    ];
    header.concat()
}

/// An IPv6 header and its payload.
fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    let header: &[&[u8]] = &[
        &[0x60, 0x00, 0x00, 0x00], // version 6, traffic class, flow label
        &len.to_be_bytes(),        //
        &[next_header],            //
        &[64],                     // hop limit
        &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        payload,
    ];
    header.concat()
}

/// IPv4, TCP, `hello`.
fn hello() -> Vec<u8> {
    ipv4(TCP, &tcp(b"hello"))
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let header: &[&[u8]] = &[
        &[0x02, 0, 0, 0, 0, 2],    // destination
        &[0x02, 0, 0, 0, 0, 1],    // source
        &ether_type.to_be_bytes(), //
        payload,
    ];
    header.concat()
}

fn decoder() -> Decoder {
    Decoder::new(&Limits::default(), false)
}

fn moment(seconds: i64) -> Moment {
    Moment::new(Timestamp::from_parts(seconds, 0), 1, 0)
}

/// Decodes a packet that was captured whole.
fn decode<'a>(decoder: &'a mut Decoder, link_type: LinkType, bytes: &'a [u8]) -> Decoded<'a> {
    let wire = u32::try_from(bytes.len()).unwrap();
    decoder.decode(moment(0), link_type, 0, bytes, wire)
}

#[track_caller]
fn segment(decoded: Decoded<'_>) -> Segment<'_> {
    match decoded {
        Decoded::Segment(segment) => segment,
        other => panic!("no segment: {other:?}"),
    }
}

/// Checks that `bytes` carry the segment of [`hello`], and names its encapsulation.
#[track_caller]
fn arrives(link_type: LinkType, bytes: &[u8]) -> Vec<String> {
    let mut decoder = decoder();
    let found = segment(decode(&mut decoder, link_type, bytes));
    assert_eq!(found.source().port, 40_000);
    assert_eq!(found.destination().port, 80);
    assert_eq!(found.seq, SeqNum(0x0102_0304));
    assert_eq!(found.ack, Some(SeqNum(0x0506_0708)));
    assert_eq!(found.flags.0, 0x18);
    assert_eq!(found.window, 500);
    assert_eq!(found.ttl, 64);
    assert_eq!(found.options, [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(found.payload, b"hello");
    assert_eq!(found.missing, 0);
    let id = found.encapsulation();
    assert_eq!(decoder.anomalies().iter().count(), 0);
    decoder.encapsulation_names(id)
}

/// Checks that `bytes` carry nothing, and names what was counted.
#[track_caller]
fn nothing(link_type: LinkType, bytes: &[u8]) -> Vec<Anomaly> {
    let mut decoder = decoder();
    assert_eq!(decode(&mut decoder, link_type, bytes), Decoded::Nothing);
    decoder.anomalies().iter().map(|(anomaly, _)| anomaly).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn plain_packets_have_the_encapsulation_zero() {
    let packet = ethernet(0x0800, &hello());
    let mut decoder = decoder();
    let found = segment(decode(&mut decoder, LinkType::ETHERNET, &packet));
    assert_eq!(found.encapsulation(), EncapsulationId(0));
    assert_eq!(found.source().address, address("10.0.0.1"));
    assert_eq!(found.destination().address, address("10.0.0.2"));
    assert_eq!(found.ip_id, Some(7));
}
