//! Filters: `?(@.type=="Ready")`, `?(@.restarts>3)`, `?(@.name)`.

use std::cmp::Ordering;

use super::JsonPath;
use crate::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// A path from the element.
    Path(JsonPath),
    Literal(Value),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    /// The path leads somewhere.
    Exists(JsonPath),
    Compares(Operand, Comparison, Operand),
}

impl Operand {
    fn value<'a>(&'a self, element: &'a Value) -> Option<&'a Value> {
        match self {
            Operand::Path(path) => path.first(element),
            Operand::Literal(value) => Some(value),
        }
    }
}

impl Filter {
    /// Whether an element passes. Values of two types are never equal, and have no order.
    pub(super) fn accepts(&self, element: &Value) -> bool {
        match self {
            Filter::Exists(path) => path.first(element).is_some(),
            Filter::Compares(left, comparison, right) => match (left.value(element), right.value(element)) {
                (Some(left), Some(right)) => comparison.holds(left, right),
                _ => false,
            },
        }
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => (a == b).then_some(Ordering::Equal),
            (a, b) => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
        };
        match (self, order) {
            (Comparison::NotEqual, order) => order != Some(Ordering::Equal),
            (_, None) => false,
            (Comparison::Equal, Some(order)) => order.is_eq(),
            (Comparison::Less, Some(order)) => order.is_lt(),
            (Comparison::LessOrEqual, Some(order)) => order.is_le(),
            (Comparison::Greater, Some(order)) => order.is_gt(),
            (Comparison::GreaterOrEqual, Some(order)) => order.is_ge(),
        }
    }
}
