//! The libraries and their departures. Only what was read in a source or measured stands here: "measured" is that version
//! against a peer that closed, dropped, reset and broke the protocol in each way; "source" is its source, read.

use super::stack::Says::{Code, Either, Own, OwnOr, Peers, RfcOr};
use super::stack::Sign::{
    AnswerHeader, AnswerHeaders, CloseReason, Extensions, NoExtensions, Server, UserAgent,
};
use super::stack::When::{
    AnsweredInTime, AnsweredThenLeft, Dropped, EmptyAnswered, Failed, LeftBeforeAnswer, OwnCloseFirst,
    OwnCodeAnswered, Quit, Refused, Told, ToldGoodbye, TookReserved, Unanswered,
};
use super::stack::{Rule, Says, Sign, Stack, When};
use crate::side::Side;

const fn rule(when: When, says: Says) -> Rule {
    Rule { when, says }
}

/// Names in `Server` of what stands between: the library behind them is another leg's.
pub const PROXIES: &[&str] = &[
    "nginx",
    "openresty",
    "tengine",
    "Caddy",
    "envoy",
    "istio-envoy",
    "HAProxy",
    "Traefik",
    "Apache",
    "ATS",
    "Varnish",
    "cloudflare",
    "CloudFront",
    "awselb",
    "AkamaiGHost",
    "Google Frontend",
    "Vercel",
    "Fly",
];

/// Any code.
const ANY: (u16, u16) = (0, u16::MAX);

