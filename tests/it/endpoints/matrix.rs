//! The rows of the matrix, by number: order of events, client's code, server's code.

use super::*;

/// What the library at `side` says instead.
fn reported(conn: &Conversation, side: Side) -> Option<u16> {
    record(conn).reported[side].as_ref()?.code.map(|code| code.0)
}

#[test]
fn row_01_server_closes_and_client_answers() {
    assert_eq!(told(&closed_by(Server, 1001, 1000)), (certain(1001), certain(1000)));
}

#[test]
fn row_02_client_closes_and_server_answers() {
    assert_eq!(told(&closed_by(Client, 4001, 4001)), (certain(4001), certain(4001)));
}

#[test]
fn row_03_crossed_closes() {
    let mut conn = Conversation::opened();
    conn.next_lost().server_sends(&close(Server, 1012)).client_sends(&close(Client, 1000));
    conn.retransmits(Server).client_acks().server_acks().fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1012), certain(1000)));
}

#[test]
fn row_04_empty_closes() {
    let mut conn = Conversation::opened();
    conn.server_sends(&wire::close_empty(Server)).client_sends(&wire::close_empty(Client));
    conn.fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1005), certain(1005)));
}

#[test]
fn row_05_server_s_close_is_not_answered() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 1001)).client_acks().fin(Client).fin(Server).acks(Client);
    assert_eq!(told(&conn), (certain(1001), certain(1006)));
}

#[test]
fn row_06_client_s_socket_is_gone_after_it_had_the_close() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 1001)).client_acks().fin(Server).bare_rst(Client);
    assert_eq!(told(&conn), (likely(1001), certain(1006)));
}

#[test]
fn row_07_reset_behind_an_acknowledged_close() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 1001)).client_acks().rst(Server);
    assert_eq!(told(&conn), (likely(1001), certain(1006)));
}

#[test]
fn row_08_reset_behind_an_unacknowledged_close_captured_at_its_sender() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 1001)).rst(Server);
    let record = seen_at(&conn, Vantage::Server);
    assert_eq!((said(&record, Client), said(&record, Server)), (either(1001, 1006), certain(1006)));
}

#[test]
fn row_09_server_drops_tcp_instead_of_answering() {
    let mut conn = Conversation::opened();
    conn.client_sends(&close(Client, 4001)).fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1006), certain(4001)));
}

#[test]
fn row_10_browser_leaves_and_its_socket_is_gone() {
    let mut conn = Conversation::opened();
    conn.client_sends(&close(Client, 1001)).fin(Client);
    conn.server_sends(&close(Server, 1001)).bare_rst(Client);
    assert_eq!(said(&record(&conn), Server), certain(1001));
    assert_eq!(said(&record(&conn), Client).0, Some(1006));
}

#[test]
fn row_11_browser_aborts_behind_its_close() {
    let mut conn = Conversation::opened();
    conn.client_sends(&close(Client, 1001)).server_acks().rst(Client);
    assert_eq!(told(&conn), (certain(1006), likely(1001)));
    let mut unproved = Conversation::opened();
    unproved.client_sends(&close(Client, 1001)).rst(Client);
    assert_eq!(said(&record(&unproved), Server), either(1001, 1006));
}

#[test]
fn row_12_server_drops_tcp_without_a_close() {
    let mut conn = Conversation::opened();
    conn.fin(Server).fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1006), certain(1006)));
}

#[test]
fn row_13_reset_by_either() {
    for side in Side::BOTH {
        let mut conn = Conversation::opened();
        conn.rst(side);
        assert_eq!(told(&conn), (certain(1006), certain(1006)));
    }
}

#[test]
fn row_14_server_fails_the_connection_and_client_does_not_answer() {
    let mut conn = Conversation::opened();
    conn.server_sends(&close(Server, 1002)).fin(Server).client_acks().fin(Client).acks(Server);
    assert_eq!(told(&conn), (certain(1002), certain(1006)));
}

#[test]
fn row_15_browser_fails_the_connection() {
    let mut conn = Conversation::opened();
    conn.client_sends(&close(Client, 1002)).fin(Client).server_acks().fin(Server).acks(Client);
    assert_eq!(told(&conn), (certain(1006), certain(1002)));
}

