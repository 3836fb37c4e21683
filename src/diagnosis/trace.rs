//! What is remembered of each connection for the findings over all of them.

use super::facts::{Facts, How};
use super::services;
use crate::decode::segment::Endpoint;
use crate::moment::Moment;
use crate::side::Side;
use crate::verdict::verdict::{Cause, ClosedBy, Kind};
use crate::websocket::vitals::fnv1a;

/// One connection in the survey: what is needed to see it beside others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trace {
    /// Its number in the report, where it is listed.
    pub id: Option<u64>,
    /// Who opened it.
    pub client: Endpoint,
    /// Who accepted it.
    pub server: Endpoint,
    /// Hash of host and path without its query; of the server, where the request was not seen.
    pub target: u64,
    /// The same with its query.
    pub target_with_query: u64,
    /// First packet.
    pub opened: Moment,
    /// The event that began its end, or its last packet.
    pub ended: Moment,
    /// Did it open?
    pub is_established: bool,
    /// Has it ended, as far as is known?
    pub has_ended: bool,
    /// How the end began; `None`: it timed out, failed to open, or did not end.
    pub how: Option<How>,
    /// Whose event that was.
    pub by: Option<Side>,
    /// Who ended it.
    pub closed_by: Option<ClosedBy>,
    /// Seconds without a frame of either side before the end.
    pub idle: Option<f64>,
    /// The longest such time in its life before, in seconds.
    pub longest_silence: f64,
    /// Seconds from the handshake to the end.
    pub lifetime: f64,
    /// Its end was told to come from a timer, by its own packets.
    pub is_idle_limit: bool,
    /// Its Close says that the client must not come back as it is.
    pub is_final: bool,
}

impl Trace {
    /// What is remembered of a connection.
    #[must_use]
    pub fn of(id: Option<u64>, facts: &Facts<'_>, is_idle_limit: bool) -> Self {
        let end = facts.end();
        let ended = facts.end_or_last();
        let kind = facts.verdict.kind;
        let timed_out = kind == Kind::Abnormal(Cause::Timeout);
        let end = end.filter(|_| !timed_out);
        let code = match end.map(|end| end.how) {
            Some(How::Close(code)) => code,
            _ => None,
        };
        let meaning = code.and_then(|code| services::meaning(code, facts.subprotocol, facts.host));
        Trace {
            id,
            client: facts.client,
            server: facts.server,
            target: target(facts, false),
            target_with_query: target(facts, true),
            opened: facts.opened,
            ended,
            is_established: kind != Kind::Refused,
            has_ended: !matches!(kind, Kind::Open | Kind::Unknown(_)),
            how: end.map(|end| end.how),
            by: end.map(|end| end.by),
            closed_by: facts.verdict.closed_by,
            idle: facts.silence().map(|silence| silence.either),
            longest_silence: super::words::seconds_of(facts.vitals.longest_silence),
            lifetime: ended.at.seconds_since(facts.established().at),
            is_idle_limit,
            is_final: meaning.is_some_and(|meaning| !meaning.may_reconnect),
        }
    }

    /// Did it end without a Close, by FIN or reset?
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        matches!(self.how, Some(How::Fin | How::Rst))
    }

    /// Was it closed by a Close?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.how, Some(How::Close(_)))
    }

    /// Did the client lose it, so that it may want to come back: dropped, timed out or refused, or closed by the other
    /// side with a code that does not mean the end of a session?
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let lasting_loss = match self.how {
            Some(How::Close(code)) => {
                self.is_final || code.is_some_and(|code| matches!(code.0, 1001 | 1011..=1014))
            }
            Some(How::Fin | How::Rst) | None => true,
        };
        self.has_ended && lasting_loss && !(self.is_established && self.client_left())
    }

    /// Did the client end it of its own will?
    #[must_use]
    pub fn client_left(&self) -> bool {
        self.closed_by == Some(ClosedBy::Client)
    }
}

fn target(facts: &Facts<'_>, with_query: bool) -> u64 {
    match (facts.host, facts.path) {
        (Some(host), Some(path)) => {
            let bare = path.split(|byte| *byte == b'?').next().unwrap_or_default();
            let path = if with_query { path } else { bare };
            fnv1a(&[host, b" ", path].concat())
        }
        _ => 0,
    }
}
