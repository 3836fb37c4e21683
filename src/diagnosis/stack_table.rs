//! The libraries and their departures. Only what was read in a source or measured stands here.

use super::stack::Says::{Code, Either, Own, OwnOr, RfcOr};
use super::stack::Sign::{AnswerHeader, Extensions, NoExtensions, Server, UserAgent};
use super::stack::When::{
    Dropped, Failed, LeftBeforeAnswer, OwnCloseFirst, OwnCodeAnswered, Quit, Told, Unanswered,
};
use super::stack::{Rule, Says, Stack, When};
use crate::side::Side;

const fn rule(when: When, says: Says) -> Rule {
    Rule { when, says }
}

/// Every library that can be recognised and is known to depart from RFC 6455 §7.1.5, the more particular row first.
pub const STACKS: &[Stack] = &[
    // aiohttp 3.14: client.py `receive()` takes an empty Close's 0 for "not closed yet" and gives up after its
    // timeout; a frame it has to reject leaves its own code in `close_code`. Measured.
    Stack {
        library: "aiohttp client",
        side: Side::Client,
        signs: &[UserAgent("aiohttp")],
        rules: &[rule(Told(1005, 1005), Code(1006)), rule(Failed, Own)],
    },
    // aiohttp 3.14: web_ws.py `close()` called from another task than the handler, as its shutdown recipe does with
    // 1001, makes the handler's `receive()` return CLOSING, which sets 1000 and ends the handler. Measured.
    Stack {
        library: "aiohttp server",
        side: Side::Server,
        signs: &[Server("aiohttp")],
        rules: &[rule(LeftBeforeAnswer, Code(1000)), rule(OwnCodeAnswered(1001, 1001), RfcOr(1000))],
    },
    // uvicorn 0.54 with `--ws websockets`: measured. Its own Close leaves 1005, whatever is answered.
    Stack {
        library: "uvicorn (websockets)",
        side: Side::Server,
        signs: &[Server("uvicorn"), Extensions("permessage-deflate")],
        rules: &[rule(OwnCloseFirst, Code(1005))],
    },
    // uvicorn 0.54 with `--ws websockets-sansio` (`auto` picks it): measured. It always negotiates window bits of 12.
    Stack {
        library: "uvicorn (websockets-sansio)",
        side: Side::Server,
        signs: &[
            Server("uvicorn"),
            Extensions("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"),
        ],
        rules: &[rule(OwnCloseFirst, Own), rule(Dropped, Code(1005)), rule(Failed, Own)],
    },
    // uvicorn 0.54 with `--ws wsproto`: measured. A protocol error sends nothing and reads as 1002, bad UTF-8 as 1007.
    Stack {
        library: "uvicorn (wsproto)",
        side: Side::Server,
        signs: &[Server("uvicorn"), Extensions("permessage-deflate; client_max_window_bits=15")],
        rules: &[
            rule(OwnCloseFirst, Own),
            rule(Dropped, Code(1005)),
            rule(Failed, Code(1002)),
            rule(Told(1014, 1014), Code(1002)),
            rule(Quit, Either(1002, 1007)),
        ],
    },
    // Without an accepted extension nothing tells the three apart; two of them agree.
    Stack {
        library: "uvicorn",
        side: Side::Server,
        signs: &[Server("uvicorn"), NoExtensions],
        rules: &[
            rule(OwnCloseFirst, OwnOr(1005)),
            rule(Dropped, Either(1005, 1006)),
            rule(Failed, OwnOr(1006)),
            rule(Failed, Either(1002, 1006)),
            rule(Told(1014, 1014), RfcOr(1002)),
            rule(Quit, Either(1002, 1007)),
        ],
    },
    // Hypercorn: protocol/ws_stream.py `StreamClosed` says 1000 once the application itself has sent its Close, and
    // 1006 otherwise, whatever came from the client. Measured.
    Stack { library: "hypercorn", side: Side::Server, signs: &[Server("hypercorn-h11")], rules: HYPERCORN },
    Stack { library: "hypercorn", side: Side::Server, signs: &[Server("hypercorn-h2")], rules: HYPERCORN },
    // Autobahn drops TCP when it fails a connection, and takes 1014 for invalid. Daphne is built on it. Measured.
    Stack {
        library: "Autobahn",
        side: Side::Server,
        signs: &[Server("AutobahnPython")],
        rules: &[rule(Told(1014, 1014), Code(1006))],
    },
    Stack {
        library: "Autobahn",
        side: Side::Client,
        signs: &[UserAgent("AutobahnPython")],
        rules: &[rule(Told(1014, 1014), Code(1006))],
    },
    Stack {
        library: "Daphne",
        side: Side::Server,
        signs: &[Server("daphne")],
        rules: &[rule(Told(1014, 1014), Code(1006))],
    },
    // Java-WebSocket: `WebSocketImpl.eot` closes with the code that is pending locally.
    Stack {
        library: "Java-WebSocket",
        side: Side::Server,
        signs: &[Server("TooTallNate Java-WebSocket")],
        rules: &[rule(Unanswered, Own), rule(Failed, Own)],
    },
    // Tomcat: `WsFrameBase` makes 1000 of an empty Close; `WsSession.doClose` fires onClose when the Close is sent.
    Stack {
        library: "Tomcat",
        side: Side::Server,
        signs: &[Server("Apache-Coyote")],
        rules: &[rule(Told(1005, 1005), Code(1000)), rule(OwnCloseFirst, Own), rule(Failed, Own)],
    },
    // Jetty 12: `WebSocketSessionState` keeps the code with which the session failed.
    Stack { library: "Jetty", side: Side::Server, signs: &[Server("Jetty")], rules: &[rule(Failed, Own)] },
    // .NET: `ManagedWebSocket.HandleReceivedCloseAsync` starts from NormalClosure, which an empty Close leaves.
    Stack {
        library: "ASP.NET Core",
        side: Side::Server,
        signs: &[Server("Kestrel")],
        rules: &[rule(Told(1005, 1005), Code(1000))],
    },
    // uWebSockets: `parseClosePayload` takes 1012 to 1014 and 3000 to 3999 for invalid; `end()` fires the close
    // event with its own code when it sends a Close. `writeMark` names it in every answer.
    Stack {
        library: "uWebSockets",
        side: Side::Server,
        signs: &[AnswerHeader("uWebSockets")],
        rules: &[
            rule(OwnCloseFirst, Own),
            rule(Told(1012, 1014), Code(1006)),
            rule(Told(3000, 3999), Code(1006)),
        ],
    },
];

const HYPERCORN: &[Rule] =
    &[rule(OwnCloseFirst, Code(1000)), rule(Told(0, u16::MAX), Code(1006)), rule(Failed, Code(1006))];
