//! Frames: nine bytes of header, then a payload whose length the header says (RFC 9113 §4.1).

use super::error_code::ErrorCode;
use nom::bytes::streaming::take;
use nom::number::streaming::{be_u8, be_u16, be_u24, be_u32};
use nom::{IResult, Parser as _};
use std::fmt;

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 9;
/// What a client sends first (RFC 9113 §3.4).
pub const CLIENT_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest payload that a peer may send before it was told of a larger limit (RFC 9113 §4.2).
pub const PAYLOAD_DEFAULT_MAX: u32 = 1 << 14;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameType(pub u8);

impl FrameType {
    /// Content of a stream.
    pub const DATA: FrameType = FrameType(0);
    /// Opens a stream, or ends it with trailers.
    pub const HEADERS: FrameType = FrameType(1);
    /// A stream's priority; deprecated.
    pub const PRIORITY: FrameType = FrameType(2);
    /// Ends a stream at once.
    pub const RST_STREAM: FrameType = FrameType(3);
    /// How the sender wants to be talked to.
    pub const SETTINGS: FrameType = FrameType(4);
    /// Announces a stream of the server.
    pub const PUSH_PROMISE: FrameType = FrameType(5);
    /// Asks for a sign of life.
    pub const PING: FrameType = FrameType(6);
    /// No new streams; in error, the end of the connection.
    pub const GOAWAY: FrameType = FrameType(7);
    /// The peer may send so many bytes more.
    pub const WINDOW_UPDATE: FrameType = FrameType(8);
    /// Goes on with a header block.
    pub const CONTINUATION: FrameType = FrameType(9);

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DATA => "DATA",
            Self::HEADERS => "HEADERS",
            Self::PRIORITY => "PRIORITY",
            Self::RST_STREAM => "RST_STREAM",
            Self::SETTINGS => "SETTINGS",
            Self::PUSH_PROMISE => "PUSH_PROMISE",
            Self::PING => "PING",
            Self::GOAWAY => "GOAWAY",
            Self::WINDOW_UPDATE => "WINDOW_UPDATE",
            Self::CONTINUATION => "CONTINUATION",
            FrameType(_) => return None,
        })
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => out.write_str(name),
            None => write!(out, "frame type 0x{:02x}", self.0),
        }
    }
}

/// A frame's flags. What a bit means hangs on the type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// DATA, HEADERS: its sender sends no more on this stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: answers the peer's.
    pub const ACK: u8 = 0x1;
    /// HEADERS, PUSH_PROMISE, CONTINUATION: the header block ends here.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS, PUSH_PROMISE: the payload is padded.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: a priority stands before the header block.
    pub const PRIORITY: u8 = 0x20;

    /// Is `flag` set?
    #[must_use]
    pub const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// A stream's number: odd where the client opened it; 0 is the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The connection itself.
    pub const CONNECTION: StreamId = StreamId(0);

    /// May a client open a stream of this number?
    #[must_use]
    pub const fn is_of_client(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A frame's header. Every value survives, valid or not.
///
/// ```text
///  +-----------------------------------------------+
///  |                 Length (24)                   |
///  +---------------+---------------+---------------+
///  |   Type (8)    |   Flags (8)   |
///  +-+-------------+---------------+-------------------------------+
///  |R|                 Stream Identifier (31)                      |
///  +=+=============================================================+
///  |                   Frame Payload (0...)                        |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of payload.
    pub length: u32,
    /// What it is.
    pub frame_type: FrameType,
    /// Its flags.
    pub flags: Flags,
    /// Its stream.
    pub stream: StreamId,
    /// The reserved bit before the stream's number.
    pub reserved: bool,
}

/// Parses a frame's header; `Incomplete` where more bytes are needed.
///
/// # Errors
/// Only `nom::Err::Incomplete`: all bytes are some header.
pub fn frame_header(input: &[u8]) -> IResult<&[u8], FrameHeader> {
    let (input, (length, frame_type, flags, stream)) = (be_u24, be_u8, be_u8, be_u32).parse(input)?;
    let header = FrameHeader {
        length,
        frame_type: FrameType(frame_type),
        flags: Flags(flags),
        stream: StreamId(stream & 0x7fff_ffff),
        reserved: stream >> 31 == 1,
    };
    Ok((input, header))
}

