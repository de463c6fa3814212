//! Checks tokens of service accounts that a TokenRequest has made.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use quick_cache::sync::Cache;
use sampan_apiserver::chain::authentication::{Notes, Rejected};
use sampan_model::field_error::go_quote;
use sampan_model::{GroupResource, Status};
use sha2::{Digest as _, Sha256};

use super::{Claims, Keys, Reference};
use crate::authentication::jwt::{Compact, LEEWAY_SECONDS, NumericDate};
use crate::authentication::stored::{Bare, Metadata, Stored};
use crate::authentication::token::{Identity, TokenAuthenticator, intersection};

/// How many verified signatures are remembered.
const REMEMBERED: usize = 8192;

/// What upstream's library says of a signature that is not right.
const BAD_SIGNATURE: &str = "go-jose/go-jose: error in cryptographic primitive";
const INVALIDATED: &str = "service account token has been invalidated";

/// Knows tokens of service accounts.
pub struct AccountTokens {
    keys: Keys,
    issuers: Vec<String>,
    audiences: Vec<String>,
    stored: Stored,
    clock: fn() -> Timestamp,
    /// Tokens (hashed) whose signature was found right, and what they claim.
    verified: Cache<[u8; 32], Arc<Claims>>,
    /// Uses of old clients' tokens after the life that they asked for, and within it.
    stale: Counter,
    valid: Counter,
}

impl std::fmt::Debug for AccountTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountTokens").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl AccountTokens {
    /// Tokens of these issuers, for an API server of these audiences.
    pub fn new(
        keys: Keys,
        issuers: Vec<String>,
        audiences: Vec<String>,
        stored: Stored,
        clock: fn() -> Timestamp,
    ) -> Self {
        let (stale, valid) = Default::default();
        Self { keys, issuers, audiences, stored, clock, verified: Cache::new(REMEMBERED), stale, valid }
    }

    /// The claims of a token that one of the keys has signed; `None` for another issuer's.
    async fn claims(&self, token: &str) -> Result<Option<Arc<Claims>>, Rejected> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(claims) = self.verified.get(&hash) {
            return Ok(Some(claims));
        }
        let Some(compact) = Compact::parse(token) else { return Ok(None) };
        if !self.issuers.contains(&compact.issuer()) {
            return Ok(None);
        }
        verify(&compact, &self.keys).await?;
        let claims = compact.claims::<Claims>().map_err(|e| Rejected(e.to_string()))?;
        let claims = Arc::new(claims);
        self.verified.insert(hash, Arc::clone(&claims));
        Ok(Some(claims))
    }
}

/// Whether one of the keys has signed it.
pub(super) async fn verify(compact: &Compact<'_>, keys: &Keys) -> Result<(), Rejected> {
    let ring = keys.get().await;
    let mut candidates = ring.named(&compact.key_id).peekable();
    if candidates.peek().is_none() {
        return Err(Rejected::new("invalid signature, no keys found"));
    }
    if candidates.any(|key| compact.is_signed_by(key)) { Ok(()) } else { Err(Rejected::new(BAD_SIGNATURE)) }
}

#[async_trait]
impl TokenAuthenticator for AccountTokens {
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Identity>, Rejected> {
        let Some(claims) = self.claims(token).await? else { return Ok(None) };
        let own = if claims.aud.0.is_empty() { &self.audiences } else { &claims.aud.0 };
        let for_whom = intersection(own, audiences);
        if for_whom.is_empty() {
            return Err(wrong_audience(own, audiences));
        }
        let now = (self.clock)().as_second();
        check_times(&claims, now)?;
        check_objects(&claims, &self.stored, now)?;
        let mut notes = Notes::default();
        // The token of an old client, which lives longer than it asked for: whoever does not fetch a new one is told of.
        if let Some(NumericDate(warn_after)) = claims.kubernetes.warnafter.filter(|at| at.0 != 0) {
            if now > warn_after {
                let seconds = now - warn_after;
                let told = format!("subject: {}, seconds after warning threshold: {seconds}", claims.sub);
                notes.annotations.push(("authentication.k8s.io/stale-token", told));
                self.stale.inc();
            } else {
                self.valid.inc();
            }
        }
        Ok(Some(Identity { user: Arc::new(claims.user()), audiences: for_whom, notes }))
    }

