//! How a stream ends: by Close frames, by a frame of HTTP/2, or with its connection.

use super::{check, diagnoses, has, on};
use crate::support::conversation::Conversation;
use crate::support::http2_wire::{self as h2, CANCEL, INTERNAL_ERROR, NO_ERROR, opened};
use crate::support::run;
use crate::support::wire;
use std::time::Duration;
use wsclose::diagnosis::finding::{Confidence, Id};
use wsclose::side::Side::{self, Client, Server};

const OPEN: &str = "open:open by -";

#[test]
fn a_close_is_coded_by_its_sender_and_the_other_streams_go_on() {
    for by in Side::BOTH {
        let mut conn = opened(&[1, 3]);
        conn.sends(by, &h2::close(by, 1, 4001)).sends(by.other(), &h2::close(by.other(), 1, 4001));
        conn.sends(Server, &h2::end(1)).sends(Client, &h2::end(1)).acks(Server);
        let outcome = check(&conn, &[(1, &format!("coded:4001 by {by}")), (3, OPEN)]);
        let closed = on(&outcome, 1);
        assert!(closed.verdict.clean && closed.carrier == "h2");
        assert_eq!(closed.handshake.path.as_deref(), Some("/1"));
        assert_eq!(
            (closed.handshake.method.as_deref(), closed.handshake.status),
            (Some("CONNECT"), Some(200))
        );
        assert_eq!(closed.handshake.accept_valid, None, "HTTP/2 has no such header");
    }
}

#[test]
fn end_stream_without_close_is_fin() {
    for by in Side::BOTH {
        let mut conn = opened(&[1]);
        conn.sends(by, &h2::end(1)).sends(by.other(), &h2::end(1)).acks(by);
        let outcome = check(&conn, &[(1, &format!("abnormal:1006:fin by {by}"))]);
        assert_eq!(
            (outcome.only().teardown.kind.as_ref(), outcome.only().teardown.error.as_deref()),
            ("end_stream", None)
        );
    }
}

#[test]
fn rst_stream_without_close_is_rst_and_has_its_code_by_name() {
    for (by, code, name) in
        [(Client, CANCEL, "CANCEL"), (Server, INTERNAL_ERROR, "INTERNAL_ERROR"), (Server, 0x77, "error 0x77")]
    {
        let mut conn = opened(&[1, 3]);
        conn.sends(by, &h2::rst(1, code)).acks(by.other());
        let outcome = check(&conn, &[(1, &format!("abnormal:1006:rst by {by}")), (3, OPEN)]);
        let teardown = &on(&outcome, 1).teardown;
        assert_eq!((teardown.kind.as_ref(), teardown.error.as_deref()), ("rst_stream", Some(name)));
    }
}

#[test]
fn a_cancelled_stream_of_a_browser_is_told_as_a_page_that_was_left() {
    let mut conn = opened(&[1]);
    conn.client_sends(&h2::rst(1, CANCEL)).server_acks();
    let outcome = check(&conn, &[(1, "abnormal:1006:rst by client")]);
    let [diagnosis] = &diagnoses(&outcome)[..] else { panic!("{:?}", diagnoses(&outcome)) };
    assert_eq!((diagnosis.id, diagnosis.advice.as_deref()), (Id::StreamCancelled, None));
    assert!(
        diagnosis.text.contains("the server is told 1006, where over HTTP/1.1 it would have been told 1001")
    );
    let server = serde_json::to_value(&outcome.only().endpoints.server).unwrap();
    assert_eq!(server["code"], 1006);
}

#[test]
fn rst_stream_behind_both_closes_is_only_a_way_to_end() {
    let mut conn = opened(&[1]);
    conn.server_sends(&h2::close(Server, 1, 1001)).client_sends(&h2::close(Client, 1, 1001));
    conn.client_sends(&h2::rst(1, CANCEL)).server_acks();
    let outcome = check(&conn, &[(1, "coded:1001 by server")]);
    let ends = serde_json::to_value(&outcome.only().endpoints).unwrap();
    assert_eq!(
        (ends["client"]["was_clean"].as_bool(), ends["server"]["was_clean"].as_bool()),
        (Some(true), Some(true))
    );
}

