//! A pod's resources are changed while it runs (KEP-1287): the change is carried out as the plan says it, and events tell of it in the kubelet's words.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use serde::Serialize;

use super::memory::Pending;
use super::plan::resize::{Resize, below_use};
use crate::container::PodUid;
use crate::runtime::Runtime;
use crate::words::in_words;

/// Changes the limits, one after the other. The first that fails ends it; what was done is seen by the next look.
pub async fn carry_out(runtime: &dyn Runtime, uid: &PodUid, resize: &Resize) -> Result<(), String> {
    if !resize.falls.is_empty() {
        let usage = runtime.usage(uid).await.map_err(|error| in_words(&error))?;
        if let Some(message) = below_use(&resize.falls, &usage) {
            return Err(message);
        }
    }
    if let Some(raised) = &resize.raised {
        runtime.update_sandbox_resources(uid, raised).await.map_err(|error| in_words(&error))?;
    }
    for (id, resources) in &resize.containers {
        runtime.update_resources(id, resources).await.map_err(|error| in_words(&error))?;
    }
    if let Some(lowered) = &resize.lowered {
        runtime.update_sandbox_resources(uid, lowered).await.map_err(|error| in_words(&error))?;
    }
    Ok(())
}

/// The pod as events show it: the fields in Go's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_containers: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Part<'a>>,
    generation: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

#[derive(Serialize)]
struct Part<'a> {
    name: &'a str,
    resources: ResourceRequirements,
}

fn parts<'a>(containers: impl IntoIterator<Item = &'a Container>) -> Vec<Part<'a>> {
    let part = |c: &'a Container| Part { name: &c.name, resources: c.resources.clone().unwrap_or_default() };
    containers.into_iter().map(part).collect()
}

fn message(before: &str, pod: &Pod, generation: Option<i64>, error: &str) -> String {
    let summary = Summary {
        init_containers: parts(pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten())),
        containers: parts(pod.spec.iter().flat_map(|s| &s.containers)),
        generation: generation.unwrap_or_default(),
        error,
    };
    match serde_json::to_string(&summary) {
        Ok(summary) => format!("{before}: {summary}"),
        Err(_) => before.to_owned(),
    }
}

/// `ResizeStarted`.
pub(super) fn started(pod: &Pod) -> String {
    message("Pod resize started", pod, pod.metadata.generation, "")
}

/// `ResizeCompleted`; the pod has what was allocated.
pub(super) fn completed(pod: &Pod, generation: Option<i64>) -> String {
    message("Pod resize completed", pod, generation, "")
}

/// `ResizeError`.
pub(super) fn failed(pod: &Pod, generation: Option<i64>, error: &str) -> String {
    message("Pod resize error", pod, generation, error)
}

/// `ResizeDeferred` or `ResizeInfeasible`: the reason of the event, and its message.
pub(super) fn pending(pod: &Pod, pending: &Pending) -> (String, String) {
    let before = format!("Pod resize {}", pending.reason);
    (format!("Resize{}", pending.reason), message(&before, pod, pending.generation, &pending.message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_show_all_containers_as_the_kubelet_does() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": {
            "initContainers": [{"name": "c0", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}}],
            "containers": [{"name": "c1"}]}}))
        .expect("a pod");
        let shown = r#""initContainers":[{"name":"c0","resources":{"limits":{"cpu":"200m"},"requests":{"cpu":"100m"}}}],"containers":[{"name":"c1","resources":{}}]"#;
        assert_eq!(started(&pod), format!("Pod resize started: {{{shown},\"generation\":2}}"));
        assert_eq!(completed(&pod, Some(1)), format!("Pod resize completed: {{{shown},\"generation\":1}}"));
        let error = r#"cannot: "x""#;
        assert_eq!(
            failed(&pod, Some(2), error),
            format!(r#"Pod resize error: {{{shown},"generation":2,"error":"cannot: \"x\""}}"#)
        );
        let waits = Pending { reason: "Deferred".into(), message: "no room".into(), generation: Some(2) };
        assert_eq!(
            pending(&pod, &waits),
            (
                "ResizeDeferred".into(),
                format!(r#"Pod resize Deferred: {{{shown},"generation":2,"error":"no room"}}"#)
            )
        );
    }
}
