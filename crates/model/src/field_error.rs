//! One thing that is wrong with one field, in the API's own words.
//!
//! Texts and cause reasons are those of apimachinery's `field.Error`: clients match on them.

use std::collections::HashSet;
use std::fmt::{self, Write};

use crate::{Cause, Value};

/// The class of a [`FieldError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ErrorType {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
    Internal,
}

impl ErrorType {
    /// The reason of the cause that a client sees.
    pub fn cause_reason(self) -> &'static str {
        match self {
            ErrorType::NotFound => "FieldValueNotFound",
            ErrorType::Required => "FieldValueRequired",
            ErrorType::Duplicate => "FieldValueDuplicate",
            ErrorType::Invalid => "FieldValueInvalid",
            ErrorType::NotSupported => "FieldValueNotSupported",
            ErrorType::Forbidden => "FieldValueForbidden",
            ErrorType::TooLong => "FieldValueTooLong",
            ErrorType::TooMany => "FieldValueTooMany",
            ErrorType::TypeInvalid => "FieldValueTypeInvalid",
            ErrorType::Internal => "InternalError",
        }
    }

    fn text(self) -> &'static str {
        match self {
            ErrorType::NotFound => "Not found",
            ErrorType::Required => "Required value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::Invalid | ErrorType::TypeInvalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooLong => "Too long",
            ErrorType::TooMany => "Too many",
            ErrorType::Internal => "Internal error",
        }
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// The class.
    pub error_type: ErrorType,
    /// The place.
    pub field: String,
    /// The value found there, where the class shows it.
    pub bad_value: Value,
    /// The rest of the sentence.
    pub detail: String,
    /// How the value is written, where that is not its JSON: a Go struct has its fields in their own order.
    pub shown: Option<String>,
}

impl FieldError {
    fn new(
        error_type: ErrorType,
        field: impl fmt::Display,
        bad_value: Value,
        detail: impl Into<String>,
    ) -> Self {
        Self { error_type, field: field.to_string(), bad_value, detail: detail.into(), shown: None }
    }

    /// A field is missing. `detail` may be empty.
    pub fn required(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, field, Value::Null, detail)
    }

    /// A value is malformed.
    pub fn invalid(field: impl fmt::Display, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, field, value.into(), detail)
    }

    /// A value has the wrong type.
    pub fn type_invalid(
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(ErrorType::TypeInvalid, field, value.into(), detail)
    }

    /// A value stands twice where it may stand once.
    pub fn duplicate(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::Duplicate, field, value.into(), "")
    }

    /// A value is not one of those allowed. The message lists them sorted.
    pub fn not_supported(field: impl fmt::Display, value: impl Into<Value>, supported: &[&str]) -> Self {
        let mut sorted: Vec<String> = supported.iter().map(|s| go_quote(s)).collect();
        sorted.sort();
        let detail = if sorted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", sorted.join(", "))
        };
        Self::new(ErrorType::NotSupported, field, value.into(), detail)
    }

    /// The same, listing the allowed values in the order given, as options of `meta.k8s.io` are listed.
    pub fn not_supported_as_listed(
        field: impl fmt::Display,
        value: impl Into<Value>,
        supported: &[&str],
    ) -> Self {
        let listed: Vec<String> = supported.iter().map(|s| go_quote(s)).collect();
        Self::new(
            ErrorType::NotSupported,
            field,
            value.into(),
            format!("supported values: {}", listed.join(", ")),
        )
    }

    /// A field may not be set, or not so.
    pub fn forbidden(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, field, Value::Null, detail)
    }

    /// A value names something that does not exist.
    pub fn not_found(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::NotFound, field, value.into(), "")
    }

    /// A string is longer than `max` bytes.
    pub fn too_long(field: impl fmt::Display, max: usize) -> Self {
        Self::new(ErrorType::TooLong, field, Value::Null, format!("may not be more than {max} bytes"))
    }

    /// A list has `actual` items and may have `max`.
    pub fn too_many(field: impl fmt::Display, actual: usize, max: usize) -> Self {
        let items = if max == 1 { "item" } else { "items" };
        let actual = i64::try_from(actual).unwrap_or(i64::MAX);
        Self::new(ErrorType::TooMany, field, Value::Int(actual), format!("must have at most {max} {items}"))
    }

    /// Something that should not happen.
    pub fn internal(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Internal, field, Value::Null, detail)
    }

    /// The same with the value written like this.
    #[must_use]
    pub fn showing(mut self, shown: String) -> Self {
        self.shown = Some(shown);
        self
    }

    /// The sentence without the field.
    pub fn body(&self) -> String {
        let mut text = self.error_type.text().to_owned();
        match self.error_type {
            ErrorType::Required | ErrorType::Forbidden | ErrorType::TooLong | ErrorType::Internal => {}
            _ => {
                text.push_str(": ");
                text.push_str(&match (&self.shown, &self.bad_value) {
                    (Some(shown), _) => shown.clone(),
                    (None, Value::String(s)) => go_quote(s),
                    (None, value) => value.to_json(),
                });
            }
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The cause in the [`crate::Status`] of a refused request.
    pub fn cause(&self) -> Cause {
        Cause {
            reason: self.error_type.cause_reason().into(),
            message: self.body(),
            field: self.field.clone(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.body())
        } else {
            write!(f, "{}: {}", self.field, self.body())
        }
    }
}

/// A string in quotes as Go's `%q` writes it.
pub fn go_quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => _ = write!(out, "\\x{:02x}", c as u32),
            c if c.is_control() => _ = write!(out, "\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Several errors in one sentence, as Go's aggregates have it: each once, in brackets when they are many.
pub(crate) fn aggregate(errors: &[FieldError]) -> String {
    let mut said = HashSet::new();
    let sentences = errors.iter().map(ToString::to_string).filter(|sentence| said.insert(sentence.clone()));
    let sentences: Vec<String> = sentences.collect();
    match sentences.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_upstreams() {
        let rows = [
            (FieldError::required("a.b", ""), "a.b: Required value"),
            (FieldError::required("a", "name is required"), "a: Required value: name is required"),
            (FieldError::invalid("a", "x\"", "must be y"), r#"a: Invalid value: "x\"": must be y"#),
            (FieldError::invalid("a", -1, "must be positive"), "a: Invalid value: -1: must be positive"),
            (FieldError::duplicate("a[1]", "x"), r#"a[1]: Duplicate value: "x""#),
            (
                FieldError::not_supported("a", "x", &["B", "A"]),
                r#"a: Unsupported value: "x": supported values: "A", "B""#,
            ),
            (FieldError::too_long("a", 63), "a: Too long: may not be more than 63 bytes"),
            (FieldError::too_many("a", 3, 1), "a: Too many: 3: must have at most 1 item"),
        ];
        for (error, want) in rows {
            assert_eq!(error.to_string(), want);
        }
    }
}
