//! The opening handshake (RFC 6455 §4): what was asked, what was answered, whether they match.

use crate::moment::Moment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The GUID that every server appends to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An HTTP request head. Bytes stay bytes: they are the peer's, valid or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The packet that completed the head.
    pub at: Moment,
    /// `GET`, `CONNECT`, ...
    pub method: Vec<u8>,
    /// Request target as it stands: origin-form, absolute-form or authority-form.
    pub target: Vec<u8>,
    /// `Host`.
    pub host: Option<Vec<u8>>,
    /// `Origin`.
    pub origin: Option<Vec<u8>>,
    /// `User-Agent`.
    pub user_agent: Option<Vec<u8>>,
    /// `Sec-WebSocket-Key`.
    pub key: Option<Vec<u8>>,
    /// `Sec-WebSocket-Protocol`, all values joined by `, `.
    pub subprotocols: Option<Vec<u8>>,
    /// `Sec-WebSocket-Extensions`, all values joined by `, `.
    pub extensions: Option<Vec<u8>>,
    /// Does a header say that a proxy forwarded it?
    pub was_forwarded: bool,
    /// Does it hold control characters, which no head may (RFC 9110 §5.5)? In headers they stand as 0xFF.
    pub has_control_characters: bool,
    /// Does it ask for an upgrade to `websocket`?
    pub wants_websocket: bool,
}

/// An HTTP response head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The packet that completed the head.
    pub at: Moment,
    /// Status code.
    pub status: u16,
    /// `Server`.
    pub server: Option<Vec<u8>>,
    /// `Sec-WebSocket-Accept`.
    pub accept: Option<Vec<u8>>,
    /// `Sec-WebSocket-Protocol`.
    pub subprotocol: Option<Vec<u8>>,
    /// `Sec-WebSocket-Extensions`, all values joined by `, `.
    pub extensions: Option<Vec<u8>>,
    /// Names of all its headers, as written, joined by `,`; kept of a `101` only.
    pub header_names: Vec<u8>,
    /// Does it hold control characters, which no head may (RFC 9110 §5.5)? In headers they stand as 0xFF.
    pub has_control_characters: bool,
    /// Does it name `websocket` as the protocol switched to?
    pub is_websocket: bool,
    /// Did the snaplen cut it, so that only its status line is known?
    pub is_cut: bool,
}

/// What the capture holds of an opening handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The latest Upgrade request; set by [`Handshake::set_request`].
    pub request: Option<Request>,
    /// Its answer; set by [`Handshake::set_response`].
    pub response: Option<Response>,
    accept_valid: Option<bool>,
}

impl Request {
    /// The path with its query, whatever form the target has.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match self.authority_and_path() {
            Some((_, b"")) => b"/",
            Some((_, path)) => path,
            None => &self.target,
        }
    }

    /// The host asked for: that of an absolute-form target, else the `Host` header (RFC 9112 §3.2.2).
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.authority_and_path().map(|(authority, _)| authority).or(self.host.as_deref())
    }

    /// Splits an absolute-form target.
    fn authority_and_path(&self) -> Option<(&[u8], &[u8])> {
        let scheme_end = self.target.windows(3).position(|window| window == b"://")?;
        let rest = self.target.get(scheme_end + 3..)?;
        let scheme = self.target.get(..scheme_end)?;
        if !scheme.iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let path_start = rest.iter().position(|byte| *byte == b'/' || *byte == b'?').unwrap_or(rest.len());
        rest.split_at_checked(path_start)
    }
}

