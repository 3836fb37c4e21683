//! What is claimed of a connection.

use super::teardown::Blind;
use crate::moment::Moment;
use crate::side::Side;
use crate::websocket::close_code::CloseCode;
use std::borrow::Cow;
use std::fmt;

/// How a connection ended, by whom, and, where words are asked for, why that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<W = Unsaid> {
    /// The kind of end.
    pub kind: Kind,
    /// Who began it; `None` for a connection that is open.
    pub closed_by: Option<ClosedBy>,
    /// Both Close frames seen and delivered before TCP ended (RFC 6455 §7.1.4).
    pub clean: bool,
    /// The reasons in one sentence, with packet numbers.
    pub why: W,
}

/// The kind of end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A Close frame was on the wire; `None`: it had no code (1005 to the application).
    Coded(Option<CloseCode>),
    /// It opened and ended, and no Close was sent: 1006.
    Abnormal(Cause),
    /// The opening handshake failed.
    Refused,
    /// Still open when the capture ended.
    Open,
    /// A Close may have passed unseen.
    Unknown(Blind),
}

impl Kind {
    /// `coded`, `abnormal`, `refused`, `open` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Coded(_) => "coded",
            Kind::Abnormal(_) => "abnormal",
            Kind::Refused => "refused",
            Kind::Open => "open",
            Kind::Unknown(_) => "unknown",
        }
    }

    /// The short answer: `1001`, `1006`, `refused`, ...
    #[must_use]
    pub fn label(self) -> Cow<'static, str> {
        match self {
            Kind::Coded(Some(code)) => match code.0 {
                1000 => "1000".into(),
                1001 => "1001".into(),
                other => other.to_string().into(),
            },
            Kind::Coded(None) => "1005".into(),
            Kind::Abnormal(_) => "1006".into(),
            Kind::Refused | Kind::Open | Kind::Unknown(_) => self.name().into(),
        }
    }
}

/// The root cause of an abnormal end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A reset.
    Rst,
    /// A FIN without a Close.
    Fin,
    /// One end's TCP, or the path to it, had stopped answering.
    Timeout,
}

impl Cause {
    /// `rst`, `fin` or `timeout`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Rst => "rst",
            Cause::Fin => "fin",
            Cause::Timeout => "timeout",
        }
    }
}

/// Who began the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClosedBy {
    /// The client.
    Client,
    /// The server.
    Server,
    /// Both at once: crossed Close frames.
    Both,
    /// Neither: a dead path, or a reset that neither end sent.
    Network,
    /// A proxy between two legs.
    Proxy,
    /// The packets can't tell.
    Unknown,
}

impl ClosedBy {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ClosedBy::Client => "client",
            ClosedBy::Server => "server",
            ClosedBy::Both => "both",
            ClosedBy::Network => "network",
            ClosedBy::Proxy => "proxy",
            ClosedBy::Unknown => "unknown",
        }
    }
}

impl From<Side> for ClosedBy {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => ClosedBy::Client,
            Side::Server => ClosedBy::Server,
        }
    }
}

impl Blind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Blind::Gap => "gap",
            Blind::Encrypted => "encrypted",
            Blind::Truncated => "truncated",
            Blind::OneSided => "one-sided",
            Blind::StartedLate => "started-late",
            Blind::Desynchronized => "desynchronized",
            Blind::Evicted => "evicted",
            Blind::Dropped => "dropped",
        }
    }
}

/// What becomes of a reason: a sentence for whoever reads it, nothing where only what follows from it counts.
///
/// What decides and what explains is the same code, so that no reason can be another than that which decided. Of the
/// connections of a long capture few are read about: their words are made when they are, of evidence that is kept.
pub trait Words: Sized {
    /// The reason in these words.
    fn say(words: fmt::Arguments<'_>) -> Self;
}

/// A reason that nobody asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsaid;

impl Words for Unsaid {
    fn say(_: fmt::Arguments<'_>) -> Self {
        Unsaid
    }
}

impl Words for String {
    fn say(words: fmt::Arguments<'_>) -> Self {
        // Bytes that most sentences fit: one allocation, as thousands of them are written a second.
        const SENTENCE: usize = 160;
        let mut sentence = String::with_capacity(SENTENCE);
        // Writing to a string can't fail.
        let _ = fmt::Write::write_fmt(&mut sentence, words);
        sentence
    }
}

/// Part of a sentence, written where the sentence is.
pub(super) struct Phrase<F>(pub(super) F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Phrase<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(out)
    }
}

/// A packet in words: `packet 12`, or `packet 12 of file 3` where there are several.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketName(Moment);

/// The name of packet `at`.
#[must_use]
pub(crate) fn packet(at: Moment) -> PacketName {
    PacketName(at)
}

impl fmt::Display for PacketName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most sentences name several: written piece by piece, which costs a third of a format of its own.
        out.write_str("packet ")?;
        fmt::Display::fmt(&self.0.packet, out)?;
        match self.0.file {
            0 => Ok(()),
            file => write!(out, " of file {}", u32::from(file) + 1),
        }
    }
}
