//! Access reviews: asked, never stored.

use sampan_model::label_selector::{ValidationOptions, validate_label_selector_requirement};
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::look::{Errors, Look};

/// What is wrong with a question about oneself.
pub fn validate_self_subject_access_review(review: &Value) -> Vec<FieldError> {
    let mut e = spec(review.sub("spec"), false);
    metadata(&mut e, review, &["managedFields"], "must be empty");
    e
}

/// What is wrong with a question about somebody.
pub fn validate_subject_access_review(review: &Value) -> Vec<FieldError> {
    let mut e = spec(review.sub("spec"), true);
    metadata(&mut e, review, &["managedFields"], "must be empty");
    e
}

/// What is wrong with a question about somebody in a namespace.
pub fn validate_local_subject_access_review(review: &Value) -> Vec<FieldError> {
    let mut e = spec(review.sub("spec"), true);
    metadata(&mut e, review, &["managedFields", "namespace"], "must be empty except for namespace");
    let (p, s) = (FieldPath::field("spec"), review.sub("spec"));
    if let Some(resource) = s.opt("resourceAttributes")
        && resource.s("namespace") != review.sub("metadata").s("namespace")
    {
        let p = p.child("resourceAttributes");
        e.push(FieldError::invalid(
            p.child("namespace"),
            resource.s("namespace"),
            "must match metadata.namespace",
        ));
    }
    if let Some(paths) = s.opt("nonResourceAttributes") {
        let detail = "disallowed on this kind of request";
        e.push(FieldError::invalid(p.child("nonResourceAttributes"), paths.clone(), detail));
    }
    e
}

fn metadata(e: &mut Errors, review: &Value, allowed: &[&str], detail: &str) {
    let meta = review.map("metadata");
    let other = |meta: &Map| meta.iter().any(|(k, v)| !allowed.contains(&k.as_str()) && !v.is_empty());
    if meta.is_some_and(other) {
        e.push(FieldError::invalid("metadata", review.sub("metadata").clone(), detail));
    }
}

fn spec(spec: &Value, subject: bool) -> Errors {
    let mut e = Errors::new();
    let p = FieldPath::field("spec");
    match (spec.opt("resourceAttributes"), spec.opt("nonResourceAttributes")) {
        (Some(_), Some(paths)) => {
            let detail = "cannot be specified in combination with resourceAttributes";
            e.push(FieldError::invalid(p.child("nonResourceAttributes"), paths.clone(), detail));
        }
        (None, None) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            e.push(FieldError::invalid(p.child("resourceAttributes"), Value::Null, detail));
        }
        _ => {}
    }
    if subject && spec.s("user").is_empty() && spec.list("groups").is_empty() {
        e.push(FieldError::invalid(p.child("user"), "", "at least one of user or group must be specified"));
    }
    if let Some(resource) = spec.opt("resourceAttributes") {
        let p = p.child("resourceAttributes");
        selector(&mut e, p.child("fieldSelector"), resource.opt("fieldSelector"), &field_requirement);
        selector(&mut e, p.child("labelSelector"), resource.opt("labelSelector"), &label_requirement);
    }
    e
}

/// Operators that are not known here are no error: the client may be newer than the server.
fn selector(
    e: &mut Errors,
    p: FieldPath<'_>,
    selector: Option<&Value>,
    requirement: &dyn Fn(&Value, &FieldPath<'_>) -> Errors,
) {
    let Some(selector) = selector else { return };
    let (raw, requirements) = (selector.s("rawSelector"), selector.list("requirements"));
    if !raw.is_empty() && !requirements.is_empty() {
        let detail = "may not specified at the same time as requirements";
        e.push(FieldError::invalid(p.child("rawSelector"), raw, detail));
    }
    if raw.is_empty() && requirements.is_empty() {
        let detail = format!("when {p} is specified, requirements or rawSelector is required");
        e.push(FieldError::required(p.child("requirements"), detail));
    }
    for (i, r) in requirements.iter().enumerate() {
        e.extend(requirement(r, &p.child("requirements").index(i)));
    }
}

fn label_requirement(requirement: &Value, p: &FieldPath<'_>) -> Errors {
    let options = ValidationOptions { allow_unknown_operator: true, ..ValidationOptions::default() };
    validate_label_selector_requirement(requirement, options, p)
}

fn field_requirement(requirement: &Value, p: &FieldPath<'_>) -> Errors {
    let mut e = Errors::new();
    if requirement.s("key").is_empty() {
        e.push(FieldError::required(p.child("key"), "must be specified"));
    }
    let values = requirement.list("values");
    match requirement.s("operator") {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            e.push(FieldError::required(p.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            e.push(FieldError::forbidden(p.child("values"), detail));
        }
        _ => {}
    }
    e
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_that_asks_nothing_clear_is_refused() {
        type Validate = fn(&Value) -> Vec<FieldError>;
        let (subject, own, local): (Validate, Validate, Validate) = (
            validate_subject_access_review,
            validate_self_subject_access_review,
            validate_local_subject_access_review,
        );
        let rows = [
            (subject, r#"{"spec":{"user":"u","resourceAttributes":{}}}"#, ""),
            (subject, r#"{"spec":{"groups":["g"],"nonResourceAttributes":{"path":"/"}}}"#, ""),
            (subject, r#"{"spec":{"resourceAttributes":{}}}"#, "spec.user"),
            (subject, r#"{"spec":{"user":"u"}}"#, "spec.resourceAttributes"),
            (
                own,
                r#"{"spec":{"resourceAttributes":{},"nonResourceAttributes":{}}}"#,
                "spec.nonResourceAttributes",
            ),
            (own, r#"{"metadata":{"name":"x"},"spec":{"resourceAttributes":{}}}"#, "metadata"),
            (own, r#"{"metadata":{"managedFields":[1]},"spec":{"resourceAttributes":{}}}"#, ""),
            (
                own,
                r#"{"spec":{"resourceAttributes":{"fieldSelector":{}}}}"#,
                "spec.resourceAttributes.fieldSelector.requirements",
            ),
            (
                own,
                r#"{"spec":{"resourceAttributes":{"labelSelector":{"requirements":[{"key":"a","operator":"New","values":["x"]}]}}}}"#,
                "",
            ),
            (
                local,
                r#"{"metadata":{"namespace":"a"},"spec":{"user":"u","resourceAttributes":{"namespace":"b"}}}"#,
                "spec.resourceAttributes.namespace",
            ),
            (local, r#"{"spec":{"user":"u","nonResourceAttributes":{}}}"#, "spec.nonResourceAttributes"),
        ];
        for (validate, review, want) in rows {
            let errors = validate(&serde_json::from_str(review).unwrap());
            let fields: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(fields.join(","), want, "{review}");
        }
    }
}
