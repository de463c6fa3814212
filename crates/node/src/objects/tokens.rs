//! Tokens of the pods' service accounts, bound to the pods: kept until the pod goes, and asked for anew at 80 % of their time or after a day, as the kubelet's token
//! manager does.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

/// No token is used for longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// What is left of a token's time when the next one is asked for, in percent.
const LEFT_PERCENT: i64 = 20;
/// Pods that were made together do not ask together.
const JITTER_SECONDS: f64 = 10.0;
/// When a server that refused is asked again.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What is sent.
    pub text: String,
    /// When the next one is to be asked for.
    pub refresh_at: Timestamp,
    expires_at: Timestamp,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("refresh_at", &self.refresh_at).finish_non_exhaustive()
    }
}

/// A pod, by its UID, and what it wants.
type Key = (String, Option<String>, Option<i64>);

/// The tokens of this node's pods.
pub struct Tokens {
    client: Client,
    known: Mutex<HashMap<Key, Token>>,
}

impl Tokens {
    /// Tokens that `client` asks for.
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// A token of a pod. One that is not to be refreshed yet is handed out again; one that cannot be refreshed as long as it holds.
    pub async fn get(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        expiration_seconds: Option<i64>,
    ) -> Result<Token, String> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let key = (uid, audience.map(str::to_owned), expiration_seconds);
        let known = self.known.lock().get(&key).cloned();
        let now = Timestamp::now();
        if let Some(token) = known.as_ref().filter(|token| now < token.refresh_at) {
            return Ok(token.clone());
        }
        match (self.ask(pod, audience, expiration_seconds).await, known) {
            (Ok(token), _) => {
                self.known.lock().insert(key, token.clone());
                Ok(token)
            }
            (Err(message), Some(token)) if now < token.expires_at => {
                tracing::warn!(pod = key.0, message, "couldn't update token");
                Ok(Token { refresh_at: now + AGAIN, ..token })
            }
            (Err(message), Some(_)) => Err(format!("token expired and refresh failed: {message}")),
            (Err(message), None) => Err(format!("failed to fetch token: {message}")),
        }
    }

    /// Forgets the tokens of a pod.
    pub fn forget(&self, uid: &str) {
        self.known.lock().retain(|key, _| key.0 != uid);
    }

    async fn ask(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        expiration_seconds: Option<i64>,
    ) -> Result<Token, String> {
        let meta = &pod.metadata;
        let account =
            pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or_default();
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: audience.map(|audience| vec![audience.to_owned()]),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: meta.name.clone(),
                    uid: meta.uid.clone(),
                }),
                expiration_seconds,
            }),
            ..TokenRequest::default()
        };
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        let answer = api.create_token_request(account, &PostParams::default(), &request).await;
        let answer = answer.map_err(|error| crate::words::in_words(&error))?;
        let status = answer.status.ok_or("the server gave no token")?;
        let seconds = answer.spec.and_then(|spec| spec.expiration_seconds).or(expiration_seconds);
        let (Some(text), Some(expires_at)) = (status.token, status.expiration_timestamp) else {
            return Err("the server gave no token".into());
        };
        let expires_at = expires_at.0;
        let jitter = rand::random::<f64>() * JITTER_SECONDS;
        Ok(Token { text, refresh_at: refresh_at(expires_at, seconds, jitter), expires_at })
    }
}

/// When a token that was asked for `seconds` and expires then is to be replaced. `jitter_seconds` earlier.
fn refresh_at(expires_at: Timestamp, seconds: Option<i64>, jitter_seconds: f64) -> Timestamp {
    let Some(seconds) = seconds else { return expires_at };
    let issued_at = expires_at - SignedDuration::from_secs(seconds);
    let left = SignedDuration::from_secs(seconds * LEFT_PERCENT / 100);
    (expires_at - left).min(issued_at + LONGEST) - SignedDuration::from_secs_f64(jitter_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_at_four_fifths_of_its_time_or_after_a_day() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let rows = [
            ("the usual one", 3607, 0.0, "2026-01-01T00:48:06Z"),
            ("with jitter", 3600, 10.0, "2026-01-01T00:47:50Z"),
            ("a year", 365 * 24 * 3600, 0.0, "2026-01-02T00:00:00Z"),
            ("ten minutes", 600, 0.0, "2026-01-01T00:08:00Z"),
        ];
        for (name, seconds, jitter, expected) in rows {
            let expires = now + SignedDuration::from_secs(seconds);
            assert_eq!(refresh_at(expires, Some(seconds), jitter), expected.parse().unwrap(), "{name}");
        }
        assert_eq!(refresh_at(now, None, 5.0), now, "without a time");
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_renewed_is_used_as_long_as_it_holds() {
        let server = sampan_testkit::TestServer::start().await;
        let tokens = Tokens::new(crate::objects::tests::client(server));
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "default", "uid": "u1"}, "spec": {"containers": [], "serviceAccountName": "gone"}}))
        .unwrap();
        let now = Timestamp::now();
        let know = |refreshes: i64, expires: i64| {
            let at = |seconds| now + SignedDuration::from_secs(seconds);
            let token = Token { text: "jwt".into(), refresh_at: at(refreshes), expires_at: at(expires) };
            tokens.known.lock().insert(("u1".into(), None, Some(600)), token);
        };
        let ask = || tokens.get(&pod, None, Some(600));
        let refused = "serviceaccounts \"gone\" not found";
        assert_eq!(ask().await.unwrap_err(), format!("failed to fetch token: {refused}"));
        know(60, 120);
        assert_eq!(ask().await.unwrap().text, "jwt", "it is not asked for anew yet");
        know(-60, 60);
        let kept = ask().await.unwrap();
        assert_eq!(kept.text, "jwt");
        assert!(kept.refresh_at > now, "it is asked for again, though not at once");
        know(-120, -60);
        assert_eq!(ask().await.unwrap_err(), format!("token expired and refresh failed: {refused}"));
        know(60, 120);
        tokens.forget("u1");
        assert_eq!(ask().await.unwrap_err(), format!("failed to fetch token: {refused}"));
    }
}
