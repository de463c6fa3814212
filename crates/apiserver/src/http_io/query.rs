//! The query string, and the options that the API reads from it.

use std::borrow::Cow;

use sampan_model::{FieldError, GroupKind, Status};

/// Names and values of a query, decoded, in order.
#[derive(Debug, Default, Clone)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string; percent and plus decoding as forms have it.
    pub fn parse(query: &str) -> Self {
        if query.is_empty() {
            return Self::default();
        }
        Self(
            form_urlencoded::parse(query.as_bytes())
                .map(|(k, v)| (Cow::into_owned(k), Cow::into_owned(v)))
                .collect(),
        )
    }

    /// The first value of a name; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }

    /// Whether the name occurs.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(k, _)| k == name)
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// A boolean as upstream converts it: absent is false, anything but `false` and `0` is true.
    pub fn flag(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name).to_ascii_lowercase().as_str(), "false" | "0")
    }

    /// An integer; `None` when absent or empty, 400 when it is none.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {}: invalid syntax",
                sampan_model::field_error::go_quote(text)
            ))
        })
    }
}

/// How unknown and duplicate fields of a body are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped without a word.
    Ignore,
    /// They are dropped with a `Warning`.
    Warn,
    /// They are an error.
    Strict,
}

/// The options of a write.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Nothing is stored.
    pub dry_run: bool,
    /// Who the managed fields are written down to; empty: derived from the user agent.
    pub field_manager: String,
    /// Unknown fields.
    pub field_validation: FieldValidation,
    /// Conflicts of an apply are taken over.
    pub force: Option<bool>,
}

impl WriteOptions {
    /// Reads them; 422 as `<kind>` of `meta.k8s.io` (`CreateOptions`, `UpdateOptions`, `PatchOptions`) when one is wrong.
    pub fn parse(query: &Query, kind: &str) -> Result<Self, Status> {
        let mut errors = Vec::new();
        let manager = query.get("fieldManager");
        if manager.len() > 128 {
            errors.push(FieldError::too_long("fieldManager", 128));
        }
        if let Some((i, c)) = manager.char_indices().find(|(_, c)| c.is_control()) {
            errors.push(FieldError::invalid(
                "fieldManager",
                manager,
                format!("invalid character U+{:04X} (at position {i})", c as u32),
            ));
        }
        let dry_run: Vec<&str> = query.all("dryRun").filter(|v| !v.is_empty()).collect();
        if dry_run.iter().any(|v| *v != "All") {
            errors.push(FieldError::not_supported(
                "dryRun",
                dry_run.iter().map(|v| sampan_model::Value::from(*v)).collect::<Vec<_>>(),
                &["All"],
            ));
        }
        let field_validation = match query.get("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                errors.push(FieldError::not_supported(
                    "fieldValidation",
                    other,
                    &["Ignore", "Strict", "Warn"],
                ));
                FieldValidation::Warn
            }
        };
        if errors.is_empty() {
            Ok(Self {
                dry_run: !dry_run.is_empty(),
                field_manager: manager.to_owned(),
                field_validation,
                force: query.has("force").then(|| query.flag("force")),
            })
        } else {
            Err(Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", &errors))
        }
    }
}
