//! What is remembered of a direction's latest frame, to hold it against what is sent again.

use super::close::CloseFrame;
use super::frame::{FrameHeader, frame_header};
use super::mask;
use super::opcode::Opcode;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::pack::{Pack, Packer, Unpacker};
use crate::tcp::stream_event::Wire;

/// Where the latest frame began in TCP, and a sum over its header.
///
/// A retransmission repeats what was sent, byte by byte. Where it does not, one of the two was damaged on its way (checksums
/// are not verified, and the receiver dropped it) or forged, and what the receiver took can't be told. Of all frames the
/// latest is looked at: it is the Close, or hides one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latest {
    /// TCP stream offset of its first byte, modulo 2^32; in bytes, so that all of it takes six.
    start: [u8; 4],
    /// 0: there is none.
    sum: u16,
}

/// Mixes all that a header says; never 0.
#[inline]
fn sum_of(header: &FrameHeader) -> u16 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let first = u64::from(header.opcode.0 ^ header.rsv << 4 ^ u8::from(header.fin) << 7);
    let mask = u64::from(header.mask.map_or(0, u32::from_le_bytes));
    let said = header.payload_len ^ mask << 20 ^ first << 52 ^ u64::from(header.mask.is_some()) << 60;
    (said.wrapping_mul(ODD) >> 48) as u16 | 1
}

impl Latest {
    /// A frame with this header begins `ahead` bytes before TCP stream offset `end`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is the meaning")]
    pub(super) fn note(&mut self, header: &FrameHeader, end: u64, ahead: usize) {
        self.start = (end as u32).wrapping_sub(ahead as u32).to_le_bytes();
        self.sum = sum_of(header);
    }

    /// Do `bytes`, sent again from TCP stream offset `offset` on, hold another frame in this one's place? `close`: what it
    /// says if it is a Close.
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is the meaning")]
    pub(super) fn differs(
        self,
        offset: u64,
        bytes: &[u8],
        close: Option<&CloseFrame>,
        limits: &Limits,
    ) -> bool {
        let place = u32::from_le_bytes(self.start).wrapping_sub(offset as u32) as usize;
        let again = bytes.get(place..).filter(|_| self.sum != 0);
        let Some((behind, header)) = again.and_then(|again| frame_header(again).ok()) else { return false };
        if sum_of(&header) != self.sum {
            return true;
        }
        let whole = usize::try_from(header.payload_len).ok().and_then(|len| behind.split_at_checked(len));
        let (Some(close), Some((payload, rest)), Opcode::CLOSE) = (close, whole, header.opcode) else {
            return false;
        };
        // Of two Closes the first counts, and the latest is another.
        let is_it = close.wire.end == offset.saturating_add((bytes.len() - rest.len()) as u64);
        is_it && !says_the_same(close, &header, payload, limits)
    }
}

/// Does a Close with this payload say what `close` does?
fn says_the_same(close: &CloseFrame, header: &FrameHeader, payload: &[u8], limits: &Limits) -> bool {
    let mut payload = payload.to_vec();
    mask::apply(header.mask, &mut payload);
    let again = CloseFrame::read(Moment::default(), Wire::default(), header, &payload, true, limits);
    (again.code, again.body, &again.reason) == (close.code, close.body, &close.reason)
}

impl Pack for Latest {
    fn pack(&self, into: &mut Packer) {
        // Small where a connection is young, and packed to as many bytes as it takes.
        u32::from_le_bytes(self.start).pack(into);
        self.sum.pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Latest { start: u32::unpack(from).to_le_bytes(), sum: Pack::unpack(from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::stream_event::Wire;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    /// A masked Close with code 1001, and the header it has.
    fn close() -> (Vec<u8>, FrameHeader) {
        let mut frame = vec![0x88, 0x82];
        frame.extend(MASK);
        frame.extend([0x03 ^ 1, 0xe9 ^ 2]);
        let (_, header) = frame_header(&frame).unwrap();
        (frame, header)
    }

    fn latest(header: &FrameHeader, start: u64, len: usize) -> Latest {
        let mut latest = Latest::default();
        latest.note(header, start + len as u64, len);
        latest
    }

    #[test]
    fn any_flipped_bit_of_a_close_differs_and_the_same_bytes_do_not() {
        let (frame, header) = close();
        let limits = Limits::default();
        // Beyond 2^32, where the place is kept modulo.
        let start = (1_u64 << 32) + 7;
        let latest = latest(&header, start, frame.len());
        let wire = Wire { end: start + frame.len() as u64, peer_acked: None };
        let kept = CloseFrame::read(Moment::default(), wire, &header, &[0x03, 0xe9], true, &limits);
        let ahead = b"before";
        let sent = |frame: &[u8]| {
            let bytes = [ahead, frame].concat();
            latest.differs(start - ahead.len() as u64, &bytes, Some(&kept), &limits)
        };
        assert!(!sent(&frame));
        for bit in 0..8 * frame.len() {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Where the length is longer now, its header is not what it was.
            assert!(sent(&damaged), "bit {bit}");
        }
    }

    #[test]
    fn what_does_not_reach_its_header_tells_nothing() {
        let (frame, header) = close();
        let limits = Limits::default();
        let latest = latest(&header, 100, frame.len());
        let other = vec![0_u8; 64];
        assert!(!latest.differs(101, &other, None, &limits), "begins behind its first byte");
        assert!(!latest.differs(0, &other[..60], None, &limits), "ends before it");
        assert!(!latest.differs(99, &other[..2], None, &limits), "holds one byte of it");
        assert!(latest.differs(99, &other[..3], None, &limits));
        assert!(!Latest::default().differs(0, &other, None, &limits), "no frame has been");
    }
}
