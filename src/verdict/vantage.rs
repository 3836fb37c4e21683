//! Where the capture was taken: at the client, at the server, or in between.
//!
//! A packet that the capture holds has *arrived* only where the capture was taken at its receiver; elsewhere only an
//! acknowledgment proves it.

use super::teardown::{Opening, Teardown};
use super::verdict::{Phrase, Unsaid, Words, packet};
use crate::moment::Moment;
use crate::side::Side;
use std::fmt;

/// Where the packets were captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Vantage {
    /// At the client: what the server sent has arrived when it is captured.
    Client,
    /// At the server.
    Server,
    /// Somewhere on the path.
    Middle,
    /// The packets do not tell.
    #[default]
    Unknown,
}

impl Vantage {
    /// `client`, `server`, `middle` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Vantage::Client => "client",
            Vantage::Server => "server",
            Vantage::Middle => "middle",
            Vantage::Unknown => "unknown",
        }
    }

    /// Is it at `side`?
    #[must_use]
    pub const fn is_at(self, side: Side) -> bool {
        matches!((self, side), (Vantage::Client, Side::Client) | (Vantage::Server, Side::Server))
    }

    const fn at(side: Side) -> Self {
        match side {
            Side::Client => Vantage::Client,
            Side::Server => Vantage::Server,
        }
    }
}

/// A vantage with, where words are asked for, what speaks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VantageEstimate<W = Unsaid> {
    /// Where.
    pub vantage: Vantage,
    /// The user said so: it is a fact and not an estimate.
    pub is_given: bool,
    /// Why that is believed, in one sentence.
    pub why: W,
}

/// The nearer end answers at least this many times faster than the farther one.
const NEARER_BY: i64 = 3;

/// An end that answers the handshake within this time, in nanoseconds, is on the capturing machine or its own link.
const LOCAL_NANOS: i64 = 1_000_000;

/// Estimates the vantage from the handshake's three packets and from the TTLs.
///
/// ```text
///  capture:  SYN ......... SYN-ACK . ACK       at the client: the server takes a round trip, the client none
///            SYN . SYN-ACK ......... ACK       at the server
///            SYN ..... SYN-ACK ..... ACK       in between
/// ```
///
/// A TTL that no router has lowered (a usual initial value) says that its sender is on the capture's own link; one
/// that was lowered says that it is not. Time and TTL have to agree.
#[must_use]
pub fn estimate<W: Words>(teardown: &Teardown) -> VantageEstimate<W> {
    let opening = &teardown.opening;
    let hops = Side::BOTH.map(|side| opening.ttl[side].map(hops));
    let [Some(client_hops), Some(server_hops)] = hops else {
        return unknown(format_args!("the capture lacks packets of one side"));
    };
    let routers = Phrase(|out: &mut fmt::Formatter<'_>| {
        write!(out, "{client_hops} routers from the client, {server_hops} from the server by TTL")
    });
    let Some(times) = Times::of(opening) else {
        return unknown(format_args!("the capture lacks the TCP handshake ({routers})"));
    };
    let near = match (client_hops, server_hops) {
        (0, 0) => return unknown(format_args!("{routers}, {times}")),
        (0, _) => Some(Side::Client),
        (_, 0) => Some(Side::Server),
        (_, _) => None,
    };
    let vantage = match near {
        Some(side) if times.is_local(side) => Vantage::at(side),
        Some(_) => Vantage::Unknown,
        None => Vantage::Middle,
    };
    VantageEstimate { vantage, is_given: false, why: W::say(format_args!("{routers}; {times}")) }
}

/// What the user said.
#[must_use]
pub fn given<W: Words>(vantage: Vantage) -> VantageEstimate<W> {
    VantageEstimate { vantage, is_given: true, why: W::say(format_args!("given by the user")) }
}

fn unknown<W: Words>(why: fmt::Arguments<'_>) -> VantageEstimate<W> {
    VantageEstimate { vantage: Vantage::Unknown, is_given: false, why: W::say(why) }
}

/// How many routers lowered a TTL, if it started at the next usual initial value (64, 128 or 255).
fn hops(ttl: u8) -> u8 {
    let initial = match ttl {
        0..=64 => 64,
        65..=128 => 128,
        129..=255 => 255,
    };
    initial - ttl
}

/// How long each end took to answer in the TCP handshake, as the capture point saw it.
struct Times {
    /// SYN to SYN-ACK, in nanoseconds.
    server: i64,
    /// SYN-ACK to ACK.
    client: i64,
    syn_ack: Moment,
    ack: Moment,
}

impl Times {
    fn of(opening: &Opening) -> Option<Self> {
        let (syn, syn_ack, ack) = (opening.syn?, opening.syn_ack?, opening.established?);
        let server = syn_ack.at.nanos_since(syn.at);
        let client = ack.at.nanos_since(syn_ack.at);
        if server < 0 || client < 0 {
            return None;
        }
        Some(Times { server, client, syn_ack, ack })
    }

    /// Does `side` answer as only an end at the capture point does?
    fn is_local(&self, side: Side) -> bool {
        let (own, other) = match side {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        };
        own <= LOCAL_NANOS && own.saturating_mul(NEARER_BY) <= other
    }
}

impl fmt::Display for Times {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SYN-ACK ")?;
        Millis(self.server).fmt(out)?;
        out.write_str(" ms after the SYN, ACK ")?;
        Millis(self.client).fmt(out)?;
        out.write_str(" ms after it (")?;
        packet(self.syn_ack).fmt(out)?;
        out.write_str(", ")?;
        packet(self.ack).fmt(out)?;
        out.write_str(")")
    }
}

/// Nanoseconds, shown in milliseconds to the microsecond.
struct Millis(i64);

impl fmt::Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.saturating_add(500) / 1_000;
        fmt::Display::fmt(&(micros / 1_000), out)?;
        out.write_str(match micros % 1_000 {
            0..10 => ".00",
            10..100 => ".0",
            _ => ".",
        })?;
        fmt::Display::fmt(&(micros % 1_000), out)
    }
}
