//! What is never written down, whatever the policy says: the content of secrets, and tokens.
//!
//! Upstream leaves that to the policy. Of such requests only metadata are told here, and of the sentence that refuses one
//! nothing that may repeat its body ("... Invalid value: {...}").

use sampan_model::{Map, Value};

use super::ObjectRef;
use crate::request_info::RequestInfo;

/// Stands for a sentence that is left out.
const LEFT_OUT: &str = "REDACTED";

/// Whether the body or the answer of a request has a secret in it.
pub(crate) fn are_in(info: &RequestInfo) -> bool {
    info.is_resource && have_secrets(&info.group, &info.resource, &info.subresource)
}

/// The same of what an event says it is about.
pub(super) fn are_in_object(object: Option<&ObjectRef>) -> bool {
    object.is_some_and(|o| have_secrets(&o.api_group, &o.resource, &o.subresource))
}

fn have_secrets(group: &str, resource: &str, subresource: &str) -> bool {
    matches!(
        (group, resource, subresource),
        ("", "secrets", _) | ("", "serviceaccounts", "token") | ("authentication.k8s.io", "tokenreviews", _)
    )
}

/// Takes out of a Status what may repeat the body that was sent. What is wrong with a name, a version or a right does not.
pub(super) fn take_out(status: &mut Map, code: u16) {
    if !matches!(code, 400 | 415 | 422 | 500..) {
        return;
    }
    if status.get("message").is_some() {
        status.insert("message", LEFT_OUT);
    }
    if let Some(details) = status.get_mut("details").and_then(Value::as_object_mut) {
        details.remove("causes");
    }
}
