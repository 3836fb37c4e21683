//! Frames: lengths, violations that must not stop the parse, and holes.

use super::{both_fins, busy, check, has_anomaly};
use crate::support::packet::{ACK, PSH};
use crate::support::wire::{self, Frame, LengthForm};
use wsclose::side::Side::{Client, Server};

#[test]
fn payload_lengths_of_every_form_are_skipped() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
        for side in [Client, Server] {
            let message = wire::binary(side, &vec![0x88; len]);
            let cuts: Vec<_> = (1..message.len() / 60_000 + 1)
                .map(|n| n * 60_000)
                .filter(|at| *at < message.len())
                .collect();
            let mut conn = busy();
            conn.sends_cut(side, &message, &cuts).acks(side.other());
            conn.sends(side, &wire::close(side, 1000, ""));
            both_fins(&mut conn, side);
            let outcome = check(&conn, &format!("coded:1000 by {}", side.name()));
            let traffic =
                if side == Client { &outcome.only().traffic.client } else { &outcome.only().traffic.server };
            assert_eq!((traffic.messages, traffic.payload_bytes), (2, 5 + len as u64));
        }
    }
}

#[test]
fn violations_are_counted_and_the_parse_goes_on() {
    let violations = [
        (Client, Frame { mask: None, ..Frame::new(Client, 1, b"x") }, "unmasked_client_frame"),
        (Server, Frame { mask: Some([9, 8, 7, 6]), ..Frame::new(Server, 1, b"x") }, "masked_server_frame"),
        (Client, Frame::new(Client, 9, b"x").unfinished(), "fragmented_control_frame"),
        (Server, Frame::new(Server, 9, &[b'x'; 200]), "oversized_control_frame"),
        (Client, Frame::new(Client, 3, b"x"), "reserved_opcode"),
        (Server, Frame::new(Server, 0xb, b"x"), "reserved_opcode"),
        (Client, Frame { rsv: 0b100, ..Frame::new(Client, 1, b"x") }, "reserved_bits"),
        (Client, Frame { rsv: 0b001, ..Frame::new(Client, 1, b"x") }, "reserved_bits"),
        (
            Server,
            Frame { length_form: LengthForm::Sixteen, ..Frame::new(Server, 2, b"x") },
            "non_minimal_length",
        ),
        (
            Server,
            Frame { length_form: LengthForm::SixtyFour, ..Frame::new(Server, 2, b"x") },
            "non_minimal_length",
        ),
        (Client, Frame::new(Client, 0, b"no message to continue"), "fragmentation_error"),
    ];
    for (side, frame, anomaly) in violations {
        let mut conn = busy();
        conn.sends(side, &frame.bytes()).acks(side.other());
        conn.server_sends(&wire::close(Server, 1002, "")).client_sends(&wire::close(Client, 1002, ""));
        both_fins(&mut conn, Server);
        let outcome = check(&conn, "coded:1002 by server");
        assert!(has_anomaly(&outcome, anomaly), "{anomaly}: {:?}", outcome.only().anomalies);
    }
}

#[test]
fn a_message_inside_another_is_a_fragmentation_error() {
    let mut conn = busy();
    conn.client_sends(&Frame::new(Client, 1, b"a").unfinished().bytes())
        .client_sends(&wire::text(Client, "b"));
    conn.server_sends(&wire::close(Server, 1002, ""));
    both_fins(&mut conn, Server);
    assert!(has_anomaly(&check(&conn, "coded:1002 by server"), "fragmentation_error"));
}

#[test]
fn compressed_messages_are_no_violation_once_the_extension_is_agreed_on() {
    let mut conn = crate::support::conversation::Conversation::connected();
    let header = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    conn.client_sends(&wire::request_with("/ws", header))
        .server_sends(&wire::response_with(header))
        .client_acks();
    conn.client_sends(&Frame { rsv: 0b100, ..Frame::new(Client, 1, b"\xaaV*") }.bytes());
    conn.server_sends(&wire::close(Server, 1000, ""));
    both_fins(&mut conn, Server);
    assert_eq!(check(&conn, "coded:1000 by server").only().anomalies, [""; 0]);
}

