//! LimitRanger: what a namespace's limit ranges demand of each container, pod and claim in it, and what they fill in
//! where a container says nothing.

mod bounds;
mod defaults;

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::rule::{Rule, Write};
use super::{core, is};

#[derive(Debug)]
pub(super) struct LimitRanger;

impl Rule for LimitRanger {
    const NAME: &'static str = "LimitRanger";

    /// Containers change by `resize` only, so updates of pods are not looked at.
    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        let of = |resource: &str| cx.resource.gvr.group.is_empty() && cx.resource.gvr.resource == resource;
        match verb {
            Verb::Create => is(cx, "", "pods") || is(cx, "", "persistentvolumeclaims"),
            Verb::Update => {
                is(cx, "", "persistentvolumeclaims") || (cx.subresource == "resize" && of("pods"))
            }
            _ => false,
        }
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        if w.is("", "pods") {
            for range in ranges(w) {
                defaults::fill(object, &range);
            }
        }
        Ok(())
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        // What is on its way out may be changed, so that finalizers can go.
        if w.old.is_some_and(|_| object.is_deleting()) {
            return Ok(());
        }
        let claims = w.is("", "persistentvolumeclaims");
        for range in ranges(w) {
            let complaints =
                if claims { bounds::of_claim(object, &range) } else { bounds::of_pod(object, &range) };
            match complaints.as_slice() {
                [] => {}
                [one] => return Err(w.forbidden(object, one)),
                many => return Err(w.forbidden(object, format_args!("[{}]", many.join(", ")))),
            }
        }
        Ok(())
    }
}

fn ranges(w: Write<'_>) -> Vec<Value> {
    w.cx.lookup.list(&core("limitranges"), w.cx.namespace)
}
