//! No Close: how TCP ended, and who began it.

use super::{both_fins, busy, check, check_packets, has_anomaly};
use crate::support::conversation::Conversation;
use crate::support::packet::{ACK, PSH, RST, TcpPacket};
use crate::support::wire;
use std::time::Duration;
use wsclose::side::Side::{self, Client, Server};

#[test]
fn fin_without_close_is_abnormal() {
    for (by, answer) in [(Client, "abnormal:1006:fin by client"), (Server, "abnormal:1006:fin by server")] {
        let mut conn = busy();
        both_fins(&mut conn, by);
        check(&conn, answer);
    }
}

#[test]
fn reset_without_close_is_abnormal() {
    for (by, answer) in [(Client, "abnormal:1006:rst by client"), (Server, "abnormal:1006:rst by server")] {
        check(busy().rst(by), answer);
    }
}

#[test]
fn a_bare_reset_out_of_the_blue_is_abnormal_but_nobodys() {
    // It answers a segment: no such connection was known there. Nothing shows that this end had closed it.
    for by in Side::BOTH {
        let mut conn = busy();
        conn.sends(by.other(), &wire::text(by.other(), "to nobody"));
        check(conn.bare_rst(by), "abnormal:1006:rst by unknown");
    }
}

#[test]
fn a_reset_that_answers_what_the_capture_lacks_is_unknown() {
    // No ACK flag and no window: it answers a segment (RFC 9293 §3.10.7.1). That segment may have been a Close.
    for by in Side::BOTH {
        let mut conn = busy();
        conn.acks(by).next_not_captured().sends(by.other(), &wire::close(by.other(), 1001, ""));
        let outcome = check(conn.bare_rst(by), "unknown:unknown by unknown");
        assert_eq!(outcome.only().verdict.blind.as_deref(), Some("one-sided"));
    }
}

#[test]
fn a_reset_that_acknowledges_what_the_capture_lacks_is_unknown() {
    for by in Side::BOTH {
        let mut conn = busy();
        conn.next_not_captured().sends(by.other(), &wire::close(by.other(), 1001, ""));
        let outcome = check(conn.rst(by), "unknown:unknown by unknown");
        assert_eq!(outcome.only().verdict.blind.as_deref(), Some("gap"));
    }
}

#[test]
fn a_first_fin_that_the_capture_lacks_is_known_by_its_acknowledgment() {
    for by in Side::BOTH {
        let mut conn = busy();
        conn.next_not_captured().fin(by).fin(by.other()).acks(by);
        let outcome = check(&conn, &format!("abnormal:1006:fin by {}", by.name()));
        assert!(
            outcome.only().verdict.why.contains("only its acknowledgment"),
            "{}",
            outcome.only().verdict.why
        );
    }
}

#[test]
fn a_close_that_answers_a_fin_which_the_capture_lacks_ended_nothing() {
    for by in Side::BOTH {
        let answer = format!("abnormal:1006:fin by {}", by.name());
        let mut conn = busy();
        conn.next_not_captured().fin(by);
        conn.sends(by.other(), &wire::close(by.other(), 1002, "")).fin(by.other()).acks(by);
        check(&conn, &answer);
        // The acknowledgment may come first.
        let mut conn = busy();
        conn.next_not_captured().fin(by).acks(by.other());
        conn.sends(by.other(), &wire::close(by.other(), 1002, "")).fin(by.other()).acks(by);
        check(&conn, &answer);
        // A Close that crossed it came first.
        let mut conn = busy();
        conn.next_lost_unseen().fin(by);
        conn.sends(by.other(), &wire::close(by.other(), 1002, ""));
        conn.next_not_captured().retransmits(by).acks(by.other()).fin(by.other()).acks(by);
        check(&conn, &format!("coded:1002 by {}", by.other().name()));
    }
}

