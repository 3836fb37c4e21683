//! One connection packet by packet, as a ladder between its two ends.

use super::record::ConnectionRecord;
use crate::decode::segment::{Segment, TcpFlags};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::{PerSide, Side};
use crate::tcp::connection::Connection;
use crate::tcp::stream_event::{Gap, StreamEvent, StreamSink};
use crate::websocket::close::CloseFrame;
use crate::websocket::frame::FrameHeader;
use crate::websocket::framing::{FrameEvent, Framing};
use std::collections::VecDeque;

/// One packet of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The packet.
    pub at: Moment,
    /// Who sent it.
    pub from: Side,
    /// What it holds: flags, frames, bytes.
    pub what: String,
}

/// Follows the packets of one connection that has been judged already, and keeps the last rungs.
#[derive(Debug)]
pub struct Ladder {
    record: ConnectionRecord,
    tcp: Connection,
    frames: Frames,
    /// What the record knows of packets whose bytes tell nothing here.
    landmarks: Vec<(Moment, Side, String)>,
    rungs: VecDeque<Rung>,
    kept: usize,
    left_out: u64,
}

/// Both directions' frames, in words.
#[derive(Debug)]
struct Frames {
    framings: PerSide<Framing>,
    /// The packet whose head comes before that side's frames.
    heads: PerSide<Option<Moment>>,
    words: Vec<String>,
    /// TLS records are no frames. The ladder does not decrypt them a second time.
    is_encrypted: bool,
    limits: Limits,
}

impl Ladder {
    /// A ladder for `record` that keeps its last `kept` rungs.
    #[must_use]
    pub fn new(record: ConnectionRecord, kept: usize, limits: &Limits) -> Self {
        let heads = PerSide {
            client: record.handshake.request.as_ref().map(|request| request.at),
            server: record.handshake.response.as_ref().map(|response| response.at),
        };
        let framings = PerSide::from_fn(|side| match heads[side] {
            Some(_) => Framing::default(),
            None => Framing::lost(),
        });
        let tcp = Connection::new(record.opened);
        let is_encrypted = record.tls.is_some();
        let frames = Frames { framings, heads, words: Vec::new(), is_encrypted, limits: limits.clone() };
        let landmarks = landmarks(&record);
        Ladder { record, tcp, frames, landmarks, rungs: VecDeque::new(), kept, left_out: 0 }
    }

    /// Takes a segment, which need not be the connection's.
    pub fn handle_segment(&mut self, segment: &Segment<'_>) {
        let ends = (self.record.client, self.record.server);
        let side = match (segment.source, segment.destination) {
            pair if pair == ends => Side::Client,
            pair if pair == (ends.1, ends.0) => Side::Server,
            _ => return,
        };
        let same_tunnel = segment.encapsulation == self.record.encapsulation;
        if !same_tunnel || segment.at < self.record.opened || segment.at > self.record.last {
            return;
        }
        self.tcp.handle_segment(side, segment, &self.frames.limits.clone(), &mut self.frames);
        let mut what = flags(segment);
        if segment.payload_len() > 0 {
            what = format!("{what}, {} bytes", segment.payload_len());
        }
        let known = self.landmarks.iter().filter(|(at, of, _)| *at == segment.at && *of == side);
        for word in known.map(|(_, _, word)| word.clone()).chain(self.frames.words.drain(..)) {
            what = format!("{what}; {word}");
        }
        self.rungs.push_back(Rung { at: segment.at, from: side, what });
        if self.rungs.len() > self.kept {
            self.rungs.pop_front();
            self.left_out += 1;
        }
    }

    /// The rungs kept, and how many came before them.
    pub fn rungs(&self) -> (impl Iterator<Item = &Rung>, u64) {
        (self.rungs.iter(), self.left_out)
    }

    /// The connection.
    #[must_use]
    pub fn record(&self) -> &ConnectionRecord {
        &self.record
    }
}

impl StreamSink for Frames {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        let Frames { framings, heads, words, is_encrypted, limits } = self;
        if *is_encrypted {
            return;
        }
        let framing = framings.get_mut(side);
        let mut note = |event: FrameEvent<'_>| words.push(frame_text(&event));
        match event {
            StreamEvent::Data { at, bytes, wire, .. } => {
                let bytes = match heads[side] {
                    Some(head) if at < head => return,
                    Some(head) if at == head => behind_head(bytes),
                    _ => bytes,
                };
                framing.feed(at, bytes, wire, side == Side::Client, limits, &mut note);
            }
            StreamEvent::Gap(gap) => framing.gap(gap, limits, &mut note),
        }
    }
}

/// The heads of the opening handshake, and within TLS the Closes.
fn landmarks(record: &ConnectionRecord) -> Vec<(Moment, Side, String)> {
    let opening = &record.teardown.opening;
    let request = opening.request.map(|at| (at, Side::Client, "Upgrade request".to_owned()));
    let response =
        opening.response.map(|answer| (answer.at, Side::Server, format!("status {}", answer.status)));
    let of_close =
        |side| record.teardown.close[side].as_ref().map(|close| (close.at, side, close_text(close)));
    let closes = Side::BOTH.into_iter().filter(|_| record.tls.is_some()).filter_map(of_close);
    request.into_iter().chain(response).chain(closes).collect()
}

/// What follows the blank line that ends a head.
fn behind_head(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    end.and_then(|end| bytes.get(end + 4..)).unwrap_or_default()
}

/// `SYN`, `FIN, ACK`, `ACK`, as tcpdump and Wireshark name them.
fn flags(segment: &Segment<'_>) -> String {
    let names =
        [(TcpFlags::SYN, "SYN"), (TcpFlags::FIN, "FIN"), (TcpFlags::RST, "RST"), (TcpFlags::ACK, "ACK")];
    let set: Vec<&str> =
        names.iter().filter(|(bit, _)| segment.flags.0 & bit != 0).map(|(_, name)| *name).collect();
    set.join(", ")
}

fn frame_text(event: &FrameEvent<'_>) -> String {
    let named = |header: &FrameHeader| {
        let more = if header.fin { "" } else { ", more follows" };
        format!("{} of {} bytes{more}", header.opcode, header.payload_len)
    };
    match event {
        FrameEvent::Data { header, .. } | FrameEvent::Control { header, .. } => named(header),
        FrameEvent::Close { close, .. } => close_text(close),
        FrameEvent::Resynchronized(_) => "frames found again".to_owned(),
        FrameEvent::Lost(Gap { len, .. }) => {
            format!("{len} bytes are missing, and with them the frame boundary")
        }
    }
}

fn close_text(close: &CloseFrame) -> String {
    match close.code {
        Some(code) => format!("Close {} {:?}", code.0, String::from_utf8_lossy(&close.reason)),
        None => "Close without a code".to_owned(),
    }
}
