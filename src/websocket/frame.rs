//! The frame header (RFC 6455 §5.2).

use super::opcode::Opcode;
use nom::number::streaming::{be_u8, be_u16, be_u64};
use nom::{IResult, Parser};

/// Longest header: two bytes, a 64-bit length and a mask.
pub const HEADER_MAX: usize = 14;
/// Longest payload of a control frame (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_MAX: u64 = 125;

/// A frame's header. Every value survives, valid or not.
///
/// ```text
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-+-+-+-+-------+-+-------------+-------------------------------+
///  |F|R|R|R| opcode|M| Payload len |   Extended payload length     |
///  |I|S|S|S|  (4)  |A|     (7)     |         (16 or 64 bits)       |
///  |N|V|V|V|       |S|             |                               |
///  | |1|2|3|       |K|             |                               |
///  +-+-+-+-+-------+-+-------------+-------------------------------+
///  |  Masking key, if MASK is set (32 bits)                        |
///  +---------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Last (or only) fragment of its message.
    pub fin: bool,
    /// The reserved bits: RSV1 is 4, RSV2 is 2, RSV3 is 1.
    pub rsv: u8,
    /// What the payload is.
    pub opcode: Opcode,
    /// Masking key, where the MASK bit is set.
    pub mask: Option<[u8; 4]>,
    /// Payload length in bytes, as the header says it (up to 2^64-1 if it lies).
    pub payload_len: u64,
    /// Is the length in its shortest form, with the top bit of a 64-bit length clear?
    pub is_minimal: bool,
}

impl FrameHeader {
    /// RSV1: a compressed message, once permessage-deflate is negotiated (RFC 7692 §6).
    pub const RSV1: u8 = 0b100;
}

/// Parses a frame header; `Incomplete` where more bytes are needed. It never fails: all bytes are some header.
///
/// # Errors
/// Only `nom::Err::Incomplete`.
#[inline]
pub fn frame_header(input: &[u8]) -> IResult<&[u8], FrameHeader> {
    let (input, (first, second)) = (be_u8, be_u8).parse(input)?;
    let (input, (payload_len, is_minimal)) = match second & 0x7f {
        126 => be_u16.map(|len| (u64::from(len), len > 125)).parse(input)?,
        127 => be_u64.map(|len| (len, len > 0xffff && len >> 63 == 0)).parse(input)?,
        short => (input, (u64::from(short), true)),
    };
    let (input, mask) = if second & 0x80 == 0 {
        (input, None)
    } else {
        (be_u8, be_u8, be_u8, be_u8).map(|(a, b, c, d)| Some([a, b, c, d])).parse(input)?
    };
    let header = FrameHeader {
        fin: first & 0x80 != 0,
        rsv: (first >> 4) & 0x7,
        opcode: Opcode(first & 0xf),
        mask,
        payload_len,
        is_minimal,
    };
    Ok((input, header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_all_three_forms() {
        let cases: [(&[u8], u64, bool); 5] = [
            (&[0x82, 125], 125, true),
            (&[0x82, 126, 0x00, 0x7e], 126, true),
            (&[0x82, 126, 0x00, 0x7d], 125, false),
            (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536, true),
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 1], (1 << 63) + 1, false),
        ];
        for (bytes, len, minimal) in cases {
            let (rest, header) = frame_header(bytes).unwrap();
            assert_eq!((rest.len(), header.payload_len, header.is_minimal), (0, len, minimal));
            for cut in 0..bytes.len() {
                assert!(frame_header(&bytes[..cut]).unwrap_err().is_incomplete());
            }
        }
    }

    #[test]
    fn every_bit_is_kept() {
        let bytes = [
            0b0101_1011, // FIN clear, RSV1 and RSV3, opcode 0xB
            0b1000_0001, // MASK, length 1
            1,
            2,
            3,
            4, // masking key
        ];
        let (_, header) = frame_header(&bytes).unwrap();
        assert_eq!(
            header,
            FrameHeader {
                fin: false,
                rsv: 0b101,
                opcode: Opcode(0xB),
                mask: Some([1, 2, 3, 4]),
                payload_len: 1,
                is_minimal: true
            }
        );
    }
}
