//! The API's own objects, as authenticators read them: straight from the newest state, so that what was deleted counts no
//! more from that moment on.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_store::Store;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The newest state of the store.
#[derive(Clone)]
pub struct Stored(Arc<dyn Store>);

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stored")
    }
}

/// An object of which only `metadata` matters.
#[derive(Debug, Deserialize)]
pub struct Bare {
    /// The metadata.
    pub metadata: Metadata,
}

/// What authenticators need to know of every object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Which of several objects of one name it is.
    pub uid: String,
    /// When it was asked to go.
    pub deletion_timestamp: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A secret.
#[derive(Debug, Deserialize)]
pub struct Secret {
    /// The metadata.
    pub metadata: Metadata,
    /// What sort of secret.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The content, in base64.
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Secret {
    /// One part of the content.
    pub fn data(&self, key: &str) -> Option<Vec<u8>> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(self.data.get(key)?).ok()
    }

    /// One part that is text.
    pub fn text(&self, key: &str) -> Option<String> {
        self.data(key).and_then(|bytes| String::from_utf8(bytes).ok())
    }
}

impl Stored {
    /// The objects in a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// One object of the core group; `namespace` is empty for those without one.
    pub fn get<T: DeserializeOwned>(&self, resource: &str, namespace: &str, name: &str) -> Option<T> {
        let valid = |part: &str| !part.contains('/');
        if name.is_empty() || !valid(namespace) || !valid(name) {
            return None;
        }
        let key = if namespace.is_empty() {
            format!("/registry/{resource}/{name}")
        } else {
            format!("/registry/{resource}/{namespace}/{name}")
        };
        let snapshot = self.0.snapshot();
        let entry = snapshot.get(&key)?;
        serde_json::from_slice(&entry.value).ok()
    }
}