#[test]
fn row_16_keepalive_close_to_a_dead_client() {
    let mut conn = Conversation::opened();
    conn.next_lost().server_sends(&wire::ping(Server, b"x")).wait(seconds(20));
    conn.next_lost().server_sends(&wire::close(Server, 1011, "keepalive ping timeout"));
    for _ in 0..4 {
        conn.wait(seconds(2)).next_lost().retransmits(Server);
    }
    conn.next_lost().rst(Server);
    let (client, server) = told(&conn);
    assert_eq!(client, likely(1006));
    assert_eq!(server.0, Some(1006));
}

#[test]
fn row_17_middlebox_resets_both_ends() {
    let mut conn = Conversation::opened();
    conn.rst(Server).wait(Duration::ZERO).rst(Client);
    assert_eq!(told(&conn), (certain(1006), certain(1006)));
}

#[test]
fn row_18_path_drops_silently() {
    let mut conn = Conversation::opened();
    conn.next_lost().client_sends(&wire::text(Client, "hello"));
    for _ in 0..4 {
        conn.wait(seconds(2)).next_lost().retransmits(Client);
    }
    assert_eq!(told(&conn), (likely(1006), likely(1006)));
}

#[test]
fn row_19_client_s_close_is_never_answered() {
    let mut conn = Conversation::opened();
    conn.client_sends(&close(Client, 1000)).server_acks().wait(seconds(60));
    conn.fin(Client).fin(Server).acks(Client);
    assert_eq!(told(&conn), (certain(1006), certain(1000)));
}

#[test]
fn row_20_handshake_refused() {
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request("/ws")).server_acks().rst(Server);
    assert_eq!(told(&conn), (certain(1006), UNKNOWN));
}

#[test]
fn row_21_reserved_code_on_the_wire() {
    let rejected = closed_by(Server, 1006, 1002);
    assert_eq!(told(&rejected), (likely(1006), certain(1002)));
    let echoed = closed_by(Server, 1005, 1005);
    assert_eq!(said(&record(&echoed), Client), likely(1005));
}

#[test]
fn row_22_uwebsockets_takes_3001_for_invalid() {
    let mut conn = opened_between("", "uWebSockets: 20\r\n");
    conn.client_sends(&close(Client, 3001)).sends_and_fin(Server, &wire::close_empty(Server));
    conn.fin(Client).acks(Server);
    assert_eq!(said(&record(&conn), Client), certain(1005));
    assert_eq!(said(&record(&conn), Server), certain(3001));
    assert_eq!(reported(&conn, Server), Some(1006));
}

#[test]
fn row_22_near_miss_uwebsockets_accepts_4001() {
    let mut conn = opened_between("", "uWebSockets: 20\r\n");
    conn.client_sends(&close(Client, 4001)).sends_and_fin(Server, &close(Server, 4001));
    conn.fin(Client).acks(Server);
    assert_eq!(reported(&conn, Server), None);
}

#[test]
fn uvicorn_without_an_extension_is_ambiguous_between_its_backends() {
    let mut conn = opened_between("", "server: uvicorn\r\n");
    conn.fin(Client).fin(Server).acks(Client);
    let reported = record(&conn).reported.server.expect("uvicorn is recognised");
    assert_eq!(reported.certainty, Ambiguous);
    assert_eq!((reported.code.map(|c| c.0), reported.alternative.map(|c| c.0)), (Some(1005), Some(1006)));
}

#[test]
fn aiohttp_server_that_shuts_down_says_1000() {
    let mut conn = opened_between("", "Server: Python/3.11 aiohttp/3.14.5\r\n");
    conn.server_sends(&close(Server, 1001)).fin(Server).client_sends(&close(Client, 1001)).bare_rst(Server);
    let record = record(&conn);
    assert_eq!(said(&record, Client), certain(1001));
    assert_eq!(record.reported.server.and_then(|said| said.code).map(|code| code.0), Some(1000));
}

/// As an aiohttp server: its Close, then its FIN `pause` ms later; the client sends no Close.
fn aiohttp_server_leaves_after(pause: u64) -> Option<u16> {
    let mut conn = opened_between("", "Server: Python/3.11 aiohttp/3.14.5\r\n");
    conn.server_sends(&close(Server, 1001)).client_acks().wait(Duration::from_millis(pause));
    conn.fin(Server).fin(Client).acks(Server);
    reported(&conn, Server)
}

#[test]
fn aiohttp_server_that_leaves_at_once_says_1000_though_nobody_answers() {
    assert_eq!(aiohttp_server_leaves_after(1), Some(1000));
}

#[test]
fn aiohttp_server_that_waited_for_an_answer_in_vain_is_told_1006() {
    assert_eq!(aiohttp_server_leaves_after(1_000), None);
}
