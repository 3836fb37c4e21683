//! The WebSocket protocol (RFC 6455): frames, and how they end.

pub mod opcode;
pub mod close_code;
