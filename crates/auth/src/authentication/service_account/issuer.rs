//! Makes tokens of service accounts.

use jiff::Timestamp;

use super::claims::Kubernetes;
use super::{Bound, Claims, Keys, Reference};
use crate::authentication::jwt::{Audiences, NumericDate};

/// The life that old clients' projected tokens ask for, by which they are known.
const OF_OLD_CLIENTS_SECONDS: i64 = 60 * 60 + 7;
/// The life that those get.
const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Who signs, and by which rules.
#[derive(Debug)]
pub struct Issuer {
    /// The keys.
    pub keys: Keys,
    /// The name of the issuer (the first `--service-account-issuer`).
    pub name: String,
    /// The API server's audiences, which a request without any means.
    pub audiences: Vec<String>,
    /// The longest life (`--service-account-max-token-expiration`); `None`: as long as is asked for.
    pub max_seconds: Option<i64>,
    /// Whether old clients' tokens live longer than they ask (`--service-account-extend-token-expiration`).
    pub extend: bool,
    /// The time.
    pub clock: fn() -> Timestamp,
}

/// What token is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// The account's namespace.
    pub namespace: String,
    /// The account.
    pub account: Reference,
    /// What else the token lives with.
    pub bound: Bound,
    /// For whom.
    pub audiences: Vec<String>,
    /// For how long.
    pub seconds: i64,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// Its own name, for audit.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issued({})", self.id)
    }
}

impl Issuer {
    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Makes a token. `None` when there is no key to sign with.
    pub async fn issue(&self, spec: TokenSpec) -> Option<Issued> {
        let at = self.now();
        let now = at.as_second();
        let old_client = self.extend
            && matches!(spec.bound, Bound::Pod(..))
            && spec.seconds == OF_OLD_CLIENTS_SECONDS
            && self.is_for_api(&spec.audiences);
        let seconds = if old_client { EXTENDED_SECONDS } else { spec.seconds };
        let mut kubernetes = Kubernetes::new(&spec.namespace, spec.account, spec.bound);
        kubernetes.warnafter = old_client.then_some(NumericDate(now + spec.seconds));
        let id = uuid::Uuid::new_v4().to_string();
        let claims = Claims {
            aud: Audiences(spec.audiences),
            exp: Some(NumericDate(now + seconds)),
            iat: Some(NumericDate(now)),
            iss: self.name.clone(),
            jti: id.clone(),
            sub: sampan_apiserver::user::service_account_user(
                &kubernetes.namespace,
                &kubernetes.serviceaccount.name,
            ),
            kubernetes,
            nbf: Some(NumericDate(now)),
        };
        let ring = self.keys.get().await;
        let token = ring.signing()?.sign(&claims)?;
        Some(Issued { token, id, at })
    }

    /// Whether all audiences are the API server's.
    fn is_for_api(&self, audiences: &[String]) -> bool {
        audiences.iter().all(|a| self.audiences.contains(a))
    }
}
