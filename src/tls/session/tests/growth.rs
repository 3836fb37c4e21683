//! Twice the records, twice the steps, and whatever waits keeps to its cap.

use super::*;
use crate::tls::key_schedule::traffic_keys;
use crate::tls::keylog::Secret;
use crate::tls::record::HEADER_LEN;
use crate::tls::sealing::{Sealer, plain};
use crate::tls::suite::CipherSuite;
use crate::work;

/// The steps for `2 n` records are about twice those for `n`, and at most `each` for every record.
#[track_caller]
fn grows_linearly(each: u64, mut steps: impl FnMut(u32) -> u64) {
    let (once, twice) = (steps(1_000), steps(2_000));
    assert!(once >= 1_000, "the case takes the path it is about: {once} steps");
    assert!(twice <= 2 * once + once / 10, "{once} steps, then {twice}");
    assert!(once <= each * 1_000, "{once} steps for 1,000 records");
}

/// Sends each record and asks for the memory held, as the analyzer does at each packet.
fn steps_to_send(script: &mut Script, side: Side, records: impl Iterator<Item = Vec<u8>>) -> u64 {
    work::of(|| {
        for record in records {
            script.send(side, &record);
            assert!(script.session.held_bytes() <= 3 * script.limits.tls_held_bytes);
        }
    })
}

fn hellos(script: &mut Script, trace: &Trace) {
    for (side, record) in trace.records.iter().take(2) {
        script.send(*side, &hex(record));
    }
}

#[test]
fn records_of_nothing_that_wait_for_keys() {
    let empty = |count: u32| (0..count).map(|_| plain(ContentType::APPLICATION_DATA, b""));
    grows_linearly(8, |count| {
        let mut script = Script::new(KeyLog::default());
        (script.more_keys, script.limits.tls_held_bytes) = (true, 1 << 20);
        hellos(&mut script, &SIMPLE_1_RTT);
        steps_to_send(&mut script, Side::Client, empty(count))
    });
    let mut script = Script::new(KeyLog::default());
    script.more_keys = true;
    hellos(&mut script, &SIMPLE_1_RTT);
    steps_to_send(&mut script, Side::Client, empty(5_000));
    assert!(script.session.anomalies.contains(Anomaly::TlsHeldLimit));
    assert!(script.session.held_bytes() < 64, "what is given up is not kept");
}

/// The hello of a client with early data, and `count` records of them: `text(0)`, `text(1)`, ...
fn early(script: &mut Script, count: u32, text: impl Fn(u32) -> Vec<u8>) -> u64 {
    script.send(Side::Client, &hex(RESUMED_0_RTT.records[0].1));
    let suite = CipherSuite(0x1301);
    let (_, secret) = RESUMED_0_RTT.secrets[0];
    let keys = traffic_keys(suite, &Secret::new(hex(secret))).unwrap();
    let mut sealer = Sealer::new(suite, ProtocolVersion::TLS_1_3, &keys);
    let server = RESUMED_0_RTT.records.iter().find(|(side, _)| *side == Side::Server).unwrap();
    let records: Vec<_> =
        (0..count).map(|n| sealer.seal(ContentType::APPLICATION_DATA, &text(n), 0)).collect();
    // Up to its hello alone: whether it takes the early data stands under protection.
    let hello = hex(server.1);
    let length = HEADER_LEN + usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    script.send(Side::Server, &hello[..length]);
    steps_to_send(script, Side::Client, records.into_iter())
}

#[test]
fn early_data_in_records_of_nothing() {
    grows_linearly(8, |count| {
        let mut script = Script::of(&RESUMED_0_RTT);
        script.limits.tls_held_bytes = 1 << 20;
        early(&mut script, count, |_| vec![b'x'])
    });
}

#[test]
fn early_data_beyond_the_cap_are_a_hole_and_nothing_behind_it_is_taken_for_the_next_bytes() {
    let mut script = Script::of(&RESUMED_0_RTT);
    let each = size_of::<Record>() + 100;
    script.limits.tls_held_bytes = 3 * each;
    // The third does not fit, the short ones behind it would.
    let text = |n| if n == 2 { vec![b'2'; 200] } else { vec![b"01234"[n as usize]; 100] };
    early(&mut script, 5, text);
    assert!(script.session.anomalies.contains(Anomaly::TlsHeldLimit));
    let context = Context { limits: &script.limits, keys: &script.keys, more_keys: false };
    script.session.settle_early(true, &mut Call { context, sink: &mut script.content });
    assert_eq!(script.content.bytes.client, [&[b'0'; 100][..], &[b'1'; 100], b"_"].concat());
}

#[test]
fn bytes_behind_a_hole_that_all_look_like_records() {
    let look_alike = [23, 3, 3, 0, 8].repeat(2_000);
    let steps = |count: u32| {
        let mut script = Script::of(&SIMPLE_1_RTT);
        script.limits.tls_search_bytes = usize::MAX;
        script.limits.tls_trial_bytes = 1 << 30;
        script.limits.tls_resync_records = 0;
        for (side, record) in &SIMPLE_1_RTT.records[..6] {
            script.send(*side, &hex(record));
        }
        script.lose(Side::Client, 100);
        let length = 10 * count as usize / 2;
        work::of(|| script.send(Side::Client, &look_alike[..length.min(look_alike.len())]))
    };
    let (once, twice) = (steps(1_000), steps(2_000));
    assert!(once > 1_000 && twice <= 2 * once + once / 10, "{once} steps, then {twice}");
}
