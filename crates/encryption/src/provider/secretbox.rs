//! NaCl's secretbox (XSalsa20 and Poly1305): a random nonce of 24 bytes, then the tag and the ciphertext. What is
//! inside is authenticated, the place where it lies is not.

use std::fmt;

use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};

use crate::error::ValueError;

const NONCE: usize = 24;

/// A key of 32 bytes. It is wiped when dropped.
pub(super) struct Secretbox(XSalsa20Poly1305);

impl Secretbox {
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        XSalsa20Poly1305::new_from_slice(key).ok().map(Self)
    }

    /// Appends the sealed value to `out`.
    pub(super) fn seal(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        let mut nonce = [0; NONCE];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| ValueError::Cipher)?;
        let mut sealed = self.0.encrypt(Nonce::from_slice(&nonce), value).map_err(|_| ValueError::Cipher)?;
        out.reserve(NONCE + sealed.len());
        out.extend_from_slice(&nonce);
        out.append(&mut sealed);
        Ok(())
    }

    /// The value that was sealed.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, ValueError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(ValueError::TooShort)?;
        self.0.decrypt(Nonce::from_slice(nonce), rest).map_err(|_| ValueError::Authentication)
    }
}

impl fmt::Debug for Secretbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secretbox")
    }
}
