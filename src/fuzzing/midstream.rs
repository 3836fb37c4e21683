//! Connections whose handshake is not in the capture.

use super::script::{Script, analyze, next_step};
use super::{Bytes, small_limits};
use crate::decode::segment::TcpFlags;
use crate::verdict::verdict::Kind;
use crate::websocket::plausible;

/// `side and flags, length, bytes | ...`, joined in mid-stream.
///
/// It is taken for a WebSocket only if some segment of it is nothing but frames, or a frame's header; sending each segment twice changes no
/// verdict.
pub fn midstream(input: &[u8]) {
    let mut input = Bytes(input);
    let mut script = Script::new();
    let mut has_frames = false;
    while !input.is_empty() {
        let (side, ends, len) = next_step(&mut input);
        let payload = input.take(len);
        has_frames |= plausible::chain(payload).is_some() || plausible::is_header_alone(payload);
        has_frames |= payload.starts_with(b"HTTP/1.") || payload.contains(&b'\n');
        script.send(side, TcpFlags::ACK | ends, payload);
    }
    let limits = small_limits();
    let once = analyze(&script.sent, &limits);
    assert!(once.is_empty() || has_frames, "a WebSocket without a frame: {once:?}");
    let twice: Vec<_> = script.sent.iter().flat_map(|sent| [sent.clone(), sent.clone()]).collect();
    let twice = analyze(&twice, &limits);
    // Sent twice and unanswered, a segment may prove that the peer is dead.
    let kinds = |records: &[crate::analyzer::record::ConnectionRecord]| -> Vec<_> {
        let coded = records.iter().filter(|record| matches!(record.verdict.kind, Kind::Coded(_)));
        coded.map(|record| (record.verdict.kind, record.verdict.closed_by)).collect()
    };
    assert_eq!(kinds(&once), kinds(&twice), "sent once and twice");
}
