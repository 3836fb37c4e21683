//! Handshake messages, as far as they tell how records are protected (RFC 8446 §4, RFC 5246 §7.4).

use super::keylog::ClientRandom;
use super::record::ProtocolVersion;
use super::suite::CipherSuite;
use nom::bytes::streaming::take;
use nom::multi::length_data;
use nom::number::streaming::{be_u8, be_u16};
use nom::{IResult, Parser as _};

/// `ServerHello.random` of a HelloRetryRequest (RFC 8446 §4.1.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// Bytes of a handshake message's header: type and length.
const HEADER_LEN: usize = 4;

/// The type of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandshakeType(pub u8);

impl HandshakeType {
    /// `ClientHello`.
    pub const CLIENT_HELLO: HandshakeType = HandshakeType(1);
    /// `ServerHello`, and a HelloRetryRequest.
    pub const SERVER_HELLO: HandshakeType = HandshakeType(2);
    /// `EndOfEarlyData`.
    pub const END_OF_EARLY_DATA: HandshakeType = HandshakeType(5);
    /// `EncryptedExtensions`.
    pub const ENCRYPTED_EXTENSIONS: HandshakeType = HandshakeType(8);
    /// `Finished`.
    pub const FINISHED: HandshakeType = HandshakeType(20);
    /// `KeyUpdate`.
    pub const KEY_UPDATE: HandshakeType = HandshakeType(24);

    const fn is_read(self) -> bool {
        matches!(self, Self::CLIENT_HELLO | Self::SERVER_HELLO | Self::ENCRYPTED_EXTENSIONS)
    }
}

/// The type of a hello's extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ExtensionType(u16);

impl ExtensionType {
    const SERVER_NAME: ExtensionType = ExtensionType(0);
    const ALPN: ExtensionType = ExtensionType(16);
    const ENCRYPT_THEN_MAC: ExtensionType = ExtensionType(22);
    const EARLY_DATA: ExtensionType = ExtensionType(42);
    const SUPPORTED_VERSIONS: ExtensionType = ExtensionType(43);
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// Its random: the session's name in key logs.
    pub random: ClientRandom,
    /// The server's name (RFC 6066 §3).
    pub server_name: Option<Vec<u8>>,
    /// The application protocols offered (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// Does it announce early data?
    pub early_data: bool,
}

/// What a server chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// Its random.
    pub random: [u8; 32],
    /// The version.
    pub version: ProtocolVersion,
    /// The suite.
    pub suite: CipherSuite,
    /// The compression method; 0 is none.
    pub compression: u8,
    /// The application protocol; in TLS 1.3 it is in the encrypted extensions.
    pub alpn: Option<Vec<u8>>,
    /// Are CBC's records authenticated as they are on the wire (RFC 7366)?
    pub encrypt_then_mac: bool,
}

impl ServerHello {
    /// Does it ask for another ClientHello?
    #[must_use]
    pub fn is_retry_request(&self) -> bool {
        self.random == HELLO_RETRY_REQUEST
    }
}

/// What a TLS 1.3 server says under protection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncryptedExtensions {
    /// The application protocol.
    pub alpn: Option<Vec<u8>>,
    /// Are early data accepted?
    pub early_data: bool,
}

/// A handshake message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// `ClientHello`.
    ClientHello(ClientHello),
    /// `ServerHello`.
    ServerHello(ServerHello),
    /// `EncryptedExtensions`.
    EncryptedExtensions(EncryptedExtensions),
    /// Any other.
    Other(HandshakeType),
}

/// Puts the handshake messages of one direction together from its records.
///
/// ```text
/// | type   | length  | body ...      a body that is not read is passed over: skip counts what is left of it
/// | 1 byte | 3 bytes |
/// ```
#[derive(Clone, Debug, Default)]
pub struct Messages {
    buffer: Vec<u8>,
    skip: usize,
}

impl Messages {
    /// Memory for bytes that wait for more, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Stands inside a message.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        !self.buffer.is_empty() || self.skip > 0
    }

    /// After a hole: the next record is taken to begin a message.
    pub fn reset(&mut self) {
        *self = Messages::default();
    }

    /// Takes the content of a record up to the end of a message; a hello of more than `longest` bytes is passed over.
    /// What is left of `content` is the next message's.
    pub fn next(&mut self, content: &mut &[u8], longest: usize) -> Option<Message> {
        let skipped = self.skip.min(content.len());
        self.skip -= skipped;
        *content = content.get(skipped..).unwrap_or_default();
        self.take(content, HEADER_LEN);
        let [kind, l0, l1, l2] = *self.buffer.first_chunk::<HEADER_LEN>()?;
        let kind = HandshakeType(kind);
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap_or(usize::MAX);
        if !kind.is_read() || length > longest {
            self.buffer.clear();
            let here = length.min(content.len());
            *content = content.get(here..).unwrap_or_default();
            self.skip = length - here;
            return Some(Message::Other(kind));
        }
        self.take(content, HEADER_LEN + length);
        if self.buffer.len() < HEADER_LEN + length {
            return None;
        }
        let message = std::mem::take(&mut self.buffer);
        Some(message_of(kind, message.get(HEADER_LEN..).unwrap_or_default()))
    }

    fn take(&mut self, content: &mut &[u8], until: usize) {
        let taken = until.saturating_sub(self.buffer.len()).min(content.len());
        let (now, later) = content.split_at_checked(taken).unwrap_or_default();
        self.buffer.extend_from_slice(now);
        *content = later;
    }
}