#[test]
fn a_last_byte_that_the_capture_lacks_inside_a_frame_is_no_fin() {
    let close = wire::close(Server, 1001, "bye");
    let mut conn = busy();
    conn.server_sends(&close[..close.len() - 1]);
    conn.next_not_captured().server_sends(&close[close.len() - 1..]).client_acks();
    let outcome = check(conn.rst(Client), "coded:1001 by server");
    assert_eq!(outcome.only().teardown.kind, "rst");
}

#[test]
fn a_byte_that_the_capture_lacks_inside_a_frame_may_be_the_fin_that_came_first() {
    for by in Side::BOTH {
        let mut conn = busy();
        let frame = wire::text(by, "a long message");
        conn.sends(by, &frame[..8]).acks(by.other());
        conn.next_not_captured().fin(by).fin(by.other()).acks(by);
        check(&conn, "abnormal:1006:fin by unknown");
        // Acknowledged only behind the other's FIN, it came second.
        let mut conn = busy();
        conn.sends(by, &frame[..8]).acks(by.other()).fin(by.other()).acks(by);
        conn.next_not_captured().fin(by).acks(by.other());
        check(&conn, &format!("abnormal:1006:fin by {}", by.other().name()));
    }
}

#[test]
fn a_fin_that_only_a_reset_acknowledges_came_first() {
    for by in Side::BOTH {
        let mut conn = busy();
        conn.next_not_captured().fin(by);
        check(conn.rst(by.other()), &format!("abnormal:1006:fin by {}", by.name()));
        // A reset that comes from somewhere else says nothing of either.
        let mut conn = busy();
        conn.next_not_captured().fin(by).forges(by.other(), RST | ACK, |packet| packet.ttl = 40);
        check(&conn, "abnormal:1006:rst by network");
    }
}

#[test]
fn a_reset_that_follows_a_fin_is_a_consequence() {
    // The client's process died; the server, unaware, writes to the closed socket.
    let mut conn = busy();
    conn.fin(Client).server_acks();
    conn.server_sends(&wire::ping(Server, b"?")).bare_rst(Client);
    check(&conn, "abnormal:1006:fin by client");
}

#[test]
fn the_first_of_two_crossing_fins_decides() {
    let mut conn = busy();
    let client_seq = conn.next_seq(Client);
    conn.fin(Client);
    conn.forges(Server, 0x11, |packet| packet.ack = client_seq);
    conn.client_acks();
    check(&conn, "abnormal:1006:fin by client");
}

/// The packets of the script with that one behind its successor.
fn with_swapped(conn: &Conversation, first: usize) -> Vec<TcpPacket> {
    let mut packets = conn.packets();
    let (earlier, later) = (packets[first].at_ns, packets[first + 1].at_ns);
    packets.swap(first, first + 1);
    (packets[first].at_ns, packets[first + 1].at_ns) = (earlier, later);
    packets
}

#[test]
fn what_a_fin_or_a_close_acknowledges_came_first_in_whatever_order_they_were_captured() {
    for by in Side::BOTH {
        let answer = format!("abnormal:1006:fin by {}", by.name());
        let mut conn = busy();
        let fin = conn.packets().len();
        both_fins(&mut conn, by);
        check_packets(&with_swapped(&conn, fin), &answer);
        // So a Close that acknowledges a FIN only answers it.
        let mut conn = busy();
        conn.fin(by).sends(by.other(), &wire::close(by.other(), 1002, "")).fin(by.other()).acks(by);
        check_packets(&with_swapped(&conn, fin), &answer);
    }
}

#[test]
fn data_of_the_other_side_after_a_half_close_does_not_change_who_ended_it() {
    let mut conn = busy();
    conn.fin(Client).server_acks().wait(Duration::from_secs(3));
    conn.server_sends(&wire::text(Server, "still here")).client_acks();
    conn.server_sends(&wire::text(Server, "and here")).client_acks().fin(Server).client_acks();
    let outcome = check(&conn, "abnormal:1006:fin by client");
    assert_eq!(outcome.only().traffic.server.messages, 3);
}

