//! gzip, zstd and lz4, told by magic, in several members or frames, whole and cut.

use super::*;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Compress = fn(&[u8]) -> Vec<u8>;

const ALL: [(&str, Compress); 3] = [("gzip", gzip), ("zstd", zstd), ("lz4", lz4)];

/// 200 packets of 1,000 bytes that don't compress well, so that a file has several blocks.
fn plain() -> Vec<u8> {
    let mut file = pcap_header(Order::Le, 0xa1b2_c3d4, [2, 4], 1);
    let mut state = 1_u32;
    for second in 0..200 {
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let packet: Vec<u8> = random.take(1_000).collect();
        file.extend(pcap_record(Order::Le, second, 0, 1_000, &packet));
    }
    file
}

#[test]
fn compressed_files_read_as_plain_ones() {
    let file = plain();
    let expected = read(&file);
    assert_eq!(expected.packets.len(), 200);
    for (name, compress) in ALL {
        let compressed = compress(&file);
        let read = read(&compressed);
        assert_eq!(read.bytes, expected.bytes, "{name}");
        assert_eq!(read.info.compression, Some(name));
        assert_eq!(read.info.bytes, compressed.len() as u64, "{name}");
        assert!(read.info.complete, "{name}");
    }
}

#[test]
fn all_members_and_frames_are_read() {
    let file = plain();
    let (start, end) = file.split_at(100_001);
    for (name, compress) in ALL {
        let read = read(&[compress(start), compress(end)].concat());
        assert_eq!(read.packets.len(), 200, "{name}");
        assert!(read.info.complete, "{name}");
    }
}

#[test]
fn skippable_frames_are_skipped() {
    let file = pcap_file(&[1, 2]);
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let (start, end) = file.split_at(50);
    let compressions: [Compress; 2] = [zstd, lz4];
    for compress in compressions {
        assert_eq!(read(&[compress(start), skippable.clone(), compress(end)].concat()).numbers(), [1, 2]);
    }
    assert_eq!(read(&[skippable, zstd(&file)].concat()).numbers(), [1, 2]);
}

#[test]
fn a_cut_compressed_file_is_never_taken_for_whole() {
    let file = plain();
    for (name, compress) in ALL {
        let whole = compress(&file);
        let mut most = 0;
        for cut in (8..whole.len()).step_by(997).chain(whole.len() - 12..whole.len()) {
            let read = read(&whole[..cut]);
            most = most.max(read.packets.len());
            assert!(!read.info.complete, "{name} cut at {cut} of {}", whole.len());
            let text = read.error_text();
            assert!(
                matches!(read.error, Some(CaptureError::Truncated { .. })),
                "{name} cut at {cut}: {text}"
            );
            assert!(text.contains(&format!("the {name} stream ends")), "{text}");
            assert!(text.contains("decompresses to"), "{text}");
        }
        assert!(most >= 195, "{name}: {most} packets of a file cut at its end");
    }
}

#[test]
fn all_but_the_last_few_kilobytes_before_damage_in_gzip_are_read() {
    let whole = gzip(&plain());
    let mut damages = 0;
    for at in (20_000..whole.len() - 1_000).step_by(9_973) {
        let mut damaged = whole.clone();
        damaged[at..at + 64].fill(0xff);
        let (damaged, cut) = (read(&damaged), read(&whole[..at]));
        if damaged.packets.len() < 200 {
            damages += 1;
            assert!(matches!(damaged.error, Some(CaptureError::Corrupt { .. })), "{}", damaged.error_text());
            let (found, there) = (damaged.packets.len(), cut.packets.len());
            assert!(found + 5 >= there, "{found} of the {there} packets before byte {at}");
        }
    }
    assert!(damages > 5, "only {damages} damages were noticed");
}

#[test]
fn damaged_checksums_are_corrupt_after_all_packets() {
    let file = plain();
    for (name, compress) in [ALL[0], ALL[1]] {
        let mut damaged = compress(&file);
        let last = damaged.len() - if name == "gzip" { 8 } else { 1 };
        damaged[last] ^= 0xff;
        let read = read(&damaged);
        // libzstd looks at the checksum in the call that hands the last bytes out, 4 KiB of them at most.
        let most_lost = if cfg!(feature = "zstd") && name == "zstd" { 5 } else { 0 };
        assert!(read.packets.len() >= 200 - most_lost, "{name}: {}", read.packets.len());
        assert!(matches!(read.error, Some(CaptureError::Corrupt { .. })), "{name}: {}", read.error_text());
    }
}

#[test]
fn compressed_text_is_named() {
    let text = read(&gzip(b"hello world, this is no capture\n")).error_text();
    assert!(text.contains("looks like a text file"), "{text}");
}

#[test]
fn zeros_behind_gzip_are_padding_and_other_bytes_are_named() {
    let whole = gzip(&plain());
    let sound = read(&whole);
    for padding in [1, 511, 200_000] {
        let padded = read(&[&whole[..], &vec![0; padding]].concat());
        assert!(padded.info.complete, "{padding}: {}", padded.error_text());
        assert_eq!(padded.packets.len(), sound.packets.len());
        let twice = read(&[&gzip(&plain()[..24]), &vec![0; padding][..], &gzip(&plain()[24..])].concat());
        assert!(twice.info.complete && twice.packets.len() == sound.packets.len(), "{padding}");
    }
    for junk in [&b"garbage"[..], b"x", b"\0\0garbage"] {
        let read = read(&[&whole[..], junk].concat());
        assert_eq!(read.packets.len(), sound.packets.len());
        assert!(read.error_text().contains("other bytes follow its end"), "{}", read.error_text());
    }
}
