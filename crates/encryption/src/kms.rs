//! KMS v2: the keys are held by a plugin behind a Unix socket.
//!
//! Values are sealed on the store's writer thread, which must not wait for a socket. So a thread of the provider's
//! own asks the plugin for its state every minute and has a new seed encrypted whenever the plugin's key is another;
//! sealing takes the seed that is at hand. When the plugin is away, that seed may be used for three minutes more, then
//! writes fail; what has been read stays readable. These times are upstream's.

mod envelope;
mod messages;
mod plugin;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use prost::Message as _;
use sampan_store::{Form, Transformed};
use zeroize::Zeroizing;

use crate::error::ValueError;
use crate::metrics::{self, Metrics, Way};
use crate::provider;
use envelope::DataKey;
use messages::EncryptedObject;
use plugin::{Calls, Health};

/// How long a seed may be used for writing after the plugin was last well.
const WRITE_DEK_MAX_TTL: Duration = Duration::from_mins(3);

/// How many decrypted seeds are kept. There is one a start and one a key; what does not fit is decrypted again.
const MAX_SEEDS: usize = 1024;

/// For so long a failed decryption is not tried again, so that thousands of values do not ask for the same.
const FAILED_TTL: Duration = Duration::from_secs(5);

/// A provider whose keys are with a plugin.
#[derive(Debug)]
pub(crate) struct Kms {
    prefix: String,
    form: Form,
    shared: Arc<Shared>,
    calls: Calls,
}

/// What the thread that talks to the plugin shares with those who seal and open.
#[derive(Debug)]
struct Shared {
    name: String,
    prefix: String,
    socket: PathBuf,
    timeout: Duration,
    metrics: Metrics,
    /// With what is written now; `None` before the plugin was well for the first time.
    state: ArcSwapOption<State>,
    health: Mutex<Health>,
    seeds: Mutex<HashMap<[u8; 32], Seed>>,
}

/// A seed with what is written beside the values that it has sealed.
#[derive(Debug)]
struct State {
    seed: Arc<DataKey>,
    /// Without data.
    envelope: EncryptedObject,
    form: Form,
    key_id_hash: Arc<str>,
    expires: Instant,
}

/// The outcome of a decryption.
#[derive(Debug, Clone)]
enum Seed {
    Known(Arc<DataKey>, Arc<str>),
    Failed { at: Instant, error: String },
}

