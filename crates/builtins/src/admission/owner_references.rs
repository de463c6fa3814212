//! OwnerReferencesPermissionEnforcement: who makes an object depend on another must be allowed to delete the first, and to
//! keep the second from being deleted.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer, Verdict};
use sampan_apiserver::request_info::RequestInfo;
use sampan_apiserver::{Context, Verb};
use sampan_model::{Status, Value};

use super::rule::{Judge, Write};

#[derive(Debug)]
pub(super) struct OwnerReferencesPermissionEnforcement {
    authorizer: Arc<dyn Authorizer>,
}

impl OwnerReferencesPermissionEnforcement {
    pub(super) fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }

    async fn ask(&self, w: Write<'_>, info: &RequestInfo) -> Verdict {
        self.authorizer.authorize(&Attributes { user: w.cx.user, info, selectors: None }).await
    }
}

#[async_trait]
impl Judge for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        let pod_status = cx.subresource == "status"
            && cx.resource.gvr.group.is_empty()
            && cx.resource.gvr.resource == "pods";
        matches!(verb, Verb::Create | Verb::Update) && !pod_status
    }

    async fn judge(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        let before = w.old.map_or(&[][..], owners);
        if owners(object) == before {
            return Ok(());
        }
        if w.old.is_some() {
            let gvr = &w.cx.resource.gvr;
            let info = RequestInfo {
                verb: "delete".into(),
                is_resource: true,
                group: gvr.group.to_string(),
                version: gvr.version.to_string(),
                namespace: w.cx.namespace.into(),
                resource: gvr.resource.to_string(),
                subresource: w.cx.subresource.into(),
                name: w.cx.name.into(),
                ..RequestInfo::default()
            };
            let verdict = self.ask(w, &info).await;
            if !verdict.is_allowed() {
                let why =
                    format!("cannot set an ownerRef on a resource you can't delete: {}", reason(&verdict));
                return Err(w.forbidden(object, why));
            }
        }
        for owner in owners(object).iter().filter(|o| blocks(o)) {
            let same = |b: &&Value| b.str_at(&["uid"]) == owner.str_at(&["uid"]);
            if before.iter().find(same).is_some_and(blocks) {
                continue;
            }
            let info = finalizers_of(w.cx, owner).map_err(|why| w.forbidden(object, why))?;
            let verdict = self.ask(w, &info).await;
            if !verdict.is_allowed() {
                let why = format!(
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {}",
                    reason(&verdict)
                );
                return Err(w.forbidden(object, why));
            }
        }
        Ok(())
    }
}

fn owners(object: &Value) -> &[Value] {
    object.array_at(&["metadata", "ownerReferences"])
}

fn blocks(owner: &Value) -> bool {
    owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true)
}

/// The reason and the error, as upstream prints the two.
fn reason(verdict: &Verdict) -> String {
    format!("{}, {}", verdict.reason, verdict.error.as_deref().unwrap_or("<nil>"))
}

/// The request by which the finalizers of an owner would be changed.
fn finalizers_of(cx: &Context<'_>, owner: &Value) -> Result<RequestInfo, String> {
    let (api_version, kind) = (owner.str_at(&["apiVersion"]), owner.str_at(&["kind"]));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let catalog = cx.lookup.catalog();
    let resource = catalog.as_ref().and_then(|c| c.by_kind(group, version, kind)).ok_or_else(|| {
        format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api_version} Kind {kind}: no matches for kind {kind:?} in version {api_version:?}"
        )
    })?;
    Ok(RequestInfo {
        verb: "update".into(),
        is_resource: true,
        group: group.into(),
        version: version.into(),
        namespace: if resource.namespaced { cx.namespace.into() } else { String::new() },
        resource: resource.gvr.resource.to_string(),
        subresource: "finalizers".into(),
        name: owner.str_at(&["name"]).into(),
        ..RequestInfo::default()
    })
}
