//! What TCP does to the bytes: none of it changes who closed what.

use super::{answers, both_fins, busy, check, check_packets, has_anomaly};
use crate::support::conversation::Conversation;
use crate::support::packaging::{Link, Packaging};
use crate::support::packet::{ACK, PSH, SYN, TcpPacket};
use crate::support::{rewrite, rewrite_names, run, wire};
use std::time::Duration;
use wsclose::anomaly::Anomaly;
use wsclose::side::Side::{self, Client, Server};

const CLOSED: &str = "coded:1001 by server";

fn closes(conn: &mut Conversation) {
    conn.server_sends(&wire::close(Server, 1001, "bye")).client_sends(&wire::close(Client, 1001, ""));
    both_fins(conn, Server);
    conn.acks(Server);
}

fn closed() -> Vec<TcpPacket> {
    let mut conn = busy();
    closes(&mut conn);
    conn.packets()
}

/// The same ports again, an hour of sequence numbers later.
fn again(packets: &[TcpPacket], after: Duration) -> Vec<TcpPacket> {
    let mut second = rewrite_names::shift_isn(packets, 77_000_000);
    second.iter_mut().for_each(|packet| packet.at_ns += after.as_nanos() as u64);
    second
}

#[test]
fn a_port_used_again_after_the_end_is_a_second_connection() {
    let first = closed();
    for pause in [1, 3_600] {
        let packets = [first.clone(), again(&first, Duration::from_secs(pause))].concat();
        assert_eq!(answers(&packets), [CLOSED, CLOSED]);
    }
}

#[test]
fn a_port_used_again_before_the_end_was_seen_leaves_the_first_end_unknown() {
    let first = busy().packets();
    let packets = [first, again(&closed(), Duration::from_secs(60))].concat();
    assert_eq!(answers(&packets), ["unknown:unknown by unknown", CLOSED]);
}

#[test]
fn a_port_used_again_gets_its_own_stream_number() {
    let first = closed();
    let outcome = run::analyze_packets(&[first.clone(), again(&first, Duration::from_secs(1))].concat());
    let numbers: Vec<_> = outcome.connections.iter().map(|connection| connection.tcp_stream).collect();
    assert_eq!(numbers, [Some(0), Some(1)]);
}

#[test]
fn a_retransmitted_syn_is_no_second_connection() {
    let mut conn = Conversation::new();
    conn.next_lost().forges(Client, SYN, |_| {});
    conn.wait(Duration::from_secs(1)).connect().upgrade("/ws");
    closes(&mut conn);
    check(&conn, CLOSED);
    let mut packets = closed();
    let late = TcpPacket { at_ns: packets[8].at_ns, ip_id: 60_000, ..packets[0].clone() };
    packets.insert(8, late);
    check_packets(&packets, CLOSED);
}

#[test]
fn a_retransmitted_syn_ack_is_no_second_connection() {
    let mut packets = closed();
    let late = TcpPacket { at_ns: packets[4].at_ns, ip_id: 60_000, ..packets[1].clone() };
    packets.insert(4, late);
    check_packets(&packets, CLOSED);
}

#[test]
fn a_simultaneous_open_is_one_connection() {
    // RFC 9293 §3.5: both send SYN, both answer SYN-ACK.
    let mut packets = closed();
    let (syn, syn_ack) = (packets[0].clone(), packets[1].clone());
    let crossing = TcpPacket { flags: SYN, ack: 0, ip_id: 50_000, ..syn_ack.clone() };
    let answer = TcpPacket {
        flags: SYN | ACK,
        ack: syn_ack.seq.wrapping_add(1),
        at_ns: syn_ack.at_ns,
        ip_id: 50_001,
        ..syn
    };
    packets.insert(1, crossing);
    packets.insert(2, answer);
    check_packets(&packets, CLOSED);
}

