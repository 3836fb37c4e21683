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
    /// A router or host sent an ICMP error about the connection.
    IcmpError = "icmp-error",
    /// A ping was not answered.
    PingUnanswered = "ping-unanswered",
    /// TCP sent the same bytes again and again without an answer.
    TcpTimeout = "tcp-timeout",
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

impl Id {
    /// What to do, as far as it can be said without the packets; `None` where nothing is wrong, or only they tell.
    #[must_use]
    pub const fn advice(self) -> Option<&'static str> {
        Some(match self {
            Id::MessageTooBig => "raise the receiver's limit, or let the sender split its messages",
            Id::ProtocolViolation => "find what sends such frames, or alters them on the way",
            Id::IcmpError => "see the router, firewall or host at the address that sent the error",
            Id::TcpTimeout | Id::PathLost => {
                "look for what cut the path at that time (link, route, firewall, NAT); ping in both directions to notice \
                 sooner, and reconnect with backoff"
            }
            Id::ProxyEnded => {
                "see the proxy's log: an idle limit, a reload, a restart. Against an idle limit send pings at least twice \
                 as often, or raise it; before a reload let the proxy drain connections"
            }
            Id::StateLost => {
                "look for what lost its table of connections then: a NAT, firewall or load balancer that was flushed, \
                 reloaded or failed over, or a host that restarted"
            }
            Id::ManyAtOnce => {
                "let the server or proxy send Close 1001 or 1012 before it stops, and drain connections bit by bit; let \
                 clients come back after a random delay"
            }
            Id::SharedConnectionLost => {
                "look for what ended that one TCP connection; a limit of WebSockets per connection would lose fewer at once"
            }
            Id::ThunderingHerd | Id::NoBackoff => {
                "add exponential backoff with jitter: a random first delay of up to 5 s, then growing"
            }
            Id::PingTooSlow | Id::IdleLimit => {
                "send pings at least twice as often as the limit runs out, or raise the limit of the server or of the proxy \
                 before it"
            }
            Id::ForgottenWhileIdle => "ping more often than the connection tables on the way forget",
            Id::LifetimeLimit => "raise the limit, and let the client reconnect before it runs out",
            Id::PingsStopped => "see why they stopped: a suspended device or tab, a blocked event loop",
            Id::ReservedCode => "send 1000, 1001, 1008, 1011 or a code of 3000 to 4999",
            Id::Abort => {
                "see why it aborts: a process killed or closed with unread data, terminate(), or SO_LINGER 0; close with a \
                 Close frame instead"
            }
            Id::NoClose => "send a Close before the end, 1001 on shutdown; see that end's log at that time",
            _ => return None,
        })
    }
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
