//! From the secrets of a key log to the keys of records (RFC 8446 §7, RFC 5246 §5 and §6.3).

use super::keylog::Secret;
use super::record::ProtocolVersion;
use super::suite::{CipherSuite, Hash, RecordCipher};
use crate::side::{PerSide, Side};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384};
use zeroize::{Zeroize as _, Zeroizing};

/// Longest output of a hash used here, in bytes.
const HASH_MAX: usize = 48;

/// The keys of one direction.
#[derive(Clone, Debug)]
pub struct TrafficKeys {
    /// Of the HMAC; empty for an AEAD.
    pub mac: Secret,
    /// Of the cipher.
    pub key: Secret,
    /// The part of each nonce that does not travel: 4 or 12 bytes; the first IV of CBC in TLS 1.0.
    pub iv: Secret,
}

/// HMAC of `parts`, one behind the other.
#[must_use]
pub fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    match hash {
        Hash::Sha1 => hmac_sha1(key, parts),
        Hash::Sha256 => hmac_sha256(key, parts),
        Hash::Sha384 => hmac_sha384(key, parts),
    }
}

macro_rules! hmac_with {
    ($($name:ident = $hash:ty,)+) => {$(
        fn $name(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
            // An HMAC takes keys of every length.
            let Ok(mut mac) = Hmac::<$hash>::new_from_slice(key) else { return Zeroizing::default() };
            for part in parts {
                mac.update(part);
            }
            Zeroizing::new(mac.finalize().into_bytes().to_vec())
        }
    )+};
}

hmac_with! { hmac_md5 = Md5, hmac_sha1 = Sha1, hmac_sha256 = Sha256, hmac_sha384 = Sha384, }

/// HKDF-Expand-Label with an empty context (RFC 8446 §7.1).
///
/// ```text
/// info  | length | len | "tls13 " label | 0 |
/// ```
fn expand_label(hash: Hash, secret: &Secret, label: &str, length: usize) -> Option<Secret> {
    let full = ["tls13 ", label].concat();
    let mut info = Vec::with_capacity(4 + full.len());
    info.extend_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    info.push(u8::try_from(full.len()).ok()?);
    info.extend_from_slice(full.as_bytes());
    info.push(0);
    let mut out = vec![0; length];
    let done = match hash {
        Hash::Sha256 => Hkdf::<Sha256>::from_prk(secret.bytes()).ok()?.expand(&info, &mut out),
        Hash::Sha384 => Hkdf::<Sha384>::from_prk(secret.bytes()).ok()?.expand(&info, &mut out),
        Hash::Sha1 => return None,
    };
    done.is_ok().then(|| Secret::new(out))
}

/// The keys of records protected under a TLS 1.3 traffic secret (RFC 8446 §7.3). `None`: the secret is not of this suite.
#[must_use]
pub fn traffic_keys(suite: CipherSuite, secret: &Secret) -> Option<TrafficKeys> {
    let hash = suite.key_derivation_hash();
    let cipher = suite.record_cipher()?;
    if secret.bytes().len() != hash.output_len() {
        return None;
    }
    Some(TrafficKeys {
        mac: Secret::new(Vec::new()),
        key: expand_label(hash, secret, "key", cipher.key_len())?,
        iv: expand_label(hash, secret, "iv", 12)?,
    })
}

/// The traffic secret behind a key update (RFC 8446 §7.2).
#[must_use]
pub fn updated(suite: CipherSuite, secret: &Secret) -> Option<Secret> {
    let hash = suite.key_derivation_hash();
    expand_label(hash, secret, "traffic upd", hash.output_len())
}

/// What the key block of TLS 1.2 and before depends on.
#[derive(Clone, Copy, Debug)]
pub struct Handshake<'a> {
    /// The version agreed on.
    pub version: ProtocolVersion,
    /// The suite agreed on.
    pub suite: CipherSuite,
    /// The client's random.
    pub client_random: &'a [u8; 32],
    /// The server's random.
    pub server_random: &'a [u8; 32],
}

