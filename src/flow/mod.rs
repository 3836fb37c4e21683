//! Which connection a segment belongs to.

pub mod copies;
pub mod stream_number;
pub mod table;
