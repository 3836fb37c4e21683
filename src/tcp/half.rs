//! One direction of a TCP connection: what this side sent, and how much of it the peer acknowledged.

use super::liveness::{Keepalives, Unanswered};
use super::reassembly::OutOfOrder;
use super::reset::{Reset, ResetValidity};
use super::stream_event::{Gap, GapCause, StreamSink};
use crate::decode::segment::Segment;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::pack::{Pack, Packer, Unpacker, pack_fields};
use crate::seq::SeqNum;
use crate::side::Side;
use crate::time::Timestamp;
use std::time::Duration;

/// Farthest distance, in bytes, between what is expected and what is believed: the largest window RFC 7323 allows.
const WINDOW_MAX: i64 = 1 << 30;

/// A FIN as it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fin {
    /// The packet.
    pub at: Moment,
    /// Stream offset it stands at: the length of its sender's stream.
    pub offset: u64,
    /// What its sender had received by then, as an offset in the peer's stream.
    pub peer_acked: Option<u64>,
}

/// One direction.
///
/// ```text
///  0            delivered ^next        ^sent         ^shown
///  |---------------------|---held---|--|-- unseen ----|
///                 ^acked (may stand anywhere: the peer's receipt)
/// ```
///
/// Offsets count payload bytes from the one behind the SYN; a FIN takes one more.
///
/// Four cache lines, in the order in which packets need them. The short way ([`Connection::handle_plain`]) writes to the
/// first, and to the second when the peer has to answer anew; while it is taken, `sent` and `shown` stand for `next`,
/// `settled` for `last`, and only `write_up` writes them:
///
/// ```text
///    0 next, acked | last | base, from_syn, first_ttl | packets, ttl, plain | unanswered: sendings
///   64 unanswered: the rest | sent, shown
///  128 settled, syn, established | reset, recovery
///  192 fin, passed_end, oddities
/// ```
///
/// [`Connection::handle_plain`]: super::connection::Connection::handle_plain
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Half {
    /// Delivered, or given up, up to here.
    pub next: u64,
    /// Furthest acknowledgment by the peer; counts a FIN as one byte.
    pub acked: u64,
    /// The side's last packet.
    pub last: Option<Moment>,
    /// Sequence number of stream offset 0, once known.
    base: SeqNum,
    is_known: bool,
    /// Was `base` taken from a SYN (and not guessed in mid-stream)?
    from_syn: bool,
    /// TTL or hop limit of its first packet.
    pub first_ttl: Option<u8>,
    /// Packets of this side; stops at its maximum.
    pub packets: u32,
    /// TTL or hop limit of its packets other than resets.
    pub ttl: UsualTtl,
    /// Nothing is missing, held, ended or reset: see [`Connection::handle_plain`](super::connection::Connection).
    pub(crate) plain: bool,
    /// Its sendings that drew no answer.
    pub unanswered: Unanswered,
    /// See [`Half::sent`].
    pub(super) sent: u64,
    /// See [`Half::shown`].
    pub(super) shown: u64,
    /// Its last packet that stood exactly at `next`: what lies behind was sent later.
    pub(super) settled: Option<Moment>,
    /// First SYN.
    pub syn: Option<Moment>,
    /// First packet that is no SYN.
    pub established: Option<Moment>,
    /// First reset that its receiver must honour.
    pub reset: Option<Box<Reset>>,
    /// Held segments and the hole before them, while there is one.
    pub(crate) recovery: Option<Box<Recovery>>,
    /// First FIN.
    pub fin: Option<Fin>,
    /// The packet of the peer that acknowledged one byte more than was seen, while it does.
    pub(super) passed_end: Option<Moment>,
    oddities: Option<Box<Oddities>>,
}

/// What few connections have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Oddities {
    keepalives: Keepalives,
    differs: Option<Moment>,
    /// The latest bare segment that showed bytes which the capture does not hold: how far, and what it acknowledged.
    shown_by: Option<(u64, u64)>,
    /// Since when bytes are known to be missing, and what the side had acknowledged before.
    hole: Option<(Moment, u64)>,
    resent: Option<Resent>,
}

