//! Tokens of the accounts of a node's pods: bound to the pod, and for an audience that the pod has declared.

use sampan_apiserver::Verb;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer};
use sampan_apiserver::request_info::RequestInfo;
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

use super::super::core;
use super::super::rule::Write;

pub(super) async fn judge(
    authorizer: &dyn Authorizer,
    w: Write<'_>,
    node: &str,
    request: &Value,
) -> Result<(), Status> {
    if w.verb != Verb::Create || w.cx.subresource != "token" {
        return Ok(());
    }
    let refuse = |why: &str| Err(w.forbidden(request, why));
    let bound = |field: &str| request.str_at(&["spec", "boundObjectRef", field]);
    if bound("apiVersion") != "v1" || bound("kind") != "Pod" || bound("name").is_empty() {
        return refuse("node requested token not bound to a pod");
    }
    if bound("uid").is_empty() {
        return refuse("node requested token with a pod binding without a uid");
    }
    let pod = w.cx.lookup.get(&core("pods"), w.cx.namespace, bound("name"));
    let pod = pod.ok_or_else(|| Status::not_found(&core("pods"), bound("name")))?;
    if bound("uid") != pod.uid() {
        let uid = bound("uid");
        return refuse(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        ));
    }
    if pod.str_at(&["spec", "nodeName"]) != node {
        return refuse("node requested token bound to a pod scheduled on a different node");
    }
    let audience = match request.array_at(&["spec", "audiences"]) {
        [] => "",
        [one] => one.as_str().unwrap_or(""),
        _ => return refuse("node may only request 0 or 1 audiences"),
    };
    if declares(w, &pod, audience) || may_ask(authorizer, w, audience).await {
        return Ok(());
    }
    let user = &w.cx.user.name;
    refuse(&format!(
        "audience {} not found in pod spec volume, {user} is not authorized to request tokens for this audience",
        go_quote(audience)
    ))
}

/// Whether a volume of the pod, or the driver of one, wants tokens for the audience.
fn declares(w: Write<'_>, pod: &Value, audience: &str) -> bool {
    let driver_wants = |driver: &str| {
        let found = w.cx.lookup.get(&GroupResource::new("storage.k8s.io", "csidrivers"), "", driver);
        found.is_some_and(|d| {
            d.array_at(&["spec", "tokenRequests"]).iter().any(|r| r.str_at(&["audience"]) == audience)
        })
    };
    let claim_wants = |claim: &str| {
        let claim = w.cx.lookup.get(&core("persistentvolumeclaims"), w.cx.namespace, claim);
        let volume = claim.as_ref().map_or("", |c| c.str_at(&["spec", "volumeName"]));
        let volume = w.cx.lookup.get(&core("persistentvolumes"), "", volume);
        volume.is_some_and(|v| {
            let driver = v.str_at(&["spec", "csi", "driver"]);
            !driver.is_empty() && driver_wants(driver)
        })
    };
    pod.array_at(&["spec", "volumes"]).iter().any(|volume| {
        let projected = volume.array_at(&["projected", "sources"]).iter();
        let mut tokens = projected.filter_map(|s| s.get("serviceAccountToken"));
        let driver = volume.str_at(&["csi", "driver"]);
        let claim = volume.str_at(&["persistentVolumeClaim", "claimName"]);
        tokens.any(|t| t.str_at(&["audience"]) == audience)
            || (!driver.is_empty() && driver_wants(driver))
            || (!claim.is_empty() && claim_wants(claim))
            || (volume.get("ephemeral").is_some_and(|e| !e.is_null())
                && claim_wants(&format!("{}-{}", pod.name(), volume.str_at(&["name"]))))
    })
}

async fn may_ask(authorizer: &dyn Authorizer, w: Write<'_>, audience: &str) -> bool {
    let info = RequestInfo {
        verb: "request-serviceaccounts-token-audience".into(),
        is_resource: true,
        version: "v1".into(),
        namespace: w.cx.namespace.into(),
        resource: audience.into(),
        name: w.cx.name.into(),
        ..RequestInfo::default()
    };
    let attributes = Attributes { user: w.cx.user, info: &info, selectors: None };
    authorizer.authorize(&attributes).await.is_allowed()
}
