//! Dotted paths such as `.spec.nodeName`: compiled once, read from many objects, for field selectors.
//!
//! The richer paths of printer columns are in [`crate::jsonpath`].

use std::borrow::Cow;

use crate::{Str, Value};

/// A path of field names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DottedPath {
    fields: Vec<Str>,
}

/// Why a text is no path of field names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path of field names such as .spec.nodeName")]
pub struct Error(String);

impl DottedPath {
    /// From `.spec.nodeName` or `metadata.name`. Within a name, `\.` stands for a dot.
    pub fn compile(path: &str) -> Result<Self, Error> {
        let body = path.strip_prefix('.').unwrap_or(path);
        let mut fields = vec![Str::default()];
        let mut chars = body.chars();
        while let Some(c) = chars.next() {
            let field = fields.last_mut().expect("it begins with one field, and none is taken away");
            match c {
                '.' => fields.push(Str::default()),
                '\\' => field.push(chars.next().ok_or_else(|| Error(path.to_owned()))?),
                '[' | ']' | '*' | '{' | '}' | '(' | ')' => return Err(Error(path.to_owned())),
                c => field.push(c),
            }
        }
        if fields.iter().any(Str::is_empty) {
            return Err(Error(path.to_owned()));
        }
        Ok(Self { fields })
    }

    /// The names on the path.
    pub fn fields(&self) -> &[Str] {
        &self.fields
    }

    /// What stands there.
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.fields.iter().try_fold(object, |value, field| value.get(field))
    }

    /// The text of what stands there; empty when there is nothing, or no string, number or boolean.
    pub fn text<'a>(&self, object: &'a Value) -> Cow<'a, str> {
        match self.get(object) {
            Some(Value::String(text)) => text.as_str().into(),
            Some(value @ (Value::Int(_) | Value::Float(_))) => value.to_json().into(),
            Some(Value::Bool(true)) => "true".into(),
            Some(Value::Bool(false)) => "false".into(),
            _ => "".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_a_field_as_text() {
        let object: Value = serde_json::from_str(
            r#"{"spec":{"n":"x","i":3,"b":true,"l":[1],"m":{"a.b":"dotted"},"z":null}}"#,
        )
        .unwrap();
        let rows = [
            (".spec.n", "x"),
            ("spec.n", "x"),
            ("spec.i", "3"),
            ("spec.b", "true"),
            ("spec.l", ""),
            ("spec.z", ""),
            ("spec.n.x", ""),
            ("metadata.name", ""),
            (r"spec.m.a\.b", "dotted"),
        ];
        for (path, want) in rows {
            assert_eq!(DottedPath::compile(path).unwrap().text(&object), want, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_of_names_is_refused() {
        for path in ["", ".", "a..b", "a.", "a[0]", "a.*", "a\\"] {
            assert!(DottedPath::compile(path).is_err(), "{path}");
        }
    }
}