#[test]
fn data_on_a_syn_is_read() {
    // TCP Fast Open, RFC 7413: the request rides on the SYN.
    let mut packets = closed();
    let request = packets.iter().position(|packet| packet.payload.starts_with(b"GET")).unwrap();
    let payload = packets.remove(request).payload;
    packets[1].ack = packets[1].ack.wrapping_add(payload.len() as u32);
    packets[2].seq = packets[2].seq.wrapping_add(payload.len() as u32);
    packets[0].payload = payload;
    check_packets(&packets, CLOSED);
}

#[test]
fn sequence_numbers_may_wrap_anywhere() {
    for bytes in (0..500).step_by(7) {
        check_packets(&rewrite_names::wrap_after(&closed(), bytes), CLOSED);
    }
}

#[test]
fn segments_out_of_order_are_put_in_order() {
    let close = wire::close(Server, 1001, "bye");
    let mut conn = busy();
    conn.sends_cut(Server, &[wire::text(Server, "last"), close].concat(), &[3, 7]).client_acks();
    both_fins(&mut conn, Server);
    let mut packets = conn.packets();
    let first = packets.iter().position(|packet| packet.payload.ends_with(b"\x04l")).unwrap();
    packets.swap(first, first + 2);
    check_packets(&packets, CLOSED);
}

#[test]
fn a_fin_that_overtakes_the_close_before_it_is_no_abnormal_end() {
    let mut conn = busy();
    conn.server_sends(&wire::close(Server, 1001, "bye")).fin(Server).client_acks();
    let mut packets = conn.packets();
    let fin = packets.len() - 2;
    packets.swap(fin - 1, fin);
    let times: Vec<_> = conn.packets().iter().map(|packet| packet.at_ns).collect();
    packets.iter_mut().zip(times).for_each(|(packet, at_ns)| packet.at_ns = at_ns);
    check_packets(&packets, CLOSED);
}

#[test]
fn of_overlapping_segments_the_bytes_seen_first_win() {
    let close = wire::close(Server, 1001, "bye");
    let mut conn = busy();
    let start = conn.next_seq(Server);
    conn.server_sends(&close);
    let other = [wire::close(Server, 4999, "bye"), wire::text(Server, "more")].concat();
    let len = other.len() as u32;
    conn.forges(Server, ACK | PSH, |packet| {
        packet.seq = start;
        packet.payload = other;
    });
    conn.forges(Client, ACK, |packet| packet.ack = start.wrapping_add(len));
    let outcome = check(&conn, CLOSED);
    assert!(has_anomaly(&outcome, "data_after_close"), "what lies beyond the overlap is new");
}

#[test]
fn a_retransmission_in_other_segments_adds_only_what_is_new() {
    let (text, close) = (wire::text(Server, "first"), wire::close(Server, 1001, "bye"));
    let mut conn = busy();
    let start = conn.next_seq(Server);
    conn.server_sends(&text);
    let both = [text, close].concat();
    conn.forges(Server, ACK | PSH, |packet| {
        packet.seq = start;
        packet.payload = both.clone();
    });
    conn.forges(Client, ACK, |packet| packet.ack = start.wrapping_add(both.len() as u32));
    let outcome = check(&conn, CLOSED);
    assert_eq!(outcome.only().traffic.server.messages, 2);
}

#[test]
fn one_direction_only_gives_the_code_but_no_1006() {
    let packets = closed();
    for side in Side::BOTH {
        let address = if side == Client { packets[0].src } else { packets[0].dst };
        let half: Vec<_> = packets.iter().filter(|packet| packet.src == address).cloned().collect();
        let outcome = run::analyze_packets(&half);
        let found = run::Answer::of(outcome.only());
        assert!(found.is("unknown") || found.label == "1001", "{found}");
    }
    let mut conn = busy();
    both_fins(&mut conn, Client);
    for side in Side::BOTH {
        let address = if side == Client { packets[0].src } else { packets[0].dst };
        let half: Vec<_> = conn.packets().into_iter().filter(|packet| packet.src == address).collect();
        let outcome = run::analyze_packets(&half);
        assert!(!run::Answer::of(outcome.only()).is("abnormal"));
    }
}

