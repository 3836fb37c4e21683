//! The TLS of a connection, as the report gives it.

use super::build::{Context, REDACTED, sides, text};
use super::model;
use crate::analyzer::record::ConnectionRecord;
use crate::tls::facts::{AlertDescription, Facts};
use std::borrow::Cow;

/// The entry for `facts`, which are `record`'s.
pub(super) fn of<'a>(record: &'a ConnectionRecord, facts: &'a Facts, context: Context<'_>) -> model::Tls<'a> {
    let value =
        |bytes: &'a [u8]| -> Cow<'a, str> { if context.redact { REDACTED.into() } else { text(bytes).0 } };
    let fatal = record.teardown.tls.as_deref().and_then(|secrecy| secrecy.fatal_alert());
    model::Tls {
        version: facts.version.map(|version| version.to_string()),
        cipher_suite: facts.suite.map(|suite| suite.name()),
        sni: facts.server_name.as_deref().map(value),
        alpn: facts.alpn.as_deref().map(|name| text(name).0),
        decrypted: facts.is_decrypted(),
        undecrypted_because: (!facts.is_decrypted()).then(|| facts.decryption.reason().into()),
        close_notify: sides(facts.close_notify.map(|notify| notify.map(|notify| notify.at.packet))),
        alert: fatal.and_then(|(side, alert)| {
            Some(model::TlsAlert {
                description: alert.description?.to_string().into(),
                by: side.name().into(),
                packet: alert.at.packet,
            })
        }),
    }
}

/// An alert in words.
pub(super) fn alert_text(description: Option<AlertDescription>) -> Cow<'static, str> {
    match description {
        Some(description) => format!("TLS alert {description}").into(),
        None => "TLS alert, encrypted".into(),
    }
}
