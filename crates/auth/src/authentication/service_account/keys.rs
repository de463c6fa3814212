//! The keys of tokens: one that signs, and all whose signatures count.

use std::sync::Arc;

use tokio::sync::SetOnce;

use crate::authentication::jwt::{PublicKey, SigningKey};

/// Keys that belong together.
#[derive(Debug, Default)]
pub struct KeyRing {
    signing: Option<SigningKey>,
    verifying: Vec<PublicKey>,
}

impl KeyRing {
    /// A key that signs, and further ones that only verify (an old one after a rotation).
    pub fn new(signing: Option<SigningKey>, others: impl IntoIterator<Item = PublicKey>) -> Self {
        let mut verifying: Vec<PublicKey> = signing.iter().map(|key| key.public().clone()).collect();
        for key in others {
            if !verifying.contains(&key) {
                verifying.push(key);
            }
        }
        Self { signing, verifying }
    }

    /// The key that signs.
    pub fn signing(&self) -> Option<&SigningKey> {
        self.signing.as_ref()
    }

    /// All keys whose signatures count.
    pub fn verifying(&self) -> &[PublicKey] {
        &self.verifying
    }

    /// Those that a token may mean: the one that it names, or all when it names none.
    pub(super) fn named<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a PublicKey> {
        self.verifying.iter().filter(move |key| id.is_empty() || key.id() == id)
    }
}

/// The key ring of a server, which is there a moment after the server: making an RSA key takes longer than a start.
#[derive(Debug, Clone, Default)]
pub struct Keys(Arc<SetOnce<KeyRing>>);

impl Keys {
    /// Keys that are there.
    pub fn of(ring: KeyRing) -> Self {
        let keys = Self::default();
        keys.set(ring);
        keys
    }

    /// Puts the keys in. Only the first time counts.
    pub fn set(&self, ring: KeyRing) {
        let _ = self.0.set(ring);
    }

    /// The keys, once they are there.
    pub async fn get(&self) -> &KeyRing {
        self.0.wait().await
    }
}
