//! HTTP/1.1 as far as an opening handshake needs it: from stream events to an Upgrade.

mod body;
mod head;
pub mod http1;
pub mod upgrade;
