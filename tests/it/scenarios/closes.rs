//! A Close was on the wire: the first one's code is the label, whatever follows.

use super::{both_fins, busy, check, has_anomaly};
use crate::support::packet::{ACK, FIN};
use crate::support::run;
use crate::support::wire::{self, Frame, LengthForm};
use std::time::Duration;
use wsclose::side::Side::{self, Client, Server};

#[test]
fn an_answered_close_is_coded_by_its_first_sender_and_clean() {
    for (first, answer) in [(Client, "coded:1001 by client"), (Server, "coded:1001 by server")] {
        let mut conn = busy();
        conn.sends(first, &wire::close(first, 1001, "bye")).acks(first.other());
        conn.sends(first.other(), &wire::close(first.other(), 1001, "")).acks(first);
        both_fins(&mut conn, Server);
        let outcome = check(&conn, answer);
        assert!(outcome.only().verdict.clean);
        assert_eq!(outcome.only().verdict.code, Some(1001));
    }
}

#[test]
fn an_answer_with_another_code_does_not_change_the_label() {
    let mut conn = busy();
    conn.server_sends(&wire::close(Server, 1012, "")).client_sends(&wire::close(Client, 1000, ""));
    both_fins(&mut conn, Client);
    let outcome = check(&conn, "coded:1012 by server");
    assert_eq!(outcome.only().close.client.as_ref().unwrap().code, Some(1000));
}

#[test]
fn an_empty_close_is_1005() {
    let mut conn = busy();
    conn.client_sends(&wire::close_empty(Client)).server_sends(&wire::close_empty(Server));
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1005 by client");
    assert_eq!(outcome.only().verdict.code, None);
    let close = outcome.only().close.client.as_ref().unwrap();
    assert_eq!((close.code, close.body.as_ref()), (None, "empty"));
}

#[test]
fn closes_that_cross_are_closed_by_both() {
    let mut conn = busy();
    conn.client_sends(&wire::close(Client, 4001, "c"));
    let acked_before = conn.packets()[conn.packets().len() - 1].seq;
    let body = wire::close(Server, 4002, "s");
    conn.forges(Server, 0x18, |packet| {
        packet.ack = acked_before;
        packet.payload = body;
    });
    conn.client_acks().server_acks();
    both_fins(&mut conn, Server);
    check(&conn, "coded:4001 by both");
}

#[test]
fn a_close_is_not_called_the_first_if_one_that_is_missing_may_have_crossed_it() {
    let mut conn = busy();
    let before = conn.next_seq(Client);
    conn.next_not_captured().client_sends(&wire::close(Client, 4001, "c"));
    let body = wire::close(Server, 4002, "s");
    conn.forges(Server, 0x18, |packet| {
        packet.ack = before;
        packet.payload = body;
    });
    conn.client_acks().server_acks();
    both_fins(&mut conn, Server);
    check(&conn, "unknown:unknown by unknown");
}

#[test]
fn a_close_is_the_first_if_what_is_missing_was_not_yet_sent() {
    let mut conn = busy();
    conn.server_sends(&wire::close(Server, 4002, "s"));
    let acked = conn.next_seq(Server);
    conn.client_acks(); // nothing of the client stands between its last frame and here
    conn.next_not_captured().client_sends(&wire::close(Client, 4002, ""));
    both_fins(&mut conn, Server);
    assert_eq!(acked, conn.next_seq(Server).wrapping_sub(1));
    check(&conn, "coded:4002 by server");
}

#[test]
fn a_close_cut_by_a_hole_is_still_the_first_if_the_other_had_received_it() {
    let close = wire::close(Client, 4010, "a reason");
    for cut in 8..close.len() {
        let mut conn = busy();
        conn.client_sends(&close[..cut]);
        conn.next_not_captured().client_sends(&close[cut..]).server_acks();
        conn.server_sends(&wire::close(Server, 1000, ""));
        both_fins(&mut conn, Server);
        let outcome = run::analyze_packets(&conn.packets());
        let answer = run::Answer::of(outcome.only()).to_string();
        assert!(
            ["coded:4010 by client", "unknown:unknown by client", "unknown:unknown by unknown"]
                .contains(&answer.as_str()),
            "{answer}"
        );
    }
}