#[test]
fn goaway_in_error_ends_every_stream() {
    let mut conn = opened(&[1, 3]);
    conn.server_sends(&h2::goaway(3, INTERNAL_ERROR)).client_acks().fin(Server).fin(Client).acks(Server);
    let outcome = check(&conn, &[(1, "abnormal:1006:fin by server"), (3, "abnormal:1006:fin by server")]);
    let teardown = &on(&outcome, 3).teardown;
    assert_eq!((teardown.kind.as_ref(), teardown.error.as_deref()), ("goaway", Some("INTERNAL_ERROR")));
}

#[test]
fn a_reset_that_answers_a_goaway_in_error_only_follows_from_it() {
    let mut conn = opened(&[1, 3]);
    conn.client_sends(&h2::rst(3, CANCEL)).server_sends(&h2::goaway(3, INTERNAL_ERROR));
    conn.client_sends(&h2::rst(1, INTERNAL_ERROR)).server_acks().fin(Server).fin(Client).acks(Server);
    let outcome = check(&conn, &[(1, "abnormal:1006:fin by server"), (3, "abnormal:1006:rst by client")]);
    let kind = |stream| on(&outcome, stream).teardown.kind.clone();
    assert_eq!((kind(1).as_ref(), kind(3).as_ref()), ("goaway", "rst_stream"));
}

#[test]
fn goaway_in_order_ends_only_streams_that_were_not_taken_up() {
    let mut conn = opened(&[1]);
    conn.client_sends(&h2::connect(3, "/3")).server_sends(&h2::goaway(1, NO_ERROR)).client_acks();
    conn.wait(Duration::from_secs(5));
    conn.client_sends(&h2::close(Client, 1, 1000)).server_sends(&h2::close(Server, 1, 1000)).client_acks();
    let outcome = check(&conn, &[(1, "coded:1000 by client"), (3, "refused:refused by server")]);
    assert_eq!(on(&outcome, 3).teardown.kind, "goaway");
}

#[test]
fn a_stream_that_goes_on_behind_a_goaway_was_not_ended_by_it() {
    let mut conn = opened(&[1]);
    conn.server_sends(&h2::goaway(1, INTERNAL_ERROR))
        .server_sends(&h2::data(1, &wire::text(Server, "still here")));
    conn.client_acks();
    check(&conn, &[(1, OPEN)]);
}

#[test]
fn a_stream_that_its_server_answers_behind_a_goaway_was_not_ended_by_it() {
    let mut conn = opened(&[1]);
    conn.client_sends(&h2::connect(3, "/3")).server_sends(&h2::goaway(1, NO_ERROR)).client_acks();
    conn.server_sends(&h2::answer(3, 200)).client_acks().client_sends(&h2::rst(3, 8)).server_acks();
    check(&conn, &[(1, OPEN), (3, "abnormal:1006:rst by client")]);
}

#[test]
fn the_end_of_tcp_ends_the_streams_that_are_open_and_no_others() {
    let mut conn = opened(&[1, 3, 5]);
    conn.client_sends(&h2::close(Client, 1, 1000)).server_sends(&h2::close(Server, 1, 1000));
    conn.client_sends(&h2::end(1)).server_sends(&h2::end(1));
    conn.server_sends(&h2::end(3)).client_sends(&h2::end(3)).server_acks();
    conn.wait(Duration::from_secs(1)).rst(Client);
    let outcome = check(
        &conn,
        &[
            (1, "coded:1000 by client"),
            (3, "abnormal:1006:fin by server"),
            (5, "abnormal:1006:rst by client"),
        ],
    );
    assert_eq!(on(&outcome, 5).teardown.kind, "rst");
    assert!(on(&outcome, 1).verdict.clean);
}

