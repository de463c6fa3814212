//! Errors as one line of text, and Go's way to quote.

use std::fmt::Write as _;

/// The whole chain of an error in one line.
pub(crate) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(words, ": {cause}").expect("a string can be written to");
        source = cause.source();
    }
    words
}

/// A pod as the kubelet names it in messages: `NAME_NAMESPACE(UID)`.
pub(crate) fn pod_name(pod: &k8s_openapi::api::core::v1::Pod) -> String {
    let meta = &pod.metadata;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!("{}_{}({})", text(&meta.name), text(&meta.namespace), text(&meta.uid))
}
