//! NamespaceLifecycle: nothing is created in a namespace that is not there or is going, and the
//! namespaces that a cluster cannot do without are not deleted.

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Cause, Status, Value};

use super::{core, forbidden, is};

#[derive(Debug)]
pub(super) struct NamespaceLifecycle;

const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

#[async_trait]
impl Admission for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        match verb {
            Verb::Create => cx.resource.namespaced && cx.subresource.is_empty(),
            Verb::Delete => is(cx, "", "namespaces"),
            _ => false,
        }
    }

    async fn admit(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let namespace = object.namespace();
        if verb != Verb::Create || namespace.is_empty() {
            return Ok(());
        }
        let Some(found) = cx.lookup.get(&core("namespaces"), "", namespace) else {
            return Err(Status::not_found(&core("namespaces"), namespace));
        };
        if !found.is_deleting() {
            return Ok(());
        }
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = forbidden(cx, object.name(), why);
        status.details_mut().causes.push(Cause {
            reason: "NamespaceTerminating".into(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".into(),
        });
        Err(status)
    }

    async fn validate(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        if verb == Verb::Delete && PROTECTED.contains(&object.name()) {
            return Err(forbidden(cx, object.name(), "this namespace may not be deleted"));
        }
        Ok(())
    }
}
