//! Errors as one line of text, and Go's way to quote.

use std::fmt::Write as _;

/// The whole chain of an error in one line. What the API says stands for itself: its client repeats it in every form that it has.
pub(crate) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() {
            return status.message.clone();
        }
        let text = error.to_string();
        // Some errors tell of their cause themselves.
        if !words.ends_with(&text) {
            write!(words, ": {text}").expect("a string can be written to");
        }
        cause = error.source();
    }
    words
}

/// A pod as the kubelet names it in messages: `NAME_NAMESPACE(UID)`.
pub(crate) fn pod_name(pod: &k8s_openapi::api::core::v1::Pod) -> String {
    let meta = &pod.metadata;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!("{}_{}({})", text(&meta.name), text(&meta.namespace), text(&meta.uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot act")]
        Quiet(#[source] kube::Error),
        #[error("cannot act: {0}")]
        Loud(#[source] std::io::Error),
        #[error("cannot act")]
        Other(#[source] std::io::Error),
    }

    #[test]
    fn an_error_is_one_line_without_repetition() {
        let refused = kube::core::Status::failure("pods is forbidden", "Forbidden").boxed();
        let broken = || std::io::Error::other("it is broken");
        let rows = [
            (Outer::Quiet(kube::Error::Api(refused)), "pods is forbidden"),
            (Outer::Loud(broken()), "cannot act: it is broken"),
            (Outer::Other(broken()), "cannot act: it is broken"),
        ];
        for (error, words) in rows {
            assert_eq!(in_words(&error), words);
        }
    }
}