#[test]
fn a_reset_after_a_close_is_a_consequence() {
    for by in Side::BOTH {
        for answered in [true, false] {
            let mut conn = busy();
            conn.server_sends(&wire::close(Server, 1001, "")).client_acks();
            if answered {
                conn.client_sends(&wire::close(Client, 1001, ""));
            }
            let outcome = check(conn.rst(by), "coded:1001 by server");
            assert_eq!(outcome.only().teardown.kind, "rst");
        }
    }
}

#[test]
fn a_fin_after_an_unanswered_close_leaves_it_coded_and_not_clean() {
    for by in Side::BOTH {
        let mut conn = busy();
        conn.client_sends(&wire::close(Client, 1000, "")).server_acks();
        both_fins(&mut conn, by);
        let outcome = check(&conn, "coded:1000 by client");
        assert!(!outcome.only().verdict.clean);
    }
}

#[test]
fn a_close_never_answered_is_coded_when_the_capture_just_ends() {
    let mut conn = busy();
    conn.client_sends(&wire::close(Client, 1000, "")).server_acks();
    let outcome = check(&conn, "coded:1000 by client");
    assert!(!outcome.only().verdict.clean);
    assert_eq!(outcome.only().teardown.kind, "none");
}

#[test]
fn proof_says_how_far_a_close_is_known_to_have_come() {
    let proof = |tail: &dyn Fn(&mut crate::support::conversation::Conversation)| {
        let mut conn = busy();
        conn.client_sends(&wire::close(Client, 1000, ""));
        tail(&mut conn);
        check(&conn, "coded:1000 by client").only().close.client.as_ref().unwrap().proof.clone()
    };
    assert_eq!(proof(&|_| {}), "sent");
    assert_eq!(proof(&|conn| _ = conn.server_acks()), "acknowledged");
    assert_eq!(proof(&|conn| _ = conn.server_sends(&wire::close(Server, 1000, ""))), "answered");
}

#[test]
fn a_close_is_found_wherever_it_is_cut() {
    for side in Side::BOTH {
        let close = wire::close(side, 4321, "a reason of some length");
        for cut in 1..close.len() {
            let mut conn = busy();
            conn.sends_cut(side, &close, &[cut]).acks(side.other());
            both_fins(&mut conn, side);
            let outcome = check(&conn, &format!("coded:4321 by {}", side.name()));
            let close =
                if side == Client { &outcome.only().close.client } else { &outcome.only().close.server };
            assert_eq!(close.as_ref().unwrap().reason, "a reason of some length");
        }
    }
}

#[test]
fn a_close_in_segments_of_one_byte_is_found_in_the_packet_of_its_last() {
    let close = wire::close(Server, 1001, "bye");
    let mut conn = busy();
    conn.sends_cut(Server, &close, &(1..close.len()).collect::<Vec<_>>());
    let last = conn.packets().len();
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1001 by server");
    assert_eq!(outcome.only().close.server.as_ref().unwrap().packet as usize, last);
}

#[test]
fn a_close_between_the_fragments_of_a_message_is_found() {
    let mut conn = busy();
    conn.client_sends(&Frame::new(Client, 1, b"first ").unfinished().bytes());
    conn.client_sends(&wire::close(Client, 1001, "")).server_acks();
    conn.server_sends(&wire::close(Server, 1001, ""));
    both_fins(&mut conn, Server);
    check(&conn, "coded:1001 by client");
}

#[test]
fn a_close_behind_data_in_one_segment_is_found() {
    let mut conn = busy();
    conn.server_sends(&[wire::text(Server, "last words"), wire::close(Server, 1000, "")].concat());
    both_fins(&mut conn, Server);
    check(&conn, "coded:1000 by server");
}

#[test]
fn a_close_that_shares_its_segment_with_the_fin_is_found() {
    let mut conn = busy();
    conn.sends_and_fin(Client, &wire::close(Client, 1001, "")).server_acks().fin(Server).client_acks();
    check(&conn, "coded:1001 by client");
}

