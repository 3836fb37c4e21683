//! What it takes to find one judged connection's packets again, and to read them.

use super::record::ConnectionRecord;
use crate::decode::flow_key::{EncapsulationId, Endpoint, FlowKey};
use crate::http::http2::frame::StreamId;
use crate::moment::Moment;
use crate::side::PerSide;

/// A judged connection's place in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Who opened it.
    pub client: Endpoint,
    /// Who accepted it.
    pub server: Endpoint,
    /// VLANs and tunnels.
    pub encapsulation: EncapsulationId,
    /// The first packet of its TCP connection that is known of: TLS and HTTP/2 are read from there on.
    pub begun: Moment,
    /// Its first packet.
    pub opened: Moment,
    /// Its last packet.
    pub last: Moment,
    /// Was the SYN seen?
    pub is_from_start: bool,
    /// Packets that hold the heads of the opening handshake.
    pub heads: PerSide<Option<Moment>>,
    /// The answer's status.
    pub status: Option<u16>,
    /// Frames may follow: it was not refused.
    pub is_open: bool,
    /// Is it in TLS?
    pub is_tls: bool,
    /// Its stream, where it lies in HTTP/2.
    pub stream: Option<StreamId>,
}

impl Track {
    /// That of `record`.
    #[must_use]
    pub fn of(record: &ConnectionRecord) -> Track {
        let opening = &record.teardown.opening;
        let begun = opening.syn.map_or(record.opened, |syn| syn.min(record.opened));
        Track {
            client: record.client,
            server: record.server,
            encapsulation: record.encapsulation,
            begun,
            opened: record.opened,
            last: record.last,
            is_from_start: opening.syn.is_some(),
            heads: PerSide { client: opening.request, server: opening.response.map(|answer| answer.at) },
            status: opening.response.map(|answer| answer.status),
            is_open: opening.response.is_none_or(|answer| answer.is_switch),
            is_tls: record.tls.is_some(),
            stream: record.teardown.stream.as_ref().map(|stream| stream.id),
        }
    }

    /// Both ends, and the VLANs and tunnels: the same for both directions.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        FlowKey::between(self.client, self.server, self.encapsulation).0
    }
}
