//! NamespaceLifecycle: nothing is created in a namespace that is not there or is going, and the
//! namespaces that a cluster cannot do without are not deleted.

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Cause, Status, Value};

use super::rule::{Rule, Write};
use super::{core, is};

#[derive(Debug)]
pub(super) struct NamespaceLifecycle;

const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

impl Rule for NamespaceLifecycle {
    const NAME: &'static str = "NamespaceLifecycle";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        match verb {
            // Whether a namespace is there is not for whoever asks about access to know.
            Verb::Create if is(cx, "authorization.k8s.io", "localsubjectaccessreviews") => false,
            Verb::Create | Verb::Update => cx.resource.namespaced,
            Verb::Delete => is(cx, "", "namespaces"),
            _ => false,
        }
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let namespace = w.cx.namespace;
        if w.verb == Verb::Delete || namespace.is_empty() {
            return Ok(());
        }
        let Some(found) = w.cx.lookup.get(&core("namespaces"), "", namespace) else {
            if super::namespaces::is_made_beside(w.cx, namespace) {
                return Ok(());
            }
            return Err(Status::not_found(&core("namespaces"), namespace));
        };
        // What is there already may still be changed, so that finalizers can be taken away. A token, an eviction and a binding are
        // new.
        if w.verb != Verb::Create || !found.is_deleting() {
            return Ok(());
        }
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = w.forbidden(object, why);
        status.details_mut().causes.push(Cause {
            reason: "NamespaceTerminating".into(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".into(),
        });
        Err(status)
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        if w.verb == Verb::Delete && PROTECTED.contains(&object.name()) {
            return Err(w.forbidden(object, "this namespace may not be deleted"));
        }
        Ok(())
    }
}
