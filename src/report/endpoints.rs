//! The codes that the applications were given, for the report.

use super::build::{Context, REDACTED};
use super::model;
use crate::analyzer::record::ConnectionRecord;
use crate::side::Side;
use crate::websocket::close_code::CloseCode;
use std::borrow::Cow;

/// The code at `side`'s end.
pub(super) fn of<'a>(record: &'a ConnectionRecord, side: Side, context: Context<'_>) -> model::Endpoint<'a> {
    let endpoint = record.endpoint(side);
    model::Endpoint {
        code: number(endpoint.code),
        certainty: endpoint.certainty.name().into(),
        alternatives: number(endpoint.alternative).into_iter().collect(),
        was_clean: endpoint.was_clean,
        why: Cow::Owned(endpoint.why),
        reported_as: record.reported[side].as_ref().map(|reported| model::ReportedAs {
            code: number(reported.code),
            certainty: reported.certainty.name().into(),
            alternatives: number(reported.alternative).into_iter().collect(),
            library: reported.library.into(),
            recognised_by: Cow::Borrowed(if context.redact { REDACTED } else { &reported.recognised_by }),
        }),
    }
}

/// Where the capture was taken.
pub(super) fn vantage(record: &ConnectionRecord) -> model::Vantage<'_> {
    let vantage = record.vantage_in_words();
    model::Vantage { at: vantage.vantage.name().into(), why: Cow::Owned(vantage.why) }
}

fn number(code: Option<CloseCode>) -> Option<u16> {
    code.map(|code| code.0)
}