#[test]
fn bytes_that_look_like_a_close_inside_a_message_are_none() {
    let mut conn = busy();
    conn.server_sends(&wire::binary(Server, &wire::close(Server, 1001, "bye"))).client_acks();
    both_fins(&mut conn, Server);
    check(&conn, "abnormal:1006:fin by server");
}

#[test]
fn a_close_body_of_one_byte_is_malformed_and_has_no_code() {
    let mut conn = busy();
    conn.client_sends(&wire::close_body(Client, &[3])).server_sends(&wire::close(Server, 1002, ""));
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1005 by client");
    let close = outcome.only().close.client.as_ref().unwrap();
    assert_eq!((close.code, close.body.as_ref()), (None, "malformed"));
    assert!(has_anomaly(&outcome, "close_body_malformed"));
}

#[test]
fn a_reason_that_is_not_utf_8_keeps_its_code_and_exact_bytes() {
    let mut conn = busy();
    conn.client_sends(&wire::close_body(Client, &[0x03, 0xe8, 0xff, b'x'])).server_acks();
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1000 by client");
    let close = outcome.only().close.client.as_ref().unwrap();
    assert_eq!((close.body.as_ref(), close.reason.as_ref()), ("malformed", "\u{fffd}x"));
    assert_eq!(close.reason_base64.as_deref(), Some("/3g="));
}

#[test]
fn an_oversized_close_keeps_its_code() {
    for length_form in [LengthForm::Minimal, LengthForm::SixtyFour] {
        let body = [&[0x03, 0xe8][..], &[b'C'; 256]].concat();
        let mut conn = busy();
        conn.server_sends(&Frame { length_form, ..Frame::new(Server, 8, &body) }.bytes()).client_acks();
        both_fins(&mut conn, Client);
        let outcome = check(&conn, "coded:1000 by server");
        assert!(has_anomaly(&outcome, "oversized_control_frame"));
        assert_eq!(has_anomaly(&outcome, "non_minimal_length"), length_form == LengthForm::SixtyFour);
    }
}

#[test]
fn a_code_that_must_not_stand_on_the_wire_is_the_label_all_the_same() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        let mut conn = busy();
        conn.client_sends(&wire::close(Client, code, "")).server_sends(&wire::close(Server, 1002, ""));
        both_fins(&mut conn, Server);
        let outcome = check(&conn, &format!("coded:{code} by client"));
        assert!(has_anomaly(&outcome, "close_code_reserved"), "{code}");
    }
}

#[test]
fn a_code_of_the_registry_or_of_an_application_is_no_anomaly() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999] {
        let mut conn = busy();
        conn.client_sends(&wire::close(Client, code, "")).server_sends(&wire::close(Server, code, ""));
        both_fins(&mut conn, Server);
        let outcome = check(&conn, &format!("coded:{code} by client"));
        assert_eq!(outcome.only().anomalies, [""; 0], "{code}");
    }
}

#[test]
fn later_closes_and_data_do_not_change_the_first_code() {
    let mut conn = busy();
    conn.client_sends(&wire::close(Client, 4000, "first"));
    conn.client_sends(&wire::text(Client, "too late")).client_sends(&wire::close(Client, 1000, "second"));
    conn.server_sends(&wire::close(Server, 4000, ""));
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:4000 by client");
    assert!(has_anomaly(&outcome, "data_after_close"));
    assert!(has_anomaly(&outcome, "close_repeated"));
    assert_eq!(outcome.only().close.client.as_ref().unwrap().reason, "first");
}

#[test]
fn data_of_the_other_side_after_a_close_is_no_violation() {
    let mut conn = busy();
    conn.client_sends(&wire::close(Client, 1000, "")).server_sends(&wire::text(Server, "still sending"));
    conn.server_sends(&wire::close(Server, 1000, "")).client_acks();
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1000 by client");
    assert_eq!(outcome.only().anomalies, [""; 0]);
}

