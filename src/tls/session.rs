//! One TLS connection: takes what TCP delivers, gives what the application sent.

mod holes;
mod joined;
mod keys;

use super::decrypt::Opened;
use super::direction::{Current, Direction, Epoch, Reading};
use super::facts::{Decryption, Facts};
use super::held::Held;
use super::hello::{ClientHello, HandshakeType, Message, ServerHello};
use super::keylog::{ClientRandom, KeyLog};
use super::record::{ContentType, ProtocolVersion, Record, RecordHeader, Run};
use super::shape::{Protection, RecordSeen};
use crate::anomaly::{Anomaly, AnomalySet};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, StreamSink, Wire};
use crate::work;
pub use joined::may_be_under_way;

/// Length of a hole in the content where it is unknown: more than any frame has left.
const UNKNOWN_LEN: u64 = u64::MAX / 2;
/// What a trial costs besides its bytes.
const TRIAL_OVERHEAD: usize = 256;

/// What a session needs to know besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Caps.
    pub limits: &'a Limits,
    /// The keys there are.
    pub keys: &'a KeyLog,
    /// More keys may come: records wait for them, up to a limit.
    pub more_keys: bool,
}

/// A TLS connection as a passive observer follows it.
///
/// Content keeps its place in TCP: the [`Wire`] of decrypted bytes is that of their record, which its receiver can read
/// only when it is whole.
#[derive(Clone, Debug)]
pub struct Session {
    directions: PerSide<Direction>,
    client_random: Option<ClientRandom>,
    server_hello: Option<ServerHello>,
    /// Did the client announce early data, so that its first protected records may be under other keys?
    early_offered: bool,
    /// Early data, until the server accepts them.
    early: Held,
    /// The first of them for which there was no room: those behind it are not held either.
    early_unheld: Option<(Moment, u64)>,
    /// Bytes that may still be deciphered on trial.
    trial_bytes: usize,
    /// Content given so far, in bytes.
    content_bytes: u64,
    /// The capture lacks the start of the handshake: which session of the key log it is, its records must tell.
    is_joined: bool,
    /// They told that the side taken for the client is the server.
    reversed: bool,
    /// What the connection tells of itself.
    pub facts: Facts,
    /// Oddities.
    pub anomalies: AnomalySet,
}

/// What a call works with.
struct Call<'a, S> {
    context: Context<'a>,
    sink: &'a mut S,
}

impl Session {
    /// A connection that begins with a `ClientHello`. `observe`: its records are noted in [`Facts::shape`].
    #[must_use]
    pub fn new(observe: bool, limits: &Limits) -> Session {
        Session {
            directions: PerSide::default(),
            client_random: None,
            server_hello: None,
            early_offered: false,
            early: Held::default(),
            early_unheld: None,
            trial_bytes: limits.tls_trial_bytes,
            content_bytes: 0,
            is_joined: false,
            reversed: false,
            facts: Facts { shape: observe.then(Box::default), ..Facts::default() },
            anomalies: AnomalySet::default(),
        }
    }

