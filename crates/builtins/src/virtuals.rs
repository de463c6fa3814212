//! Resources that are not stored: reviews, bindings without a pod in the path, component statuses.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::subresource::Virtual;
use sampan_model::GroupVersionKind;

/// What answers instead of the store.
pub(crate) fn of_kind(gvk: &GroupVersionKind) -> Option<Arc<dyn Virtual>> {
    match gvk.group.as_str() {
        "authentication.k8s.io" | "authorization.k8s.io" => Some(Arc::new(Unanswered)),
        "" if matches!(gvk.kind.as_str(), "Binding" | "ComponentStatus") => Some(Arc::new(Unanswered)),
        _ => None,
    }
}

/// Answers nothing yet.
#[derive(Debug)]
struct Unanswered;

#[async_trait]
impl Virtual for Unanswered {}
