//! The bytes of a WebSocket conversation: opening handshake (RFC 6455 §4) and frames (§5).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use wsclose::side::Side;

/// The `Sec-WebSocket-Key` of RFC 6455 §1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The `Sec-WebSocket-Accept` that answers `key` (RFC 6455 §4.2.2).
pub fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// An Upgrade request for `path`.
pub fn request(path: &str) -> Vec<u8> {
    request_with(path, "")
}

/// An Upgrade request with further header lines, each ended by `\r\n`.
pub fn request_with(path: &str, headers: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// The 101 that accepts [`request`].
pub fn response() -> Vec<u8> {
    response_with("")
}

/// The 101 with further header lines, each ended by `\r\n`.
pub fn response_with(headers: &str) -> Vec<u8> {
    let accept = accept_key(KEY);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// An answer that refuses the Upgrade, such as `refusal(403, "Forbidden")`.
pub fn refusal(status: u16, phrase: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

/// How a frame's payload length is written (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LengthForm {
    /// As short as it can be, which the RFC demands.
    #[default]
    Minimal,
    Sixteen,
    SixtyFour,
}

/// A frame as it is sent, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    /// RSV1 to RSV3 as bits `0b100`, `0b010`, `0b001`.
    pub rsv: u8,
    pub opcode: u8,
    /// The masking key; clients must have one, servers must not.
    pub mask: Option<[u8; 4]>,
    pub payload: Vec<u8>,
    pub length_form: LengthForm,
}

impl Frame {
    /// A frame masked as its sender must.
    pub fn new(from: Side, opcode: u8, payload: &[u8]) -> Self {
        let mask = (from == Side::Client).then_some([0x37, 0xfa, 0x21, 0x3d]);
        Frame { fin: true, rsv: 0, opcode, mask, payload: payload.to_vec(), length_form: LengthForm::Minimal }
    }

    /// The frame with FIN clear: more fragments follow.
    pub fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let len = self.payload.len();
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match self.length_form {
            LengthForm::Minimal if len < 126 => bytes.push(mask_bit | len as u8),
            LengthForm::SixtyFour => {
                bytes.extend([&[mask_bit | 127][..], &(len as u64).to_be_bytes()].concat())
            }
            LengthForm::Minimal if len > 0xffff => {
                bytes.extend([&[mask_bit | 127][..], &(len as u64).to_be_bytes()].concat());
            }
            _ => bytes.extend([&[mask_bit | 126][..], &(len as u16).to_be_bytes()].concat()),
        }
        let key = self.mask.unwrap_or_default();
        bytes.extend(self.mask.iter().flatten());
        bytes.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

pub fn continuation(from: Side, payload: &[u8]) -> Vec<u8> {
    Frame::new(from, 0x0, payload).bytes()
}

pub fn text(from: Side, payload: &str) -> Vec<u8> {
    Frame::new(from, 0x1, payload.as_bytes()).bytes()
}

pub fn binary(from: Side, payload: &[u8]) -> Vec<u8> {
    Frame::new(from, 0x2, payload).bytes()
}

pub fn ping(from: Side, payload: &[u8]) -> Vec<u8> {
    Frame::new(from, 0x9, payload).bytes()
}

pub fn pong(from: Side, payload: &[u8]) -> Vec<u8> {
    Frame::new(from, 0xa, payload).bytes()
}

pub fn close(from: Side, code: u16, reason: &str) -> Vec<u8> {
    close_body(from, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// A Close without a code: the receiver's application is told 1005.
pub fn close_empty(from: Side) -> Vec<u8> {
    close_body(from, &[])
}

/// A Close with any body, right or wrong.
pub fn close_body(from: Side, body: &[u8]) -> Vec<u8> {
    Frame::new(from, 0x8, body).bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_key_is_that_of_the_rfc() {
        assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_are_those_of_rfc_6455_section_5_7() {
        let hello = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(text(Side::Server, "Hello"), hello);
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(text(Side::Client, "Hello"), masked);
        let first_fragment = [0x01, 0x03, 0x48, 0x65, 0x6c];
        assert_eq!(Frame::new(Side::Server, 1, b"Hel").unfinished().bytes(), first_fragment);
        assert_eq!(binary(Side::Server, &[0; 256])[..4], [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(binary(Side::Server, &[0; 65_536])[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn close_holds_code_and_reason() {
        assert_eq!(close(Side::Server, 1001, "bye"), [0x88, 0x05, 0x03, 0xe9, b'b', b'y', b'e']);
        assert_eq!(close_empty(Side::Server), [0x88, 0x00]);
    }

    #[test]
    fn length_may_be_written_longer_than_needed() {
        let frame = |length_form| Frame { length_form, ..Frame::new(Side::Server, 2, b"x") }.bytes();
        assert_eq!(frame(LengthForm::Sixteen), [0x82, 0x7e, 0, 1, b'x']);
        assert_eq!(frame(LengthForm::SixtyFour), [0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, b'x']);
    }
}
