//! WebSocket frames.

use super::{Bytes, Cuts, small_limits};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::stream_event::{Gap, GapCause, StreamEvent, Wire};
use crate::websocket::frame::frame_header;
use crate::websocket::opcode::Opcode;
use crate::websocket::session::Session;

/// `options | cuts | bytes of one side`
///
/// The same counts, Close and sight whether the bytes come whole or in pieces; as many frames as a plain walk over
/// them finds, whose headers and payloads make up the bytes; within the caps also with holes.
pub fn frames(input: &[u8]) {
    let mut input = Bytes(input);
    let (options, seed) = (input.byte(), input.byte());
    let side = if options & 1 == 0 { Side::Client } else { Side::Server };
    let is_cut = options & 2 == 0;
    let (limits, bytes) = (small_limits(), input.rest());
    let whole = read(side, &[bytes], is_cut, &limits);
    let pieces = Cuts::new(seed).pieces(bytes, 1 + usize::from(options >> 2));
    assert_eq!(told(&whole), told(&read(side, &pieces, is_cut, &limits)), "told whole and in pieces");
    let traffic = whole.sides[side].traffic;
    let (walked, closes) = walk(bytes, is_cut);
    assert_eq!((traffic.frames, whole.sides[side].close.is_some()), (walked, closes > 0));
    with_holes(side, &pieces, &limits);
}

fn read(side: Side, pieces: &[&[u8]], is_cut: bool, limits: &Limits) -> Session {
    let mut session = Session::default();
    let mut offset = 0;
    for bytes in pieces.iter().filter(|bytes| !bytes.is_empty()) {
        feed(&mut session, side, offset, bytes, limits);
        offset += bytes.len() as u64;
    }
    session.finish(Moment::default(), PerSide { client: is_cut, server: is_cut }, limits);
    session
}

fn feed(session: &mut Session, side: Side, offset: u64, bytes: &[u8], limits: &Limits) {
    let wire = Wire { end: offset + bytes.len() as u64, peer_acked: Some(0) };
    session.stream(side, StreamEvent::Data { at: Moment::default(), offset, bytes, wire }, limits);
}

/// All but the signs of life: how much of a message's start is looked at depends on what came with its header.
fn told(session: &Session) -> String {
    format!("{:?} {:?}", session.sides, session.anomalies)
}

/// Frames complete (control) or begun (data), and Closes complete: or begun, unless their sender has cut them.
fn walk(bytes: &[u8], is_cut: bool) -> (u64, u64) {
    let (mut frames, mut closes, mut rest) = (0, 0, bytes);
    while let Ok((after, header)) = frame_header(rest) {
        let payload = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let next = after.get(payload..);
        let is_told = next.is_some() || header.opcode == Opcode::CLOSE && !is_cut;
        frames += u64::from(is_told || !header.opcode.is_control());
        closes += u64::from(is_told && header.opcode == Opcode::CLOSE);
        match next {
            Some(next) => rest = next,
            None => break,
        }
    }
    (frames, closes)
}

/// Every third piece is missing: whatever that does, it panics nowhere and keeps the caps.
fn with_holes(side: Side, pieces: &[&[u8]], limits: &Limits) {
    let mut session = Session::default();
    let mut offset = 0;
    for (index, bytes) in pieces.iter().enumerate() {
        let len = bytes.len() as u64;
        if index % 3 == 1 {
            let gap = Gap { at: Moment::default(), offset, len, cause: GapCause::Lost, unsent_at: None };
            session.stream(side, StreamEvent::Gap(gap), limits);
        } else {
            feed(&mut session, side, offset, bytes, limits);
        }
        offset += len;
    }
    session.finish(Moment::default(), PerSide::default(), limits);
    let close = session.sides[side].close.as_deref();
    assert!(close.is_none_or(|close| close.reason.len() <= limits.close_reason_bytes));
}