impl FrameHeader {
    /// Has it a length and a stream that a frame of its type may have (RFC 9113 §6)?
    #[must_use]
    pub const fn is_well_formed(&self) -> bool {
        let on_connection = self.stream.0 == 0;
        let acknowledges = self.flags.has(Flags::ACK);
        match self.frame_type {
            FrameType::DATA | FrameType::HEADERS | FrameType::CONTINUATION => !on_connection,
            FrameType::PUSH_PROMISE => !on_connection && self.length >= 4,
            FrameType::PRIORITY => !on_connection && self.length == 5,
            FrameType::RST_STREAM => !on_connection && self.length == 4,
            FrameType::SETTINGS if acknowledges => on_connection && self.length == 0,
            FrameType::SETTINGS => on_connection && self.length.is_multiple_of(6),
            FrameType::PING => on_connection && self.length == 8,
            FrameType::GOAWAY => on_connection && self.length >= 8,
            FrameType::WINDOW_UPDATE => self.length == 4,
            FrameType(_) => true,
        }
    }

    /// May it be the first of a direction (RFC 9113 §3.4)?
    #[must_use]
    pub fn opens(&self) -> bool {
        self.frame_type == FrameType::SETTINGS && self.is_well_formed()
    }

    /// Is it surely a header, where no boundary is known? Flags that its type does not define speak against it.
    #[must_use]
    pub const fn is_plausible(&self) -> bool {
        let defined = match self.frame_type {
            FrameType::DATA => Flags::END_STREAM | Flags::PADDED,
            FrameType::HEADERS => Flags::END_STREAM | Flags::END_HEADERS | Flags::PADDED | Flags::PRIORITY,
            FrameType::SETTINGS | FrameType::PING => Flags::ACK,
            FrameType::PUSH_PROMISE => Flags::END_HEADERS | Flags::PADDED,
            FrameType::CONTINUATION => Flags::END_HEADERS,
            _ => 0,
        };
        self.frame_type.name().is_some()
            && !self.reserved
            && self.flags.0 & !defined == 0
            && self.length <= PAYLOAD_DEFAULT_MAX
            && self.is_well_formed()
    }
}

/// A setting's number and value (RFC 9113 §6.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub id: u16,
    /// Its value.
    pub value: u32,
}

impl Setting {
    /// Bytes of one.
    pub const LEN: usize = 6;
    /// Window of a new stream, in bytes.
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    /// The server takes extended CONNECT (RFC 8441 §3).
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
}

/// Parses one setting.
///
/// # Errors
/// Only `nom::Err::Incomplete`.
pub fn setting(input: &[u8]) -> IResult<&[u8], Setting> {
    let (input, (id, value)) = (be_u16, be_u32).parse(input)?;
    Ok((input, Setting { id, value }))
}

/// Parses the payload of RST_STREAM.
///
/// # Errors
/// Only `nom::Err::Incomplete`.
pub fn rst_stream(input: &[u8]) -> IResult<&[u8], ErrorCode> {
    be_u32.map(ErrorCode).parse(input)
}

/// Parses the payload of WINDOW_UPDATE: so many bytes more.
///
/// # Errors
/// Only `nom::Err::Incomplete`.
pub fn window_update(input: &[u8]) -> IResult<&[u8], u32> {
    be_u32.map(|increment| increment & 0x7fff_ffff).parse(input)
}

/// What GOAWAY says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// The last stream of the peer that its sender may have acted on.
    pub last_stream: StreamId,
    /// Why.
    pub error: ErrorCode,
}

/// Parses the beginning of GOAWAY's payload; debug data may follow.
///
/// # Errors
/// Only `nom::Err::Incomplete`.
pub fn goaway(input: &[u8]) -> IResult<&[u8], GoAway> {
    let (input, (last, error)) = (be_u32, be_u32).parse(input)?;
    Ok((input, GoAway { last_stream: StreamId(last & 0x7fff_ffff), error: ErrorCode(error) }))
}

/// The fragment of a header block in the payload of HEADERS, PUSH_PROMISE or CONTINUATION. `None`: the padding is longer
/// than the payload.
#[must_use]
pub fn block_fragment(header: FrameHeader, payload: &[u8]) -> Option<&[u8]> {
    let continues = header.frame_type == FrameType::CONTINUATION;
    let padded = header.flags.has(Flags::PADDED) && !continues;
    let before = match header.frame_type {
        FrameType::PUSH_PROMISE => 4_usize,
        FrameType::HEADERS if header.flags.has(Flags::PRIORITY) => 5,
        _ => 0,
    };
    let (rest, padding) = if padded { byte(payload).ok()? } else { (payload, 0) };
    let (rest, _) = skip(rest, before).ok()?;
    rest.len().checked_sub(usize::from(padding)).and_then(|end| rest.get(..end))
}

