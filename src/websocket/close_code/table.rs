//! The one table of close codes: the registered ones, and the ranges that hold all others.

use super::{Category, CodeInfo, KnownUse, OnWire, PeerSees, Reconnect, Sender};

/// Where RFC 6455 defines single codes.
const RFC_CODES: &str = "RFC 6455 §7.4.1";
/// Where RFC 6455 defines the ranges.
const RFC_RANGES: &str = "RFC 6455 §7.4.2";
/// Where codes are registered that RFC 6455 does not define.
const REGISTRY: &str = "IANA WebSocket Close Code Number Registry";

/// Every code with an entry in the IANA registry, sorted.
pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo {
        first: 1000,
        last: 1000,
        name: "Normal Closure",
        category: Category::Normal,
        meaning: "The purpose for which the connection was opened is fulfilled. Nothing went wrong.",
        appears: "The application called close(1000), a session ended, a user logged out. Some servers also use \
            it for an idle limit: Cowboy closes with 1000 after 60 s without a client frame.",
        fix: "Nothing, if the end was expected. If it comes at a fixed idle time, look for the server's idle \
            limit, and send pings or raise the limit.",
        applies_when: "one endpoint was done and said so",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::NotNeeded,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1001,
        last: 1001,
        name: "Going Away",
        category: Category::Departure,
        meaning: "An endpoint is going away: a server shuts down, or a browser leaves the page.",
        appears: "A server shutdown, deployment or drain; a user who closes the tab, reloads or follows a link; \
            a proxy that reloads its configuration (Caddy). Some servers use it for an idle limit (Tomcat, \
            Jetty).",
        fix: "Reconnect automatically with exponential backoff, after a short delay when the server \
            restarts, so that it is up again and not all clients come at once. When the client left its \
            page, nothing is to be done: the next page opens its own connection.",
        applies_when: "an endpoint left on purpose and said so in a Close frame: the peer knew before TCP ended",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::DelayThenBackoff,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1002,
        last: 1002,
        name: "Protocol error",
        category: Category::Violation,
        meaning: "The sender of the Close found that the other endpoint broke the WebSocket protocol.",
        appears: "A frame with a reserved opcode or bit, a client frame without a mask, a broken fragment, an \
            invalid close code. Proxies that alter bytes, and two libraries that disagree on an extension, \
            cause it too. Phoenix on Bandit sends it for an idle limit, and Tomcat may send it after a \
            bare FIN.",
        fix: "Find the frame before the Close and the rule it breaks. Update the library that sent it; \
            switch off compression to rule out a bad extension; look for a proxy that rewrites the stream.",
        applies_when: "one endpoint took the other's bytes for a breach of the protocol",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AfterFix,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1003,
        last: 1003,
        name: "Unsupported Data",
        category: Category::Violation,
        meaning: "The endpoint received a kind of data that it does not accept.",
        appears: "A binary message sent to an endpoint that only takes text, or text where binary is expected.",
        fix: "Send the message type that the peer expects; check the subprotocol that both ends agreed on.",
        applies_when: "the frames were valid, but the message type was not one the receiver takes",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AfterFix,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1004,
        last: 1004,
        name: "Reserved",
        category: Category::Reserved,
        meaning: "Reserved. A meaning may be defined in the future.",
        appears: "It should never appear. An endpoint that sends it is in error.",
        fix: "Change the sender to use a defined code, or one from 4000 to 4999.",
        applies_when: "an endpoint used a number that has no meaning",
        on_wire: OnWire::Unassigned,
        sender: Sender::InError,
        peer_sees: PeerSees::Error,
        reconnect: Reconnect::AfterFix,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1005,
        last: 1005,
        name: "No Status Rcvd",
        category: Category::Normal,
        meaning: "A Close frame came without a code. The closing handshake itself took place; only the number is \
            missing. No code stands on the wire: 1005 is what an application gets to see in its place.",
        appears: "A script called close() without arguments; a browser dropped the last reference to an open \
            socket; Socket.IO and Engine.IO close in this way as a rule.",
        fix: "Nothing, if the close was expected. Give close() a code (1000, or 4000 to 4999) so that logs \
            can tell one reason from another.",
        applies_when: "a Close frame was received and its body was empty",
        on_wire: OnWire::LocalOnly,
        sender: Sender::Nobody,
        peer_sees: PeerSees::ItsOwnEmptyClose,
        reconnect: Reconnect::NotNeeded,
        reference: "RFC 6455 §7.1.5, §7.4.1",
    },
    CodeInfo {
        first: 1006,
        last: 1006,
        name: "Abnormal Closure",
        category: Category::Abnormal,
        meaning: "The connection was lost without a Close frame. It is never sent: an endpoint reports it to its \
            own application because no Close was received before TCP ended.",
        appears: "A crash or a killed process; a pulled cable or a lost radio link; a firewall, NAT or load \
            balancer that killed an idle connection; a program that closes the socket without a closing \
            handshake; an endpoint that failed the connection itself; and, in browsers, every opening \
            handshake that failed.",
        fix: "Reconnect with exponential backoff and jitter. Use ping/pong to detect dead connections early, \
            more often than the shortest idle limit on the path. Check network timeouts and load-balancer \
            idle limits (60 s is a common default). If it comes at a fixed age or idle time, suspect such \
            a limit; if it comes to many clients at once, suspect a crash or a restart.",
        applies_when: "the connection ended and no Close frame had been received: nobody said goodbye",
        on_wire: OnWire::LocalOnly,
        sender: Sender::Nobody,
        peer_sees: PeerSees::NoHandshake,
        reconnect: Reconnect::Backoff,
        reference: "RFC 6455 §7.1.5, §7.4.1",
    },
    CodeInfo {
        first: 1007,
        last: 1007,
        name: "Invalid frame payload data",
        category: Category::Violation,
        meaning: "A message held data that does not fit its type, such as a text message that is not UTF-8.",
        appears: "Binary data sent as text; text cut in the middle of a character; compressed data that does not \
            inflate.",
        fix: "Send bytes as binary messages, encode text as UTF-8, and cut text only between characters. \
            Switch off compression to rule out a bad extension.",
        applies_when: "the frames were valid, but the payload did not fit the message's type",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AfterFix,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1008,
        last: 1008,
        name: "Policy Violation",
        category: Category::Refusal,
        meaning: "A message broke a rule of the endpoint. It is the general code for a refusal that has no \
            better one, or whose details are to stay hidden.",
        appears: "Missing or expired credentials, a forbidden origin, a rate limit, a client too slow to take \
            its messages, a failed heartbeat.",
        fix: "Read the reason text of the Close and the log of the side that sent it. Renew credentials \
            before reconnecting; send less, or read faster.",
        applies_when: "the receiver could go on but its rules forbid it",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AfterFix,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1009,
        last: 1009,
        name: "Message Too Big",
        category: Category::Refusal,
        meaning: "A message was larger than its receiver takes.",
        appears: "A message, before or after it is decompressed, above the limit of a library, server or \
            gateway.",
        fix: "Split the message, or raise the limit on the side that sent the Close. Sending the same \
            message again fails again.",
        applies_when: "one message went over the receiver's size limit",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AfterFix,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1010,
        last: 1010,
        name: "Mandatory Ext.",
        category: Category::Violation,
        meaning: "The client needs an extension that the server's handshake answer did not accept. The reason \
            text should list it.",
        appears: "A client that insists on an extension such as permessage-deflate, and a server or a proxy that \
            does not offer it.",
        fix: "Enable the extension on the server and let proxies pass Sec-WebSocket-Extensions, or let the \
            client do without it.",
        applies_when: "the handshake succeeded, but without an extension that the client insists on",
        on_wire: OnWire::Allowed,
        sender: Sender::Client,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AfterFix,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 1011,
        last: 1011,
        name: "Internal Error",
        category: Category::Failure,
        meaning: "The endpoint met an unexpected condition and can't go on.",
        appears: "An exception in a message handler. Python's websockets library also sends it when its \
            keepalive ping is not answered, so it may stand for a dead network path.",
        fix: "Read the log of the side that sent it. With the reason \"keepalive ping timeout\", treat it as a \
            lost connection: look for a blocked event loop or a dead path. Reconnect with exponential \
            backoff, and stop after some attempts.",
        applies_when: "an endpoint failed and still could say so",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::Backoff,
        reference: "RFC 6455 §7.4.1, erratum 3227",
    },
    CodeInfo {
        first: 1012,
        last: 1012,
        name: "Service Restart",
        category: Category::Departure,
        meaning: "The service restarts. Clients may reconnect.",
        appears: "A restart or deployment of the server; uvicorn sends it on every shutdown. Some receivers do \
            not know the code and report 1002.",
        fix: "Reconnect after a random delay (5 to 30 s is the customary span), so that the restarted server \
            is not met by all clients at once.",
        applies_when: "the server restarts and will be back soon",
        on_wire: OnWire::Allowed,
        sender: Sender::Server,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::DelayThenBackoff,
        reference: REGISTRY,
    },
    CodeInfo {
        first: 1013,
        last: 1013,
        name: "Try Again Later",
        category: Category::Failure,
        meaning: "The server turns the client away for a passing reason, mostly overload.",
        appears: "Load shedding, a full connection table, a dependency that is down for the moment.",
        fix: "Wait before reconnecting, then back off exponentially; try another server if there is one. On \
            the server, add capacity or lower the load.",
        applies_when: "the server is up but can't serve this client now",
        on_wire: OnWire::Allowed,
        sender: Sender::Server,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::DelayThenBackoff,
        reference: REGISTRY,
    },
    CodeInfo {
        first: 1014,
        last: 1014,
        name: "Bad Gateway",
        category: Category::Failure,
        meaning: "A gateway or proxy got an invalid answer from the server behind it. It is to WebSocket what \
            502 is to HTTP.",
        appears: "The server behind a gateway crashed, refused the connection or spoke something else. Several \
            libraries reject the code as invalid and report 1002.",
        fix: "Look at the server behind the gateway, not at the client. Reconnect with exponential backoff.",
        applies_when: "the gateway is up, the server behind it is not well",
        on_wire: OnWire::Allowed,
        sender: Sender::Gateway,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::Backoff,
        reference: REGISTRY,
    },
    CodeInfo {
        first: 1015,
        last: 1015,
        name: "TLS handshake",
        category: Category::Abnormal,
        meaning: "The TLS handshake failed, so that no WebSocket was ever opened. It is never sent: an endpoint \
            reports it to its own application.",
        appears: "An expired or untrusted certificate, a wrong host name, no common TLS version or cipher. \
            Browsers hide the reason from scripts, and most of them report 1006 instead.",
        fix: "Check the certificate's chain, name and dates, and the TLS versions of both ends.",
        applies_when: "TLS failed before the opening handshake could begin",
        on_wire: OnWire::LocalOnly,
        sender: Sender::Nobody,
        peer_sees: PeerSees::TlsFailure,
        reconnect: Reconnect::AfterFix,
        reference: RFC_CODES,
    },
    CodeInfo {
        first: 3000,
        last: 3000,
        name: "Unauthorized",
        category: Category::Refusal,
        meaning: "The client must authenticate first. It is to WebSocket what 401 is to HTTP.",
        appears: "A missing, wrong or expired token.",
        fix: "Get new credentials, then reconnect. Reconnecting with the old ones fails again.",
        applies_when: "the server does not know who the client is",
        on_wire: OnWire::Allowed,
        sender: Sender::Server,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AfterFix,
        reference: REGISTRY,
    },
    CodeInfo {
        first: 3003,
        last: 3003,
        name: "Forbidden",
        category: Category::Refusal,
        meaning: "The client is known but lacks the right to do this. It is to WebSocket what 403 is to HTTP.",
        appears: "A user without the role or subscription that the channel needs.",
        fix: "Change the user's rights, or do not ask for what they do not cover. Reconnecting alone does \
            not help.",
        applies_when: "the server knows who the client is and refuses",
        on_wire: OnWire::Allowed,
        sender: Sender::Server,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AfterFix,
        reference: REGISTRY,
    },
    CodeInfo {
        first: 3008,
        last: 3008,
        name: "Timeout",
        category: Category::Failure,
        meaning: "An endpoint took too long to answer. It is to WebSocket what 408 is to HTTP.",
        appears: "An application-level request, login or heartbeat that was not answered in time.",
        fix: "Find out which side was slow: its load, or the network between. Reconnect with exponential \
            backoff.",
        applies_when: "the connection stood, but an answer did not come in time",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::Backoff,
        reference: REGISTRY,
    },
];

