//! How HTTP/2 begins on a connection: with its preface, by ALPN, or unseen, before the capture.

use super::Options;
use super::joining::Joining;
use super::multiplexed::Multiplexed;
use super::upper::{Phase, Upper};
use crate::http::http2::frame;
use crate::http::http2::session::Session as Http2;
use crate::limits::Limits;
use crate::side::Side;
use crate::tcp::stream_event::StreamEvent;

impl Upper {
    /// HTTP/2 has begun: `seen` bytes of the client's preface have passed.
    pub(super) fn begin_http2(&mut self, seen: usize, options: &Options) {
        let http2 = Http2::new(seen, &options.limits);
        self.phase = Phase::Http2(Box::new(Multiplexed::new(http2)));
    }

    /// ALPN has agreed on what this is: where it is HTTP/2, that begins here, whether its first bytes are seen or not.
    pub(super) fn agree(&mut self, name: &[u8], options: &Options) {
        self.is_http1 = name == b"http/1.1" || name == b"http/1.0";
        let has_begun = match &self.phase {
            Phase::Http(http) => http.has_begun(),
            Phase::Joining(joining) => joining.has_begun(),
            _ => true,
        };
        if name == b"h2" && !has_begun {
            let http2 = Http2::agreed(&options.limits);
            self.phase = Phase::Http2(Box::new(Multiplexed::new(http2)));
        }
    }

    /// Has ALPN agreed on HTTP/1.1, so that what looks like HTTP/2 is none? Behind a request there may be a tunnel.
    pub(super) fn is_agreed_otherwise(&self) -> bool {
        self.is_http1 && matches!(&self.phase, Phase::Http(http) if http.requests() == 0)
    }

    /// Does the server speak first, in HTTP/2? Then that has begun.
    pub(super) fn begins_http2(&mut self, side: Side, bytes: &[u8], options: &Options) -> bool {
        let Phase::Http(http) = &self.phase else { return false };
        let begins = side == Side::Server
            && http.may_switch()
            && may_be_settings(bytes)
            && !self.is_agreed_otherwise();
        if begins {
            let seen = http.preface_held();
            self.begin_http2(seen, options);
        }
        begins
    }

    /// Takes what `side` sent through HTTP/2. `Some(side)`: it is to be taken again.
    pub(super) fn multiplexed(
        &mut self,
        side: Side,
        event: StreamEvent<'_>,
        options: &Options,
    ) -> Option<Side> {
        let Phase::Http2(multiplexed) = &mut self.phase else { return None };
        multiplexed.stream(side, event, &options.limits);
        if multiplexed.takes_roles_for_each_other() {
            **multiplexed = Multiplexed::new(Http2::joined(true, &options.limits));
            return self.turn_round(side);
        }
        self.is_websocket |= multiplexed.streams.any;
        if multiplexed.streams.is_other {
            self.phase = Phase::Ignored;
        }
        None
    }

    /// The roles were taken for each other.
    fn turn_round(&mut self, side: Side) -> Option<Side> {
        if self.depth > 0 {
            // In TLS the keys have told who the client is.
            self.phase = Phase::Ignored;
            return None;
        }
        self.reversed = !self.reversed;
        Some(side.other())
    }

    /// Is a connection whose start was not seen HTTP/2? Its frames are read on trial, beside those of a WebSocket.
    pub(super) fn joins_http2(&mut self, side: Side, event: StreamEvent<'_>, options: &Options) -> Joins {
        let limits = &options.limits;
        let Phase::Joining(joining) = &mut self.phase else { return Joins::No };
        if self.is_http1 || !joining.may_be_http2(event, self.depth > 0, limits) {
            return Joins::No;
        }
        let Some(trial) = &mut joining.http2 else { return Joins::No };
        trial.stream(side, event, limits);
        if trial.takes_roles_for_each_other() {
            **joining = Joining::new();
            joining.http2 = Some(Box::new(Multiplexed::new(Http2::joined(true, limits))));
            return self.turn_round(side).map_or(Joins::Yes, Joins::Reversed);
        }
        if !trial.http2.is_proved(limits) {
            return Joins::No;
        }
        if let Some(proved) = joining.http2.take() {
            self.is_websocket |= proved.streams.any;
            self.phase = Phase::Http2(proved);
        }
        Joins::Yes
    }

    /// The HTTP/2 connection, if there is one.
    pub(super) fn http2(&self) -> Option<&Multiplexed> {
        match &self.phase {
            Phase::Http2(multiplexed) => Some(multiplexed),
            Phase::Tls(secured) => match &secured.inner {
                Phase::Http2(multiplexed) => Some(multiplexed),
                _ => None,
            },
            _ => None,
        }
    }

