//! Opens protected records (RFC 8446 §5.2, RFC 5246 §6.2.3).

use super::key_schedule::{TrafficKeys, hmac};
use super::keylog::Secret;
use super::record::{ContentType, HEADER_LEN, ProtocolVersion, RecordHeader};
use super::suite::{CipherSuite, Hash, RecordCipher};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::array::Array;
use aes_gcm::aead::array::typenum::Unsigned as _;
use aes_gcm::aead::consts::{U8, U12, U16};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt as _, BlockSizeUser, InnerIvInit as _, KeyInit};
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of an AES block.
const BLOCK: usize = 16;
/// Bytes of a nonce that travel with each record of an AES AEAD in TLS 1.2.
const EXPLICIT_NONCE: usize = 8;

/// The record does not open: its keys, its sequence number or its bytes are not those it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoesNotOpen;

/// What a record held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its true type.
    pub content_type: ContentType,
    /// Where in the fragment the content stands now.
    pub content: Range<usize>,
}

/// Opens the records of one direction under one set of keys, in order.
#[derive(Clone)]
pub struct Opener {
    protection: Protection,
    /// The part of each nonce that does not travel, or the next IV of CBC in TLS 1.0.
    iv: Secret,
    version: ProtocolVersion,
    sequence: u64,
    opened: u64,
}

#[derive(Clone)]
enum Protection {
    Aead(AeadRecords),
    Cbc(CbcRecords),
}

#[derive(Clone)]
struct AeadRecords {
    aead: Arc<dyn Aead + Send + Sync>,
    /// Part of each nonce travels.
    explicit: bool,
    /// Length of the tag.
    tag: usize,
    /// It deciphers before it verifies.
    destroys: bool,
}

#[derive(Clone)]
struct CbcRecords {
    cipher: Arc<dyn Cbc + Send + Sync>,
    mac: Hash,
    mac_key: Secret,
    encrypt_then_mac: bool,
}

impl fmt::Debug for Opener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Opener({}, sequence {})", self.version, self.sequence)
    }
}

/// An AEAD of any kind.
trait Aead {
    /// Opens `data`, which ends with its tag, in place; gives the length of the text.
    fn open(&self, nonce: &[u8; 12], associated: &[u8], data: &mut [u8]) -> Option<usize>;

    /// Deciphers the beginning of a text in place, without its tag.
    fn decipher(&self, nonce: &[u8; 12], data: &mut [u8]) -> Option<()>;
}

impl<A: AeadInOut<NonceSize = U12>> Aead for A {
    fn open(&self, nonce: &[u8; 12], associated: &[u8], data: &mut [u8]) -> Option<usize> {
        let length = data.len().checked_sub(A::TagSize::to_usize())?;
        let (text, tag) = data.split_at_mut_checked(length)?;
        let tag = (&*tag).try_into().ok()?;
        self.decrypt_inout_detached(nonce.into(), associated, text.into(), tag).ok()?;
        Some(length)
    }

    fn decipher(&self, nonce: &[u8; 12], data: &mut [u8]) -> Option<()> {
        // All of these add a key stream: adding it again takes it away.
        self.encrypt_inout_detached(nonce.into(), &[], data.into()).ok().map(drop)
    }
}

/// A block cipher in CBC mode.
trait Cbc {
    /// Decrypts whole blocks in place; `None`: they are not whole.
    fn decrypt(&self, iv: &[u8; BLOCK], data: &mut [u8]) -> Option<()>;
}

impl<C: BlockCipherDecrypt + BlockSizeUser<BlockSize = U16> + Clone> Cbc for C {
    fn decrypt(&self, iv: &[u8; BLOCK], data: &mut [u8]) -> Option<()> {
        let (blocks, []) = Array::<u8, U16>::slice_as_chunks_mut(data) else { return None };
        cbc::Decryptor::inner_iv_init(self.clone(), iv.into()).decrypt_blocks(blocks);
        Some(())
    }
}

fn aead<A: AeadInOut<NonceSize = U12> + KeyInit + Send + Sync + 'static>(
    key: &[u8],
    explicit: bool,
    destroys: bool,
) -> Option<Protection> {
    let aead: Arc<dyn Aead + Send + Sync> = Arc::new(A::new_from_slice(key).ok()?);
    Some(Protection::Aead(AeadRecords { aead, explicit, tag: A::TagSize::to_usize(), destroys }))
}

