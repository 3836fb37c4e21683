//! Resets that somebody else sent in an end's name: to one end or both, with the right TTL or another.

use super::{busy, check, check_packets};
use crate::support::conversation::Conversation;
use crate::support::packet::{ACK, RST, TcpPacket};
use crate::support::wire;
use std::time::Duration;
use wsclose::side::Side;

const BY_NETWORK: &str = "abnormal:1006:rst by network";

/// The victim's socket is gone, and answers what `sender` still sends.
fn speaks_to_a_dead_socket(conn: &mut Conversation, sender: Side) -> &mut Conversation {
    conn.wait(Duration::from_secs(3)).sends(sender, &wire::text(sender, "are you there?"));
    conn.bare_rst(sender.other())
}

#[test]
fn an_end_that_talks_on_after_its_reset_did_not_send_it() {
    for named in Side::BOTH {
        let mut conn = busy();
        check(speaks_to_a_dead_socket(conn.rst(named), named), BY_NETWORK);
    }
}

#[test]
fn an_end_that_closes_after_its_reset_did_not_send_it() {
    for named in Side::BOTH {
        let mut conn = busy();
        conn.rst(named).wait(Duration::from_secs(3)).fin(named).bare_rst(named.other());
        check(&conn, BY_NETWORK);
    }
}

#[test]
fn a_reset_that_overtakes_its_senders_last_bytes_is_its_own() {
    for named in Side::BOTH {
        let mut conn = busy();
        let late = wire::text(named, "late");
        conn.rst(named);
        conn.forges(named, ACK, |packet| {
            packet.seq = packet.seq.wrapping_sub(5);
            packet.payload = late[..5].to_vec();
        });
        check(&conn, &format!("abnormal:1006:rst by {}", named.name()));
    }
}

#[test]
fn an_abort_that_the_peer_speaks_into_is_the_aborters() {
    for named in Side::BOTH {
        let mut conn = busy();
        let peer = named.other();
        conn.rst(named).wait(Duration::from_millis(20)).sends(peer, &wire::text(peer, "hello?"));
        check(conn.bare_rst(named), &format!("abnormal:1006:rst by {}", named.name()));
    }
}

/// Resets to both ends, half a millisecond apart, as `make` forms them.
fn both_ends(first: Side, make: impl Fn(&mut TcpPacket)) -> Conversation {
    let mut conn = busy();
    conn.forges(first, RST | ACK, &make);
    conn.forges(first.other(), RST | ACK, |packet| {
        make(packet);
        packet.at_ns -= 500_000;
    });
    conn
}

#[test]
fn resets_to_both_ends_at_once_come_from_between_whatever_their_ttl() {
    for first in Side::BOTH {
        check(&both_ends(first, |_| {}), BY_NETWORK);
        check(&both_ends(first, |packet| packet.ttl = 57), BY_NETWORK);
    }
}

#[test]
fn a_bare_reset_with_a_window_is_no_hosts_answer() {
    let bare = |window| {
        move |packet: &mut TcpPacket| {
            (packet.flags, packet.ack, packet.window) = (RST, 0, window);
        }
    };
    for side in Side::BOTH {
        check(busy().forges(side, RST, bare(8192)), BY_NETWORK);
        check(&both_ends(side, bare(8192)), BY_NETWORK);
    }
}

#[test]
fn another_ttl_gives_a_reset_to_one_end_away() {
    for side in Side::BOTH {
        check(busy().forges(side, RST | ACK, |packet| packet.ttl -= 9), BY_NETWORK);
        check(busy().forges(side, RST | ACK, |_| {}), &format!("abnormal:1006:rst by {}", side.name()));
    }
}

#[test]
fn a_reset_at_once_with_one_that_came_another_way_is_of_the_same_device() {
    for side in Side::BOTH {
        let resets = |strange_ttl| {
            let mut conn = busy();
            conn.rst(side);
            conn.forges(side.other(), RST, |packet| {
                (packet.ack, packet.window, packet.ttl) = (0, 0, packet.ttl - strange_ttl);
                packet.at_ns -= 500_000;
            });
            conn
        };
        check(&resets(9), BY_NETWORK);
        check(&resets(0), &format!("abnormal:1006:rst by {}", side.name()));
    }
}