impl Kms {
    /// Begins to ask the plugin.
    pub(crate) fn start(
        name: &str,
        socket: &str,
        timeout: Duration,
        metrics: &Metrics,
    ) -> std::io::Result<Self> {
        let prefix = format!("k8s:enc:kms:v2:{name}:");
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            prefix: prefix.clone(),
            socket: socket.into(),
            timeout,
            metrics: metrics.clone(),
            state: ArcSwapOption::empty(),
            health: Mutex::new(Health::unknown()),
            seeds: Mutex::default(),
        });
        let calls = plugin::start(Arc::clone(&shared))?;
        Ok(Self { form: provider::form(&prefix, b"", ""), prefix, shared, calls })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The form of what it writes, whichever the plugin's key is.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Waits until the plugin has been asked for its state, well or not. Bounded by the timeouts of its calls.
    pub(crate) fn wait_for_probe(&self) {
        self.calls.probe(self.shared.timeout);
    }

    /// How the plugin was when it was last asked. It is asked again, for the next to know, if that was long ago.
    pub(crate) fn health(&self) -> Result<(), String> {
        let health = self.shared.health.lock().clone();
        if health.is_old() {
            self.calls.nudge();
        }
        health.result
    }

    pub(crate) fn would_write(&self, form: Option<Form>) -> bool {
        match &*self.shared.state.load() {
            Some(state) => form == Some(state.form),
            // Nothing can be written now, so nothing is to be written anew either.
            None => form.is_some_and(|form| provider::same_provider(form, self.form)),
        }
    }

    pub(crate) fn seal(&self, key: &str, value: &[u8]) -> Result<Transformed, ValueError> {
        self.seal_at(key, value, Instant::now())
    }

    fn seal_at(&self, key: &str, value: &[u8], now: Instant) -> Result<Transformed, ValueError> {
        let state = self.shared.state.load();
        let Some(state) = &*state else {
            self.calls.nudge();
            let why = self.shared.health.lock().result.clone().err().unwrap_or_default();
            return Err(ValueError::Kms(format!("got unexpected nil transformer: {why}")));
        };
        if now > state.expires {
            self.calls.nudge();
            let age = now.saturating_duration_since(state.expires).as_secs();
            return Err(ValueError::Kms(format!(
                "encryptedDEKSource with keyID hash {:?} expired {age}s ago",
                state.key_id_hash
            )));
        }
        let mut envelope = state.envelope.clone();
        envelope.encrypted_data = state.seed.seal(key, value)?;
        let mut bytes = Vec::with_capacity(self.prefix.len() + envelope.encoded_len());
        bytes.extend_from_slice(self.prefix.as_bytes());
        envelope.encode(&mut bytes).map_err(|_| ValueError::Cipher)?;
        self.shared.metrics.used(Way::ToStorage, &self.shared.name, &state.key_id_hash);
        Ok(Transformed { bytes, form: state.form })
    }

    /// Asks the plugin if the seed is not known.
    pub(crate) fn open(&self, key: &str, sealed: &[u8]) -> Result<Transformed, ValueError> {
        let envelope = EncryptedObject::decode(sealed).map_err(|error| ValueError::Kms(error.to_string()))?;
        envelope::validate(&envelope).map_err(ValueError::Kms)?;
        let (seed, key_id_hash) = self.seed(&envelope)?;
        self.shared.metrics.used(Way::FromStorage, &self.shared.name, &key_id_hash);
        let bytes = seed.open(key, &envelope.encrypted_data)?;
        Ok(Transformed { bytes, form: self.shared.form(&envelope) })
    }

    /// The seed, and the hash of the id of the key that has encrypted it.
    fn seed(&self, envelope: &EncryptedObject) -> Result<(Arc<DataKey>, Arc<str>), ValueError> {
        let id = envelope::cache_key(envelope);
        match self.shared.seeds.lock().get(&id) {
            Some(Seed::Known(seed, hash)) => return Ok((Arc::clone(seed), Arc::clone(hash))),
            Some(Seed::Failed { at, error }) if at.elapsed() < FAILED_TTL => {
                return Err(ValueError::Kms(error.clone()));
            }
            _ => {}
        }
        let secret: Result<Zeroizing<Vec<u8>>, String> = self.calls.decrypt(envelope, self.shared.timeout);
        match secret.map_err(|error| format!("failed to decrypt DEK, error: {error}")) {
            Ok(secret) => {
                let seed = Arc::new(DataKey::new(envelope.encrypted_dek_source_type, &secret)?);
                let hash: Arc<str> = key_id_hash(&envelope.key_id).into();
                self.shared.keep(id, Seed::Known(Arc::clone(&seed), Arc::clone(&hash)));
                Ok((seed, hash))
            }
            Err(error) => {
                self.shared.keep(id, Seed::Failed { at: Instant::now(), error: error.clone() });
                Err(ValueError::Kms(error))
            }
        }
    }
}

impl Shared {
    fn form(&self, envelope: &EncryptedObject) -> Form {
        // What kind of key it was is a part of what would be written, as upstream sees it.
        let key = format!("{}:{}", envelope.encrypted_dek_source_type, envelope.key_id);
        provider::form(&self.prefix, b"", &key)
    }

    fn keep(&self, id: [u8; 32], seed: Seed) {
        let mut seeds = self.seeds.lock();
        if seeds.len() >= MAX_SEEDS {
            seeds.clear();
        }
        seeds.insert(id, seed);
        let known = seeds.values().filter(|seed| matches!(seed, Seed::Known(..))).count();
        self.metrics.seeds(&self.name, known);
    }
}

/// As upstream shows key ids, which may be secret, in messages.
fn key_id_hash(key_id: &str) -> String {
    metrics::hash(key_id.as_bytes())
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

/// Opens an envelope whose seed is known.
#[cfg(test)]
pub(crate) fn known_answer(key: &str, sealed: &[u8], secret: &[u8]) -> Result<Vec<u8>, ValueError> {
    let envelope = EncryptedObject::decode(sealed).map_err(|error| ValueError::Kms(error.to_string()))?;
    envelope::validate(&envelope).map_err(ValueError::Kms)?;
    DataKey::new(envelope.encrypted_dek_source_type, secret)?.open(key, &envelope.encrypted_data)
}