/// The ranges, sorted; together they hold every number.
pub(super) const RANGES: &[CodeInfo] = &[
    CodeInfo {
        first: 0,
        last: 999,
        name: "unused range 0-999",
        category: Category::Invalid,
        meaning: "Numbers below 1000 are not used.",
        appears: "A bug: a wrong byte order, an HTTP status or an exit code put in the place of a close code, or \
            framing that was lost.",
        fix: "Change the sender to use 1000, or a code from 4000 to 4999.",
        applies_when: "an endpoint sent a number that the protocol does not use",
        on_wire: OnWire::Invalid,
        sender: Sender::InError,
        peer_sees: PeerSees::Error,
        reconnect: Reconnect::AfterFix,
        reference: RFC_RANGES,
    },
    CodeInfo {
        first: 1000,
        last: 2999,
        name: "reserved for the protocol: 1000-2999",
        category: Category::Reserved,
        meaning: "Reserved for the WebSocket protocol, its future versions and its extensions. This number is \
            not assigned.",
        appears: "An application that took a free number. Browsers accept it on receipt; most other libraries \
            fail the connection with 1002.",
        fix: "Change the sender to use a code from 4000 to 4999.",
        applies_when: "an endpoint used a number that is kept for future versions of the protocol",
        on_wire: OnWire::Unassigned,
        sender: Sender::InError,
        peer_sees: PeerSees::Error,
        reconnect: Reconnect::AfterFix,
        reference: RFC_RANGES,
    },
    CodeInfo {
        first: 3000,
        last: 3999,
        name: "library and framework codes: 3000-3999",
        category: Category::Library,
        meaning: "For libraries, frameworks and applications, registered with IANA first come, first served. \
            This number has no entry.",
        appears: "A library or framework that chose the number for itself. Its documents say what it means.",
        fix: "Look it up in the documents of the library on the side that sent it. uWebSockets servers \
            report such a code as 1006.",
        applies_when: "a library chose this number; the protocol gives it no meaning",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AsDocumented,
        reference: "RFC 6455 §7.4.2; IANA WebSocket Close Code Number Registry",
    },
    CodeInfo {
        first: 4000,
        last: 4999,
        name: "private use: 4000-4999",
        category: Category::Private,
        meaning: "For private use between applications that agreed on it. It can't be registered, so that each \
            service has its own meaning for it.",
        appears: "The application chose to close and gave its own reason: a failed login, a rate limit, a second \
            session, an unknown subscription.",
        fix: "Look it up in the documents of the service on the side that sent it; the subprotocol and the \
            reason text help. Many services state for which of their codes a client must not reconnect.",
        applies_when: "an application gave its own reason",
        on_wire: OnWire::Allowed,
        sender: Sender::Either,
        peer_sees: PeerSees::ThisCode,
        reconnect: Reconnect::AsDocumented,
        reference: RFC_RANGES,
    },
    BEYOND,
];

