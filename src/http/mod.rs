//! HTTP as far as an opening handshake needs it: from stream events to an Upgrade, or to the streams of HTTP/2.

mod body;
mod mended;
mod head;
pub mod http1;
pub mod upgrade;
pub mod http2;
