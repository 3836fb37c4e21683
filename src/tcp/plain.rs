//! The common case, apart from all the others: an established connection, the next bytes in order.
//!
//! Nine packets in ten are of this kind. What is done here is what [`Connection::handle_segment`] would do; a test
//! compares them.

use super::connection::Connection;
use super::half::Half;
use super::stream_event::{StreamEvent, StreamSink, Wire};
use crate::decode::segment::{Segment, TcpFlags};
use crate::side::Side;

impl Half {
    /// Is it established, is nothing of it missing, held, ended or reset, and was its last packet the next in order?
    pub(super) fn is_plain(&self) -> bool {
        self.is_known()
            && self.established.is_some()
            && self.fin.is_none()
            && self.reset.is_none()
            && self.recovery.is_none()
            && self.next == self.sent
            && self.sent == self.shown
            && self.acked <= self.sent
            && self.settled == self.last
            && self.passed_end.is_none()
    }
}

impl Connection {
    /// Takes a segment sent by `side` if it is the next one in order of a connection without any trouble, and hands
    /// its payload to `sink`. False: it is not; nothing was done.
    pub fn handle_plain<S: StreamSink>(&mut self, side: Side, segment: &Segment<'_>, sink: &mut S) -> bool {
        let Some(ack) = segment.ack else { return false };
        let (half, peer) = self.halves.both_mut(side);
        let usual_flags = segment.flags.0 & !TcpFlags::PSH == TcpFlags::ACK;
        let in_order = half.plain && peer.plain && half.expects(segment.seq);
        if !usual_flags || !in_order || segment.missing > 0 {
            return false;
        }
        let unacked = peer.unacked_behind(ack);
        if unacked > peer.next.saturating_sub(peer.acked) {
            return false;
        }
        let peer_acked = peer.next - unacked;
        peer.acked = peer_acked;
        peer.unanswered.answered();
        half.packets = half.packets.saturating_add(1);
        half.last = Some(segment.at);
        half.ttl.note(segment.ttl);
        self.packets += 1;
        self.last = segment.at;
        self.payload_before = self.last_payload;
        if segment.payload.is_empty() {
            return true;
        }
        let offset = half.next;
        let end = offset + segment.payload.len() as u64;
        half.unanswered.sent(offset + 1, false, segment.at);
        half.next = end;
        self.note_payload(segment.at);
        let wire = Wire { end, peer_acked: Some(peer_acked) };
        sink.stream(side, StreamEvent::Data { at: segment.at, offset, bytes: segment.payload, wire });
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::decode::flow_key::{EncapsulationId, Endpoint, FlowKey};
    use crate::decode::segment::{Segment, TcpFlags};
    use crate::limits::Limits;
    use crate::moment::Moment;
    use crate::seq::SeqNum;
    use crate::side::Side;
    use crate::tcp::connection::Connection;
    use crate::tcp::stream_event::{StreamEvent, StreamSink};
    use crate::time::Timestamp;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const ACK: u8 = TcpFlags::ACK;
    const SYN: u8 = TcpFlags::SYN;

    /// What came out, in words.
    #[derive(Default)]
    struct Log(Vec<String>);

    impl StreamSink for Log {
        fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
            self.0.push(format!("{side} {event:?}"));
        }
    }

    /// One step of a conversation. Most are the next in order; the rest is what networks and attackers add.
    #[derive(Clone, Debug)]
    struct Step {
        from_client: bool,
        len: u8,
        /// Added to the sequence number that would be next.
        seq_shift: i8,
        /// Added to the acknowledgment of all the peer has sent.
        ack_shift: i8,
        flags: u8,
        missing: u8,
        ttl: u8,
    }

    fn step() -> impl Strategy<Value = Step> {
        let shift = || prop_oneof![12 => Just(0_i8), 1 => -9..9_i8];
        let flags = prop_oneof![
            20 => Just(ACK),
            10 => Just(ACK | TcpFlags::PSH),
            1 => Just(ACK | TcpFlags::FIN),
            1 => Just(ACK | TcpFlags::RST),
            1 => Just(ACK | SYN),
            1 => any::<u8>(),
        ];
        let missing = prop_oneof![20 => Just(0_u8), 1 => 1..5_u8];
        let ttl = prop_oneof![20 => Just(64_u8), 1 => 60..64_u8];
        (any::<bool>(), 0..6_u8, shift(), shift(), flags, missing, ttl).prop_map(
            |(from_client, len, seq_shift, ack_shift, flags, missing, ttl)| Step {
                from_client,
                len,
                seq_shift,
                ack_shift,
                flags,
                missing,
                ttl,
            },
        )
    }

    /// Runs the conversation with or without the short way; gives all that is known in the end, and how often it was
    /// taken.
    fn run(steps: &[Step], short_way: bool) -> (String, usize) {
        let (mut tcp, mut log, mut plain) = (Connection::new(Moment::default()), Log::default(), 0);
        let mut next = [100_u32, 500]; // each side's next sequence number
        let opening = [(true, SYN, 99, 0), (false, SYN | ACK, 499, 100), (true, ACK, 100, 500)];
        let mut number = 0;
        let mut send = |from_client: bool, flags: u8, seq: u32, ack: u32, len: u8, missing: u8, ttl: u8| {
            number += 1;
            let at = Moment::new(Timestamp::from_nanos(i64::from(number)), number, 0);
            let side = if from_client { Side::Client } else { Side::Server };
            let end = Endpoint { address: Ipv4Addr::LOCALHOST.into(), port: 1 };
            let (key, from_lower) = FlowKey::between(end, end, EncapsulationId::default());
            let segment = Segment {
                at,
                key,
                from_lower,
                seq: SeqNum(seq),
                ack: (flags & ACK != 0).then_some(SeqNum(ack)),
                flags: TcpFlags(flags),
                window: 1,
                ttl,
                ip_id: None,
                options: &[],
                payload: b"abcdef".get(..usize::from(len)).unwrap(),
                missing: u32::from(missing),
            };
            if short_way && tcp.handle_plain(side, &segment, &mut log) {
                plain += 1;
            } else {
                tcp.handle_segment(side, &segment, &Limits::default(), &mut log);
            }
        };
        for (from_client, flags, seq, ack) in opening {
            send(from_client, flags, seq, ack, 0, 0, 64);
        }
        for step in steps {
            let (own, peer) = if step.from_client { (0, 1) } else { (1, 0) };
            let seq = next[own].wrapping_add_signed(i32::from(step.seq_shift));
            let ack = next[peer].wrapping_add_signed(i32::from(step.ack_shift));
            send(step.from_client, step.flags, seq, ack, step.len, step.missing, step.ttl);
            if step.seq_shift == 0 {
                next[own] += u32::from(step.len) + u32::from(step.missing);
            }
        }
        tcp.flush(&mut log);
        (format!("{tcp:?} {:?}", log.0), plain)
    }

    proptest! {
        #[test]
        fn the_short_way_leads_where_the_long_one_does(steps in prop::collection::vec(step(), 0..60)) {
            prop_assert_eq!(run(&steps, true).0, run(&steps, false).0);
        }
    }

    #[test]
    fn data_in_order_takes_the_short_way() {
        let step = |from_client| Step {
            from_client,
            len: 3,
            seq_shift: 0,
            ack_shift: 0,
            flags: ACK,
            missing: 0,
            ttl: 64,
        };
        let steps: Vec<Step> = (0..20).map(|index| step(index % 3 == 0)).collect();
        // Until the server's first packet behind its SYN, the second here, it is not established.
        assert_eq!(run(&steps, true).1, 18);
    }
}
