//! What live capture adds to the analysis: verdicts in time, losses told by the kernel, clocks that step.
//!
//! Interfaces and namespaces are for `tests/live`, which needs root.

use crate::scenarios::busy;
use crate::support::capture_file::Pcap;
use crate::support::conversation::Conversation;
use crate::support::http2_wire as h2;
use crate::support::http2_wire::opened;
use crate::support::packaging::Packaging;
use crate::support::packet::TcpPacket;
use crate::support::wire;
use std::io::Cursor;
use std::time::Duration;
use wsclose::analyzer::{Follower, Options, Settled, Settler, halves};
use wsclose::anomaly::Anomaly;
use wsclose::capture::file::FileSource;
use wsclose::capture::{Block, More, Source as _};
use wsclose::limits::Limits;
use wsclose::report::build::Context;
use wsclose::report::diagnosis::{Diagnoser, Finding};
use wsclose::side::Side::{Client, Server};
use wsclose::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

/// A live capture, packet by packet and second by second.
struct Live {
    follower: Follower,
    settler: Settler,
}

impl Live {
    fn new() -> Live {
        Self::with(Options { dead_after: Some(MINUTE), ..Options::default() })
    }

    fn with(options: Options) -> Live {
        let (follower, settler) = halves(options);
        Live { follower, settler }
    }

    /// Takes packets; gives the time of the last one.
    fn take(&mut self, packets: &[TcpPacket]) -> Timestamp {
        let file = Pcap { nanoseconds: true, ..Pcap::default() }.write(&Packaging::default().apply(packets));
        let reader = Box::new(Cursor::new(file));
        let mut source = FileSource::from_reader(reader, "live", 0, &Limits::default());
        let mut block = Block::default();
        loop {
            let more = source.read_block(&mut block).unwrap();
            self.follower.handle_block(&block);
            if more == More::No {
                break;
            }
        }
        packets.last().map(at).unwrap_or_default()
    }

    /// What has been settled by now, in words.
    fn told(&mut self) -> Vec<String> {
        while let Some(followed) = self.follower.poll() {
            self.settler.take(followed);
        }
        std::iter::from_fn(|| self.settler.poll()).map(|settled| in_words(&settled)).collect()
    }

    /// The time is told, as in silence; what has been settled by then.
    fn tick(&mut self, now: Timestamp) -> Vec<String> {
        self.follower.advance(now);
        self.settler.advance(self.follower.now());
        self.told()
    }

    /// At the end of the capture.
    fn rest(mut self) -> Vec<String> {
        self.follower.finish();
        let mut told = self.told();
        self.settler.finish();
        told.append(&mut self.told());
        told
    }
}

fn at(packet: &TcpPacket) -> Timestamp {
    Timestamp::from_nanos(i64::try_from(packet.at_ns).unwrap())
}

fn in_words(settled: &Settled) -> String {
    match settled {
        Settled::Final(record) => {
            format!("ended {}{}", label(record), if record.beside.is_some() { ", a leg" } else { "" })
        }
        Settled::Early(record) => format!("early {}", label(record)),
        Settled::Stands { .. } => "stands".to_owned(),
        Settled::Revised { .. } => "revised".to_owned(),
        Settled::Opened(_) => "opened".to_owned(),
        Settled::Closing(_) => "closing".to_owned(),
    }
}

fn label(record: &wsclose::analyzer::record::ConnectionRecord) -> String {
    let kind = record.verdict.kind;
    let stream = record.identity().stream.map(|id| format!(" stream {}", id.0)).unwrap_or_default();
    match kind {
        wsclose::verdict::verdict::Kind::Unknown(blind) => format!("unknown {}{stream}", blind.name()),
        _ => format!("{}{stream}", kind.label()),
    }
}

/// The same bytes sent four times in vain.
fn given_up() -> Conversation {
    let mut conn = busy();
    conn.next_lost().client_sends(&wire::text(Client, "anyone there?"));
    for doubling in 1..4 {
        conn.wait(Duration::from_millis(200 << doubling)).next_lost().retransmits(Client);
    }
    conn
}

