//! AES-CBC with PKCS #7 padding: a random block, then the ciphertext.
//!
//! Nothing is authenticated: whoever can write to the disk can change values, and only what spoils the padding is
//! found. It is here since clusters have it; upstream advises against it as well.

use std::fmt;

use aws_lc_rs::cipher::{
    self, AES_128, AES_192, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use crate::error::ValueError;

const BLOCK: usize = 16;

/// An AES key in this mode.
pub(super) struct AesCbc {
    encrypting: PaddedBlockEncryptingKey,
    decrypting: PaddedBlockDecryptingKey,
}

impl AesCbc {
    /// Of 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let algorithm: &'static cipher::Algorithm = match key.len() {
            16 => &AES_128,
            24 => &AES_192,
            32 => &AES_256,
            _ => return None,
        };
        let unbound = || UnboundCipherKey::new(algorithm, key).ok();
        Some(Self {
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(unbound()?).ok()?,
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(unbound()?).ok()?,
        })
    }

    /// Appends the sealed value to `out`.
    pub(super) fn seal(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        let mut iv = [0; BLOCK];
        aws_lc_rs::rand::fill(&mut iv).map_err(|_| ValueError::Cipher)?;
        let mut sealed = Vec::with_capacity(value.len() + BLOCK);
        sealed.extend_from_slice(value);
        self.encrypting
            .less_safe_encrypt(&mut sealed, EncryptionContext::Iv128(FixedLength::from(&iv)))
            .map_err(|_| ValueError::Cipher)?;
        out.reserve(BLOCK + sealed.len());
        out.extend_from_slice(&iv);
        out.append(&mut sealed);
        Ok(())
    }

    /// The value that was sealed.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, ValueError> {
        let (iv, rest) = sealed.split_first_chunk::<BLOCK>().ok_or(ValueError::TooShort)?;
        if !rest.len().is_multiple_of(BLOCK) {
            return Err(ValueError::BlockSize);
        }
        let mut value = rest.to_vec();
        let length = self
            .decrypting
            .decrypt(&mut value, DecryptionContext::Iv128(FixedLength::from(iv)))
            .map_err(|_| ValueError::Padding)?
            .len();
        value.truncate(length);
        Ok(value)
    }
}

impl fmt::Debug for AesCbc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCbc")
    }
}
