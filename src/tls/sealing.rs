//! What an endpoint does to its records, for tests and fuzz targets: the counterpart of `decrypt`, AEADs only.

#![expect(clippy::expect_used, reason = "of tests and fuzz targets")]

use super::key_schedule::TrafficKeys;
use super::keylog::Secret;
use super::record::{ContentType, ProtocolVersion, RecordHeader};
use super::suite::{CipherSuite, RecordCipher};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::{U8, U12, U16};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use cbc::cipher::KeyInit;
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;

/// Protects the records of one direction under one set of keys, in order.
#[derive(Debug)]
pub struct Sealer {
    cipher: RecordCipher,
    key: Secret,
    iv: Secret,
    version: ProtocolVersion,
    sequence: u64,
}

/// A record in the clear.
#[must_use]
pub fn plain(content_type: ContentType, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a record's length");
    let header = RecordHeader { content_type, version: ProtocolVersion::TLS_1_2, length };
    [&header.bytes()[..], content].concat()
}

impl Sealer {
    /// `suite`: one with an AEAD.
    #[must_use]
    pub fn new(suite: CipherSuite, version: ProtocolVersion, keys: &TrafficKeys) -> Sealer {
        let cipher = suite.record_cipher().expect("a suite that is decrypted");
        Sealer { cipher, key: keys.key.clone(), iv: keys.iv.clone(), version, sequence: 0 }
    }

    /// A record with this content; `padding`: zeros behind it, in TLS 1.3.
    #[must_use]
    pub fn seal(&mut self, content_type: ContentType, content: &[u8], padding: usize) -> Vec<u8> {
        let is_tls13 = self.version >= ProtocolVersion::TLS_1_3;
        let explicit = !is_tls13 && !matches!(self.cipher, RecordCipher::ChaCha20Poly1305);
        let mut text = content.to_vec();
        let mut outer = content_type;
        if is_tls13 {
            text.push(content_type.0);
            text.resize(text.len() + padding, 0);
            outer = ContentType::APPLICATION_DATA;
        }
        let travels = if explicit { self.sequence.to_be_bytes().to_vec() } else { Vec::new() };
        let tag = if matches!(self.cipher, RecordCipher::AesCcm8 { .. }) { 8 } else { 16 };
        let header = |length: usize| {
            let length = u16::try_from(length).expect("a record's length");
            RecordHeader { content_type: outer, version: ProtocolVersion::TLS_1_2, length }.bytes()
        };
        let whole = header(travels.len() + text.len() + tag);
        let associated = if is_tls13 {
            whole.to_vec()
        } else {
            [&self.sequence.to_be_bytes()[..], &header(text.len())].concat()
        };
        let nonce = self.nonce(explicit);
        let tag = self.encrypt(&nonce, &associated, &mut text);
        self.sequence += 1;
        [&whole[..], &travels, &text, &tag].concat()
    }

    fn nonce(&self, explicit: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        let iv = self.iv.bytes();
        for (to, from) in nonce.iter_mut().zip(iv) {
            *to = *from;
        }
        for (byte, sequence) in nonce.iter_mut().skip(4).zip(self.sequence.to_be_bytes()) {
            *byte = if explicit { sequence } else { *byte ^ sequence };
        }
        nonce
    }

    fn encrypt(&self, nonce: &[u8; 12], associated: &[u8], text: &mut [u8]) -> Vec<u8> {
        let key = self.key.bytes();
        match self.cipher {
            RecordCipher::AesGcm { key: 16 } => encrypt::<Aes128Gcm>(key, nonce, associated, text),
            RecordCipher::AesGcm { .. } => encrypt::<Aes256Gcm>(key, nonce, associated, text),
            RecordCipher::AesCcm { key: 16 } => {
                encrypt::<Ccm<Aes128, U16, U12>>(key, nonce, associated, text)
            }
            RecordCipher::AesCcm { .. } => encrypt::<Ccm<Aes256, U16, U12>>(key, nonce, associated, text),
            RecordCipher::AesCcm8 { key: 16 } => {
                encrypt::<Ccm<Aes128, U8, U12>>(key, nonce, associated, text)
            }
            RecordCipher::AesCcm8 { .. } => encrypt::<Ccm<Aes256, U8, U12>>(key, nonce, associated, text),
            RecordCipher::ChaCha20Poly1305 => encrypt::<ChaCha20Poly1305>(key, nonce, associated, text),
            RecordCipher::AesCbc { .. } => Vec::new(),
        }
    }
}

/// Encrypts in place; gives the tag.
fn encrypt<A: AeadInOut<NonceSize = U12> + KeyInit>(
    key: &[u8],
    nonce: &[u8; 12],
    associated: &[u8],
    text: &mut [u8],
) -> Vec<u8> {
    let aead = A::new_from_slice(key).expect("a key of the suite's length");
    aead.encrypt_inout_detached(nonce.into(), associated, text.into()).expect("a short text").to_vec()
}
