//! The bytes of WebSockets over HTTP/2 (RFC 9113, RFC 8441). Header fields are literals without indexing, unless a test
//! writes its own block.

use super::conversation::Conversation;
use super::wire;
use wsclose::http::http2::frame::CLIENT_PREFACE;
use wsclose::side::Side;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;

pub const NO_ERROR: u32 = 0;
pub const INTERNAL_ERROR: u32 = 2;
pub const CANCEL: u32 = 8;

/// One frame.
pub fn frame(frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[frame_type, flags], &stream.to_be_bytes(), payload].concat()
}

pub fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let one = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &all.iter().flat_map(one).collect::<Vec<_>>())
}

/// A field that makes no entry in the table.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    [&[0][..], &string(name), &string(value)].concat()
}

/// The header block of a request for a WebSocket.
pub fn connect_block(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "example.org"),
        ("user-agent", "Mozilla/5.0"),
    ];
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

pub fn connect(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &connect_block(path))
}

pub fn get(stream: u32) -> Vec<u8> {
    // :method GET, :scheme https, :path /
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x82, 0x87, 0x84])
}

pub fn answer(stream: u32, status: u16) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &field(":status", &status.to_string()))
}

pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

pub fn end(stream: u32) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, &[])
}

pub fn rst(stream: u32, error: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &error.to_be_bytes())
}

pub fn goaway(last_stream: u32, error: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last_stream.to_be_bytes(), error.to_be_bytes()].concat())
}

pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// The client's preface with its SETTINGS.
pub fn preface() -> Vec<u8> {
    [&CLIENT_PREFACE[..], &settings(&[])].concat()
}

/// The server's SETTINGS, which allow extended CONNECT.
pub fn allows_connect() -> Vec<u8> {
    settings(&[(8, 1)])
}

/// A connection in clear with a WebSocket open on each of these streams, at `/1`, `/3`, ...; one message has gone each way.
pub fn opened(streams: &[u32]) -> Conversation {
    let mut conn = Conversation::connected();
    conn.client_sends(&preface()).server_sends(&allows_connect()).client_acks();
    for stream in streams {
        conn.client_sends(&connect(*stream, &format!("/{stream}"))).server_sends(&answer(*stream, 200));
        conn.client_sends(&data(*stream, &wire::text(Side::Client, "hello")));
        conn.server_sends(&data(*stream, &wire::text(Side::Server, "hello"))).client_acks();
    }
    conn
}

/// A Close on a stream.
pub fn close(side: Side, stream: u32, code: u16) -> Vec<u8> {
    data(stream, &wire::close(side, code, "bye"))
}