#[test]
fn a_dead_peer_is_reported_in_silence_once_its_time_is_up() {
    let mut live = Live::new();
    let end = live.take(&given_up().packets());
    live.follower.advance(end.saturating_add(MINUTE / 2));
    assert_eq!(live.told(), [""; 0], "half the time is not the time");
    live.follower.advance(end.saturating_add(MINUTE));
    assert_eq!(live.told(), ["early 1006"]);
    live.follower.advance(end.saturating_add(MINUTE * 9));
    assert_eq!(live.told(), [""; 0], "once is enough");
    assert_eq!(live.rest(), ["stands"]);
}

/// A message into the void, on an HTTP/2 connection with two streams of which one has ended.
fn multiplexed_given_up() -> Conversation {
    let mut conn = opened(&[1, 3, 5]);
    conn.server_sends(&h2::end(1)).client_sends(&h2::end(1)).server_acks();
    conn.next_lost().client_sends(&h2::data(3, &wire::text(Client, "anyone?")));
    for doubling in 1..4 {
        conn.wait(Duration::from_millis(200 << doubling)).next_lost().retransmits(Client);
    }
    conn
}

#[test]
fn each_open_websocket_of_a_dead_http2_connection_is_reported_in_silence() {
    let conn = multiplexed_given_up();
    let mut live = Live::new();
    let end = live.take(&conn.packets());
    assert_eq!(live.told(), [""; 0]);
    live.follower.advance(end.saturating_add(MINUTE));
    assert_eq!(live.told(), ["early 1006 stream 3", "early 1006 stream 5"]);
    assert_eq!(live.rest(), ["ended 1006 stream 1", "stands", "stands"]);
}

#[test]
fn an_http2_connection_that_speaks_again_takes_all_its_deaths_back() {
    let mut conn = multiplexed_given_up();
    let silence = conn.packets().len();
    conn.wait(MINUTE * 2).retransmits(Client).server_acks();
    for stream in [3, 5] {
        conn.client_sends(&h2::close(Client, stream, 1000)).server_sends(&h2::close(Server, stream, 1000));
        conn.client_sends(&h2::end(stream)).server_sends(&h2::end(stream));
    }
    conn.client_acks();
    let packets = conn.packets();
    let mut live = Live::new();
    let end = live.take(&packets[..silence]);
    live.follower.advance(end.saturating_add(MINUTE));
    assert_eq!(live.told(), ["early 1006 stream 3", "early 1006 stream 5"]);
    live.take(&packets[silence..]);
    let mut told = live.told();
    told.append(&mut live.rest());
    told.sort();
    assert_eq!(
        told,
        ["ended 1000 stream 3", "ended 1000 stream 5", "ended 1006 stream 1", "revised", "revised"]
    );
}

#[test]
fn silence_alone_is_no_death() {
    let mut live = Live::new();
    let end = live.take(&busy().packets());
    live.follower.advance(end.saturating_add(MINUTE * 600));
    assert_eq!(live.told(), [""; 0]);
    assert_eq!(live.rest(), ["ended open"]);
}

#[test]
fn a_file_reports_nothing_early() {
    let mut live = Live::with(Options::default());
    let end = live.take(&given_up().packets());
    live.follower.advance(end.saturating_add(MINUTE * 9));
    assert_eq!(live.told(), [""; 0]);
    assert_eq!(live.rest(), ["ended 1006"]);
}

#[test]
fn a_peer_that_speaks_again_takes_its_death_back_and_ends_as_it_really_does() {
    let mut conn = given_up();
    let silence = conn.packets().len();
    conn.wait(MINUTE * 2).retransmits(Client).server_acks();
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    conn.fin(Server).fin(Client);
    let packets = conn.packets();
    let mut live = Live::new();
    let end = live.take(&packets[..silence]);
    live.follower.advance(end.saturating_add(MINUTE));
    assert_eq!(live.told(), ["early 1006"]);
    live.take(&packets[silence..]);
    assert_eq!(live.told(), ["revised"]);
    assert_eq!(live.rest(), ["ended 1001"]);
}