fn byte(input: &[u8]) -> IResult<&[u8], u8> {
    be_u8(input)
}

fn skip(input: &[u8], count: usize) -> IResult<&[u8], &[u8]> {
    take(count)(input)
}

/// How many frames stand in `bytes`, which begin with one if they begin with any; 0: they do not. The last may go on
/// behind them, unless it is the only one and nothing else speaks for it.
#[must_use]
pub fn chain(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let mut frames = 0;
    while let Ok((payload, header)) = frame_header(rest) {
        if !header.is_plausible() {
            return 0;
        }
        frames += 1;
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        match payload.get(length..) {
            Some([]) => return frames,
            Some(behind) => rest = behind,
            None => return if frames > 1 { frames } else { 0 },
        }
    }
    // A header that is cut: it says nothing by itself.
    if frames > 1 { frames } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: [u8; 9] = [
        0, 0, 2,    // length
        1,    // HEADERS
        0x25, // END_STREAM, END_HEADERS, PRIORITY
        0x80, 0, 0, 5, // reserved bit, stream 5
    ];

    #[test]
    fn every_bit_of_a_header_is_kept() {
        let (rest, header) = frame_header(&HEADERS).unwrap();
        assert!(rest.is_empty() && header.reserved);
        assert_eq!((header.length, header.frame_type, header.stream), (2, FrameType::HEADERS, StreamId(5)));
        assert!(header.flags.has(Flags::END_STREAM) && header.flags.has(Flags::PRIORITY));
        for cut in 0..HEADERS.len() {
            assert!(frame_header(&HEADERS[..cut]).unwrap_err().is_incomplete());
        }
    }

    #[test]
    fn padding_and_priority_are_no_part_of_the_block() {
        let header = |flags| FrameHeader {
            length: 9,
            frame_type: FrameType::HEADERS,
            flags: Flags(flags),
            stream: StreamId(1),
            reserved: false,
        };
        let payload = [
            2, // pad length
            0, 0, 0, 3, 16,   // priority
            0x82, // the block
            0, 0, // padding
        ];
        let both = Flags::PADDED | Flags::PRIORITY;
        assert_eq!(block_fragment(header(both), &payload), Some(&[0x82][..]));
        assert_eq!(block_fragment(header(Flags::PRIORITY), &payload[1..]), Some(&[0x82, 0, 0][..]));
        assert_eq!(block_fragment(header(0), &[0x82]), Some(&[0x82][..]));
        // The padding of three bytes does not fit behind the priority.
        assert_eq!(block_fragment(header(both), &[3, 0, 0, 0, 3, 16, 0, 0]), None);
        assert_eq!(block_fragment(header(both), &[]), None);
    }

    #[test]
    fn a_chain_needs_whole_frames_or_two() {
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
        let update = [0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 1, 0];
        assert_eq!(chain(&ping), 1);
        assert_eq!(chain(&[&ping[..], &update].concat()), 2);
        assert_eq!(chain(&[&ping[..], &update[..10]].concat()), 2, "the second goes on elsewhere");
        assert_eq!(chain(&ping[..12]), 0, "nothing shows that it ends where it says");
        // A WebSocket message of a server is none.
        assert_eq!(chain(b"\x81\x0bhello world"), 0);
        assert_eq!(chain(&[0, 0, 7, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]), 0, "a PING has eight bytes");
    }

    #[test]
    fn error_codes_have_their_names() {
        let (_, code) = rst_stream(&[0, 0, 0, 8]).unwrap();
        assert_eq!((code, code.to_string().as_str()), (ErrorCode::CANCEL, "CANCEL"));
        assert_eq!(ErrorCode(0x77).to_string(), "error 0x77");
        let (_, goaway) = goaway(&[0x80, 0, 0, 9, 0, 0, 0, 2, b'x']).unwrap();
        assert_eq!(goaway, GoAway { last_stream: StreamId(9), error: ErrorCode::INTERNAL_ERROR });
    }
}
