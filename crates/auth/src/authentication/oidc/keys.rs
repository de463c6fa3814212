//! The keys of an issuer: found by its discovery document, kept, and fetched again when they are old or a token names one
//! that is not among them.

use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::authentication::jwt::{JwkSet, PublicKey};
use crate::https::Https;

/// How long to wait after a failure, and at least between two fetches that tokens demand: a flood of tokens with keys
/// that do not exist costs the issuer no more than that.
const PAUSE: Duration = Duration::from_secs(10);
/// How long keys are good without a question.
const FRESH: Duration = Duration::from_mins(10);

/// The keys of an issuer.
pub struct RemoteKeys {
    https: Https,
    issuer: String,
    discovery: http::Uri,
    current: ArcSwapOption<Vec<PublicKey>>,
    /// When keys were fetched or tried to be; held while they are.
    fetched: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RemoteKeys({})", self.issuer)
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl RemoteKeys {
    /// The keys of `issuer`, whose discovery document is at `discovery` if that is not empty.
    pub(super) fn new(https: Https, issuer: &str, discovery: &str) -> Result<Self, String> {
        let usual = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery = if discovery.is_empty() { usual.as_str() } else { discovery };
        Ok(Self {
            https,
            issuer: issuer.to_owned(),
            discovery: discovery.parse().map_err(|e| format!("{discovery}: {e}"))?,
            current: ArcSwapOption::empty(),
            fetched: Mutex::new(None),
        })
    }

    /// Whether `is_it` holds for one of the keys of that id (of all, when it is empty). Fetches keys when there is none of
    /// that id. An error when there are no keys at all.
    pub(super) async fn any(&self, id: &str, is_it: impl Fn(&PublicKey) -> bool) -> Result<bool, String> {
        for attempt in 0..2 {
            if let Some(keys) = &*self.current.load() {
                let mut named = keys.iter().filter(|key| id.is_empty() || key.id() == id).peekable();
                if named.peek().is_some() || attempt > 0 {
                    return Ok(named.any(&is_it));
                }
            }
            if attempt == 0 {
                self.fetch_unless_recent().await;
            }
        }
        Err("authenticator not initialized".into())
    }

    async fn fetch_unless_recent(&self) {
        let mut fetched = self.fetched.lock().await;
        if fetched.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        self.fetch().await;
        *fetched = Some(Instant::now());
    }

    /// Fetches the keys now. When that fails the old ones stay.
    async fn fetch(&self) -> bool {
        match self.try_fetch().await {
            Ok(keys) => {
                tracing::debug!(
                    issuer = self.issuer,
                    keys = keys.len(),
                    "the keys of an OIDC issuer were fetched"
                );
                self.current.store(Some(keys.into()));
                true
            }
            Err(error) => {
                tracing::warn!(issuer = self.issuer, error, "the keys of an OIDC issuer cannot be fetched");
                false
            }
        }
    }

    async fn try_fetch(&self) -> Result<Vec<PublicKey>, String> {
        let discovery: Discovery = self.get(&self.discovery).await?;
        if discovery.issuer != self.issuer {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {:?}",
                self.issuer, discovery.issuer
            ));
        }
        let uri = discovery.jwks_uri.parse().map_err(|e| format!("{}: {e}", discovery.jwks_uri))?;
        let set: JwkSet = self.get(&uri).await?;
        let keys = set.verifying();
        if keys.is_empty() { Err("there is no key that verifies tokens".into()) } else { Ok(keys) }
    }

    async fn get<T: DeserializeOwned>(&self, uri: &http::Uri) -> Result<T, String> {
        let answer = self.https.get(uri).await.map_err(|e| format!("{uri}: {e}"))?;
        if answer.code != http::StatusCode::OK {
            return Err(format!("{uri}: {}", answer.code));
        }
        serde_json::from_slice(&answer.body).map_err(|e| format!("{uri}: {e}"))
    }

    /// Waits until there are keys, asking for them every second.
    pub(super) async fn ready(&self) {
        while self.current.load().is_none() && !self.fetch().await {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// As if the keys had been fetched long ago.
    #[cfg(test)]
    pub(super) async fn forget_when_fetched(&self) {
        *self.fetched.lock().await = None;
    }

    /// Keeps the keys fresh, for ever.
    pub async fn keep_fresh(&self) {
        loop {
            let is_fresh = {
                let mut fetched = self.fetched.lock().await;
                let done = self.fetch().await;
                *fetched = Some(Instant::now());
                done
            };
            tokio::time::sleep(if is_fresh { FRESH } else { PAUSE }).await;
        }
    }
}
