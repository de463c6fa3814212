//! All issuers of a configuration, which may change while the server runs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use sampan_apiserver::chain::authentication::Rejected;
use tokio::task::JoinHandle;

use super::OidcIssuer;
use crate::authentication::cache::Cached;
use crate::authentication::token::{ForApi, Identity, TokenAuthenticator};
use crate::metrics::Metrics;

/// For how long a token that was good is good without a look (kube-apiserver's).
const CACHE_TIME: Duration = Duration::from_secs(10);
/// How long new issuers may take until their keys are there (upstream's `UpdateAuthenticationConfigTimeout`).
const READY_TIME: Duration = Duration::from_mins(1);

/// The issuers in force.
#[derive(Debug)]
pub struct Issuers {
    current: ArcSwap<Vec<Running>>,
    audiences: Vec<String>,
    metrics: Metrics,
}

/// An issuer whose keys are kept fresh for as long as this is there.
#[derive(Debug)]
struct Running {
    tokens: Cached,
    keeping: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

impl Issuers {
    /// These issuers, for an API server of these audiences. Their keys are fetched from now on.
    pub fn new(issuers: Vec<OidcIssuer>, audiences: Vec<String>, metrics: Metrics) -> Self {
        let all = Self { current: ArcSwap::default(), audiences, metrics };
        all.put(issuers);
        all
    }

    /// Takes these issuers in the place of those before.
    fn put(&self, issuers: Vec<OidcIssuer>) {
        let running = issuers.into_iter().map(|inner| {
            let keys = Arc::clone(inner.keys());
            let tokens = Arc::new(ForApi { inner, audiences: self.audiences.clone() });
            let tokens = Cached::new(tokens, CACHE_TIME, Duration::ZERO).counted(self.metrics.clone());
            Running { tokens, keeping: tokio::spawn(async move { keys.keep_fresh().await }) }
        });
        self.current.store(Arc::new(running.collect()));
    }

    /// The same once all their keys are there; an error, and no change, if that takes too long.
    pub async fn replace(&self, issuers: Vec<OidcIssuer>) -> Result<(), String> {
        for issuer in &issuers {
            if tokio::time::timeout(READY_TIME, issuer.keys().ready()).await.is_err() {
                return Err(format!("authenticator for issuer {:?} is not initialized", issuer.url));
            }
        }
        self.put(issuers);
        Ok(())
    }
}

#[async_trait]
impl TokenAuthenticator for Issuers {
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Identity>, Rejected> {
        let current = self.current.load_full();
        for issuer in current.iter() {
            // A token names its issuer, and no two have one name: so the first that answers is the only one.
            if let Some(identity) = issuer.tokens.authenticate(token, audiences).await? {
                return Ok(Some(identity));
            }
        }
        Ok(None)
    }
}
