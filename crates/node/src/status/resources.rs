//! The resources that a container has, as its status tells them: what was accepted, less what the runtime does not have yet.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use sampan_model::Quantity;

use crate::container::Resources;
use crate::pods::config::container_resources;

type Amounts = BTreeMap<String, Text>;

/// Of a container whose spec says what was accepted. `has` is what the runtime says of one that runs; `told` is what was told last.
pub(super) fn of(
    container: &Container,
    has: Option<&Resources>,
    told: Option<&ContainerStatus>,
) -> Option<ResourceRequirements> {
    let accepted = container.resources.as_ref()?;
    let mut resources = ResourceRequirements { claims: None, ..accepted.clone() };
    let (Some(has), Ok(wanted)) = (has, container_resources(Some(accepted))) else { return Some(resources) };
    if has.cpu_quota_us != wanted.cpu_quota_us {
        let milli = has.cpu_quota_us.map(|quota| milli_of_quota(quota, has.cpu_period_us));
        replace(&mut resources.limits, "cpu", milli.map(milli_text));
    }
    // Without a request of its own the weight follows from the limit.
    if has.cpu_shares != wanted.cpu_shares {
        replace(&mut resources.requests, "cpu", has.cpu_shares.map(milli_of_shares).map(milli_text));
    }
    if has.memory_limit_bytes != wanted.memory_limit_bytes {
        let bytes = has.memory_limit_bytes.map(|bytes| Text(Quantity::from_bytes(bytes).to_string()));
        replace(&mut resources.limits, "memory", bytes);
        // No runtime knows what was requested: until the limit is there, it is what it was.
        let before = told.and_then(|t| t.resources.as_ref()).and_then(|r| r.requests.as_ref());
        if let Some(before) = before.and_then(|requests| requests.get("memory")) {
            replace(&mut resources.requests, "memory", Some(before.clone()));
        }
    }
    Some(resources)
}

/// Only what is told at all is told otherwise.
fn replace(amounts: &mut Option<Amounts>, name: &str, value: Option<Text>) {
    let Some(amounts) = amounts.as_mut().filter(|amounts| amounts.contains_key(name)) else { return };
    match value {
        Some(value) => amounts.insert(name.to_owned(), value),
        None => amounts.remove(name),
    };
}

fn milli_of_quota(quota_us: i64, period_us: Option<u64>) -> i64 {
    let period = period_us.and_then(|period| i64::try_from(period).ok()).unwrap_or(100_000).max(1);
    quota_us.saturating_mul(1000) / period
}

/// The kubelet rounds up: shares of 1m and 2m are the same.
fn milli_of_shares(shares: u64) -> i64 {
    i64::try_from(shares.saturating_mul(1000).div_ceil(1024)).unwrap_or(i64::MAX)
}

fn milli_text(milli: i64) -> Text {
    Text(Quantity::from_milli(milli).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_runtime_does_not_have_yet_is_not_told() {
        let resources = json!({"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"cpu": "1500m", "memory": "128Mi"}});
        let container: Container =
            serde_json::from_value(json!({"name": "c", "resources": resources})).expect("a container");
        let has = Resources {
            cpu_shares: Some(512),
            cpu_quota_us: Some(100_000),
            cpu_period_us: Some(100_000),
            memory_limit_bytes: Some(32 << 20),
            ..Resources::default()
        };
        let told: ContainerStatus = serde_json::from_value(
            json!({"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "resources": {"requests": {"memory": "16Mi"}}}),
        )
        .expect("a status");
        let of = |has, told| serde_json::to_value(of(&container, has, told)).expect("JSON");
        assert_eq!(of(None, None), resources, "it does not run");
        let wanted = container_resources(container.resources.as_ref()).expect("resources");
        assert_eq!(of(Some(&wanted), None), resources, "it has everything");
        assert_eq!(
            of(Some(&has), Some(&told)),
            json!({"requests": {"cpu": "500m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "32Mi"}})
        );
        let unlimited = Resources { cpu_shares: Some(1024), ..Resources::default() };
        assert_eq!(
            of(Some(&unlimited), None),
            json!({"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {}})
        );
    }
}
