//! TCP connections made up from an input, and their analysis.

use super::Bytes;
use crate::analyzer::record::ConnectionRecord;
use crate::analyzer::{Analyzer, Options};
use crate::capture::PacketRef;
use crate::capture::link_type::LinkType;
use crate::decode::segment::TcpFlags;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::time::Timestamp;
use crate::verdict::teardown::Sight;
use crate::verdict::verdict::Kind;

/// The example of RFC 6455 §1.3.
const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// One segment of a script.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub side: Side,
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub payload: Vec<u8>,
}

/// A connection in which nothing is lost.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub sent: Vec<Sent>,
    next: PerSide<u32>,
    has_ended: PerSide<bool>,
}

impl Script {
    /// Before the first packet. Sequence numbers wrap soon.
    pub(super) fn new() -> Self {
        let next = PerSide { client: u32::MAX - 100, server: u32::MAX - 400 };
        Script { sent: Vec::new(), next, has_ended: PerSide::default() }
    }

    /// With TCP's and the WebSocket's handshakes.
    pub(super) fn opened() -> Self {
        let mut script = Script::new();
        script.send(Side::Client, TcpFlags::SYN, &[]);
        script.send(Side::Server, TcpFlags::SYN | TcpFlags::ACK, &[]);
        script.send(Side::Client, TcpFlags::ACK, REQUEST);
        script.send(Side::Server, TcpFlags::ACK, RESPONSE);
        script.send(Side::Client, TcpFlags::ACK, &[]);
        script
    }

    /// `side` sends; nothing, if it or a reset has ended its stream.
    pub(super) fn send(&mut self, side: Side, flags: u8, payload: &[u8]) {
        if self.has_ended[side] {
            return;
        }
        let is_numbered = TcpFlags::SYN | TcpFlags::FIN;
        let (seq, ack) = (self.next[side], self.next[side.other()]);
        let len = u32::try_from(payload.len()).unwrap_or(0) + u32::from(flags & is_numbered != 0);
        self.next[side] = seq.wrapping_add(len);
        self.has_ended[side] = flags & (TcpFlags::FIN | TcpFlags::RST) != 0;
        if flags & TcpFlags::RST != 0 {
            self.has_ended = PerSide { client: true, server: true };
        }
        self.sent.push(Sent { side, flags, seq, ack, payload: payload.to_vec() });
    }

    /// Each payload in pieces of at most `most` bytes.
    pub(super) fn recut(&self, most: usize) -> Vec<Sent> {
        let mut cut = Vec::new();
        for sent in &self.sent {
            let count = sent.payload.len().div_ceil(most).max(1);
            for index in 0..count {
                let from = index * most;
                let to = (from + most).min(sent.payload.len());
                let is_last = index + 1 == count;
                let flags = if is_last { sent.flags } else { sent.flags & !TcpFlags::FIN };
                let seq = sent.seq.wrapping_add(u32::try_from(from).unwrap_or(0));
                let payload = sent.payload.get(from..to).unwrap_or_default().to_vec();
                cut.push(Sent { flags, seq, payload, ..sent.clone() });
            }
        }
        cut
    }
}

/// The next segment's sender, the flag by which it ends TCP, if it does, and its length.
pub(super) fn next_step(input: &mut Bytes<'_>) -> (Side, u8, usize) {
    let (kind, len) = (input.byte(), usize::from(input.byte()));
    let side = if kind & 1 == 0 { Side::Client } else { Side::Server };
    let ends = match kind >> 4 {
        0xf => TcpFlags::RST,
        0xe => TcpFlags::FIN,
        _ => 0,
    };
    (side, ends, len)
}

/// What the analysis of one connection's segments gives.
pub(super) fn analyze(sent: &[Sent], limits: &Limits) -> Vec<ConnectionRecord> {
    let mut analyzer = Analyzer::new(Options { limits: limits.clone(), ..Options::default() });
    for (sent, number) in sent.iter().zip(1_u32..) {
        let bytes = packet(sent, u16::try_from(number & 0xffff).unwrap_or(1));
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        let at = Moment::new(Timestamp::from_nanos(i64::from(number) * 1_000_000), number, 0);
        let record = PacketRef { at, link_type: LinkType::RAW, fcs_len: 0, range: 0..len, original_len: len };
        analyzer.handle_packet(&record, &bytes);
    }
    analyzer.finish();
    records(&mut analyzer, limits)
}

/// All records, each in itself consistent.
pub(super) fn records(analyzer: &mut Analyzer, limits: &Limits) -> Vec<ConnectionRecord> {
    let records: Vec<_> = std::iter::from_fn(|| analyzer.poll_record().map(|record| *record)).collect();
    for record in &records {
        check(record, limits);
    }
    records
}

/// A 1006 is claimed only in full sight, a code only of a Close that was seen, an end only by someone.
fn check(record: &ConnectionRecord, limits: &Limits) {
    let (teardown, verdict) = (&record.teardown, &record.verdict);
    let closes: Vec<_> = Side::BOTH.iter().filter_map(|side| teardown.close[*side].as_ref()).collect();
    match verdict.kind {
        Kind::Abnormal(_) => {
            assert!(Side::BOTH.iter().all(|side| teardown.sight[*side] == Sight::Full), "{verdict:?}");
            assert!(verdict.closed_by.is_some());
        }
        Kind::Coded(code) => assert!(closes.iter().any(|close| close.code == code), "{verdict:?}"),
        Kind::Open => assert!(verdict.closed_by.is_none()),
        Kind::Refused | Kind::Unknown(_) => {}
    }
    assert!(!verdict.clean || closes.len() == 2);
    assert!(closes.iter().all(|close| close.reason.len() <= limits.close_reason_bytes));
    assert!(teardown.icmp.len() <= limits.icmp_errors);
    assert!(!record.why().is_empty());
    assert!(serde_json::to_string(&crate::report::build::connection(1, record, context())).is_ok());
}

fn context() -> crate::report::build::Context<'static> {
    crate::report::build::Context { files: &[], redact: false }
}

/// An IPv4 packet.
fn packet(sent: &Sent, ip_id: u16) -> Vec<u8> {
    let (source, destination) = match sent.side {
        Side::Client => ([10, 0, 0, 1, 0xc0, 0], [10, 0, 0, 2, 0, 80]),
        Side::Server => ([10, 0, 0, 2, 0, 80], [10, 0, 0, 1, 0xc0, 0]),
    };
    let total = u16::try_from(40 + sent.payload.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x45, 0];
    bytes.extend([total.to_be_bytes(), ip_id.to_be_bytes(), [0x40, 0]].concat());
    bytes.extend([64, 6, 0, 0]);
    bytes.extend(source.iter().take(4).chain(destination.iter().take(4)));
    bytes.extend(source.iter().skip(4).chain(destination.iter().skip(4)));
    let ack = if sent.flags & TcpFlags::ACK == 0 { 0 } else { sent.ack };
    bytes.extend([sent.seq.to_be_bytes(), ack.to_be_bytes()].concat());
    bytes.extend([5 << 4, sent.flags, 1, 0xf6, 0, 0, 0, 0]);
    bytes.extend_from_slice(&sent.payload);
    bytes
}