#[test]
fn an_abort_behind_what_its_sender_had_sent_is_not_its_own() {
    for side in Side::BOTH {
        let mut conn = busy();
        conn.sends(side, &wire::text(side, "in flight"));
        conn.forges(side, RST | ACK, |packet| packet.seq = packet.seq.wrapping_sub(4));
        check(&conn, BY_NETWORK);
    }
}

#[test]
fn a_fin_before_the_reset_is_the_ends_own_close() {
    for side in Side::BOTH {
        let mut conn = busy();
        conn.fin(side).acks(side.other()).rst(side);
        check(&conn, &format!("abnormal:1006:fin by {}", side.name()));
    }
}

#[test]
fn a_reset_behind_bytes_that_its_receiver_had_taken_is_ignored() {
    // RFC 5961 §3.2: what the receiver expects lies beyond it, as the acknowledgment that follows shows.
    for by in Side::BOTH {
        let mut conn = busy();
        let seq = conn.next_seq(by);
        conn.sends(by, &wire::text(by, "more"));
        conn.forges(by, RST | ACK, |packet| packet.seq = seq).acks(by.other());
        check(&conn, "open:open by -");
    }
}

#[test]
fn an_abort_that_its_receiver_ignored_still_shows_what_its_sender_had_sent() {
    for side in Side::BOTH {
        // The end's Close is lost, its abort comes before what it sent earlier, and is none to its receiver.
        let aborts = |change: fn(&mut TcpPacket)| {
            let mut conn = busy();
            let start = conn.next_seq(side);
            conn.sends(side, &wire::text(side, "overtaken"));
            conn.next_lost_unseen().sends(side, &wire::close(side, 1001, ""));
            conn.forges(side, RST | ACK, change);
            let mut packets = conn.packets();
            let (abort, late) = (packets.len() - 1, packets.len() - 2);
            assert_eq!(packets[late].seq, start);
            packets.swap(abort, late);
            (packets[late].at_ns, packets[abort].at_ns) = (packets[abort].at_ns, packets[late].at_ns);
            let acked = packets[abort].seq.wrapping_add(packets[abort].payload.len() as u32);
            let mut answer = packets[late].clone();
            (answer.src, answer.dst) = (answer.dst, answer.src);
            (answer.seq, answer.ack, answer.flags) = (packets[late].ack, acked, ACK);
            let mut gone = packets[late].clone();
            (gone.seq, gone.ack, gone.flags, gone.window) = (acked, 0, RST, 0);
            for (packet, after) in [(answer, 1), (gone, 2)] {
                let at_ns = packets[abort].at_ns + after * 10_000_000;
                packets.push(TcpPacket { at_ns, ..packet });
            }
            packets
        };
        check_packets(&aborts(|_| {}), "unknown:unknown by unknown");
        // One that guesses what the peer has sent is nobody's.
        check_packets(&aborts(|packet| packet.ack -= 1), "abnormal:1006:rst by unknown");
    }
}

#[test]
fn a_reset_is_none_whose_sender_answers_a_peer_that_speaks_long_afterwards() {
    for by in Side::BOTH {
        let reset = |wait| {
            let mut conn = busy();
            conn.forges(by, RST | ACK, |packet| packet.ttl = 50).wait(wait);
            conn.keepalive(by.other()).acks(by);
            conn
        };
        check(&reset(Duration::from_secs(5)), "open:open by -");
        // What was on its way when it was sent tells nothing.
        check(&reset(Duration::from_millis(20)), "abnormal:1006:rst by network");
    }
}

#[test]
fn a_close_that_a_bare_segment_had_shown_before_the_fin_does_not_answer_it() {
    for by in Side::BOTH {
        let mut conn = busy();
        conn.next_lost_unseen().sends(by, &wire::close(by, 4000, ""));
        // Sent behind the Close, which was lost on its way; then it is sent again, and acknowledges the FIN.
        conn.acks(by).fin(by.other()).wait(Duration::from_millis(200)).retransmits(by);
        conn.bare_rst(by.other());
        check(&conn, &format!("coded:4000 by {}", by.name()));
    }
}
