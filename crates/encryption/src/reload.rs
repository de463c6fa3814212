//! Takes over a configuration that has changed while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sampan_store::Snapshot;
use sha2::{Digest as _, Sha256};

use crate::rules::Rules;
use crate::{Encryption, Error, config};

/// Watches over one file. Whoever owns it decides how often to look.
#[derive(Debug)]
pub struct Reloader {
    encryption: Arc<Encryption>,
    path: PathBuf,
    /// The hash of what was last looked at, whether it could be used or not; so no keys are kept here.
    seen: Option<[u8; 32]>,
}

/// What a look at the file has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// Nothing new.
    Unchanged,
    /// The new configuration is in force.
    Changed,
}

impl Reloader {
    /// Begins with the file as it is in force. Reads it; whatever is wrong with it shows at the first look.
    pub fn new(encryption: Arc<Encryption>, path: &Path) -> Self {
        let seen = config::read(path).ok().map(|text| hash(&text));
        Self { encryption, path: path.to_owned(), seen }
    }

    /// Looks at the file, and puts it in force if it has changed, is valid, and has the keys for all that `snapshot`
    /// gives. Otherwise the configuration that is in force stays, and the next look says why again only if the file
    /// has changed again. Waits for KMS plugins.
    pub fn look(&mut self, snapshot: impl FnOnce() -> Snapshot) -> Result<Reloaded, Error> {
        let text = config::read(&self.path)?;
        let hash = hash(&text);
        if self.seen == Some(hash) {
            return Ok(Reloaded::Unchanged);
        }
        self.seen = Some(hash);
        let result = self.take(&text, snapshot);
        self.encryption.metrics().reloaded(result.is_ok());
        result
    }

    fn take(&mut self, text: &str, snapshot: impl FnOnce() -> Snapshot) -> Result<Reloaded, Error> {
        let metrics = self.encryption.metrics();
        let rules = Rules::new(&config::parse(text, &self.path)?, metrics)?;
        if let Err(complaint) = rules.health() {
            // The plugin may come up in the meantime, without a change of the file.
            self.seen = None;
            return Err(Error::Unhealthy(complaint));
        }
        rules.can_read(&snapshot(), &self.encryption.rules())?;
        self.encryption.replace(rules);
        metrics.in_force(text);
        Ok(Reloaded::Changed)
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
