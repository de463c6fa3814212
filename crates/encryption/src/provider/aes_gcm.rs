//! AES-GCM: a random nonce of 12 bytes, then the ciphertext with its tag. The key of the object is authenticated.

use std::fmt;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::error::ValueError;

/// An AES key in this mode.
pub(crate) struct AesGcm(LessSafeKey);

impl AesGcm {
    /// Of 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        let algorithm = match key.len() {
            16 => &aead::AES_128_GCM,
            24 => &aead::AES_192_GCM,
            32 => &aead::AES_256_GCM,
            _ => return None,
        };
        UnboundKey::new(algorithm, key).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// Appends the sealed value to `out`.
    pub(crate) fn seal(&self, key: &str, value: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| ValueError::Cipher)?;
        out.reserve(NONCE_LEN + value.len() + aead::MAX_TAG_LEN);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(value);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(key.as_bytes()), &mut out[start..])
            .map_err(|_| ValueError::Cipher)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// The value that was sealed for this key.
    pub(crate) fn open(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, ValueError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(ValueError::TooShort)?;
        let mut value = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .0
            .open_in_place(nonce, Aad::from(key.as_bytes()), &mut value)
            .map_err(|_| ValueError::Authentication)?
            .len();
        value.truncate(length);
        Ok(value)
    }
}

impl fmt::Debug for AesGcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesGcm")
    }
}