impl Handshake {
    /// Memory of the values it keeps, in bytes, itself left out.
    #[must_use]
    pub fn memory(&self) -> usize {
        let len = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::capacity);
        let request = self.request.as_ref().map_or(0, |request| {
            let values = [
                &request.host,
                &request.origin,
                &request.user_agent,
                &request.key,
                &request.subprotocols,
                &request.extensions,
            ];
            request.method.capacity() + request.target.capacity() + values.map(len).iter().sum::<usize>()
        });
        let response = self.response.as_ref().map_or(0, |response| {
            let values = [&response.server, &response.accept, &response.subprotocol, &response.extensions];
            response.header_names.capacity() + values.map(len).iter().sum::<usize>()
        });
        request + response
    }

    /// Takes an Upgrade request.
    pub fn set_request(&mut self, request: Request) {
        self.request = Some(request);
        self.accept_valid = self.check_accept();
    }

    /// Takes an answer.
    pub fn set_response(&mut self, response: Response) {
        self.response = Some(response);
        self.accept_valid = self.check_accept();
    }

    /// Does `Sec-WebSocket-Accept` answer the request's key (RFC 6455 §4.2.2)? `None` unless both heads are seen,
    /// and the answer is a `101`.
    #[must_use]
    pub fn accept_valid(&self) -> Option<bool> {
        self.accept_valid
    }

    fn check_accept(&self) -> Option<bool> {
        let (request, response) = (self.request.as_ref()?, self.response.as_ref()?);
        if response.status != 101 {
            return None; // RFC 8441 has no such header, and other answers open nothing
        }
        let key = request.key.as_deref().unwrap_or_default();
        let digest = Sha1::new().chain_update(key.trim_ascii()).chain_update(GUID).finalize();
        let mut expected = [0; 28];
        STANDARD.encode_slice(digest, &mut expected).ok()?;
        Some(response.accept.as_deref().is_some_and(|accept| accept.trim_ascii() == expected))
    }

    /// Did the server choose a subprotocol that was not offered? False unless both heads are seen.
    #[must_use]
    pub fn subprotocol_not_offered(&self) -> bool {
        let (Some(request), Some(response)) = (&self.request, &self.response) else { return false };
        let Some(chosen) = response.subprotocol.as_deref().map(<[u8]>::trim_ascii) else { return false };
        !list(request.subprotocols.as_deref()).any(|offered| offered == chosen)
    }

    /// Did the server accept an extension that was not offered? False unless both heads are seen.
    #[must_use]
    pub fn extension_not_offered(&self) -> bool {
        let (Some(request), Some(response)) = (&self.request, &self.response) else { return false };
        list(response.extensions.as_deref()).any(|accepted| {
            !list(request.extensions.as_deref()).any(|o| extension_name(o) == extension_name(accepted))
        })
    }
}

/// The elements of a comma-separated header value.
fn list(value: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    value
        .unwrap_or_default()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// The name of an extension without its parameters.
fn extension_name(extension: &[u8]) -> &[u8] {
    extension.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(key: &str, accept: &str) -> Handshake {
        let mut handshake = Handshake::default();
        handshake.set_request(Request { key: Some(key.into()), ..Request::default() });
        handshake.set_response(Response { status: 101, accept: Some(accept.into()), ..Response::default() });
        handshake
    }

    #[test]
    fn the_example_of_rfc_6455_is_accepted() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(handshake(key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").accept_valid(), Some(true));
        assert_eq!(handshake(key, "AAAALMBiTxaQ9kYGzzhZRbK+xOo=").accept_valid(), Some(false));
        assert_eq!(Handshake::default().accept_valid(), None);
    }

    #[test]
    fn absolute_form_names_host_and_path() {
        let request = Request { target: b"ws://example.org:81/chat?x=1".to_vec(), ..Request::default() };
        assert_eq!(request.host(), Some(&b"example.org:81"[..]));
        assert_eq!(request.path(), b"/chat?x=1");
        let origin_form = Request { target: b"/a?u=http://b/".to_vec(), ..Request::default() };
        assert_eq!(origin_form.path(), b"/a?u=http://b/");
    }

    #[test]
    fn choices_must_have_been_offered() {
        let mut both = handshake("", "");
        both.response.as_mut().unwrap().subprotocol = Some(b"chat".to_vec());
        both.response.as_mut().unwrap().extensions = Some(b"permessage-deflate; a=1".to_vec());
        assert!(both.subprotocol_not_offered() && both.extension_not_offered());
        both.request.as_mut().unwrap().subprotocols = Some(b"soap, chat".to_vec());
        both.request.as_mut().unwrap().extensions = Some(b"permessage-deflate".to_vec());
        assert!(!both.subprotocol_not_offered() && !both.extension_not_offered());
    }
}
