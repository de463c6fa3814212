//! The JSONPath that printer columns of CRDs use: fields, `['x']`, `[*]`, `[0]`, `[-1:]`, `..x`, and filters
//! such as `[?(@.type=="Ready")]`.
//!
//! A path is compiled once, and then run on every row. A field that is missing is no error: it has no result.

mod filter;
mod parse;

use std::borrow::Cow;

use filter::Filter;

use crate::{Str, Value};

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {at} of {path:?}")]
pub struct Error {
    message: &'static str,
    at: usize,
    path: String,
}

/// A compiled path.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// The value of one field, or of several.
    Fields(Vec<Str>),
    /// All values of a map, or all elements of a list.
    All,
    /// Single elements of a list; those below 0 count from its end.
    Indices(Vec<i64>),
    /// Elements from one to before another, in strides.
    Slice { start: Option<i64>, end: Option<i64>, stride: usize },
    /// The value itself and all below it.
    Descend,
    /// The elements of a list that have a property.
    Filter(Filter),
}

impl JsonPath {
    /// From `.spec.x`, `$.spec.x` or `{.spec.x}`.
    pub fn compile(path: &str) -> Result<Self, Error> {
        parse::Parser::new(path).path().map(|steps| Self { steps })
    }

    /// All that the path leads to.
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        visit(&self.steps, object, &mut |value| {
            found.push(value);
            true
        });
        found
    }

    /// The first that the path leads to: what a column shows.
    pub fn first<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        let mut found = None;
        visit(&self.steps, object, &mut |value| {
            found = Some(value);
            false
        });
        found
    }
}

/// A value as a column of strings shows it: strings bare, maps and lists as JSON.
pub fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.as_str().into(),
        value => value.to_json().into(),
    }
}

/// Shows `found` every value at the end of `steps`, until it says false; then the answer is false too.
fn visit<'a>(steps: &[Step], value: &'a Value, found: &mut dyn FnMut(&'a Value) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return found(value);
    };
    let list = || value.as_array().unwrap_or(&[]);
    match step {
        Step::Fields(names) => names.iter().filter_map(|n| value.get(n)).all(|v| visit(rest, v, found)),
        Step::All => children(value).all(|v| visit(rest, v, found)),
        Step::Indices(indices) => {
            let element = |index: &i64| list().get(position(*index, list().len())?);
            indices.iter().filter_map(element).all(|v| visit(rest, v, found))
        }
        Step::Slice { start, end, stride } => {
            let bound = |index: Option<i64>, default: usize| match index {
                None => default,
                Some(index) => position(index, list().len()).unwrap_or(0).min(list().len()),
            };
            let (start, end) = (bound(*start, 0), bound(*end, list().len()));
            let elements = list().get(start..end).unwrap_or(&[]);
            elements.iter().step_by(*stride).all(|v| visit(rest, v, found))
        }
        Step::Descend => visit(rest, value, found) && children(value).all(|v| visit(steps, v, found)),
        Step::Filter(filter) => list().iter().filter(|v| filter.accepts(v)).all(|v| visit(rest, v, found)),
    }
}

/// An index that may count from the end; `None` before the beginning.
fn position(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if index < 0 { index + length } else { index }).ok()
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests;
