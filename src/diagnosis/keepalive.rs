//! Pings without pongs, and pings that stopped.

use super::facts::{End, Facts, How};
use super::finding::{Confidence, Diagnosis, Id};
use super::idle::ended;
use super::words::{duration, seconds_of};
use crate::moment::Moment;
use crate::side::Side;
use crate::verdict::verdict::{Cause, Kind, packet};
use crate::websocket::close_code::CloseCode;
use crate::websocket::vitals::Pings;

/// A pong is missing once it is this late, in seconds.
const LATE_SECONDS: f64 = 1.0;
/// And this many times later than usual.
const LATE_ROUND_TRIPS: f64 = 3.0;
/// Intervals that make pings regular.
const REGULAR_INTERVALS: u32 = 2;

/// What the pings say about the end.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    if !matches!(facts.verdict.kind, Kind::Coded(_) | Kind::Abnormal(Cause::Fin | Cause::Rst)) {
        return;
    }
    let Some(end) = facts.end() else { return };
    for side in Side::BOTH {
        let vitals = &facts.vitals.sides[side];
        let kinds = [(vitals.pings.as_deref(), "ping"), (vitals.heartbeats.as_deref(), "heartbeat")];
        for (pings, word) in kinds {
            let Some(pings) = pings else { continue };
            let found = unanswered(facts, &end, side, pings, word)
                .or_else(|| stopped(facts, &end, side, pings, word));
            out.extend(found);
        }
    }
}

/// Did `side` end the connection because its ping was not answered?
fn unanswered(facts: &Facts<'_>, end: &End, side: Side, pings: &Pings, word: &str) -> Option<Diagnosis> {
    // "2" is a heartbeat only where "3" answers it.
    let is_heartbeat = word == "ping" || pings.answered > 0;
    let since = pings.unanswered_since().filter(|_| is_heartbeat && end.by == side)?;
    let late = end.at.at.seconds_since(since.at);
    let usual = pings.round_trips.median().map_or(0.0, seconds_of);
    let patience = LATE_SECONDS.max(LATE_ROUND_TRIPS * usual);
    let peer = side.other();
    // A peer that sends long after it must have read the ping is at work, and just gives no pongs.
    let spoke =
        facts.vitals.sides[peer].last_frame.filter(|frame| frame.at.seconds_since(since.at) >= patience);
    if late < patience || is_own_choice(facts, end, late, spoke.is_some()) {
        return None;
    }
    let mut text = format!(
        "{side}'s {word} in {} was never answered, and {side} {} in {}, {} later",
        packet(since),
        ended(end),
        packet(end.at),
        duration(late)
    );
    let sign = Sign::of(spoke, facts.teardown.last[peer], since);
    text += &sign.text(peer);
    Some(Diagnosis {
        id: Id::PingUnanswered,
        confidence: confidence(facts, end, pings, late),
        text,
        advice: Some(sign.advice(peer)),
        title: match sign {
            Sign::Frame(_) | Sign::Acknowledgment(_) => {
                format!("ended by {side} because the application at {peer} did not answer a {word}")
            }
            Sign::None(_) => {
                format!("ended by {side} because {peer} had vanished and did not answer a {word}")
            }
        },
        packets: [Some(since), Some(end.at), sign.at()].into_iter().flatten().collect(),
    })
}

/// What was seen last of an end that did not answer.
#[derive(Clone, Copy)]
enum Sign {
    /// A frame, long after the ping.
    Frame(Moment),
    /// A packet after the ping.
    Acknowledgment(Moment),
    /// Nothing after the ping; the packet before it.
    None(Option<Moment>),
}

impl Sign {
    fn of(frame: Option<Moment>, last: Option<Moment>, since: Moment) -> Sign {
        match (frame, last) {
            (Some(frame), _) => Sign::Frame(frame),
            (None, Some(last)) if last > since => Sign::Acknowledgment(last),
            (None, last) => Sign::None(last),
        }
    }

