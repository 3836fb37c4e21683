//! The integration tests: one binary, a module per subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    reason = "a test may fail by panicking; clippy exempts only the functions marked #[test]"
)]

mod annotate;
mod bench_truth;
mod captures;
mod clean_ends;
mod cli;
mod diagnosis;
mod endpoints;
mod fixtures;
mod fuzz_seeds;
mod hostile;
mod html;
mod html_figures;
mod http2;
mod inject_keys;
mod layering;
mod limits;
mod manual;
mod live;
mod metamorphic;
mod odd_use;
mod partial;
mod properties;
mod resting;
mod scenarios;
mod schema;
mod show;
mod support;
mod tables;
mod tls;
mod tls_damage;
mod tls_late;
mod tls_shape;
mod tls_twins;
mod tshark;
mod wording;