#[test]
fn a_connection_that_just_stops_in_the_capture_is_open() {
    check(&busy(), "open:open by -");
    let mut conn = busy();
    conn.wait(Duration::from_secs(86_400)).client_sends(&wire::text(Client, "a day later"));
    check(&conn, "open:open by -");
}

#[test]
fn idle_time_alone_never_ends_a_connection() {
    let mut conn = busy();
    conn.wait(Duration::from_secs(7 * 86_400));
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    both_fins(&mut conn, Server);
    check(&conn, "coded:1001 by server");
}

#[test]
fn a_reset_behind_the_window_is_ignored() {
    let mut conn = busy();
    conn.forges(Server, RST | ACK, |packet| packet.seq = packet.seq.wrapping_sub(20_000));
    conn.client_sends(&wire::text(Client, "still here")).server_acks();
    let outcome = check(&conn, "open:open by -");
    assert!(has_anomaly(&outcome, "tcp_reset_ignored"));
}

#[test]
fn a_reset_absurdly_far_ahead_is_ignored() {
    let mut conn = busy();
    conn.forges(Server, RST, |packet| packet.seq = packet.seq.wrapping_add(0x5000_0000));
    conn.client_sends(&wire::text(Client, "still here")).server_acks();
    both_fins(&mut conn, Client);
    let outcome = check(&conn, "abnormal:1006:fin by client");
    assert!(has_anomaly(&outcome, "tcp_reset_ignored"));
}

#[test]
fn a_reset_that_draws_a_challenge_ack_and_is_talked_past_did_not_end_the_connection() {
    // RFC 5961 §3.2: in the window, but not the number expected.
    let mut conn = busy();
    conn.forges(Server, RST, |packet| packet.seq = packet.seq.wrapping_add(1_000));
    conn.client_acks(); // the challenge
    conn.client_sends(&wire::text(Client, "still here")).server_acks();
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    both_fins(&mut conn, Server);
    check(&conn, "coded:1001 by server");
}

#[test]
fn a_forged_reset_after_which_both_sides_talk_on_did_not_end_the_connection() {
    let mut conn = busy();
    conn.forges(Server, RST | ACK, |packet| packet.ttl = 200);
    for _ in 0..3 {
        conn.client_sends(&wire::text(Client, "on")).server_acks();
        conn.server_sends(&wire::text(Server, "and on")).client_acks();
    }
    both_fins(&mut conn, Client);
    check(&conn, "abnormal:1006:fin by client");
}

#[test]
fn text_inside_a_reset_is_no_data() {
    let mut conn = busy();
    let close = wire::close(Server, 1001, "");
    conn.forges(Server, RST | ACK, |packet| packet.payload = close);
    check(&conn, "abnormal:1006:rst by server");
}

#[test]
fn the_teardown_names_the_first_event_and_its_packet() {
    let mut conn = busy();
    let fin = conn.packets().len() + 1;
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "abnormal:1006:fin by server");
    let teardown = &outcome.only().teardown;
    assert_eq!(
        (teardown.kind.as_ref(), teardown.by.as_deref(), teardown.packet),
        ("fin", Some("server"), Some(fin as u32))
    );
}

#[test]
fn idle_before_the_end_counts_from_the_last_payload() {
    let mut conn = busy();
    conn.wait(Duration::from_secs(60));
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "abnormal:1006:fin by server");
    let idle = outcome.only().idle_before_end_s.unwrap();
    assert!((60.0..60.1).contains(&idle), "{idle}");
}

#[test]
fn a_fin_whose_answer_is_not_in_the_capture_leaves_a_crossing_close_possible() {
    // Nothing of the client after the server's FIN: its own Close may have crossed it unseen.
    check(busy().fin(Server), "unknown:unknown by unknown");
}

