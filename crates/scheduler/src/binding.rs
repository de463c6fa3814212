//! What the API is told of a pod's turn: its binding, or the condition that says why there is none.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::pod::{PodInfo, Told};

/// How often a condition is written anew since the pod changed meanwhile.
const TRIES: usize = 5;

fn api(client: &kube::Client, pod: &PodInfo) -> Api<Pod> {
    Api::namespaced(client.clone(), &pod.namespace)
}

/// Binds the pod to the node. The UID keeps another pod of this name from being bound.
pub(crate) async fn bind(client: &kube::Client, pod: &PodInfo, node: &str) -> Result<(), kube::Error> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": &*pod.uid},
        "target": {"kind": "Node", "name": node},
    });
    let (api, params) = (api(client, pod), PostParams::default());
    api.create_subresource::<_, Value>("binding", &pod.name, &params, &binding).await.map(|_| ())
}

/// Writes the condition `PodScheduled=False`, unless it stands there, or the pod has a node or is gone.
pub(crate) async fn unscheduled(client: kube::Client, pod: Arc<PodInfo>, reason: &str, message: &str) {
    let api = api(&client, &pod);
    let mut pod = pod;
    for _ in 0..TRIES {
        let Some(patch) = condition(&pod, reason, message, Timestamp::now()) else { return };
        match api.patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            // Somebody else wrote. Only a look tells whether it was a binding.
            Err(kube::Error::Api(status)) if status.code == 409 => match api.get_opt(&pod.name).await {
                Ok(Some(now)) => {
                    match PodInfo::new(&now).filter(|now| now.uid == pod.uid && now.node.is_none()) {
                        Some(now) => pod = Arc::new(now),
                        None => return,
                    }
                }
                Ok(None) => return,
                Err(error) => return complain(&pod, &error),
            },
            Err(error) => return complain(&pod, &error),
        }
    }
}

fn complain(pod: &PodInfo, error: &kube::Error) {
    let (namespace, name) = (&pod.namespace, &pod.name);
    tracing::warn!(
        namespace,
        name,
        error = error as &dyn std::error::Error,
        "cannot tell why a pod has no node"
    );
}

/// The change of the status; `None` if it says so already. The resource version keeps it from overwriting what a binding wrote.
fn condition(pod: &PodInfo, reason: &str, message: &str, now: Timestamp) -> Option<Value> {
    let told = Told {
        status: "False".into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: pod.generation,
    };
    if pod.told.as_ref() == Some(&told) {
        return None;
    }
    let mut condition = json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message,
        "lastProbeTime": null, "observedGeneration": pod.generation});
    // Only the change of the status itself is a transition.
    if pod.told.as_ref().is_none_or(|told| told.status != "False") {
        let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
        condition["lastTransitionTime"] = second.to_string().into();
    }
    Some(json!({
        "metadata": {"uid": &*pod.uid, "resourceVersion": pod.resource_version},
        "status": {"conditions": [condition]},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn the_condition_is_written_when_it_says_something_new() {
        let with = |condition: Value| {
            let mut object = json!({"metadata": {"generation": 1, "resourceVersion": "5"}});
            if !condition.is_null() {
                object["status"] = json!({"conditions": [condition]});
            }
            super::condition(&pod(object), "Unschedulable", "m", Timestamp::UNIX_EPOCH)
        };
        let told = |status: &str, message: &str| json!({"type": "PodScheduled", "status": status, "reason": "Unschedulable", "message": message, "observedGeneration": 1});
        assert_eq!(with(told("False", "m")), None);
        let new = with(Value::Null).expect("there was none");
        assert_eq!(new["metadata"], json!({"uid": "u", "resourceVersion": "5"}));
        assert_eq!(new["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
        let other = with(told("False", "n")).expect("another message");
        assert_eq!(other["status"]["conditions"][0].get("lastTransitionTime"), None, "no transition");
        assert!(with(told("True", "m")).is_some());
    }
}