/// Reads a whole message; one that is malformed is one of which nothing is known.
fn message_of(kind: HandshakeType, body: &[u8]) -> Message {
    let read = match kind {
        HandshakeType::CLIENT_HELLO => client_hello(body).map(|(_, hello)| Message::ClientHello(hello)),
        HandshakeType::SERVER_HELLO => server_hello(body).map(|(_, hello)| Message::ServerHello(hello)),
        _ => encrypted_extensions(body).map(|(_, found)| Message::EncryptedExtensions(found)),
    };
    read.unwrap_or(Message::Other(kind))
}

fn random(input: &[u8]) -> IResult<&[u8], [u8; 32]> {
    let (input, bytes) = take(32_usize)(input)?;
    Ok((input, bytes.first_chunk().copied().unwrap_or_default()))
}

/// ```text
/// | version | random | session id | suites | compressions | extensions |
/// | 2       | 32     | 1 + n      | 2 + n  | 1 + n        | 2 + n      |
/// ```
fn client_hello(input: &[u8]) -> IResult<&[u8], ClientHello> {
    let (input, _) = be_u16(input)?;
    let (input, random) = random(input)?;
    let (input, _) = length_data(be_u8).parse(input)?;
    let (input, _) = length_data(be_u16).parse(input)?;
    let (input, _) = length_data(be_u8).parse(input)?;
    let mut hello =
        ClientHello { random: ClientRandom(random), server_name: None, alpn: Vec::new(), early_data: false };
    let input = extensions(input, |kind, value| match kind {
        ExtensionType::SERVER_NAME => hello.server_name = server_name(value),
        ExtensionType::ALPN => hello.alpn = protocol_names(value),
        ExtensionType::EARLY_DATA => hello.early_data = true,
        _ => {}
    });
    Ok((input, hello))
}

/// ```text
/// | version | random | session id | suite | compression | extensions |
/// | 2       | 32     | 1 + n      | 2     | 1           | 2 + n      |
/// ```
fn server_hello(input: &[u8]) -> IResult<&[u8], ServerHello> {
    let (input, version) = be_u16(input)?;
    let (input, random) = random(input)?;
    let (input, _) = length_data(be_u8).parse(input)?;
    let (input, suite) = be_u16(input)?;
    let (input, compression) = be_u8(input)?;
    let mut hello = ServerHello {
        random,
        version: ProtocolVersion(version),
        suite: CipherSuite(suite),
        compression,
        alpn: None,
        encrypt_then_mac: false,
    };
    let input = extensions(input, |kind, value| match kind {
        ExtensionType::SUPPORTED_VERSIONS => {
            if let Some(version) = value.first_chunk() {
                hello.version = ProtocolVersion(u16::from_be_bytes(*version));
            }
        }
        ExtensionType::ALPN => hello.alpn = protocol_names(value).into_iter().next(),
        ExtensionType::ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
        _ => {}
    });
    Ok((input, hello))
}

fn encrypted_extensions(input: &[u8]) -> IResult<&[u8], EncryptedExtensions> {
    let mut found = EncryptedExtensions::default();
    let input = extensions(input, |kind, value| match kind {
        ExtensionType::ALPN => found.alpn = protocol_names(value).into_iter().next(),
        ExtensionType::EARLY_DATA => found.early_data = true,
        _ => {}
    });
    Ok((input, found))
}

/// A list of extensions, which may be absent up to TLS 1.2; what is damaged ends it.
fn extensions(input: &[u8], mut note: impl FnMut(ExtensionType, &[u8])) -> &[u8] {
    let Ok((after, mut list)) = list(input) else { return input };
    while let Ok((rest, (kind, value))) =
        (be_u16, length_data(be_u16)).parse(list) as IResult<&[u8], (u16, &[u8])>
    {
        note(ExtensionType(kind), value);
        list = rest;
    }
    after
}

/// Bytes behind their length of two bytes.
fn list(input: &[u8]) -> IResult<&[u8], &[u8]> {
    length_data(be_u16).parse(input)
}

