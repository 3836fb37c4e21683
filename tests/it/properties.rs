//! Properties of any conversation: however its bytes are cut, ordered within the window, sent again or lost.

use crate::metamorphic::removal::{breaks_the_closing_rules, is_undecidable};
use crate::support::conversation::Conversation;
use crate::support::packet::{FIN, RST, SYN, TcpPacket};
use crate::support::rewrite;
use crate::support::rng::Rng;
use crate::support::run::{self, Answer};
use crate::support::wire::{self, Frame};
use proptest::prelude::*;
use wsclose::side::Side::{self, Client, Server};

/// One thing a side does.
#[derive(Clone, Debug)]
enum Act {
    Text(usize),
    Ping,
    Odd(u8, usize),
    Close(u16),
    EmptyClose,
    Acks,
    Fin,
    Reset,
}

fn acts() -> impl Strategy<Value = Vec<(bool, Act)>> {
    let act = prop_oneof![
        6 => (0_usize..400).prop_map(Act::Text),
        2 => Just(Act::Ping),
        1 => (0_u8..16, 0_usize..140).prop_map(|(opcode, len)| Act::Odd(opcode, len)),
        2 => prop_oneof![Just(1000_u16), Just(1001), Just(1011), Just(4321), 0_u16..5000].prop_map(Act::Close),
        1 => Just(Act::EmptyClose),
        4 => Just(Act::Acks),
        2 => Just(Act::Fin),
        1 => Just(Act::Reset),
    ];
    proptest::collection::vec((any::<bool>(), act), 0..14)
}

/// The conversation, as long as both may speak. What a side's TCP has ended, it does not go on with.
fn play(acts: &[(bool, Act)]) -> Conversation {
    let mut conn = Conversation::opened();
    let mut over = (false, false);
    for (is_client, act) in acts {
        let side = if *is_client { Client } else { Server };
        let ended = if side == Client { &mut over.0 } else { &mut over.1 };
        if *ended {
            conn.acks(side);
            continue;
        }
        match act {
            Act::Text(len) => conn.sends(side, &wire::text(side, &"x".repeat(*len))),
            Act::Ping => conn.sends(side, &wire::ping(side, b"?")),
            Act::Odd(opcode, len) => conn.sends(side, &Frame::new(side, *opcode, &vec![b'y'; *len]).bytes()),
            Act::Close(code) => conn.sends(side, &wire::close(side, *code, "")),
            Act::EmptyClose => conn.sends(side, &wire::close_empty(side)),
            Act::Acks => conn.acks(side),
            Act::Fin => {
                *ended = true;
                conn.fin(side)
            }
            Act::Reset => {
                conn.rst(side);
                break;
            }
        };
    }
    conn
}

/// What the report says but for packets and times: the answer, the traffic, the Closes.
fn record(packets: &[TcpPacket]) -> Vec<String> {
    let outcome = run::analyze_packets(packets);
    let one = |found: &wsclose::report::model::Connection<'_>| {
        let close = |side: Side| {
            let close = if side == Client { &found.close.client } else { &found.close.server };
            close.as_ref().map(|close| (close.code, close.reason.to_string(), close.body.to_string()))
        };
        let traffic = (&found.traffic.client, &found.traffic.server);
        format!("{} {:?} {:?} {traffic:?}", Answer::of(found), close(Client), close(Server))
    };
    outcome.connections.iter().map(one).collect()
}

/// Packets of one direction change places with one of the next few, within the window; those with a SYN, a FIN or a reset stay.
fn reorder_data(packets: &[TcpPacket], seed: u64) -> Vec<TcpPacket> {
    let mut rng = Rng::new(seed);
    let mut out = packets.to_vec();
    for index in 0..out.len().saturating_sub(1) {
        let (a, b) = (&out[index], &out[index + 1]);
        let is_data =
            |packet: &TcpPacket| !packet.payload.is_empty() && packet.flags & (SYN | FIN | RST) == 0;
        if is_data(a) && is_data(b) && a.direction() == b.direction() && rng.chance(500) {
            let (early, late) = (a.at_ns, b.at_ns);
            out.swap(index, index + 1);
            (out[index].at_ns, out[index + 1].at_ns) = (early, late);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn segments_order_and_copies_leave_the_record(acts in acts(), size in 1_usize..60, seed in any::<u64>()) {
        let packets = play(&acts).packets();
        let whole = record(&packets);
        let cut = rewrite::recut(&packets, size);
        prop_assert_eq!(&record(&cut), &whole, "cut into pieces of {}", size);
        prop_assert_eq!(&record(&reorder_data(&cut, seed)), &whole, "pieces in another order");
        prop_assert_eq!(&record(&rewrite::duplicate(&packets, 3_000, 0)), &whole, "each packet captured twice");
        prop_assert_eq!(&record(&rewrite::coalesce(&packets)), &whole, "coalesced");
    }

    #[test]
    fn lost_packets_never_make_a_1006_of_another_end(
        acts in acts(),
        lost in proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
    ) {
        let packets = play(&acts).packets();
        let whole = kinds(&packets);
        if whole.contains(&"abnormal".to_owned()) || breaks_the_closing_rules(&packets) {
            return Ok(());
        }
        let mut kept = packets.clone();
        for index in lost {
            kept.remove(index.index(kept.len()));
            let is_false = kinds(&kept).contains(&"abnormal".to_owned()) && !is_undecidable(&packets, &kept);
            prop_assert!(!is_false, "{:?} became a 1006", whole);
        }
    }
}

fn kinds(packets: &[TcpPacket]) -> Vec<String> {
    run::analyze_packets(packets).connections.iter().map(|found| found.verdict.kind.to_string()).collect()
}
