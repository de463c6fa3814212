//! The `LabelSelector` that stands in objects: `matchLabels` and `matchExpressions`.

use super::{Error, Operator, Requirement, Selector, validate_label_name, validate_labels};
use crate::field_error::go_quote;
use crate::name::is_valid_label_value;
use crate::{FieldError, FieldPath, Map, Str, Value};

fn strings(value: &Value, field: &str) -> Vec<Str> {
    value.array_at(&[field]).iter().map(|v| v.as_str().unwrap_or("").into()).collect()
}

pub(super) fn selector(selector: Option<&Value>) -> Result<Selector, Error> {
    let Some(selector) = selector.filter(|s| !s.is_null()) else {
        return Ok(Selector::NOTHING);
    };
    let mut requirements = Vec::new();
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flat_map(Map::iter)
    {
        let value = value.as_str().unwrap_or("");
        requirements.push(Requirement::new(key.clone(), Operator::Equals, vec![value.into()])?);
    }
    for expression in selector.array_at(&["matchExpressions"]) {
        let operator = match expression.str_at(&["operator"]) {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                return Err(Error(format!("{} is not a valid label selector operator", go_quote(other))));
            }
        };
        requirements.push(Requirement::new(
            expression.str_at(&["key"]),
            operator,
            strings(expression, "values"),
        )?);
    }
    Ok(Selector::new(requirements))
}

/// A `LabelSelector` as tables show it: `<none>` for an empty one, `<error>` for one that is wrong.
pub fn format_label_selector(object: Option<&Value>) -> String {
    match selector(object) {
        Err(_) => "<error>".to_owned(),
        Ok(selector) if selector.requirements.is_empty() => "<none>".to_owned(),
        Ok(selector) => selector.to_string(),
    }
}

/// What [`validate_label_selector`] lets pass, for objects that were stored before the rule.
#[derive(Debug, Clone, Copy, Default)]
pub struct ValidationOptions {
    /// Values that no label can have.
    pub allow_invalid_label_value: bool,
    /// Operators that do not exist.
    pub allow_unknown_operator: bool,
}

/// Checks a `LabelSelector`.
pub fn validate_label_selector(
    selector: &Value,
    options: ValidationOptions,
    path: &FieldPath,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
        errors.extend(validate_labels(labels, &path.child("matchLabels")));
    }
    let path = path.child("matchExpressions");
    for (i, expression) in selector.array_at(&["matchExpressions"]).iter().enumerate() {
        errors.extend(validate_label_selector_requirement(expression, options, &path.index(i)));
    }
    errors
}

/// Checks one of the `matchExpressions`.
pub fn validate_label_selector_requirement(
    expression: &Value,
    options: ValidationOptions,
    path: &FieldPath,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let values_path = path.child("values");
    let values = strings(expression, "values");
    match expression.str_at(&["operator"]) {
        "In" | "NotIn" if values.is_empty() => errors
            .push(FieldError::required(values_path, "must be specified when `operator` is 'In' or 'NotIn'")),
        "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::forbidden(
            values_path,
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        )),
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ if options.allow_unknown_operator => {}
        operator => errors.push(FieldError::invalid(
            path.child("operator"),
            operator,
            "not a valid selector operator",
        )),
    }
    errors.extend(validate_label_name(expression.str_at(&["key"]), &path.child("key")));
    if !options.allow_invalid_label_value {
        for (i, value) in values.iter().enumerate() {
            let complaints = is_valid_label_value(value).into_iter();
            errors.extend(complaints.map(|c| FieldError::invalid(values_path.index(i), value.as_str(), c)));
        }
    }
    errors
}