#[test]
fn a_length_with_its_top_bit_set_ends_nothing_but_that_direction() {
    let mut conn = busy();
    conn.server_sends(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).client_acks();
    conn.client_sends(&wire::close(Client, 1002, ""));
    both_fins(&mut conn, Client);
    assert!(has_anomaly(&check(&conn, "coded:1002 by client"), "non_minimal_length"));
}

/// Headers that no sound sender writes, each with a payload longer than what follows.
fn nonsense_headers() -> Vec<Vec<u8>> {
    vec![
        vec![0xf2, 126, 0xff, 0xff],                      // reserved bits
        vec![0x83, 126, 0x40, 0x00],                      // reserved opcode
        vec![0x8b, 126, 0x40, 0x00],                      // reserved control opcode, and too long
        vec![0x89, 126, 0x40, 0x00],                      // a Ping of 16 KB
        vec![0x88, 126, 0x40, 0x00],                      // a Close of 16 KB
        vec![0x82, 127, 0, 0, 0, 0, 0, 0, 1, 0],          // a length longer than it need be
        vec![0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0],          // a terabyte
        vec![0x82, 127, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0], // more than 2^63
    ]
}

#[test]
fn a_close_may_stand_in_a_frame_of_nonsense_that_never_ends() {
    for header in nonsense_headers() {
        for cut in 0..=header.len() {
            let mut conn = busy();
            let bytes = [header.clone(), wire::text(Server, "x"), wire::close(Server, 1001, "")].concat();
            conn.sends_cut(Server, &bytes, if cut == 0 { &[] } else { std::slice::from_ref(&cut) })
                .client_acks();
            both_fins(&mut conn, Server);
            let outcome = check(&conn, "unknown:unknown by unknown");
            assert_eq!(outcome.only().verdict.blind.as_deref(), Some("desynchronized"), "{header:?}");
        }
    }
}

#[test]
fn a_close_of_the_other_side_stands_against_a_frame_of_nonsense() {
    for header in nonsense_headers() {
        let mut conn = busy();
        conn.server_sends(&header).client_acks();
        conn.client_sends(&wire::close(Client, 1002, ""));
        both_fins(&mut conn, Client);
        check(&conn, "coded:1002 by client");
    }
}

#[test]
fn a_frame_of_nonsense_that_ends_hides_no_close() {
    let frames = [
        Frame { rsv: 0b111, ..Frame::new(Server, 2, b"x") },
        Frame::new(Server, 3, b"reserved"),
        Frame::new(Server, 9, &[b'x'; 300]),
        Frame { length_form: LengthForm::SixtyFour, ..Frame::new(Server, 2, b"x") },
    ];
    for frame in frames {
        let mut conn = busy();
        conn.server_sends(&frame.bytes()).client_acks();
        both_fins(&mut conn, Server);
        check(&conn, "abnormal:1006:fin by server");
    }
}

#[test]
fn a_frame_that_the_end_cuts_short_hides_no_close() {
    let message = wire::binary(Server, &[7; 1_000]);
    let mut conn = busy();
    conn.server_sends(&message[..400]).client_acks();
    both_fins(&mut conn, Server);
    check(&conn, "abnormal:1006:fin by server");
    let mut conn = busy();
    conn.server_sends(&message[..400]).client_acks();
    check(conn.rst(Server), "abnormal:1006:rst by server");
}

#[test]
fn a_close_whose_last_byte_was_never_sent_is_no_close() {
    let close = wire::close(Server, 1001, "bye");
    for sent in 1..close.len() {
        let mut conn = busy();
        conn.server_sends(&close[..sent]).client_acks();
        both_fins(&mut conn, Server);
        check(&conn, "abnormal:1006:fin by server");
    }
}

#[test]
fn a_hole_inside_a_payload_of_known_length_keeps_the_place() {
    let message = wire::binary(Server, &[7; 3_000]);
    let mut conn = busy();
    conn.server_sends(&message[..1_000]);
    conn.next_not_captured().server_sends(&message[1_000..2_000]);
    conn.server_sends(&message[2_000..]).client_acks();
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "abnormal:1006:fin by server");
    assert!(has_anomaly(&outcome, "tcp_gap"));
    assert!(!has_anomaly(&outcome, "framing_resynchronized"));
}

