//! The codes that the applications were given, for the report.

use super::build::{Context, REDACTED};
use super::model;
use crate::analyzer::record::ConnectionRecord;
use crate::side::Side;
use crate::websocket::close_code::CloseCode;

/// The code at `side`'s end.
pub(super) fn of(record: &ConnectionRecord, side: Side, context: Context<'_>) -> model::Endpoint {
    let endpoint = record.endpoint(side);
    model::Endpoint {
        code: number(endpoint.code),
        certainty: endpoint.certainty.name().to_owned(),
        alternatives: number(endpoint.alternative).into_iter().collect(),
        was_clean: endpoint.was_clean,
        why: endpoint.why,
        reported_as: record.reported[side].as_ref().map(|reported| model::ReportedAs {
            code: number(reported.code),
            certainty: reported.certainty.name().to_owned(),
            alternatives: number(reported.alternative).into_iter().collect(),
            library: reported.library.to_owned(),
            recognised_by: if context.redact { REDACTED.to_owned() } else { reported.recognised_by.clone() },
        }),
    }
}

/// Where the capture was taken.
pub(super) fn vantage(record: &ConnectionRecord) -> model::Vantage {
    let vantage = record.vantage_in_words();
    model::Vantage { at: vantage.vantage.name().to_owned(), why: vantage.why }
}

fn number(code: Option<CloseCode>) -> Option<u16> {
    code.map(|code| code.0)
}
