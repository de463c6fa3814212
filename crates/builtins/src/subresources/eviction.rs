//! `pods/eviction`: a deletion that asks the pod's disruption budget first.

use async_trait::async_trait;
use jiff::Timestamp;
use sampan_apiserver::subresource::{Action, Parent};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Cause, GroupResource, Map, Reason, Status, Value};

use super::{done, set_pod_condition};

/// No budget remembers more evictions than these that its controller has not seen.
const MAX_DISRUPTED_PODS: usize = 2000;
const VIOLATES: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// Deletes the pod if its budget allows.
#[derive(Debug)]
pub(super) struct Eviction;

fn budgets() -> GroupResource {
    GroupResource::new("policy", "poddisruptionbudgets")
}

#[async_trait]
impl Action for Eviction {
    async fn create(&self, parent: &dyn Parent, body: Value) -> Result<Value, Status> {
        let pod = parent.get().await?;
        if body.name() != pod.name() {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let options = body.get("deleteOptions").cloned().unwrap_or(Value::Object(Map::new()));
        let dry_run = parent.dry_run() || !options.array_at(&["dryRun"]).is_empty();
        if !is_beyond_protection(&pod) {
            ask(parent, &pod, dry_run).await?;
        }
        if !dry_run {
            let reason = "EvictionByEvictionAPI";
            parent
                .update(&|cx, pod| {
                    set_pod_condition(pod, "DisruptionTarget", reason, "Eviction API: evicting", cx.now);
                    Ok(())
                })
                .await?;
        }
        parent.delete(&options).await?;
        Ok(done())
    }
}

/// Pods that do not run (yet, or any more) are not protected by budgets.
fn is_beyond_protection(pod: &Value) -> bool {
    pod.is_deleting() || matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed" | "Pending")
}

async fn ask(parent: &dyn Parent, pod: &Value, dry_run: bool) -> Result<(), Status> {
    let mut matching = parent.list(&budgets(), pod.namespace());
    matching.retain(|budget| selects(budget, pod));
    let budget = match matching.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            return Err(Status::unknown(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    if !is_ready(pod) && unhealthy_may_go(budget) {
        return Ok(());
    }
    if dry_run {
        return spend(&mut budget.clone(), pod.name(), Timestamp::UNIX_EPOCH);
    }
    let name = pod.name();
    parent
        .update_other(&budgets(), pod.namespace(), budget.name(), &|cx, budget| spend(budget, name, cx.now))
        .await
        .map(|_| ())
}

/// Whether a budget is about a pod. An empty selector selects every pod, none at all no pod.
fn selects(budget: &Value, pod: &Value) -> bool {
    let Some(selector) = budget.at(&["spec", "selector"]).filter(|s| !s.is_null()) else { return false };
    let label = |key: &str| pod.labels().and_then(|l| l.get(key)).and_then(Value::as_str);
    let equal = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
        .all(|(key, value)| label(key) == value.as_str());
    equal
        && selector.array_at(&["matchExpressions"]).iter().all(|e| {
            let found = label(e.str_at(&["key"]));
            let listed = e.array_at(&["values"]).iter().any(|v| found.is_some() && v.as_str() == found);
            match e.str_at(&["operator"]) {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.array_at(&["status", "conditions"]);
    conditions.iter().any(|c| c.str_at(&["type"]) == "Ready" && c.str_at(&["status"]) == "True")
}

fn count(budget: &Value, field: &str) -> i64 {
    budget.at(&["status", field]).and_then(Value::as_i64).unwrap_or(0)
}

fn unhealthy_may_go(budget: &Value) -> bool {
    let (healthy, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    budget.str_at(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow"
        || (healthy >= desired && desired > 0)
}

/// Takes one disruption from a budget, or says why there is none.
fn spend(budget: &mut Value, pod: &str, now: Timestamp) -> Result<(), Status> {
    let name = budget.name().to_owned();
    if count(budget, "observedGeneration") < budget.generation() {
        return Err(too_many(
            10,
            format!("The disruption budget {name} is still being processed by the server."),
        ));
    }
    let allowed = count(budget, "disruptionsAllowed");
    let disrupted = budget.at(&["status", "disruptedPods"]).and_then(Value::as_object).map_or(0, Map::len);
    let forbidden =
        |why: &str| Err(Status::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), &name, why));
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if disrupted > MAX_DISRUPTED_PODS {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        let conditions = budget.array_at(&["status", "conditions"]);
        let failed = conditions
            .iter()
            .find(|c| c.str_at(&["type"]) == "DisruptionAllowed" && c.str_at(&["reason"]) == "SyncFailed");
        let why = match failed {
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                condition.str_at(&["message"])
            ),
            None => format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                count(budget, "desiredHealthy"),
                count(budget, "currentHealthy")
            ),
        };
        return Err(too_many(0, why));
    }
    if let Some(budget) = budget.as_object_mut() {
        let status = budget.object_mut("status");
        status.insert("disruptionsAllowed", allowed - 1);
        status.object_mut("disruptedPods").insert(pod, now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    Ok(())
}

fn too_many(retry_after_seconds: u32, why: String) -> Status {
    let cause = Cause { reason: "DisruptionBudget".into(), message: why, field: String::new() };
    let mut status = Status::failure(429, Reason::TooManyRequests, VIOLATES);
    let details = status.details_mut();
    details.causes = vec![cause];
    details.retry_after_seconds = retry_after_seconds;
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_budget_is_spent_until_none_is_left() {
        let mut budget = tree(
            r#"{"metadata":{"name":"b","generation":1},"status":{"observedGeneration":1,"disruptionsAllowed":1,
                "desiredHealthy":1,"currentHealthy":1}}"#,
        );
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        spend(&mut budget, "p", now).unwrap();
        assert_eq!(budget.str_at(&["status", "disruptedPods", "p"]), "2026-01-01T00:00:00Z");
        let refused = spend(&mut budget, "q", now).unwrap_err();
        assert_eq!((refused.code(), refused.message()), (429, VIOLATES));
        assert_eq!(
            refused.details().unwrap().causes[0].message,
            "The disruption budget b needs 1 healthy pods and has 1 currently"
        );
        budget.set_meta("generation", 2);
        let refused = spend(&mut budget, "q", now).unwrap_err();
        assert_eq!(refused.details().unwrap().retry_after_seconds, 10);
    }

    #[test]
    fn a_budget_is_about_the_pods_that_its_selector_names() {
        let pod = tree(r#"{"metadata":{"labels":{"a":"1","b":"2"}}}"#);
        let rows = [
            (r"{}", false),
            (r#"{"selector":{}}"#, true),
            (r#"{"selector":{"matchLabels":{"a":"1"}}}"#, true),
            (r#"{"selector":{"matchLabels":{"a":"2"}}}"#, false),
            (r#"{"selector":{"matchExpressions":[{"key":"c","operator":"NotIn","values":["x"]}]}}"#, true),
            (r#"{"selector":{"matchExpressions":[{"key":"a","operator":"DoesNotExist"}]}}"#, false),
        ];
        for (spec, want) in rows {
            assert_eq!(selects(&tree(&format!("{{\"spec\":{spec}}}")), &pod), want, "{spec}");
        }
    }
}
