//! The Close frame (RFC 6455 §5.5.1).

use super::close_code::CloseCode;
use super::frame::{CONTROL_PAYLOAD_MAX, FrameHeader};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::tcp::stream_event::Wire;

/// What a Close frame's body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseBody {
    /// Nothing: the application is told 1005.
    Empty,
    /// A code, and a reason in UTF-8, perhaps empty.
    Code,
    /// One byte, or a reason that is not UTF-8.
    Malformed,
    /// The capture does not hold its code.
    Missing,
}

/// A Close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The packet that completed it.
    pub at: Moment,
    /// The code on the wire, whatever it is.
    pub code: Option<CloseCode>,
    /// The reason's bytes, unmasked; longer ones are cut at the limit.
    pub reason: Vec<u8>,
    /// What its body holds.
    pub body: CloseBody,
    /// May a control frame be framed so? Not in fragments, above 125 bytes or with reserved bits (RFC 6455 §5.2, §5.5).
    pub is_well_framed: bool,
    /// Where it ends in TCP, and what its sender had received by then.
    pub wire: Wire,
}

impl CloseFrame {
    /// Reads a Close from its unmasked payload. `is_whole`: the capture holds all of it.
    #[must_use]
    pub fn read(
        at: Moment,
        wire: Wire,
        header: &FrameHeader,
        payload: &[u8],
        is_whole: bool,
        limits: &Limits,
    ) -> Self {
        let (code, rest) = match payload.split_first_chunk::<2>() {
            Some((code, rest)) => (Some(CloseCode(u16::from_be_bytes(*code))), rest),
            None => (None, &[][..]),
        };
        let body = match (payload.len(), is_whole) {
            (0 | 1, false) => CloseBody::Missing,
            (0, true) => CloseBody::Empty,
            (1, true) => CloseBody::Malformed,
            (_, true) if std::str::from_utf8(rest).is_err() => CloseBody::Malformed,
            _ => CloseBody::Code,
        };
        let reason = rest.get(..limits.close_reason_bytes).unwrap_or(rest).to_vec();
        let is_well_framed = header.fin && header.rsv == 0 && header.payload_len <= CONTROL_PAYLOAD_MAX;
        CloseFrame { at, code, reason, body, is_well_framed, wire }
    }

    /// Was it sent by someone who had received the peer's stream up to `offset`? `None`: the packets do not say.
    #[must_use]
    pub fn sender_had_received(&self, offset: u64) -> Option<bool> {
        self.wire.peer_acked.map(|acked| acked >= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::opcode::Opcode;
    use super::*;

    fn of_header(change: impl Fn(&mut FrameHeader), payload: &[u8], is_whole: bool) -> CloseFrame {
        let payload_len = payload.len() as u64;
        let mut header = FrameHeader {
            fin: true,
            rsv: 0,
            opcode: Opcode::CLOSE,
            mask: None,
            payload_len,
            is_minimal: true,
        };
        change(&mut header);
        let (at, wire, limits) = (Moment::default(), Wire::default(), Limits::default());
        CloseFrame::read(at, wire, &header, payload, is_whole, &limits)
    }

    fn read(payload: &[u8]) -> (Option<u16>, CloseBody, Vec<u8>) {
        let close = of_header(|_| (), payload, true);
        (close.code.map(|code| code.0), close.body, close.reason)
    }

    #[test]
    fn bodies_are_kept_as_they_are() {
        assert_eq!(read(&[]), (None, CloseBody::Empty, vec![]));
        assert_eq!(read(&[0x03]), (None, CloseBody::Malformed, vec![]));
        assert_eq!(read(b"\x03\xe9bye"), (Some(1001), CloseBody::Code, b"bye".to_vec()));
        assert_eq!(read(b"\x03\xee"), (Some(1006), CloseBody::Code, vec![]));
        assert_eq!(read(b"\x03\xe8\xff"), (Some(1000), CloseBody::Malformed, vec![0xff]));
    }

    #[test]
    fn a_cut_body_has_no_code_rather_than_a_false_one() {
        let close = of_header(|_| (), &[0x03], false);
        assert_eq!((close.code, close.body), (None, CloseBody::Missing));
    }

    #[test]
    fn fragments_reserved_bits_and_more_than_125_bytes_are_no_framing_for_a_close() {
        let of = |change: fn(&mut FrameHeader), len| of_header(change, &vec![3; len], true).is_well_framed;
        assert!(of(|_| (), 2) && of(|_| (), 125));
        assert!(!of(|_| (), 126) && !of(|header| header.fin = false, 2) && !of(|header| header.rsv = 4, 2));
    }
}