#[test]
fn a_dead_path_is_a_timeout_of_the_open_streams_only() {
    let mut conn = opened(&[1, 3]);
    conn.server_sends(&h2::end(1)).client_sends(&h2::end(1)).server_acks();
    conn.client_sends(&h2::data(3, &wire::text(Client, "anyone?")));
    for _ in 0..6 {
        conn.wait(Duration::from_secs(2)).retransmits(Client);
    }
    check(&conn, &[(1, "abnormal:1006:fin by server"), (3, "abnormal:1006:timeout by network")]);
}

#[test]
fn a_connection_that_dies_with_40_websockets_is_one_finding() {
    let streams: Vec<u32> = (0..40).map(|index| 2 * index + 1).collect();
    let mut conn = opened(&streams);
    conn.wait(Duration::from_secs(30)).fin(Server).fin(Client).acks(Server);
    let outcome = run::analyze_packets(&conn.packets());
    assert_eq!(outcome.connections.len(), 40);
    assert!(
        outcome.connections.iter().all(|found| found.verdict.label == "1006" && found.teardown.kind == "fin")
    );
    let findings = run::findings(&outcome);
    let told: Vec<_> = findings.iter().map(|finding| (finding.id.as_ref(), finding.count)).collect();
    assert_eq!(told, [("shared-connection-lost", 40)]);
}

#[test]
fn a_used_up_window_is_told_where_no_close_came() {
    let mut conn = opened(&[1]);
    let text = wire::text(Server, &"x".repeat(100));
    let rest = 65_535 - wire::text(Server, "hello").len();
    for _ in 0..rest / text.len() {
        conn.server_sends(&h2::data(1, &text));
    }
    conn.server_sends(&h2::data(1, &vec![0x82; rest % text.len()])).client_acks();
    conn.wait(Duration::from_secs(60)).rst(Server);
    let outcome = run::analyze_packets(&conn.packets());
    let is_told = |outcome| diagnoses(outcome).iter().any(|one| one.id == Id::FlowControlExhausted);
    assert!(is_told(&outcome), "{:?}", diagnoses(&outcome));
    // With a window that was enlarged there is nothing to tell.
    let mut conn2 = opened(&[1]);
    conn2.client_sends(&h2::window_update(1, 1 << 20)).client_sends(&h2::window_update(0, 1 << 20));
    for _ in 0..rest / text.len() + 1 {
        conn2.server_sends(&h2::data(1, &text));
    }
    conn2.client_acks().rst(Server);
    let outcome = run::analyze_packets(&conn2.packets());
    assert!(!is_told(&outcome));
}

#[test]
fn data_behind_the_senders_own_end_is_an_anomaly_and_changes_nothing() {
    for end in [h2::end(1), h2::rst(1, CANCEL)] {
        let mut conn = opened(&[1]);
        conn.server_sends(&end).server_sends(&h2::close(Server, 1, 1000)).client_acks();
        let cause = if end.len() == 9 { "fin" } else { "rst" };
        let outcome = check(&conn, &[(1, &format!("abnormal:1006:{cause} by server"))]);
        assert!(has(outcome.only(), "http2_data_after_end"));
    }
    // What was on its way when the other side ended the stream is no fault.
    let mut conn = opened(&[1]);
    conn.client_sends(&h2::rst(1, CANCEL))
        .server_sends(&h2::data(1, &wire::text(Server, "late")))
        .client_acks();
    let outcome = check(&conn, &[(1, "abnormal:1006:rst by client")]);
    assert!(!has(outcome.only(), "http2_data_after_end"));
    assert_eq!(run::findings(&outcome), []);
}