#[test]
fn a_hole_that_ends_exactly_with_the_payload_keeps_the_place() {
    let message = wire::binary(Server, &[7; 2_000]);
    let mut conn = busy();
    conn.server_sends(&message[..1_000]);
    conn.next_not_captured().server_sends(&message[1_000..]);
    conn.client_acks().server_sends(&wire::close(Server, 1001, "")).client_acks();
    both_fins(&mut conn, Server);
    check(&conn, "coded:1001 by server");
}

#[test]
fn a_hole_that_may_hold_a_close_makes_the_end_unknown() {
    for side in [Client, Server] {
        let mut conn = busy();
        conn.next_not_captured().sends(side, &wire::close(side, 1001, "")).acks(side.other());
        both_fins(&mut conn, side);
        let outcome = check(&conn, "unknown:unknown by unknown");
        assert_eq!(outcome.only().verdict.blind.as_deref(), Some("gap"));
    }
}

#[test]
fn data_behind_a_hole_shows_that_no_close_stood_in_it() {
    // RFC 6455 §5.5.1: after its Close a side sends no more data.
    let mut conn = busy();
    conn.next_not_captured().server_sends(&wire::text(Server, "lost by the capture"));
    conn.server_sends(&wire::text(Server, "seen")).client_acks();
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "abnormal:1006:fin by server");
    assert!(has_anomaly(&outcome, "framing_resynchronized"));
}

#[test]
fn a_close_behind_a_hole_is_found_at_a_segment_start() {
    for side in [Client, Server] {
        let mut conn = busy();
        conn.next_not_captured().sends(side, &wire::text(side, "lost by the capture"));
        conn.sends(side, &wire::close(side, 4000, "found")).acks(side.other());
        both_fins(&mut conn, side);
        check(&conn, &format!("coded:4000 by {}", side.name()));
    }
}

#[test]
fn a_hole_in_a_close_body_keeps_the_close_and_admits_that_its_code_is_missing() {
    let close = wire::close(Server, 1001, "going away");
    let mut conn = busy();
    conn.server_sends(&close[..2]);
    conn.next_not_captured().server_sends(&close[2..6]);
    conn.server_sends(&close[6..]).client_acks();
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "unknown:unknown by server");
    assert_eq!(outcome.only().close.server.as_ref().unwrap().body, "missing");
}

#[test]
fn a_reset_with_a_hole_before_it_is_unknown() {
    let mut conn = busy();
    conn.next_not_captured().server_sends(&wire::text(Server, "or was it a Close?")).rst(Server);
    let outcome = check(&conn, "unknown:unknown by unknown");
    assert_eq!(outcome.only().verdict.blind.as_deref(), Some("gap"));
}

#[test]
fn packets_cut_inside_payloads_leave_the_verdict() {
    let mut conn = busy();
    conn.server_sends(&wire::binary(Server, &[1; 1_200])).client_acks();
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    both_fins(&mut conn, Server);
    let raw = crate::support::packaging::Packaging::default().apply(&conn.packets());
    let cut = crate::support::capture_file::with_snaplen(&raw, 400);
    let outcome = crate::support::run::analyze_raw(&cut);
    assert_eq!(crate::support::run::Answer::of(outcome.only()).to_string(), "coded:1001 by server");
    assert!(outcome.count(wsclose::anomaly::Anomaly::PacketTruncated) > 0);
}

#[test]
fn bytes_sent_again_with_other_content_make_the_end_unknown() {
    // Which of the two the server's TCP took, the message or the Close, can't be told.
    let mut conn = busy();
    let first = wire::ping(Client, b"a");
    conn.next_lost_unseen().client_sends(&first).client_sends(&wire::text(Client, "12"));
    let held = conn.packets().last().unwrap().clone();
    conn.forges(Client, ACK | PSH, |again| {
        again.seq = held.seq;
        again.payload = wire::close(Client, 1000, "");
    });
    conn.forges(Client, ACK | PSH, |late| {
        late.seq = held.seq.wrapping_sub(u32::try_from(first.len()).unwrap());
        late.payload = first.clone();
    });
    conn.server_acks();
    both_fins(&mut conn, Client);
    let outcome = check(&conn, "unknown:unknown by unknown");
    assert_eq!(outcome.only().verdict.blind.as_deref(), Some("desynchronized"));
}
