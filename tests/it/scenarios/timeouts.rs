//! The root cause `timeout`: one end's TCP had stopped answering before the end.

use super::{both_fins, busy, check, check_packets};
use crate::support::conversation::Conversation;
use crate::support::packet::SYN;
use crate::support::rewrite;
use crate::support::wire;
use std::time::Duration;
use wsclose::side::Side::{Client, Server};

const TIMEOUT: &str = "abnormal:1006:timeout by network";

fn silent_peer(sendings: u64) -> Conversation {
    let mut conn = busy();
    conn.next_lost().client_sends(&wire::text(Client, "anyone there?"));
    for doubling in 1..sendings {
        conn.wait(Duration::from_millis(200 << doubling)).next_lost().retransmits(Client);
    }
    conn
}

#[test]
fn three_sendings_without_any_answer_are_a_timeout_even_if_the_capture_just_ends() {
    check(&silent_peer(3), TIMEOUT);
    check(&silent_peer(9), TIMEOUT);
}

#[test]
fn an_acknowledgment_of_what_the_capture_lacks_is_a_sign_of_life() {
    // Only the client's packets were captured: its SYN three times, then what shows that the server had answered.
    let mut conn = Conversation::new();
    conn.forges(Client, SYN, |_| {});
    conn.wait(Duration::from_secs(1)).forges(Client, SYN, |_| {});
    conn.wait(Duration::from_secs(2)).forges(Client, SYN, |_| {});
    let mut whole = Conversation::new();
    whole.wait(Duration::from_secs(4)).connect().upgrade("/ws");
    whole.server_sends(&wire::text(Server, "hello")).client_acks().bare_rst(Client);
    let mut packets = [conn.packets(), whole.packets()].concat();
    let client = packets[0].src;
    packets.retain(|packet| packet.src == client);
    check_packets(&packets, "unknown:unknown by unknown");
}

#[test]
fn two_sendings_prove_no_dead_peer() {
    check(&silent_peer(2), "open:open by -");
}

#[test]
fn a_timeout_stays_one_when_the_side_that_gave_up_sends_fin_or_reset() {
    check(silent_peer(5).rst(Client), TIMEOUT);
    check(silent_peer(5).fin(Client), TIMEOUT);
}

#[test]
fn a_retransmission_that_is_answered_in_the_end_is_no_timeout() {
    let mut conn = silent_peer(5);
    conn.retransmits(Client).server_acks();
    check(&conn, "open:open by -");
    both_fins(&mut conn, Server);
    check(&conn, "abnormal:1006:fin by server");
}

#[test]
fn a_peer_that_resets_after_retransmissions_had_not_stopped_answering() {
    // It lives, but knows of no such connection, and nothing shows that it ended it.
    check(silent_peer(5).bare_rst(Server), "abnormal:1006:rst by unknown");
}

#[test]
fn a_close_of_the_side_that_waited_in_vain_is_on_the_wire_all_the_same() {
    // Sent behind the unacknowledged data, before any FIN or reset of the other side.
    let mut conn = silent_peer(5);
    conn.client_sends(&wire::close(Client, 1011, "keepalive ping timeout"));
    check(conn.fin(Client), "coded:1011 by client");
}

#[test]
fn a_close_that_is_itself_retransmitted_in_vain_is_coded() {
    let mut conn = busy();
    conn.next_lost().client_sends(&wire::close(Client, 1000, ""));
    for _ in 0..5 {
        conn.wait(Duration::from_secs(1)).next_lost().retransmits(Client);
    }
    check(&conn, "coded:1000 by client");
}

#[test]
fn three_unanswered_keepalive_probes_are_a_timeout() {
    for by in [Client, Server] {
        let mut conn = busy();
        for _ in 0..3 {
            conn.wait(Duration::from_secs(75)).keepalive(by);
        }
        check(&conn, TIMEOUT);
        check(conn.rst(by), TIMEOUT);
    }
}

#[test]
fn answered_keepalive_probes_are_a_sign_of_life() {
    let mut conn = busy();
    for _ in 0..20 {
        conn.wait(Duration::from_secs(75)).keepalive(Client).server_acks();
    }
    check(&conn, "open:open by -");
    check(conn.rst(Client), "abnormal:1006:rst by client");
}

