//! Envelopes: what a plugin has encrypted is a seed, from which each value gets a key of its own.
//!
//! HKDF-SHA256 expands the seed with 32 random bytes into an AES-GCM key, so no key is used twice and a seed may serve
//! for as many values as one likes. Only the seed needs the plugin.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use sampan_model::{FieldPath, name};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::messages::{DekSource, EncryptedObject};
use crate::error::ValueError;
use crate::provider::AesGcm;

/// The length of a seed, of the random bytes that derive a key from it, and of such a key.
pub(super) const SIZE: usize = 32;

/// Upstream's limits.
const MAX_ANNOTATIONS: usize = 32 * 1024;
const MAX_KEY_ID: usize = 1024;
const MAX_DEK_SOURCE: usize = 1024;

/// A decrypted key, or the seed of keys.
pub(super) enum DataKey {
    Seed(Prk),
    Key(AesGcm),
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

impl DataKey {
    pub(super) fn new(source: i32, secret: &[u8]) -> Result<Self, ValueError> {
        let invalid = |what: &str| ValueError::Kms(format!("invalid {what} length {}", secret.len()));
        if source == DekSource::AesGcmKey as i32 {
            return AesGcm::new(secret).map(Self::Key).ok_or_else(|| invalid("key"));
        }
        if !(SIZE..=64).contains(&secret.len()) {
            return Err(ValueError::Kms(format!(
                "invalid seed length {} used for key generation",
                secret.len()
            )));
        }
        Ok(Self::Seed(Prk::new_less_safe(HKDF_SHA256, secret)))
    }

    /// Only seeds write.
    pub(super) fn seal(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, ValueError> {
        let Self::Seed(seed) = self else { return Err(ValueError::Cipher) };
        let mut info = [0; SIZE];
        aws_lc_rs::rand::fill(&mut info).map_err(|_| ValueError::Cipher)?;
        let mut out = info.to_vec();
        derive(seed, &info)?.seal(key, value, &mut out)?;
        Ok(out)
    }

    pub(super) fn open(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, ValueError> {
        match self {
            Self::Key(cipher) => cipher.open(key, sealed),
            Self::Seed(seed) => {
                let (info, rest) = sealed.split_first_chunk::<SIZE>().ok_or(ValueError::TooShort)?;
                derive(seed, info)?.open(key, rest)
            }
        }
    }
}

fn derive(seed: &Prk, info: &[u8; SIZE]) -> Result<AesGcm, ValueError> {
    let mut key = Zeroizing::new([0; SIZE]);
    seed.expand(&[info], HKDF_SHA256)
        .and_then(|expanded| expanded.fill(key.as_mut()))
        .map_err(|_| ValueError::Cipher)?;
    AesGcm::new(key.as_ref()).ok_or(ValueError::Cipher)
}

/// What a data key is found by: everything that the plugin is asked for it with.
pub(super) fn cache_key(object: &EncryptedObject) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(&object.encrypted_dek_source_type.to_le_bytes());
    add(&object.encrypted_dek_source);
    add(object.key_id.as_bytes());
    for (name, value) in &object.annotations {
        add(name.as_bytes());
        add(value);
    }
    hash.finalize().into()
}

/// What upstream refuses to write and to read.
pub(super) fn validate(object: &EncryptedObject) -> Result<(), String> {
    let source = object.encrypted_dek_source_type;
    DekSource::try_from(source).map_err(|_| format!("unknown encryptedDEKSourceType: {source}"))?;
    if object.encrypted_data.is_empty() {
        return Err("encrypted data is empty".to_owned());
    }
    let dek = &object.encrypted_dek_source;
    if dek.is_empty() {
        return Err("failed to validate encrypted DEK source: encrypted DEK source is empty".to_owned());
    }
    if dek.len() > MAX_DEK_SOURCE {
        return Err(format!(
            "failed to validate encrypted DEK source: encrypted DEK source is {} bytes, which exceeds the max size of {MAX_DEK_SOURCE}",
            dek.len()
        ));
    }
    validate_key_id(&object.key_id).map_err(|error| format!("failed to validate key id: {error}"))?;
    validate_annotations(&object.annotations)
        .map_err(|error| format!("failed to validate annotations: {error}"))
}

/// What upstream refuses as the name of a key.
pub(super) fn validate_key_id(key_id: &str) -> Result<(), String> {
    match key_id.len() {
        0 => Err("keyID is empty".to_owned()),
        n if n > MAX_KEY_ID => Err(format!("keyID is {n} bytes, which exceeds the max size of {MAX_KEY_ID}")),
        _ => Ok(()),
    }
}

fn validate_annotations(annotations: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    let path = FieldPath::field("annotations");
    for name in annotations.keys() {
        if let Some(error) = name::is_fully_qualified_domain_name(&path, name).first() {
            return Err(error.to_string());
        }
    }
    let size: usize = annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_ANNOTATIONS {
        return Err(format!(
            "total size of annotations is {size}, which exceeds the max size of {MAX_ANNOTATIONS}"
        ));
    }
    Ok(())
}
