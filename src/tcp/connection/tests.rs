use super::*;
use crate::decode::flow_key::{EncapsulationId, Endpoint, FlowKey};
use crate::decode::segment::TcpFlags;
use crate::seq::SeqNum;
use std::net::Ipv4Addr;

const CLIENT: Side = Side::Client;
const SERVER: Side = Side::Server;
const ACK: u8 = TcpFlags::ACK;
const RST: u8 = TcpFlags::RST;

#[derive(Default)]
struct Bytes(PerSide<Vec<u8>>);

impl StreamSink for Bytes {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Data { bytes, .. } => self.0.get_mut(side).extend_from_slice(bytes),
            StreamEvent::Gap(gap) => {
                self.0.get_mut(side).extend(vec![b'_'; usize::try_from(gap.len).unwrap()]);
            }
        }
    }
}

struct Script {
    tcp: Connection,
    bytes: Bytes,
    limits: Limits,
}

impl Script {
    /// A connection in which each side has sent its SYN with sequence number 99.
    fn established() -> Self {
        let tcp = Connection::new(Moment::default());
        let mut script = Script { tcp, bytes: Bytes::default(), limits: Limits::default() };
        script.send(CLIENT, TcpFlags::SYN, 99, None, b"");
        script.send(SERVER, TcpFlags::SYN | ACK, 99, Some(100), b"");
        script
    }

    fn send(&mut self, side: Side, flags: u8, seq: u32, ack: Option<u32>, payload: &[u8]) {
        let end = |side| Endpoint { address: Ipv4Addr::LOCALHOST.into(), port: 1 + (side == CLIENT) as u16 };
        let (key, from_lower) = FlowKey::between(end(side), end(side.other()), EncapsulationId::default());
        let segment = Segment {
            at: Moment::default(),
            key,
            from_lower,
            seq: SeqNum(seq),
            ack: ack.map(SeqNum),
            flags: TcpFlags(flags),
            window: 1,
            ttl: 64,
            ip_id: None,
            options: &[],
            payload,
            missing: 0,
        };
        self.tcp.handle_segment(side, &segment, &self.limits, &mut self.bytes);
    }

    fn sent(&mut self, side: Side) -> String {
        self.tcp.flush(&mut self.bytes);
        String::from_utf8(self.bytes.0[side].clone()).unwrap()
    }
}

#[test]
fn segments_out_of_order_are_delivered_in_order_once() {
    let mut script = Script::established();
    script.send(CLIENT, ACK, 103, Some(100), b"def");
    script.send(CLIENT, ACK, 103, Some(100), b"def");
    script.send(CLIENT, ACK, 100, Some(100), b"abcd");
    assert_eq!(script.sent(CLIENT), "abcdef");
}

#[test]
fn bytes_from_before_the_first_packet_seen_are_not_counted_behind_it() {
    let tcp = Connection::new(Moment::default());
    let mut script = Script { tcp, bytes: Bytes::default(), limits: Limits::default() };
    script.send(SERVER, ACK, 500, Some(100), b"");
    script.send(SERVER, ACK, 400, Some(100), &[b'o'; 100]); // sent again from before the capture
    script.send(SERVER, ACK, 450, Some(100), &[b'n'; 60]); // only its end is new
    script.send(SERVER, ACK, 510, Some(100), b"abc");
    assert_eq!(script.sent(SERVER), "nnnnnnnnnnabc");
}

#[test]
fn a_syn_behind_an_acknowledgment_of_later_bytes_begins_the_numbering() {
    let tcp = Connection::new(Moment::default());
    let mut script = Script { tcp, bytes: Bytes::default(), limits: Limits::default() };
    script.send(CLIENT, TcpFlags::SYN, 99, None, b"");
    script.send(CLIENT, ACK, 100, Some(103), b""); // captured ahead of what it acknowledges
    script.send(SERVER, TcpFlags::SYN | ACK, 99, Some(100), b"");
    script.send(SERVER, ACK, 100, Some(100), b"abc");
    script.send(SERVER, ACK, 103, Some(100), b"d");
    assert_eq!(script.sent(SERVER), "abcd");
}

#[test]
fn many_holes_before_a_large_segment_do_not_lift_the_cap() {
    let limits = Limits { out_of_order_bytes: 2_000, ..Limits::default() };
    let mut script = Script::established();
    for hole in 0..12 {
        script.send(CLIENT, ACK, 102 + 2 * hole, Some(100), b"x");
    }
    script.send(CLIENT, ACK, 200, Some(100), &[b'y'; 1_990]);
    assert!(!script.tcp.halves.client.holds_too_much(&Limits::default()));
    script.limits = limits.clone();
    script.send(CLIENT, ACK, 3_000, Some(100), b"z");
    assert!(!script.tcp.halves.client.holds_too_much(&limits));
    assert!(script.tcp.anomalies.contains(Anomaly::TcpOutOfOrderLimit));
}

#[test]
fn bytes_acknowledged_but_never_seen_are_a_gap() {
    let mut script = Script::established();
    script.send(CLIENT, ACK, 103, Some(100), b"def");
    script.send(SERVER, ACK, 100, Some(108), b"");
    assert_eq!(script.sent(CLIENT), "___def__");
}

#[test]
fn a_reset_with_the_expected_number_ends_the_connection() {
    let mut script = Script::established();
    script.send(SERVER, RST | ACK, 100, Some(100), b"");
    assert!(script.tcp.has_ended());
}

#[test]
fn a_reset_behind_what_was_acknowledged_is_ignored() {
    let mut script = Script::established();
    script.send(SERVER, ACK, 100, Some(100), b"abc");
    script.send(CLIENT, ACK, 100, Some(103), b"");
    script.send(SERVER, RST, 100, None, b"");
    assert!(script.tcp.halves.server.reset.is_none());
    assert!(script.tcp.anomalies.contains(Anomaly::TcpResetIgnored));
}

#[test]
fn a_guessed_reset_ahead_of_the_stream_does_not_end_it_and_is_forgotten_when_it_goes_on() {
    let mut script = Script::established();
    script.send(SERVER, RST, 900, None, b"");
    assert!(!script.tcp.has_ended());
    script.send(SERVER, ACK, 100, Some(100), b"abc");
    script.send(CLIENT, ACK, 100, Some(103), b"");
    assert!(script.tcp.halves.server.reset.is_none());
    assert_eq!(script.sent(SERVER), "abc");
}

#[test]
fn a_reset_whose_supposed_sender_and_receiver_talk_on_is_forgotten() {
    let mut script = Script::established();
    script.send(CLIENT, RST | ACK, 100, Some(100), b"");
    script.send(SERVER, ACK, 100, Some(100), b"abc");
    script.send(CLIENT, ACK, 100, Some(103), b"");
    assert!(!script.tcp.has_ended());
}
