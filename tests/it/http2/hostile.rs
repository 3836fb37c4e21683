//! What an attacker may write: the caps hold, and the connection's own WebSockets keep their verdicts.

use super::{check, has, on};
use crate::support::http2_wire::{self as h2, END_HEADERS, END_STREAM, frame, opened};
use crate::support::run;
use wsclose::analyzer::Options;
use wsclose::limits::Limits;
use wsclose::side::Side::{Client, Server};

#[test]
fn a_flood_of_continuations_costs_the_table_and_nothing_else() {
    let mut conn = opened(&[1]);
    conn.client_sends(&frame(h2::HEADERS, END_STREAM, 3, &[0x82]));
    for _ in 0..2_000 {
        conn.client_sends(&frame(h2::CONTINUATION, 0, 3, &[0x82; 100]));
    }
    conn.client_sends(&frame(h2::CONTINUATION, END_HEADERS, 3, &[])).server_acks();
    conn.server_sends(&h2::close(Server, 1, 1001)).client_acks();
    let outcome = check(&conn, &[(1, "coded:1001 by server")]);
    assert!(has(outcome.only(), "http2_headers_too_long"));
}

#[test]
fn other_frames_inside_a_header_block_are_an_anomaly() {
    let mut conn = opened(&[1]);
    conn.client_sends(&frame(h2::HEADERS, 0, 3, &[0x82]))
        .client_sends(&h2::close(Client, 1, 1000))
        .server_acks();
    let outcome = check(&conn, &[(1, "coded:1000 by client")]);
    assert!(has(outcome.only(), "http2_frame_malformed"));
}

#[test]
fn the_largest_stream_ids_are_streams_like_others() {
    let last = 0x7fff_ffff;
    let mut conn = opened(&[1]);
    conn.client_sends(&h2::connect(last, "/last")).server_sends(&h2::answer(last, 200));
    conn.client_sends(&h2::close(Client, last, 1000))
        .server_sends(&h2::close(Server, last, 1000))
        .client_acks();
    // A stream of the server's, one that was passed over, and the connection itself: none is a new request.
    for stream in [0, 2, 3] {
        conn.client_sends(&h2::connect(stream, "/none"));
    }
    conn.server_acks();
    check(&conn, &[(1, "open:open by -"), (last, "coded:1000 by client")]);
}

#[test]
fn a_million_streams_leave_nothing_behind() {
    let mut conn = opened(&[1]);
    let mut stream = 1;
    for _ in 0..1_000 {
        let mut requests = Vec::new();
        for _ in 0..1_000 {
            stream += 2;
            requests.extend(h2::get(stream));
        }
        conn.client_sends(&requests);
    }
    conn.server_acks().server_sends(&h2::close(Server, 1, 1001)).client_acks();
    check(&conn, &[(1, "coded:1001 by server")]);
}

#[test]
fn websockets_beyond_the_limit_are_counted_and_not_followed() {
    let streams: Vec<u32> = (0..12).map(|index| 2 * index + 1).collect();
    let options =
        Options { limits: Limits { http2_websockets: 10, ..Limits::default() }, ..Options::default() };
    let outcome = run::analyze_packets_with(&opened(&streams).packets(), options);
    assert_eq!(outcome.connections.len(), 10);
    assert!(has(on(&outcome, 1), "http2_websocket_limit"));
}

#[test]
fn ended_streams_are_reported_before_their_connection_ends() {
    let mut conn = opened(&[1]);
    for stream in (3..103).step_by(2) {
        conn.client_sends(&h2::connect(stream, "/again")).server_sends(&h2::answer(stream, 200));
        conn.client_sends(&h2::close(Client, stream, 1000)).server_sends(&h2::close(Server, stream, 1000));
        conn.server_sends(&h2::end(stream)).client_sends(&h2::end(stream)).server_acks();
        conn.wait(std::time::Duration::from_secs(1));
    }
    // With a limit of twenty at a time, no more are ever there than end within ten seconds.
    let options =
        Options { limits: Limits { http2_websockets: 20, ..Limits::default() }, ..Options::default() };
    let outcome = run::analyze_packets_with(&conn.packets(), options);
    assert_eq!(outcome.connections.len(), 51);
    assert!(!has(on(&outcome, 1), "http2_websocket_limit"));
}
