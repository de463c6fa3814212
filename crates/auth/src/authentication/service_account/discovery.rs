//! The two documents by which others check tokens: who the issuer is, and its keys (OpenID Connect Discovery 1.0).

use async_trait::async_trait;
use bytes::Bytes;
use sampan_apiserver::pages::Page;

use super::Keys;
use crate::authentication::jwt::{JwkSet, PublicKey};

/// Where the keys are, below the server's own URL.
pub const KEYS_PATH: &str = "/openid/v1/jwks";

/// For how long others may keep the documents: a new key must be published so long before it signs.
const CACHE_CONTROL: &str = "public, max-age=3600";

/// `/.well-known/openid-configuration`.
#[derive(Debug)]
pub struct Configuration {
    /// The keys.
    pub keys: Keys,
    /// The issuer's name.
    pub issuer: String,
    /// Where the keys are (`--service-account-jwks-uri`).
    pub jwks_uri: String,
}

/// The document, in the order of the specification.
#[derive(serde::Serialize)]
struct Document<'a> {
    issuer: &'a str,
    jwks_uri: &'a str,
    response_types_supported: [&'a str; 1],
    subject_types_supported: [&'a str; 1],
    id_token_signing_alg_values_supported: Vec<&'a str>,
}

#[async_trait]
impl Page for Configuration {
    fn path(&self) -> &'static str {
        "/.well-known/openid-configuration"
    }

    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn cache_control(&self) -> &'static str {
        CACHE_CONTROL
    }

    async fn body(&self) -> Bytes {
        let mut algorithms: Vec<&str> =
            self.keys.get().await.verifying().iter().map(|key| key.algorithm().name()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let document = Document {
            issuer: &self.issuer,
            jwks_uri: &self.jwks_uri,
            response_types_supported: ["id_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms,
        };
        serde_json::to_vec(&document).expect("texts are JSON").into()
    }
}

/// `/openid/v1/jwks`.
#[derive(Debug)]
pub struct KeySet(pub Keys);

#[async_trait]
impl Page for KeySet {
    fn path(&self) -> &'static str {
        KEYS_PATH
    }

    fn content_type(&self) -> &'static str {
        "application/jwk-set+json"
    }

    fn cache_control(&self) -> &'static str {
        CACHE_CONTROL
    }

    async fn body(&self) -> Bytes {
        let keys = self.0.get().await.verifying().iter().map(PublicKey::jwk).collect();
        serde_json::to_vec(&JwkSet { keys }).expect("texts are JSON").into()
    }
}
