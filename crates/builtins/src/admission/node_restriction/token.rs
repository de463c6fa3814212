//! Tokens of the accounts of a node's pods: bound to the pod, and for an audience that the pod has declared.

use sampan_apiserver::Verb;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer, aggregate};
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
    match declares(w, &pod, audience) {
        Ok(true) => return Ok(()),
        Ok(false) if may_ask(authorizer, w, audience).await => return Ok(()),
        Ok(false) => {}
        Err(errors) => {
            let why = format!("error validating audience {}: {}", go_quote(audience), aggregate(&errors));
            return refuse(&why);
        }
    }
    let user = &w.cx.user.name;
    refuse(&format!(
        "audience {} not found in pod spec volume, {user} is not authorized to request tokens for this audience",
        go_quote(audience)
    ))
}

/// Whether a volume of the pod, or the driver of one, wants tokens for the audience. Errors, in the words of upstream's
/// listers, where no volume does and the driver of one is not known.
fn declares(w: Write<'_>, pod: &Value, audience: &str) -> Result<bool, Vec<String>> {
    let get = |group: &str, resource: &str, namespace: &str, name: &str| {
        let found = w.cx.lookup.get(&GroupResource::new(group, format!("{resource}s")), namespace, name);
        let of = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        found.ok_or_else(|| format!("{of} {} not found", go_quote(name)))
    };
    let of_claim = |claim: &str| {
        let claim = get("", "persistentvolumeclaim", w.cx.namespace, claim)?;
        let volume = get("", "persistentvolume", "", claim.str_at(&["spec", "volumeName"]))?;
        Ok::<_, String>(volume.str_at(&["spec", "csi", "driver"]).to_owned())
    };
    let mut errors = Vec::new();
    for volume in pod.array_at(&["spec", "volumes"]) {
        let has = |source: &str| volume.get(source).is_some_and(|source| !source.is_null());
        let projected = volume.array_at(&["projected", "sources"]).iter();
        let mut tokens = projected.filter_map(|s| s.get("serviceAccountToken"));
        if tokens.any(|t| t.str_at(&["audience"]) == audience) {
            return Ok(true);
        }
        let driver = if has("csi") {
            Ok(volume.str_at(&["csi", "driver"]).to_owned())
        } else if has("persistentVolumeClaim") {
            of_claim(volume.str_at(&["persistentVolumeClaim", "claimName"]))
        } else if has("ephemeral") {
            of_claim(&format!("{}-{}", pod.name(), volume.str_at(&["name"])))
        } else {
            Ok(String::new())
        };
        let wants = driver.and_then(|driver| {
            if driver.is_empty() {
                return Ok(false);
            }
            let driver = get("storage.k8s.io", "csidriver", "", &driver)?;
            let mut requests = driver.array_at(&["spec", "tokenRequests"]).iter();
            Ok(requests.any(|r| r.str_at(&["audience"]) == audience))
        });
        match wants {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(false) } else { Err(errors) }
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