#[test]
fn what_a_dead_peer_was_counted_for_is_taken_back_from_the_findings_too() {
    let mut live = Live::new();
    let end = live.take(&given_up().packets());
    live.follower.advance(end.saturating_add(MINUTE));
    while let Some(followed) = live.follower.poll() {
        live.settler.take(followed);
    }
    let records: Vec<_> = std::iter::from_fn(|| live.settler.poll()).collect();
    let [Settled::Early(record)] = &records[..] else { panic!("{records:?}") };
    let context = Context { files: &[], redact: false };
    let mut diagnoser = Diagnoser::new(Limits::default());
    diagnoser.take(Some(1), record, context);
    let stays = diagnoser.findings(context);
    assert!(stays.iter().any(|finding| finding.connections == [1]), "{stays:?}");
    diagnoser.take(Some(2), record, context);
    let counted = diagnoser.last_counted().unwrap();
    assert_eq!(diagnoser.last_counted(), None);
    diagnoser.take_back(&counted);
    let ids = |found: Vec<Finding>| {
        found.into_iter().map(|one| (one.id, one.count, one.connections)).collect::<Vec<_>>()
    };
    assert_eq!(ids(diagnoser.findings(context)), ids(stays));
}

#[test]
fn a_dead_peer_may_die_twice() {
    let mut conn = given_up();
    let first = conn.packets().len();
    conn.wait(MINUTE * 2).retransmits(Client).server_acks();
    let second = conn.packets().len();
    conn.wait(MINUTE * 2).next_lost().client_sends(&wire::text(Client, "and now?"));
    for _ in 0..4 {
        conn.wait(Duration::from_secs(1)).next_lost().retransmits(Client);
    }
    let packets = conn.packets();
    let mut live = Live::new();
    let mut told = Vec::new();
    for part in [&packets[..first], &packets[first..second], &packets[second..]] {
        let end = live.take(part);
        live.follower.advance(end.saturating_add(MINUTE));
        told.append(&mut live.told());
    }
    assert_eq!(told, ["early 1006", "revised", "early 1006"]);
    assert_eq!(live.rest(), ["stands"]);
}

#[test]
fn the_side_that_gives_up_on_a_dead_peer_changes_nothing() {
    let mut conn = given_up();
    let silence = conn.packets().len();
    conn.wait(MINUTE * 2).rst(Client);
    let packets = conn.packets();
    let mut live = Live::new();
    let end = live.take(&packets[..silence]);
    live.follower.advance(end.saturating_add(MINUTE));
    live.take(&packets[silence..]);
    assert_eq!(live.told(), ["early 1006"]);
    assert_eq!(live.rest(), ["stands"]);
}

/// What a connection is called if the capture dropped packets between two of its packets, counted from its end.
fn with_losses(conn: &Conversation, from: usize, to: usize) -> Vec<String> {
    let packets = conn.packets();
    let mut live = Live::new();
    live.take(&packets);
    let time = |from_end: usize| at(&packets[packets.len() - from_end]);
    live.follower.note_losses(time(from), time(to));
    live.rest()
}

#[test]
fn an_end_without_a_close_is_unknown_where_the_kernel_dropped_packets_meanwhile() {
    for end in [
        |conn: &mut Conversation| conn.fin(Client).fin(Server).packets(),
        |conn: &mut Conversation| conn.rst(Server).packets(),
    ] {
        let mut conn = busy();
        conn.wait(MINUTE);
        end(&mut conn);
        assert_eq!(with_losses(&conn, 1, 1), ["ended unknown dropped"]);
        let opening = conn.packets().len();
        assert_eq!(with_losses(&conn, opening, opening - 1), ["ended 1006"], "long before the end");
    }
}

#[test]
fn a_dead_peer_may_be_one_whose_answers_were_dropped() {
    assert_eq!(with_losses(&given_up(), 2, 1), ["ended unknown dropped"]);
}

#[test]
fn a_close_that_was_seen_stays_whatever_was_dropped() {
    let mut conn = busy();
    conn.server_sends(&wire::close(Server, 1011, "")).client_acks();
    conn.fin(Server).fin(Client);
    assert_eq!(with_losses(&conn, 4, 1), ["ended 1011"]);
}

