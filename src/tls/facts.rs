//! What a TLS connection tells of itself.

use super::record::ProtocolVersion;
use super::shape::Shape;
use super::suite::CipherSuite;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use std::fmt;

/// What an alert says (RFC 8446 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlertDescription(pub u8);

macro_rules! alerts {
    ($($number:literal = $name:literal,)+) => {
        /// Number and name of each registered alert.
        const ALERTS: &[(u8, &str)] = &[$(($number, $name),)+];
    };
}

alerts! {
    0 = "close_notify",
    10 = "unexpected_message",
    20 = "bad_record_mac",
    21 = "decryption_failed",
    22 = "record_overflow",
    30 = "decompression_failure",
    40 = "handshake_failure",
    41 = "no_certificate",
    42 = "bad_certificate",
    43 = "unsupported_certificate",
    44 = "certificate_revoked",
    45 = "certificate_expired",
    46 = "certificate_unknown",
    47 = "illegal_parameter",
    48 = "unknown_ca",
    49 = "access_denied",
    50 = "decode_error",
    51 = "decrypt_error",
    60 = "export_restriction",
    70 = "protocol_version",
    71 = "insufficient_security",
    80 = "internal_error",
    86 = "inappropriate_fallback",
    90 = "user_canceled",
    100 = "no_renegotiation",
    109 = "missing_extension",
    110 = "unsupported_extension",
    111 = "certificate_unobtainable",
    112 = "unrecognized_name",
    113 = "bad_certificate_status_response",
    114 = "bad_certificate_hash_value",
    115 = "unknown_psk_identity",
    116 = "certificate_required",
    120 = "no_application_protocol",
    121 = "ech_required",
}

impl AlertDescription {
    /// The sender sends no more: an end in order.
    pub const CLOSE_NOTIFY: AlertDescription = AlertDescription(0);
    /// The handshake is given up for a reason outside of the protocol.
    pub const USER_CANCELED: AlertDescription = AlertDescription(90);
    /// A renegotiation is declined.
    pub const NO_RENEGOTIATION: AlertDescription = AlertDescription(100);
}

impl fmt::Display for AlertDescription {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ALERTS.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => out.write_str(name),
            None => write!(out, "alert_{}", self.0),
        }
    }
}

/// An alert that ends the connection, or might.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The packet that completed it.
    pub at: Moment,
    /// What it says; `None`: it is encrypted.
    pub description: Option<AlertDescription>,
    /// Does its sender give the connection up with it?
    pub is_fatal: bool,
}

/// What of a TLS connection could be decrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Decryption {
    /// Nothing was protected yet, or nothing of it has been asked for.
    #[default]
    NotNeeded,
    /// No key log names the session.
    NoKeys,
    /// The key log's secrets open none of its records.
    WrongKeys,
    /// The suite, the version or the compression is not supported.
    Unsupported,
    /// The hellos are not in the capture.
    NoHello,
    /// Records were decrypted.
    Decrypted,
}

impl Decryption {
    /// A clause on why nothing was decrypted.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Decryption::NotNeeded => "nothing was protected",
            Decryption::NoKeys => "no key log has its keys",
            Decryption::WrongKeys => "the key log's keys do not open its records",
            Decryption::Unsupported => "its cipher suite is not supported",
            Decryption::NoHello => "its TLS handshake is not whole in the capture",
            Decryption::Decrypted => "records were decrypted",
        }
    }
}

/// A side's `close_notify`: it sends no more content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseNotify {
    /// The packet.
    pub at: Moment,
    /// What its sender had received by then, as an offset in the peer's stream of TCP.
    pub peer_acked: Option<u64>,
}

/// What a TLS connection tells of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The first `ClientHello`.
    pub client_hello: Option<Moment>,
    /// The `ServerHello`.
    pub server_hello: Option<Moment>,
    /// The version agreed on.
    pub version: Option<ProtocolVersion>,
    /// The suite agreed on.
    pub suite: Option<CipherSuite>,
    /// The server's name as the client asked for it.
    pub server_name: Option<Vec<u8>>,
    /// The application protocols that the client offered.
    pub alpn_offered: Vec<Vec<u8>>,
    /// The one agreed on.
    pub alpn: Option<Vec<u8>>,
    /// Has each side sent its `Finished`, or what stands in its place for one who can't read it?
    pub finished: PerSide<bool>,
    /// What could be decrypted.
    pub decryption: Decryption,
    /// Each side's `close_notify`.
    pub close_notify: PerSide<Option<CloseNotify>>,
    /// Each side's first other alert that ends the connection.
    pub alert: PerSide<Option<Alert>>,
    /// Its last content before any alert.
    pub last_data: Option<Moment>,
    /// What its records look like, until they are decrypted.
    pub shape: Option<Box<Shape>>,
}

