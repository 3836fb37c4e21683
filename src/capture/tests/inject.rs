//! Key logs written into captures, read back.

use super::*;
use crate::capture::inject::inject;
use crate::capture::link_type::LinkType;

const KEYS: &[u8] = b"CLIENT_RANDOM aa bb\n";

fn injected_with(file: &[u8], limits: &Limits) -> (Vec<u8>, Result<(), CaptureError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture");
    std::fs::write(&path, file).unwrap();
    let mut out = Vec::new();
    let outcome = inject(&path, KEYS, &mut out, limits);
    (out, outcome)
}

fn injected(file: &[u8]) -> Vec<u8> {
    let (out, outcome) = injected_with(file, &Limits::default());
    outcome.unwrap();
    out
}

fn secrets(order: Order) -> Vec<u8> {
    block(order, 10, &[&order.u32(0x544c_534b)[..], &order.u32(KEYS.len() as u32), KEYS].concat())
}

#[test]
fn pcapng_stays_as_it_is_but_for_the_secrets_behind_each_section_header() {
    let unknown_block = block(Order::Be, 0x0bad, b"whatever");
    let first =
        [interface(Order::Be, 1, 0, &[]), enhanced(Order::Be, 0, 1_000_000, b"first", &[]), unknown_block];
    let second = [interface(Order::Le, 1, 0, &[]), enhanced(Order::Le, 0, 2_000_000, b"second", &[])];
    let file = [section(Order::Be), first.concat(), section(Order::Le), second.concat()].concat();
    let expected = [
        section(Order::Be),
        secrets(Order::Be),
        first.concat(),
        section(Order::Le),
        secrets(Order::Le),
        second.concat(),
    ];
    assert_eq!(injected(&file), expected.concat());
    let read = read(&injected(&file));
    assert_eq!((read.secrets.len(), read.bytes), (2, vec![b"first".to_vec(), b"second".to_vec()]));
    assert_eq!(read.secrets[0], KEYS);
}

#[test]
fn a_section_length_that_is_given_grows_by_the_secrets() {
    let section = |length: u64| {
        let order = Order::Le;
        let body =
            [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &order.u64(length), b"opti"].concat();
        block(order, 0x0a0d_0d0a, &body)
    };
    let rest = [interface(Order::Le, 1, 0, &[]), enhanced(Order::Le, 0, 5, b"x", &[])].concat();
    let length = rest.len() as u64;
    let secrets = secrets(Order::Le);
    let expected = [section(length + secrets.len() as u64), secrets, rest.clone()].concat();
    assert_eq!(injected(&[section(length), rest].concat()), expected);
}

#[test]
fn the_rest_of_a_damaged_pcapng_is_passed_on() {
    let sound = [interface(Order::Le, 1, 0, &[]), enhanced(Order::Le, 0, 5, b"x", &[])].concat();
    for tail in [&b"\x06\0\0\0"[..], b"\x06\0\0\0\x04\0\0\0zzzzmore", b"\x06\0\0\0\xff\xff\0\0cut"] {
        let file = [&section(Order::Le)[..], &sound, tail].concat();
        let expected = [&section(Order::Le)[..], &secrets(Order::Le), &sound, tail].concat();
        assert_eq!(injected(&file), expected, "{tail:?}");
    }
}

#[test]
fn pcap_becomes_pcapng_with_the_same_packets() {
    let mut nanos = pcap_header(Order::Be, 0xa1b2_3c4d, [2, 4], 0x4400_0001);
    nanos.extend(pcap_record(Order::Be, 1_795_380_000, 123_456_789, 99, b"odd"));
    nanos.extend(pcap_record(Order::Be, 1_795_380_001, 0, 4, b"even"));
    for file in [pcap_file(&[1, 2, 4_294_967_295]), nanos] {
        let (before, after) = (read(&file), read(&injected(&file)));
        let facts = |outcome: &Outcome| -> Vec<_> {
            let packets = outcome.packets.iter().zip(&outcome.bytes);
            packets.map(|(p, bytes)| (p.at, p.link_type, p.fcs_len, p.original_len, bytes.clone())).collect()
        };
        assert_eq!(facts(&after), facts(&before));
        assert_eq!((after.info.format, after.secrets), (Some("pcapng"), vec![KEYS.to_vec()]));
        assert!(after.info.complete && before.info.link_types == [LinkType::ETHERNET]);
    }
}

#[test]
fn a_damaged_pcap_gives_its_sound_packets_and_an_error() {
    let mut file = pcap_file(&[1, 2]);
    file.truncate(file.len() - 3);
    let (out, outcome) = injected_with(&file, &Limits::default());
    assert!(matches!(outcome, Err(CaptureError::Truncated { .. })), "{outcome:?}");
    assert_eq!(read(&out).bytes, [b"packet 0"]);
}

#[test]
fn what_is_no_capture_and_keys_beyond_the_limit_are_refused() {
    assert!(matches!(
        injected_with(b"no capture", &Limits::default()).1,
        Err(CaptureError::Unrecognized { .. })
    ));
    let limits = Limits { secrets_bytes: KEYS.len() - 1, ..Limits::default() };
    let (out, outcome) = injected_with(&section(Order::Le), &limits);
    assert!(out.is_empty() && outcome.unwrap_err().to_string().contains("at most"));
}
