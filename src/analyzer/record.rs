//! One judged connection: what the report is made of.

use super::track::Track;
use crate::anomaly::AnomalySet;
use crate::decode::segment::{EncapsulationId, Endpoint};
use crate::diagnosis::stack::ReportedAs;
use crate::http::http2::frame::StreamId;
use crate::http::upgrade::Handshake;
use crate::moment::Moment;
use crate::seq::SeqNum;
use crate::side::{PerSide, Side};
use crate::tcp::liveness::Keepalives;
use crate::tls::facts::Facts;
use crate::tls::shape::Probable;
use crate::verdict::endpoint::{EndpointCode, endpoint};
use crate::verdict::judge::judge;
use crate::verdict::legs::{OtherLeg, Story};
use crate::verdict::teardown::Teardown;
use crate::verdict::vantage::{VantageEstimate, estimate, given};
use crate::verdict::verdict::{Verdict, packet};
use crate::websocket::session::Traffic;
use crate::websocket::vitals::Vitals;
use std::ops::RangeInclusive;

/// What tells a connection from all others of an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Number of the TCP connection.
    pub serial: u64,
    /// Its stream of HTTP/2, where it is one.
    pub stream: Option<StreamId>,
}

impl Identity {
    /// All that one TCP connection may carry.
    pub(super) fn all_of(serial: u64) -> RangeInclusive<Identity> {
        let last = Some(StreamId(u32::MAX));
        Identity { serial, stream: None }..=Identity { serial, stream: last }
    }
}

/// A WebSocket connection, or one that failed to become one, with its verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionRecord {
    /// Number of the TCP connection in this analysis.
    pub serial: u64,
    /// Wireshark's `tcp.stream` in the file of the first packet.
    pub tcp_stream: Option<u32>,
    /// Who opened it.
    pub client: Endpoint,
    /// Who accepted it.
    pub server: Endpoint,
    /// VLANs and tunnels.
    pub encapsulation: EncapsulationId,
    /// Their names, outermost first.
    pub encapsulation_names: Vec<String>,
    /// First packet.
    pub opened: Moment,
    /// Last packet.
    pub last: Moment,
    /// The last packet of either side that carried payload.
    pub last_payload: Option<Moment>,
    /// The last packet that carried payload before the event that ended TCP.
    pub idle_since: Option<Moment>,
    /// What TLS tells of itself, where there is TLS.
    pub tls: Option<Box<Facts>>,
    /// The opening handshake.
    pub handshake: Box<Handshake>,
    /// What each side sent.
    pub traffic: PerSide<Traffic>,
    /// Signs of life.
    pub vitals: Vitals,
    /// TCP keepalive probes.
    pub keepalives: PerSide<Keepalives>,
    /// Sequence numbers of the SYNs: equal ones show one TCP connection seen twice, as before and behind a NAT.
    pub initial_seq: PerSide<Option<SeqNum>>,
    /// The evidence.
    pub teardown: Box<Teardown>,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Where the capture was taken.
    pub vantage: VantageEstimate,
    /// Does the head of a side say that it is a proxy?
    pub is_proxy: PerSide<bool>,
    /// What its records allow to be said where they could not be decrypted.
    pub probable: Option<Box<Probable>>,
    /// The code that each application was given, by RFC 6455.
    pub endpoints: PerSide<EndpointCode>,
    /// What each end's library says instead, where that is known.
    pub reported: PerSide<Option<ReportedAs>>,
    /// What the other leg tells, where both of a proxied connection are in the capture.
    pub other_leg: Option<OtherLeg>,
    /// The other leg, where both of a proxied connection are in the capture.
    pub beside: Option<Box<Beside>>,
    /// Oddities.
    pub anomalies: AnomalySet,
}

impl ConnectionRecord {
    /// Which connection it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { serial: self.serial, stream: self.teardown.stream.as_ref().map(|stream| stream.id) }
    }

    /// The reasons of its verdict in one sentence, with packet numbers.
    ///
    /// Written anew with each call, of the evidence that decided.
    #[must_use]
    pub fn why(&self) -> String {
        let mut why = judge::<String>(&self.teardown).why;
        if let Some(leg) = self.other_leg.filter(|leg| leg.story == Story::ProxyEnded) {
            why +=
                &format!("; the proxy began it, for it ended its other leg likewise in {}", packet(leg.end));
        }
        why
    }

    /// The code that the application at `side` was given, with the reason in one sentence.
    #[must_use]
    pub fn endpoint(&self, side: Side) -> EndpointCode<String> {
        endpoint(&self.teardown, side, self.verdict.kind, &self.vantage)
    }

    /// Where the capture was taken, with what speaks for it in one sentence.
    #[must_use]
    pub fn vantage_in_words(&self) -> VantageEstimate<String> {
        if self.vantage.is_given { given(self.vantage.vantage) } else { estimate(&self.teardown) }
    }

    /// The first packet of its TCP connection, which is that of all its streams where it is HTTP/2.
    #[must_use]
    pub fn tcp_opened(&self) -> Moment {
        self.teardown.stream.as_ref().map_or(self.opened, |stream| stream.tcp_opened)
    }
}

/// The other leg of a connection through a proxy, whatever its end tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Is it the one behind the proxy?
    pub is_back: bool,
    /// Where its packets are.
    pub track: Track,
}
