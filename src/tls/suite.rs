//! Cipher suites (RFC 8446 §B.4, RFC 5246 §A.5).

use super::suite_table::NAMES;
use std::borrow::Cow;
use std::fmt;

/// A cipher suite's number, as the hellos carry it. Unknown ones survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CipherSuite(pub u16);

/// How a suite protects records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordCipher {
    /// AES-GCM (RFC 5288).
    AesGcm {
        /// Key length, in bytes.
        key: usize,
    },
    /// AES-CCM with a tag of 16 bytes (RFC 6655).
    AesCcm {
        /// Key length, in bytes.
        key: usize,
    },
    /// AES-CCM with a tag of 8 bytes (RFC 6655).
    AesCcm8 {
        /// Key length, in bytes.
        key: usize,
    },
    /// ChaCha20-Poly1305 (RFC 7905).
    ChaCha20Poly1305,
    /// AES-CBC with an HMAC (RFC 5246 §6.2.3.2).
    AesCbc {
        /// Key length, in bytes.
        key: usize,
        /// The HMAC's hash.
        mac: Hash,
    },
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl Hash {
    /// Length of its output, in bytes.
    #[must_use]
    pub const fn output_len(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
        }
    }
}

impl RecordCipher {
    /// Key length, in bytes.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            RecordCipher::AesGcm { key }
            | RecordCipher::AesCcm { key }
            | RecordCipher::AesCcm8 { key }
            | RecordCipher::AesCbc { key, .. } => key,
            RecordCipher::ChaCha20Poly1305 => 32,
        }
    }
}

impl CipherSuite {
    /// Its registered name.
    #[must_use]
    pub fn registered_name(self) -> Option<&'static str> {
        let place = NAMES.binary_search_by_key(&self.0, |(number, _)| *number).ok()?;
        NAMES.get(place).map(|(_, name)| *name)
    }

    /// Its registered name, or its number as `0x1301`.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        self.registered_name().map_or_else(|| format!("0x{:04x}", self.0).into(), Cow::Borrowed)
    }

    /// Is it one of TLS 1.3, whose name leaves the key exchange out?
    #[must_use]
    pub fn is_tls13(self) -> bool {
        self.registered_name().is_some_and(|name| !name.contains("_WITH_"))
    }

    /// How it protects records; `None`: in a way that is not decrypted.
    ///
    /// The registry's names are made of their parts, so they are read instead of said a second time.
    #[must_use]
    pub fn record_cipher(self) -> Option<RecordCipher> {
        let name = self.registered_name()?;
        let parts =
            name.split_once("_WITH_").map(|(_, parts)| parts).or_else(|| name.strip_prefix("TLS_"))?;
        if parts.starts_with("CHACHA20_POLY1305") {
            return Some(RecordCipher::ChaCha20Poly1305);
        }
        let (key, mode) = match parts.strip_prefix("AES_")?.split_once('_')? {
            ("128", mode) => (16, mode),
            ("256", mode) => (32, mode),
            _ => return None,
        };
        match mode {
            "CBC_SHA" => Some(RecordCipher::AesCbc { key, mac: Hash::Sha1 }),
            "CBC_SHA256" => Some(RecordCipher::AesCbc { key, mac: Hash::Sha256 }),
            "CBC_SHA384" => Some(RecordCipher::AesCbc { key, mac: Hash::Sha384 }),
            _ if mode.starts_with("GCM") => Some(RecordCipher::AesGcm { key }),
            _ if mode.starts_with("CCM_8") => Some(RecordCipher::AesCcm8 { key }),
            _ if mode.starts_with("CCM") => Some(RecordCipher::AesCcm { key }),
            _ => None,
        }
    }

    /// The hash of its key derivation: HKDF in TLS 1.3, the PRF in TLS 1.2, where SHA-256 is the rule and only names
    /// that end with SHA384 ask for more (RFC 5246 §5, RFC 5288 §3).
    #[must_use]
    pub fn key_derivation_hash(self) -> Hash {
        match self.registered_name() {
            Some(name) if name.ends_with("SHA384") => Hash::Sha384,
            _ => Hash::Sha256,
        }
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_so_that_it_can_be_searched() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_suite_s_parts_are_those_of_its_name() {
        let of = |number| (CipherSuite(number).record_cipher(), CipherSuite(number).key_derivation_hash());
        assert_eq!(of(0x1301), (Some(RecordCipher::AesGcm { key: 16 }), Hash::Sha256));
        assert_eq!(of(0x1302), (Some(RecordCipher::AesGcm { key: 32 }), Hash::Sha384));
        assert_eq!(of(0x1303), (Some(RecordCipher::ChaCha20Poly1305), Hash::Sha256));
        assert_eq!(of(0x1304), (Some(RecordCipher::AesCcm { key: 16 }), Hash::Sha256));
        assert_eq!(of(0x1305), (Some(RecordCipher::AesCcm8 { key: 16 }), Hash::Sha256));
        assert_eq!(of(0xc030), (Some(RecordCipher::AesGcm { key: 32 }), Hash::Sha384));
        assert_eq!(of(0xcca8), (Some(RecordCipher::ChaCha20Poly1305), Hash::Sha256));
        assert_eq!(of(0xc0a3), (Some(RecordCipher::AesCcm8 { key: 32 }), Hash::Sha256));
        assert_eq!(of(0xc014), (Some(RecordCipher::AesCbc { key: 32, mac: Hash::Sha1 }), Hash::Sha256));
        assert_eq!(of(0xc027), (Some(RecordCipher::AesCbc { key: 16, mac: Hash::Sha256 }), Hash::Sha256));
        assert_eq!(of(0xc028), (Some(RecordCipher::AesCbc { key: 32, mac: Hash::Sha384 }), Hash::Sha384));
    }

    #[test]
    fn what_is_not_decrypted_has_a_name_all_the_same() {
        let rc4 = CipherSuite(0x0005);
        assert_eq!((rc4.record_cipher(), rc4.name().as_ref()), (None, "TLS_RSA_WITH_RC4_128_SHA"));
        assert_eq!(CipherSuite(0xfafa).name(), "0xfafa");
    }

    #[test]
    fn suites_of_tls_1_3_are_told_apart() {
        assert!(CipherSuite(0x1301).is_tls13() && !CipherSuite(0xc02f).is_tls13());
    }
}
