//! TLS as a passive reader sees it.

pub mod shape;
