//! The WebSocket protocol (RFC 6455 §5, §7): from stream events to frames, and how they end.

pub mod opcode;
pub mod close_code;
pub mod frame;
mod mask;
pub mod close;
mod latest;
mod plain;
pub mod plausible;
pub mod framing;
pub mod vitals;
pub mod session;
