use k8s_openapi::api::core::v1::Pod;
use sampan_testkit::eventually;
use serde_json::json;

use super::*;
use crate::pods::config;
use crate::pods::parts::NodeFacts;
use crate::runtime::Runtime as _;
use crate::runtime::fake::{Fake, container_config};
use crate::testing::{Remembered, parts};

fn pod(generation: i64, cpu: &str) -> Arc<Pod> {
    let value = json!({"metadata": {"uid": "u", "name": "p", "namespace": "ns", "generation": generation},
        "spec": {"containers": [{"name": "a", "image": "fake", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}]}});
    Arc::new(serde_json::from_value(value).expect("a pod"))
}

/// A pod that runs as an earlier agent left it.
async fn running(runtime: &Fake, pod: &Pod, node: &NodeFacts) {
    let mut sandbox = config::sandbox(pod, node).expect("a sandbox");
    sandbox.log_directory = std::path::PathBuf::new();
    runtime.start_sandbox(&sandbox).await.expect("it starts");
    let id = ContainerId { pod: sandbox.uid, name: "a".into(), attempt: 0 };
    let asked = pod.spec.as_ref().and_then(|spec| spec.containers[0].resources.as_ref());
    let mut container = container_config(&id, &["pause"]);
    container.image = "fake".into();
    container.resources = config::container_resources(asked).expect("resources");
    runtime.create_container(&container).await.expect("it can be made");
    runtime.start_container(&id).await.expect("it starts");
}

#[tokio::test]
async fn what_is_accepted_is_carried_out_and_told() {
    let (runtime, reporter) = (Arc::new(Fake::default()), Arc::new(Remembered::default()));
    let mut parts = parts::parts(&runtime, &reporter);
    let node = NodeFacts { pod_pids_limit: Some(50), ..NodeFacts::default() };
    let (before, after) = (pod(1, "100m"), pod(2, "200m"));
    running(&runtime, &before, &node).await;
    parts.node = Arc::new(node);
    let uid = PodUid::new("u").expect("a UID");
    let mut desired = Desired {
        pod: Arc::clone(&after),
        allocation: Allocation::of(&before),
        pending: Some(Pending { reason: "Deferred".into(), message: "no room".into(), generation: Some(2) }),
        failure: None,
        removed: false,
    };
    let (worker, handle) = worker(parts, uid.clone(), desired.clone());
    let task = tokio::spawn(worker.run());
    let newest = |ready: fn(&k8s_openapi::api::core::v1::PodStatus) -> bool| {
        let reporter = Arc::clone(&reporter);
        async move {
            eventually("the status is told", async || {
                reporter.statuses.lock().last().filter(|s| ready(s)).cloned()
            })
            .await
        }
    };
    let runs = |s: &k8s_openapi::api::core::v1::PodStatus| s.phase.as_deref() == Some("Running");
    let status = serde_json::to_value(newest(runs).await).expect("JSON");
    let container = &status["containerStatuses"][0];
    assert_eq!(container["allocatedResources"], json!({"cpu": "100m"}), "what is asked for was not accepted");
    assert_eq!(container["resources"]["limits"], json!({"cpu": "100m"}));
    assert_eq!(status["observedGeneration"], 2);

    desired.allocation = Allocation::of(&after);
    desired.pending = None;
    handle.desired.send_replace(desired);
    eventually("it is done", async || {
        let events = reporter.events.lock();
        events
            .iter()
            .any(|e| e.starts_with("ResizeCompleted") && e.contains("\"generation\":2"))
            .then_some(())
    })
    .await;
    let sandbox = runtime.sandbox(&uid).await.expect("an answer").expect("a sandbox");
    assert_eq!(sandbox.containers[0].resources.cpu_quota_us, Some(20_000));
    let whole = sandbox.resources.expect("resources");
    assert_eq!((whole.cpu_quota_us, whole.pids_limit), (Some(20_000), Some(50)));
    let done = |s: &k8s_openapi::api::core::v1::PodStatus| {
        !s.conditions.iter().flatten().any(|c| c.type_.starts_with("PodResize"))
    };
    let status = serde_json::to_value(newest(done).await).expect("JSON");
    assert_eq!(status["containerStatuses"][0]["resources"]["limits"], json!({"cpu": "200m"}));
    let began = reporter.statuses.lock().iter().any(|s| {
        let mut conditions = s.conditions.iter().flatten();
        conditions.any(|c| c.type_ == "PodResizeInProgress" && c.observed_generation == Some(2))
    });
    assert!(began, "meanwhile it is under way");
    task.abort();
}
