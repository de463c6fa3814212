//! Resources that are not stored: reviews, bindings without a pod in the path, component statuses.

mod access_reviews;
mod self_subject_review;
mod token_review;

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::subresource::{Action, Virtual, VirtualRequest};
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, GroupVersionKind, Status, Value};

use crate::Dependencies;
use crate::subresources::Binding;

/// What answers instead of the store.
pub(crate) fn of_kind(gvk: &GroupVersionKind) -> Option<Arc<dyn Virtual>> {
    match gvk.group.as_str() {
        "authentication.k8s.io" if gvk.kind == "SelfSubjectReview" => {
            Some(Arc::new(self_subject_review::SelfSubjectReview))
        }
        "authentication.k8s.io" | "authorization.k8s.io" => Some(Arc::new(Unanswered)),
        "" if gvk.kind == "Binding" => Some(Arc::new(Bindings)),
        "" if gvk.kind == "ComponentStatus" => Some(Arc::new(Unanswered)),
        _ => None,
    }
}

/// What answers once the server's parts are there.
pub(crate) fn installed(gvk: &GroupVersionKind, dependencies: &Dependencies) -> Option<Arc<dyn Virtual>> {
    match gvk.group.as_str() {
        "authorization.k8s.io" => {
            let review = access_reviews::Review::of_kind(&gvk.kind, dependencies.authorizer.as_ref()?)?;
            Some(Arc::new(review))
        }
        "authentication.k8s.io" if gvk.kind == "TokenReview" => {
            Some(Arc::new(token_review::TokenReview(Arc::clone(dependencies.tokens.as_ref()?))))
        }
        _ => None,
    }
}

/// `bindings`: the same as `pods/binding`, with the pod's name in the body only.
#[derive(Debug)]
struct Bindings;

#[async_trait]
impl Virtual for Bindings {
    async fn create(&self, request: VirtualRequest<'_>) -> Result<Value, Status> {
        let pods = GroupResource::new("", "pods");
        let parent = (request.parent)(&pods, request.namespace, request.body.name())?;
        Binding.create(&*parent, request.body).await
    }
}

/// Answers nothing yet.
#[derive(Debug)]
struct Unanswered;

#[async_trait]
impl Virtual for Unanswered {}
