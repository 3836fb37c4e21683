//! HTTP/2 as far as WebSockets in it need it (RFC 9113, RFC 8441): from the bytes of one TCP or TLS connection to the
//! [`StreamEvent`](crate::tcp::stream_event::StreamEvent)s of each stream that carries a WebSocket.

pub mod error_code;
pub mod frame;
pub mod flow_control;
mod huffman;
mod static_table;
pub mod hpack;
mod head;
mod half;
pub mod session;
