//! Labels, annotations and selectors wherever specs carry them.

use sampan_model::label_selector::{self as model, Selector};
use sampan_model::name::is_qualified_name;
use sampan_model::{FieldPath, Map, Value, object_meta};

use crate::look::{Errors, Look, complain};

/// A label's key.
pub(crate) fn label_name(e: &mut Errors, path: FieldPath<'_>, name: &str) {
    complain(e, path, name, is_qualified_name(name));
}

/// A map of labels: keys and values.
pub(crate) fn labels(e: &mut Errors, path: FieldPath<'_>, labels: &Value) {
    if let Some(labels) = labels.as_object() {
        e.append(&mut model::validate_labels(labels, &path));
    }
}

/// A map of annotations: keys, and the size of all.
pub(crate) fn annotations(e: &mut Errors, path: FieldPath<'_>, annotations: &Value) {
    if let Some(annotations) = annotations.as_object() {
        e.append(&mut object_meta::validate_annotations(annotations, &path));
    }
}

/// A `LabelSelector`, if there is one.
pub(crate) fn label_selector(e: &mut Errors, path: FieldPath<'_>, selector: &Value) {
    if !selector.is_null() {
        e.append(&mut model::validate_label_selector(selector, model::ValidationOptions::default(), &path));
    }
}

/// Whether a selector selects everything because it says nothing.
pub(crate) fn is_empty(selector: &Value) -> bool {
    selector.map("matchLabels").is_none_or(Map::is_empty) && selector.list("matchExpressions").is_empty()
}

/// What a `LabelSelector` selects, if it can be read. An absent one selects nothing.
pub(crate) fn read(selector: &Value) -> Option<Selector> {
    Selector::from_object(Some(selector).filter(|s| !s.is_null())).ok()
}

/// Whether a `LabelSelector` selects an object with these labels.
pub(crate) fn matches(selector: &Value, labels: &Value) -> bool {
    read(selector).is_some_and(|s| s.matches_map(labels.as_object()))
}
