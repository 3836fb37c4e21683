//! pcapng: sections, interfaces, packet blocks of all kinds, statistics, secrets.

use super::*;
use crate::capture::link_type::LinkType;
use crate::work;

fn statistics(order: Order, interface: u32, by_interface: u64, by_system: u64) -> Vec<u8> {
    let mut body = [order.u32(interface), [0; 4], [0; 4]].concat();
    body.extend(option(order, 5, &order.u64(by_interface)));
    body.extend(option(order, 7, &order.u64(by_system)));
    body.extend(option(order, 0, &[]));
    block(order, 5, &body)
}

#[test]
fn sections_may_differ_in_byte_order_and_interfaces() {
    let file = [
        section(Order::Le),
        interface(Order::Le, 1, 0, &[]),
        enhanced(Order::Le, 0, 1_000_000, b"first", &[]),
        section(Order::Be),
        interface(Order::Be, 113, 0, &[]),
        interface(Order::Be, 101, 0, &[]),
        enhanced(Order::Be, 1, 2_000_000, b"second", &[]),
        enhanced(Order::Be, 0, 3_000_000, b"third", &[]),
    ];
    let read = read(&file.concat());
    assert_eq!(read.bytes, [&b"first"[..], b"second", b"third"]);
    assert_eq!(read.nanos(), [1_000_000_000, 2_000_000_000, 3_000_000_000]);
    assert_eq!(read.numbers(), [1, 2, 3]);
    assert_eq!(read.info.link_types, [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL]);
    assert_eq!(read.info.format, Some("pcapng"));
    assert!(read.info.complete);
}

#[test]
fn resolution_and_offset_apply_per_interface() {
    for order in [Order::Le, Order::Be] {
        let nanos = option(order, 9, &[9]);
        let binary = [option(order, 9, &[0x8a]), option(order, 14, &order.u64(100))].concat();
        let back = option(order, 14, &order.u64((-100_i64).cast_unsigned()));
        let file = [
            section(order),
            interface(order, 1, 0, &nanos),
            interface(order, 1, 0, &binary),
            interface(order, 1, 0, &back),
            enhanced(order, 0, 5, b"x", &[]),
            enhanced(order, 1, 1_536, b"x", &[]),
            enhanced(order, 2, 1_000_000, b"x", &[]),
        ];
        assert_eq!(read(&file.concat()).nanos(), [5, 101_500_000_000, -99_000_000_000]);
    }
}

#[test]
fn simple_packets_take_the_snaplen_and_the_time_before() {
    let order = Order::Le;
    let simple = |original: u32, data: &[u8]| block(order, 3, &[&order.u32(original)[..], data].concat());
    let file = [
        section(order),
        interface(order, 1, 4, &[]),
        enhanced(order, 0, 7_000_000, b"x", &[]),
        simple(3, b"abc"),
        simple(60, b"abcd"),
    ];
    let read = read(&file.concat());
    assert_eq!(read.bytes, [&b"x"[..], b"abc", b"abcd"]);
    assert_eq!(read.packets[2].original_len, 60);
    assert_eq!(read.nanos(), [7_000_000_000; 3]);
}

#[test]
fn interfaces_by_the_thousand_cost_each_the_same() {
    let order = Order::Le;
    let file = |count: u32| {
        let mut file = section(order);
        (0..count).for_each(|_| file.extend(interface(order, 1, 0, &[])));
        for index in 0..count {
            file.extend(enhanced(order, index, 1, &[7; 400], &option(order, 4, &order.u64(3))));
        }
        file
    };
    let steps = |count| {
        let mut dropped = 0;
        let steps = work::of(|| dropped = read(&file(count)).info.dropped_packets);
        assert_eq!(dropped, 3 * u64::from(count));
        steps
    };
    let (once, twice) = (steps(2_000), steps(4_000));
    assert!(once > 0 && twice <= 2 * once + once / 10, "{once} steps, then {twice}");
}

#[test]
fn obsolete_packet_blocks_count_their_drops() {
    let order = Order::Be;
    let packet = |drops: u16| {
        let mut body = [order.u16(0), order.u16(drops)].concat();
        for word in [0, 1_000_000, 3, 60] {
            body.extend(order.u32(word));
        }
        body.extend(b"abc");
        block(order, 2, &body)
    };
    let file = [section(order), interface(order, 1, 0, &[]), packet(2), packet(0xffff), packet(3)];
    let read = read(&file.concat());
    assert_eq!(read.bytes, [b"abc"; 3]);
    assert_eq!(read.packets[0].original_len, 60);
    assert_eq!(read.info.dropped_packets, 5);
}

#[test]
fn drops_told_twice_count_once() {
    let order = Order::Be;
    let dropped = |count: u64| [option(order, 4, &order.u64(count)), option(order, 0, &[])].concat();
    let file = [
        section(order),
        interface(order, 1, 0, &[]),
        interface(order, 1, 0, &[]),
        enhanced(order, 0, 1, b"x", &dropped(2)),
        enhanced(order, 0, 1, b"x", &dropped(3)),
        statistics(order, 0, 1, 2), // cumulative: an earlier state
        statistics(order, 0, 4, 3), // in all 7, of which packets told 5
        enhanced(order, 1, 1, b"x", &dropped(10)),
        section(order),
        interface(order, 1, 0, &[]),
        statistics(order, 0, 100, 0),
    ];
    assert_eq!(read(&file.concat()).info.dropped_packets, 7 + 10 + 100);
}

