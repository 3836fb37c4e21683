//! One judged connection: what the report is made of.

use crate::anomaly::AnomalySet;
use crate::decode::segment::{EncapsulationId, Endpoint};
use crate::http::upgrade::Handshake;
use crate::moment::Moment;
use crate::side::PerSide;
use crate::verdict::teardown::Teardown;
use crate::verdict::verdict::Verdict;
use crate::websocket::session::Traffic;

/// A WebSocket connection, or one that failed to become one, with its verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionRecord {
    /// Wireshark's `tcp.stream` in the file of the first packet.
    pub tcp_stream: Option<u32>,
    /// Who opened it.
    pub client: Endpoint,
    /// Who accepted it.
    pub server: Endpoint,
    /// VLANs and tunnels.
    pub encapsulation: EncapsulationId,
    /// First packet.
    pub opened: Moment,
    /// Last packet.
    pub last: Moment,
    /// The last packet of either side that carried payload.
    pub last_payload: Option<Moment>,
    /// The last packet that carried payload before the event that ended TCP.
    pub idle_since: Option<Moment>,
    /// The opening handshake.
    pub handshake: Box<Handshake>,
    /// What each side sent.
    pub traffic: PerSide<Traffic>,
    /// The evidence.
    pub teardown: Box<Teardown>,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Oddities.
    pub anomalies: AnomalySet,
}
