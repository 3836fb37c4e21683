//! Is an encrypted connection probably a WebSocket?

use super::{HEAD_MAX, SWITCH_MIN, Shape, UPGRADE_MIN};
use crate::side::Side;

/// Points from which on it probably is.
const PROBABLE: u8 = 50;
/// Points from which on it may be one.
const POSSIBLE: u8 = 40;

/// Something that speaks for or against a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sign {
    /// The first record of each side has the size of an Upgrade request and its answer.
    HandshakeSizes,
    /// The client sends records too short for any HTTP/1.1 request.
    TinyClientRecords,
    /// Records of the two sides differ by the four bytes of a mask.
    MaskedTwin,
    /// Several times.
    MaskedTwins,
    /// The server speaks without being asked.
    ServerPushes,
    /// Tiny records at a constant interval, as of pings.
    Heartbeat,
    /// Data of both sides for more than a minute.
    LongLived,
    /// The client offered HTTP/1.1 alone, as browsers do for a WebSocket.
    OffersHttp11Only,
    /// The client offered no protocol, as programs do that are no browsers.
    OffersNoProtocol,
    /// The client offered HTTP/2.
    OffersHttp2,
    /// The server chose HTTP/2.
    ChoseHttp2,
    /// The server's name is one that WebSockets are often served under.
    ServerName,
}

impl Sign {
    const ALL: [Sign; 12] = [
        Sign::HandshakeSizes,
        Sign::TinyClientRecords,
        Sign::MaskedTwin,
        Sign::MaskedTwins,
        Sign::ServerPushes,
        Sign::Heartbeat,
        Sign::LongLived,
        Sign::OffersHttp11Only,
        Sign::OffersNoProtocol,
        Sign::OffersHttp2,
        Sign::ChoseHttp2,
        Sign::ServerName,
    ];

    /// What it is worth.
    const fn points(self) -> i16 {
        match self {
            Sign::HandshakeSizes | Sign::OffersHttp11Only => 15,
            Sign::TinyClientRecords => 30,
            Sign::MaskedTwin | Sign::Heartbeat => 20,
            Sign::MaskedTwins | Sign::ServerPushes | Sign::LongLived | Sign::ServerName => 10,
            Sign::OffersNoProtocol => 5,
            Sign::OffersHttp2 => -10,
            Sign::ChoseHttp2 => -60,
        }
    }

    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Sign::HandshakeSizes => "the first records have the sizes of an Upgrade request and its answer",
            Sign::TinyClientRecords => "the client sends records too short for HTTP requests",
            Sign::MaskedTwin => "a client record is a server's plus the four bytes of a mask",
            Sign::MaskedTwins => "that is so several times",
            Sign::ServerPushes => "the server speaks without being asked",
            Sign::Heartbeat => "tiny records at a constant interval, as of pings",
            Sign::LongLived => "both sides send data for more than a minute",
            Sign::OffersHttp11Only => "the client offers HTTP/1.1 alone",
            Sign::OffersNoProtocol => "the client offers no protocol by ALPN",
            Sign::OffersHttp2 => "the client offers HTTP/2",
            Sign::ChoseHttp2 => "the server chose HTTP/2",
            Sign::ServerName => "the server's name",
        }
    }
}

/// Is it a WebSocket, and what speaks for it?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// 0 to 100.
    pub points: u8,
    /// What speaks for and against it.
    pub signs: Vec<Sign>,
}

impl Score {
    /// Does nothing speak against it? Pages and other requests have fewer points.
    #[must_use]
    pub const fn is_possible(&self) -> bool {
        self.points >= POSSIBLE
    }

    /// Is it rather a WebSocket than not?
    #[must_use]
    pub const fn is_probable(&self) -> bool {
        self.points >= PROBABLE
    }
}

/// What the hellos tell, in clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hellos {
    pub was_seen: bool,
    pub offers_http11: bool,
    pub offers_http2: bool,
    pub offers_any: bool,
    pub chose_http2: bool,
    pub named: bool,
}

pub(super) fn score(shape: &Shape) -> Score {
    let signs: Vec<Sign> = Sign::ALL.into_iter().filter(|sign| shape.shows(*sign)).collect();
    let points = signs.iter().map(|sign| sign.points()).sum::<i16>().clamp(0, 100);
    Score { points: u8::try_from(points).unwrap_or(0), signs }
}

impl Shape {
    /// The `ClientHello`: the server's name and the protocols offered.
    pub fn set_client_hello<'a>(&mut self, server_name: Option<&[u8]>, alpn: impl Iterator<Item = &'a [u8]>) {
        self.hellos.named = server_name.is_some_and(is_telling_name);
        for protocol in alpn {
            self.hellos.offers_any = true;
            self.hellos.offers_http11 |= protocol == b"http/1.1";
            self.hellos.offers_http2 |= protocol == b"h2";
        }
        self.hellos.was_seen = true;
    }

    fn shows(&self, sign: Sign) -> bool {
        let (client, server) = (&self.sent.client, &self.sent.server);
        let hellos = &self.hellos;
        match sign {
            Sign::HandshakeSizes => {
                (UPGRADE_MIN..=HEAD_MAX).contains(&client.first)
                    && (SWITCH_MIN..=HEAD_MAX).contains(&server.first)
            }
            Sign::TinyClientRecords => client.tiny > 0,
            Sign::MaskedTwin => self.twins > 0,
            Sign::MaskedTwins => self.twins > 2,
            Sign::ServerPushes => self.pushes > 2,
            Sign::Heartbeat => client.beat.steady > 1 || server.beat.steady > 1,
            Sign::LongLived => Side::BOTH.into_iter().all(|side| self.lasted(self.last_data[side]) > 60.0),
            Sign::OffersHttp11Only => hellos.offers_http11 && !hellos.offers_http2,
            Sign::OffersNoProtocol => hellos.was_seen && !hellos.offers_any,
            Sign::OffersHttp2 => hellos.offers_http2,
            Sign::ChoseHttp2 => hellos.chose_http2,
            Sign::ServerName => hellos.named,
        }
    }
}

/// `ws.example.org`, `realtime-api.example.org`, ...
fn is_telling_name(name: &[u8]) -> bool {
    const WORDS: [&[u8]; 11] = [
        b"ws",
        b"wss",
        b"websocket",
        b"websockets",
        b"socket",
        b"sockets",
        b"realtime",
        b"stream",
        b"gateway",
        b"push",
        b"live",
    ];
    name.split(|byte| !byte.is_ascii_alphabetic())
        .any(|word| WORDS.iter().any(|telling| word.eq_ignore_ascii_case(telling)))
}
