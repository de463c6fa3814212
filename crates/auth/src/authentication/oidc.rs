//! Tokens of OIDC issuers: which claims make which user is configuration (`--authentication-config`, `--oidc-*`).
//!
//! A token is first of all one of this issuer, signed by one of its present keys, for one of the wanted audiences and
//! within its times. Then rules check its claims, mappings make a user of them, and rules check the user. Claims that
//! are kept elsewhere (`_claim_sources`) are not fetched.

mod claims;
pub mod config;
mod expressions;
mod issuers;
mod keys;
mod mapping;

use async_trait::async_trait;
use jiff::Timestamp;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::Rejected;
use sampan_apiserver::user::CREDENTIAL_ID_KEY;
use sampan_model::field_error::go_quote;
use std::sync::Arc;

use self::claims::Claims;
pub use self::config::AuthenticationConfiguration;
use self::config::JwtAuthenticator;
pub use self::issuers::Issuers;
pub use self::keys::RemoteKeys;
use self::mapping::Mapping;
use super::jwt::{Algorithm, Compact};
use super::token::PlainToken;
use crate::https::{self, Https, Trust};

/// By how much an issuer's clock may be ahead for the beginning of a token (go-oidc's rule; its end has no leeway).
const NOT_BEFORE_LEEWAY_SECONDS: i64 = 300;
/// How long an issuer may take for an answer, and how long that may be.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(String),
    /// The authorities of the issuer's server are wrong.
    #[error(transparent)]
    Https(#[from] https::Error),
}

/// One issuer.
#[derive(Debug)]
pub struct OidcIssuer {
    url: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    keys: Arc<RemoteKeys>,
    mapping: Mapping,
    clock: fn() -> Timestamp,
}

impl OidcIssuer {
    /// The issuer that a configuration (validated already) describes; its tokens may be signed by `algorithms`.
    pub fn new(
        config: &JwtAuthenticator,
        algorithms: Vec<Algorithm>,
        clock: fn() -> Timestamp,
    ) -> Result<Self, Error> {
        let issuer = &config.issuer;
        let authorities = Some(&issuer.certificate_authority).filter(|pem| !pem.is_empty());
        let trust =
            Trust { authorities: authorities.map(|pem| pem.clone().into_bytes()), ..Trust::default() };
        let https = Https::new(&trust, TIMEOUT, MAX_ANSWER_BYTES)?;
        Ok(Self {
            url: issuer.url.clone(),
            audiences: issuer.audiences.clone(),
            algorithms,
            keys: Arc::new(
                RemoteKeys::new(https, &issuer.url, &issuer.discovery_url).map_err(Error::Config)?,
            ),
            mapping: Mapping::compile(config).map_err(Error::Config)?,
            clock,
        })
    }

    /// The issuer's keys, for whoever keeps them fresh.
    pub fn keys(&self) -> &Arc<RemoteKeys> {
        &self.keys
    }

    async fn verify(&self, compact: &Compact<'_>) -> Result<Claims, String> {
        if !self.algorithms.contains(&compact.algorithm) {
            return Err(format!(
                "oidc: id token signed with unsupported algorithm, got {}",
                go_quote(compact.algorithm.name())
            ));
        }
        let claims = Claims::read(compact).map_err(|e| format!("oidc: failed to unmarshal claims: {e}"))?;
        let audiences = claims.audiences();
        if !audiences.iter().any(|a| self.audiences.contains(a)) {
            let list = |list: &[String]| list.iter().map(|a| go_quote(a)).collect::<Vec<_>>().join(" ");
            return Err(match self.audiences.as_slice() {
                [one] => format!("oidc: expected audience {} got [{}]", go_quote(one), list(&audiences)),
                many => format!("oidc: expected audience in [{}] got [{}]", list(many), list(&audiences)),
            });
        }
        let now = (self.clock)().as_second();
        let Some(end) = claims.time("exp") else { return Err("oidc: token has no expiry".into()) };
        if end < now {
            let at = Timestamp::from_second(end).unwrap_or_default();
            return Err(format!("oidc: token is expired (Token Expiry: {at})"));
        }
        if claims.time("nbf").is_some_and(|begin| now.saturating_add(NOT_BEFORE_LEEWAY_SECONDS) < begin) {
            return Err("oidc: current time is before the nbf (not before) time".into());
        }
        let is_signed = self.keys.any(&compact.key_id, |key| compact.is_signed_by(key)).await?;
        if !is_signed {
            return Err("failed to verify signature: failed to verify id token signature".into());
        }
        Ok(claims)
    }
}

#[async_trait]
impl PlainToken for OidcIssuer {
    async fn user(&self, token: &str) -> Result<Option<User>, Rejected> {
        let Some(compact) = Compact::parse(token).filter(|c| c.issuer() == self.url) else { return Ok(None) };
        let claims = self.verify(&compact).await.map_err(|e| Rejected(format!("oidc: verify token: {e}")))?;
        let mut user = self.mapping.user(&claims).map_err(Rejected)?;
        if let Some(id) = claims.text("jti").filter(|id| !id.is_empty()) {
            user.extra.entry(CREDENTIAL_ID_KEY.into()).or_insert_with(|| vec![format!("JTI={id}")]);
        }
        Ok(Some(user))
    }
}

#[cfg(test)]
mod tests;
