//! The end of a conversation: its evidence is put together, judged, and becomes a record.

use super::Conversation;
use crate::analyzer::judging::Seen;
use crate::analyzer::opaque;
use crate::analyzer::record::ConnectionRecord;
use crate::analyzer::upper::Phase;
use crate::anomaly::AnomalySet;
use crate::diagnosis::stack::{Recogniser, reported_as};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::reset::ResetValidity;
use crate::tcp::stream_event::GapCause;
use crate::tls::facts::Facts;
use crate::verdict::endpoint::endpoints;
use crate::verdict::judge::judge;
use crate::verdict::reset_origin::{ResetOrigin, reset_origin};
use crate::verdict::teardown::{
    Answer, Blind, LastMessage, Lost, Opening, Secrecy, Sight, Teardown, UnseenFin,
};
use crate::verdict::vantage::{self, Vantage};
use crate::websocket::session::{Direction, HiddenCause, Traffic};
use crate::websocket::vitals::Vitals;

impl Conversation {
    /// Judges it.
    pub(in crate::analyzer) fn finish(
        mut self: Box<Self>,
        seen: Seen,
        vantage: Option<Vantage>,
        recogniser: &mut Recogniser,
        limits: &Limits,
    ) -> Box<ConnectionRecord> {
        self.finish_frames(limits);
        let last = self.tcp.last;
        let teardown = Box::new(self.whole_teardown(seen, limits));
        let verdict = judge(&teardown);
        let probable = self.upper.tls_facts().and_then(|facts| opaque::probable(facts, &teardown));
        let vantage = vantage.map_or_else(|| vantage::estimate(&teardown), vantage::given);
        let endpoints = endpoints(&teardown, verdict.kind, &vantage);
        let writers = recogniser.writers(&self.upper.handshake);
        let reported = PerSide::from_fn(|side| {
            reported_as(&self.upper.handshake, &teardown, side, &endpoints[side], writers[side])
        });
        let (anomalies, traffic, vitals) = self.take_sums();
        let last_payload = self.tcp.last_payload;
        // An alert of TLS is payload of TCP's, but breaks no silence.
        let is_read = teardown.stream.is_none() && teardown.sight == PerSide::default();
        let quiet_since = self.upper.tls_facts().filter(|_| is_read).and_then(Facts::quiet_since);
        Box::new(ConnectionRecord {
            serial: self.serial,
            tcp_stream: self.tcp_stream,
            client: self.client(),
            server: self.server(),
            encapsulation: self.encapsulation(),
            encapsulation_names: Vec::new(),
            opened: self.tcp.opened,
            last,
            last_payload,
            idle_since: quiet_since.or(self.tcp.payload_before).or(last_payload),
            tls: self.upper.take_tls_facts(),
            handshake: self.upper.handshake,
            traffic,
            vitals,
            keepalives: PerSide::from_fn(|side| self.tcp.halves[side].keepalives()),
            initial_seq: PerSide::from_fn(|side| self.tcp.halves[side].initial_seq()),
            teardown,
            verdict,
            vantage,
            is_proxy: writers.map(|writer| writer.is_proxy),
            probable,
            endpoints,
            reported,
            other_leg: None,
            beside: None,
            anomalies,
        })
    }

    /// What was odd, and what the WebSocket carried.
    fn take_sums(&mut self) -> (AnomalySet, PerSide<Traffic>, Vitals) {
        let mut anomalies = self.anomalies();
        if let Phase::Stream(part) = &self.upper.phase {
            anomalies.extend(part.shared_anomalies);
        }
        let Some(session) = self.upper.session_mut() else {
            return (anomalies, PerSide::default(), Vitals::default());
        };
        let traffic = PerSide::from_fn(|side| session.sides[side].traffic);
        (anomalies, traffic, std::mem::take(&mut session.vitals))
    }

    /// The evidence, with what its stream of HTTP/2 has in place of TCP's.
    fn whole_teardown(&mut self, seen: Seen, limits: &Limits) -> Teardown {
        let mut teardown = self.teardown(seen, limits);
        if seen.dropped {
            teardown.lose_to_drops(PerSide::from_fn(|side| self.tcp.halves[side].next));
        }
        if let Phase::Stream(part) = &self.upper.phase {
            part.lay_over(&mut teardown);
        }
        teardown
    }

    fn teardown(&mut self, seen: Seen, limits: &Limits) -> Teardown {
        let opening = self.opening();
        let joined = self.upper.joined;
        let session = self.upper.session_mut();
        let halves = &self.tcp.halves;
        let mut close = PerSide::default();
        let mut sight = PerSide::from_fn(|side| {
            let unseen = halves[side].packets == 0;
            if unseen { lost(Blind::OneSided, None, 0, None) } else { Sight::Full }
        });
        let mut last_message = PerSide::default();
        let mut nonsense_frame = PerSide::default();
        if let Some(session) = session {
            nonsense_frame = PerSide::from_fn(|side| session.nonsense_frame(side));
            last_message = PerSide::from_fn(|side| last_message_of(&session.sides[side]));
            for side in Side::BOTH {
                let direction = session.sides.get_mut(side);
                *close.get_mut(side) = direction.close.take().map(|close| *close);
                if sight[side] == Sight::Full {
                    let is_closed = close[side].is_some();
                    *sight.get_mut(side) = sight_of(direction, joined, is_closed);
                }
            }
        }
        self.lose_to_tcp(&mut sight);
        let mut teardown = Teardown {
            opening,
            close,
            fin: PerSide::from_fn(|side| halves[side].fin),
            unseen_fin: self.unseen_fins(),
            byte_or_fin: PerSide::from_fn(|side| halves[side].unseen_fin().filter(|_| self.in_frame[side])),
            reset: PerSide::from_fn(|side| halves[side].reset.as_deref().copied()),
            sight,
            nonsense_frame,
            acked: PerSide::from_fn(|side| halves[side].acked),
            close_may_precede_fin: PerSide::default(),
            unanswered: PerSide::from_fn(|side| halves[side].unanswered),
            last: PerSide::from_fn(|side| halves[side].last),
            last_message,
            icmp: self.icmp.take().map_or_else(Vec::new, |icmp| *icmp),
            tls: self.upper.tls_facts().map(|facts| Box::new(Secrecy::of(facts))),
            stream: None,
            observed: seen.observed,
            until: seen.until,
            unanswered_limit: limits.unanswered_sendings,
            syn_timeout: limits.syn_timeout,
        };
        for side in Side::BOTH {
            if let Some(fin) = self.fin_before_reset(side, &teardown) {
                teardown.unseen_fin.get_mut(side).get_or_insert(fin);
            }
        }
        let resent = PerSide::from_fn(|side| self.tcp.halves[side].resent());
        teardown.close_may_precede_fin = PerSide::from_fn(|side| {
            resent[side].is_some_and(|resent| teardown.may_precede_fin(side, &resent))
        });
        teardown
    }

