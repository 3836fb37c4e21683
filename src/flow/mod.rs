//! Which connection a segment belongs to.

mod chunks;
pub mod copies;
pub mod stream_number;
pub mod table;