/// Every library that can be recognised and is known to depart from RFC 6455 §7.1.5, the more particular row first.
pub const STACKS: &[Stack] = &[
    // tungstenite 0.29 (tokio-tungstenite, and axum 0.8 and granian 2.8 above it), measured: `protocol/mod.rs` hands a
    // Close with a code it takes for invalid on as Close 1002, with the reason with which it answers.
    Stack { library: "tungstenite", side: Side::Client, signs: TUNGSTENITE_REFUSES, rules: REFUSED_IS_1002 },
    Stack { library: "tungstenite", side: Side::Server, signs: TUNGSTENITE_REFUSES, rules: REFUSED_IS_1002 },
    // gorilla/websocket 1.5, measured: a code it takes for invalid, 1014 among them, is an error without a code.
    Stack {
        library: "gorilla/websocket",
        side: Side::Client,
        signs: GORILLA_REFUSES,
        rules: REFUSED_IS_1006,
    },
    Stack {
        library: "gorilla/websocket",
        side: Side::Server,
        signs: GORILLA_REFUSES,
        rules: REFUSED_IS_1006,
    },
    // aiohttp 3.14: client.py `receive()` takes an empty Close's 0 for "not closed yet" and gives up after its
    // timeout; a frame it has to reject leaves its own code in `close_code`; 1006 and codes from 5000 on pass its check. Over TLS a
    // close_notify right behind a Close closes its transport, the answer can't be written, and that is a 1006. Measured
    // with 3.14.5.
    Stack {
        library: "aiohttp client",
        side: Side::Client,
        signs: &[UserAgent("aiohttp")],
        rules: &[
            rule(Told(1005, 1005), Code(1006)),
            rule(ToldGoodbye, Code(1006)),
            rule(TookReserved, Peers),
            rule(Failed, Own),
        ],
    },
    // aiohttp 3.14: web_ws.py `close()` called from another task than the handler, as its shutdown recipe does with
    // 1001, makes the handler's `receive()` return CLOSING, which sets 1000 and ends the handler. Measured. The handler
    // itself waits for the answer and is told that.
    Stack {
        library: "aiohttp server",
        side: Side::Server,
        signs: &[Server("aiohttp")],
        rules: &[
            rule(TookReserved, Peers),
            rule(LeftBeforeAnswer, Code(1000)),
            rule(OwnCodeAnswered(1001, 1001), RfcOr(1000)),
            rule(AnsweredInTime, RfcOr(1000)),
        ],
    },
    // uvicorn 0.54 with `--ws websockets`: measured. Its own Close leaves 1005, whatever is answered, unless a task of
    // the application was waiting in `receive()` as another one closed; 1012 where uvicorn itself shuts down.
    Stack {
        library: "uvicorn (websockets)",
        side: Side::Server,
        signs: &[Server("uvicorn"), Extensions("permessage-deflate")],
        rules: &[rule(OwnCloseFirst, OwnOr(1005))],
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
    // uvicorn 0.54 with `--ws wsproto`: measured. A protocol error sends nothing and reads as 1002, bad UTF-8 as 1007; a
    // message too big reads as the 1009 that it sends.
    Stack {
        library: "uvicorn (wsproto)",
        side: Side::Server,
        signs: &[Server("uvicorn"), Extensions("permessage-deflate; client_max_window_bits=15")],
        rules: &[
            rule(OwnCloseFirst, Own),
            rule(Dropped, Code(1005)),
            rule(Failed, Own),
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
    // 1006 otherwise, whatever came from the client. Measured with 0.18.0.
    Stack { library: "hypercorn", side: Side::Server, signs: &[Server("hypercorn-h11")], rules: HYPERCORN },
    Stack { library: "hypercorn", side: Side::Server, signs: &[Server("hypercorn-h2")], rules: HYPERCORN },
    // Autobahn 26.10 drops TCP when it fails a connection, and takes 1014 for invalid; its client gives the server one
    // second to close TCP, then drops it and calls that unclean. Daphne 4.2 is built on it. Measured.
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
        rules: &[rule(Told(1014, 1014), Code(1006)), rule(AnsweredThenLeft, Code(1006))],
    },
    Stack {
        library: "Daphne",
        side: Side::Server,
        signs: &[Server("daphne")],
        rules: &[rule(Told(1014, 1014), Code(1006))],
    },
    // Tornado 6.6, measured, checks no code.
    Stack {
        library: "Tornado",
        side: Side::Client,
        signs: &[UserAgent("Tornado")],
        rules: &[rule(TookReserved, Peers)],
    },
    Stack {
        library: "Tornado",
        side: Side::Server,
        signs: &[Server("TornadoServer")],
        rules: &[rule(TookReserved, Peers)],
    },
    // OkHttp 3.13, measured, fails on 1012 to 1014; later ones take them (source).
    Stack {
        library: "OkHttp",
        side: Side::Client,
        signs: &[UserAgent("okhttp")],
        rules: &[rule(Told(1012, 1014), RfcOr(1006)), rule(Refused(1012, 1014), RfcOr(1006))],
    },
    // Java-WebSocket: source. `WebSocketImpl.eot` closes with the code that is pending locally.
    Stack {
        library: "Java-WebSocket",
        side: Side::Server,
        signs: &[Server("TooTallNate Java-WebSocket")],
        rules: &[rule(Unanswered, Own), rule(Failed, Own)],
    },
    // Tomcat 10.1, measured: an empty Close is 1000; onClose fires when its own Close is sent, and a refusal is such a
    // Close. Before 8.5 its answer had a `Server`.
    Stack {
        library: "Tomcat",
        side: Side::Server,
        signs: &[AnswerHeaders("Upgrade,Connection,Sec-WebSocket-Accept,Date")],
        rules: TOMCAT,
    },
    Stack { library: "Tomcat", side: Side::Server, signs: &[Server("Apache-Coyote")], rules: TOMCAT },
    // hyper writes its headers so for granian 2.8 as for axum 0.8. Both measured: granian calls every end without the
    // peer's Close 1005, and every end after its own; axum keeps to RFC 6455.
    Stack {
        library: "granian or axum",
        side: Side::Server,
        signs: &[AnswerHeaders("connection,upgrade,sec-websocket-accept,date")],
        rules: &[
            rule(Refused(ANY.0, ANY.1), Code(1002)),
            rule(OwnCloseFirst, RfcOr(1005)),
            rule(Dropped, RfcOr(1005)),
            rule(Quit, RfcOr(1005)),
        ],
    },
    // coder/websocket: 1.8.7 (nhooyr.io/websocket), measured, fails every read with the code of its own Close; later ones
    // with none (documented, not measured).
    Stack {
        library: "coder/websocket",
        side: Side::Server,
        signs: &[AnswerHeaders("Connection,Sec-Websocket-Accept,Upgrade")],
        rules: &[rule(OwnCloseFirst, OwnOr(1006))],
    },
    // websocket-driver (faye-websocket, Action Cable), measured: 1012 to 1014 are refused as 1002, an empty Close is
    // 1000 and answered so. Its answer looks like that of ws and gorilla/websocket, which echo an empty Close empty, but
    // also like that of many a hand-made server.
    Stack {
        library: "websocket-driver",
        side: Side::Server,
        signs: &[AnswerHeaders("Upgrade,Connection,Sec-WebSocket-Accept")],
        rules: &[rule(EmptyAnswered(1000), RfcOr(1000)), rule(Refused(1012, 1014), Code(1002))],
    },
    // Jetty 12: source. `WebSocketSessionState` keeps the code with which the session failed.
    Stack { library: "Jetty", side: Side::Server, signs: &[Server("Jetty")], rules: &[rule(Failed, Own)] },
    // .NET: source. `ManagedWebSocket.HandleReceivedCloseAsync` starts from NormalClosure, which an empty Close leaves.
    Stack {
        library: "ASP.NET Core",
        side: Side::Server,
        signs: &[Server("Kestrel")],
        rules: &[rule(Told(1005, 1005), Code(1000))],
    },
    // uWebSockets: source. `parseClosePayload` takes 1012 to 1014 and 3000 to 3999 for invalid; `end()` fires the close
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

const TUNGSTENITE_REFUSES: &[Sign] = &[CloseReason("Protocol violation")];
const GORILLA_REFUSES: &[Sign] = &[CloseReason("bad close code")];
const REFUSED_IS_1002: &[Rule] = &[rule(Refused(ANY.0, ANY.1), Code(1002))];
const REFUSED_IS_1006: &[Rule] = &[rule(Refused(ANY.0, ANY.1), Code(1006))];

const TOMCAT: &[Rule] = &[
    rule(Told(1005, 1005), Code(1000)),
    rule(Refused(ANY.0, ANY.1), Own),
    rule(OwnCloseFirst, Own),
    rule(Failed, Own),
];
