//! The rules, by number.

use super::*;

#[test]
fn rule_1_a_refused_handshake_is_1006_to_the_client_and_nothing_to_the_server() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws")).server_acks();
    conn.server_sends(&wire::refusal(403, "Forbidden")).fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1006), UNKNOWN));
}

#[test]
fn rule_2_an_answered_close_was_delivered() {
    assert_eq!(told(&closed_by(Server, 1001, 1001)), (certain(1001), certain(1001)));
}

#[test]
fn rule_2_an_acknowledged_close_was_delivered_if_its_receiver_then_closed_in_order() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 4000)).client_acks().fin(Client).fin(Server).acks(Client);
    assert_eq!(said(&record(&conn), Client), certain(4000));
}

#[test]
fn rule_2_a_close_that_was_only_acknowledged_was_likely_delivered() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 4000)).client_acks();
    assert_eq!(said(&record(&conn), Client), likely(4000));
}

#[test]
fn rule_3_an_empty_close_is_1005() {
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::close_empty(Client)).server_sends(&wire::close_empty(Server));
    conn.fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1005), certain(1005)));
}

#[test]
fn rule_3_a_close_of_one_byte_is_rejected() {
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::close_body(Client, &[3])).server_sends(&close(Server, 1002));
    conn.fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1002), likely(1006)));
}

#[test]
fn rule_3_a_reason_that_is_not_utf_8_is_rejected() {
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::close_body(Client, &[0x03, 0xe8, 0xff])).server_sends(&close(Server, 1007));
    conn.fin(Server).fin(Client).acks(Server);
    assert_eq!(said(&record(&conn), Server), likely(1006));
}

#[test]
fn rule_3_a_close_of_one_who_broke_the_protocol_may_have_been_dropped_in_silence() {
    use crate::support::wire::Frame;
    let unmasked = Frame { mask: None, ..Frame::new(Client, 8, &[0x03, 0xe8]) };
    for broken in [unmasked.bytes(), [Frame::new(Client, 11, b"x").bytes(), close(Client, 1000)].concat()] {
        let mut conn = Conversation::opened();
        conn.client_sends(&broken).server_acks().fin(Server).client_acks().fin(Client).server_acks();
        assert_eq!(said(&record(&conn), Server), either(1000, 1006));
        // An answer shows that it was taken.
        let mut conn = Conversation::opened();
        conn.client_sends(&broken).server_sends(&close(Server, 1000)).fin(Server).fin(Client).acks(Server);
        assert_eq!(said(&record(&conn), Server), certain(1000));
    }
}

#[test]
fn rule_4_the_first_close_wins() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 4001)).server_sends(&close(Server, 4002));
    conn.client_sends(&close(Client, 4001)).fin(Server).fin(Client).acks(Server);
    assert_eq!(said(&record(&conn), Client), certain(4001));
}

#[test]
fn rule_5_an_own_close_never_sets_the_own_code() {
    let mut conn = Conversation::opened();
    conn.client_sends(&close(Client, 4001)).server_acks().fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1006), certain(4001)));
}

#[test]
fn rule_6_an_end_without_a_close_is_1006_on_both_sides() {
    let mut conn = Conversation::opened();
    conn.fin(Client).fin(Server).acks(Client);
    assert_eq!(told(&conn), (certain(1006), certain(1006)));
}

#[test]
fn rule_6_an_end_that_has_only_closed_its_own_half_may_still_be_told() {
    let half_closed = |own: &[u8]| {
        let mut conn = Conversation::opened();
        conn.server_sends(own).client_acks().fin(Server).client_acks();
        conn
    };
    for own in [wire::text(Server, "bye"), close(Server, 1001)] {
        assert_eq!(said(&record(&half_closed(&own)), Server), likely(1006));
        let mut conn = half_closed(&own);
        assert_eq!(said(&record(conn.fin(Client).server_acks()), Server), certain(1006));
        let mut conn = half_closed(&own);
        assert_eq!(said(&record(conn.rst(Client)), Server), certain(1006));
        let mut conn = half_closed(&own);
        assert_eq!(
            said(&record(conn.client_sends(&wire::text(Client, "rest")).rst(Server)), Server),
            certain(1006)
        );
        let mut conn = half_closed(&own);
        assert_eq!(
            said(&record(conn.client_sends(&close(Client, 1002)).server_acks()), Server),
            likely(1002)
        );
    }
}