/// The first host name of a server name list (RFC 6066 §3).
fn server_name(value: &[u8]) -> Option<Vec<u8>> {
    let (_, names) = list(value).ok()?;
    let (names, _host_name) = (be_u8::<_, nom::error::Error<&[u8]>>).parse(names).ok()?;
    let (_, name) = list(names).ok()?;
    Some(name.to_vec())
}

/// A list of protocol names (RFC 7301 §3.1).
fn protocol_names(value: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let Ok((_, mut left)) = list(value) else { return names };
    while let Ok((rest, name)) = length_data(be_u8).parse(left) as IResult<&[u8], &[u8]> {
        names.push(name.to_vec());
        left = rest;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_hello_bytes() -> Vec<u8> {
        let extensions: Vec<u8> = [
            &[0, 0, 0, 9][..], // server_name
            &[0, 7, 0, 0, 4],  // one name of 4 bytes
            b"h.io",
            &[0, 16, 0, 14], // ALPN
            &[0, 12, 8],
            b"http/1.1",
            &[2],
            b"h2",
            &[0, 42, 0, 0], // early_data
        ]
        .concat();
        let body = [
            &[3, 3][..],
            &[7; 32],            // random
            &[0],                // no session id
            &[0, 2, 0x13, 0x01], // one suite
            &[1, 0],             // no compression
            &u16::try_from(extensions.len()).unwrap().to_be_bytes(),
            &extensions,
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    fn server_hello_bytes(random: &[u8; 32], extensions: &[u8]) -> Vec<u8> {
        let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
        let body = [&[3, 3][..], random, &[0], &[0x13, 0x02], &[0], &length, extensions].concat();
        [&[2, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat()
    }

    fn read(bytes: &[u8]) -> Vec<Message> {
        let (mut messages, mut content, mut found) = (Messages::default(), bytes, Vec::new());
        while let Some(message) = messages.next(&mut content, 1_000) {
            found.push(message);
        }
        found
    }

    #[test]
    fn a_client_hello_tells_its_random_name_and_protocols() {
        let [Message::ClientHello(hello)] = &read(&client_hello_bytes())[..] else { panic!("no hello") };
        assert_eq!(hello.random, ClientRandom([7; 32]));
        assert_eq!(hello.server_name.as_deref(), Some(&b"h.io"[..]));
        assert_eq!(hello.alpn, [b"http/1.1".to_vec(), b"h2".to_vec()]);
        assert!(hello.early_data);
    }

    #[test]
    fn the_version_of_tls_1_3_is_the_extension_s() {
        let old = read(&server_hello_bytes(&[9; 32], &[0, 22, 0, 0]));
        let [Message::ServerHello(old)] = &old[..] else { panic!("no hello") };
        assert_eq!((old.version, old.encrypt_then_mac), (ProtocolVersion::TLS_1_2, true));
        let new = read(&server_hello_bytes(&HELLO_RETRY_REQUEST, &[0, 43, 0, 2, 3, 4]));
        let [Message::ServerHello(new)] = &new[..] else { panic!("no hello") };
        assert_eq!((new.version, new.suite), (ProtocolVersion::TLS_1_3, CipherSuite(0x1302)));
        assert!(new.is_retry_request() && !old.is_retry_request());
    }

    #[test]
    fn messages_cut_anywhere_are_put_together_and_long_ones_passed_over() {
        let certificate = [&[11, 0, 8, 0][..], &[0; 2_048]].concat();
        let stream = [client_hello_bytes(), certificate, vec![20, 0, 0, 1, 0]].concat();
        for cut in 0..stream.len() {
            let (mut messages, mut found) = (Messages::default(), Vec::new());
            for mut part in [&stream[..cut], &stream[cut..]] {
                while let Some(message) = messages.next(&mut part, 1_000) {
                    found.push(message);
                }
                assert!(part.is_empty());
            }
            assert!(matches!(
                found[..],
                [
                    Message::ClientHello(_),
                    Message::Other(HandshakeType(11)),
                    Message::Other(HandshakeType::FINISHED)
                ]
            ));
            assert!(!messages.is_inside(), "cut at {cut}");
        }
    }

    #[test]
    fn a_hello_cut_in_its_middle_or_beyond_the_limit_is_one_of_which_nothing_is_known() {
        let whole = client_hello_bytes();
        let short = [&[1, 0, 0, 20][..], &whole[4..24]].concat();
        assert_eq!(read(&short), [Message::Other(HandshakeType::CLIENT_HELLO)]);
        let (mut messages, mut content) = (Messages::default(), &whole[..]);
        let found = messages.next(&mut content, 10);
        assert_eq!(found, Some(Message::Other(HandshakeType::CLIENT_HELLO)));
        assert!(content.is_empty() && !messages.is_inside());
    }
}
