//! [`SecretBox`]: encrypts single fields at the door, before a record exists, so that no plain secret is in
//! the log, the state, a snapshot or the history.
//!
//! XChaCha20-Poly1305 with a random 24-byte nonce for each field. Text: `1:<key id>:<base64 of nonce and
//! ciphertext>`; the key id is bound to the ciphertext, so a text cannot be passed off as another key's.

use crate::error::{Error, file};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Encrypts and reads secrets with one key.
pub struct SecretBox {
    cipher: XChaCha20Poly1305,
    key_id: String,
}

impl SecretBox {
    /// The key in a file: 32 bytes as base64. A file that is not there is made, readable for its owner alone.
    pub fn open(path: &Path) -> Result<Self, Error> {
        match fs::read_to_string(path) {
            Ok(text) => Self::from_base64(text.trim()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                random(&mut key)?;
                // Beside and renamed: half a key would stop every later start.
                let beside = path.with_extension("writing");
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                let mut out = options.open(&beside).map_err(file(&beside))?;
                writeln!(out, "{}", STANDARD.encode(key))
                    .and_then(|()| out.sync_all())
                    .and_then(|()| fs::rename(&beside, path))
                    .map_err(file(path))?;
                Ok(Self::new(&key))
            }
            Err(error) => Err(file(path)(error)),
        }
    }

    /// The key as base64, as an environment variable holds it.
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::Secret { reason };
        let bytes = STANDARD.decode(text).map_err(|error| bad(format!("the key is not base64: {error}")))?;
        let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|given: Vec<u8>| {
            bad(format!("the key has {} bytes, {KEY_BYTES} are needed", given.len()))
        })?;
        Ok(Self::new(&key))
    }

    fn new(key: &[u8; KEY_BYTES]) -> Self {
        // The id tells keys apart without telling anything about them.
        let key_id = format!("{:08x}", crc32c::crc32c(&[b"pavlov key id".as_slice(), key].concat()));
        Self { cipher: XChaCha20Poly1305::new(key.into()), key_id }
    }

    /// Encrypts one field.
    pub fn encrypt(&self, plain: &str) -> Result<String, Error> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let payload = Payload { msg: plain.as_bytes(), aad: self.key_id.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| Error::Secret { reason: "a field could not be encrypted".into() })?;
        Ok(format!("1:{}:{}", self.key_id, STANDARD.encode([nonce.as_slice(), &sealed].concat())))
    }

    /// Reads one field; `None` when it was encrypted with another key or changed.
    pub fn decrypt(&self, text: &str) -> Option<String> {
        let (key_id, sealed) = text.strip_prefix("1:")?.split_once(':')?;
        if key_id != self.key_id {
            return None;
        }
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: sealed, aad: key_id.as_bytes() };
        String::from_utf8(self.cipher.decrypt(XNonce::from_slice(nonce), payload).ok()?).ok()
    }
}

impl std::fmt::Debug for SecretBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretBox").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

fn random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Secret { reason: format!("no random bytes: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_back_with_the_same_key_only_and_never_twice_alike() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = dir.path().join("key");
        let first = SecretBox::open(&key).expect("made");
        let sealed = first.encrypt("s3cret").expect("sealed");
        assert_ne!(sealed, first.encrypt("s3cret").expect("sealed"));
        assert_eq!(SecretBox::open(&key).expect("read").decrypt(&sealed).as_deref(), Some("s3cret"));
        let other = SecretBox::open(&dir.path().join("other")).expect("made");
        assert_eq!(other.decrypt(&sealed), None);
        assert_eq!(first.decrypt(&format!("{}AAAA", &sealed[..sealed.len() - 4])), None);
    }

    #[test]
    fn a_key_of_the_wrong_size_is_refused() {
        assert!(SecretBox::from_base64("AAAA").is_err() && SecretBox::from_base64("?").is_err());
    }
}
