//! Who may write which part of a ResourceClaim's status (KEP-4817, `DRAResourceClaimGranularStatusAuthorization`): allocation and
//! reservation are the scheduler's, the state of devices is their drivers', each for its own.
//!
//! Upstream asks in the strategy of the subresource. Here it is an admission step that is always there and sees what
//! would be stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer, forbidden};
use sampan_apiserver::request_info::RequestInfo;
use sampan_apiserver::user::{NODE_NAME_KEY, split_service_account};
use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, Status, Value};

use super::rule::{Asking, Judge, Write};

const GROUP: &str = "resource.k8s.io";

/// The step, which asks this authorizer.
pub fn claim_status(authorizer: Arc<dyn Authorizer>) -> Arc<dyn Admission> {
    Arc::new(Asking(ClaimStatus { authorizer }))
}

#[derive(Debug)]
struct ClaimStatus {
    authorizer: Arc<dyn Authorizer>,
}

#[async_trait]
impl Judge for ClaimStatus {
    fn name(&self) -> &'static str {
        "ResourceClaimStatus"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        let gvr = &cx.resource.gvr;
        verb == Verb::Update
            && gvr.group == GROUP
            && gvr.resource == "resourceclaims"
            && cx.subresource == "status"
    }

    async fn judge(&self, w: Write<'_>, claim: &Value) -> Result<(), Status> {
        let Some(old) = w.old else { return Ok(()) };
        let mut errors = Vec::new();
        errors.extend(self.binding(w, claim, old).await);
        errors.extend(self.devices(w, claim, old).await);
        if errors.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(&w.cx.resource.group_kind(), claim.name(), &errors))
    }
}

impl ClaimStatus {
    /// Whether the allocation may change as it does: for all claims, or none.
    async fn binding(&self, w: Write<'_>, claim: &Value, old: &Value) -> Option<FieldError> {
        let same = allocation(claim) == allocation(old)
            && claim.array_at(&["status", "reservedFor"]) == old.array_at(&["status", "reservedFor"]);
        if same {
            return None;
        }
        let verb = verb_of(w);
        let why = self.refusal(w, verb, "binding", "", "").await?;
        Some(FieldError::forbidden(
            "status",
            format!(
                "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", verb=\"{verb}\" permission: {why}"
            ),
        ))
    }

    /// Whether the state of devices may change as it does, driver by driver.
    async fn devices(&self, w: Write<'_>, claim: &Value, old: &Value) -> Vec<FieldError> {
        let verb = verb_of(w);
        let mut verbs = vec![format!("arbitrary-node:{verb}")];
        if is_on_node(w, node_of(claim)) {
            verbs.insert(0, format!("associated-node:{verb}"));
        }
        let mut errors = Vec::new();
        for driver in changed_drivers(claim, old) {
            let mut first = None;
            for verb in &verbs {
                match self.refusal(w, verb, "driver", w.cx.namespace, driver).await {
                    None => {
                        first = None;
                        break;
                    }
                    Some(why) => first = first.or(Some(why)),
                }
            }
            if let Some(why) = first {
                let verbs = verbs.join(" ");
                errors.push(FieldError::forbidden(
                    "status.devices",
                    format!(
                        "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{verbs}]\" permission: {why}"
                    ),
                ));
            }
        }
        errors
    }

    /// Why the user may not, in the words of a 403.
    async fn refusal(
        &self,
        w: Write<'_>,
        verb: &str,
        subresource: &str,
        namespace: &str,
        name: &str,
    ) -> Option<String> {
        let info = RequestInfo {
            is_resource: true,
            verb: verb.into(),
            group: GROUP.into(),
            version: w.cx.resource.gvr.version.to_string(),
            resource: "resourceclaims".into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..RequestInfo::default()
        };
        let asked = Attributes { user: w.cx.user, info: &info, selectors: None };
        let verdict = self.authorizer.authorize(&asked).await;
        if verdict.is_allowed() {
            return None;
        }
        let reason = match (&verdict.error, verdict.reason.as_str()) {
            (Some(error), "") => error.clone(),
            (Some(error), reason) => format!("{error}: {reason}"),
            (None, reason) => reason.to_owned(),
        };
        Some(forbidden(w.cx.user, &info, &reason).message().to_owned())
    }
}

