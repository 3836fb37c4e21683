//! Every variant of pcap.

use super::*;
use crate::capture::link_type::LinkType;

#[test]
fn each_magic_gives_its_time_unit_and_byte_order() {
    let cases = [(0xa1b2_c3d4, 1_000_005_000), (0xa1b2_3c4d, 1_000_000_005)];
    for (magic, nanos) in cases {
        for order in [Order::Le, Order::Be] {
            let file =
                [pcap_header(order, magic, [2, 4], 1), pcap_record(order, 1, 5, 1_500, b"abc")].concat();
            let read = read(&file);
            assert_eq!(read.nanos(), [nanos]);
            assert_eq!(read.bytes, [b"abc"]);
            assert_eq!(read.packets[0].original_len, 1_500);
            assert_eq!(read.packets[0].at.file, 7);
            assert_eq!(read.packets[0].link_type, LinkType::ETHERNET);
            assert_eq!(read.info.format, Some("pcap"));
            assert!(read.info.complete);
        }
    }
}

#[test]
fn modified_pcap_has_longer_record_headers() {
    for order in [Order::Le, Order::Be] {
        let mut file = pcap_header(order, 0xa1b2_cd34, [2, 4], 1);
        for second in [1, 2] {
            file.extend(pcap_record(order, second, 0, 3, b"abc"));
            let data = file.len() - 3;
            file.splice(data..data, [0, 0, 0, 1, 8, 0, 3, 0]); // interface, protocol, packet type, padding
        }
        let read = read(&file);
        assert_eq!(read.bytes, [b"abc", b"abc"]);
        assert_eq!(read.numbers(), [1, 2]);
        assert!(read.info.complete);
    }
}

#[test]
fn ixia_pcap_has_a_longer_file_header() {
    let mut file = pcap_header(Order::Le, 0x1c00_01ac, [2, 4], 1);
    file.extend([0; 4]);
    file.extend(pcap_record(Order::Le, 1, 5, 3, b"abc"));
    assert_eq!(read(&file).nanos(), [1_000_000_005]);
}

#[test]
fn old_versions_swap_the_lengths() {
    for (version, first, second) in
        [([2, 2], 9, 3), ([2, 3], 9, 3), ([2, 3], 3, 9), ([543, 0], 9, 3), ([2, 4], 3, 9)]
    {
        let mut file = pcap_header(Order::Le, 0xa1b2_c3d4, version, 1);
        for word in [1, 0, first, second] {
            file.extend(Order::Le.u32(word));
        }
        file.extend(b"abc");
        let read = read(&file);
        assert_eq!(read.bytes, [b"abc"], "{version:?}");
        assert_eq!(read.packets[0].original_len, 9, "{version:?}");
    }
}

#[test]
fn link_type_field_holds_the_fcs_length() {
    let file = [
        pcap_header(Order::Le, 0xa1b2_c3d4, [2, 4], 1 | 1 << 26 | 2 << 28),
        pcap_record(Order::Le, 1, 0, 3, b"abc"),
    ];
    let read = read(&file.concat());
    assert_eq!(read.packets[0].link_type, LinkType::ETHERNET);
    assert_eq!(read.packets[0].fcs_len, 4);
}

#[test]
fn times_reach_beyond_2038_and_bad_fractions_are_tolerated() {
    let mut file = pcap_header(Order::Le, 0xa1b2_c3d4, [2, 4], 1);
    file.extend(pcap_record(Order::Le, 0xf000_0000, 1_500_000, 0, b""));
    assert_eq!(read(&file).nanos(), [4_026_531_841_500_000_000]);
}

#[test]
fn a_pipe_delivers_packets_as_they_arrive() {
    let file = pcap_file(&[1, 2]);
    let trickled = trickle(&file);
    assert_eq!(trickled.numbers(), [1, 2]);
    assert_eq!(trickled.bytes, read(&file).bytes);
    // After the header and one packet nothing more has to be read for that packet to come out.
    let first = file.len() - 24;
    let mut source = FileSource::from_reader(
        Box::new(Trickle(Cursor::new(file)).take(first as u64).chain(Blocked)),
        "-",
        0,
        &Limits::default(),
    );
    let mut block = Block::default();
    assert!(matches!(source.read_block(&mut block), Ok(More::Yes)));
    assert_eq!(block.packets.len(), 1);
}

/// A pipe that nobody writes to: a test that reads it would hang, so it fails.
struct Blocked;

impl Read for Blocked {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("read from a pipe that has nothing");
    }
}

#[test]
fn records_larger_than_a_read_are_whole() {
    let large = vec![0xab; 700_000];
    let mut file = pcap_header(Order::Le, 0xa1b2_c3d4, [2, 4], 1);
    for length in [700_000, 1, 300_000] {
        file.extend(pcap_record(Order::Le, 1, 0, 0, &large[..length]));
    }
    let read = read(&file);
    assert_eq!(read.bytes.iter().map(Vec::len).collect::<Vec<_>>(), [700_000, 1, 300_000]);
    assert!(read.bytes.iter().flatten().all(|byte| *byte == 0xab));
}

#[test]
fn info_tells_times_link_types_and_sizes() {
    let file = pcap_file(&[20, 10, 30]);
    let info = read(&file).info;
    assert_eq!(info.first_packet_at.map(|at| at.nanos()), Some(10_000_000_000));
    assert_eq!(info.last_packet_at.map(|at| at.nanos()), Some(30_000_000_000));
    assert_eq!(info.link_types, [LinkType::ETHERNET]);
    assert_eq!((info.packets, info.bytes), (3, file.len() as u64));
    assert_eq!((info.compression, info.error), (None, None));
}