#[test]
fn copies_are_counted_as_copies_and_not_as_traffic() {
    let packets = closed();
    let single = run::analyze_packets(&packets);
    for (delay_ns, hops) in [(0, 0), (3_000, 1), (1_000_000, 0)] {
        for zero_ids in [false, true] {
            let base = if zero_ids { rewrite_names::with_zero_ip_ids(&packets) } else { packets.clone() };
            let outcome = check_packets(&rewrite::duplicate(&base, delay_ns, hops), CLOSED);
            assert_eq!(outcome.only().traffic, single.only().traffic);
            assert_eq!(outcome.count(Anomaly::PacketCopy), packets.len() as u64);
        }
    }
}

#[test]
fn a_retransmission_with_an_ip_id_of_its_own_is_no_copy() {
    let outcome = check_packets(&rewrite::retransmit(&closed()), CLOSED);
    assert_eq!(outcome.count(Anomaly::PacketCopy), 0);
}

#[test]
fn a_capture_that_begins_with_the_syn_ack_knows_client_from_server() {
    let packets = closed().split_off(1);
    let outcome = check_packets(&packets, CLOSED);
    assert_eq!(outcome.only().server.port, 9001);
}

#[test]
fn the_same_addresses_in_two_vlans_are_two_connections() {
    let in_vlan = |vlan, packets: &[TcpPacket]| {
        Packaging { link: Link::Vlan(vlan), ..Packaging::default() }.apply(packets)
    };
    let mut ended_by_fin = busy();
    both_fins(&mut ended_by_fin, Client);
    let mut raw = [in_vlan(7, &closed()), in_vlan(8, &ended_by_fin.packets())].concat();
    raw.sort_by_key(|packet| packet.at_ns);
    let outcome = run::analyze_raw(&raw);
    let mut found: Vec<_> = outcome
        .connections
        .iter()
        .map(|c| (c.encapsulation.clone(), run::Answer::of(c).to_string()))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            (vec!["vlan 7".to_owned()], CLOSED.to_owned()),
            (vec!["vlan 8".to_owned()], "abnormal:1006:fin by client".to_owned()),
        ]
    );
}

#[test]
fn interleaved_connections_keep_their_own_verdicts() {
    let mut by_reset = Conversation::between("10.77.1.2:40001", "10.77.2.2:9001");
    by_reset.connect().upgrade("/a").rst(Client);
    let mut open = Conversation::between("10.77.1.2:40002", "10.77.2.2:9001");
    open.connect().upgrade("/b");
    let packets = rewrite::interleave(&[closed(), by_reset.packets(), open.packets()]);
    let mut found = answers(&packets);
    found.sort();
    assert_eq!(found, ["abnormal:1006:rst by client", CLOSED, "open:open by -"]);
}

#[test]
fn stragglers_behind_the_end_are_no_new_connection() {
    let mut packets = closed();
    let last = packets[packets.len() - 1].clone();
    for after in [1_u64, 30, 300] {
        packets.push(TcpPacket { at_ns: last.at_ns + after * 1_000_000_000, ip_id: 0, ..last.clone() });
    }
    assert_eq!(answers(&packets), [CLOSED]);
}

#[test]
fn a_file_cut_in_two_is_one_connection() {
    use crate::support::capture_file::Pcap;
    use wsclose::capture::merge::MergeInput;
    let packets = closed();
    for cut in 1..packets.len() {
        let file = |part: &[TcpPacket], name: &str| {
            let bytes =
                Pcap { nanoseconds: true, ..Pcap::default() }.write(&Packaging::default().apply(part));
            MergeInput::Reader(Box::new(std::io::Cursor::new(bytes)), name.to_owned())
        };
        let inputs = vec![file(&packets[..cut], "a"), file(&packets[cut..], "b")];
        let outcome = run::analyze(inputs, wsclose::analyzer::Options::default());
        assert_eq!(run::Answer::of(outcome.only()).to_string(), CLOSED, "cut at {cut}");
        assert_eq!(outcome.only().file, "a");
    }
}