#[test]
fn a_probe_left_unanswered_before_the_last_is_forgiven() {
    let mut conn = busy();
    conn.keepalive(Client).wait(Duration::from_secs(75)).keepalive(Client).wait(Duration::from_secs(75));
    conn.keepalive(Client).server_acks();
    conn.wait(Duration::from_secs(75)).keepalive(Client).wait(Duration::from_secs(75)).keepalive(Client);
    check(&conn, "open:open by -");
}

#[test]
fn keepalive_probes_that_carry_a_garbage_byte_count_as_probes() {
    let mut conn = busy();
    for _ in 0..3 {
        conn.wait(Duration::from_secs(75));
        conn.forges(Client, 0x10, |packet| {
            packet.seq = packet.seq.wrapping_sub(1);
            packet.payload = vec![0];
        });
    }
    check(&conn, TIMEOUT);
}

#[test]
fn zero_window_probes_that_are_acknowledged_are_no_timeout() {
    let mut conn = busy();
    conn.window(Client, 0).client_acks();
    for _ in 0..10 {
        conn.wait(Duration::from_secs(5));
        conn.keepalive(Server).client_acks();
    }
    check(&conn, "open:open by -");
    conn.window(Client, 502).client_acks();
    both_fins(&mut conn, Client);
    check(&conn, "abnormal:1006:fin by client");
}

#[test]
fn a_zero_window_probe_of_one_byte_that_is_dropped_and_acknowledged_is_no_timeout() {
    let message = wire::text(Server, "waits for room");
    let mut conn = busy();
    conn.window(Client, 0).client_acks();
    for _ in 0..5 {
        conn.wait(Duration::from_secs(5));
        let byte = message[..1].to_vec();
        conn.forges(Server, 0x10, |packet| packet.payload = byte);
        let before = conn.next_seq(Server);
        conn.forges(Client, 0x10, |packet| packet.ack = before);
    }
    conn.window(Client, 502);
    conn.server_sends(&message).client_acks();
    conn.server_sends(&wire::close(Server, 1000, "")).client_sends(&wire::close(Client, 1000, ""));
    both_fins(&mut conn, Server);
    check(&conn, "coded:1000 by server");
}

#[test]
fn a_websocket_ping_that_tcp_acknowledges_is_no_timeout() {
    let mut conn = busy();
    for _ in 0..5 {
        conn.wait(Duration::from_secs(20)).server_sends(&wire::ping(Server, b"?")).client_acks();
    }
    check(&conn, "open:open by -");
    both_fins(&mut conn, Server);
    check(&conn, "abnormal:1006:fin by server");
}

#[test]
fn a_peer_that_still_sends_data_has_not_stopped_answering() {
    // Only one direction of the path is dead: the server's data arrives, the client's does not.
    let mut conn = busy();
    conn.next_lost().client_sends(&wire::text(Client, "lost"));
    for _ in 0..5 {
        conn.wait(Duration::from_secs(1)).next_lost().retransmits(Client);
        conn.server_sends(&wire::text(Server, "a message of its own")).client_acks();
    }
    both_fins(&mut conn, Server);
    check(&conn, "abnormal:1006:fin by server");
}

#[test]
fn copies_of_one_packet_are_no_further_sendings() {
    for hops in [0, 1] {
        let doubled = rewrite::duplicate(&silent_peer(2).packets(), 3_000, hops);
        super::check_packets(&doubled, "open:open by -");
        let mut probed = busy();
        probed
            .wait(Duration::from_secs(75))
            .keepalive(Client)
            .wait(Duration::from_secs(75))
            .keepalive(Client);
        super::check_packets(&rewrite::duplicate(&probed.packets(), 3_000, hops), "open:open by -");
    }
}

#[test]
fn a_burst_of_new_data_without_acknowledgment_is_no_timeout() {
    let mut conn = busy();
    for _ in 0..20 {
        conn.next_lost().client_sends(&wire::text(Client, "each one new"));
    }
    check(&conn, "open:open by -");
}

#[test]
fn a_fin_retransmitted_in_vain_leaves_the_end_a_timeout() {
    let mut conn = busy();
    conn.next_lost().fin(Client);
    for _ in 0..4 {
        conn.wait(Duration::from_secs(1)).next_lost().retransmits(Client);
    }
    check(&conn, TIMEOUT);
}
