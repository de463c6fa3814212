//! Label selectors: which objects a list, a watch, a Service or a controller means.
//!
//! A [`Selector`] is made once, from the text of a query ([`Selector::parse`]) or from a `LabelSelector` of an
//! object ([`Selector::from_object`]), and then asked often. Sentences are those of apimachinery's `labels`.

mod object;
mod parse;

use std::fmt;

pub use object::{
    ValidationOptions, format_label_selector, validate_label_selector, validate_label_selector_requirement,
};

use crate::name::{is_qualified_name, is_valid_label_value};
use crate::{FieldError, FieldPath, Map, Str, Value};

/// Why a text or an object is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// What a requirement asks of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    GreaterThan,
    LessThan,
    Exists,
    DoesNotExist,
}

/// What is asked of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: Str,
    operator: Operator,
    /// Sorted.
    values: Vec<Str>,
    /// The number that `GreaterThan` and `LessThan` compare with.
    bound: i64,
}

/// All of several requirements, or nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// By key.
    requirements: Vec<Requirement>,
    nothing: bool,
}

fn aggregate(errors: &[FieldError]) -> Error {
    Error(crate::field_error::aggregate(errors))
}

impl Requirement {
    /// A requirement whose parts have been checked.
    pub fn new(key: impl Into<Str>, operator: Operator, values: Vec<Str>) -> Result<Self, Error> {
        let (key, mut values) = (key.into(), values);
        let mut errors = Vec::new();
        let complaints = is_qualified_name(&key);
        if !complaints.is_empty() {
            errors.push(FieldError::invalid("key", key.as_str(), complaints.join("; ")));
        }
        let wrong_count = |detail| FieldError::invalid("values", values.clone(), detail);
        let mut bound = 0;
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                errors.push(wrong_count("for 'in', 'notin' operators, values set can't be empty"));
            }
            Operator::In | Operator::NotIn => {}
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
                if values.len() != 1 {
                    errors.push(wrong_count("exact-match compatibility requires one single value"));
                }
            }
            Operator::Exists | Operator::DoesNotExist => {
                if !values.is_empty() {
                    errors.push(wrong_count("values set must be empty for exists and does not exist"));
                }
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    errors.push(wrong_count("for 'Gt', 'Lt' operators, exactly one value is required"));
                }
                for (i, value) in values.iter().enumerate() {
                    match value.parse() {
                        Ok(number) => bound = number,
                        Err(_) => errors.push(FieldError::invalid(
                            format_args!("values[{i}]"),
                            value.as_str(),
                            "for 'Gt', 'Lt' operators, the value must be an integer",
                        )),
                    }
                }
            }
        }
        for (i, value) in values.iter().enumerate() {
            let complaints = is_valid_label_value(value);
            if !complaints.is_empty() {
                let path = format_args!("values[{i}][{key}]").to_string();
                errors.push(FieldError::invalid(path, value.as_str(), complaints.join("; ")));
            }
        }
        if !errors.is_empty() {
            return Err(aggregate(&errors));
        }
        values.sort();
        Ok(Self { key, operator, values, bound })
    }

    /// The label it is about.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it asks.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values it names, sorted.
    pub fn values(&self) -> &[Str] {
        &self.values
    }

    /// Whether a label with this value (`None`: no such label) is as required.
    pub fn accepts(&self, value: Option<&str>) -> bool {
        match (self.operator, value) {
            (Operator::In | Operator::Equals | Operator::DoubleEquals, Some(value)) => self.has(value),
            (Operator::NotIn | Operator::NotEquals, Some(value)) => !self.has(value),
            (Operator::NotIn | Operator::NotEquals | Operator::DoesNotExist, None) => true,
            (Operator::Exists, value) => value.is_some(),
            (Operator::GreaterThan, Some(value)) => value.parse().is_ok_and(|v: i64| v > self.bound),
            (Operator::LessThan, Some(value)) => value.parse().is_ok_and(|v: i64| v < self.bound),
            (Operator::DoesNotExist, Some(_)) | (_, None) => false,
        }
    }

    fn has(&self, value: &str) -> bool {
        // One value is the rule, a few the exception; a search pays only for more.
        match self.values.as_slice() {
            [only] => only == value,
            few if few.len() <= 8 => few.iter().any(|v| v == value),
            many => many.binary_search_by(|v| v.as_str().cmp(value)).is_ok(),
        }
    }
}

impl Selector {
    /// The selector of everything.
    pub const EVERYTHING: Selector = Selector { requirements: Vec::new(), nothing: false };
    /// The selector of nothing.
    pub const NOTHING: Selector = Selector { requirements: Vec::new(), nothing: true };

    /// All of `requirements`.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// Reads the text of a query, such as `a=b,c in (d,e),!f`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::parse(text).map(Self::new)
    }

    /// Exactly these labels, unchecked: the `selector` of a Service or a ReplicationController.
    pub fn from_map(labels: &Map) -> Self {
        // The map is sorted by key, and so are the requirements.
        let requirements = labels
            .iter()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::Equals,
                values: vec![value.as_str().unwrap_or("").into()],
                bound: 0,
            })
            .collect();
        Self { requirements, nothing: false }
    }

    /// From a `LabelSelector`: none selects nothing, an empty one everything.
    pub fn from_object(selector: Option<&Value>) -> Result<Self, Error> {
        object::selector(selector)
    }

    /// What it requires, by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether it is the selector of nothing. (One that contradicts itself is not recognized.)
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// The value that it demands of the label `key`, if it demands a single one.
    pub fn required_value(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|r| r.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [only]) => Some(only),
            _ => None,
        }
    }

    /// Whether it selects the object whose labels `get` knows.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.accepts(get(&r.key)))
    }

    /// Whether it selects the object with these labels, which are sorted by key.
    pub fn matches_sorted<K: AsRef<str>, V: AsRef<str>>(&self, labels: &[(K, V)]) -> bool {
        self.matches(|key| {
            let at = labels.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
            Some(labels[at].1.as_ref())
        })
    }

    /// Whether it selects the object whose `metadata.labels` these are.
    pub fn matches_map(&self, labels: Option<&Map>) -> bool {
        self.matches(|key| labels?.get(key)?.as_str())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.operator == Operator::DoesNotExist {
            f.write_str("!")?;
        }
        f.write_str(&self.key)?;
        let values = self.values.join(",");
        match self.operator {
            Operator::Equals => write!(f, "={values}"),
            Operator::DoubleEquals => write!(f, "=={values}"),
            Operator::NotEquals => write!(f, "!={values}"),
            Operator::In => write!(f, " in ({values})"),
            Operator::NotIn => write!(f, " notin ({values})"),
            Operator::GreaterThan => write!(f, ">{values}"),
            Operator::LessThan => write!(f, "<{values}"),
            Operator::Exists | Operator::DoesNotExist => Ok(()),
        }
    }
}

/// The text that [`Selector::parse`] reads; that of nothing is empty, as upstream's is.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

/// Checks the keys and values of labels; all complaints are about the map as a whole.
pub fn validate_labels(labels: &Map, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.iter() {
        errors.extend(validate_label_name(key, path));
        let value = value.as_str().unwrap_or("");
        errors.extend(is_valid_label_value(value).into_iter().map(|c| FieldError::invalid(path, value, c)));
    }
    errors
}

/// Checks the key of a label.
pub fn validate_label_name(key: &str, path: &FieldPath) -> Vec<FieldError> {
    is_qualified_name(key).into_iter().map(|c| FieldError::invalid(path, key, c)).collect()
}

#[cfg(test)]
mod tests;