#[test]
fn an_open_connection_stays_open_whatever_was_dropped() {
    assert_eq!(with_losses(&busy(), 2, 1), ["ended open"]);
}

/// Two SYNs, and then nothing for a minute.
#[test]
fn a_connection_that_never_opened_is_told_at_the_end_unless_its_answer_may_have_been_dropped() {
    let mut conn = Conversation::new();
    let syns =
        conn.forges(Client, 0x02, |_| {}).wait(Duration::from_secs(1)).forges(Client, 0x02, |_| {}).packets();
    let told = |losses: &[Timestamp]| {
        let mut live =
            Live::with(Options { dead_after: Some(MINUTE), ws_ports: vec![9001], ..Options::default() });
        let end = live.take(&syns);
        for time in losses {
            live.follower.note_losses(*time, *time);
        }
        live.follower.advance(end.saturating_add(MINUTE));
        assert_eq!(live.told(), [""; 0], "it may still be answered");
        live.rest()
    };
    assert_eq!(told(&[]), ["ended refused"]);
    let (before, meanwhile) = (at(&syns[0]).saturating_sub(MINUTE), at(&syns[1]).saturating_add(MINUTE / 2));
    assert_eq!(told(&[before]), ["ended refused"]);
    assert_eq!(told(&[before, meanwhile]), ["ended unknown dropped"]);
}

#[test]
fn a_clock_that_steps_back_holds_no_verdict_back() {
    let mut conn = busy();
    conn.server_sends(&wire::close(Server, 1001, "")).client_sends(&wire::close(Client, 1001, ""));
    conn.fin(Server).fin(Client).server_acks();
    let mut live = Live::new();
    let end = live.take(&conn.packets());
    let hour_ago = end.saturating_sub(MINUTE * 60);
    assert_eq!(live.follower.follow_clock(end), None, "it has not stepped");
    assert_eq!(live.follower.follow_clock(hour_ago), Some(3_600_000_000_000));
    assert_eq!(live.told(), [""; 0]);
    live.follower.advance(hour_ago.saturating_add(MINUTE));
    assert_eq!(live.told(), ["ended 1001"]);
}

#[test]
fn who_asks_is_told_when_a_websocket_opens_and_when_its_tcp_ends() {
    let conn = closed(answered(asked("10.77.1.2:40000", SECOND), SECOND), MINUTE);
    let packets = conn.packets();
    let mut live = Live::with(Options { turns: true, ..Options::default() });
    let mut turns = Vec::new();
    for packet in packets.chunks(1) {
        live.take(packet);
        while let Some(followed) = live.follower.poll() {
            live.settler.take(followed);
        }
        turns.extend(std::iter::from_fn(|| live.settler.poll()).map(|turn| (at(&packet[0]), turn)));
    }
    let [(asked, Settled::Opened(opened)), (ended, Settled::Closing(closing))] = &turns[..] else {
        panic!("{turns:?}")
    };
    assert_eq!((opened.at, at(&packets[3])), (at(&packets[0]), *asked), "the request opens, since the SYN");
    assert_eq!((closing.at, opened.client, opened.client.port), (*ended, closing.client, 40_000));
    assert_eq!(live.rest(), ["ended 1001"]);
}

const SECOND: Duration = Duration::from_secs(1);

/// A client made by hand, which sends the same key each time, has asked at this time.
fn asked(client: &str, after: Duration) -> Conversation {
    asks(Conversation::between(client, "10.77.2.2:9001"), after)
}

fn asks(mut conn: Conversation, after: Duration) -> Conversation {
    conn.wait(after).connect().client_sends(&wire::request("/ws")).server_acks();
    conn
}

/// It was answered so much later.
fn answered(mut conn: Conversation, after: Duration) -> Conversation {
    conn.wait(after).server_sends(&wire::response()).client_acks();
    conn
}

fn closed(mut conn: Conversation, after: Duration) -> Conversation {
    conn.wait(after)
        .server_sends(&wire::close(Server, 1001, ""))
        .client_sends(&wire::close(Client, 1001, ""));
    conn.fin(Server).fin(Client).server_acks();
    conn
}