/// Bytes that the capture holds only as they were sent again: their acknowledgment is younger than they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resent {
    /// Stream offset of the first.
    pub from: u64,
    /// Stream offset behind the last.
    pub until: u64,
    /// What their sender had received at least when it sent them first, as an offset in the peer's stream.
    pub received: u64,
}

/// The TTL or hop limit that a side's packets arrive with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsualTtl {
    /// None seen.
    #[default]
    Unseen,
    /// The same in all packets.
    Always(u8),
    /// Two: the capture holds packets before and behind a router, as `-i any` does there.
    Either(u8, u8),
    /// More: packets take different ways.
    Varies,
}

impl UsualTtl {
    /// Notes a packet's.
    #[inline]
    pub(crate) fn note(&mut self, ttl: u8) {
        if !matches!(*self, UsualTtl::Always(one) if one == ttl) {
            self.note_other(ttl);
        }
    }

    #[cold]
    fn note_other(&mut self, ttl: u8) {
        *self = match *self {
            UsualTtl::Unseen => UsualTtl::Always(ttl),
            UsualTtl::Always(one) => UsualTtl::Either(one, ttl),
            UsualTtl::Either(one, other) if one == ttl || other == ttl => *self,
            UsualTtl::Either(..) | UsualTtl::Varies => UsualTtl::Varies,
        };
    }
}

/// Packets that change places on their way are nearer to each other than this, which is where Wireshark, too, takes a segment to
/// be out of order and not sent again.
const MAY_SWAP: Duration = Duration::from_millis(3);

/// A hole in one direction and what waits behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovery {
    pub queue: OutOfOrder,
    /// When bytes turned out acknowledged but not seen, and the connection's packet count then.
    pub lost_since: Option<(Timestamp, u64)>,
}

impl Half {
    /// See [`Connection::touch`](super::connection::Connection::touch).
    pub(crate) fn touch(&self) -> u64 {
        self.next ^ u64::from(self.unanswered.last.packet)
    }

    /// Something of each of its cache lines.
    pub(super) fn touch_all(&self) -> u64 {
        self.touch() ^ u64::from(self.settled.is_some()) ^ u64::from(self.fin.is_some())
    }

    /// Sets the numbering from a SYN, unless it is known already.
    pub(crate) fn begin(&mut self, first: SeqNum, from_syn: bool) {
        if !self.is_known {
            (self.base, self.is_known) = (first, true);
        }
        if from_syn && !self.from_syn {
            self.rebase(first);
        }
        self.from_syn |= from_syn && self.base == first;
    }

    /// A SYN behind packets that were sent later: what they acknowledged was taken for the numbering's start.
    fn rebase(&mut self, first: SeqNum) {
        let is_untouched = self.next == 0 && self.sent == 0 && self.recovery.is_none();
        if let (true, Ok(earlier)) = (is_untouched, u64::try_from(self.base.distance_from(first))) {
            self.base = first;
            (self.acked, self.shown) = (self.acked + earlier, self.shown + earlier);
        }
    }

    /// Is the numbering known?
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// The sequence number of the SYN that set the numbering.
    #[must_use]
    pub fn initial_seq(&self) -> Option<SeqNum> {
        self.from_syn.then_some(SeqNum(self.base.0.wrapping_sub(1)))
    }

    /// Is `seq` the number of the next byte?
    #[must_use]
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is the meaning")]
    pub fn expects(&self, seq: SeqNum) -> bool {
        self.is_known && self.base.advance(self.next as u32) == seq
    }

    /// How many bytes before what is expected next `ack` stands, modulo 2^32; the numbering must be known.
    #[must_use]
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is the meaning")]
    pub(super) fn unacked_behind(&self, ack: SeqNum) -> u64 {
        u64::from(self.base.advance(self.next as u32).0.wrapping_sub(ack.0))
    }