#[test]
fn a_packet_that_crossed_the_fin_does_not_show_that_no_close_followed_it() {
    // The FIN is lost behind the capture point: what the other side sends next does not acknowledge it.
    let crossed = || {
        let mut conn = busy();
        conn.next_lost().fin(Server);
        conn.client_sends(&wire::text(Client, "crossed"));
        conn
    };
    check(&crossed(), "unknown:unknown by unknown");
    let mut conn = busy();
    conn.next_lost().fin(Server).acks(Client);
    check(&conn, "unknown:unknown by unknown");
    // Once it is acknowledged, nothing of the client's was before it.
    let mut conn = crossed();
    check(conn.retransmits(Server).acks(Client), "abnormal:1006:fin by server");
    // Its own end shows the same.
    check(crossed().fin(Client), "abnormal:1006:fin by server");
    check(crossed().rst(Client), "abnormal:1006:fin by server");
}

#[test]
fn a_fin_and_an_abort_behind_it_need_no_answer() {
    // haproxy's worker that is told to end at once: the reset keeps the peer's kernel from answering the FIN.
    for by in Side::BOTH {
        check(busy().fin(by).rst(by), &format!("abnormal:1006:fin by {}", by.name()));
    }
}

#[test]
fn a_fin_and_an_abort_that_acknowledges_more_than_the_capture_holds_leave_a_close_possible() {
    for by in Side::BOTH {
        let mut conn = busy();
        conn.fin(by).next_not_captured().sends(by.other(), &wire::close(by.other(), 1001, ""));
        check(conn.rst(by), "unknown:unknown by unknown");
    }
}

#[test]
fn a_fin_and_a_bare_reset_behind_it_leave_a_close_possible() {
    // The reset answers a segment that the capture lacks.
    for by in Side::BOTH {
        let mut conn = busy();
        conn.fin(by).next_not_captured().sends(by.other(), &wire::close(by.other(), 1001, ""));
        check(conn.bare_rst(by), "unknown:unknown by unknown");
    }
}

#[test]
fn an_unacknowledged_last_message_before_a_reset_is_still_full_sight() {
    let mut conn = busy();
    conn.client_sends(&wire::text(Client, "never acknowledged")).rst(Client);
    check(&conn, "abnormal:1006:rst by client");
}

#[test]
fn a_websocket_that_carried_no_frame_ends_like_any_other() {
    for by in Side::BOTH {
        let mut conn = Conversation::opened();
        both_fins(&mut conn, by);
        check(&conn, &format!("abnormal:1006:fin by {}", by.name()));
        check(Conversation::opened().rst(by), &format!("abnormal:1006:rst by {}", by.name()));
    }
}

#[test]
fn a_close_whose_first_copy_came_damaged_is_no_1006() {
    // Checksums are not verified: the receiver dropped what the capture shows first, and took what was sent again.
    for by in Side::BOTH {
        let close = wire::close(by, 1001, "");
        let mut ping = close.clone();
        ping[0] ^= 1;
        let mut conn = busy();
        conn.forges(by, ACK | PSH, |packet| packet.payload = ping);
        conn.sends(by, &close).acks(by.other());
        both_fins(&mut conn, by);
        let outcome = check(&conn, "unknown:unknown by unknown");
        assert_eq!(outcome.only().verdict.blind.as_deref(), Some("desynchronized"));
        assert!(has_anomaly(&outcome, "tcp_overlap_differs"));
    }
}

#[test]
fn other_bytes_in_place_of_acknowledged_ones_change_nothing() {
    for by in Side::BOTH {
        let mut conn = busy();
        let seq = conn.next_seq(by);
        conn.sends(by, &wire::ping(by, b"")).acks(by.other());
        conn.forges(by, ACK | PSH, |packet| {
            packet.seq = seq;
            packet.payload = wire::close_empty(by);
        });
        both_fins(&mut conn, by);
        let answer = format!("abnormal:1006:fin by {}", by.name());
        assert!(!has_anomaly(&check(&conn, &answer), "tcp_overlap_differs"));
    }
}
