//! What is found: per connection a [`Diagnosis`], over the capture a [`Finding`].

use crate::moment::Moment;

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What a diagnosis says, the weightiest first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Id { $($(#[doc = $doc])+ $variant,)+ }

        impl Id {
            /// Every id, the weightiest first.
            pub const ALL: &'static [Id] = &[$(Id::$variant,)+];

            /// The name in reports: stable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Id::$variant => $name,)+ }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Id::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

ids! {
    /// A message larger than the receiver takes drew Close 1009.
    MessageTooBig = "message-too-big",
    /// A broken rule of the protocol drew a Close.
    ProtocolViolation = "protocol-violation",
    /// A ping was not answered.
    PingUnanswered = "ping-unanswered",
    /// TCP sent the same bytes again and again without an answer.
    TcpTimeout = "tcp-timeout",
    /// A router or host sent an ICMP error about the connection.
    IcmpError = "icmp-error",
    /// Something between the ends sent the reset.
    ForeignReset = "foreign-reset",
    /// A proxy ended it.
    ProxyEnded = "proxy-ended",
    /// A close code of the application's protocol.
    ProtocolCode = "protocol-code",
    /// Several connections fell silent together.
    PathLost = "path-lost",
    /// Many connections were forgotten at once.
    StateLost = "state-lost",
    /// Many connections ended at once.
    ManyAtOnce = "many-at-once",
    /// A TCP connection that carried several WebSockets ended.
    SharedConnectionLost = "shared-connection-lost",
    /// An end of an HTTP/2 stream could send nothing more, not even a Close.
    FlowControlExhausted = "flow-control-exhausted",
    /// An end went on to send on an HTTP/2 stream that it had ended.
    DataAfterEnd = "data-after-end",
    /// Clients that lost their connections together came back together.
    ThunderingHerd = "thundering-herd",
    /// A client reconnects without backing off.
    NoBackoff = "reconnect-without-backoff",
    /// A client reconnected at once though it was told to wait, or not to.
    ReconnectIgnoresCode = "reconnect-ignores-code",
    /// Pings come no faster than the idle limit.
    PingTooSlow = "ping-too-slow",
    /// It had been silent as long as an idle limit.
    IdleLimit = "idle-limit",
    /// It was forgotten on its way while it was silent.
    ForgottenWhileIdle = "forgotten-while-idle",
    /// It lived as long as a lifetime limit.
    LifetimeLimit = "lifetime-limit",
    /// Regular pings had stopped.
    PingsStopped = "pings-stopped",
    /// A code on the wire that must not stand there.
    ReservedCode = "reserved-code",
    /// The opening handshake failed.
    HandshakeFailed = "handshake-failed",
    /// An end aborted TCP by a reset, or its HTTP/2 stream.
    Abort = "abort",
    /// An end closed TCP, or ended its HTTP/2 stream, without a Close.
    NoClose = "no-close",
    /// An application protocol announced the end.
    Farewell = "farewell",
    /// A client cancelled its HTTP/2 stream, as browsers do where HTTP/1.1 would have them send Close 1001.
    StreamCancelled = "stream-cancelled",
    /// A browser left the page.
    PageLeft = "page-left",
    /// The server goes away.
    ServerGoesAway = "server-goes-away",
    /// What the code means.
    CodeMeaning = "code-meaning",
}

/// How sure a diagnosis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// The packets allow it; they allow other causes too.
    Possible,
    /// Nothing else explains the packets as well.
    Likely,
    /// The packets show it.
    Certain,
}

impl Confidence {
    /// `certain`, `likely` or `possible`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Confidence::Possible => "possible",
            Confidence::Likely => "likely",
            Confidence::Certain => "certain",
        }
    }
}

/// One cause of one connection's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What it says.
    pub id: Id,
    /// How sure it is.
    pub confidence: Confidence,
    /// What was seen, in one plain sentence.
    pub text: String,
    /// What to do about it. `None`: nothing is wrong, it is said for orientation.
    pub advice: Option<String>,
    /// The same for all connections with this cause: what a finding over several of them is called.
    pub title: String,
    /// The packets that show it.
    pub packets: Vec<Moment>,
}

/// One cause over the whole capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it says.
    pub id: Id,
    /// How sure it is.
    pub confidence: Confidence,
    /// What was seen, in one plain sentence.
    pub text: String,
    /// What to do about it.
    pub advice: String,
    /// How many connections it would have saved, or touches.
    pub count: u64,
    /// Their numbers in the report, the first few.
    pub connections: Vec<u64>,
    /// Packets that show it, the first few.
    pub packets: Vec<Moment>,
}
