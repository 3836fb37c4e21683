//! The integration tests: one binary, a module per subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may fail by panicking; clippy exempts only the functions marked #[test]"
)]

mod diagnosis;
mod layering;
mod support;
