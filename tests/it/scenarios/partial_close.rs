//! Close frames of which the capture has a part, and frames found again that may be none.

use super::{both_fins, busy, check};
use crate::support::wire;
use std::time::Duration;
use wsclose::side::Side::{self, Client, Server};

#[test]
fn a_close_whose_end_never_came_is_one_unless_its_sender_ended_within_it() {
    for by in Side::BOTH {
        let close = wire::close(by, 1001, "bye");
        let begun = &close[..close.len() - 3];
        // Its reset drops what is still to be sent, but may come behind it as well.
        check(busy().sends(by, begun).rst(by.other()), &format!("coded:1001 by {}", by.name()));
        let mut conn = busy();
        conn.sends(by, begun).acks(by.other());
        both_fins(&mut conn, by);
        check(&conn, &format!("abnormal:1006:fin by {}", by.name()));
    }
}

#[test]
fn a_close_in_vain_of_which_only_the_first_byte_was_sent_leaves_the_end_unknown() {
    for by in Side::BOTH {
        let mut conn = busy();
        conn.sends(by, &wire::close_empty(by)[..1]);
        for seconds in [1, 2, 4] {
            conn.wait(Duration::from_secs(seconds)).retransmits(by);
        }
        check(&conn, "unknown:unknown by unknown");
    }
}

#[test]
fn a_close_is_as_old_as_its_first_byte() {
    // The client began before the server's Close came, and ended behind it: they crossed.
    let close = wire::close(Client, 1000, "");
    let mut conn = busy();
    conn.sends(Client, &close[..7]);
    conn.sends(Server, &wire::close(Server, 1001, "")).sends(Client, &close[7..]);
    both_fins(&mut conn, Server);
    check(&conn, "coded:1001 by both");
}

#[test]
fn a_close_whose_tail_the_capture_lacks_stands_in_the_packet_that_has_its_code() {
    let close = wire::close(Server, 1001, "maintenance");
    let mut conn = busy();
    conn.sends(Server, &close[..6]).next_not_captured().sends(Server, &close[6..]);
    conn.wait(Duration::from_millis(5)).client_sends(&wire::close(Client, 1001, ""));
    let with_code = conn.packets().len() - 1;
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "coded:1001 by server");
    let close = outcome.only().close.server.as_ref().unwrap();
    assert_eq!((close.packet as usize, close.code), (with_code, Some(1001)));
}

#[test]
fn a_frame_found_again_that_never_ends_may_have_hidden_a_close() {
    // Behind the hole the payload looks like two frames, of which the second swallows all that follows.
    let inner = [wire::text(Server, "hi"), wire::binary(Server, &[7; 3_000])].concat();
    let message = wire::binary(Server, &[&[0; 100], &inner[..1_000]].concat());
    let mut conn = busy();
    conn.next_not_captured().sends(Server, &message[..104]).acks(Client);
    conn.sends(Server, &message[104..]).acks(Client);
    conn.sends(Server, &wire::close(Server, 1001, "")).acks(Client);
    both_fins(&mut conn, Server);
    let outcome = check(&conn, "unknown:unknown by unknown");
    assert_eq!(outcome.only().verdict.blind.as_deref(), Some("desynchronized"));
}
