//! NamespaceAutoProvision and NamespaceExists: a namespace that is not there is made, or is a reason to refuse.

use sampan_apiserver::{Context, Verb, encode};
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};
use sampan_store::{Expect, Op};

use super::core;
use super::rule::{Rule, Write};

fn key(namespace: &str) -> String {
    format!("/registry/namespaces/{namespace}")
}

fn exists(cx: &Context<'_>) -> bool {
    cx.lookup.exists(&core("namespaces"), "", cx.namespace) || is_made_beside(cx, cx.namespace)
}

/// Whether the namespace is made in the same transaction.
pub(super) fn is_made_beside(cx: &Context<'_>, namespace: &str) -> bool {
    cx.writes(&key(namespace))
}

/// Makes the namespace of an object that is created, in the object's own transaction.
#[derive(Debug)]
pub(super) struct NamespaceAutoProvision;

impl Rule for NamespaceAutoProvision {
    const NAME: &'static str = "NamespaceAutoProvision";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && !cx.namespace.is_empty() && cx.subresource.is_empty()
    }

    fn admit(&self, w: Write<'_>, _object: &mut Value) -> Result<(), Status> {
        if exists(w.cx) {
            return Ok(());
        }
        let mut namespace: Value = serde_json::json!({
            "metadata": {
                "name": w.cx.namespace,
                "labels": {"kubernetes.io/metadata.name": w.cx.namespace},
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        })
        .into();
        namespace.set_meta("uid", uuid::Uuid::new_v4().to_string());
        namespace.set_meta("creationTimestamp", sampan_model::time::format_time(w.cx.now));
        let value = encode::stored(&namespace, &encode::type_prefix("Namespace", "v1"));
        w.cx.also(Op::Put { key: key(w.cx.namespace).into(), expect: Expect::Absent, value });
        Ok(())
    }
}

/// Refuses whatever is written into a namespace that is not there.
#[derive(Debug)]
pub(super) struct NamespaceExists;

impl Rule for NamespaceExists {
    const NAME: &'static str = "NamespaceExists";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb != Verb::Connect && !cx.namespace.is_empty()
    }

    fn validate(&self, w: Write<'_>, _object: &Value) -> Result<(), Status> {
        if exists(w.cx) {
            return Ok(());
        }
        Err(Status::not_found(&GroupResource::new("", "namespaces"), w.cx.namespace))
    }
}
