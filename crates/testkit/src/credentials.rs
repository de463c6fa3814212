//! Tokens of service accounts on a server under test: made and known as in a cluster, with a key that is made at once.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use sampan_auth::authentication::jwt::SigningKey;
use sampan_auth::authentication::service_account::{
    AccountTokens, Issuer, KeyRing, Keys, LegacyMetrics, LegacyTokens, last_used,
};
use sampan_auth::authentication::stored::Stored;
use sampan_auth::authentication::token::Tokens;
use sampan_store::Store;

/// The issuer of a server under test, and its audience.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The private key of all servers of a process (PEM). It is an ECDSA key, since those are made at once.
pub static KEY: LazyLock<String> =
    LazyLock::new(|| rcgen::KeyPair::generate().expect("there are random numbers").serialize_pem());

/// Who knows tokens, and who makes them.
pub(crate) struct Credentials {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) issuer: Arc<Issuer>,
    /// Uses of secrets' tokens.
    pub(crate) told: last_used::Told,
}

impl Credentials {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let key = SigningKey::from_pem(KEY.as_bytes()).expect("the key was just made");
        let keys = Keys::of(KeyRing::new(Some(key), []));
        let stored = Stored::new(store);
        let audiences = vec![ISSUER.to_owned()];
        let issuers = audiences.clone();
        let accounts =
            AccountTokens::new(keys.clone(), issuers, audiences.clone(), stored.clone(), Timestamp::now);
        let (uses, told) = last_used::channel();
        let legacy = LegacyTokens {
            keys: keys.clone(),
            audiences: audiences.clone(),
            stored,
            uses,
            clock: Timestamp::now,
            metrics: LegacyMetrics::default(),
        };
        let tokens = Tokens::new(vec![Arc::new(legacy), Arc::new(accounts)], audiences.clone());
        let issuer = Issuer {
            keys,
            name: ISSUER.into(),
            audiences,
            max_seconds: None,
            extend: true,
            clock: Timestamp::now,
        };
        Self { tokens: Arc::new(tokens), issuer: Arc::new(issuer), told }
    }
}