    /// What TCP tells of bytes that its receiver took otherwise, or that are missing.
    fn lose_to_tcp(&self, sight: &mut PerSide<Sight>) {
        let halves = &self.tcp.halves;
        for side in Side::BOTH {
            // Its receiver may have taken other bytes than those read here.
            if let Some(at) = halves[side].differs()
                && sight[side] == Sight::Full
            {
                *sight.get_mut(side) = lost(Blind::Desynchronized, Some(at), 0, None);
            }
            // A reset ahead of its sender's bytes that ended the connection all the same: those bytes are missing.
            if let Some(reset) = halves[side].reset.as_deref().filter(|r| r.validity == ResetValidity::Ahead)
                && sight[side] == Sight::Full
            {
                *sight.get_mut(side) = lost(Blind::Gap, Some(reset.at), halves[side].next, None);
            }
        }
    }

    /// A FIN of `side` that only the other side's reset acknowledges: no receipt, but sent before.
    fn fin_before_reset(&self, side: Side, teardown: &Teardown) -> Option<UnseenFin> {
        let reset = teardown.reset[side.other()]?;
        let half = &self.tcp.halves[side];
        let is_shown = half.has_hidden_fin() && reset.acked == Some(half.shown()) && !self.in_frame[side];
        let is_own = reset_origin(teardown, side.other()) == Some(ResetOrigin::Endpoint);
        (is_shown && is_own).then_some(UnseenFin { at: reset.at, acked: None })
    }

    /// FINs that only their acknowledgments show.
    fn unseen_fins(&self) -> PerSide<Option<UnseenFin>> {
        let (halves, in_frame) = (&self.tcp.halves, self.in_frame);
        let mut unseen = PerSide::from_fn(|side| {
            let at = halves[side].unseen_fin().filter(|_| !in_frame[side])?;
            Some(UnseenFin { at, acked: Some(halves[side].acked) })
        });
        for side in Side::BOTH {
            if let Some(UnseenFin { at, .. }) = unseen[side.other()]
                && halves[side].last == Some(at)
                && halves[side].has_hidden_fin()
            {
                *unseen.get_mut(side) = Some(UnseenFin { at, acked: None });
            }
        }
        unseen
    }

    fn opening(&self) -> Opening {
        let handshake = &self.upper.handshake;
        let frames = self.upper.frames();
        let response = handshake.response.as_ref().map(|response| Answer {
            at: response.at,
            status: response.status,
            is_switch: (response.status == 101 && response.is_websocket)
                || (response.names_no_protocol() && frames.client),
            accept_valid: handshake.accept_valid(),
            not_offered: handshake.subprotocol_not_offered() || handshake.extension_not_offered(),
            is_cut: response.is_cut,
        });
        Opening {
            joined: self.upper.joined,
            syn: self.tcp.halves.client.syn,
            syn_ack: self.tcp.halves.server.syn,
            established: self.tcp.halves.client.established,
            ttl: PerSide::from_fn(|side| self.tcp.halves[side].first_ttl),
            request: handshake.request.as_ref().map(|request| request.at),
            response,
            answer_unread: false,
            frames,
        }
    }
}

fn lost(blind: Blind, at: Option<Moment>, offset: u64, unsent_at: Option<Moment>) -> Sight {
    Sight::Lost(Lost { blind, at, offset, unsent_at })
}

fn last_message_of(direction: &Direction) -> LastMessage {
    LastMessage {
        at: direction.last_data,
        is_largest: direction.message_bytes > direction.earlier_bytes,
        violates: direction.violates,
    }
}

/// Could a Close of this direction have passed unseen? Behind a Close no data may follow, but pings and pongs do: of a side
/// joined in mid-stream, data shows that there was none before.
fn sight_of(direction: &Direction, joined: bool, is_closed: bool) -> Sight {
    if joined && direction.last_data.is_none() && !is_closed {
        return lost(Blind::StartedLate, None, 0, None);
    }
    let Some(hidden) = direction.hidden.as_deref() else { return Sight::Full };
    let blind = match hidden.cause {
        HiddenCause::Gap(GapCause::Lost | GapCause::Limit | GapCause::ByteOrFin) => Blind::Gap,
        HiddenCause::Gap(GapCause::Truncated) => Blind::Truncated,
        HiddenCause::Gap(GapCause::Encrypted) => Blind::Encrypted,
        HiddenCause::Unframed if joined => Blind::StartedLate,
        HiddenCause::Unframed => Blind::Desynchronized,
    };
    lost(blind, Some(hidden.at), hidden.offset, hidden.unsent_at)
}