/// The numbers above all ranges.
pub(super) const BEYOND: CodeInfo = CodeInfo {
    first: 5000,
    last: 65535,
    name: "outside of all ranges: 5000 and above",
    category: Category::Invalid,
    meaning: "Numbers above 4999 are in none of the ranges.",
    appears: "A bug: a wrong byte order, a mistyped number, or framing that was lost.",
    fix: "Change the sender to use a code from 4000 to 4999.",
    applies_when: "an endpoint sent a number that the protocol does not allow",
    on_wire: OnWire::Invalid,
    sender: Sender::InError,
    peer_sees: PeerSees::Error,
    reconnect: Reconnect::AfterFix,
    reference: RFC_RANGES,
};

/// The subprotocol of the `graphql-ws` library.
const GRAPHQL: &str = "graphql-transport-ws";

/// Well-known meanings of private codes. Each holds for its subprotocol alone, so that none of them may be taken from
/// the number.
pub(super) const KNOWN_USES: &[KnownUse] = &[
    KnownUse { code: 4004, name: "Bad response", subprotocol: GRAPHQL },
    KnownUse { code: 4005, name: "Internal client error", subprotocol: GRAPHQL },
    KnownUse { code: 4400, name: "Bad request", subprotocol: GRAPHQL },
    KnownUse { code: 4401, name: "Unauthorized", subprotocol: GRAPHQL },
    KnownUse { code: 4403, name: "Forbidden", subprotocol: GRAPHQL },
    KnownUse { code: 4406, name: "Subprotocol not acceptable", subprotocol: GRAPHQL },
    KnownUse { code: 4408, name: "Connection initialisation timeout", subprotocol: GRAPHQL },
    KnownUse { code: 4409, name: "Subscriber already exists", subprotocol: GRAPHQL },
    KnownUse { code: 4429, name: "Too many initialisation requests", subprotocol: GRAPHQL },
    KnownUse { code: 4500, name: "Internal server error", subprotocol: GRAPHQL },
    KnownUse { code: 4504, name: "Connection acknowledgement timeout", subprotocol: GRAPHQL },
];
