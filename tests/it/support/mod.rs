//! What the integration tests are written with: capture files, packets, WebSocket conversations, and rewrites
//! of them that must not change a verdict.
//!
//! ```text
//! wire::Conversation --+
//!                      +--> Vec<TcpPacket> --rewrite--> Vec<TcpPacket> --Packaging--> Vec<RawPacket> --write--> file
//! a capture's packets -+   (packet::parse_capture)                                (capture_file)
//! ```
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test support: a wrong builder must stop the test at once, and not every test uses every part"
)]

pub mod capture_file;
pub mod fixture;
pub mod http2_wire;
pub mod packet;
pub mod page;
pub mod partial;
pub mod pcapng;
pub mod packaging;
pub mod program;
pub mod rewrite;
pub mod rewrite_loss;
pub mod rewrite_names;
pub mod rewrite_set;
pub mod run;
pub mod rng;
pub mod wire;
pub mod conversation;
