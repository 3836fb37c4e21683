//! Does a run of bytes look like frames? For WebSockets joined in mid-stream, and after holes.

use super::close_code::CloseCode;
use super::frame::{CONTROL_PAYLOAD_MAX, FrameHeader, frame_header};
use super::mask;
use super::opcode::Opcode;

/// Longest payload believed of a frame whose stream is not known to hold frames.
const PAYLOAD_MAX: u64 = 1 << 28;

/// A chain of plausible frames at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Frames whose header lies in the bytes.
    pub frames: u32,
    /// Those of them that tell: whole messages and control frames. A non-final or continuation frame looks like the
    /// two-byte length that many other protocols begin with.
    pub telling: u32,
    /// Are they masked?
    pub masked: bool,
    /// Payload bytes of the last frame that lie beyond the bytes: 0 where the chain ends exactly with them.
    pub beyond: u64,
}

/// Could this header stand in a well-behaved stream?
#[must_use]
pub fn is_plausible(header: &FrameHeader) -> bool {
    let reserved = header.rsv & !FrameHeader::RSV1 != 0
        || (header.rsv != 0 && (header.opcode.is_control() || header.opcode == Opcode::CONTINUATION));
    let control_ok = !header.opcode.is_control() || (header.fin && header.payload_len <= CONTROL_PAYLOAD_MAX);
    let close_ok = header.opcode != Opcode::CLOSE || header.payload_len != 1;
    !header.opcode.is_reserved()
        && !reserved
        && header.is_minimal
        && control_ok
        && close_ok
        && header.payload_len <= PAYLOAD_MAX
}

/// Are `bytes` a plausible frame's header, whole, and nothing of its payload?
#[must_use]
pub fn is_header_alone(bytes: &[u8]) -> bool {
    frame_header(bytes)
        .is_ok_and(|(after, header)| after.is_empty() && header.payload_len > 0 && is_plausible(&header))
}

/// Three times over, and a repetition is no chance.
const REPEATED: usize = 3;

/// Is it one byte again and again, masked or not? In that anything may look like a frame, and the next like the last.
fn is_one_byte_repeated(bytes: &[u8], masked: bool) -> bool {
    let period = if masked { 4 } else { 1 };
    bytes.len() >= period * REPEATED
        && bytes.iter().zip(bytes.iter().skip(period)).all(|(one, next)| one == next)
}

/// The chain of frames that fills `bytes`, if they are nothing but plausible frames, all masked alike.
#[must_use]
pub fn chain(bytes: &[u8]) -> Option<Chain> {
    let found = chain_of(bytes)?;
    (!is_one_byte_repeated(bytes, found.masked)).then_some(found)
}

fn chain_of(bytes: &[u8]) -> Option<Chain> {
    let mut rest = bytes;
    let (mut frames, mut telling) = (0, 0);
    let mut masked = None;
    while !rest.is_empty() {
        let Ok((after, header)) = frame_header(rest) else {
            return None; // a header cut by the segment's end says too little
        };
        let same_masking = masked.is_none_or(|masked| masked == header.mask.is_some());
        if !is_plausible(&header) || !same_masking || !payload_fits(&header, after) {
            return None;
        }
        masked = Some(header.mask.is_some());
        frames += 1;
        telling += u32::from(header.fin && header.opcode != Opcode::CONTINUATION);
        match usize::try_from(header.payload_len).ok().and_then(|len| after.get(len..)) {
            Some(next) => rest = next,
            None => {
                let beyond = header.payload_len.saturating_sub(after.len() as u64);
                return Some(Chain { frames, telling, masked: masked?, beyond });
            }
        }
    }
    Some(Chain { frames, telling, masked: masked?, beyond: 0 })
}

/// Does the payload agree with its opcode, as far as that can be told?
fn payload_fits(header: &FrameHeader, after: &[u8]) -> bool {
    let len = usize::try_from(header.payload_len).unwrap_or(usize::MAX).min(after.len()).min(64);
    let mut head = after.get(..len).unwrap_or_default().to_vec();
    mask::apply(header.mask, &mut head);
    match header.opcode {
        Opcode::CLOSE => {
            head.first_chunk().is_none_or(|code| CloseCode(u16::from_be_bytes(*code)).is_valid_on_wire())
        }
        Opcode::TEXT if header.rsv == 0 => match std::str::from_utf8(&head) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_fill_the_bytes_are_a_chain() {
        let bytes = [
            0x81, 0x02, b'h', b'i', // text "hi"
            0x8a, 0x00, // empty pong
            0x88, 0x02, 0x03, 0xe8, // close 1000
        ];
        assert_eq!(chain(&bytes), Some(Chain { frames: 3, telling: 3, masked: false, beyond: 0 }));
        assert_eq!(chain(&bytes[..3]), Some(Chain { frames: 1, telling: 1, masked: false, beyond: 1 }));
    }

    #[test]
    fn one_byte_again_and_again_is_none() {
        let mut masked = [0x82, 0x82, 0, 1].repeat(10);
        assert!(chain_of(&masked).is_some_and(|chain| chain.frames == 5 && chain.masked));
        assert_eq!(chain(&masked), None);
        masked.truncate(8);
        assert!(chain(&masked).is_some());
        assert!(chain_of(&[0; 40]).is_some());
        assert_eq!(chain(&[0; 40]), None);
    }

    #[test]
    fn other_protocols_are_none() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\x02\x00",
            b"SSH-2.0-x\r\n",
            b"\x88\x02\x00\x05",
            b"\x81\x02\xff\xff",
        ] {
            assert_eq!(chain(bytes), None, "{bytes:?}");
        }
    }
}