impl Opener {
    /// `None`: the suite is not decrypted, or the keys are not of its lengths.
    #[must_use]
    pub fn new(
        suite: CipherSuite,
        version: ProtocolVersion,
        keys: &TrafficKeys,
        encrypt_then_mac: bool,
    ) -> Option<Opener> {
        let key = keys.key.bytes();
        let explicit = version < ProtocolVersion::TLS_1_3;
        let protection = match suite.record_cipher()? {
            RecordCipher::AesGcm { key: 16 } => aead::<Aes128Gcm>(key, explicit, false),
            RecordCipher::AesGcm { .. } => aead::<Aes256Gcm>(key, explicit, false),
            RecordCipher::AesCcm { key: 16 } => aead::<Ccm<Aes128, U16, U12>>(key, explicit, true),
            RecordCipher::AesCcm { .. } => aead::<Ccm<Aes256, U16, U12>>(key, explicit, true),
            RecordCipher::AesCcm8 { key: 16 } => aead::<Ccm<Aes128, U8, U12>>(key, explicit, true),
            RecordCipher::AesCcm8 { .. } => aead::<Ccm<Aes256, U8, U12>>(key, explicit, true),
            RecordCipher::ChaCha20Poly1305 => aead::<ChaCha20Poly1305>(key, false, false),
            RecordCipher::AesCbc { key: length, mac } => {
                let cipher: Arc<dyn Cbc + Send + Sync> = match length {
                    16 => Arc::new(Aes128::new_from_slice(key).ok()?),
                    _ => Arc::new(Aes256::new_from_slice(key).ok()?),
                };
                let mac_key = keys.mac.clone();
                Some(Protection::Cbc(CbcRecords { cipher, mac, mac_key, encrypt_then_mac }))
            }
        }?;
        Some(Opener { protection, iv: keys.iv.clone(), version, sequence: 0, opened: 0 })
    }

    /// The sequence number that the next record should have.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Records opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// A record was lost whose place is known.
    pub fn pass_over(&mut self) {
        self.sequence = self.sequence.saturating_add(1);
    }

    /// Can a record behind a hole be opened? In TLS 1.0 a record of CBC takes its IV from the one before.
    #[must_use]
    pub fn survives_holes(&self) -> bool {
        matches!(self.protection, Protection::Aead(_)) || self.version > ProtocolVersion::TLS_1_0
    }

    /// Most bytes of content that a record with a fragment of this length can hold; exactly so many, where the second
    /// value says it: without padding, whose length is protected too.
    #[must_use]
    pub fn content_len(&self, fragment: usize) -> (usize, bool) {
        match &self.protection {
            Protection::Aead(AeadRecords { explicit, tag, .. }) => {
                let nonce = if *explicit { EXPLICIT_NONCE } else { 0 };
                let is_tls13 = self.version >= ProtocolVersion::TLS_1_3;
                (fragment.saturating_sub(nonce + tag + usize::from(is_tls13)), !is_tls13)
            }
            Protection::Cbc(_) => (fragment, false),
        }
    }

    /// Opens the next record in place. Where it does not open, the fragment and the sequence number stay as they are.
    ///
    /// # Errors
    /// It does not open.
    pub fn open(&mut self, header: RecordHeader, fragment: &mut Vec<u8>) -> Result<Opened, DoesNotOpen> {
        self.open_at(self.sequence, header, fragment)
    }

    /// Can a record be deciphered of which only the beginning is there?
    #[must_use]
    pub fn deciphers_parts(&self) -> bool {
        matches!(self.protection, Protection::Aead(_))
    }

    /// Deciphers what there is of the next record, which will never be whole, in place; nothing verifies it. `None`: nothing
    /// of it can be told before it is whole.
    pub fn decipher_part(&self, header: RecordHeader, fragment: &mut [u8]) -> Option<Range<usize>> {
        let Protection::Aead(records) = &self.protection else { return None };
        let (most, _) = self.content_len(usize::from(header.length));
        let nonce = records.nonce(self.iv.bytes(), self.sequence, fragment)?;
        let start = records.start();
        let end = fragment.len().min(start + most);
        records.aead.decipher(&nonce, fragment.get_mut(start..end)?)?;
        Some(start..end)
    }

    /// Opens a record as the one with this sequence number, and goes on from there.
    ///
    /// # Errors
    /// It does not open.
    pub fn open_at(
        &mut self,
        sequence: u64,
        header: RecordHeader,
        fragment: &mut Vec<u8>,
    ) -> Result<Opened, DoesNotOpen> {
        let is_tls13 = self.version >= ProtocolVersion::TLS_1_3;
        let opened = match &self.protection {
            Protection::Aead(records) => {
                records.open(self.iv.bytes(), is_tls13, sequence, header, fragment).and_then(|content| {
                    if is_tls13 {
                        inner_plaintext(fragment, content)
                    } else {
                        Some(Opened { content_type: header.content_type, content })
                    }
                })
            }
            Protection::Cbc(records) => {
                let chained = (self.version <= ProtocolVersion::TLS_1_0).then(|| self.iv.bytes());
                let next_iv = chained.and_then(|_| records.last_block(fragment));
                let content = records.open(chained, sequence, header, fragment);
                if let (Some(_), Some(next_iv)) = (&content, next_iv) {
                    self.iv = Secret::new(next_iv.to_vec());
                }
                content.map(|content| Opened { content_type: header.content_type, content })
            }
        };
        let opened = opened.ok_or(DoesNotOpen)?;
        self.sequence = sequence.saturating_add(1);
        self.opened = self.opened.saturating_add(1);
        Ok(opened)
    }
}

impl AeadRecords {
    /// Where the text begins.
    const fn start(&self) -> usize {
        if self.explicit { EXPLICIT_NONCE } else { 0 }
    }