    /// The HTTP/2 connection, to take streams from it.
    pub(super) fn http2_mut(&mut self) -> Option<&mut Multiplexed> {
        match &mut self.phase {
            Phase::Http2(multiplexed) => Some(multiplexed),
            Phase::Tls(secured) => match &mut secured.inner {
                Phase::Http2(multiplexed) => Some(multiplexed),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What a segment makes of a connection that may be HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joins {
    /// It may be something else.
    No,
    /// It is decided, and the segment is taken.
    Yes,
    /// The segment is to be taken again, as that side's.
    Reversed(Side),
}

impl Multiplexed {
    /// Did frames show that the roles, which were guessed, are the other way round?
    fn takes_roles_for_each_other(&mut self) -> bool {
        if self.streams.any {
            self.http2.settle_roles();
        }
        let seeks = self.http2.seeks_roles();
        self.streams.take_reversed() && seeks
    }
}

impl Joining {
    /// Is HTTP/2 on trial, or do frames begin here?
    fn may_be_http2(&mut self, event: StreamEvent<'_>, roles_known: bool, limits: &Limits) -> bool {
        let begins = matches!(event, StreamEvent::Data { bytes, .. } if frame::chain(bytes) > 0);
        if self.http2.is_none() && begins {
            self.http2 = Some(Box::new(Multiplexed::new(Http2::joined(roles_known, limits))));
        }
        self.http2.is_some()
    }
}

/// Could `bytes`, a server's first, be the SETTINGS that it begins with (RFC 9113 §3.4), as far as they go?
fn may_be_settings(bytes: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    let fits = |(place, byte): (usize, &u8)| match place {
        0 | 4..=8 => *byte == 0,
        3 => *byte == SETTINGS,
        _ => true,
    };
    !bytes.is_empty() && bytes.iter().take(9).enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::http2::frame::CLIENT_PREFACE;
    use crate::moment::Moment;
    use crate::tcp::stream_event::{Gap, GapCause, Wire};

    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    fn data(upper: &mut Upper, side: Side, bytes: &[u8], options: &Options) {
        let event = StreamEvent::Data { at: Moment::default(), offset: 0, bytes, wire: Wire::default() };
        upper.stream(side, event, options);
    }

    /// A request for a WebSocket on stream 1: literal fields, names in full.
    fn connect() -> Vec<u8> {
        let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/ws")];
        let block: Vec<u8> =
            fields.iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect();
        let length = u8::try_from(block.len()).unwrap();
        [&[0, 0, length, 1, 4, 0, 0, 0, 1][..], &block].concat()
    }

    fn follows_websocket(upper: &Upper) -> bool {
        upper.http2().is_some_and(|http2| http2.streams.any)
    }

    #[test]
    fn what_alpn_agreed_on_begins_whether_its_preface_is_seen_or_not() {
        let options = Options::default();
        let whole = [&CLIENT_PREFACE[..], &SETTINGS, &connect()].concat();
        let begun = |bytes: &[u8], alpn: Option<&[u8]>| {
            let mut upper = Upper::new(true, false);
            if let Some(name) = alpn {
                upper.agree(name, &options);
            }
            data(&mut upper, Side::Client, bytes, &options);
            follows_websocket(&upper)
        };
        assert!(begun(&whole, Some(b"h2")) && begun(&whole, None));
        // The request alone: only ALPN tells what it is.
        assert!(begun(&connect(), Some(b"h2")));
        assert!(!begun(&connect(), None));
        // Agreed otherwise: no server reads this as HTTP/2.
        assert!(!begun(&whole, Some(b"http/1.1")));
        assert!(begun(&whole, Some(b"some-protocol-that-switches")));
    }

    #[test]
    fn a_hole_in_place_of_the_preface_costs_the_table_only() {
        let options = Options::default();
        let (at, cause) = (Moment::default(), GapCause::Lost);
        let gap = Gap { at, offset: 0, len: 33, cause, unsent_at: None };
        for alpn in [true, false] {
            let mut upper = Upper::new(true, false);
            if alpn {
                upper.agree(b"h2", &options);
            }
            upper.stream(Side::Client, StreamEvent::Gap(gap), &options);
            data(&mut upper, Side::Server, &SETTINGS, &options);
            data(&mut upper, Side::Client, &connect(), &options);
            // Without ALPN two frames are too few to tell.
            assert_eq!(follows_websocket(&upper), alpn);
        }
    }

    #[test]
    fn http1_agreed_on_is_read_as_such_also_if_the_server_begins_like_http2() {
        let options = Options::default();
        for (alpn, is_http2) in [(&b"h2"[..], true), (b"http/1.1", false)] {
            let mut upper = Upper::new(true, false);
            upper.agree(alpn, &options);
            data(&mut upper, Side::Server, &SETTINGS, &options);
            assert_eq!(upper.http2().is_some(), is_http2);
        }
    }
}