    fn at(self) -> Option<Moment> {
        match self {
            Sign::Frame(at) | Sign::Acknowledgment(at) => Some(at),
            Sign::None(at) => at,
        }
    }

    fn text(self, peer: Side) -> String {
        match self {
            Sign::Frame(at) => format!("; {peer} went on sending ({}), but no answer", packet(at)),
            Sign::Acknowledgment(at) => {
                format!(
                    "; {peer}'s TCP still acknowledged ({}), so its application did not answer",
                    packet(at)
                )
            }
            Sign::None(Some(at)) => {
                format!("; {peer}'s last sign of life is {} at {}", packet(at), at.at.time_of_day())
            }
            Sign::None(None) => String::new(),
        }
    }

    fn advice(self, peer: Side) -> String {
        match self {
            Sign::Frame(_) => {
                format!("see whether {peer} reads what it is sent while it sends, and answers pings at all")
            }
            Sign::Acknowledgment(_) => format!(
                "see what keeps {peer} from reading: a blocked event loop, a suspended tab, a full receive buffer"
            ),
            Sign::None(_) => format!(
                "look for why {peer} or the path to it vanished then; let the client reconnect with backoff"
            ),
        }
    }
}

/// Is the end one that an application decides on, or says something else about? `spoke`: the peer went on sending.
fn is_own_choice(facts: &Facts<'_>, end: &End, late: f64, spoke: bool) -> bool {
    match end.how {
        How::Fin | How::Rst => false,
        How::Close(Some(code)) if code == CloseCode(1011) || code == CloseCode(1002) => false,
        // Another code is an application's way to end it; only a long wait for a silent peer speaks for the ping.
        How::Close(_) => !reason_names_ping(facts) && (spoke || late < 10.0),
    }
}

fn reason_names_ping(facts: &Facts<'_>) -> bool {
    let Some((_, close)) = facts.first_close() else { return false };
    let reason = close.reason.to_ascii_lowercase();
    let holds = |word: &[u8]| reason.windows(word.len()).any(|window| window == word);
    holds(b"ping") || holds(b"pong") || holds(b"heartbeat") || holds(b"keepalive")
}

fn confidence(facts: &Facts<'_>, end: &End, pings: &Pings, late: f64) -> Confidence {
    let period = pings.intervals.median().map(seconds_of);
    // Whoever gives up at the time of the next ping, or some whole number of seconds after it, runs a timer.
    let on_time = period.is_some_and(|period| (late - period).abs() < 0.02 * period + 0.1);
    let whole = (late - late.round()).abs() < 0.05;
    match end.how {
        How::Close(_) if reason_names_ping(facts) => Confidence::Certain,
        _ if on_time || whole || pings.unanswered() > 1 => Confidence::Likely,
        _ => Confidence::Possible,
    }
}

/// Had regular pings of `side` stopped before an abnormal end?
fn stopped(facts: &Facts<'_>, end: &End, side: Side, pings: &Pings, word: &str) -> Option<Diagnosis> {
    facts.abnormal()?;
    let period = seconds_of(pings.intervals.median()?);
    let (min, max) = (seconds_of(pings.intervals.min), seconds_of(pings.intervals.max));
    let is_regular =
        pings.intervals.count >= REGULAR_INTERVALS && max - min <= 0.2 * period && pings.answered > 0;
    let since = end.at.at.seconds_since(pings.last.at);
    if !is_regular || since < 2.0 * period + LATE_SECONDS || end.by == side {
        return None;
    }
    Some(Diagnosis {
        id: Id::PingsStopped,
        confidence: Confidence::Likely,
        text: format!(
            "{side} had sent a {word} every {}, but none after {}, {} before the end",
            duration(period),
            packet(pings.last),
            duration(since)
        ),
        advice: Some(format!("see why {side} stopped: a suspended device or tab, a blocked event loop")),
        title: format!("ended after {side} had stopped its {word}s"),
        packets: vec![pings.last, end.at],
    })
}
