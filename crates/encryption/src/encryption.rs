//! The transform that the store is given.

use std::path::Path;

use arc_swap::ArcSwap;
use sampan_store::{Form, Transform, TransformError, Transformed};

use crate::metrics::Metrics;
use crate::rules::Rules;
use crate::{Error, config, provider};

/// Encrypts and decrypts values by the rules of a configuration, which may be replaced while the server runs.
#[derive(Debug, Default)]
pub struct Encryption {
    rules: ArcSwap<Rules>,
    metrics: Metrics,
}

impl Encryption {
    /// Without a configuration: everything is plain, and what is encrypted is refused rather than taken for an object.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads a configuration. Its KMS plugins are asked for their state; one that does not answer is asked again
    /// until it does, and is no error. `server`: under which name metrics tell of this server (by its hash).
    pub fn load(path: &Path, server: &str) -> Result<Self, Error> {
        let text = config::read(path)?;
        let metrics = Metrics::new(server);
        let rules = Rules::new(&config::parse(&text, path)?, &metrics)?;
        metrics.in_force(&text);
        Ok(Self { rules: ArcSwap::from_pointee(rules), metrics })
    }

    /// Whether any provider is a KMS plugin.
    pub fn has_plugins(&self) -> bool {
        !self.rules.load().plugins().is_empty()
    }

    /// What is wrong with the KMS plugins as of the last time that they were asked; never waits.
    pub fn health(&self) -> Result<(), String> {
        self.rules.load().health()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn rules(&self) -> std::sync::Arc<Rules> {
        self.rules.load_full()
    }

    pub(crate) fn replace(&self, rules: Rules) {
        self.rules.store(std::sync::Arc::new(rules));
    }
}

impl Transform for Encryption {
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Transformed>, TransformError> {
        let rules = self.rules.load();
        let first = rules.providers(key).first().ok_or(crate::error::ValueError::NoProvider)?;
        Ok(first.seal(key, value)?)
    }

    fn open(&self, key: &str, stored: &[u8]) -> Result<Option<Transformed>, TransformError> {
        Ok(provider::open(self.rules.load().providers(key), key, stored)?)
    }

    fn is_current(&self, key: &str, form: Option<Form>) -> bool {
        self.rules.load().providers(key).first().is_none_or(|first| first.would_write(form))
    }

    fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
    }
}
