//! What is known of one connection, as the diagnosis reads it.

use crate::anomaly::AnomalySet;
use crate::decode::segment::Endpoint;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::liveness::Keepalives;
use crate::verdict::legs::OtherLeg;
use crate::verdict::teardown::{Sight, TcpEndKind, Teardown};
use crate::verdict::verdict::{Cause, Kind, Verdict};
use crate::websocket::close::CloseFrame;
use crate::websocket::close_code::CloseCode;
use crate::websocket::vitals::Vitals;

/// What is known of one connection. Borrowed from its record; nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who opened it.
    pub client: Endpoint,
    /// Who accepted it.
    pub server: Endpoint,
    /// First packet.
    pub opened: Moment,
    /// Last packet.
    pub last: Moment,
    /// `Host` asked for.
    pub host: Option<&'a [u8]>,
    /// Path with its query.
    pub path: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Server`.
    pub server_header: Option<&'a [u8]>,
    /// Do the headers of a side say that it is a proxy?
    pub is_proxy: PerSide<bool>,
    /// Subprotocol agreed on.
    pub subprotocol: Option<&'a [u8]>,
    /// Signs of life.
    pub vitals: &'a Vitals,
    /// TCP keepalive probes.
    pub keepalives: PerSide<Keepalives>,
    /// The evidence of its end.
    pub teardown: &'a Teardown,
    /// The verdict on it.
    pub verdict: &'a Verdict,
    /// What the other leg of a proxied connection tells.
    pub other_leg: Option<OtherLeg>,
    /// Oddities.
    pub anomalies: AnomalySet,
    /// The event that began the end, once [`Facts::with_end`] has found it: many ask for it.
    pub end: Option<End>,
}

/// The event that began a connection's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What it was.
    pub how: How,
    /// Whose.
    pub by: Side,
    /// The packet.
    pub at: Moment,
    /// Was it a `close_notify` or an alert of TLS, ahead of what then ended TCP? Counts as in order.
    pub is_tls: bool,
}

/// How an end began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// A Close with this code, or none.
    Close(Option<CloseCode>),
    /// A FIN.
    Fin,
    /// A reset.
    Rst,
}

/// How long a connection had been silent before its end, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Silence {
    /// Since the last frame of either side (or the handshake).
    pub either: f64,
    /// Since the last frame of each side (or the handshake).
    pub sides: PerSide<f64>,
    /// The last frame of either side, or the handshake.
    pub since: Moment,
}

impl<'a> Facts<'a> {
    /// The Close that began the end, where one did.
    #[must_use]
    pub fn first_close(&self) -> Option<(Side, &'a CloseFrame)> {
        let teardown = self.teardown;
        Side::BOTH
            .into_iter()
            .filter(|side| !teardown.close_answers_fin(*side))
            .filter_map(|side| teardown.close[side].as_ref().map(|close| (side, close)))
            .min_by_key(|(_, close)| close.at)
    }

    /// The event that began the end.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// These, with the event that began the end.
    #[must_use]
    pub fn with_end(self) -> Self {
        Facts { end: self.find_end(), ..self }
    }

    fn find_end(&self) -> Option<End> {
        let close = self.first_close().map(|(by, close)| End {
            how: How::Close(close.code),
            by,
            at: close.at,
            is_tls: false,
        });
        close.or_else(|| self.tls_end()).or_else(|| self.tcp_end())
    }

    fn tcp_end(&self) -> Option<End> {
        let end = self.teardown.tcp_end()?;
        let how = match end.kind {
            TcpEndKind::Fin => How::Fin,
            TcpEndKind::Rst => How::Rst,
        };
        Some(End { how, by: end.by, at: end.at, is_tls: false })
    }

    /// The good-bye of TLS by which the verdict says that the end began, whoever then dropped TCP first.
    fn tls_end(&self) -> Option<End> {
        let (by, at) = self.teardown.tls.as_deref()?.end()?;
        let is_first = self.teardown.tcp_end().is_some_and(|end| at <= end.at);
        let is_judged = self.abnormal().is_some_and(|cause| cause != Cause::Timeout)
            && self.verdict.closed_by == Some(by.into());
        (is_first && is_judged).then_some(End { how: How::Fin, by, at, is_tls: true })
    }

    /// The moment the connection ended, or was last seen.
    #[must_use]
    pub fn end_or_last(&self) -> Moment {
        self.end().map_or(self.last, |end| end.at)
    }

    /// Did it open, and end without a Close?
    #[must_use]
    pub fn abnormal(&self) -> Option<Cause> {
        match self.verdict.kind {
            Kind::Abnormal(cause) => Some(cause),
            Kind::Coded(_) | Kind::Refused | Kind::Open | Kind::Unknown(_) => None,
        }
    }

    /// When the WebSocket opened: the `101`, or the first packet where the capture lacks it.
    #[must_use]
    pub fn established(&self) -> Moment {
        let opening = &self.teardown.opening;
        opening.response.map(|answer| answer.at).or(opening.request).unwrap_or(self.opened)
    }

    /// How long it had been silent before its end. `None`: it has not ended, or frames may be missing.
    #[must_use]
    pub fn silence(&self) -> Option<Silence> {
        let sighted = Side::BOTH.into_iter().all(|side| self.teardown.sight[side] == Sight::Full);
        let end = self.end().filter(|_| sighted)?;
        let since = PerSide::from_fn(|side| {
            let frame = self.vitals.sides[side].last_frame;
            frame.unwrap_or(self.established()).max(self.established())
        });
        let latest = since.client.max(since.server);
        Some(Silence {
            either: end.at.at.seconds_since(latest.at),
            sides: since.map(|since| end.at.at.seconds_since(since.at)),
            since: latest,
        })
        .filter(|silence| silence.either >= 0.0)
    }

    /// `client`, or what the handshake says that it is in truth: the proxy whose leg this connection is.
    #[must_use]
    pub const fn who(&self, side: Side) -> &'static str {
        match (side, *self.is_proxy.get(side)) {
            (Side::Client, true) => "client (a proxy, as its request's headers say)",
            (Side::Server, true) => "server (a proxy, as its answer's headers say)",
            (side, false) => side.name(),
        }
    }

    /// Does the `Server` or `User-Agent` of `side` hold `word`, in any case?
    #[must_use]
    pub fn names(&self, side: Side, word: &str) -> bool {
        let header = match side {
            Side::Client => self.user_agent,
            Side::Server => self.server_header,
        };
        let word = word.as_bytes();
        !word.is_empty()
            && header.is_some_and(|header| {
                header.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
            })
    }
}