impl Facts {
    /// Was application data decrypted?
    #[must_use]
    pub fn is_decrypted(&self) -> bool {
        self.decryption == Decryption::Decrypted
    }

    /// Is it encrypted, with nothing of it decrypted, and not known to have failed before anything could be sent?
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        // Up to TLS 1.2 both ends say that the handshake is done; in TLS 1.3 that is hidden, too.
        let is_legacy = self.version.is_some_and(|version| version < ProtocolVersion::TLS_1_3);
        match self.decryption {
            Decryption::NotNeeded | Decryption::Decrypted => false,
            Decryption::NoHello => true,
            Decryption::NoKeys | Decryption::WrongKeys | Decryption::Unsupported => {
                !is_legacy || self.finished.server
            }
        }
    }

    /// Notes an alert in the clear: its level and its description.
    pub(super) fn note_alert(&mut self, side: Side, at: Moment, peer_acked: Option<u64>, content: &[u8]) {
        const FATAL: u8 = 2;
        for [level, description] in content.as_chunks::<2>().0 {
            let description = AlertDescription(*description);
            if description == AlertDescription::CLOSE_NOTIFY {
                self.close_notify.get_mut(side).get_or_insert(CloseNotify { at, peer_acked });
                continue;
            }
            // TLS 1.3 takes every alert but two for fatal, whatever its level (RFC 8446 §6).
            let is_tls13 = self.version == Some(ProtocolVersion::TLS_1_3);
            let is_harmless =
                matches!(description, AlertDescription::USER_CANCELED | AlertDescription::NO_RENEGOTIATION);
            let is_fatal = *level == FATAL || (is_tls13 && !is_harmless);
            if is_fatal {
                let alert = Alert { at, description: Some(description), is_fatal };
                self.alert.get_mut(side).get_or_insert(alert);
            }
        }
    }

    /// Notes content: of what follows an alert nobody takes notice.
    pub(super) fn note_data(&mut self, at: Moment) {
        if !self.has_alert() {
            self.last_data = Some(at);
        }
    }

    fn has_alert(&self) -> bool {
        Side::BOTH.iter().any(|side| self.close_notify[*side].is_some() || self.alert[*side].is_some())
    }

    /// The last content before an alert that was seen: an alert is no content.
    #[must_use]
    pub fn quiet_since(&self) -> Option<Moment> {
        self.last_data.filter(|_| self.has_alert())
    }

    /// Notes an alert whose type shows though its content is encrypted (up to TLS 1.2).
    pub(super) fn note_hidden_alert(&mut self, side: Side, at: Moment) {
        let alert = Alert { at, description: None, is_fatal: false };
        self.alert.get_mut(side).get_or_insert(alert);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_notify_is_no_error_and_warnings_end_nothing() {
        let mut facts = Facts::default();
        facts.note_alert(Side::Client, Moment::default(), None, &[1, 112, 1, 0]);
        assert!(facts.close_notify.client.is_some() && facts.alert.client.is_none());
        facts.note_alert(Side::Server, Moment::default(), None, &[2, 40]);
        let alert = facts.alert.server.unwrap();
        assert_eq!(
            (alert.is_fatal, alert.description.unwrap().to_string()),
            (true, "handshake_failure".into())
        );
    }

    #[test]
    fn tls_1_3_takes_alerts_for_fatal_whatever_their_level() {
        let mut facts = Facts { version: Some(ProtocolVersion::TLS_1_3), ..Facts::default() };
        facts.note_alert(Side::Client, Moment::default(), None, &[1, 90, 1, 48]);
        assert_eq!(facts.alert.client.unwrap().description, Some(AlertDescription(48)));
    }
}
