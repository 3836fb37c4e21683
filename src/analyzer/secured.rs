//! TLS between TCP and HTTP.

use super::Options;
use super::joining::Joining;
use super::upper::{Phase, Upper};
use crate::anomaly::Anomaly;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{StreamEvent, StreamSink};
use crate::tls::facts::Facts;
use crate::tls::record::{ContentType, may_be_client_hello};
use crate::tls::session::{Context, Session, may_be_under_way};

/// Layers of TLS inside TLS that are followed, as through a proxy that is itself reached by TLS.
const DEPTH_MAX: u8 = 2;
/// Bytes of a segment that must agree before a connection whose start was not seen is taken for a new TLS one.
const HELLO_START: usize = 6;

/// A TLS connection, and what runs in it.
///
/// While bytes are taken, [`Upper::phase`] is the inner one, so that the layers above notice nothing.
#[derive(Clone, Debug)]
pub(super) struct Secured {
    pub tls: Session,
    pub inner: Phase,
}

impl Secured {
    /// See [`Facts::is_opaque`].
    pub(super) fn is_opaque(&self) -> bool {
        self.tls.facts.is_opaque()
    }

    /// Is there nothing left to learn?
    fn is_of_no_use(&self) -> bool {
        let is_over =
            matches!(self.inner, Phase::Ignored) || (self.tls.is_blind() && !self.tls.facts.is_decrypted());
        is_over && self.tls.facts.shape.is_none()
    }
}

/// Takes decrypted bytes to the inner phase.
struct Content<'a> {
    upper: &'a mut Upper,
    options: &'a Options,
}

impl StreamSink for Content<'_> {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        self.upper.stream(side, event, self.options);
    }

    fn protocol(&mut self, name: &[u8]) {
        self.upper.agree(name, self.options);
    }
}

impl Upper {
    /// Do these bytes, which are no HTTP, begin TLS? If so, it has begun.
    pub(super) fn begins_tls(&mut self, side: Side, bytes: &[u8], options: &Options) -> bool {
        let is_hello = side == Side::Client && self.depth < DEPTH_MAX && may_be_client_hello(bytes);
        let begins = is_hello && options.follows_tls();
        self.passed_tls |= is_hello && !begins;
        if begins {
            // Whatever its keys: another connection to the same server may show that WebSockets are to be had there.
            let tls = Session::new(true, &options.limits);
            self.is_http1 = false;
            self.phase = Phase::Tls(Box::new(Secured { tls, inner: Phase::Http(Box::default()) }));
        }
        begins
    }

    /// Is a connection whose start was not seen TLS under way? If so, it is followed.
    pub(super) fn joins_tls_under_way(&mut self, side: Side, bytes: &[u8], options: &Options) -> bool {
        let is_tls = self.depth < DEPTH_MAX && may_be_under_way(bytes);
        let joins = is_tls && options.follows_tls();
        self.passed_tls |= is_tls && !joins;
        if joins {
            let (tls, inner) = (Session::joined(&options.limits), Phase::Joining(Box::new(Joining::new())));
            self.phase = Phase::Tls(Box::new(Secured { tls, inner }));
            // A ServerHello tells who the server is.
            self.reversed ^= side == Side::Client && bytes.first() == Some(&ContentType::HANDSHAKE.0);
        }
        joins
    }

    /// Does a connection whose start was not seen begin TLS here? Then `side` is the client.
    pub(super) fn joins_tls(&mut self, side: Side, bytes: &[u8], options: &Options) -> bool {
        let joins = bytes.len() >= HELLO_START && self.begins_tls(Side::Client, bytes, options);
        if joins && side == Side::Server {
            self.reversed = !self.reversed;
        }
        joins
    }

    /// Takes what `side` sent through TLS.
    pub(super) fn secured(&mut self, side: Side, event: StreamEvent<'_>, options: &Options) {
        self.with_tls(options, |tls, context, content| tls.stream(side, event, context, content));
    }

    /// Nothing more will come through TLS.
    pub(super) fn finish_tls(&mut self, at: Moment, options: &Options) {
        self.with_tls(options, |tls, _, content| tls.finish(at, content));
    }

    fn with_tls(
        &mut self,
        options: &Options,
        work: impl FnOnce(&mut Session, Context<'_>, &mut Content<'_>),
    ) {
        let mut secured = match std::mem::replace(&mut self.phase, Phase::Ignored) {
            Phase::Tls(secured) => secured,
            other => {
                self.phase = other;
                return;
            }
        };
        std::mem::swap(&mut self.phase, &mut secured.inner);
        self.depth += 1;
        let context = Context { limits: &options.limits, keys: &options.keys, more_keys: options.more_keys };
        work(&mut secured.tls, context, &mut Content { upper: self, options });
        self.depth -= 1;
        std::mem::swap(&mut self.phase, &mut secured.inner);
        if secured.is_of_no_use() {
            self.anomalies.extend(secured.tls.anomalies);
            return; // The phase is Ignored.
        }
        self.reversed ^= secured.tls.take_reversed();
        let is_http = matches!(secured.inner, Phase::Http(_));
        if is_http && secured.tls.content_bytes() > options.limits.tls_http_bytes {
            self.anomalies.insert(Anomaly::TlsHttpLimit);
            secured.inner = Phase::Ignored;
        }
        if matches!(secured.inner, Phase::Ignored) {
            secured.tls.stop();
        }
        self.phase = Phase::Tls(secured);
    }

    /// The TLS connection, if there is one.
    pub(super) fn tls(&self) -> Option<&Session> {
        if let Phase::Tls(secured) = &self.phase { Some(&secured.tls) } else { None }
    }

    /// What TLS tells of itself, if there is any.
    pub(super) fn tls_facts(&self) -> Option<&Facts> {
        match &self.phase {
            Phase::Tls(secured) => Some(&secured.tls.facts),
            Phase::Stream(part) => part.tls.as_deref(),
            _ => None,
        }
    }

    /// The same, taken away.
    pub(super) fn take_tls_facts(&mut self) -> Option<Box<Facts>> {
        match &mut self.phase {
            Phase::Tls(secured) => Some(Box::new(std::mem::take(&mut secured.tls.facts))),
            Phase::Stream(part) => part.tls.take(),
            _ => None,
        }
    }

    /// Is it encrypted, with nothing of it decrypted?
    pub(super) fn is_opaque(&self) -> bool {
        matches!(&self.phase, Phase::Tls(secured) if secured.is_opaque())
    }

    /// Does the next byte of each side belong to a frame, or in TLS to a record, that has begun?
    pub(super) fn in_frame(&mut self) -> Option<PerSide<bool>> {
        if let Some(tls) = self.tls() {
            return Some(PerSide::from_fn(|side| tls.is_in_record(side)));
        }
        if let Some(multiplexed) = self.http2() {
            return Some(PerSide::from_fn(|side| multiplexed.http2.is_inside(side)));
        }
        let session = self.session_mut()?;
        Some(PerSide::from_fn(|side| session.is_in_frame(side)))
    }
}
