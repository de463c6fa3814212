//! Field selectors: `metadata.name=a,spec.nodeName!=b`, with backslashes before `\`, `,` and `=` in values.
//!
//! Which fields a resource knows is its descriptor's matter; here they are only names.

use std::borrow::Cow;
use std::fmt;

use crate::Str;

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A term has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole text.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash stands before something that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A `,` or `=` stands without a backslash; upstream prints its number.
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*.0))]
    Unescaped(char),
}

/// What is asked of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The field, `spec.nodeName`.
    pub field: Str,
    /// Whether the value must not be this one.
    pub negated: bool,
    /// The value.
    pub value: Str,
}

/// All of several requirements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

impl Selector {
    /// The selector of everything.
    pub const EVERYTHING: Selector = Selector { requirements: Vec::new() };

    /// All of `requirements`.
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Self { requirements }
    }

    /// `field=value`.
    pub fn equal(field: impl Into<Str>, value: impl Into<Str>) -> Self {
        Self::new(vec![Requirement { field: field.into(), negated: false, value: value.into() }])
    }

    /// All of this, and `field=value`.
    #[must_use]
    pub fn and_equal(mut self, field: &str, value: impl Into<Str>) -> Self {
        let value = value.into();
        if !self.requirements.iter().any(|r| !r.negated && r.field == field && r.value == value) {
            self.requirements.push(Requirement { field: field.into(), negated: false, value });
        }
        self
    }

    /// Reads the text of a query.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut terms: Vec<&str> = terms(text).filter(|term| !term.is_empty()).collect();
        terms.sort_unstable();
        let requirement = |term: &str| {
            let (field, negated, value) = split_term(term)
                .ok_or_else(|| Error::Term { selector: text.to_owned(), term: term.to_owned() })?;
            Ok(Requirement { field: field.into(), negated, value: unescape(value)?.into() })
        };
        terms.into_iter().map(requirement).collect::<Result<_, _>>().map(Self::new)
    }

    /// What it requires.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that it demands of `field`, if it demands one.
    pub fn required_value(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| !r.negated && r.field == field).map(|r| r.value.as_str())
    }

    /// Whether it selects the object whose fields `get` knows; a field that is not set is empty.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Cow<'a, str>) -> bool {
        self.requirements.iter().all(|r| (get(&r.field) == r.value.as_str()) != r.negated)
    }

    /// The same with other fields or values, as a resource with old names for its fields wants it.
    pub fn transform<E>(self, mut change: impl FnMut(Str, Str) -> Result<(Str, Str), E>) -> Result<Self, E> {
        let mut requirements = self.requirements;
        for requirement in &mut requirements {
            let field = std::mem::take(&mut requirement.field);
            let value = std::mem::take(&mut requirement.value);
            (requirement.field, requirement.value) = change(field, value)?;
        }
        Ok(Self { requirements })
    }
}

/// The terms between the commas that have no backslash before them.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let mut in_slash = false;
    text.split(move |c| {
        let escaped = in_slash;
        in_slash = c == '\\' && !escaped;
        c == ',' && !escaped
    })
}

/// The field, whether the operator is `!=`, and the value with its backslashes.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find("!=").into_iter().chain(term.find('=')).min()?;
    let (field, rest) = term.split_at(at);
    let negated = rest.starts_with('!');
    let value = rest.strip_prefix("!=").or_else(|| rest.strip_prefix("==")).unwrap_or(&rest[1..]);
    Some((field, negated, value))
}

fn unescape(value: &str) -> Result<Cow<'_, str>, Error> {
    if !value.contains(['\\', ',', '=']) {
        return Ok(value.into());
    }
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(Error::Escape(format!("\\{c}"))),
                None => return Err(Error::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(Error::Unescaped(c)),
            c => out.push(c),
        }
    }
    Ok(out.into())
}

/// A value with backslashes where a selector needs them.
pub fn escape(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', ',', '=']) {
        return value.into();
    }
    let mut out = String::with_capacity(value.len() + 4);
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out.into()
}

/// The text that [`Selector::parse`] reads.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if requirement.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{operator}{}", requirement.field, escape(&requirement.value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_selector_is_read_and_written() {
        let rows = [
            ("", ""),
            ("a=b", "a=b"),
            ("a==b,,", "a=b"),
            ("b!=c,a=1", "a=1,b!=c"),
            ("a=", "a="),
            ("metadata.name=x", "metadata.name=x"),
            (r"a=b\,c\=d\\", r"a=b\,c\=d\\"),
            ("=x", "=x"),
        ];
        for (text, want) in rows {
            assert_eq!(Selector::parse(text).map(|s| s.to_string()).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_upstreams_sentence() {
        let rows = [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a=1,b", "invalid selector: 'a=1,b'; can't understand 'b'"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
            (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
            (r"a=\", r"invalid field selector: invalid escape sequence: \"),
        ];
        for (text, want) in rows {
            assert_eq!(Selector::parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }

    #[test]
    fn a_field_that_is_not_set_is_empty() {
        let get = |field: &str| Cow::from(if field == "a" { "1" } else { "" });
        let rows = [("a=1", true), ("a!=1", false), ("b=", true), ("b!=x", true), ("a=1,b=x", false)];
        for (text, want) in rows {
            assert_eq!(Selector::parse(text).unwrap().matches(get), want, "{text}");
        }
        assert_eq!(Selector::parse("a!=2,a=1").unwrap().required_value("a"), Some("1"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same(value in ".{0,20}", negated: bool) {
            let one = Requirement { field: "metadata.name".into(), negated, value: value.into() };
            let selector = Selector::new(vec![one]);
            prop_assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector);
        }
    }
}
