//! TLS as a passive reader sees it.

pub mod sessions_present;
pub mod shape;
