//! From segments to the ordered bytes of each direction, and the evidence of how TCP ended.

pub mod connection;
pub mod half;
pub mod liveness;
mod plain;
mod reassembly;
pub mod reset;
pub mod stream_event;