    /// Signed stream offset of `seq`, the one nearest to what is expected next; `None` before any numbering.
    #[must_use]
    #[inline]
    #[expect(
        clippy::cast_possible_wrap,
        clippy::cast_possible_truncation,
        reason = "modulo 2^32 is the meaning"
    )]
    pub fn offset_of(&self, seq: SeqNum) -> Option<i64> {
        if !self.is_known {
            return None;
        }
        let expected = self.base.advance(self.next as u32);
        Some((self.next as i64).saturating_add(i64::from(seq.distance_from(expected))))
    }

    /// Stream offset of an acknowledgment for this side's bytes, if it lies in a believable window.
    #[must_use]
    pub fn acked_offset(&self, ack: SeqNum) -> Option<u64> {
        let offset = self.offset_of(ack)?;
        self.in_window(offset).then_some(()).and_then(|()| u64::try_from(offset).ok())
    }

    /// Could a segment at `offset` belong to this stream now?
    #[must_use]
    #[expect(clippy::cast_possible_wrap, reason = "a stream of 2^63 bytes does not exist")]
    pub fn in_window(&self, offset: i64) -> bool {
        (offset - self.next as i64).abs() <= WINDOW_MAX
    }

    /// End of the furthest payload byte that the capture holds.
    #[must_use]
    pub fn sent(&self) -> u64 {
        if self.plain { self.next } else { self.sent }
    }

    /// Furthest offset that any packet shows to have been sent, captured or not.
    #[must_use]
    pub fn shown(&self) -> u64 {
        if self.plain { self.next } else { self.shown }
    }

    /// The short way is left: what it let lie is written.
    pub(super) fn catch_up(&mut self) {
        self.write_up();
        self.plain = false;
    }

    /// Writes what the short way let lie.
    pub(super) fn write_up(&mut self) {
        if self.plain {
            (self.sent, self.shown, self.settled) = (self.next, self.next, self.last);
        }
    }

    /// Its keepalive probes.
    #[must_use]
    pub fn keepalives(&self) -> Keepalives {
        self.oddities.as_ref().map_or_else(Keepalives::default, |odd| odd.keepalives)
    }

    /// The first packet whose bytes differed from those sent before in their place: what the receiver took can't be told.
    #[must_use]
    pub fn differs(&self) -> Option<Moment> {
        self.oddities.as_ref()?.differs
    }

    /// The furthest bytes that the capture holds only as they were sent again.
    #[must_use]
    pub fn resent(&self) -> Option<Resent> {
        self.oddities.as_ref()?.resent
    }

    /// Are bytes missing, or were they?
    #[inline]
    pub(super) fn may_have_hole(&self) -> bool {
        self.shown > self.next || self.oddities.is_some()
    }

    /// After a segment: are bytes missing since then, and what had the side acknowledged before it?
    pub(super) fn note_hole(&mut self, was_whole: bool, acked_before: u64, at: Moment) {
        let is_whole = self.unseen() == 0;
        if was_whole && !is_whole {
            self.oddities.get_or_insert_default().hole = Some((at, acked_before));
        } else if is_whole && let Some(odd) = self.oddities.as_mut() {
            odd.hole = None;
            if **odd == Oddities::default() {
                self.oddities = None;
            }
        }
    }

    /// Bytes come that were known to be missing: not for the first time, unless two packets only changed places.
    pub(super) fn note_resent(&mut self, from: u64, until: u64, at: Moment) {
        let is_missing = until > self.next && until <= self.shown;
        let Some(odd) = self.oddities.as_mut().filter(|_| is_missing) else { return };
        if let Some((since, received)) = odd.hole
            && at.at.has_passed(MAY_SWAP, since.at)
            && odd.resent.is_none_or(|resent| resent.until < until)
        {
            odd.resent = Some(Resent { from, until, received });
        }
    }

    pub(super) fn note_keepalive(&mut self, at: Moment) {
        self.oddities.get_or_insert_default().keepalives.note(at);
    }

    pub(super) fn note_differing(&mut self, at: Moment) {
        self.oddities.get_or_insert_default().differs.get_or_insert(at);
    }

    /// Does `segment`, whose payload begins at `offset`, repeat bytes that were delivered, and not as they were? Only what its
    /// receiver had not acknowledged by then can it have taken from this one.
    pub(super) fn is_sent_otherwise<S: StreamSink>(
        &self,
        side: Side,
        offset: i64,
        segment: &Segment<'_>,
        sink: &S,
    ) -> bool {
        let Ok(offset) = u64::try_from(offset) else { return false };
        let Some(again) = self.next.checked_sub(offset).filter(|again| *again > 0) else { return false };
        let again = usize::try_from(again).unwrap_or(usize::MAX).min(segment.payload.len());
        let bytes = segment.payload.get(..again).unwrap_or_default();
        self.acked < offset.saturating_add(again as u64) && sink.differs(side, offset, bytes)
    }

    /// A bare segment shows that the stream reaches `end`, and acknowledges so much of the peer's.
    pub(super) fn note_shown_by(&mut self, end: u64, peer_acked: Option<u64>) {
        if end > self.shown
            && let Some(acked) = peer_acked
        {
            self.oddities.get_or_insert_default().shown_by = Some((end, acked));
        }
    }

    /// What the side had received at most when it first sent its bytes up to `end`, of which a segment that acknowledges
    /// `peer_acked` comes now: of bytes sent again, what was sent behind them before tells how little that was.
    pub(super) fn acked_when_first_sent(&self, end: u64, peer_acked: Option<u64>) -> Option<u64> {
        if end > self.shown {
            return peer_acked;
        }
        let by_fin = self.fin.filter(|fin| end <= fin.offset).and_then(|fin| fin.peer_acked);
        let shown_by = self.oddities.as_ref().and_then(|odd| odd.shown_by);
        let by_bare = shown_by.filter(|(shown, _)| end <= *shown).map(|(_, acked)| acked);
        let by_held = self.recovery.as_ref().and_then(|recovery| recovery.queue.acked_behind(end));
        let least = [by_fin, by_bare, by_held].into_iter().flatten().min();
        peer_acked.map(|acked| least.map_or(acked, |least| acked.min(least)))
    }

    /// Where the side's stream ends with its FIN counted: the next sequence number's offset, as far as seen.
    #[must_use]
    pub fn end(&self) -> u64 {
        match self.fin {
            Some(fin) if fin.offset >= self.sent() => fin.offset + 1,
            _ => self.sent(),
        }
    }

    /// Notes what tells how far away the side is; over with its first packet that is no SYN.
    pub(crate) fn note_opening(&mut self, segment: &Segment<'_>) {
        self.first_ttl.get_or_insert(segment.ttl);
        if !segment.flags.syn() {
            self.established = Some(segment.at);
        }
    }

    /// The peer acknowledged up to `offset`.
    pub(crate) fn acknowledge(&mut self, offset: u64, at: Moment) {
        if offset > self.acked {
            self.acked = offset;
            self.passed_end = (offset == self.sent() + 1).then_some(at);
            self.show(offset);
        }
    }

    /// A packet shows that the stream reaches `offset`, a FIN perhaps counted.
    pub(crate) fn show(&mut self, offset: u64) {
        let fin_counted = self.fin.is_some_and(|fin| offset == fin.offset + 1);
        let payload = offset - u64::from(fin_counted);
        self.shown = self.shown.max(payload);
    }

    /// Bytes that some packet shows to exist beyond what was delivered.
    ///
    /// An unseen FIN looks like one more byte; so does a byte of data.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.shown().saturating_sub(self.next)
    }

    /// Did it send a reset that its receiver can only honour?
    #[must_use]
    pub fn is_surely_reset(&self) -> bool {
        self.reset.as_ref().is_some_and(|reset| reset.validity == ResetValidity::Exact)
    }

    /// Its receiver ignored the reset. If it acknowledged all that the peer had sent, as an abort does, it was its sender's all
    /// the same, and stands where that had come to.
    pub(super) fn forget_reset(&mut self) {
        if let Some(reset) = self.reset.take()
            && reset.validity == ResetValidity::Ahead
            && reset.acked.is_some_and(|acked| acked >= reset.peer_sent)
            && let Some(Ok(offset)) = reset.offset.map(u64::try_from)
        {
            self.show(offset);
        }
    }

    /// New bytes up to `end` are sent: after a reset, only someone who did not send it does so.
    pub(crate) fn note_talking_on(&mut self, end: u64) {
        if let Some(reset) = self.reset.as_mut()
            && reset.offset.is_none_or(|offset| u64::try_from(offset).is_ok_and(|offset| end > offset))
            && end > self.sent
        {
            reset.talked_on = true;
        }
    }

    /// The peer's packet that acknowledges a FIN which the capture does not hold; between frames no single byte is
    /// anything else.
    #[must_use]
    pub fn unseen_fin(&self) -> Option<Moment> {
        self.passed_end.filter(|_| self.fin.is_none() && self.acked == self.sent() + 1)
    }

    /// Does its own numbering stand one beyond the last byte seen, as behind a FIN that was not?
    #[must_use]
    pub fn has_hidden_fin(&self) -> bool {
        self.fin.is_none() && self.shown() == self.sent() + 1
    }

    /// Does it hold more out of order than it may?
    pub(crate) fn holds_too_much(&self, limits: &Limits) -> bool {
        self.recovery.as_ref().is_some_and(|recovery| {
            recovery.queue.memory() > limits.out_of_order_bytes
                || recovery.queue.len() > limits.out_of_order_segments
        })
    }

    /// A hole of `len` bytes at `next`.
    pub(crate) fn gap(&self, at: Moment, len: u64, cause: GapCause) -> Gap {
        Gap { at, offset: self.next, len, cause, unsent_at: self.settled }
    }

    /// Has the peer acknowledged the whole stream with its FIN?
    #[must_use]
    pub fn fin_acked(&self) -> bool {
        self.fin.is_some_and(|fin| self.acked > fin.offset)
    }
}

