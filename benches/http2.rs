//! What HTTP/2 without WebSockets costs, beside the bare walk over its frame headers: at most 1.3 times as much.
//!
//! ```text
//! cargo bench --bench http2
//! ```
//!
//! One connection of a browser that loads pages: requests with some twenty fields, most of them by index once the table
//! has them; answers of 16 KiB in DATA frames; TCP segments of 1,448 bytes.

#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and builds its own input"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};
use wsclose::http::http2::frame::{CLIENT_PREFACE, HEADER_LEN, StreamId, frame_header};
use wsclose::http::http2::session::{Http2Event, Http2Sink, Session};
use wsclose::limits::Limits;
use wsclose::moment::Moment;
use wsclose::side::Side;
use wsclose::tcp::stream_event::{StreamEvent, Wire};

const REQUESTS: u32 = 4_000;
const BODY: usize = 16 << 10;
const SEGMENT: usize = 1_448;
const ROUNDS: usize = 15;
const MOST: f64 = 1.3;

/// Nobody asks for a WebSocket.
struct Nobody;

impl Http2Sink for Nobody {
    fn is_followed(&self, _: StreamId) -> bool {
        false
    }

    fn http2(&mut self, _: Side, event: Http2Event<'_>) {
        black_box(&event);
    }
}

fn frame(frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[frame_type, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal that enters the table: name by `index`, or in full.
fn entered(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap_or(0)][..], text.as_bytes()].concat();
    [&[0x40][..], &string(name), &string(value)].concat()
}

fn request(number: u32) -> Vec<u8> {
    let mut block = vec![0x82, 0x87];
    if number == 0 {
        for name in 0..16 {
            block.extend(entered(&format!("x-request-field-{name:02}"), "a value of some thirty characters"));
        }
    } else {
        block.extend((0..16).map(|index| 0x80 | (62 + index)));
    }
    // The path is new each time, and enters no table.
    block.extend([&[0x04, 24][..], format!("/assets/script-{number:06}.js").as_bytes()].concat());
    frame(1, 5, 2 * number + 1, &block)
}

fn answer(number: u32) -> Vec<u8> {
    let mut block = vec![0x88];
    if number == 0 {
        for name in 0..10 {
            block.extend(entered(&format!("x-answer-field-{name:02}"), "a value of some thirty characters"));
        }
    } else {
        block.extend((0..10).map(|index| 0x80 | (62 + index)));
    }
    let stream = 2 * number + 1;
    [frame(1, 4, stream, &block), frame(0, 1, stream, &vec![b'x'; BODY])].concat()
}

fn segments(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunks(SEGMENT).collect()
}

/// The bare walk: header by header, payload by subtraction.
#[derive(Default)]
struct Walk {
    left: usize,
    held: Vec<u8>,
    frames: u64,
}

impl Walk {
    fn feed(&mut self, mut bytes: &[u8]) {
        loop {
            let step = self.left.min(bytes.len());
            bytes = &bytes[step..];
            self.left -= step;
            if bytes.is_empty() {
                return;
            }
            let wanted = HEADER_LEN - self.held.len();
            let parsed = if self.held.is_empty() && bytes.len() >= HEADER_LEN {
                frame_header(bytes).ok()
            } else {
                self.held.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
                frame_header(&self.held).ok()
            };
            bytes = &bytes[wanted.min(bytes.len())..];
            let Some((_, header)) = parsed else { return };
            self.held.clear();
            self.left = usize::try_from(header.length).unwrap_or(usize::MAX);
            self.frames += 1;
        }
    }
}

fn shortest(mut work: impl FnMut()) -> Duration {
    let timed = |work: &mut dyn FnMut()| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    (0..ROUNDS).map(|_| timed(&mut work)).min().unwrap_or_default()
}

fn main() {
    let client = [frame(4, 0, 0, &[]), (0..REQUESTS).flat_map(request).collect()].concat();
    let server = [frame(4, 0, 0, &[]), (0..REQUESTS).flat_map(answer).collect()].concat();
    let limits = Limits::default();
    let bytes = client.len() + server.len();
    let event = |bytes| StreamEvent::Data { at: Moment::default(), offset: 0, bytes, wire: Wire::default() };
    // Both read all bytes as a capture's reader has just done, for what is compared is what comes on top of that.
    let touched = |segment: &[u8]| {
        black_box(segment.iter().fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(*byte))))
    };
    let read = shortest(|| {
        for segment in segments(&client).into_iter().chain(segments(&server)) {
            touched(segment);
        }
    });
    let walk = shortest(|| {
        for side in [&client, &server] {
            let mut walk = Walk::default();
            for segment in segments(side) {
                touched(segment);
                walk.feed(segment);
            }
            assert!(black_box(walk.frames) > u64::from(REQUESTS));
        }
    });
    let session = shortest(|| {
        let mut session = Session::new(CLIENT_PREFACE.len(), &limits);
        for (side, bytes) in [(Side::Client, &client), (Side::Server, &server)] {
            for segment in segments(bytes) {
                touched(segment);
                session.stream(side, event(segment), &limits, &mut Nobody);
            }
        }
        assert!(session.anomalies.is_empty());
    });
    let ratio = session.as_secs_f64() / walk.as_secs_f64();
    println!("{} MB of HTTP/2, {REQUESTS} requests", bytes >> 20);
    println!("reading it    {read:?}");
    println!("frame headers {walk:?}");
    println!("all of HTTP/2 {session:?}: {ratio:.2} times the walk (at most {MOST})");
    assert!(ratio <= MOST, "plain HTTP/2 costs too much");
}
