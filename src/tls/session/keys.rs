//! Which keys a direction's records are under, and which come next.

use super::{Call, Context, Session};
use crate::moment::Moment;
use crate::side::Side;
use crate::tcp::stream_event::StreamSink;
use crate::tls::decrypt::Opener;
use crate::tls::direction::{Current, Epoch, Reading};
use crate::tls::facts::Decryption;
use crate::tls::key_schedule::{Handshake, key_block, traffic_keys, updated};
use crate::tls::keylog::{ClientRandom, Secret, Secrets};

impl Session {
    /// The hellos are known: looks for keys, and reads what waited for them.
    pub(super) fn find_keys<S: StreamSink>(&mut self, call: &mut Call<'_, S>) {
        let keys = call.context.keys;
        let secrets = self.client_random.and_then(|random| keys.secrets(&random));
        if self.is_tls13() {
            for side in [Side::Server, Side::Client] {
                if matches!(self.directions[side].reading, Reading::Waiting) {
                    match secrets.and_then(|secrets| self.first_epoch(side, secrets)) {
                        Some(current) => self.open(side, current, call),
                        None => self.no_keys_yet(side, secrets.is_some(), call),
                    }
                }
            }
            return;
        }
        if let Some(master) = secrets.and_then(|secrets| secrets.master.as_ref()) {
            self.legacy_keys(master);
        }
        for side in Side::BOTH {
            if !matches!(self.directions[side].reading, Reading::Waiting) {
                continue;
            }
            // Records that came before the server's hello; or behind a ChangeCipherSpec, before the keys.
            let direction = self.directions.get_mut(side);
            match direction.pending.take() {
                Some(opener) if self.facts.finished[side] => {
                    let current = Current { opener: *opener, epoch: Epoch::Legacy };
                    self.open(side, current, call);
                }
                pending if !self.facts.finished[side] => {
                    direction.pending = pending;
                    direction.reading = Reading::Clear;
                    self.replay(side, call);
                }
                _ => self.no_keys_yet(side, secrets.is_some(), call),
            }
        }
    }

    /// The keys of both directions, from their next `ChangeCipherSpec` on.
    pub(super) fn legacy_keys(&mut self, master: &Secret) {
        let (Some(hello), Some(ClientRandom(client_random))) = (&self.server_hello, &self.client_random)
        else {
            return;
        };
        let (version, suite) = (hello.version, hello.suite);
        let handshake = Handshake { version, suite, client_random, server_random: &hello.random };
        let keys = key_block(handshake, master).filter(|_| hello.compression == 0);
        let etm = hello.encrypt_then_mac;
        let openers = keys.map(|keys| keys.map(|keys| Opener::new(suite, version, &keys, etm).map(Box::new)));
        match openers {
            Some(openers) => {
                self.directions.client.pending = openers.client;
                self.directions.server.pending = openers.server;
            }
            None => self.facts.decryption = Decryption::Unsupported,
        }
    }

    /// The first keys of a TLS 1.3 direction that the log has.
    pub(super) fn first_epoch(&self, side: Side, secrets: &Secrets) -> Option<Current> {
        let early = secrets.early.as_ref().filter(|_| side == Side::Client && self.early_offered);
        let epochs = [
            early.map(|secret| (secret, Epoch::Early)),
            secrets.handshake[side].as_ref().map(|secret| (secret, Epoch::Handshake)),
            secrets.traffic[side].as_ref().map(|secret| (secret, Epoch::Application(secret.clone()))),
        ];
        epochs.into_iter().flatten().find_map(|(secret, epoch)| self.current(secret, epoch))
    }

    /// The keys behind those in use.
    pub(super) fn epoch_after(&self, side: Side, context: Context<'_>) -> Option<Current> {
        let Reading::Open(current) = &self.directions[side].reading else { return None };
        let secrets = self.client_random.and_then(|random| context.keys.secrets(&random))?;
        let application = || {
            let secret = secrets.traffic[side].as_ref()?;
            self.current(secret, Epoch::Application(secret.clone()))
        };
        match &current.epoch {
            Epoch::Early => {
                let secret = secrets.handshake[side].as_ref();
                secret.and_then(|secret| self.current(secret, Epoch::Handshake)).or_else(application)
            }
            Epoch::Handshake => application(),
            Epoch::Application(secret) => {
                let secret = updated(self.facts.suite?, secret)?;
                self.current(&secret, Epoch::Application(secret.clone()))
            }
            Epoch::Legacy => None,
        }
    }

    pub(super) fn current(&self, secret: &Secret, epoch: Epoch) -> Option<Current> {
        let (suite, version) = (self.facts.suite?, self.facts.version?);
        let opener = Opener::new(suite, version, &traffic_keys(suite, secret)?, false)?;
        Some(Current { opener, epoch })
    }

    pub(super) fn next_epoch(&mut self, side: Side, context: Context<'_>, from: impl Fn(&Epoch) -> bool) {
        let fits = match &self.directions[side].reading {
            Reading::Open(current) => from(&current.epoch),
            Reading::Clear | Reading::Waiting | Reading::Sought(_) | Reading::Blind => false,
        };
        if fits && let Some(next) = self.epoch_after(side, context) {
            self.directions.get_mut(side).reading = Reading::Open(Box::new(next));
        }
    }

    /// From here on `side` is decrypted, first what waited.
    pub(super) fn open<S: StreamSink>(&mut self, side: Side, current: Current, call: &mut Call<'_, S>) {
        self.directions.get_mut(side).reading = Reading::Open(Box::new(current));
        self.replay(side, call);
    }

    pub(super) fn replay<S: StreamSink>(&mut self, side: Side, call: &mut Call<'_, S>) {
        for record in self.directions.get_mut(side).held.take() {
            self.record(side, record, call);
        }
    }

    /// `side` waits for keys. Are any still to come?
    pub(super) fn no_keys_yet<S: StreamSink>(
        &mut self,
        side: Side,
        has_secrets: bool,
        call: &mut Call<'_, S>,
    ) {
        if self.is_joined && self.client_random.is_none() {
            self.directions.get_mut(side).reading = Reading::Sought(0);
        } else if has_secrets || !call.context.more_keys {
            let first = self.directions[side].held.first().map(|record| (record.at, record.offset));
            let here = self.directions[side].deframer.offset();
            let (at, offset) = first.unwrap_or((self.facts.server_hello.unwrap_or_default(), here));
            self.note_failure(if has_secrets { Decryption::Unsupported } else { Decryption::NoKeys });
            self.blind(side, at, offset, call);
        }
    }

    /// `side`'s records are protected from here on, and there are no keys.
    pub(super) fn no_keys<S: StreamSink>(
        &mut self,
        side: Side,
        at: Moment,
        offset: u64,
        call: &mut Call<'_, S>,
    ) {
        let known = self.client_random.is_some_and(|random| call.context.keys.secrets(&random).is_some());
        if call.context.more_keys && !known && self.server_hello.is_some() {
            self.directions.get_mut(side).reading = Reading::Waiting;
            return;
        }
        self.note_failure(match (&self.server_hello, known) {
            (None, _) => Decryption::NoHello,
            (Some(_), false) => Decryption::NoKeys,
            (Some(_), true) => Decryption::Unsupported,
        });
        self.blind(side, at, offset, call);
    }

    pub(super) fn note_failure(&mut self, why: Decryption) {
        if self.facts.decryption == Decryption::NotNeeded {
            self.facts.decryption = why;
        }
    }
}
