//! What the frames of HTTP/2 say of a stream's end.

use super::facts::Facts;
use super::finding::{Confidence, Diagnosis, Id};
use crate::http::http2::error_code::ErrorCode;
use crate::moment::Moment;
use crate::side::Side;
use crate::verdict::teardown::StreamEnd;
use crate::verdict::verdict::packet;

/// The causes that show only in HTTP/2. True: the reset that ended it was none of TCP.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) -> bool {
    broken(facts, out);
    let Some(end) = facts.teardown.tcp_end() else { return false };
    match end.frame {
        Some(StreamEnd::RstStream(error)) => {
            out.push(reset(facts, end.by, end.at, error));
            true
        }
        Some(StreamEnd::GoAway(error)) => {
            out.push(given_up(facts, end.by, end.at, error));
            true
        }
        Some(StreamEnd::EndStream) | None => false,
    }
}

/// A window that is used up for so long, in seconds, is more than the pause between two WINDOW_UPDATEs.
const STALLED: f64 = 10.0;

/// What kept a side from sending, and what it sent though it had ended the stream.
pub(super) fn broken(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    let Some(stream) = facts.teardown.stream.as_deref() else { return };
    for side in Side::BOTH {
        if let Some(at) = stream.blocked[side] {
            out.push(blocked(facts, side, at));
        }
        if let (Some(at), Some((end, _))) = (stream.after_end[side], stream.ends[side]) {
            out.push(after_end(facts, side, at, end));
        }
    }
}

/// It broke the protocol: the other side may ignore it, or reset the stream, or the connection.
fn after_end(facts: &Facts<'_>, side: Side, at: Moment, end: Moment) -> Diagnosis {
    Diagnosis {
        id: Id::DataAfterEnd,
        confidence: Confidence::Certain,
        text: format!(
            "{} sent DATA in {} on a stream that it had ended in {}; whatever that was, the {} must not take it (RFC 9113 §5.1)",
            facts.who(side),
            packet(at),
            packet(end),
            side.other()
        ),
        advice: Some(format!(
            "mend {side}'s HTTP/2: it must send nothing on a stream behind its own END_STREAM or RST_STREAM"
        )),
        title: format!("had {side} send DATA behind its own end of their stream"),
        packets: vec![end, at],
    }
}

/// A side whose window was used up could send nothing more, a Close neither.
fn blocked(facts: &Facts<'_>, side: Side, at: Moment) -> Diagnosis {
    let is_stalled = facts.last.at.seconds_since(at.at) >= STALLED;
    Diagnosis {
        id: Id::FlowControlExhausted,
        confidence: if is_stalled { Confidence::Likely } else { Confidence::Possible },
        text: format!(
            "{side} could send nothing more from {} on: its flow-control window was used up to the end, so that a Close it may have meant to send had to wait",
            packet(at)
        ),
        advice: Some(format!(
            "see why {} no longer reads: it must grant more by WINDOW_UPDATE",
            side.other()
        )),
        title: format!("could not be written to by {side} any more"),
        packets: vec![at],
    }
}

fn reset(facts: &Facts<'_>, side: Side, at: Moment, error: ErrorCode) -> Diagnosis {
    let who = facts.who(side);
    if side == Side::Client && error == ErrorCode::CANCEL {
        return Diagnosis {
            id: Id::StreamCancelled,
            confidence: Confidence::Likely,
            text: format!(
                "{who} cancelled its stream in {} and sent no Close, as browsers do over HTTP/2 when a page or tab is closed: the server is told 1006, where over HTTP/1.1 it would have been told 1001",
                packet(at)
            ),
            advice: None,
            title: String::new(),
            packets: vec![at],
        };
    }
    Diagnosis {
        id: Id::Abort,
        confidence: Confidence::Likely,
        text: format!("{who} aborted the stream with RST_STREAM ({error}) in {}", packet(at)),
        advice: Some(format!(
            "see {side}'s log for {error} at {}; let it close with a Close frame",
            at.at.time_of_day()
        )),
        title: format!("were aborted by {side} with RST_STREAM ({error})"),
        packets: vec![at],
    }
}

fn given_up(facts: &Facts<'_>, side: Side, at: Moment, error: ErrorCode) -> Diagnosis {
    Diagnosis {
        id: Id::Abort,
        confidence: Confidence::Certain,
        text: format!(
            "{} gave up the HTTP/2 connection, and this stream with it, by GOAWAY ({error}) in {}",
            facts.who(side),
            packet(at)
        ),
        advice: Some(format!("see {side}'s log for {error} at {}", at.at.time_of_day())),
        title: format!("ended with their HTTP/2 connection, given up by {side} with GOAWAY ({error})"),
        packets: vec![at],
    }
}
