//! `pods/eviction`: a deletion that asks the pod's disruption budget first.

use async_trait::async_trait;
use jiff::Timestamp;
use sampan_apiserver::Context;
use sampan_apiserver::subresource::{Action, Parent};
use sampan_model::label_selector::Selector;
use sampan_model::meta::ObjectMeta;
use sampan_model::time::format_time;
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
        let mut pod = parent.get().await?;
        if body.name() != pod.name() {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let options = body.get("deleteOptions").cloned().unwrap_or(Value::Object(Map::new()));
        let eviction = Evicting {
            parent,
            dry_run: parent.dry_run() || !options.array_at(&["dryRun"]).is_empty(),
            demands_revision: !precondition(&options, REVISION).is_empty(),
            options,
        };
        let mut attempts = 0;
        while is_beyond_protection(&pod) {
            // One that may begin to run meanwhile goes only as it was looked at; then it is looked at again.
            let pinned = !eviction.demands_revision && pod.str_at(&["status", "phase"]) == "Pending";
            let pinned = (pinned && !pod.is_deleting()).then(|| pod.resource_version().to_owned());
            attempts += 1;
            match eviction.mark_and_delete(pinned.as_deref()).await {
                Ok(()) => return Ok(done()),
                Err(status) if status.code() == 409 && !eviction.demands_revision && attempts < ATTEMPTS => {
                    pod = parent.get().await?;
                }
                Err(status) => return Err(status),
            }
        }
        eviction.protected(&pod).await.map(|()| done())
    }
}

/// How often a pod that keeps changing is looked at again (as upstream).
const ATTEMPTS: usize = 20;
const REVISION: &str = "resourceVersion";

/// One eviction.
struct Evicting<'a> {
    parent: &'a dyn Parent,
    options: Value,
    dry_run: bool,
    /// The client says which revision of the pod it means.
    demands_revision: bool,
}

impl Evicting<'_> {
    /// Evicts a pod that a budget may protect.
    async fn protected(&self, pod: &Value) -> Result<(), Status> {
        let Some(budget) = self.budget_of(pod)? else { return self.mark_and_delete(None).await };
        if is_ready(pod) || !unhealthy_may_go(&budget) {
            self.spend(&budget, pod).await?;
            return self.mark_and_delete(None).await;
        }
        // It costs the budget nothing as long as it is not ready, so it must not become so meanwhile.
        let pinned = (!self.demands_revision).then(|| pod.resource_version());
        self.mark_and_delete(pinned).await.map_err(|status| {
            if status.code() == 409 && !self.demands_revision {
                still_processed(budget.name())
            } else {
                status
            }
        })
    }

    /// The budget that a pod falls under.
    fn budget_of(&self, pod: &Value) -> Result<Option<Value>, Status> {
        let mut matching = self.parent.list(&budgets(), pod.namespace());
        matching.retain(|budget| selects(budget, pod));
        if matching.len() > 1 {
            return Err(Status::unknown(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        Ok(matching.pop())
    }

    /// Takes one disruption from the budget, unless the eviction will fail anyway.
    async fn spend(&self, budget: &Value, pod: &Value) -> Result<(), Status> {
        let name = pod.name();
        spend(&mut budget.clone(), name, Timestamp::UNIX_EPOCH)?;
        check_preconditions(&self.options, None, pod)?;
        if self.dry_run {
            return Ok(());
        }
        let spend = |cx: &Context<'_>, budget: &mut Value| spend(budget, name, cx.now);
        self.parent.update_other(&budgets(), pod.namespace(), budget.name(), &spend).await.map(drop)
    }

    /// Marks the pod as disrupted and deletes it, if the preconditions hold; `pinned`: and if it has that revision.
    async fn mark_and_delete(&self, pinned: Option<&str>) -> Result<(), Status> {
        let mut options = self.options.clone();
        let mut revision = pinned.map(str::to_owned);
        if !self.dry_run {
            let reason = "EvictionByEvictionAPI";
            let mark = |cx: &Context<'_>, pod: &mut Value| {
                check_preconditions(&self.options, pinned, pod)?;
                set_pod_condition(pod, "DisruptionTarget", reason, "Eviction API: evicting", cx.now);
                Ok(())
            };
            let marked = self.parent.update(&mark).await?;
            if pinned.is_some() || self.demands_revision {
                // It has another one by the mark.
                revision = Some(marked.resource_version().to_owned());
            }
        }
        if let (Some(revision), Some(options)) = (revision, options.as_object_mut()) {
            options.object_mut("preconditions").insert(REVISION, revision);
        }
        self.parent.delete(&options).await.map(drop)
    }
}

fn precondition<'a>(options: &'a Value, field: &str) -> &'a str {
    options.str_at(&["preconditions", field])
}

/// What the client, or the eviction itself (`pinned`), demands of the pod.
fn check_preconditions(options: &Value, pinned: Option<&str>, pod: &Value) -> Result<(), Status> {
    let demands = [
        ("UID", precondition(options, "uid"), pod.uid(), "deleted and then recreated"),
        ("ResourceVersion", precondition(options, REVISION), pod.resource_version(), "modified"),
        ("ResourceVersion", pinned.unwrap_or_default(), pod.resource_version(), "modified"),
    ];
    let Some((what, wanted, found, why)) = demands.into_iter().find(|d| !d.1.is_empty() && d.1 != d.2) else {
        return Ok(());
    };
    // Upstream names the kind here, not the resource.
    Err(Status::conflict(
        &GroupResource::new("", "Pod"),
        pod.name(),
        format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might have been {why}"
        ),
    ))
}

/// Pods that do not run (yet, or any more) are not protected by budgets.
fn is_beyond_protection(pod: &Value) -> bool {
    pod.is_deleting() || matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed" | "Pending")
}

/// Whether a budget is about a pod. An empty selector selects every pod, none at all no pod, and neither does one that
/// makes no sense.
fn selects(budget: &Value, pod: &Value) -> bool {
    let selector = budget.at(&["spec", "selector"]).filter(|selector| !selector.is_null());
    Selector::from_object(selector).is_ok_and(|selector| selector.matches_map(pod.labels()))
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
        return Err(still_processed(&name));
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
        status.object_mut("disruptedPods").insert(pod, format_time(now));
    }
    Ok(())
}

fn still_processed(budget: &str) -> Status {
    too_many(10, format!("The disruption budget {budget} is still being processed by the server."))
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
