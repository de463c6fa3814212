//! Asks the API server: TokenReviews and SubjectAccessReviews. Answers are remembered for as long as the kubelet remembers them.

use std::hash::Hash;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::{Access, Attributes, Error, User};

/// Answers that are remembered, of each kind.
const REMEMBERED: usize = 4096;
/// For how long it is remembered whose a token is (`authentication.webhook.cacheTTL`).
const TOKEN_TTL: Duration = Duration::from_mins(2);
/// For how long a permission is remembered (`authorization.webhook.cacheAuthorizedTTL`).
const ALLOWED_TTL: Duration = Duration::from_mins(5);
/// For how long a refusal is remembered (`authorization.webhook.cacheUnauthorizedTTL`).
const REFUSED_TTL: Duration = Duration::from_secs(30);

/// Asks the API server.
pub struct Reviews {
    client: kube::Client,
    tokens: Cache<[u8; 32], (Instant, Option<User>)>,
    verdicts: Cache<Question, (Instant, bool)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    user: String,
    attributes: Attributes,
}

impl Reviews {
    /// Asks by this client.
    pub fn new(client: kube::Client) -> Self {
        Self { client, tokens: Cache::new(REMEMBERED), verdicts: Cache::new(REMEMBERED) }
    }
}

fn remembered<K: Hash + Eq, V: Clone>(cache: &Cache<K, (Instant, V)>, key: &K) -> Option<V> {
    cache.get(key).filter(|(until, _)| *until > Instant::now()).map(|(_, value)| value)
}

fn failed(error: &kube::Error) -> Error {
    Error(crate::words::in_words(error))
}

#[async_trait]
impl Access for Reviews {
    async fn user(&self, token: &str) -> Result<Option<User>, Error> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(user) = remembered(&self.tokens, &key) {
            return Ok(user);
        }
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let api = Api::<TokenReview>::all(self.client.clone());
        let review = api.create(&PostParams::default(), &review).await.map_err(|error| failed(&error))?;
        let status = review.status.unwrap_or_default();
        let user = if status.authenticated == Some(true) { status.user.map(user) } else { None };
        // Who is nobody may become somebody in the next moment; only good answers are kept.
        if user.is_some() {
            self.tokens.insert(key, (Instant::now() + TOKEN_TTL, user.clone()));
        }
        Ok(user)
    }

    async fn allows(&self, user: &User, attributes: &Attributes) -> Result<bool, Error> {
        let who = serde_json::json!([user.name, user.uid, user.groups, user.extra]).to_string();
        let question = Question { user: who, attributes: attributes.clone() };
        if let Some(allowed) = remembered(&self.verdicts, &question) {
            return Ok(allowed);
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(attributes.verb.to_owned()),
                    version: Some("v1".to_owned()),
                    resource: Some("nodes".to_owned()),
                    subresource: Some(attributes.subresource.to_owned()),
                    name: Some(attributes.node.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api = Api::<SubjectAccessReview>::all(self.client.clone());
        let review = api.create(&PostParams::default(), &review).await.map_err(|error| failed(&error))?;
        let allowed = review.status.is_some_and(|status| status.allowed);
        let ttl = if allowed { ALLOWED_TTL } else { REFUSED_TTL };
        self.verdicts.insert(question, (Instant::now() + ttl, allowed));
        Ok(allowed)
    }
}

fn user(info: UserInfo) -> User {
    User {
        name: info.username.unwrap_or_default(),
        uid: info.uid.unwrap_or_default(),
        groups: info.groups.unwrap_or_default(),
        extra: info.extra.unwrap_or_default(),
    }
}
