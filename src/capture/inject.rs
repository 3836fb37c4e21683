//! Writes a TLS key log into a capture, as a Decryption Secrets Block of pcapng (draft-ietf-opsawg-pcapng §4.7).

use super::CaptureError;
use super::rewrite::{Changes, Rewritten, rewrite};
use crate::limits::Limits;
use std::io::Write;
use std::path::Path;

/// Writes the capture at `path` to `out` as pcapng, with `key_log` before its packets. All else of a pcapng file stays
/// as it is, byte for byte, but for a section length where one is given. A compressed file is written decompressed.
///
/// # Errors
/// The capture can't be read or is none, or `out` can't be written, or the key log is larger than
/// [`Limits::secrets_bytes`]. What was read before damage has been written.
pub fn inject(
    path: &Path,
    key_log: &[u8],
    out: &mut impl Write,
    limits: &Limits,
) -> Result<(), CaptureError> {
    rewrite(path, &Changes { key_log, ..Changes::default() }, out, limits, &mut Rewritten::default())
}
