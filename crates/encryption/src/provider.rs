//! What can stand in a list of providers.

mod aes_cbc;
mod aes_gcm;
mod secretbox;

use std::num::NonZeroU64;
use std::sync::Arc;

use sampan_store::{Form, Transformed};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::config::{Key, Keys};
use crate::error::ValueError;
use crate::kms::Kms;

pub(crate) use aes_gcm::AesGcm;

/// What all that is encrypted begins with. No JSON does.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// One provider, or one key of it: what the first of a list writes, all of it can read.
#[derive(Debug, Clone)]
pub(crate) enum Provider {
    /// Leaves everything as it is, and refuses to read what is encrypted.
    Identity,
    /// A key from the file.
    Keyed(Arc<Keyed>),
    /// A plugin.
    Kms(Arc<Kms>),
}

/// A key with the prefix of what it has encrypted.
#[derive(Debug)]
pub(crate) struct Keyed {
    family: Family,
    prefix: String,
    form: Form,
    cipher: Cipher,
}

#[derive(Debug)]
enum Cipher {
    AesGcm(AesGcm),
    AesCbc(Box<aes_cbc::AesCbc>),
    Secretbox(secretbox::Secretbox),
}

/// The kinds of keys that can be in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    AesGcm,
    AesCbc,
    Secretbox,
}

impl Family {
    fn prefix(self) -> &'static str {
        match self {
            Family::AesGcm => "k8s:enc:aesgcm:v1:",
            Family::AesCbc => "k8s:enc:aescbc:v1:",
            Family::Secretbox => "k8s:enc:secretbox:v1:",
        }
    }

    /// As upstream's complaint about a missing key calls it.
    fn name(self) -> &'static str {
        match self {
            Family::AesGcm | Family::AesCbc => "AES",
            Family::Secretbox => "Secretbox",
        }
    }
}

/// The form of what lies behind `prefix`, written with what `key` stands for. Its upper half says which provider, its
/// lower half which key of a plugin: both are parts of hashes, and never on a disk.
pub(crate) fn form(prefix: &str, secret: &[u8], key_id: &str) -> Form {
    let word = |parts: &[&[u8]]| {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        u64::from(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]))
    };
    let provider = (word(&[prefix.as_bytes(), secret]) | 1) << 32;
    let key = if key_id.is_empty() { 0 } else { word(&[key_id.as_bytes()]) };
    Form(NonZeroU64::new(provider | key).expect("one bit is always set"))
}

/// Whether two forms are of one provider.
pub(crate) fn same_provider(a: Form, b: Form) -> bool {
    a.0.get() >> 32 == b.0.get() >> 32
}

impl Keyed {
    /// All keys of a list.
    pub(crate) fn all(family: Family, keys: &Keys) -> Result<Vec<Provider>, Error> {
        keys.keys.iter().map(|key| Self::new(family, key).map(|k| Provider::Keyed(Arc::new(k)))).collect()
    }

    fn new(family: Family, key: &Key) -> Result<Self, Error> {
        let invalid = || Error::Key(key.name.clone());
        let secret = key.secret.decode().ok_or_else(invalid)?;
        let prefix = format!("{}{}:", family.prefix(), key.name);
        let cipher = match family {
            Family::AesGcm => AesGcm::new(&secret).map(Cipher::AesGcm),
            Family::AesCbc => aes_cbc::AesCbc::new(&secret).map(Box::new).map(Cipher::AesCbc),
            Family::Secretbox => secretbox::Secretbox::new(&secret).map(Cipher::Secretbox),
        };
        Ok(Self { family, form: form(&prefix, &secret, ""), prefix, cipher: cipher.ok_or_else(invalid)? })
    }

    fn seal(&self, key: &str, value: &[u8]) -> Result<Transformed, ValueError> {
        let mut bytes = self.prefix.clone().into_bytes();
        match &self.cipher {
            Cipher::AesGcm(cipher) => cipher.seal(key, value, &mut bytes)?,
            Cipher::AesCbc(cipher) => cipher.seal(value, &mut bytes)?,
            Cipher::Secretbox(cipher) => cipher.seal(value, &mut bytes)?,
        }
        Ok(Transformed { bytes, form: self.form })
    }

    fn open(&self, key: &str, sealed: &[u8]) -> Result<Transformed, ValueError> {
        let bytes = match &self.cipher {
            Cipher::AesGcm(cipher) => cipher.open(key, sealed)?,
            Cipher::AesCbc(cipher) => cipher.open(sealed)?,
            Cipher::Secretbox(cipher) => cipher.open(sealed)?,
        };
        Ok(Transformed { bytes, form: self.form })
    }
}

impl Provider {
    /// Makes of a value what lies on the disk; `None`: the value itself.
    pub(crate) fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Transformed>, ValueError> {
        match self {
            Provider::Identity => Ok(None),
            Provider::Keyed(keyed) => keyed.seal(key, value).map(Some),
            Provider::Kms(kms) => kms.seal(key, value).map(Some),
        }
    }

    /// Whether a value that lies on the disk in this form would lie there in it if this provider wrote it now.
    pub(crate) fn would_write(&self, form: Option<Form>) -> bool {
        match self {
            Provider::Identity => form.is_none(),
            Provider::Keyed(keyed) => form == Some(keyed.form),
            Provider::Kms(kms) => kms.would_write(form),
        }
    }

    /// The form in which it writes; of a plugin, with whichever key.
    pub(crate) fn form(&self) -> Option<Form> {
        match self {
            Provider::Identity => None,
            Provider::Keyed(keyed) => Some(keyed.form),
            Provider::Kms(kms) => Some(kms.form()),
        }
    }

    /// Whether it has the key for this form, as far as that can be said without a plugin.
    pub(crate) fn has_key(&self, form: Option<Form>) -> bool {
        match self {
            Provider::Identity => form.is_none(),
            Provider::Keyed(keyed) => form == Some(keyed.form),
            Provider::Kms(kms) => form.is_some_and(|form| same_provider(form, kms.form())),
        }
    }
}

/// Opens what lies on the disk with whichever of the providers has written it.
pub(crate) fn open(
    providers: &[Provider],
    key: &str,
    stored: &[u8],
) -> Result<Option<Transformed>, ValueError> {
    let is_encrypted = stored.starts_with(ENCRYPTED);
    let mut failure = None;
    for provider in providers {
        let result = match provider {
            Provider::Identity if is_encrypted => continue,
            Provider::Identity => return Ok(None),
            Provider::Keyed(keyed) => match stored.strip_prefix(keyed.prefix.as_bytes()) {
                Some(sealed) => keyed.open(key, sealed),
                None if stored.starts_with(keyed.family.prefix().as_bytes()) => {
                    failure.get_or_insert(ValueError::NoKey(keyed.family.name()));
                    continue;
                }
                None => continue,
            },
            Provider::Kms(kms) => match stored.strip_prefix(kms.prefix().as_bytes()) {
                Some(sealed) => kms.open(key, sealed),
                None => continue,
            },
        };
        match result {
            Ok(opened) => return Ok(Some(opened)),
            // One name may stand for two keys; the other one may be right. A key that was tried says more than
            // one that is missing.
            Err(error) if matches!(failure, None | Some(ValueError::NoKey(_))) => failure = Some(error),
            Err(_) => {}
        }
    }
    Err(failure.unwrap_or(match providers {
        [Provider::Identity] => ValueError::Encrypted,
        _ => ValueError::NoProvider,
    }))
}
