//! How a TLS connection goes on behind bytes that the capture lacks.

use super::{Call, Context, Session, UNKNOWN_LEN};
use crate::anomaly::Anomaly;
use crate::side::Side;
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, StreamSink};
use crate::tls::decrypt::Opened;
use crate::tls::direction::{Candidate, Current, Epoch, Reading, Search};
use crate::tls::facts::Decryption;
use crate::tls::record::{ContentType, HEADER_LEN, Hit, ProtocolVersion, Record, Run};

impl Session {
    /// Takes a hole in TCP's bytes.
    pub(super) fn gap<S: StreamSink>(&mut self, side: Side, gap: Gap, call: &mut Call<'_, S>) {
        let direction = self.directions.get_mut(side);
        if direction.skip >= gap.len {
            direction.skip -= gap.len;
            return;
        }
        let gap = Gap { len: gap.len - direction.skip, offset: gap.offset + direction.skip, ..gap };
        direction.skip = 0;
        if let Some(search) = &mut direction.search {
            search.widen(gap, call.context.limits);
            return;
        }
        // Between records one byte is the FIN: no record is that short.
        if gap.cause == GapCause::ByteOrFin && !direction.deframer.is_inside() {
            return;
        }
        match direction.deframer.gap(gap.len) {
            Some(hit) => self.hit(side, gap, hit, call),
            None => self.lose(side, gap, call),
        }
    }

    /// A hole inside one record: the next one's place is known.
    fn hit<S: StreamSink>(&mut self, side: Side, gap: Gap, hit: Hit, call: &mut Call<'_, S>) {
        let direction = self.directions.get_mut(side);
        direction.skip = hit.left;
        direction.messages.reset();
        let content = match &mut direction.reading {
            Reading::Clear => return,
            Reading::Open(current) if current.opener.survives_holes() => {
                current.opener.pass_over();
                current.opener.content_len(usize::from(hit.header.length))
            }
            Reading::Sought(_) => {
                direction.miss(Gap { offset: hit.offset, len: UNKNOWN_LEN, ..gap });
                return;
            }
            Reading::Open(_) | Reading::Waiting | Reading::Blind => {
                self.blind(side, gap.at, hit.offset, call);
                return;
            }
        };
        let len = if content.1 { content.0 as u64 } else { UNKNOWN_LEN };
        if hit.header.content_type == ContentType::ALERT {
            self.facts.note_hidden_alert(side, gap.at);
        }
        // A record of nothing leaves no hole.
        if hit.header.content_type == ContentType::APPLICATION_DATA && len > 0 {
            let gap = Gap { offset: hit.offset, len, ..gap };
            call.sink.stream(side, StreamEvent::Gap(gap));
        }
    }

    /// A hole over the place where the next record begins.
    fn lose<S: StreamSink>(&mut self, side: Side, gap: Gap, call: &mut Call<'_, S>) {
        let is_tls13 = self.is_tls13();
        self.note_gap(side);
        let direction = self.directions.get_mut(side);
        direction.messages.reset();
        if matches!(direction.reading, Reading::Sought(_)) {
            direction.miss(Gap { len: UNKNOWN_LEN, ..gap });
            return;
        }
        if let (Reading::Clear, Some(opener)) = (&direction.reading, direction.pending.take()) {
            // The ChangeCipherSpec is in the hole, or still to come.
            direction.reading = Reading::Open(Box::new(Current { opener: *opener, epoch: Epoch::Legacy }));
        }
        let survives = match &direction.reading {
            Reading::Open(current) => current.opener.survives_holes(),
            Reading::Clear | Reading::Waiting | Reading::Sought(_) | Reading::Blind => false,
        };
        if survives {
            // Until a record behind the hole opens, nothing tells what was said under these keys.
            self.note_failure(Decryption::NoHello);
            let direction = self.directions.get_mut(side);
            direction.search = Some(Box::new(Search::new(gap, call.context.limits)));
        } else {
            if !is_tls13 || matches!(direction.reading, Reading::Clear) {
                self.note_failure(Decryption::NoHello);
            }
            self.blind(side, gap.at, gap.offset, call);
        }
    }

    /// Looks for a record behind a hole.
    pub(super) fn search<S: StreamSink>(&mut self, side: Side, run: Run<'_>, call: &mut Call<'_, S>) {
        let Some(mut search) = self.directions.get_mut(side).search.take() else { return };
        search.extend(run.bytes);
        let version = self.facts.version.unwrap_or(ProtocolVersion::TLS_1_2);
        while let Candidate::Found(mut record) = search.candidate(version, run.at, run.wire) {
            match self.try_sequences(side, &mut record, search.lost_records, call.context) {
                Some(opened) => {
                    self.anomalies.insert(Anomaly::TlsResynchronized);
                    call.sink.stream(side, StreamEvent::Gap(Gap { len: UNKNOWN_LEN, ..search.gap }));
                    let length = HEADER_LEN + usize::from(record.header.length);
                    let (rest, offset) = search.behind(length);
                    self.content(side, record, &opened, call);
                    self.data(side, Run { bytes: &rest, offset, ..run }, call);
                    return;
                }
                None => search.reject(),
            }
        }
        if search.in_vain > call.context.limits.tls_search_bytes || self.trial_bytes == 0 {
            self.anomalies.insert(Anomaly::TlsRecordUnreadable);
            let gap = search.gap;
            self.blind(side, gap.at, gap.offset, call);
            self.directions.get_mut(side).skip = u64::MAX;
        } else {
            self.directions.get_mut(side).search = Some(search);
        }
    }

    /// Opens a record behind a hole in which up to `lost` others may have stood.
    fn try_sequences(
        &mut self,
        side: Side,
        record: &mut Record,
        lost: u64,
        context: Context<'_>,
    ) -> Option<Opened> {
        let mut next = self.epoch_after(side, context);
        for step in 0..=lost {
            if !self.trial(record.fragment.len()) {
                return None;
            }
            let Reading::Open(current) = &mut self.directions.get_mut(side).reading else { return None };
            let sequence = current.opener.sequence().saturating_add(step);
            if let Ok(opened) = current.opener.open_at(sequence, record.header, &mut record.fragment) {
                return Some(opened);
            }
            let following =
                next.as_mut().map(|next| next.opener.open_at(step, record.header, &mut record.fragment));
            if let (Some(Ok(opened)), Some(next)) = (following, next.take_if(|next| next.opener.opened() > 0))
            {
                self.directions.get_mut(side).reading = Reading::Open(Box::new(next));
                return Some(opened);
            }
        }
        None
    }
}