    fn nonce(&self, iv: &[u8], sequence: u64, fragment: &[u8]) -> Option<[u8; 12]> {
        let mut nonce = [0; 12];
        if self.explicit {
            let travels = fragment.first_chunk::<EXPLICIT_NONCE>()?;
            for (to, from) in nonce.iter_mut().zip(iv.iter().chain(travels)) {
                *to = *from;
            }
        } else {
            nonce = *iv.first_chunk()?;
            for (byte, sequence) in nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()) {
                *byte ^= sequence;
            }
        }
        Some(nonce)
    }

    /// ```text
    /// TLS 1.3            | content | type | zeros | tag |   nonce: IV xor sequence
    /// 1.2, ChaCha20      | content                | tag |   nonce: IV xor sequence
    /// 1.2, AES   | nonce | content                | tag |   nonce: salt, then the bytes that travel
    /// ```
    fn open(
        &self,
        iv: &[u8],
        is_tls13: bool,
        sequence: u64,
        header: RecordHeader,
        fragment: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let nonce = self.nonce(iv, sequence, fragment)?;
        let start = self.start();
        let length = fragment.len().checked_sub(start + self.tag)?;
        let copy = self.destroys.then(|| fragment.clone());
        let data = fragment.get_mut(start..)?;
        let opened = if is_tls13 {
            self.aead.open(&nonce, &header.bytes(), data)
        } else {
            self.aead.open(&nonce, &pseudo_header(sequence, header, length), data)
        };
        if let (None, Some(copy)) = (opened, copy) {
            *fragment = copy;
        }
        opened.map(|length| start..start + length)
    }
}

/// The type behind the content, and the zeros that pad it (RFC 8446 §5.4).
fn inner_plaintext(fragment: &[u8], content: Range<usize>) -> Option<Opened> {
    let inner = fragment.get(content.clone())?;
    let length = inner.iter().rposition(|byte| *byte != 0)?;
    let content_type = ContentType(*inner.get(length)?);
    Some(Opened { content_type, content: content.start..content.start + length })
}

impl CbcRecords {
    /// ```text
    /// MAC, then encrypt    | IV | content | MAC | padding, its length |
    /// encrypt, then MAC    | IV | content | padding, its length | MAC |   (RFC 7366)
    /// ```
    /// `chained`: the IV of TLS 1.0, where none travels.
    fn open(
        &self,
        chained: Option<&[u8]>,
        sequence: u64,
        header: RecordHeader,
        fragment: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let mac_len = self.mac.output_len();
        let encrypted = if self.encrypt_then_mac {
            let (data, mac) = fragment.split_at_checked(fragment.len().checked_sub(mac_len)?)?;
            (self.mac_of(sequence, header, data) == mac).then_some(data)?
        } else {
            fragment.as_slice()
        };
        let (iv, data) = match chained {
            Some(iv) => (*iv.first_chunk::<BLOCK>()?, encrypted),
            None => encrypted.split_first_chunk::<BLOCK>().map(|(iv, data)| (*iv, data))?,
        };
        let mut plain = data.to_vec();
        self.cipher.decrypt(&iv, &mut plain)?;
        let mut length = without_padding(&plain)?;
        if !self.encrypt_then_mac {
            let (content, mac) = plain.get(..length)?.split_at_checked(length.checked_sub(mac_len)?)?;
            (self.mac_of(sequence, header, content) == mac).then_some(())?;
            length = content.len();
        }
        *fragment = plain;
        Some(0..length)
    }

    /// The last block that the cipher made: the next record's IV in TLS 1.0.
    fn last_block(&self, fragment: &[u8]) -> Option<[u8; BLOCK]> {
        let behind = if self.encrypt_then_mac { self.mac.output_len() } else { 0 };
        fragment.get(..fragment.len().checked_sub(behind)?)?.last_chunk().copied()
    }

    fn mac_of(&self, sequence: u64, header: RecordHeader, data: &[u8]) -> Vec<u8> {
        hmac(self.mac, self.mac_key.bytes(), &[&pseudo_header(sequence, header, data.len()), data]).to_vec()
    }
}

/// The length without the padding: n bytes of value n - 1 (RFC 5246 §6.2.3.2).
fn without_padding(plain: &[u8]) -> Option<usize> {
    let padding = usize::from(*plain.last()?) + 1;
    let length = plain.len().checked_sub(padding)?;
    plain.get(length..)?.iter().all(|byte| usize::from(*byte) + 1 == padding).then_some(length)
}

/// What HMACs and AEADs protect besides the content up to TLS 1.2 (RFC 5246 §6.2.3.1).
fn pseudo_header(sequence: u64, header: RecordHeader, length: usize) -> [u8; 8 + HEADER_LEN] {
    let mut bytes = [0; 8 + HEADER_LEN];
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let header = RecordHeader { length, ..header }.bytes();
    for (to, from) in bytes.iter_mut().zip(sequence.to_be_bytes().into_iter().chain(header)) {
        *to = from;
    }
    bytes
}
