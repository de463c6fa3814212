//! The claims of an ID token, as far as its signature allows to believe them.

use serde_json::{Map, Value};

use crate::authentication::jwt::Compact;

/// The claims.
#[derive(Debug)]
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// Reads them, unverified.
    pub(super) fn read(compact: &Compact<'_>) -> Result<Self, serde_json::Error> {
        compact.claims().map(Self)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A claim that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A claim that must be there and be text.
    pub(super) fn required_text(&self, name: &str) -> Result<&str, String> {
        match self.0.get(name) {
            None => Err("claim not present".into()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err("it is no string".into()),
        }
    }

    /// A claim that is one text or a list of texts; no claim is an empty list.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(list)) => list
                .iter()
                .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| "it is no list of strings".to_owned()))
                .collect(),
            Some(_) => Err("it is neither a string nor a list".into()),
        }
    }

    pub(super) fn audiences(&self) -> Vec<String> {
        self.texts("aud").unwrap_or_default()
    }

    /// A claim that is a time, in seconds since 1970.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the conversion saturates, and no time is that far away"
    )]
    pub(super) fn time(&self, name: &str) -> Option<i64> {
        let number = self.0.get(name)?;
        number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))
    }
}