fn by_time(conversations: &[Conversation]) -> Vec<TcpPacket> {
    let mut packets: Vec<TcpPacket> = conversations.iter().flat_map(Conversation::packets).collect();
    packets.sort_by_key(|packet| packet.at_ns);
    packets
}

/// The legs of a WebSocket through a proxy, open: (front, back).
fn legs() -> (Conversation, Conversation) {
    let front = Conversation::between("10.77.1.2:40000", "10.77.2.2:9001").numbered(1_000, 2_000);
    let back = Conversation::between("10.77.2.1:50000", "10.77.2.3:9001").numbered(3_000, 4_000);
    let (front, back) = (asks(front, Duration::ZERO), asks(back, SECOND / 100));
    (answered(front, SECOND / 10), answered(back, SECOND / 100))
}

#[test]
fn an_end_waits_for_no_other_connection_that_happens_to_have_its_key() {
    let before = answered(asked("10.77.1.2:40000", Duration::ZERO), SECOND / 100);
    let ended = closed(answered(asked("10.77.1.3:40000", SECOND), SECOND / 100), SECOND);
    let behind = asked("10.77.1.4:40000", SECOND * 2);
    let mut live = Live::new();
    let end = live.take(&by_time(&[before, ended, behind]));
    live.follower.advance(end.saturating_add(Limits::default().linger));
    assert_eq!(live.told(), ["ended 1001"]);
}

#[test]
fn an_end_waits_for_its_other_leg_no_longer_than_it_has_patience_and_counts_meanwhile() {
    let (front, back) = legs();
    let mut live = Live::new();
    live.tick(Timestamp::MIN);
    let end = live.take(&by_time(&[front, closed(back, SECOND)]));
    let judged = end.saturating_add(Limits::default().linger);
    assert_eq!(live.tick(judged), [""; 0]);
    let held: Vec<String> = live.settler.held_back().map(label).collect();
    assert_eq!((held, live.settler.open_websockets()), (vec!["1001".to_owned()], 1));
    let due = judged.saturating_add(Limits::default().leg_patience);
    assert_eq!(live.tick(due.saturating_sub(SECOND / 100)), [""; 0]);
    assert_eq!(live.tick(due), ["ended 1001"]);
    assert_eq!(live.settler.held_back().count(), 0);
    assert_eq!(live.rest(), ["ended open"]);
}

#[test]
fn legs_that_end_within_that_time_are_told_together() {
    let (front, back) = legs();
    let mut live = Live::new();
    live.tick(Timestamp::MIN);
    let back = closed(back, SECOND);
    let end = at(back.packets().last().unwrap());
    live.take(&by_time(&[closed(front, SECOND * 4), back]));
    assert_eq!(live.tick(end.saturating_add(SECOND * 11)), [""; 0]);
    assert_eq!(live.tick(end.saturating_add(SECOND * 14)), ["ended 1001, a leg", "ended 1001, a leg"]);
}

#[test]
fn in_a_file_a_leg_waits_for_the_other_as_long_as_it_takes() {
    let (front, back) = legs();
    let mut file = Live::with(Options::default());
    file.take(&by_time(&[closed(front, MINUTE * 60), closed(back, SECOND)]));
    assert_eq!(file.told(), [""; 0]);
    assert_eq!(file.rest(), ["ended 1001, a leg", "ended 1001, a leg"]);
}

#[test]
fn a_leg_for_which_there_is_no_room_to_wait_is_counted() {
    for (held_legs, told, count) in [(1, ["ended 1001, a leg"; 2], 0), (0, ["ended 1001"; 2], 1)] {
        let (front, back) = legs();
        let limits = Limits { held_legs, ..Limits::default() };
        let mut file = Live::with(Options { limits, ..Options::default() });
        file.take(&by_time(&[closed(front, MINUTE), closed(back, SECOND)]));
        let before = file.told();
        assert_eq!(file.settler.anomalies().of(Anomaly::LegLimit), count, "{held_legs}");
        assert_eq!([before, file.rest()].concat(), told);
    }
}

