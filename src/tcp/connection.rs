//! One TCP connection: takes its segments, delivers both directions in order, keeps the evidence of its end.

use super::half::{Fin, Half, UsualTtl};
use super::reassembly::Held;
use super::reset::{self, Reset, ResetValidity};
use super::stream_event::{Gap, GapCause, StreamEvent, StreamSink, Wire};
use crate::anomaly::{Anomaly, AnomalySet};
use crate::decode::segment::Segment;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::pack::pack_fields;
use crate::side::{PerSide, Side};
use crate::time::Timestamp;

/// Packets of a side that say too little of what is usual for it.
const FEW_PACKETS: u32 = 4;

/// A TCP connection as a passive observer follows it (RFC 9293).
///
/// It never holds payload that arrives in order. The first SYN's sender is the client; without a SYN the first
/// packet's sender is taken for it until content says otherwise ([`Connection::swap_sides`]).
///
/// ```text
///    0 last, last_payload, payload_before: touched by every packet; opened
///   64 halves, 256 each: of either one line is touched by every packet, of the sender's another by most
///  576 anomalies
/// ```
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Connection {
    /// Latest packet.
    pub last: Moment,
    /// Latest packet of either side that carried payload.
    pub last_payload: Option<Moment>,
    /// What `last_payload` was before the latest packet that could end the connection.
    pub payload_before: Option<Moment>,
    /// First packet.
    pub opened: Moment,
    /// What each side sent.
    pub halves: PerSide<Half>,
    /// Oddities.
    pub anomalies: AnomalySet,
}

impl Connection {
    /// A connection whose first packet is `at`.
    #[must_use]
    pub fn new(at: Moment) -> Self {
        Connection {
            halves: PerSide::default(),
            last: at,
            last_payload: None,
            payload_before: None,
            anomalies: AnomalySet::default(),
            opened: at,
        }
    }

    /// Content shows that the roles were guessed wrongly.
    pub fn swap_sides(&mut self) {
        self.halves.swap();
    }

    /// Packets so far, copies not counted.
    #[must_use]
    pub fn packets(&self) -> u64 {
        u64::from(self.halves.client.packets) + u64::from(self.halves.server.packets)
    }

    /// Reads something of each part that a packet of `side` needs; the result means nothing.
    #[must_use]
    #[inline]
    pub fn touch(&self, side: Side) -> u64 {
        let (own, peer) = (&self.halves[side], &self.halves[side.other()]);
        own.touch() ^ peer.next ^ u64::from(self.last.packet)
    }

    /// Reads something of each part; the result means nothing.
    #[must_use]
    pub fn touch_all(&self) -> u64 {
        self.halves.client.touch_all() ^ self.halves.server.touch_all() ^ u64::from(self.last.packet)
    }

    /// Notes a copy of a packet that `side` sent: it is no event, but it came its own way.
    pub fn note_copy(&mut self, side: Side, segment: &Segment<'_>) {
        if !segment.flags.rst() {
            self.halves.get_mut(side).ttl.note(segment.ttl);
        }
    }

    /// Takes a segment sent by `side` and hands what it completes to `sink`.
    pub fn handle_segment<S: StreamSink>(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        limits: &Limits,
        sink: &mut S,
    ) {
        if !self.may_have_ended() {
            self.payload_before = self.last_payload;
        }
        self.halves.client.catch_up();
        self.halves.server.catch_up();
        self.last = segment.at;
        let (was_whole, acked_before) = (self.halves[side].unseen() == 0, self.halves[side.other()].acked);
        let peer_acked = self.take_acknowledgment(side, segment);
        let half = self.halves.get_mut(side);
        half.packets = half.packets.saturating_add(1);
        let spoke_before = half.last.replace(segment.at);
        if half.established.is_none() {
            half.note_opening(segment);
        }
        if segment.flags.rst() {
            self.take_reset(side, segment, peer_acked, spoke_before);
        } else {
            half.ttl.note(segment.ttl);
            self.take_life(side, segment.at, limits);
            self.take_numbering(side, segment);
            self.take_liveness(side, segment);
            self.take_payload(side, segment, peer_acked, limits, sink);
            self.take_fin(side, segment, peer_acked);
            let half = self.halves.get_mut(side);
            if half.may_have_hole() {
                half.note_hole(was_whole, acked_before, segment.at);
            }
        }
        self.halves.get_mut(side.other()).unanswered.answered();
        for side in Side::BOTH {
            self.give_up_lost(side, segment.at, limits, sink);
        }
        for half in [&mut self.halves.client, &mut self.halves.server] {
            half.plain = half.is_plain();
        }
    }

