//! Bytes in, segments out.
