//! Where the capture was taken: told by the handshake's delays and the TTLs together.

use super::*;
use crate::support::packet::TcpPacket;

const MILLISECOND: u64 = 1_000_000;

/// A whole connection whose SYN-ACK and ACK come this much later, with these TTLs of client and server.
fn vantage(syn_ack_after_ms: u64, ack_after_ms: u64, ttl: (u8, u8)) -> Vantage {
    let mut packets = closed_by(Server, 1001, 1001).packets();
    let client = packets[0].src;
    packets[0].at_ns -= (syn_ack_after_ms + ack_after_ms) * MILLISECOND;
    packets[1].at_ns -= ack_after_ms * MILLISECOND;
    for packet in &mut packets {
        packet.ttl = if packet.src == client { ttl.0 } else { ttl.1 };
    }
    estimated(&packets)
}

fn estimated(packets: &[TcpPacket]) -> Vantage {
    analyzed_packets(packets, Options::default()).vantage.vantage
}

#[test]
fn an_end_that_answers_at_once_with_a_fresh_ttl_is_where_the_capture_was_taken() {
    assert_eq!(vantage(20, 0, (64, 52)), Vantage::Client);
    assert_eq!(vantage(0, 20, (113, 128)), Vantage::Server);
}

#[test]
fn ttls_lowered_on_both_sides_put_the_capture_in_between() {
    assert_eq!(vantage(20, 0, (60, 52)), Vantage::Middle);
}

#[test]
fn equal_delays_leave_the_vantage_unknown() {
    assert_eq!(vantage(0, 0, (64, 63)), Vantage::Unknown);
}

#[test]
fn delays_and_ttls_that_disagree_leave_the_vantage_unknown() {
    assert_eq!(vantage(0, 20, (64, 52)), Vantage::Unknown);
}

#[test]
fn what_the_user_says_is_taken() {
    let record = seen_at(&closed_by(Server, 1001, 1001), Vantage::Middle);
    assert_eq!((record.vantage.vantage, record.vantage.is_given), (Vantage::Middle, true));
}
