//! Findings for people and programs, written to any `std::io::Write`.

pub mod explain;
