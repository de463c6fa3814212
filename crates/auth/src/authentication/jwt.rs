//! Signed tokens in their compact form (RFC 7515, 7519), and the keys that sign and verify them.
//!
//! A key decides which algorithms may be used with it; the header of a token only chooses among those. So a token that
//! says `none`, or is signed with a public key as if that were a secret, fits no key.

mod algorithm;
mod jwk;
mod public_key;
mod signing_key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use algorithm::Algorithm;
pub use jwk::{Jwk, JwkSet};
pub use public_key::PublicKey;
pub use signing_key::SigningKey;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no key in the text.
    #[error("there is no key in it")]
    None,
    /// The text is broken.
    #[error("it is not valid: {0}")]
    Malformed(String),
    /// The key is of a sort that tokens are not signed with.
    #[error("tokens are signed with RSA keys of at least 2048 bits, or ECDSA keys on P-256, P-384 or P-521")]
    Unsupported,
}

/// By how much the clocks of two machines may differ.
pub const LEEWAY_SECONDS: i64 = 60;

/// A token that was taken apart; nothing in it was verified.
#[derive(Debug)]
pub struct Compact<'a> {
    /// The algorithm that its header names.
    pub algorithm: Algorithm,
    /// The key that its header names; may be empty.
    pub key_id: String,
    payload: Vec<u8>,
    signed: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions that a reader must understand; there are none that this one does.
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. `None` for what is no token, and for one of an algorithm that no key here has.
    pub fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.').filter(|(_, payload)| !payload.contains('.'))?;
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        if header.crit.is_some() {
            return None;
        }
        Some(Self {
            algorithm: Algorithm::parse(&header.alg)?,
            key_id: header.kid,
            payload: decode(payload)?,
            signed,
            signature: decode(signature)?,
        })
    }

    /// Whether `key` has signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify(self.algorithm, self.signed.as_bytes(), &self.signature)
    }

    /// What it claims.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }

    /// Who it says has issued it; empty when it does not say.
    pub fn issuer(&self) -> String {
        #[derive(Deserialize)]
        struct Issuer {
            #[serde(default)]
            iss: String,
        }
        self.claims::<Issuer>().map(|c| c.iss).unwrap_or_default()
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The audiences of a token: one, or a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Audiences(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Audiences {
    fn from(list: OneOrMany) -> Self {
        Self(match list {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        })
    }
}

/// Seconds since 1970; a fraction is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(from = "f64")]
pub struct NumericDate(pub i64);

impl From<f64> for NumericDate {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the conversion saturates, and no time is that far away"
    )]
    fn from(seconds: f64) -> Self {
        Self(seconds as i64)
    }
}

#[cfg(test)]
mod tests;