    /// Payload came with `at`.
    #[inline]
    pub(super) fn note_payload(&mut self, at: Moment) {
        // Packets come in the order of time but where the clock stepped back.
        if self.last_payload.is_none_or(|last| last < at) {
            self.last_payload = Some(at);
        }
    }

    /// Delivers all that is held, with its holes as gaps: nothing more will come.
    pub fn flush_held<S: StreamSink>(&mut self, sink: &mut S) {
        let at = self.last;
        for side in Side::BOTH {
            let half = self.halves.get_mut(side);
            half.catch_up();
            if half.recovery.is_some() {
                while self.skip_hole(side, at, GapCause::Lost, sink) {}
            }
        }
    }

    /// The same, and what is known to have come behind it as a gap.
    pub fn flush<S: StreamSink>(&mut self, sink: &mut S) {
        self.flush_held(sink);
        let at = self.last;
        for side in Side::BOTH {
            let half = self.halves.get_mut(side);
            if half.unseen() > 0 && half.is_known() {
                let is_byte = half.unseen() == 1 && half.fin.is_none();
                let cause = if is_byte { GapCause::ByteOrFin } else { GapCause::Lost };
                let gap = half.gap(at, half.unseen(), cause);
                half.next = half.shown;
                sink.stream(side, StreamEvent::Gap(gap));
            }
        }
    }

    /// Puts everything where it belongs, whichever way packets took: to be asked before it is packed.
    pub fn write_up(&mut self) {
        self.halves.client.write_up();
        self.halves.server.write_up();
    }

    /// Does it go on, with nothing missing, held or odd that is not packed?
    #[must_use]
    pub fn can_rest(&self) -> bool {
        let is_whole = |half: &Half| half.fin.is_none() && half.reset.is_none() && half.recovery.is_none();
        is_whole(&self.halves.client) && is_whole(&self.halves.server)
    }

