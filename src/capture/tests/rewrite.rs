//! Captures written anew with comments, names, or fewer packets, read back.

use super::*;
use crate::capture::link_type::LinkType;
use crate::capture::pcapng_writer::{NewInterface, NewPacket, PcapngWriter};
use crate::capture::rewrite::{Changes, PacketChanges, Rewritten, rewrite};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// Comments by packet; with `only_those`, other packets are left out.
struct Comments {
    of: BTreeMap<u32, Vec<String>>,
    only_those: bool,
}

impl Comments {
    fn new(comments: &[(u32, &str)]) -> Self {
        let mut of: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        comments.iter().for_each(|(packet, text)| of.entry(*packet).or_default().push((*text).to_owned()));
        Comments { of, only_those: false }
    }
}

impl PacketChanges for Comments {
    fn keeps(&self, number: u32) -> bool {
        !self.only_those || self.of.contains_key(&number)
    }

    fn comments(&self, number: u32) -> &[String] {
        self.of.get(&number).map_or(&[], Vec::as_slice)
    }
}

fn rewritten(file: &[u8], changes: &Changes<'_>) -> (Vec<u8>, Rewritten) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture");
    std::fs::write(&path, file).unwrap();
    let mut out = Vec::new();
    let mut written = Rewritten::default();
    rewrite(&path, changes, &mut out, &Limits::default(), &mut written).unwrap();
    (out, written)
}

fn commented(file: &[u8], comments: &Comments) -> (Vec<u8>, Rewritten) {
    rewritten(file, &Changes { packets: Some(comments), ..Changes::default() })
}

#[test]
fn comments_join_a_packets_options_and_all_else_stays() {
    for order in [Order::Le, Order::Be] {
        let (flags, end) = (option(order, 2, &[1, 0, 0, 0]), option(order, 0, &[]));
        let own = option(order, 1, b"his own");
        let new = [option(order, 1, b"first"), option(order, 1, "zweites ä".as_bytes())].concat();
        let start =
            [section(order), interface(order, 1, 0, &[]), block(order, 0x5ca1_ab1e, b"unknown")].concat();
        let packet = |ticks, options: &[Vec<u8>]| enhanced(order, 0, ticks, b"odd", &options.concat());
        let file = [
            start.clone(),
            packet(1, &[]),
            packet(2, &[own.clone(), flags.clone(), end.clone()]),
            packet(3, std::slice::from_ref(&flags)),
        ];
        let comments = Comments::new(&[
            (1, "first"),
            (1, "zweites ä"),
            (2, "first"),
            (2, "zweites ä"),
            (3, "first"),
            (3, "zweites ä"),
        ]);
        let (out, written) = commented(&file.concat(), &comments);
        let expected = [
            start,
            packet(1, &[new.clone(), end.clone()]),
            packet(2, &[own, flags.clone(), new.clone(), end.clone()]),
            packet(3, &[flags, new, end]),
        ];
        assert_eq!(out, expected.concat());
        assert_eq!(written, Rewritten { packets: 3, uncommented: 0 });
    }
}

#[test]
fn a_packet_that_can_take_no_comment_stays_and_is_counted() {
    let order = Order::Le;
    let simple = block(order, 3, &[&order.u32(4)[..], b"data"].concat());
    let broken = enhanced(order, 0, 1, b"data", &[1, 0, 255, 255]);
    let file = [section(order), interface(order, 1, 0, &[]), simple, broken].concat();
    let (out, written) = commented(&file, &Comments::new(&[(1, "a"), (2, "b")]));
    assert_eq!(out, file);
    assert_eq!(written, Rewritten { packets: 2, uncommented: 2 });
}

#[test]
fn records_that_hold_no_packet_are_numbered_too() {
    let order = Order::Le;
    let custom = block(order, 0x0bad, &[&order.u32(32_473)[..], b"data"].concat());
    let packet = |options: &[u8]| enhanced(order, 0, 1, b"data", options);
    let start = [section(order), interface(order, 1, 0, &[])].concat();
    let file = [start.clone(), custom.clone(), packet(&[])].concat();
    let mut comments = Comments::new(&[(2, "b")]);
    let with_comment = packet(&[option(order, 1, b"b"), option(order, 0, &[])].concat());
    assert_eq!(commented(&file, &comments).0, [start.clone(), custom, with_comment.clone()].concat());
    comments.only_those = true;
    let (out, written) = commented(&file, &comments);
    assert_eq!(out, [start, with_comment].concat());
    assert_eq!(written.packets, 1);
}