    /// Memory for what waits to be read or decrypted, in bytes; the little that keys and names take left out.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let directions = Side::BOTH.iter().map(|side| self.directions[*side].held_bytes());
        directions.sum::<usize>() + self.early.memory()
    }

    /// Takes what `side` sent; `sink` gets its content.
    pub fn stream<S: StreamSink>(
        &mut self,
        side: Side,
        event: StreamEvent<'_>,
        context: Context<'_>,
        sink: &mut S,
    ) {
        let call = &mut Call { context, sink };
        match event {
            StreamEvent::Data { at, offset, bytes, wire } => {
                self.data(side, Run { at, offset, bytes, wire }, call);
            }
            StreamEvent::Gap(gap) => self.gap(side, gap, call),
        }
    }

    /// Does the next byte of `side` belong to a record that has begun?
    #[must_use]
    pub fn is_in_record(&self, side: Side) -> bool {
        self.directions[side].deframer.is_inside() || self.directions[side].skip > 0
    }

    /// Bytes of application data that were decrypted so far.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Is nothing left to be read of either side?
    #[must_use]
    pub fn is_blind(&self) -> bool {
        Side::BOTH.iter().all(|side| self.directions[*side].is_blind())
    }

    /// Nobody wants the content any more.
    pub fn stop(&mut self) {
        for side in Side::BOTH {
            let direction = self.directions.get_mut(side);
            *direction = Direction { reading: Reading::Blind, ..Direction::default() };
        }
        (self.early, self.early_unheld) = (Held::default(), None);
    }

    /// Nothing more will come. What was not read by now is a hole.
    pub fn finish<S: StreamSink>(&mut self, at: Moment, sink: &mut S) {
        for side in Side::BOTH {
            if self.deliver_part(side, sink) {
                continue;
            }
            let direction = self.directions.get_mut(side);
            let unread = match (&direction.reading, &direction.search) {
                (Reading::Blind, _) => None,
                (_, Some(search)) => Some(search.gap),
                (Reading::Open(current), None) if direction.deframer.is_inside() => {
                    // Its receiver can't read it either, but it may tell what its sender meant to say.
                    let length = direction.deframer.header().map_or(0, |header| usize::from(header.length));
                    let (len, _) = current.opener.content_len(length);
                    let len = if length == 0 { UNKNOWN_LEN } else { len as u64 };
                    Some(hole(at, direction.deframer.offset(), len, GapCause::Encrypted))
                }
                (Reading::Waiting, None) => direction
                    .held
                    .first()
                    .map(|record| hole(record.at, record.offset, UNKNOWN_LEN, GapCause::Encrypted)),
                (Reading::Sought(_), None) => direction.untold,
                _ => None,
            };
            *direction = Direction { reading: Reading::Blind, ..Direction::default() };
            if let Some(gap) = unread.filter(|_| self.facts.is_decrypted()) {
                sink.stream(side, StreamEvent::Gap(Gap { len: gap.len.max(1), ..gap }));
            }
        }
    }

    /// Gives the content of a record whose rest was never sent: in the clear it would be there to be read, too. False: it
    /// is not to be had.
    fn deliver_part<S: StreamSink>(&mut self, side: Side, sink: &mut S) -> bool {
        let direction = self.directions.get_mut(side);
        let (Reading::Open(current), None) = (&direction.reading, &direction.search) else { return false };
        // The handshake is no content, and what never opened may be under other keys.
        let is_content = matches!(current.epoch, Epoch::Application(_) | Epoch::Legacy)
            && current.opener.opened() > 0
            && current.opener.deciphers_parts()
            && direction.deframer.header().is_some_and(|it| it.content_type == ContentType::APPLICATION_DATA);
        if !is_content {
            return false;
        }
        let Some(mut part) = direction.deframer.take_part() else { return false };
        if let Some(content) = current.opener.decipher_part(part.header, &mut part.fragment) {
            let content = part.fragment.get(content).unwrap_or_default();
            deliver(side, part.at, part.offset, content, part.wire, sink);
        }
        *direction = Direction { reading: Reading::Blind, ..Direction::default() };
        true
    }

    fn data<S: StreamSink>(&mut self, mut side: Side, mut run: Run<'_>, call: &mut Call<'_, S>) {
        while !run.bytes.is_empty() {
            let direction = self.directions.get_mut(side);
            if direction.skip > 0 {
                let step = usize::try_from(direction.skip).unwrap_or(usize::MAX).min(run.bytes.len());
                direction.skip -= step as u64;
                run.bytes = run.bytes.get(step..).unwrap_or_default();
                run.offset = run.offset.saturating_add(step as u64);
            } else if direction.search.is_some() {
                self.search(side, run, call);
                return;
            } else if direction.is_blind() {
                if self.facts.shape.is_none() || !self.pass_over(side, &mut run) {
                    return;
                }
            } else if self.is_amid_record(side, run.bytes) {
                return;
            } else {
                let direction = self.directions.get_mut(side);
                match direction.deframer.next(&mut run) {
                    None => return,
                    Some(Ok(record)) => {
                        let was_reversed = self.reversed;
                        self.record(side, record, call);
                        // The rest of the segment is the other side's, too.
                        side = if self.reversed == was_reversed { side } else { side.other() };
                    }
                    Some(Err(_)) => {
                        self.anomalies.insert(Anomaly::TlsRecordMalformed);
                        let (at, offset) = (run.at, direction.deframer.offset());
                        self.blind(side, at, offset, call);
                        // Nothing is known of what follows, not even where records are.
                        self.note_gap(side);
                        self.directions.get_mut(side).skip = u64::MAX;
                        return;
                    }
                }
            }
        }
    }

    /// Notes a record that is not read. False: there is none.
    fn pass_over(&mut self, side: Side, run: &mut Run<'_>) -> bool {
        let direction = self.directions.get_mut(side);
        match direction.deframer.next_header(run) {
            Some(Ok(header)) => {
                direction.skip = u64::from(header.length);
                self.observe(side, header, run.at, run.wire);
                true
            }
            Some(Err(_)) => {
                direction.skip = u64::MAX;
                self.note_gap(side);
                false
            }
            None => false,
        }
    }

    fn observe(&mut self, side: Side, header: RecordHeader, at: Moment, wire: Wire) {
        if let Some(shape) = &mut self.facts.shape {
            let RecordHeader { content_type, length, .. } = header;
            shape.handle_record(side, &RecordSeen { at, content_type, length, wire });
        }
        if header.content_type == ContentType::ALERT && self.directions[side].is_blind() {
            self.facts.note_hidden_alert(side, at);
        }
    }

    /// Records of `side` may have passed unseen.
    fn note_gap(&mut self, side: Side) {
        if let Some(shape) = &mut self.facts.shape {
            shape.handle_gap(side);
        }
    }

    /// Takes a whole record.
    fn record<S: StreamSink>(&mut self, side: Side, record: Record, call: &mut Call<'_, S>) {
        work::step();
        let limits = call.context.limits;
        if !matches!(self.directions[side].reading, Reading::Clear) {
            self.observe(side, record.header, record.at, record.wire);
        }
        match self.directions[side].reading {
            Reading::Clear => self.clear(side, record, call),
            Reading::Open(_) => self.protected(side, record, call),
            Reading::Blind => {}
            Reading::Sought(_) => self.seek(side, record, call),
            Reading::Waiting => {
                let (at, offset) = (record.at, record.offset);
                if !self.directions.get_mut(side).held.push(record, limits.tls_held_bytes) {
                    self.anomalies.insert(Anomaly::TlsHeldLimit);
                    self.blind(side, at, offset, call);
                } else if self.server_hello.is_some() {
                    self.find_keys(call);
                }
            }
        }
    }

    /// Takes a record that should be in the clear.
    fn clear<S: StreamSink>(&mut self, side: Side, mut record: Record, call: &mut Call<'_, S>) {
        let content = std::mem::take(&mut record.fragment);
        match record.header.content_type {
            ContentType::HANDSHAKE => self.handshake(side, record.at, &content, call),
            ContentType::ALERT => self.facts.note_alert(side, record.at, record.wire.peer_acked, &content),
            // For middleboxes (RFC 8446 §D.4).
            ContentType::CHANGE_CIPHER_SPEC if self.is_tls13() => {}
            _ if side == Side::Client && self.server_hello.is_none() => {
                // Early data, or the server's hello comes late: only that will tell.
                let record = Record { fragment: content, ..record };
                self.directions.client.reading = Reading::Waiting;
                self.record(side, record, call);
            }
            ContentType::CHANGE_CIPHER_SPEC if !self.is_tls13() => {
                self.change_cipher_spec(side, record, call)
            }
            ContentType::APPLICATION_DATA => self.blind(side, record.at, record.offset, call),
            _ => {}
        }
    }

    /// What follows is under new keys (up to TLS 1.2).
    fn change_cipher_spec<S: StreamSink>(&mut self, side: Side, record: Record, call: &mut Call<'_, S>) {
        *self.facts.finished.get_mut(side) = true;
        let direction = self.directions.get_mut(side);
        match direction.pending.take() {
            Some(opener) => {
                direction.messages.reset();
                let current = Current { opener: *opener, epoch: Epoch::Legacy };
                direction.reading = Reading::Open(Box::new(current));
            }
            None => self.no_keys(side, record.at, record.offset, call),
        }
    }

    fn handshake<S: StreamSink>(&mut self, side: Side, at: Moment, content: &[u8], call: &mut Call<'_, S>) {
        let mut left = content;
        let longest = call.context.limits.tls_hello_bytes;
        while let Some(message) = self.directions.get_mut(side).messages.next(&mut left, longest) {
            match message {
                Message::ClientHello(hello) if side == Side::Client => self.take_client_hello(hello, at),
                Message::ServerHello(hello) if side == Side::Server => {
                    self.take_server_hello(hello, at, call)
                }
                Message::EncryptedExtensions(found) if side == Side::Server => {
                    if let Some(name) = &found.alpn {
                        call.sink.protocol(name);
                    }
                    self.facts.alpn = found.alpn;
                    self.settle_early(found.early_data, call);
                }
                Message::Other(HandshakeType::FINISHED) => {
                    *self.facts.finished.get_mut(side) = true;
                    self.next_epoch(side, call.context, |epoch| matches!(epoch, Epoch::Handshake));
                }
                Message::Other(HandshakeType::KEY_UPDATE) => {
                    self.next_epoch(side, call.context, |epoch| matches!(epoch, Epoch::Application(_)));
                }
                Message::Other(HandshakeType::END_OF_EARLY_DATA) => {
                    self.settle_early(true, call);
                    self.next_epoch(side, call.context, |epoch| matches!(epoch, Epoch::Early));
                }
                _ => {}
            }
        }
    }

    fn take_client_hello(&mut self, hello: ClientHello, at: Moment) {
        self.client_random = Some(hello.random);
        // The second hello of a retry announces none.
        self.early_offered = hello.early_data;
        if let Some(shape) = &mut self.facts.shape {
            let alpn = hello.alpn.iter().map(Vec::as_slice);
            shape.set_client_hello(hello.server_name.as_deref(), alpn);
        }
        self.facts.client_hello.get_or_insert(at);
        self.facts.server_name = hello.server_name.or(self.facts.server_name.take());
        self.facts.alpn_offered = hello.alpn;
    }

    fn take_server_hello<S: StreamSink>(&mut self, hello: ServerHello, at: Moment, call: &mut Call<'_, S>) {
        if hello.is_retry_request() {
            self.facts.version = Some(hello.version);
            self.retry(call);
            return;
        }
        self.facts.server_hello.get_or_insert(at);
        self.facts.version = Some(hello.version);
        self.facts.suite = Some(hello.suite);
        if let Some(shape) = &mut self.facts.shape {
            shape.set_server_hello(Protection::of(hello.version, hello.suite), hello.alpn.as_deref());
        }
        if let Some(name) = &hello.alpn {
            call.sink.protocol(name);
            self.facts.alpn.clone_from(&hello.alpn);
        }
        self.server_hello = Some(hello);
        if self.is_tls13() {
            for side in Side::BOTH {
                self.directions.get_mut(side).messages.reset();
                self.directions.get_mut(side).reading = Reading::Waiting;
            }
        }
        self.find_keys(call);
    }

    /// The server asked for another `ClientHello`: early data are void (RFC 8446 §4.2.10).
    fn retry<S: StreamSink>(&mut self, call: &mut Call<'_, S>) {
        self.early_offered = false;
        let client = &mut self.directions.client;
        if matches!(client.reading, Reading::Waiting) {
            client.reading = Reading::Clear;
            let held = client.held.take();
            for record in held {
                if record.header.content_type == ContentType::HANDSHAKE {
                    self.record(Side::Client, record, call);
                }
            }
        }
    }

    fn is_tls13(&self) -> bool {
        self.facts.version.is_some_and(|version| version >= ProtocolVersion::TLS_1_3)
    }

    /// Takes a record that is protected, and whose keys are known.
    fn protected<S: StreamSink>(&mut self, side: Side, mut record: Record, call: &mut Call<'_, S>) {
        let kind = record.header.content_type;
        if self.is_tls13() && kind != ContentType::APPLICATION_DATA {
            // A ChangeCipherSpec for middleboxes (RFC 8446 §D.4), or an alert of one who had no keys yet.
            if kind == ContentType::ALERT {
                self.facts.note_alert(side, record.at, record.wire.peer_acked, &record.fragment);
            }
            return;
        }
        let Reading::Open(current) = &mut self.directions.get_mut(side).reading else { return };
        match current.opener.open(record.header, &mut record.fragment) {
            Ok(opened) => self.content(side, record, &opened, call),
            Err(_) => self.does_not_open(side, record, call),
        }
    }

    /// The message that brings new keys may have been missed, or meant for others; then the next ones fit.
    fn does_not_open<S: StreamSink>(&mut self, side: Side, mut record: Record, call: &mut Call<'_, S>) {
        if let Some(mut next) = self.epoch_after(side, call.context)
            && let Ok(opened) = next.opener.open(record.header, &mut record.fragment)
        {
            if matches!(next.epoch, Epoch::Handshake) && side == Side::Client {
                self.settle_early(false, call);
            }
            self.directions.get_mut(side).reading = Reading::Open(Box::new(next));
            self.content(side, record, &opened, call);
            return;
        }
        let may_try = self.trial(record.fragment.len());
        let Reading::Open(current) = &self.directions[side].reading else { return };
        let is_new = current.opener.opened() == 0;
        match current.epoch {
            // Early data under a suite that was not chosen again, or a handshake whose secret the log lacks.
            Epoch::Early if is_new => {}
            Epoch::Application(_) if is_new && !self.facts.finished[side] && may_try => {}
            _ => {
                if is_new {
                    self.anomalies.insert(Anomaly::TlsKeysWrong);
                    self.note_failure(Decryption::WrongKeys);
                } else {
                    self.anomalies.insert(Anomaly::TlsRecordUnreadable);
                }
                self.blind(side, record.at, record.offset, call);
            }
        }
    }

    /// May another `bytes` be deciphered on trial?
    fn trial(&mut self, bytes: usize) -> bool {
        let left = self.trial_bytes.checked_sub(bytes.saturating_add(TRIAL_OVERHEAD));
        self.trial_bytes = left.unwrap_or(0);
        left.is_some()
    }

    /// Takes a decrypted record.
    fn content<S: StreamSink>(
        &mut self,
        side: Side,
        record: Record,
        opened: &Opened,
        call: &mut Call<'_, S>,
    ) {
        if !self.facts.is_decrypted() {
            self.facts.decryption = Decryption::Decrypted;
            // Of a side that is still sought its own records will tell.
            for side in Side::BOTH {
                if self.directions[side].is_blind() {
                    self.tell_untold(side, call);
                }
            }
        }
        let content = record.fragment.get(opened.content.clone()).unwrap_or_default();
        match opened.content_type {
            ContentType::HANDSHAKE => self.handshake(side, record.at, content, call),
            ContentType::ALERT => self.facts.note_alert(side, record.at, record.wire.peer_acked, content),
            ContentType::CHANGE_CIPHER_SPEC => self.change_cipher_spec(side, record, call),
            ContentType::APPLICATION_DATA => {
                self.content_bytes = self.content_bytes.saturating_add(content.len() as u64);
                self.facts.note_data(record.at);
                let is_early = matches!(&self.directions[side].reading,
                    Reading::Open(current) if matches!(current.epoch, Epoch::Early));
                if is_early && self.early_offered {
                    let early = Record { fragment: content.to_vec(), ..record };
                    self.hold_early(early, call.context.limits);
                } else {
                    deliver(side, record.at, record.offset, content, record.wire, call.sink);
                }
            }
            _ => {}
        }
    }

    /// Tells those above of the hole that they were not told of.
    fn tell_untold<S: StreamSink>(&mut self, side: Side, call: &mut Call<'_, S>) {
        if let Some(gap) = self.directions.get_mut(side).untold.take() {
            call.sink.stream(side, StreamEvent::Gap(gap));
        }
    }

    fn hold_early(&mut self, early: Record, limits: &Limits) {
        let place = (early.at, early.offset);
        if self.early_unheld.is_none() && !self.early.push(early, limits.tls_held_bytes) {
            self.anomalies.insert(Anomaly::TlsHeldLimit);
            self.early_unheld = Some(place);
        }
    }

    /// The server's word on early data: accepted, they are the client's first bytes; else they were never read.
    fn settle_early<S: StreamSink>(&mut self, accepted: bool, call: &mut Call<'_, S>) {
        self.early_offered = false;
        let (held, unheld) = (self.early.take(), self.early_unheld.take());
        if !accepted {
            return;
        }
        for early in held {
            deliver(Side::Client, early.at, early.offset, &early.fragment, early.wire, call.sink);
        }
        if let Some((at, offset)) = unheld {
            call.sink
                .stream(Side::Client, StreamEvent::Gap(hole(at, offset, UNKNOWN_LEN, GapCause::Encrypted)));
        }
    }

    /// `side` is not read any more. What it says from `offset` on is a hole for those above.
    fn blind<S: StreamSink>(&mut self, side: Side, at: Moment, offset: u64, call: &mut Call<'_, S>) {
        let direction = self.directions.get_mut(side);
        let (skip, untold) = (direction.skip, direction.untold);
        *direction = Direction { reading: Reading::Blind, skip, ..Direction::default() };
        let gap = untold.unwrap_or_else(|| hole(at, offset, UNKNOWN_LEN, GapCause::Encrypted));
        // Without any keys nobody above waits for anything.
        if self.facts.is_decrypted() {
            call.sink.stream(side, StreamEvent::Gap(gap));
        } else {
            self.directions.get_mut(side).untold = Some(gap);
        }
    }
}

fn deliver<S: StreamSink>(side: Side, at: Moment, offset: u64, bytes: &[u8], wire: Wire, sink: &mut S) {
    if !bytes.is_empty() {
        sink.stream(side, StreamEvent::Data { at, offset, bytes, wire });
    }
}

fn hole(at: Moment, offset: u64, len: u64, cause: GapCause) -> Gap {
    Gap { at, offset, len, cause, unsent_at: None }
}

#[cfg(test)]
mod tests;