#[test]
fn data_behind_the_senders_own_end_is_a_finding_also_of_a_coded_end() {
    let end_and_more = |conn: &mut Conversation| {
        conn.server_sends(&h2::end(1)).server_sends(&h2::data(1, &wire::text(Server, "more"))).client_acks();
    };
    let mut abnormal = opened(&[1]);
    end_and_more(&mut abnormal);
    let mut coded = opened(&[1]);
    coded.client_sends(&h2::close(Client, 1, 1000)).server_sends(&h2::close(Server, 1, 1000)).client_acks();
    end_and_more(&mut coded);
    for (conn, answer) in [(abnormal, "abnormal:1006:fin by server"), (coded, "coded:1000 by client")] {
        let outcome = check(&conn, &[(1, answer)]);
        assert!(has(outcome.only(), "http2_data_after_end"));
        let [finding] = &run::findings(&outcome)[..] else { panic!("{:?}", run::findings(&outcome)) };
        assert_eq!((finding.id.as_ref(), finding.confidence.as_ref()), ("data-after-end", "certain"));
        let told: Vec<_> = finding.packets.iter().map(|at| at.packet).collect();
        let frames: Vec<_> = conn.packets().iter().map(|packet| packet.payload.clone()).collect();
        let place = |wanted: &[u8]| frames.iter().rposition(|bytes| bytes == wanted).unwrap() as u32 + 1;
        let data = h2::data(1, &wire::text(Server, "more"));
        assert_eq!(told, [place(&h2::end(1)), place(&data)]);
    }
}

#[test]
fn a_window_used_up_while_a_close_waits_is_an_anomaly_and_a_finding() {
    let stalled = |seconds: u64, granted: bool| {
        let mut conn = opened(&[1]);
        let text = wire::text(Server, &"x".repeat(1_000));
        let rest = 65_535 - wire::text(Server, "hello").len();
        for _ in 0..rest / text.len() {
            conn.server_sends(&h2::data(1, &text));
        }
        conn.server_sends(&h2::data(1, &text[..rest % text.len()])).client_acks();
        if granted {
            conn.client_sends(&h2::window_update(1, 1_000)).client_sends(&h2::window_update(0, 1_000));
        }
        // The client closes; the server may not answer.
        conn.client_sends(&h2::close(Client, 1, 1000)).server_acks().wait(Duration::from_secs(seconds));
        conn.server_sends(&h2::rst(1, INTERNAL_ERROR)).client_acks();
        check(&conn, &[(1, "coded:1000 by client")])
    };
    let outcome = stalled(60, false);
    assert!(has(outcome.only(), "http2_window_exhausted"));
    let findings = run::findings(&outcome);
    assert!(
        findings.iter().any(|one| one.id == "flow-control-exhausted" && one.confidence == "likely"),
        "{findings:?}"
    );
    // A moment is the time a WINDOW_UPDATE takes.
    let found = diagnoses(&stalled(1, false));
    let one = found.iter().find(|one| one.id == Id::FlowControlExhausted).unwrap();
    assert_eq!(one.confidence, Confidence::Possible);
    let outcome = stalled(60, true);
    assert!(!has(outcome.only(), "http2_window_exhausted"));
    assert!(run::findings(&outcome).iter().all(|one| one.id != "flow-control-exhausted"));
}

#[test]
fn a_close_that_a_reset_of_the_stream_met_is_told_in_the_stream_s_words() {
    let mut conn = opened(&[1, 3]);
    conn.server_sends(&h2::rst(1, INTERNAL_ERROR)).client_sends(&h2::close(Client, 1, 1000));
    let outcome = run::analyze_packets(&conn.packets());
    let why = &on(&outcome, 1).endpoints.server.why;
    let says =
        "; server aborted the stream by RST_STREAM (INTERNAL_ERROR) in packet 17 before it had received it";
    assert!(why.ends_with(says), "{why}");
}

#[test]
fn a_close_on_a_stream_that_did_not_end_says_that_the_stream_had_not() {
    let mut conn = opened(&[1]);
    conn.client_sends(&h2::close(Client, 1, 1000)).acks(Server);
    let why = run::analyze_packets(&conn.packets()).only().verdict.why.clone();
    assert!(why.ends_with("; the stream had not ended when the capture did"), "{why}");
}