#[test]
fn rule_7_crossed_closes_swap_their_codes() {
    let mut conn = Conversation::opened();
    conn.next_lost().client_sends(&close(Client, 4001)).server_sends(&close(Server, 1001));
    conn.retransmits(Client).server_acks().client_acks().fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1001), certain(4001)));
}

#[test]
fn rule_8_an_end_that_fails_the_connection_is_told_1006() {
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::Frame::new(Client, 3, b"x").bytes())
        .server_sends(&close(Server, 1002))
        .fin(Server);
    conn.client_sends(&close(Client, 1002)).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1002), likely(1006)));
}

#[test]
fn rule_8_an_end_whose_last_bytes_the_capture_lacks_may_have_failed_the_connection() {
    let ending = |seen: bool| {
        let mut conn = Conversation::opened();
        if !seen {
            conn.next_not_captured();
        }
        conn.client_sends(&wire::text(Client, "hi")).server_sends(&close(Server, 1002));
        conn.client_acks().fin(Client).fin(Server).acks(Client);
        said(&record(&conn), Client)
    };
    assert_eq!((ending(true), ending(false)), (certain(1002), likely(1002)));
}

#[test]
fn rule_8_an_answer_that_came_after_the_failing_end_had_left_is_not_read() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 1009));
    conn.next_lost().fin(Server);
    conn.next_lost().client_sends(&close(Client, 1009)).retransmits(Server);
    conn.retransmits(Client).server_acks().fin(Client).acks(Server);
    assert_eq!(said(&record(&conn), Server), likely(1006));
}

#[test]
fn rule_8_an_end_that_closes_with_1008_and_waits_is_told_the_answer() {
    assert_eq!(told(&closed_by(Server, 1008, 1008)), (certain(1008), certain(1008)));
}

#[test]
fn rule_8_an_answer_to_1009_drawn_by_the_largest_message_may_not_have_been_read() {
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::binary(Client, &[7; 100])).server_acks();
    conn.server_sends(&close(Server, 1009)).client_sends(&close(Client, 1000));
    conn.fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1009), either(1006, 1000)));
}

#[test]
fn rule_8_an_application_s_1009_without_any_message_is_an_ordinary_close() {
    assert_eq!(said(&record(&closed_by(Server, 1009, 1000)), Server), certain(1000));
}

#[test]
fn rule_9_a_reset_after_a_delivered_close_does_not_change_the_code() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 4000)).client_acks().wait(seconds(1)).rst(Server);
    let record = record(&conn);
    assert_eq!(said(&record, Client), likely(4000));
    assert!(!record.endpoints.client.was_clean);
}

#[test]
fn rule_10_a_close_that_nothing_acknowledges_before_the_reset_is_ambiguous() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 4000)).rst(Server);
    assert_eq!(told(&conn), (either(4000, 1006), certain(1006)));
}

#[test]
fn rule_11_a_bare_reset_says_that_the_socket_was_gone() {
    let mut conn = Conversation::opened();
    conn.fin(Client).server_sends(&close(Server, 4000)).bare_rst(Client);
    assert_eq!(said(&record(&conn), Client), likely(1006));
}

#[test]
fn rule_11_an_abort_that_acknowledges_the_close_may_have_left_it_unread() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 4000)).rst(Client);
    assert_eq!(told(&conn), (either(1006, 4000), certain(1006)));
}

#[test]
fn rule_11_an_abort_behind_an_own_end_may_have_left_the_close_unread() {
    // Bytes unread when a socket is closed make TCP abort, also behind a FIN or a Close of its own (RFC 2525 §2.17).
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 4000)).client_acks().fin(Client).server_acks().rst(Client);
    assert_eq!(said(&record(&conn), Client), likely(4000));
    for (own, expected) in [(1011, likely(4000)), (4000, certain(4000))] {
        let mut conn = Conversation::opened();
        conn.server_sends(&close(Server, 4000)).client_sends(&close(Client, own)).fin(Server).rst(Client);
        assert_eq!(said(&record(&conn), Client), expected, "client sent {own}");
    }
}

#[test]
fn rule_2_a_close_of_another_code_long_afterwards_need_not_be_an_answer() {
    for (own, wait_ms, expected) in
        [(1011, 1_500, likely(4000)), (1011, 100, certain(4000)), (4000, 1_500, certain(4000))]
    {
        let mut conn = Conversation::opened();
        conn.server_sends(&close(Server, 4000)).client_acks().wait(Duration::from_millis(wait_ms));
        conn.client_sends(&close(Client, own)).fin(Client).fin(Server).client_acks();
        assert_eq!(said(&record(&conn), Client), expected, "{own} after {wait_ms} ms");
    }
}

