//! Names what a file is that can't be read.

use super::CaptureError;

/// Bytes looked at.
pub(super) const LOOK: usize = 16;

const EXPECTED: &str = "expected pcap or pcapng, plain or compressed with gzip, zstd or lz4";

/// Formats that people may take for a capture file that this program reads, by how they begin.
const KNOWN: [(&[u8], &str); 14] = [
    (b"snoop\0\0\0", "a Solaris snoop file"),
    (b"btsnoop\0", "a Bluetooth HCI snoop file"),
    (b"GMBU", "a Microsoft Network Monitor 2 file"),
    (b"RTSS", "a Microsoft Network Monitor 1 file"),
    (b"XCP\0", "a NetXray file"),
    (b"TRSNIFF data", "a Sniffer file"),
    (b"iptrace ", "an AIX iptrace file"),
    (b"BZh", "a bzip2-compressed file"),
    (b"\xfd7zXZ\0", "an xz-compressed file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x02\x21\x4c\x18", "a legacy lz4 file (not the frame format)"),
    (b"\x7fELF", "an ELF binary"),
    (b"<?xml", "an XML file"),
];

/// The error for a file that begins with `start`.
pub(super) fn unrecognized(start: &[u8]) -> CaptureError {
    let reason = match KNOWN.iter().find(|(magic, _)| start.starts_with(magic)) {
        _ if start.is_empty() => format!("the file is empty; {EXPECTED}"),
        Some((_, name)) => format!("this is {name}; {EXPECTED}"),
        None if looks_like_text(start) => format!("this looks like a text file; {EXPECTED}"),
        None if looks_like_erf(start) => format!("this looks like an Endace ERF file; {EXPECTED}"),
        None => format!("not a capture file (it begins with {}); {EXPECTED}", hex(start)),
    };
    CaptureError::Unrecognized { reason }
}

fn looks_like_text(start: &[u8]) -> bool {
    start.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// ```text
/// ERF record   | time stamp (8) | type | flags | record length | lost or colour | wire length |
/// ```
/// It has no magic: the type must be one of those in use, the lengths must fit each other.
fn looks_like_erf(start: &[u8]) -> bool {
    let Some([_, _, _, _, _, _, _, _, kind, _, r0, r1, _, _, w0, w1]) = start.first_chunk::<LOOK>() else {
        return false;
    };
    let (record, wire) = (u16::from_be_bytes([*r0, *r1]), u16::from_be_bytes([*w0, *w1]));
    matches!(kind & 0x7f, 1..=27) && record >= 16 && wire > 0 && record <= wire.saturating_add(64)
}

fn hex(bytes: &[u8]) -> String {
    let each: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    each.join(" ")
}