#[test]
fn requests_with_one_key_that_are_never_answered_are_counted_beyond_those_that_are_remembered() {
    for (requests, count) in [(16_u16, 0), (17, 1), (20, 4)] {
        let asking = |n| asked(&format!("10.77.1.9:{}", 40_000 + n), SECOND * u32::from(n));
        let all: Vec<Conversation> = (0..requests).map(asking).collect();
        let mut file = Live::with(Options::default());
        file.take(&by_time(&all));
        file.told();
        assert_eq!(file.settler.anomalies().of(Anomaly::LegLimit), count, "{requests}");
    }
}

#[test]
fn an_answer_that_shows_that_a_connection_is_no_leg_ends_the_wait_for_it() {
    let ended = closed(answered(asked("10.77.1.2:40000", Duration::ZERO), SECOND / 10), SECOND);
    let slow = asked("10.77.1.3:40000", SECOND / 20);
    let before = by_time(&[ended.clone(), slow.clone()]).len();
    let packets = by_time(&[ended, answered(slow, MINUTE)]);
    let mut live = Live::with(Options::default());
    live.take(&packets[..before]);
    live.follower.advance(at(&packets[before - 1]).saturating_add(MINUTE / 2));
    assert_eq!(live.told(), [""; 0], "it may be asked for behind a proxy");
    live.take(&packets[before..]);
    assert_eq!(live.told(), ["ended 1001"]);
}

#[test]
fn others_with_their_key_part_no_legs() {
    let (front, back) = legs();
    let mut all: Vec<Conversation> = (0..40_u16)
        .map(|n| {
            answered(asked(&format!("10.77.1.9:{}", 40_000 + n), SECOND * (1 + u32::from(n))), SECOND / 100)
        })
        .collect();
    all.extend([closed(front, MINUTE), closed(back, MINUTE)]);
    let mut live = Live::with(Options::default());
    live.take(&by_time(&all));
    live.follower.advance(Timestamp::from_nanos(i64::MAX));
    assert_eq!(live.told(), ["ended 1001, a leg", "ended 1001, a leg"]);
}

#[test]
fn as_many_handshakes_may_begin_between_those_of_two_legs_as_are_remembered() {
    for (recent_handshakes, told) in [(4, ", a leg"), (3, "")] {
        let (front, back) = legs();
        let others = (0..3_u16).map(|n| {
            let mut conn = Conversation::between(&format!("10.77.1.9:{}", 40_000 + n), "10.77.2.2:9001");
            let request = String::from_utf8(wire::request("/ws")).unwrap();
            conn.wait(SECOND / 1_000).connect();
            conn.client_sends(
                request.replace(wire::KEY, &format!("dGhlIHNhbXBsZSBub2{n:03}ZQ==")).as_bytes(),
            );
            conn
        });
        let others: Vec<Conversation> = others.collect();
        let limits = Limits { recent_handshakes, ..Limits::default() };
        let mut live = Live::with(Options { limits, ..Options::default() });
        live.take(&by_time(&[&others[..], &[closed(front, SECOND), closed(back, SECOND)]].concat()));
        live.follower.advance(Timestamp::from_nanos(i64::MAX));
        assert_eq!(live.told(), [format!("ended 1001{told}"), format!("ended 1001{told}")]);
    }
}

/// All that `decode` reads, whatever it is wrapped in, passes the filter that live capture sets by itself.
#[cfg(feature = "live")]
#[test]
fn the_default_filter_passes_whatever_is_decoded() {
    use wsclose::capture::filter::PacketFilter;
    use wsclose::capture::link_type::LinkType;
    use wsclose::capture::live::filter::DEFAULT_FILTER;

    let mut filter = PacketFilter::new(DEFAULT_FILTER);
    let udp = [&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17][..], &[0; 10], &[0, 53, 0, 53, 0, 8, 0, 0]].concat();
    assert!(!filter.matches(LinkType::RAW, &udp).unwrap(), "it spares something");
    for (name, packaging) in crate::support::packaging::all() {
        for packet in packaging.apply(&busy().packets()) {
            let link_type = LinkType(packaging.link.number());
            assert!(filter.matches(link_type, &packet.bytes).unwrap(), "{name}");
        }
    }
}
