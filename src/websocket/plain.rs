//! The common case, apart from all the others: messages of one frame each, whole within a segment.
//!
//! What is done here is what [`Session::stream`] does anyway; a test compares them.

use super::frame::FrameHeader;
use super::opcode::Opcode;
use super::session::{Direction, Session};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::Side;

impl Direction {
    /// Between messages, with nothing odd or closing behind it?
    #[inline]
    fn is_plain(&self) -> bool {
        self.close.is_none() && self.hidden.is_none() && !self.in_message
    }

    #[inline]
    fn take_message(&mut self, at: Moment, len: u64) {
        self.is_nonsense = false;
        self.earlier_bytes = self.earlier_bytes.max(self.message_bytes);
        self.message_bytes = len;
        self.last_data = Some(at);
        self.traffic.frames += 1;
        self.traffic.messages += 1;
        self.traffic.payload_bytes = self.traffic.payload_bytes.saturating_add(len);
    }
}

/// The header and payload of a whole message of one sound frame at the start of `bytes`, and what follows it: a text or
/// binary frame with FIN and without reserved bits, of less than 64 KiB, its length in the shortest form.
///
/// ```text
///  0         1         2              2 or 4         2, 4, 6 or 8
///  | 81 | 82 | M, len  | length >= 126 | masking key | payload
/// ```
#[inline]
fn whole_message(bytes: &[u8], expects_mask: bool) -> Option<(FrameHeader, &[u8], &[u8])> {
    const FIN: u8 = 0x80;
    const MASK: u8 = 0x80;
    let (&[first, second], behind) = bytes.split_first_chunk::<2>()?;
    let opcode = Opcode(first ^ FIN);
    if !matches!(opcode, Opcode::TEXT | Opcode::BINARY) || (second & MASK != 0) != expects_mask {
        return None;
    }
    let (len, behind) = match second & !MASK {
        126 => {
            let (len, behind) = behind.split_first_chunk::<2>()?;
            (u16::from_be_bytes(*len), behind)
        }
        127 => return None,
        short => (u16::from(short), behind),
    };
    let is_minimal = len > 125 || second & !MASK != 126;
    let (mask, behind) = if expects_mask {
        let (mask, behind) = behind.split_first_chunk::<4>()?;
        (Some(*mask), behind)
    } else {
        (None, behind)
    };
    let (payload, rest) = behind.split_at_checked(usize::from(len))?;
    let header =
        FrameHeader { fin: true, rsv: 0, opcode, mask, payload_len: u64::from(len), is_minimal: true };
    is_minimal.then_some((header, payload, rest))
}

impl Session {
    /// Takes the messages that `bytes` of `side` begin with, if they are of the common kind; gives what follows them. In TCP
    /// the bytes end at offset `end`.
    pub(super) fn take_messages<'b>(
        &mut self,
        side: Side,
        at: Moment,
        bytes: &'b [u8],
        end: u64,
        limits: &Limits,
    ) -> &'b [u8] {
        let Session { framings, sides, vitals, .. } = self;
        let (framing, direction) = (framings.get_mut(side), sides.get_mut(side));
        let mut rest = bytes;
        if !framing.is_plain() || !direction.is_plain() {
            return rest;
        }
        while let Some((header, payload, after)) = whole_message(rest, side == Side::Client) {
            framing.latest.note(&header, end, rest.len());
            direction.take_message(at, header.payload_len);
            vitals.note_message(side, at, &header, payload, limits);
            rest = after;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::stream_event::{StreamEvent, Wire};
    use crate::time::Timestamp;
    use proptest::prelude::*;

    /// A frame: its first two bytes as random as they may be, mostly those of a message.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![12 => Just(0x81_u8), 6 => Just(0x82), 2 => Just(0x89), 1 => Just(0x88), 1 => any::<u8>()];
        let payload = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..9),
            Just(b"2".to_vec()),
            Just(b"3".to_vec()),
            Just(b"41".to_vec()),
            Just(b"{\"type\":\"disconnect\"}".to_vec()),
            prop::collection::vec(any::<u8>(), 120..140),
        ];
        (first, prop_oneof![9 => Just(true), 1 => Just(false)], payload).prop_map(
            |(first, masked, payload)| {
                let mask = if masked { 0x80 } else { 0 };
                let mut frame = match u8::try_from(payload.len()) {
                    Ok(len @ ..126) => vec![first, mask | len],
                    Ok(len) => vec![first, mask | 126, 0, len],
                    Err(_) => unreachable!(),
                };
                if masked {
                    frame.extend([7, 7, 7, 7]);
                }
                frame.extend(payload.iter().map(|byte| if masked { byte ^ 7 } else { *byte }));
                frame
            },
        )
    }

    /// Runs both sides' bytes, cut into segments of `cut` bytes, with or without the short way; gives all that is known.
    fn run(client: &[u8], server: &[u8], cut: usize, short_way: bool) -> String {
        let (mut session, limits) = (Session::default(), Limits::default());
        let mut seconds = 0;
        let sides = [(Side::Client, client), (Side::Server, server)];
        for (side, bytes) in sides.into_iter().flat_map(|(side, all)| all.chunks(cut).map(move |b| (side, b)))
        {
            seconds += 1;
            let at = Moment::new(Timestamp::from_parts(seconds, 0), 1, 0);
            let wire = Wire { end: 1_000, peer_acked: None };
            let event = StreamEvent::Data { at, offset: 0, bytes, wire };
            if short_way {
                session.stream(side, event, &limits);
            } else {
                session.stream_generally(side, event, &limits);
            }
        }
        format!("{session:?}")
    }

    proptest! {
        #[test]
        fn the_short_way_leads_where_the_long_one_does(
            client in prop::collection::vec(frame(), 0..12),
            server in prop::collection::vec(frame(), 0..12),
            cut in 1..400_usize,
        ) {
            let (client, server) = (client.concat(), server.concat());
            prop_assert_eq!(run(&client, &server, cut, true), run(&client, &server, cut, false));
        }
    }

    #[test]
    fn whole_messages_take_the_short_way_up_to_what_is_none() {
        let (mut session, limits) = (Session::default(), Limits::default());
        let bytes = [0x81, 1, b'a', 0x82, 2, 1, 2, 0x89, 0, 0x81, 0];
        let rest = session.take_messages(Side::Server, Moment::default(), &bytes, 0, &limits);
        assert_eq!(rest, [0x89, 0, 0x81, 0]);
        assert_eq!(session.sides.server.traffic.messages, 2);
    }
}
