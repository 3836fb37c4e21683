//! Looks ahead for the secrets of a pcapng file, which may stand behind the packets they are for.

use super::format::{ByteOrder, from};
use super::pcapng_format::{
    DECRYPTION_SECRETS, OVERHEAD, SECTION_HEADER, secrets_cost, section_order, tls_key_log,
};
use crate::limits::Limits;
use std::fs::File;
use std::io::{BufReader, Read, Result};
use std::path::Path;

/// Bytes asked for in one read.
const READ_BYTES: usize = 256 << 10;

/// Can secrets be looked for ahead of the packets: is it a file that can be read twice, and not compressed?
#[must_use]
pub fn can_look_ahead(path: &Path) -> bool {
    // To open a named pipe is to wait for its writer.
    if !path.is_file() {
        return false;
    }
    let Ok(mut file) = File::open(path) else { return false };
    let mut start = [0; 4];
    file.read_exact(&mut start).is_ok() && super::compression::Compression::recognize(start).is_none()
}

/// The TLS key logs in a pcapng file's Decryption Secrets Blocks, up to the limit; none of a file of another kind, or
/// that can't be read, which reading its packets will show.
#[must_use]
pub fn look_ahead(path: &Path, limits: &Limits) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if can_look_ahead(path)
        && let Ok(file) = File::open(path)
    {
        // What was found before any damage counts.
        let _ = collect(BufReader::with_capacity(READ_BYTES, file), limits, &mut found);
    }
    found
}

/// Steps from block to block, reading no more than their headers.
fn collect(mut file: BufReader<File>, limits: &Limits, found: &mut Vec<Vec<u8>>) -> Result<()> {
    let mut order = None;
    let mut room = limits.secrets_bytes;
    let mut head = [0; OVERHEAD];
    loop {
        file.read_exact(&mut head)?;
        let [t0, t1, t2, t3, l0, l1, l2, l3, magic @ ..] = head;
        if u32::from_be_bytes([t0, t1, t2, t3]) == SECTION_HEADER {
            order = section_order(magic, 0).ok();
        }
        let Some(order) = order else { return Ok(()) };
        let (kind, total) = (order.u32([t0, t1, t2, t3]), order.u32([l0, l1, l2, l3]) as usize);
        let Some(left) = total.checked_sub(OVERHEAD) else { return Ok(()) };
        if kind == DECRYPTION_SECRETS && secrets_cost(total) <= room {
            let secrets = secrets(&mut file, order, &head, left)?;
            if let Some(secrets) = secrets.filter(|secrets| !secrets.is_empty()) {
                room -= secrets_cost(total);
                found.push(secrets);
            }
        } else {
            file.seek_relative(i64::try_from(left).unwrap_or(i64::MAX))?;
        }
    }
}

/// Reads the rest of a block of secrets.
fn secrets(
    file: &mut BufReader<File>,
    order: ByteOrder,
    head: &[u8],
    left: usize,
) -> Result<Option<Vec<u8>>> {
    let mut block = Vec::new();
    block.extend_from_slice(head);
    // Memory follows what is there, not what the block claims.
    file.take(left as u64).read_to_end(&mut block)?;
    Ok(tls_key_log(order, from(&block, 0)).map(|(secrets, _)| secrets.to_vec()))
}
