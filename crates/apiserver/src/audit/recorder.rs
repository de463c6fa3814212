//! What one request tells the audit log on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Takes down what is told of one request; empty, and free, where nothing is audited.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Option<Arc<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    annotations: Mutex<BTreeMap<String, String>>,
}

impl Recorder {
    /// One that takes things down.
    pub fn listening() -> Self {
        Self(Some(Arc::default()))
    }

    /// Adds an annotation to the event. What was said first of a key stays.
    pub fn annotate(&self, key: &str, value: impl Into<String>) {
        if let Some(inner) = &self.0 {
            inner.annotations.lock().entry(key.to_owned()).or_insert_with(|| value.into());
        }
    }

    /// The annotations so far.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.0.as_ref().map(|inner| inner.annotations.lock().clone()).unwrap_or_default()
    }
}
