//! A record as the diagnosis reads it.

use super::record::ConnectionRecord;
use crate::diagnosis::facts::Facts;

impl ConnectionRecord {
    /// What is known of the connection, borrowed for the diagnosis.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        let (request, response) = (self.handshake.request.as_ref(), self.handshake.response.as_ref());
        let facts = Facts {
            client: self.client,
            server: self.server,
            opened: self.opened,
            last: self.last,
            host: request.and_then(|request| request.host()),
            path: request.map(|request| request.path()),
            user_agent: request.and_then(|request| request.user_agent.as_deref()),
            server_header: response.and_then(|response| response.server.as_deref()),
            is_proxy: self.is_proxy,
            subprotocol: response.and_then(|response| response.subprotocol.as_deref()),
            vitals: &self.vitals,
            keepalives: self.keepalives,
            teardown: &self.teardown,
            verdict: &self.verdict,
            other_leg: self.other_leg,
            anomalies: self.anomalies,
            end: None,
        };
        facts.with_end()
    }
}
