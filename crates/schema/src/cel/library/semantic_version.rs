//! Versions as semver 2.0 has them, and with `true` as second argument such that nearly are (`v1.0`, `01.1`).

use std::cmp::Ordering;

use cel::common::types::{CelBool, CelInt, CelString, Type};
use cel::{DeclarationError, Env, ExecutionError};
use semver::Version;

use super::{Of, Own, failed};

static KIND: Type = Type::new_unspecified_type("kubernetes.Semver");

impl Own for Version {
    fn kind() -> &'static Type {
        &KIND
    }
}

type Value = Of<Version>;

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_overload!(env, fn semver: (CelString) -> Result<Value>)?;
    cel::add_overload!(env, fn semver_normal: (CelString, CelBool) -> Result<Value>, name = "semver")?;
    cel::add_overload!(env, fn is_semver: (CelString) -> CelBool)?;
    cel::add_overload!(env, fn is_semver_normal: (CelString, CelBool) -> CelBool, name = "isSemver")?;
    cel::add_member_overload!(env, fn major: (Value) -> CelInt)?;
    cel::add_member_overload!(env, fn minor: (Value) -> CelInt)?;
    cel::add_member_overload!(env, fn patch: (Value) -> CelInt)?;
    cel::add_member_overload!(env, fn is_less_than: (Value, Value) -> CelBool)?;
    cel::add_member_overload!(env, fn is_greater_than: (Value, Value) -> CelBool)?;
    cel::add_member_overload!(env, fn compare_to: (Value, Value) -> CelInt)
}

/// The text without a leading `v` and without leading zeros, with the numbers that it lacks.
fn normal(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<&str> = numbers.split('.').collect();
    for part in &mut parts {
        let trimmed = part.trim_start_matches('0');
        *part = if trimmed.is_empty() && !part.is_empty() { "0" } else { trimmed };
    }
    while parts.len() < 3 {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

fn parse(text: &str, normalize: bool) -> Result<Version, semver::Error> {
    if normalize { Version::parse(&normal(text)) } else { Version::parse(text) }
}

fn semver(text: &CelString<'_>) -> Result<Value, ExecutionError> {
    parse(text.inner(), false).map(Of).map_err(|e| failed("semver", e))
}

fn semver_normal(text: &CelString<'_>, normalize: &CelBool) -> Result<Value, ExecutionError> {
    parse(text.inner(), *normalize.inner()).map(Of).map_err(|e| failed("semver", e))
}

fn is_semver(text: &CelString<'_>) -> CelBool {
    parse(text.inner(), false).is_ok().into()
}

fn is_semver_normal(text: &CelString<'_>, normalize: &CelBool) -> CelBool {
    parse(text.inner(), *normalize.inner()).is_ok().into()
}

fn int(number: u64) -> CelInt {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn major(this: &Value) -> CelInt {
    int(this.0.major)
}

fn minor(this: &Value) -> CelInt {
    int(this.0.minor)
}

fn patch(this: &Value) -> CelInt {
    int(this.0.patch)
}

/// Metadata of a build do not count.
fn order(this: &Value, other: &Value) -> Ordering {
    this.0.cmp_precedence(&other.0)
}

fn is_less_than(this: &Value, other: &Value) -> CelBool {
    (order(this, other) == Ordering::Less).into()
}

fn is_greater_than(this: &Value, other: &Value) -> CelBool {
    (order(this, other) == Ordering::Greater).into()
}

fn compare_to(this: &Value, other: &Value) -> CelInt {
    (order(this, other) as i64).into()
}
