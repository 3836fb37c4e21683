//! All rewrites that must not change a verdict, each with a name for the test's message.

use super::packet::TcpPacket;
use super::{rewrite, rewrite_names as names};

/// A rewrite with its name.
pub type Named = (String, Box<dyn Fn(&[TcpPacket]) -> Vec<TcpPacket>>);

fn named(name: &str, rewrite: impl Fn(&[TcpPacket]) -> Vec<TcpPacket> + 'static) -> Named {
    (name.to_owned(), Box::new(rewrite))
}

/// Every rewrite that keeps the verdict. Meant for captures of some hundred packets: one-byte segments of a megabyte are
/// a million packets. Packagings ([`super::packaging::all`]) and file forms
/// ([`super::capture_file::all_forms`]) come on top.
pub fn keeping_the_verdict() -> Vec<Named> {
    let mut all = segmentation();
    all.extend(disorder());
    all.extend(naming());
    all
}

/// Other segments: one byte each, coalesced, cut in two at each of the first 140 bytes (the longest control frame).
pub fn segmentation() -> Vec<Named> {
    let mut all = vec![
        named("recut_1", |packets| rewrite::recut(packets, 1)),
        named("recut_3", |packets| rewrite::recut(packets, 3)),
        named("coalesce", rewrite::coalesce),
        named("coalesce_recut_536", |packets| rewrite::recut(&rewrite::coalesce(packets), 536)),
    ];
    all.extend(
        (1..=140).map(|at| named(&format!("cut_at_{at}"), move |packets| rewrite::cut_at(packets, at))),
    );
    all
}

/// Another order, packets seen twice, segments sent twice.
pub fn disorder() -> Vec<Named> {
    let mut all = vec![
        named("duplicate_at_once", |packets| rewrite::duplicate(packets, 0, 0)),
        named("duplicate_3_us", |packets| rewrite::duplicate(packets, 3_000, 0)),
        named("duplicate_3_us_one_hop", |packets| rewrite::duplicate(packets, 3_000, 1)),
        named("retransmit", rewrite::retransmit),
        named("retransmit_of_other_cut", |packets| rewrite::retransmit(&rewrite::recut(packets, 5))),
    ];
    all.extend((0..8).flat_map(|seed| {
        let whole = move |packets: &[TcpPacket]| rewrite::reorder(packets, 3, seed);
        let pieces = move |packets: &[TcpPacket]| rewrite::reorder(&rewrite::recut(packets, 4), 8, seed);
        [named(&format!("reorder_{seed}"), whole), named(&format!("recut_4_reorder_{seed}"), pieces)]
    }));
    all
}

/// Other names for the same things.
pub fn naming() -> Vec<Named> {
    vec![
        named("other_addresses", names::other_addresses),
        named("other_ports", |packets| names::other_ports(packets, 20_000)),
        named("ports_above_60000", |packets| names::other_ports(packets, 60_000)),
        named("ipv6", names::to_ipv6),
        named("masked_path", names::mask_path),
        named("longer_path", |packets| names::change_path(packets, "/some/other/path?token=0123456789")),
        named("shorter_path", |packets| names::change_path(packets, "/")),
        named("ttl_base_64", |packets| names::with_ttl_base(packets, 64)),
        named("ttl_base_128", |packets| names::with_ttl_base(packets, 128)),
        named("ttl_base_255", |packets| names::with_ttl_base(packets, 255)),
        named("ip_ids_zero", names::with_zero_ip_ids),
        named("ip_ids_random", |packets| names::with_random_ip_ids(packets, 1)),
        named("without_timestamps", names::without_timestamps),
        named("ten_times_slower", |packets| names::scale_time(packets, 10, 1)),
        named("ten_times_faster", |packets| names::scale_time(packets, 1, 10)),
        named("isn_shifted", |packets| names::shift_isn(packets, 0x7654_3210)),
        named("wraps_in_the_handshake", |packets| names::wrap_after(packets, 50)),
        named("wraps_in_the_frames", |packets| names::wrap_after(packets, 300)),
    ]
}

/// A conversation with text both ways, a ping, and a clean close: what the rewrites' own tests work on.
#[cfg(test)]
pub fn sample() -> Vec<TcpPacket> {
    use super::conversation::Conversation;
    use super::wire;
    use wsclose::side::Side;
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::text(Side::Client, "hello")).server_acks();
    conn.server_sends(&wire::text(Side::Server, "world, and more"))
        .server_sends(&wire::ping(Side::Server, b"?"));
    conn.client_sends(&wire::pong(Side::Client, b"?")).server_acks();
    conn.server_sends(&wire::close(Side::Server, 1001, "bye")).client_sends(&wire::close(
        Side::Client,
        1001,
        "",
    ));
    conn.fin(Side::Server).fin(Side::Client).acks(Side::Server);
    conn.packets()
}

#[cfg(test)]
mod tests {
    use super::super::capture_file::{all_forms, read};
    use super::super::packaging;
    use super::super::packet::parse_capture;
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = keeping_the_verdict().into_iter().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_rewrite_but_the_identical_base_changes_the_packets() {
        for (name, rewrite) in keeping_the_verdict() {
            let longest = sample().iter().map(|packet| packet.payload.len()).max().expect("packets");
            let beyond = name
                .strip_prefix("cut_at_")
                .is_some_and(|at| at.parse::<usize>().expect("number") >= longest);
            if name != "ttl_base_64" && !beyond && !name.starts_with("reorder_") {
                assert_ne!(rewrite(&sample()), sample(), "{name}");
            }
        }
    }

    #[test]
    fn every_rewrite_keeps_time_monotone_and_every_packet_well_formed() {
        for (name, rewrite) in keeping_the_verdict() {
            let packets = rewrite(&sample());
            assert!(packets.is_sorted_by_key(|packet| packet.at_ns), "{name}");
            assert_eq!(
                parse_capture(&packaging::Packaging::default().apply(&packets)),
                Ok(packets),
                "{name}"
            );
        }
    }

    #[test]
    fn every_packaging_fits_every_file_form() {
        for (packaging_name, packaging) in packaging::all() {
            let raw = packaging.apply(&sample());
            for (form_name, write) in all_forms() {
                let file = write(&raw);
                if !form_name.ends_with("lz4") && !form_name.ends_with("zstd") {
                    assert_eq!(read(&file).as_ref(), Some(&raw), "{packaging_name} {form_name}");
                }
            }
        }
    }
}