    fn register_metrics(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("stale_tokens", "Cumulative stale projected service account tokens used", &self.stale),
            ("valid_tokens", "Cumulative valid projected service account tokens used", &self.valid),
        ] {
            registry.register(format!("serviceaccount_{name}"), help, counter.clone());
        }
    }
}

pub(super) fn wrong_audience(own: &[String], wanted: &[String]) -> Rejected {
    let list = |list: &[String]| {
        let quoted: Vec<String> = list.iter().map(|a| go_quote(a)).collect();
        format!("[{}]", quoted.join(" "))
    };
    Rejected(format!("token audiences {} is invalid for the target audiences {}", list(own), list(wanted)))
}

fn check_times(claims: &Claims, now: i64) -> Result<(), Rejected> {
    let at = |date: Option<NumericDate>| date.map(|NumericDate(seconds)| seconds);
    if at(claims.nbf).is_some_and(|begin| now.saturating_add(LEEWAY_SECONDS) < begin) {
        return Err(Rejected::new("service account token is not valid yet"));
    }
    if at(claims.exp).is_some_and(|end| now.saturating_sub(LEEWAY_SECONDS) > end) {
        return Err(Rejected::new("service account token has expired"));
    }
    if at(claims.iat).is_some_and(|made| now.saturating_add(LEEWAY_SECONDS) < made) {
        return Err(Rejected::new("service account token is issued in the future"));
    }
    Ok(())
}

/// Whether the account, and what the token is bound to, are still those that it was made for.
fn check_objects(claims: &Claims, stored: &Stored, now: i64) -> Result<(), Rejected> {
    let k = &claims.kubernetes;
    let (namespace, name) = (&*k.namespace, &*k.serviceaccount.name);
    let found = stored.get::<Bare>("serviceaccounts", namespace, name);
    let account = found.ok_or_else(|| {
        let gone = Status::not_found(&GroupResource::new("", "serviceaccounts"), name);
        Rejected::new(gone.message())
    })?;
    if is_gone(&account.metadata, now) {
        return Err(Rejected(format!("service account {namespace}/{name} has been deleted")));
    }
    if account.metadata.uid != k.serviceaccount.uid {
        let (have, claim) = (&account.metadata.uid, &k.serviceaccount.uid);
        return Err(Rejected(format!("service account UID ({have}) does not match claim ({claim})")));
    }
    // The node of a pod's token says where the pod was put; the pod alone decides.
    let node = k.node.as_ref().filter(|_| k.pod.is_none());
    let bound: [(&str, &str, &str, Option<&Reference>); 3] = [
        ("secrets", "secret", namespace, k.secret.as_ref()),
        ("pods", "pod", namespace, k.pod.as_ref()),
        ("nodes", "node", "", node),
    ];
    for (resource, word, namespace, reference) in bound {
        let Some(reference) = reference else { continue };
        let object: Option<Bare> = stored.get(resource, namespace, &reference.name);
        let object =
            object.filter(|o| !is_gone(&o.metadata, now)).ok_or_else(|| Rejected::new(INVALIDATED))?;
        if object.metadata.uid != reference.uid {
            let (have, claim) = (&object.metadata.uid, &reference.uid);
            return Err(Rejected(format!(
                "{word} UID ({have}) does not match service account {word} ref claim ({claim})"
            )));
        }
    }
    Ok(())
}

/// What has been asked to go counts a minute longer, for clocks that differ.
fn is_gone(metadata: &Metadata, now: i64) -> bool {
    metadata.deletion_timestamp.is_some_and(|at| at.as_second() < now - LEEWAY_SECONDS)
}
