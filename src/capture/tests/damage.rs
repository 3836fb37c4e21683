//! Cut and corrupt files: all whole packets come, and the error says where and what.

use super::*;

fn pcapng_file() -> (Vec<u8>, Vec<usize>) {
    let order = Order::Le;
    let parts = [
        section(order),
        interface(order, 1, 0, &option(order, 9, &[6])),
        enhanced(order, 0, 1, b"first", &[]),
        block(order, 0x1234, b"unknown"),
        enhanced(order, 0, 2, b"second packet", &option(order, 4, &order.u64(1))),
        block(order, 5, &[0; 12]),
    ];
    let mut ends = vec![0];
    for part in &parts {
        ends.push(ends.last().unwrap() + part.len());
    }
    (parts.concat(), ends)
}

/// Cuts `file`, whose records end at `ends`, at every byte; `is_packet` tells which records are packets.
fn cut_everywhere(file: &[u8], ends: &[usize], is_packet: &dyn Fn(usize) -> bool) {
    for cut in 1..=file.len() {
        let whole = ends.iter().rposition(|end| *end <= cut).unwrap();
        let packets = (0..whole).filter(|record| is_packet(*record)).count();
        for outcome in [read(&file[..cut]), trickle(&file[..cut])] {
            assert_eq!(outcome.packets.len(), packets, "cut at {cut}");
            match ends.contains(&cut) {
                true => assert_eq!(outcome.error_text(), "", "cut at {cut}"),
                false if cut < 4 => assert!(matches!(outcome.error, Some(CaptureError::Unrecognized { .. }))),
                false => {
                    assert!(matches!(outcome.error, Some(CaptureError::Truncated { .. })), "cut at {cut}");
                    assert_eq!(outcome.error_offset(), Some(ends[whole] as u64), "cut at {cut}");
                    assert!(!outcome.info.complete);
                    assert_eq!(outcome.info.error.unwrap().offset, Some(ends[whole] as u64));
                }
            }
        }
    }
}

#[test]
fn pcap_cut_at_every_byte_gives_all_whole_packets() {
    let file = pcap_file(&[1, 2, 3]);
    cut_everywhere(&file, &[0, 24, 48, 72, 96], &|record| record > 0);
}

#[test]
fn a_record_header_cut_in_its_last_bytes_is_cut_short_and_not_corrupt() {
    // The modified format's has 24 bytes; what stands in the first 16 is not believed before the rest is there.
    let mut file = pcap_header(Order::Le, 0xa1b2_cd34, [2, 4], 1);
    file.extend([[0; 8], [0xff; 8]].concat());
    for outcome in [read(&file), trickle(&file)] {
        assert!(matches!(outcome.error, Some(CaptureError::Truncated { offset: 24, .. })));
    }
}

#[test]
fn pcapng_cut_at_every_byte_gives_all_whole_packets() {
    let (file, ends) = pcapng_file();
    cut_everywhere(&file, &ends, &|record| record == 2 || record == 4);
}

#[test]
fn any_byte_may_be_wrong_without_a_panic() {
    let (pcapng, _) = pcapng_file();
    for file in [pcapng, pcap_file(&[1, 2, 3])] {
        for position in 0..file.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[position] = value;
                assert!(read(&damaged).packets.len() <= 4);
            }
        }
    }
}

#[test]
fn truncation_says_what_is_missing() {
    let file = pcap_file(&[1, 2]);
    assert_eq!(read(&file[..70]).error_text(), "cut short at byte 48: expected a packet of 8 bytes, found 6");
    assert_eq!(
        read(&file[..50]).error_text(),
        "cut short at byte 48: expected a record header of 16 bytes, found 2"
    );
    assert_eq!(
        read(&file[..9]).error_text(),
        "cut short at byte 0: expected a pcap file header of 24 bytes, found 9"
    );
}

#[test]
fn absurd_packet_length_is_corrupt_where_it_stands() {
    let mut file = pcap_file(&[1, 2]);
    file[48 + 8..48 + 12].copy_from_slice(&[0xff; 4]);
    let read = read(&file);
    assert_eq!(read.numbers(), [1]);
    assert!(matches!(read.error, Some(CaptureError::Corrupt { offset: 48, .. })));
}

#[test]
fn differing_block_lengths_are_corrupt() {
    let (mut file, ends) = pcapng_file();
    file[ends[5] - 4] = 7;
    let read = read(&file);
    assert_eq!(read.numbers(), [1]);
    assert_eq!(read.error_offset(), Some(ends[4] as u64));
    assert!(read.error_text().contains("two lengths differ: 60 before, 7 behind"), "{}", read.error_text());
}

#[test]
fn nothing_comes_after_an_error() {
    let file = pcap_file(&[1, 2]);
    let mut source =
        FileSource::from_reader(Box::new(Cursor::new(file[..70].to_vec())), "cut", 0, &Limits::default());
    let mut block = Block::default();
    assert!(matches!(source.read_block(&mut block), Ok(More::Yes)));
    assert!(source.read_block(&mut block).is_err());
    assert!(matches!(source.read_block(&mut block), Ok(More::No)));
    assert!(block.packets.is_empty());
}

#[test]
fn other_files_are_named() {
    let cases: [(&[u8], &str); 6] = [
        (b"", "the file is empty"),
        (b"snoop\0\0\0\0\0\0\x02\0\0\0\x04", "Solaris snoop"),
        (b"BZh91AY&SY", "bzip2"),
        (b"No. Time Source\n", "text file"),
        (b"\0\0\0\0\x01\x02\x03\x04\x02\x04\0\x50\0\0\0\x3c", "Endace ERF"),
        (b"\x80\x81\x82\x83", "it begins with 80 81 82 83"),
    ];
    for (bytes, name) in cases {
        let text = read(bytes).error_text();
        assert!(text.contains(name) && text.contains("expected pcap or pcapng"), "{text}");
    }
}