/// The keys of both directions under a master secret (RFC 5246 §6.3).
///
/// ```text
/// key block  | client MAC | server MAC | client key | server key | client IV | server IV |
/// ```
#[must_use]
pub fn key_block(handshake: Handshake<'_>, master: &Secret) -> Option<PerSide<TrafficKeys>> {
    let cipher = handshake.suite.record_cipher()?;
    let (mac_len, iv_len) = match cipher {
        RecordCipher::AesGcm { .. } | RecordCipher::AesCcm { .. } | RecordCipher::AesCcm8 { .. } => (0, 4),
        RecordCipher::ChaCha20Poly1305 => (0, 12),
        RecordCipher::AesCbc { mac, .. } if handshake.version <= ProtocolVersion::TLS_1_0 => {
            (mac.output_len(), 16)
        }
        RecordCipher::AesCbc { mac, .. } => (mac.output_len(), 0),
    };
    let lengths = [mac_len, cipher.key_len(), iv_len];
    let total = 2 * lengths.iter().sum::<usize>();
    let seed = [b"key expansion", &handshake.server_random[..], &handshake.client_random[..]];
    let block = if handshake.version >= ProtocolVersion::TLS_1_2 {
        let hash = handshake.suite.key_derivation_hash();
        p_hash(|key, parts| hmac(hash, key, parts), master.bytes(), &seed, total)
    } else {
        prf_of_tls_1_0(master.bytes(), &seed, total)
    };
    let mut rest = block.as_slice();
    let mut take = |length: usize| {
        let (part, after) = rest.split_at_checked(length).unwrap_or_default();
        rest = after;
        Secret::new(part.to_vec())
    };
    let [mac, key, iv] = lengths.map(|length| PerSide { client: take(length), server: take(length) });
    let (mut macs, mut keys, mut ivs) = (sides(mac), sides(key), sides(iv));
    Some(PerSide::from_fn(|side| TrafficKeys { mac: macs(side), key: keys(side), iv: ivs(side) }))
}

fn sides(both: PerSide<Secret>) -> impl FnMut(Side) -> Secret {
    move |side| both[side].clone()
}

/// P_hash (RFC 5246 §5).
fn p_hash(
    hmac: impl Fn(&[u8], &[&[u8]]) -> Zeroizing<Vec<u8>>,
    secret: &[u8],
    seed: &[&[u8]],
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(length + HASH_MAX));
    let mut a = hmac(secret, seed);
    while out.len() < length && !a.is_empty() {
        let parts: Vec<&[u8]> = std::iter::once(a.as_slice()).chain(seed.iter().copied()).collect();
        out.extend_from_slice(&hmac(secret, &parts));
        a = hmac(secret, &[&a]);
    }
    out.truncate(length);
    out
}

/// The PRF of TLS 1.0 and 1.1: MD5 over the first half of the secret, SHA-1 over the second (RFC 2246 §5).
fn prf_of_tls_1_0(secret: &[u8], seed: &[&[u8]], length: usize) -> Zeroizing<Vec<u8>> {
    let half = secret.len().div_ceil(2);
    let (first, second) = (secret.get(..half), secret.get(secret.len() - half..));
    let mut out = p_hash(hmac_md5, first.unwrap_or_default(), seed, length);
    let mut other = p_hash(hmac_sha1, second.unwrap_or_default(), seed, length);
    for (one, other) in out.iter_mut().zip(other.iter()) {
        *one ^= *other;
    }
    other.zeroize();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::hex;

    #[test]
    fn the_keys_of_rfc_8448_follow_from_its_traffic_secrets() {
        // RFC 8448 §3, "{server} derive write traffic keys for application data".
        let secret = Secret::new(hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"));
        let keys = traffic_keys(CipherSuite(0x1301), &secret).unwrap();
        assert_eq!(keys.key.bytes(), hex("9f02283b6c9c07efc26bb9f2ac92e356"));
        assert_eq!(keys.iv.bytes(), hex("cf782b88dd83549aadf1e984"));
    }

    #[test]
    fn a_secret_of_another_suite_s_length_gives_no_keys() {
        assert!(traffic_keys(CipherSuite(0x1302), &Secret::new(vec![0; 32])).is_none());
    }

    #[test]
    fn p_sha256_gives_its_published_vector() {
        // Published on the IETF's TLS mailing list as the test vector of the PRF with SHA-256.
        let secret = hex("9bbe436ba940f017b17652849a71db35");
        let (label, seed) = (b"test label", hex("a0ba9f936cda311827a6f796ffd5198c"));
        let out = p_hash(hmac_sha256, &secret, &[label, &seed], 100);
        let expected = "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a\
            6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab\
            4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
            87347b66";
        assert_eq!(out.as_slice(), hex(&expected.replace(' ', "")));
    }
}
