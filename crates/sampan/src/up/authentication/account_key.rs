//! The keys of service account tokens: from files, or of the data directory, where the first start makes one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sampan_auth::authentication::jwt::{PublicKey, SigningKey};
use sampan_auth::authentication::service_account::{KeyRing, Keys};

use super::files::read_bytes;
use crate::cli;
use crate::pki::account_key;

/// A key that may still have to be made.
pub(in crate::up) struct Pending(Option<(Keys, PathBuf, Vec<PublicKey>)>);

impl Pending {
    /// Makes it, if it is not there. It takes long.
    pub(in crate::up) fn make(self) -> Result<()> {
        let Some((keys, dir, others)) = self.0 else { return Ok(()) };
        let text = account_key::make(&dir)?;
        let key = SigningKey::from_pem(text.as_bytes()).context("the key that was made cannot be used")?;
        keys.set(KeyRing::new(Some(key), others));
        tracing::debug!("the key of service account tokens was made");
        Ok(())
    }
}

/// The keys, and what is left to do for them.
pub(super) fn open(options: &cli::ServiceAccount, dir: &Path) -> Result<(Keys, Pending)> {
    let mut others = Vec::new();
    for path in &options.key_file {
        let keys = PublicKey::from_pem(&read_bytes(path)?)
            .with_context(|| format!("{} (--service-account-key-file) cannot be used", path.display()))?;
        others.extend(keys);
    }
    let own = account_key::read(dir)?;
    let own = own
        .map(|text| SigningKey::from_pem(text.as_bytes()))
        .transpose()
        .with_context(|| format!("{}/sa.key cannot be used: put it back, or remove it", dir.display()))?;
    if let Some(path) = &options.signing_key_file {
        let signing = SigningKey::from_pem(&read_bytes(path)?).with_context(|| {
            format!("{} (--service-account-signing-key-file) cannot be used", path.display())
        })?;
        // Tokens that the directory's own key has signed before stay good, unless the keys are listed.
        if options.key_file.is_empty() {
            others.extend(own.map(|key| key.public().clone()));
        }
        return Ok((Keys::of(KeyRing::new(Some(signing), others)), Pending(None)));
    }
    if let Some(key) = own {
        return Ok((Keys::of(KeyRing::new(Some(key), others)), Pending(None)));
    }
    let keys = Keys::default();
    Ok((keys.clone(), Pending(Some((keys, dir.to_owned(), others)))))
}