pack_fields!(Half {
    next, acked, last, base, is_known, from_syn, first_ttl, packets, ttl, plain, unanswered, sent, shown, settled, syn,
    established, fin, passed_end, oddities,
} without { reset, recovery });
pack_fields!(Fin { at, offset, peer_acked });
impl Pack for Oddities {
    fn pack(&self, into: &mut Packer) {
        self.keepalives.pack(into);
        self.differs.pack(into);
        self.shown_by.map(|(end, _)| end).pack(into);
        self.shown_by.map(|(_, acked)| acked).pack(into);
        self.hole.map(|(at, _)| at).pack(into);
        self.hole.map(|(_, acked)| acked).pack(into);
        self.resent.map(|Resent { from, until, .. }| (from, until)).pack(into);
        self.resent.map(|resent| resent.received).pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let (keepalives, differs) = (Pack::unpack(from), Pack::unpack(from));
        let shown_by = Option::unpack(from).zip(Option::unpack(from));
        let hole = Option::unpack(from).zip(Option::unpack(from));
        let resent = Option::unpack(from).zip(Option::unpack(from));
        let resent = resent.map(|((from, until), received)| Resent { from, until, received });
        Oddities { keepalives, differs, shown_by, hole, resent }
    }
}

impl Pack for UsualTtl {
    fn pack(&self, into: &mut Packer) {
        let (kind, ttls) = match *self {
            UsualTtl::Unseen => (0, [0, 0]),
            UsualTtl::Always(ttl) => (1, [ttl, 0]),
            UsualTtl::Either(one, other) => (2, [one, other]),
            UsualTtl::Varies => (3, [0, 0]),
        };
        into.put_bits(kind, 2);
        ttls.pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let (kind, [one, other]) = (from.bits(2), <[u8; 2]>::unpack(from));
        match kind {
            0 => UsualTtl::Unseen,
            1 => UsualTtl::Always(one),
            2 => UsualTtl::Either(one, other),
            _ => UsualTtl::Varies,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_pass_the_wrap_of_sequence_numbers() {
        let mut half = Half::default();
        half.begin(SeqNum(u32::MAX - 9), true);
        assert_eq!(half.offset_of(SeqNum(10)), Some(20));
        half.next = (1 << 32) + 5;
        assert_eq!(half.offset_of(SeqNum(u32::MAX - 9).advance(6)), Some((1 << 32) + 6));
        assert_eq!(half.offset_of(SeqNum(u32::MAX - 9).advance(4)), Some((1 << 32) + 4));
    }

    #[test]
    fn an_acknowledged_fin_shows_no_unseen_byte() {
        let mut half = Half::default();
        half.begin(SeqNum(1), true);
        (half.next, half.sent) = (10, 10);
        half.fin = Some(Fin { at: Moment::default(), offset: 10, peer_acked: None });
        half.acknowledge(11, Moment::default());
        assert_eq!((half.unseen(), half.fin_acked()), (0, true));
    }

    #[test]
    fn an_acknowledgment_beyond_what_was_seen_shows_a_hole() {
        let mut half = Half::default();
        half.begin(SeqNum(1), true);
        half.acknowledge(8, Moment::default());
        assert_eq!(half.unseen(), 8);
    }
}