#[test]
fn rule_11_a_half_closed_socket_that_acknowledges_the_close_was_not_gone() {
    let mut conn = Conversation::opened();
    conn.fin(Client).server_acks().server_sends(&close(Server, 4000)).client_acks().rst(Client);
    assert_eq!(said(&record(&conn), Client), either(1006, 4000));
}

#[test]
fn rule_11_a_reset_that_answers_what_the_capture_lacks_may_answer_a_close() {
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::text(Client, "hi")).server_acks();
    conn.next_not_captured().client_sends(&close(Client, 4000)).bare_rst(Server);
    assert_eq!(said(&record(&conn), Server), UNKNOWN);
}

#[test]
fn rule_12_what_was_captured_at_its_receiver_has_arrived() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 4000)).rst(Server);
    assert_eq!(said(&seen_at(&conn, Vantage::Client), Client), certain(4000));
    assert_eq!(said(&seen_at(&conn, Vantage::Server), Client), either(4000, 1006));
    assert_eq!(said(&seen_at(&conn, Vantage::Middle), Client), either(4000, 1006));
}

#[test]
fn rule_13_what_is_still_open_is_not_1006() {
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::text(Client, "hello")).server_acks();
    assert_eq!(told(&conn), (UNKNOWN, UNKNOWN));
}

#[test]
fn rule_14_silence_is_likely_1006() {
    let mut conn = Conversation::opened();
    conn.next_lost().server_sends(&wire::text(Server, "hello"));
    for _ in 0..4 {
        conn.wait(seconds(2)).next_lost().retransmits(Server);
    }
    assert_eq!(told(&conn), (likely(1006), likely(1006)));
}

#[test]
fn rule_15_a_client_behind_a_forwarding_proxy_is_not_judged_by_its_library() {
    let headers = "User-Agent: Python/3.11 aiohttp/3.14.5\r\n";
    let ending = |conn: &mut Conversation| {
        conn.server_sends(&wire::close_empty(Server)).client_sends(&close(Client, 1000));
        conn.fin(Server).fin(Client).acks(Server);
    };
    let mut direct = opened_between(headers, "");
    ending(&mut direct);
    assert!(record(&direct).reported.client.is_some());
    let mut leg = opened_between(&format!("{headers}X-Forwarded-For: 192.0.2.1\r\n"), "");
    ending(&mut leg);
    assert_eq!(record(&leg).reported.client, None);
}

#[test]
fn rule_16_a_browser_that_leaves_the_page_does_not_wait_for_the_answer() {
    let mut conn = Conversation::opened();
    conn.client_sends(&close(Client, 1001));
    conn.next_lost().fin(Client);
    conn.server_sends(&close(Server, 1001)).retransmits(Client).bare_rst(Client);
    assert_eq!(told(&conn), (likely(1006), certain(1001)));
}

#[test]
fn rule_17_only_two_delivered_closes_are_clean() {
    let clean = record(&closed_by(Client, 1000, 1000));
    assert!(clean.endpoints.client.was_clean && clean.endpoints.server.was_clean);
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 1000)).client_acks().fin(Client).fin(Server).acks(Client);
    assert!(!record(&conn).endpoints.client.was_clean);
}

#[test]
fn rule_18_the_reason_names_its_packets() {
    let record = record(&closed_by(Server, 1001, 1001));
    assert_eq!(
        record.endpoint(Client).why,
        "server sent Close 1001 in packet 8; client answered it in packet 9"
    );
}

#[test]
fn rule_19_a_recognised_library_is_quoted_beside_the_rfc() {
    let mut conn = opened_between("", "date: x\r\nserver: hypercorn-h11\r\n");
    conn.client_sends(&close(Client, 4001)).server_sends(&close(Server, 4001));
    conn.fin(Server).fin(Client).acks(Server);
    let record = record(&conn);
    assert_eq!(said(&record, Server), certain(4001));
    let reported = record.reported.server.expect("hypercorn says something else");
    assert_eq!((reported.code.map(|code| code.0), reported.certainty), (Some(1006), Likely));
    assert_eq!((reported.library, &*reported.recognised_by), ("hypercorn", "Server: hypercorn-h11"));
}

#[test]
fn rule_20_bytes_that_can_t_be_read_leave_the_code_unknown() {
    let mut conn = Conversation::opened();
    conn.next_not_captured().server_sends(&close(Server, 1001));
    conn.client_acks().fin(Server).fin(Client).acks(Server);
    assert_eq!(said(&record(&conn), Client), UNKNOWN);
}
