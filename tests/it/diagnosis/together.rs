//! Causes that only many connections together show.

use super::*;

/// The server's text, sent again and again in vain; each wait so many times the one before.
fn sends_in_vain(conn: &mut Conversation, growth: f64) -> &mut Conversation {
    conn.next_lost().server_sends(&wire::text(Side::Server, "are you there?"));
    let mut wait = 0.2;
    for _ in 0..5 {
        conn.wait(seconds(wait)).next_lost().retransmits(Side::Server);
        wait *= growth;
    }
    conn
}

/// Clients of these numbers, last heard of and then missed at these seconds.
fn silenced(times: &[(u16, f64, f64)]) -> Vec<Conversation> {
    let silence = |(number, heard, missed): &(u16, f64, f64)| {
        let mut conn = opened_at(*number, 0.0);
        talk(conn.wait(seconds(*heard)));
        sends_in_vain(conn.wait(seconds(missed - heard)), 2.0);
        conn
    };
    times.iter().map(silence).collect()
}

#[test]
fn clients_that_fall_silent_together_have_lost_one_path() {
    let outcome = analyze(&silenced(&[(1, 10.0, 20.0), (2, 14.0, 15.0), (3, 12.0, 30.0), (4, 13.0, 22.0)]));
    assert_eq!(outcome.findings.len(), 1, "one cause, not four riddles: {:?}", outcome.findings);
    let finding = outcome.finding("path-lost").expect("one path");
    assert_eq!((finding.count, &*finding.confidence), (4, "certain"));
    assert!(finding.text.contains("between 4 clients and 10.77.2.2"), "{}", finding.text);
}

#[test]
fn clients_that_fall_silent_one_after_the_other_share_nothing() {
    let outcome = analyze(&silenced(&[(1, 10.0, 20.0), (2, 30.0, 40.0), (3, 50.0, 60.0)]));
    assert_eq!(outcome.finding("path-lost"), None);
    assert_eq!(outcome.finding("tcp-timeout").map(|finding| finding.count), Some(3));
}

#[test]
fn a_path_on_which_as_many_live_on_was_not_lost() {
    let mut all = silenced(&[(1, 10.0, 20.0), (1, 14.0, 15.0), (1, 12.0, 30.0)]);
    for (number, conn) in (0_u16..).zip(&mut all) {
        *conn = same_client_at(40_000 + number, 0.0);
        sends_in_vain(talk(conn.wait(seconds(10.0))).wait(seconds(5.0)), 2.0);
    }
    assert!(analyze(&all).finding("path-lost").is_some());
    for port in 41_000..41_003 {
        let mut alive = same_client_at(port, 0.0);
        talk(alive.wait(seconds(60.0)));
        all.push(alive);
    }
    assert_eq!(analyze(&all).finding("path-lost"), None);
}

#[test]
fn back_off_is_claimed_only_where_waits_double() {
    let said = |growth| {
        let mut conn = opened_at(1, 0.0);
        sends_in_vain(&mut conn, growth);
        analyze(&[conn]).text("tcp-timeout").contains("as TCP backs off")
    };
    assert!(said(2.0));
    assert!(!said(1.0));
}

/// Three connections whose next packets meet resets: of a host that knows none of them, or of one that aborts.
fn reset_at_once(unknown: bool) -> Outcome {
    let conversations: Vec<_> = (1_u16..4)
        .map(|number| {
            let mut conn = opened_at(number, 0.0);
            talk(&mut conn).wait(seconds(20.0 + f64::from(number) * 0.05));
            if unknown {
                conn.client_sends(&wire::ping(Side::Client, b"p")).bare_rst(Side::Server);
            } else {
                conn.rst(Side::Server);
            }
            conn
        })
        .collect();
    analyze(&conversations)
}

#[test]
fn bare_resets_at_once_are_a_table_that_was_lost() {
    let outcome = reset_at_once(true);
    let finding = outcome.finding("state-lost").expect("a lost table");
    assert_eq!((finding.count, outcome.findings.len()), (3, 1), "{:?}", outcome.findings);
}

