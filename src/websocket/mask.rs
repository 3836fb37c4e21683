//! Masking (RFC 6455 §5.3).

/// Applies `mask` to the first bytes of a payload; it is its own inverse.
pub(crate) fn apply(mask: Option<[u8; 4]>, payload: &mut [u8]) {
    if let Some(mask) = mask {
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
    }
}
