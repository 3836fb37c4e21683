//! Several files as one.

use super::*;
use crate::capture::merge::{MergeInput, MergedSource};
use std::path::PathBuf;

/// File index and packet number of each packet, in the order delivered.
fn order(outcome: &Outcome) -> Vec<(u16, u32)> {
    outcome.packets.iter().map(|packet| (packet.at.file, packet.at.packet)).collect()
}

fn readers(files: &[&[u8]]) -> MergedSource {
    let input = |file: &&[u8]| MergeInput::Reader(Box::new(Cursor::new(file.to_vec())), "reader".to_owned());
    MergedSource::new(files.iter().map(input).collect(), &Limits::default())
}

fn on_disk(files: &[Vec<u8>]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> =
        (0..files.len()).map(|index| folder.path().join(format!("{index}.pcap"))).collect();
    for (path, file) in paths.iter().zip(files) {
        std::fs::write(path, file).unwrap();
    }
    (folder, paths)
}

#[test]
fn sequential_files_come_in_time_order_whatever_the_order_of_arguments() {
    let files = [pcap_file(&[30, 31]), pcap_file(&[10, 11]), pcap_file(&[20, 21])];
    let (_folder, paths) = on_disk(&files);
    let mut source = MergedSource::open(&paths, &Limits::default());
    assert_eq!(source.total_bytes(), Some(3 * 72));
    let outcome = drain(&mut source);
    assert_eq!(order(&outcome), [(1, 1), (1, 2), (2, 1), (2, 2), (0, 1), (0, 2)]);
    assert_eq!(source.bytes_read(), 3 * 72);
    let infos = source.infos();
    assert!(infos.iter().all(|info| info.complete && info.packets == 2));
    assert!(infos[2].path.ends_with("2.pcap"));
}

#[test]
fn overlapping_files_are_merged_and_ties_go_by_argument() {
    let files = [pcap_file(&[1, 4, 4, 9]), pcap_file(&[2, 4, 5]), pcap_file(&[4, 10])];
    let expected = [(0, 1), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (1, 3), (0, 4), (2, 2)];
    let (_folder, paths) = on_disk(&files);
    let outcome = drain(&mut MergedSource::open(&paths, &Limits::default()));
    assert_eq!(order(&outcome), expected);
    assert_eq!(outcome.bytes[4], b"packet 1");
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let outcome = drain(&mut readers(&files));
    assert_eq!(order(&outcome), expected);
    assert_eq!(outcome.bytes[8], b"packet 1");
}

#[test]
fn order_within_a_file_is_kept_where_its_clock_steps_back() {
    let outcome = drain(&mut readers(&[&pcap_file(&[5, 3, 6]), &pcap_file(&[4])]));
    assert_eq!(order(&outcome), [(1, 1), (0, 1), (0, 2), (0, 3)]);
}

#[test]
fn a_damaged_file_ends_and_the_others_go_on() {
    let cut = pcap_file(&[1, 3, 5]);
    let files = [cut[..80].to_vec(), pcap_file(&[2, 4, 6]), b"not a capture".to_vec()];
    let (_folder, mut paths) = on_disk(&files);
    paths.push(PathBuf::from("/nonexistent/file.pcap"));
    let mut source = MergedSource::open(&paths, &Limits::default());
    let outcome = drain(&mut source);
    assert_eq!(order(&outcome), [(0, 1), (1, 1), (0, 2), (1, 2), (1, 3)]);
    assert!(outcome.error.is_none());
    let infos = source.infos();
    assert_eq!(infos[0].error.as_ref().and_then(|error| error.offset), Some(72));
    assert!(infos[1].complete);
    assert!(infos[2].error.as_ref().unwrap().reason.contains("text file"));
    assert!(infos[3].error.as_ref().unwrap().reason.contains("/nonexistent/file.pcap"));
}

#[test]
fn a_single_file_keeps_its_error_in_its_info() {
    let file = pcap_file(&[1, 2]);
    let mut source = readers(&[&file[..60]]);
    assert_eq!(order(&drain(&mut source)), [(0, 1)]);
    assert_eq!(source.infos()[0].error.as_ref().and_then(|error| error.offset), Some(48));
}

#[test]
fn large_overlapping_files_lose_nothing() {
    let seconds = |start: u32| (0..30_000).map(|second| start + second * 2).collect::<Vec<_>>();
    let outcome = drain(&mut readers(&[&pcap_file(&seconds(0)), &pcap_file(&seconds(1))]));
    assert_eq!(outcome.packets.len(), 60_000);
    assert!(outcome.nanos().is_sorted());
    assert!(
        outcome
            .packets
            .iter()
            .zip(&outcome.bytes)
            .all(|(packet, bytes)| { *bytes == format!("packet {}", packet.at.packet - 1).into_bytes() })
    );
}

#[test]
fn secrets_before_the_first_packet_come_bit_by_bit_and_change_no_order() {
    let order = Order::Le;
    let key = |number: u32| {
        let text = [&order.u32(number)[..], &[b'k'; 96]].concat();
        block(order, 10, &[&order.u32(0x544c_534b)[..], &order.u32(100), &text].concat())
    };
    let keys: Vec<u8> = (0..20_000).flat_map(key).collect();
    let packet = |second: u64| enhanced(order, 0, second * 1_000_000, b"x", &[]);
    let with_keys = [section(order), interface(order, 1, 0, &[]), keys, packet(3), packet(5)].concat();
    let without = [section(order), interface(order, 1, 0, &[]), packet(2), packet(4), packet(6)].concat();
    let (_folder, paths) = on_disk(&[without.clone(), with_keys.clone(), with_keys.clone()]);
    for mut merged in [
        MergedSource::open(&paths, &Limits::default()),
        readers(&[without.as_slice(), &with_keys, &with_keys]),
    ] {
        let (mut block, mut most, mut secrets, mut seconds) = (Block::default(), 0, 0, Vec::new());
        while merged.read_block(&mut block).unwrap() == More::Yes {
            most = most.max(block.secrets.len());
            secrets += block.secrets.len();
            seconds.extend(block.packets.iter().map(|packet| packet.at.at.nanos() / 1_000_000_000));
        }
        assert_eq!((secrets, seconds), (40_000, vec![2, 3, 3, 4, 5, 5, 6]));
        assert!(most < 10_000, "{most} at a time");
    }
}