#[test]
fn aborts_at_once_are_a_process_that_ended() {
    let outcome = reset_at_once(false);
    assert_eq!(outcome.finding("state-lost"), None);
    assert_eq!(outcome.finding("many-at-once").map(|finding| finding.count), Some(3));
}

/// Three WebSockets through one proxy; both legs of each, ended so after these silences.
fn through_a_proxy(silences: [f64; 3], end: impl Fn(&mut Conversation, &mut Conversation)) -> Outcome {
    let mut all = Vec::new();
    for (number, silence) in (0_u16..).zip(silences) {
        let (mut front, mut back) = legs_of(number, f64::from(number));
        front.wait(seconds(silence));
        back.wait(seconds(silence));
        end(&mut front, &mut back);
        all.extend([front, back]);
    }
    analyze(&all)
}

#[test]
fn a_proxys_stop_is_one_event_on_both_of_its_sides() {
    let outcome = through_a_proxy([22.0, 21.0, 20.0], |front, back| {
        drop_by(front, Side::Server);
        drop_by(back, Side::Client);
    });
    let finding = outcome.finding("many-at-once").expect("one event");
    assert_eq!((finding.count, outcome.findings.len()), (6, 1), "{:?}", outcome.findings);
    assert!(finding.text.contains("their 3 other legs at the proxy"), "{}", finding.text);
}

#[test]
fn a_servers_death_behind_a_proxy_is_one_event() {
    let outcome = through_a_proxy([22.0, 21.0, 20.0], |front, back| {
        drop_by(back, Side::Server);
        drop_by(front.wait(seconds(0.05)), Side::Server);
    });
    let finding = outcome.finding("many-at-once").expect("one event");
    assert_eq!((finding.count, outcome.findings.len()), (6, 1), "{:?}", outcome.findings);
    assert!(finding.text.contains("open to 10.77.2.2:9001"), "the cause: {}", finding.text);
}

#[test]
fn a_proxys_idle_limit_is_one_limit_on_both_of_its_sides() {
    let outcome = through_a_proxy([4.5, 4.51, 4.5], |front, back| {
        drop_by(front, Side::Server);
        drop_by(back, Side::Client);
    });
    let finding = outcome.finding("idle-limit").expect("one limit");
    assert_eq!((finding.count, outcome.findings.len()), (6, 1), "{:?}", outcome.findings);
    let says = "6 connections at the proxy 10.77.1.1:8080 (3 to it, 3 from it) ended, by that proxy, each 4.50 s after";
    assert!(finding.text.starts_with(says), "{}", finding.text);
    assert!(finding.advice.ends_with(" at the proxy"), "{}", finding.advice);
}

#[test]
fn what_took_no_time_ended_within_1_ms() {
    let text = |outcome: Outcome| outcome.finding("many-at-once").expect("one event").text.clone();
    let ended = text(dropped_at([20.0; 4]));
    assert!(ended.contains("ended within 1 ms") || ended.contains("ended within 2 ms"), "{ended}");
    assert!(!ended.contains("under"), "{ended}");
}

#[test]
fn a_leg_whose_other_end_says_that_it_is_a_proxy_is_told_so() {
    let dropped_by = |side: Side, request: &str, answer: &str| {
        let mut conn = Conversation::connected();
        conn.client_sends(&wire::request_with("/ws", request)).server_acks();
        conn.server_sends(&wire::response_with(answer)).client_acks();
        drop_by(talk(&mut conn).wait(seconds(7.3)), side);
        let outcome = analyze(&[conn]);
        assert_eq!(closed_by(&outcome), [side.name()], "of this leg it is the end");
        outcome.text("no-close").to_owned()
    };
    let forwarded = "X-Forwarded-For: 192.0.2.7\r\n";
    assert!(dropped_by(Side::Client, forwarded, "").starts_with("client (a proxy"));
    assert!(dropped_by(Side::Server, "", "Server: nginx/1.22.1\r\n").starts_with("server (a proxy"));
    assert!(dropped_by(Side::Server, forwarded, "").starts_with("server closed"));
    assert!(dropped_by(Side::Client, "", "Server: nginx/1.22.1\r\n").starts_with("client closed"));
}
