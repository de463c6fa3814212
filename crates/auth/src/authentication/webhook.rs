//! Tokens that another server knows (`--authentication-token-webhook-config-file`): it is sent a TokenReview and answers
//! with one.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::{Notes, Rejected};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::token::{Identity, TokenAuthenticator, intersection};
use crate::webhook_client::WebhookClient;

/// Asks a server about tokens.
#[derive(Debug)]
pub struct WebhookTokens {
    client: WebhookClient,
    version: Version,
    audiences: Vec<String>,
    /// Questions that are asked at once, and those that may wait for it.
    asking: Semaphore,
    waiting: Semaphore,
}

/// How many questions are asked at once. Tokens are shown by anybody, before any other limit.
const MAX_ASKING: usize = 64;
/// How many are under way or wait; further tokens are refused, as when the server does not answer.
const MAX_WAITING: usize = 1024;

/// The version of the reviews that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `authentication.k8s.io/v1`
    V1,
    /// `authentication.k8s.io/v1beta1`
    V1Beta1,
}

impl Version {
    fn api_version(self) -> &'static str {
        match self {
            Version::V1 => "authentication.k8s.io/v1",
            Version::V1Beta1 => "authentication.k8s.io/v1beta1",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    #[serde(default)]
    status: ReviewStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ReviewStatus {
    authenticated: bool,
    user: ReviewUser,
    audiences: Vec<String>,
    error: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ReviewUser {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: std::collections::BTreeMap<String, Vec<String>>,
}

impl WebhookTokens {
    /// Asks the server of `client`, on behalf of an API server of these audiences.
    pub fn new(client: WebhookClient, version: Version, audiences: Vec<String>) -> Self {
        let (asking, waiting) = (Semaphore::new(MAX_ASKING), Semaphore::new(MAX_WAITING));
        Self { client, version, audiences, asking, waiting }
    }

    /// What the answer says; an error for an answer that is none.
    fn read(&self, answer: serde_json::Value, audiences: &[String]) -> Result<Option<Identity>, Rejected> {
        let review: Review = serde_json::from_value(answer)
            .map_err(|e| Rejected(format!("the token webhook's answer is no TokenReview: {e}")))?;
        let version = self.version.api_version();
        if review.kind != "TokenReview" || review.api_version != version {
            return Err(Rejected(format!(
                "the token webhook answered with {}, Kind={} instead of {version}, Kind=TokenReview",
                review.api_version, review.kind
            )));
        }
        let status = review.status;
        // A server that knows no audiences means the API server's.
        let named = if status.audiences.is_empty() { &self.audiences } else { &status.audiences };
        let for_whom = intersection(audiences, named);
        if for_whom.is_empty() {
            return Ok(None);
        }
        if !status.authenticated {
            return if status.error.is_empty() { Ok(None) } else { Err(Rejected(status.error)) };
        }
        let ReviewUser { username, uid, groups, extra } = status.user;
        let user = User { name: username, uid, groups, extra };
        Ok(Some(Identity { user: Arc::new(user), audiences: for_whom, notes: Notes::default() }))
    }
}

#[async_trait]
impl TokenAuthenticator for WebhookTokens {
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Identity>, Rejected> {
        let question = json!({
            "kind": "TokenReview",
            "apiVersion": self.version.api_version(),
            "metadata": {},
            "spec": {"token": token, "audiences": audiences},
            "status": {"user": {}},
        });
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(Rejected::new("too many tokens wait for the token webhook"));
        };
        let _turn = self.asking.acquire().await.expect("it is never closed");
        match self.client.ask(&question).await {
            Ok(answer) => self.read(answer, audiences),
            Err(error) => {
                tracing::warn!(%error, "the token webhook does not answer");
                Err(Rejected(format!("the token webhook does not answer: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