#[test]
fn fcs_length_comes_from_the_interface_or_the_packet() {
    let order = Order::Le;
    let file = [
        section(order),
        interface(order, 1, 0, &option(order, 13, &[4])),
        enhanced(order, 0, 1, b"x", &[]),
        enhanced(order, 0, 1, b"x", &option(order, 2, &order.u32(2 << 5))),
    ];
    let read = read(&file.concat());
    assert_eq!(read.packets.iter().map(|packet| packet.fcs_len).collect::<Vec<_>>(), [4, 2]);
}

#[test]
fn other_blocks_are_skipped_and_numbered_as_wireshark_does() {
    let order = Order::Le;
    let packet = enhanced(order, 0, 1, b"x", &[]);
    let file = [
        section(order),
        interface(order, 1, 0, &[]),
        packet.clone(),
        block(order, 4, &[0; 8]),            // name resolution: no number
        block(order, 0x1234, &[1; 1_000]),   // unknown: no number
        block(order, 0x0bad, &[1; 600_000]), // custom: has a number, is longer than a read
        block(order, 9, b"A=B\n"),           // systemd journal entry: has a number
        block(order, 0x216, &[0; 40]),       // sysdig event: has a number
        packet,
    ];
    let file = file.concat();
    assert_eq!(read(&file).numbers(), [1, 5]);
    assert_eq!(trickle(&file).numbers(), [1, 5]);
}

#[test]
fn short_secrets_count_for_the_memory_they_take_and_empty_ones_are_passed_over() {
    let order = Order::Le;
    let secrets = |text: &[u8]| {
        let mut body = [order.u32(0x544c_534b), order.u32(text.len() as u32)].concat();
        body.extend_from_slice(text);
        block(order, 10, &body)
    };
    let file = [section(order), secrets(b"").repeat(1000), secrets(b"x").repeat(1000)].concat();
    let limits = Limits { secrets_bytes: 4800, ..Limits::default() };
    let each = secrets(b"x").len() + size_of::<Vec<u8>>();
    let read = read_with(Cursor::new(file.clone()), &limits);
    assert_eq!(read.secrets, vec![b"x".to_vec(); 4800 / each]);
    assert_eq!(read.info.skipped_secrets_bytes, 24 * (1000 - 4800 / each) as u64);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), file).unwrap();
    let ahead = crate::capture::secrets::look_ahead(&folder.path().join("file"), &limits);
    assert_eq!(ahead, read.secrets);
}

#[test]
fn tls_secrets_are_handed_out_and_capped() {
    let order = Order::Le;
    let secrets = |kind: u32, text: &[u8]| {
        block(order, 10, &[&order.u32(kind)[..], &order.u32(text.len() as u32), text].concat())
    };
    let file =
        [section(order), secrets(0x544c_534b, b"CLIENT_RANDOM 1 2\n"), secrets(0x5747_4b4c, b"wireguard")];
    let file = [file.concat(), secrets(0x544c_534b, &[b'x'; 100])].concat();
    let limits = Limits { secrets_bytes: 120, ..Limits::default() };
    let read = read_with(Cursor::new(file), &limits);
    assert_eq!(read.secrets, [b"CLIENT_RANDOM 1 2\n"]);
    assert_eq!(read.info.skipped_secrets_bytes, 120);
    assert!(read.info.complete);
}

#[test]
fn packet_of_an_unknown_interface_is_corrupt() {
    let order = Order::Le;
    let start = [section(order), interface(order, 1, 0, &[]), enhanced(order, 0, 1, b"x", &[])].concat();
    let read = read(&[&start[..], &enhanced(order, 3, 1, b"x", &[])].concat());
    assert_eq!(read.numbers(), [1]);
    assert_eq!(read.error_offset(), Some(start.len() as u64));
    assert!(read.error_text().contains("interface 3, but the section has 1"), "{}", read.error_text());
}

#[test]
fn interfaces_are_capped() {
    let order = Order::Le;
    let limits = Limits { interfaces: 2, ..Limits::default() };
    let file = [section(order), interface(order, 1, 0, &[]).repeat(3)].concat();
    let read = read_with(Cursor::new(file), &limits);
    assert!(read.error_text().contains("more than 2 interfaces"), "{}", read.error_text());
}

#[test]
fn statistics_that_cant_be_read_are_passed_over() {
    for order in [Order::Le, Order::Be] {
        for short in [&[][..], &order.u32(0), &[order.u32(0), order.u32(0)].concat()] {
            let file = [
                section(order),
                interface(order, 1, 0, &[]),
                block(order, 5, short),
                enhanced(order, 0, 1, b"x", &[]),
                statistics(order, 0, 2, 1),
            ];
            let read = read(&file.concat());
            assert!(read.info.complete, "{}", read.error_text());
            assert_eq!((read.packets.len(), read.info.dropped_packets), (1, 3));
        }
    }
}

#[test]
fn a_block_on_an_interface_may_hold_so_many_options_and_no_more() {
    let order = Order::Le;
    let empty = |bytes: usize| option(order, 1, &[]).repeat(bytes / 4);
    // Its own fields and lengths take 20 bytes.
    let most = super::super::pcapng_format::OPTION_BYTES - 20;
    let packet = enhanced(order, 0, 1, b"x", &[]);
    let whole = read(&[section(order), interface(order, 1, 0, &empty(most)), packet.clone()].concat());
    assert!(whole.info.complete && whole.packets.len() == 1, "{}", whole.error_text());
    let larger = read(&[section(order), interface(order, 1, 0, &empty(most + 4)), packet.clone()].concat());
    assert!(larger.error_text().contains("1048576 are accepted"), "{}", larger.error_text());
    let counts = block(order, 5, &[vec![0; 12], empty(most + 4)].concat());
    let passed = read(&[section(order), interface(order, 1, 0, &[]), counts, packet].concat());
    assert!(passed.info.complete && passed.packets.len() == 1, "{}", passed.error_text());
}
