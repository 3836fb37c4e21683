//! Findings for people and programs, written to any `std::io::Write`.

pub mod explain;
pub mod diagnosis;
pub mod model;
pub mod numbers;
mod evidence;
pub mod probable;
mod tls;
mod endpoints;
pub mod build;
pub mod summary;
pub mod filter;
pub mod escape;
pub mod annotate;
pub mod text;
pub mod json;
pub mod ndjson;
pub mod columns;
pub mod csv;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod read;
pub mod sockets;
pub mod figures;
pub mod html;