#[test]
fn a_section_length_that_is_given_is_withdrawn_where_packets_change() {
    let order = Order::Be;
    let section = |length: u64| {
        let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &order.u64(length)].concat();
        block(order, 0x0a0d_0d0a, &body)
    };
    let rest = [interface(order, 1, 0, &[]), enhanced(order, 0, 5, b"x", &[])].concat();
    let file = [section(rest.len() as u64), rest.clone()].concat();
    let (out, _) = commented(&file, &Comments::new(&[]));
    assert_eq!(out, [section(u64::MAX), rest].concat());
}

#[test]
fn damage_is_passed_on_behind_what_was_commented() {
    let order = Order::Le;
    let packet = enhanced(order, 0, 5, b"x", &[]);
    let sound = [section(order), interface(order, 1, 0, &[])].concat();
    for cut in 1..packet.len() {
        let file = [&sound[..], &packet, &packet[..cut]].concat();
        let (out, _) = commented(&file, &Comments::new(&[(1, "one"), (2, "two")]));
        assert!(out.ends_with(&packet[..cut]), "{cut}");
        assert_eq!(read(&out).bytes, [b"x"], "{cut}");
    }
}

#[test]
fn names_stand_behind_the_section_header_in_its_byte_order() {
    for order in [Order::Le, Order::Be] {
        let rest = [interface(order, 1, 0, &[]), enhanced(order, 0, 5, b"x", &[])].concat();
        let names =
            [("10.0.0.1".parse().unwrap(), "cli\0ent".to_owned()), ("::1".parse().unwrap(), "b".to_owned())];
        let changes = Changes { names: &names, ..Changes::default() };
        let (out, _) = rewritten(&[section(order), rest.clone()].concat(), &changes);
        let six = [&[0; 15][..], &[1], b"b\0"].concat();
        let records =
            [option(order, 1, b"\x0a\0\0\x01client\0"), option(order, 2, &six), option(order, 0, &[])]
                .concat();
        assert_eq!(out, [section(order), block(order, 4, &records), rest].concat());
    }
}

#[test]
fn pcap_is_commented_and_narrowed_as_it_becomes_pcapng() {
    let mut comments = Comments::new(&[(2, "here")]);
    let (out, written) = commented(&pcap_file(&[1, 2, 3]), &comments);
    assert_eq!((read(&out).nanos(), written.packets), (vec![1_000_000_000, 2_000_000_000, 3_000_000_000], 3));
    assert!(out.windows(4).any(|window| window == b"here"));
    comments.only_those = true;
    let (out, written) = commented(&pcap_file(&[1, 2, 3]), &comments);
    assert_eq!((read(&out).bytes, written.packets), (vec![b"packet 1".to_vec()], 1));
}

#[test]
fn what_the_writer_writes_reads_back_the_same() {
    let mut writer = PcapngWriter::begin(Vec::new(), &["of the section".to_owned()]).unwrap();
    let ethernet =
        NewInterface { name: Some("eth0".to_owned()), fcs_len: 4, ..NewInterface::new(LinkType::ETHERNET) };
    let other = NewInterface { snaplen: 96, ..NewInterface::new(LinkType::RAW) };
    let numbers = [&ethernet, &other, &ethernet].map(|interface| writer.interface(interface).unwrap());
    assert_eq!(numbers, [0, 1, 0]);
    let at = Timestamp::from_nanos(1_795_380_000_123_456_789);
    for interface in [0, 1] {
        let packet = NewPacket { interface, at, original_len: 99, bytes: b"packet" };
        writer.packet(&packet, &["one".to_owned(), "x".repeat(100_000)]).unwrap();
    }
    writer.key_log(b"CLIENT_RANDOM aa bb\n").unwrap();
    let outcome = read(&writer.finish().unwrap());
    assert!(outcome.info.complete, "{:?}", outcome.info);
    assert_eq!(outcome.nanos(), [at.nanos(); 2]);
    assert_eq!(outcome.bytes, [b"packet", b"packet"]);
    let facts: Vec<_> = outcome.packets.iter().map(|p| (p.link_type, p.fcs_len, p.original_len)).collect();
    assert_eq!(facts, [(LinkType::ETHERNET, 4, 99), (LinkType::RAW, 0, 99)]);
    assert_eq!(outcome.secrets, [b"CLIENT_RANDOM aa bb\n"]);
}