    /// Memory that segments held out of order take, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        Side::BOTH
            .iter()
            .filter_map(|side| self.halves[*side].recovery.as_ref())
            .map(|r| r.queue.memory())
            .sum()
    }

    /// Segments held out of order.
    #[must_use]
    pub fn held_segments(&self) -> usize {
        Side::BOTH.iter().filter_map(|side| self.halves[*side].recovery.as_ref()).map(|r| r.queue.len()).sum()
    }

    /// Has TCP ended: by a reset, or by both FINs acknowledged?
    #[must_use]
    pub fn has_ended(&self) -> bool {
        Side::BOTH.iter().any(|side| self.halves[*side].is_surely_reset()) || self.is_over()
    }

    /// Have both FINs been acknowledged?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.halves.client.fin_acked() && self.halves.server.fin_acked()
    }

    /// Did a FIN or a reset that counts pass?
    #[must_use]
    pub fn may_have_ended(&self) -> bool {
        [&self.halves.client, &self.halves.server]
            .iter()
            .any(|half| half.fin.is_some() || half.reset.is_some())
    }

    /// Notes the acknowledgment; gives its offset in the peer's stream.
    fn take_acknowledgment(&mut self, side: Side, segment: &Segment<'_>) -> Option<u64> {
        let ack = segment.ack?;
        let (half, peer) = self.halves.both_mut(side);
        let is_first_sign = !peer.is_known();
        if is_first_sign && !segment.flags.rst() {
            // The peer's direction has not been seen: its numbering starts at what was acknowledged first.
            peer.begin(ack, false);
        }
        let offset = peer.acked_offset(ack)?;
        // A reset, perhaps a forged one, acknowledges whatever drew it: that proves nothing about receipt.
        if !segment.flags.rst() {
            if is_first_sign || (offset > peer.next && offset > peer.shown().max(peer.end())) {
                // The peer has spoken, though the capture lacks it.
                half.unanswered.answered();
            }
            peer.acknowledge(offset, segment.at);
            self.undo_defied_reset();
        }
        Some(offset)
    }

    /// A reset that both sides talked past, one acknowledging new bytes of the other, was ignored by its receiver.
    fn undo_defied_reset(&mut self) {
        for side in Side::BOTH {
            let peer_acked = self.halves[side.other()].acked;
            let half = self.halves.get_mut(side);
            if half.reset.as_ref().is_some_and(|reset| reset.is_defied(half.acked, peer_acked)) {
                half.forget_reset();
                self.anomalies.insert(Anomaly::TcpResetIgnored);
            }
        }
    }

    /// `side` speaks, and not to reset. Where it answers a peer that spoke long after a reset in its name, neither knows of that
    /// reset: what was on its way then has arrived.
    fn take_life(&mut self, side: Side, at: Moment, limits: &Limits) {
        let is_late = |reset: &Reset| at.at.has_passed(limits.reset_patience, reset.at.at);
        let (half, peer) = self.halves.both_mut(side);
        if let Some(reset) = peer.reset.as_deref_mut().filter(|reset| is_late(reset)) {
            reset.peer_talked_on = true;
        }
        if half.reset.as_deref().is_some_and(|reset| reset.peer_talked_on) {
            half.forget_reset();
            self.anomalies.insert(Anomaly::TcpResetIgnored);
        }
    }

    fn take_numbering(&mut self, side: Side, segment: &Segment<'_>) {
        let half = self.halves.get_mut(side);
        if segment.flags.syn() {
            half.begin(segment.seq.advance(1), true);
            half.syn.get_or_insert(segment.at);
        } else {
            half.begin(segment.seq, false);
        }
    }

    fn take_liveness(&mut self, side: Side, segment: &Segment<'_>) {
        let half = self.halves.get_mut(side);
        let Some(offset) = half.offset_of(segment.seq) else { return };
        let offset_plus_one = u64::try_from(offset.saturating_add(1)).unwrap_or(0);
        let is_probe = offset_plus_one > 0 && offset_plus_one == half.end();
        if segment.payload_len() > 0 || segment.flags.fin() || segment.flags.syn() || is_probe {
            let end = offset_plus_one.saturating_sub(1) + u64::from(segment.payload_len());
            let again = is_probe
                || (segment.payload_len() > 0 && end <= half.next)
                || (segment.flags.fin() && half.fin.is_some());
            half.unanswered.sent(offset_plus_one, again, segment.at);
            if is_probe && half.fin.is_none() && segment.payload_len() <= 1 && !segment.flags.syn() {
                half.note_keepalive(segment.at);
            }
        }
        if segment.payload_len() > 0 && !is_probe {
            self.note_payload(segment.at);
        }
    }

    fn take_payload<S: StreamSink>(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        peer_acked: Option<u64>,
        limits: &Limits,
        sink: &mut S,
    ) {
        let half = self.halves.get_mut(side);
        let len = u64::from(segment.payload_len());
        let syn = i64::from(segment.flags.syn());
        let Some(offset) = half.offset_of(segment.seq).map(|offset| offset + syn) else { return };
        if !half.in_window(offset) {
            self.anomalies.insert(Anomaly::TcpOutOfWindow);
            return;
        }
        // What stands before the first packet seen has no place here.
        let end = u64::try_from(offset.saturating_add_unsigned(len)).unwrap_or(0);
        if u64::try_from(offset) == Ok(half.next) {
            half.settled = Some(segment.at);
        }
        if len == 0 {
            // A bare segment shows how far its sender has come.
            half.note_shown_by(end, peer_acked);
            half.show(end);
            return;
        }
        let peer_acked = half.acked_when_first_sent(end, peer_acked);
        half.note_resent(end.saturating_sub(len), end, segment.at);
        if half.fin.is_some_and(|fin| end > fin.offset) {
            self.anomalies.insert(Anomaly::TcpDataAfterFin);
            return;
        }
        half.note_talking_on(end);
        half.sent = half.sent.max(end);
        half.shown = half.shown.max(end);
        if half.is_sent_otherwise(side, offset, segment, sink) {
            half.note_differing(segment.at);
            self.anomalies.insert(Anomaly::TcpOverlapDiffers);
        }
        if end <= half.next {
            return; // sent before
        }
        let skip = half.next.saturating_sub(u64::try_from(offset).unwrap_or(0));
        if offset <= i64::try_from(half.next).unwrap_or(i64::MAX) && half.recovery.is_none() {
            let start = if offset < 0 { skip.saturating_add(offset.unsigned_abs()) } else { skip };
            let bytes =
                segment.payload.get(usize::try_from(start).unwrap_or(usize::MAX)..).unwrap_or_default();
            Self::deliver(half, side, segment.at, bytes, end, peer_acked, sink);
        } else {
            self.hold(side, segment, offset, peer_acked, limits, sink);
        }
    }

    /// Delivers `bytes`, which stand at `half.next`, and a gap from their end to `end` if the snaplen cut them.
    fn deliver<S: StreamSink>(
        half: &mut Half,
        side: Side,
        at: Moment,
        bytes: &[u8],
        end: u64,
        peer_acked: Option<u64>,
        sink: &mut S,
    ) {
        let offset = half.next;
        half.next = end;
        let captured_end = offset + bytes.len() as u64;
        if !bytes.is_empty() {
            let wire = Wire { end: captured_end, peer_acked };
            sink.stream(side, StreamEvent::Data { at, offset, bytes, wire });
        }
        if captured_end < end {
            let (len, cause) = (end - captured_end, GapCause::Truncated);
            let gap = Gap { at, offset: captured_end, len, cause, unsent_at: Some(at) };
            sink.stream(side, StreamEvent::Gap(gap));
        }
    }

    /// Holds a segment that lies beyond a hole, then delivers what has become ready.
    fn hold<S: StreamSink>(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        offset: i64,
        peer_acked: Option<u64>,
        limits: &Limits,
        sink: &mut S,
    ) {
        let half = self.halves.get_mut(side);
        let next = i64::try_from(half.next).unwrap_or(i64::MAX);
        let cut = usize::try_from(next.saturating_sub(offset).max(0)).unwrap_or(usize::MAX);
        let bytes = segment.payload.get(cut..).unwrap_or_default();
        let cut_missing = u32::try_from(cut.saturating_sub(segment.payload.len())).unwrap_or(u32::MAX);
        let held = Held {
            at: segment.at,
            peer_acked,
            bytes: bytes.into(),
            missing: segment.missing.saturating_sub(cut_missing),
        };
        let start = u64::try_from(offset.max(next)).unwrap_or(0);
        let recovery = half.recovery.get_or_insert_default();
        if recovery.queue.insert(start, &held).differs {
            half.note_differing(segment.at);
            self.anomalies.insert(Anomaly::TcpOverlapDiffers);
        }
        Self::deliver_ready(half, side, sink);
        while self.halves[side].holds_too_much(limits) {
            self.anomalies.insert(Anomaly::TcpOutOfOrderLimit);
            if !self.skip_hole(side, segment.at, GapCause::Limit, sink) {
                break;
            }
        }
    }

    /// Delivers held segments that stand at `next`; forgets the queue once it is empty.
    fn deliver_ready<S: StreamSink>(half: &mut Half, side: Side, sink: &mut S) {
        while let Some(recovery) = half.recovery.as_mut() {
            let Some((offset, held)) = recovery.queue.take_ready(half.next) else { break };
            let end = offset + held.bytes.len() as u64 + u64::from(held.missing);
            let skip = usize::try_from(half.next - offset).unwrap_or(usize::MAX);
            let bytes = held.bytes.get(skip..).unwrap_or_default();
            if end > half.next {
                Self::deliver(half, side, held.at, bytes, end, held.peer_acked, sink);
            }
        }
        if half.recovery.as_ref().is_some_and(|r| r.queue.is_empty()) && half.unseen() == 0 {
            half.recovery = None;
        }
    }

    /// Gives the first hole up and delivers what waited behind it. False: there is none.
    fn skip_hole<S: StreamSink>(&mut self, side: Side, at: Moment, cause: GapCause, sink: &mut S) -> bool {
        let half = self.halves.get_mut(side);
        let Some(recovery) = half.recovery.as_mut() else { return false };
        recovery.lost_since = None;
        let Some(to) = recovery.queue.first_offset() else {
            half.recovery = None;
            return false;
        };
        if to > half.next {
            let gap = half.gap(at, to - half.next, cause);
            half.next = to;
            if cause == GapCause::Lost {
                self.anomalies.insert(Anomaly::TcpGap);
            }
            sink.stream(side, StreamEvent::Gap(gap));
        }
        Self::deliver_ready(half, side, sink);
        true
    }

    /// Gives up bytes that were acknowledged but never seen, after some patience: the capture lost them.
    fn give_up_lost<S: StreamSink>(&mut self, side: Side, now: Moment, limits: &Limits, sink: &mut S) {
        let packets = self.packets();
        let half = self.halves.get_mut(side);
        if half.acked <= half.next || half.unseen() == 0 {
            return;
        }
        if half.unseen_fin().is_some() && half.recovery.is_none() {
            return; // its FIN, most likely
        }
        let recovery = half.recovery.get_or_insert_default();
        let (since, packets_then) = *recovery.lost_since.get_or_insert((now.at, packets));
        let waited = packets.saturating_sub(packets_then) >= u64::from(limits.gap_patience_packets)
            || now.at.has_passed(limits.gap_patience, since);
        if !waited {
            return;
        }
        recovery.lost_since = None;
        let held_from = recovery.queue.first_offset().unwrap_or(u64::MAX);
        let to = half.acked.min(half.shown).min(held_from);
        if to > half.next {
            let gap = half.gap(now, to - half.next, GapCause::Lost);
            half.next = to;
            self.anomalies.insert(Anomaly::TcpGap);
            sink.stream(side, StreamEvent::Gap(gap));
        }
        Self::deliver_ready(self.halves.get_mut(side), side, sink);
    }

    fn take_fin(&mut self, side: Side, segment: &Segment<'_>, peer_acked: Option<u64>) {
        let half = self.halves.get_mut(side);
        if !segment.flags.fin() || half.fin.is_some() {
            return;
        }
        let syn = i64::from(segment.flags.syn());
        let Some(offset) = half.offset_of(segment.seq) else { return };
        let end = offset.saturating_add(syn).saturating_add(i64::from(segment.payload_len()));
        let Ok(end) = u64::try_from(end) else { return };
        if half.in_window(offset) && end >= half.sent {
            half.note_talking_on(end.saturating_add(1));
            half.fin = Some(Fin { at: segment.at, offset: end, peer_acked });
            half.shown = end.max(half.sent);
        }
    }

    fn take_reset(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        peer_acked: Option<u64>,
        spoke_before: Option<Moment>,
    ) {
        let (sender, peer) = (&self.halves[side], &self.halves[side.other()]);
        let (validity, offset) = reset::validity(sender, peer, segment);
        if validity == ResetValidity::Outside {
            self.anomalies.insert(Anomaly::TcpResetIgnored);
            return;
        }
        // A reset in answer to a segment repeats what that acknowledged (RFC 9293 §3.10.7.1).
        let is_answer = segment.ack.is_none() && segment.window == 0;
        if sender.reset.is_some() {
            if let (ResetValidity::Ahead, true, Some(Ok(offset))) =
                (validity, is_answer, offset.map(u64::try_from))
            {
                self.halves.get_mut(side).show(offset);
            }
            return;
        }
        let reset = Reset {
            at: segment.at,
            validity,
            offset,
            acked: segment.ack.and(peer_acked),
            window: segment.window,
            ttl: segment.ttl,
            ip_id: segment.ip_id,
            sent: sender.end().max(sender.acked),
            peer_sent: peer.end(),
            usual_ttl: if sender.packets > FEW_PACKETS { sender.ttl } else { UsualTtl::Unseen },
            talked_on: false,
            peer_talked_on: false,
            provoked: !is_answer || peer.last > spoke_before,
        };
        self.halves.get_mut(side).reset = Some(Box::new(reset));
        if let Some(acked) = peer_acked.filter(|_| segment.ack.is_some()) {
            // It proves no receipt, but that the peer sent so much, seen or not.
            self.halves.get_mut(side.other()).show(acked);
        }
    }

    /// When the connection was last heard of.
    #[must_use]
    pub fn last_at(&self) -> Timestamp {
        self.last.at
    }
}

pack_fields!(Connection { last, last_payload, payload_before, opened, halves, anomalies });

#[cfg(test)]
mod tests;