#[test]
fn a_close_that_answers_a_fin_ended_nothing() {
    let mut conn = busy();
    conn.fin(Client).server_acks();
    conn.server_sends(&wire::close(Server, 1000, "")).fin(Server).client_acks();
    let outcome = check(&conn, "abnormal:1006:fin by client");
    assert_eq!(outcome.only().close.server.as_ref().unwrap().code, Some(1000), "it is evidence");
}

#[test]
fn a_close_sent_before_the_fin_had_arrived_counts() {
    let mut conn = busy();
    conn.fin(Client);
    let fin_seq = conn.packets()[conn.packets().len() - 1].seq;
    let close = wire::close(Server, 1001, "");
    conn.forges(Server, 0x18, |packet| {
        packet.ack = fin_seq;
        packet.payload = close;
    });
    conn.client_acks();
    check(&conn, "coded:1001 by server");
}

#[test]
fn a_close_that_is_only_known_to_be_sent_again_behind_a_fin_may_have_come_first() {
    for by in Side::BOTH {
        let lost = |acknowledges: bool, wait: Duration| {
            let mut conn = busy();
            conn.fin(by.other());
            if acknowledges {
                conn.acks(by); // Before its Close, which is the next byte.
            }
            let seq = conn.next_seq(by);
            conn.next_lost_unseen().sends(by, &wire::close(by, 1000, "")).next_lost().fin(by).wait(wait);
            let again = wire::close(by, 1000, "");
            conn.forges(by, FIN | ACK, |packet| (packet.seq, packet.payload) = (seq, again));
            conn.bare_rst(by.other());
            conn
        };
        let sent_again = Duration::from_millis(200);
        check(&lost(false, sent_again), "unknown:unknown by unknown");
        check(&lost(true, sent_again), &format!("abnormal:1006:fin by {}", by.other().name()));
        check(&lost(false, Duration::ZERO), &format!("abnormal:1006:fin by {}", by.other().name()));
    }
}

#[test]
fn a_retransmitted_close_is_one_close() {
    let mut conn = busy();
    conn.next_lost().server_sends(&wire::close(Server, 1001, "bye"));
    conn.retransmits(Server).client_sends(&wire::close(Client, 1001, ""));
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1001 by server");
    assert!(outcome.only().verdict.clean);
    assert!(!has_anomaly(&outcome, "close_repeated"));
    assert_eq!(outcome.only().traffic.server.frames, 2);
}

#[test]
fn a_close_that_breaks_the_framing_rules_is_still_a_close() {
    let wrong = [
        (Client, Frame { mask: None, ..Frame::new(Client, 8, &[0x03, 0xe9]) }, "unmasked_client_frame"),
        (
            Server,
            Frame { mask: Some([1, 2, 3, 4]), ..Frame::new(Server, 8, &[0x03, 0xe9]) },
            "masked_server_frame",
        ),
        (Server, Frame::new(Server, 8, &[0x03, 0xe9]).unfinished(), "fragmented_control_frame"),
        (Server, Frame { rsv: 0b100, ..Frame::new(Server, 8, &[0x03, 0xe9]) }, "reserved_bits"),
        (
            Client,
            Frame { length_form: LengthForm::Sixteen, ..Frame::new(Client, 8, &[0x03, 0xe9]) },
            "non_minimal_length",
        ),
    ];
    for (side, frame, anomaly) in wrong {
        let mut conn = busy();
        conn.sends(side, &frame.bytes()).acks(side.other());
        both_fins(&mut conn, side);
        let outcome = check(&conn, &format!("coded:1001 by {}", side.name()));
        assert!(has_anomaly(&outcome, anomaly), "{anomaly}");
    }
}

#[test]
fn a_close_behind_the_senders_own_fin_does_not_count() {
    let mut conn = busy();
    conn.fin(Client).server_acks();
    // What stands behind a FIN is ignored by its receiver, and not acknowledged (RFC 9293 §3.10.7.4).
    conn.next_lost().client_sends(&wire::close(Client, 1000, "")).fin(Server);
    let outcome = check(&conn, "abnormal:1006:fin by client");
    assert!(has_anomaly(&outcome, "tcp_data_after_fin"));
}
