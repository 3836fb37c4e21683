//! Takes pcapng files in little-endian order apart.

use std::io::Read as _;

/// A Decryption Secrets Block.
pub const SECRETS: u32 = 10;

/// The blocks: type and bytes.
pub fn blocks(file: &[u8]) -> Vec<(u32, &[u8])> {
    let (mut rest, mut found) = (file, Vec::new());
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let (block, after) = rest.split_at(word(4) as usize);
        found.push((word(0), block));
        rest = after;
    }
    found
}

/// The file, compressed by gzip or not, without any secrets.
pub fn without_secrets(file: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    if file.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(file).read_to_end(&mut whole).unwrap();
    } else {
        whole.extend_from_slice(file);
    }
    blocks(&whole)
        .into_iter()
        .filter(|(kind, _)| *kind != SECRETS)
        .flat_map(|(_, block)| block.to_vec())
        .collect()
}

/// The lines in a block of secrets.
pub fn key_log(block: &[u8]) -> String {
    let length = u32::from_le_bytes(block[12..16].try_into().unwrap()) as usize;
    String::from_utf8(block[16..16 + length].to_vec()).unwrap()
}