fn verb_of(w: Write<'_>) -> &'static str {
    if w.cx.patches { "patch" } else { "update" }
}

fn allocation(claim: &Value) -> Option<&Value> {
    claim.at(&["status", "allocation"]).filter(|allocation| !allocation.is_null())
}

/// The drivers of the devices whose state is new, another, or gone.
fn changed_drivers<'a>(claim: &'a Value, old: &'a Value) -> BTreeSet<&'a str> {
    let key =
        |device: &'a Value| ["driver", "pool", "device", "shareID"].map(|field| device.str_at(&[field]));
    let devices = |claim: &'a Value| claim.array_at(&["status", "devices"]).iter();
    let mut before: BTreeMap<_, _> = devices(old).map(|device| (key(device), device)).collect();
    let mut drivers = BTreeSet::new();
    for device in devices(claim) {
        if before.remove(&key(device)) != Some(device) {
            drivers.insert(device.str_at(&["driver"]));
        }
    }
    drivers.extend(before.into_values().map(|device| device.str_at(&["driver"])));
    drivers
}

/// The one node for which the claim is allocated; empty when it is for several, or none.
fn node_of(claim: &Value) -> &str {
    let terms = claim.array_at(&["status", "allocation", "nodeSelector", "nodeSelectorTerms"]);
    let [term] = terms else { return "" };
    let ([], [field]) = (term.array_at(&["matchExpressions"]), term.array_at(&["matchFields"])) else {
        return "";
    };
    match field.array_at(&["values"]) {
        [name] if field.str_at(&["key"]) == "metadata.name" && field.str_at(&["operator"]) == "In" => {
            name.as_str().unwrap_or("")
        }
        _ => "",
    }
}

/// Whether the user is a service account whose pod runs on that node.
fn is_on_node(w: Write<'_>, node: &str) -> bool {
    let nodes = w.cx.user.extra.get(NODE_NAME_KEY).map(Vec::as_slice);
    !node.is_empty()
        && split_service_account(&w.cx.user.name).is_some()
        && matches!(nodes, Some([name]) if name == node)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(devices: &serde_json::Value) -> Value {
        json!({"status": {"devices": devices}}).into()
    }

    #[test]
    fn a_driver_is_asked_about_when_one_of_its_devices_differs() {
        let device = |driver: &str, pool: &str, data: u8| json!({"driver": driver, "pool": pool, "device": "d", "data": {"x": data}});
        let old = claim(&json!([device("a", "p", 1), device("b", "p", 1)]));
        let rows = [
            ("the same", json!([device("a", "p", 1), device("b", "p", 1)]), vec![]),
            ("in another order", json!([device("b", "p", 1), device("a", "p", 1)]), vec![]),
            ("changed", json!([device("a", "p", 2), device("b", "p", 1)]), vec!["a"]),
            ("gone", json!([device("a", "p", 1)]), vec!["b"]),
            ("new", json!([device("a", "p", 1), device("b", "p", 1), device("c", "p", 1)]), vec!["c"]),
            ("another pool", json!([device("a", "q", 1), device("b", "p", 1)]), vec!["a"]),
        ];
        for (name, devices, want) in rows {
            assert_eq!(
                changed_drivers(&claim(&devices), &old).into_iter().collect::<Vec<_>>(),
                want,
                "{name}"
            );
        }
    }

    #[test]
    fn a_claim_is_of_one_node_when_its_selector_names_it() {
        let of = |terms: &serde_json::Value| -> Value {
            json!({"status": {"allocation": {"nodeSelector": {"nodeSelectorTerms": terms}}}}).into()
        };
        let field = |values: &[&str]| json!({"key": "metadata.name", "operator": "In", "values": values});
        let rows = [
            ("one", json!([{"matchFields": [field(&["n"])]}]), "n"),
            ("two names", json!([{"matchFields": [field(&["n", "m"])]}]), ""),
            ("two terms", json!([{"matchFields": [field(&["n"])]}, {}]), ""),
            ("labels too", json!([{"matchFields": [field(&["n"])], "matchExpressions": [{"key": "a"}]}]), ""),
            ("none", json!([]), ""),
        ];
        for (name, terms, want) in rows {
            assert_eq!(node_of(&of(&terms)), want, "{name}");
        }
    }
}
