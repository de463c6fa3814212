//! The tokens without an end that stand in secrets of the type `kubernetes.io/service-account-token`.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::{Notes, Rejected};
use sampan_apiserver::user::{service_account_groups, service_account_user, split_service_account};
use sampan_model::{GroupResource, Status};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::Keys;
use super::last_used::{LAST_USED, Uses, day};
use super::validator::{verify, wrong_audience};
use crate::authentication::jwt::{Audiences, Compact};
use crate::authentication::stored::{Metadata, Secret, Stored};
use crate::authentication::token::{Identity, TokenAuthenticator, intersection};

const ISSUER: &str = "kubernetes/serviceaccount";
const INVALIDATED: &str = "Token has been invalidated";
const AUTO_GENERATED: &str = "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.";
/// Since when a secret's token is not to be used any more.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// Knows such tokens.
#[derive(Debug)]
pub struct LegacyTokens {
    /// The keys.
    pub keys: Keys,
    /// The API server's audiences: such a token is for all of them.
    pub audiences: Vec<String>,
    /// Where accounts and secrets are.
    pub stored: Stored,
    /// Who is told of the use of a secret.
    pub uses: Uses,
    /// The time.
    pub clock: fn() -> Timestamp,
    /// How often they are used.
    pub metrics: LegacyMetrics,
}

/// A service account, with the secrets that were made for it.
#[derive(Deserialize)]
struct Account {
    metadata: Metadata,
    #[serde(default)]
    secrets: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audiences,
    #[serde(default)]
    sub: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace", default)]
    namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name", default)]
    secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name", default)]
    account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid", default)]
    uid: String,
}

#[async_trait]
impl TokenAuthenticator for LegacyTokens {
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Identity>, Rejected> {
        let Some(compact) = Compact::parse(token).filter(|c| c.issuer() == ISSUER) else { return Ok(None) };
        verify(&compact, &self.keys).await?;
        let claims: Claims = compact.claims().map_err(|e| Rejected(e.to_string()))?;
        let own = if claims.aud.0.is_empty() { &self.audiences } else { &claims.aud.0 };
        let for_whom = intersection(own, audiences);
        if for_whom.is_empty() {
            return Err(wrong_audience(own, audiences));
        }
        let notes = self.check(&claims, token)?;
        let user = User {
            name: service_account_user(&claims.namespace, &claims.account),
            uid: claims.uid,
            groups: service_account_groups(&claims.namespace),
            ..User::default()
        };
        Ok(Some(Identity { user: Arc::new(user), audiences: for_whom, notes }))
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}

/// How often such tokens are used, so that an administrator knows when nobody does any more.
#[derive(Debug, Default)]
pub struct LegacyMetrics {
    all: Counter,
    manual: Counter,
    auto: Counter,
    invalidated: Counter,
}

impl LegacyMetrics {
    fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("legacy_tokens", "Cumulative legacy service account tokens used", &self.all),
            ("legacy_manual_token_uses", "Cumulative manually created legacy tokens used", &self.manual),
            ("legacy_auto_token_uses", "Cumulative auto-generated legacy tokens used", &self.auto),
            (
                "invalid_legacy_auto_token_uses",
                "Cumulative invalid auto-generated legacy tokens used",
                &self.invalidated,
            ),
        ] {
            registry.register(format!("serviceaccount_{name}"), help, counter.clone());
        }
    }
}

impl LegacyTokens {
    fn check(&self, claims: &Claims, token: &str) -> Result<Notes, Rejected> {
        let needed = [
            (&claims.sub, "sub"),
            (&claims.namespace, "namespace"),
            (&claims.secret, "secretName"),
            (&claims.account, "serviceAccountName"),
            (&claims.uid, "serviceAccountUID"),
        ];
        if let Some((_, name)) = needed.into_iter().find(|(value, _)| value.is_empty()) {
            return Err(Rejected(format!("{name} claim is missing")));
        }
        if split_service_account(&claims.sub) != Some((&claims.namespace, &claims.account)) {
            return Err(Rejected::new("sub claim is invalid"));
        }
        let (namespace, name) = (&*claims.namespace, &*claims.account);
        let secret: Option<Secret> = self.stored.get("secrets", namespace, &claims.secret);
        let secret = secret.filter(|s| s.metadata.deletion_timestamp.is_none());
        let secret = secret.ok_or_else(|| Rejected::new(INVALIDATED))?;
        if !bool::from(secret.data("token").unwrap_or_default().ct_eq(token.as_bytes())) {
            return Err(Rejected::new("Token does not match server's copy"));
        }
        let account: Option<Account> = self.stored.get("serviceaccounts", namespace, name);
        let account = account.ok_or_else(|| {
            let gone = Status::not_found(&GroupResource::new("", "serviceaccounts"), name);
            Rejected::new(gone.message())
        })?;
        if account.metadata.deletion_timestamp.is_some() {
            return Err(Rejected(format!("ServiceAccount {namespace}/{name} has been deleted")));
        }
        if account.metadata.uid != claims.uid {
            let (have, claim) = (&account.metadata.uid, &claims.uid);
            return Err(Rejected(format!("ServiceAccount UID ({have}) does not match claim ({claim})")));
        }
        if secret.metadata.labels.get(INVALID_SINCE).is_some_and(|since| !since.is_empty()) {
            self.metrics.invalidated.inc();
            let secret = &claims.secret;
            return Err(Rejected(format!(
                "the token in secret {namespace}/{secret} for service account {namespace}/{name} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            )));
        }
        let (today, tomorrow) = (day((self.clock)(), 0), day((self.clock)(), 1));
        let last = secret.metadata.labels.get(LAST_USED);
        // Another server's clock may be ahead.
        if last.is_none_or(|last| *last != today && *last != tomorrow) {
            self.uses.tell(namespace, &claims.secret, &secret.metadata.uid);
        }
        self.metrics.all.inc();
        let mut notes = Notes::default();
        let kind = if account.secrets.iter().any(|secret| secret.name == claims.secret) {
            self.metrics.auto.inc();
            notes.warnings.push(AUTO_GENERATED.to_owned());
            "authentication.k8s.io/legacy-token-autogenerated-secret"
        } else {
            self.metrics.manual.inc();
            "authentication.k8s.io/legacy-token-manual-secret"
        };
        notes.annotations.push((kind, claims.secret.clone()));
        Ok(notes)
    }
}
