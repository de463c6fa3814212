//! pod-garbage-collector-controller: removes pods that nobody else will remove: those of nodes that are gone, those that were to go before they had a node, those of nodes
//! that are out of service, and the oldest of those that ended when there are too many.
//!
//! Upstream looks at everything every 20 seconds; this one looks at what changed.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use crate::informer::{Informer, Informers, ObjectKey, key};
use crate::manager::Context;
use crate::work_queue::WorkQueue;

const WORKERS: usize = 4;
/// Ended pods are counted at most once in this time: upstream's `gcCheckPeriod`.
const COUNT_EVERY: Duration = Duration::from_secs(20);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Look {
    /// A pod that is to go.
    Pod(ObjectKey),
    /// A node that is missing, or out of service.
    Node(String),
    /// How many pods have ended.
    Ended,
}

pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    taints.iter().any(|t| t.key == OUT_OF_SERVICE)
        && !conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Whether a pod that is to go has nobody to end it. `node` is its node, if that is known.
fn is_abandoned(pod: &Pod, node: Option<&Node>) -> bool {
    is_terminating(pod) && (node_name(pod).is_none() || node.is_some_and(is_out_of_service))
}

/// Of the pods that have ended, those that are too many: evicted ones first, then the oldest.
fn surplus(pods: Vec<Arc<Pod>>, threshold: usize) -> Vec<Arc<Pod>> {
    if threshold == 0 {
        return Vec::new();
    }
    let mut ended: Vec<_> = pods.into_iter().filter(|pod| has_ended(pod)).collect();
    let is_evicted = |pod: &Pod| pod.status.as_ref().and_then(|s| s.reason.as_deref()) == Some("Evicted");
    ended.sort_by_cached_key(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
        (!is_evicted(pod), created, pod.metadata.name.clone())
    });
    ended.truncate(ended.len().saturating_sub(threshold));
    ended
}

/// The change of the status of a pod that is collected: it has ended, and if its node took it along, it says so. None if it has ended anyway.
fn last_status(pod: &Pod, orphaned: bool, now: Timestamp) -> Option<Value> {
    if has_ended(pod) {
        return None;
    }
    let mut status = json!({"phase": "Failed"});
    if orphaned {
        status["conditions"] =
            json!([disruption(pod, "DeletionByPodGC", "PodGC: node no longer exists", now)]);
    }
    Some(json!({"metadata": {"uid": pod.metadata.uid}, "status": status}))
}

/// The condition that says why others ended a pod (KEP-3329).
pub(crate) fn disruption(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Value {
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    json!({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": second.to_string(), "observedGeneration": pod.metadata.generation})
}

pub(crate) fn start(context: Context, informers: &mut Informers) -> BoxFuture<'static, ()> {
    let (pods, nodes) = (informers.of::<Pod>(), informers.of::<Node>());
    Collector { context, pods, nodes }.run().boxed()
}

struct Collector {
    context: Context,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
}

impl Collector {
    async fn run(self) {
        let queue = WorkQueue::<Look>::new(self.context.name, self.context.metrics());
        // Which nodes there are must be known before the first pod is asked for its own.
        self.nodes.synced().await;
        let quarantine = self.context.settings.missing_node_quarantine;
        let counts = self.context.settings.terminated_pod_threshold > 0;
        let (sink, nodes) = (queue.clone(), self.nodes.clone());
        self.pods.on_change(move |before, now| {
            let Some(pod) = now else { return };
            if is_terminating(pod) {
                sink.add(Look::Pod(key(pod)));
            }
            match node_name(pod) {
                Some(name) if nodes.get("", name).is_none() => {
                    sink.add_after(Look::Node(name.to_owned()), quarantine);
                }
                _ => {}
            }
            if counts && has_ended(pod) && !before.is_some_and(has_ended) {
                sink.add_after(Look::Ended, COUNT_EVERY);
            }
        });
        let sink = queue.clone();
        self.nodes.on_change(move |before, now| match (before, now) {
            (_, Some(node)) if is_out_of_service(node) => {
                sink.add(Look::Node(node.metadata.name.clone().unwrap_or_default()));
            }
            (Some(gone), None) => {
                sink.add_after(Look::Node(gone.metadata.name.clone().unwrap_or_default()), quarantine);
            }
            _ => {}
        });
        self.pods.synced().await;
        queue.run(WORKERS, |look| self.look(look)).await;
    }

    async fn look(&self, look: Look) -> Result<(), kube::Error> {
        match look {
            Look::Pod((namespace, name)) => {
                let Some(pod) = self.pods.get(&namespace, &name) else { return Ok(()) };
                let node = node_name(&pod).and_then(|name| self.nodes.get("", name));
                if is_abandoned(&pod, node.as_deref()) { self.collect(&pod, false).await } else { Ok(()) }
            }
            Look::Node(name) => match self.nodes.get("", &name) {
                Some(node) => self.each_of(&name, |pod| is_abandoned(pod, Some(&node)), false).await,
                None => self.orphans(&name).await,
            },
            Look::Ended => {
                for pod in surplus(self.pods.all(), self.context.settings.terminated_pod_threshold) {
                    self.collect(&pod, false).await?;
                }
                Ok(())
            }
        }
    }

    /// The watch says that a node is gone, but the API decides: pods are not collected by mistake.
    async fn orphans(&self, node: &str) -> Result<(), kube::Error> {
        if Api::<Node>::all(self.context.client.clone()).get_opt(node).await?.is_some() {
            return Ok(());
        }
        self.each_of(node, |_| true, true).await
    }

    async fn each_of(
        &self,
        node: &str,
        is_meant: impl Fn(&Pod) -> bool,
        orphaned: bool,
    ) -> Result<(), kube::Error> {
        for pod in self.pods.all() {
            if node_name(&pod) == Some(node) && is_meant(&pod) {
                self.collect(&pod, orphaned).await?;
            }
        }
        Ok(())
    }

    async fn collect(&self, pod: &Pod, orphaned: bool) -> Result<(), kube::Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let api = Api::<Pod>::namespaced(self.context.client.clone(), namespace);
        if let Some(patch) = last_status(pod, orphaned, Timestamp::now()) {
            let written = api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await;
            if is_gone(written.map(|_| ()))? {
                return Ok(());
            }
        }
        tracing::info!(namespace, name, orphaned, "a pod is collected");
        let preconditions = Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None });
        let params = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        is_gone(api.delete(name, &params).await.map(|_| ())).map(|_| ())
    }
}

/// Whether the object of this name is gone, or is another one by now.
pub(crate) fn is_gone(written: Result<(), kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(()) => Ok(false),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use sampan_testkit::{TestServer, eventually, fixtures};

    use super::*;
    use crate::testing;

    fn pod(object: Value) -> Pod {
        serde_json::from_value(object).expect("a pod")
    }

    #[test]
    fn a_pod_that_is_to_go_is_abandoned_when_nobody_would_end_it() {
        let node = |taint: &str, ready: &str| -> Node {
            serde_json::from_value(json!({"metadata": {"name": "n1"}, "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
            .expect("a node")
        };
        let terminating = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        let free = pod(json!({"metadata": terminating, "spec": {"containers": []}}));
        let bound = pod(json!({"metadata": terminating, "spec": {"containers": [], "nodeName": "n1"}}));
        let living = pod(json!({"spec": {"containers": []}}));
        let rows = [
            ("it has no node", &free, None, true),
            ("it is not to go", &living, None, false),
            ("its node is not known", &bound, None, false),
            ("its node works", &bound, Some(node("x", "True")), false),
            ("its node does not answer", &bound, Some(node("x", "Unknown")), false),
            ("its node is out of service", &bound, Some(node(OUT_OF_SERVICE, "Unknown")), true),
            ("its node is back", &bound, Some(node(OUT_OF_SERVICE, "True")), false),
        ];
        for (name, pod, node, abandoned) in rows {
            assert_eq!(is_abandoned(pod, node.as_ref()), abandoned, "{name}");
        }
    }

    #[test]
    fn of_the_pods_that_ended_the_oldest_are_too_many_and_evicted_ones_first() {
        let one = |name: &str, day: u8, phase: &str, reason: &str| {
            Arc::new(pod(
                json!({"metadata": {"name": name, "creationTimestamp": format!("2026-01-0{day}T00:00:00Z")},
                "status": {"phase": phase, "reason": reason}}),
            ))
        };
        let pods = vec![
            one("a", 3, "Succeeded", ""),
            one("b", 1, "Running", ""),
            one("c", 2, "Failed", ""),
            one("d", 4, "Failed", "Evicted"),
            one("e", 5, "Succeeded", ""),
        ];
        let names = |threshold| {
            let surplus = surplus(pods.clone(), threshold);
            surplus.iter().map(|p| p.metadata.name.clone().unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["d", "c", "a"]);
        assert_eq!(names(3), ["d"]);
        assert_eq!(names(4), [""; 0]);
        assert_eq!(names(0), [""; 0], "then all may stay");
    }

    #[test]
    fn a_pod_is_failed_before_it_is_deleted() {
        let now = Timestamp::UNIX_EPOCH;
        let running = pod(json!({"metadata": {"uid": "u", "generation": 2}, "status": {"phase": "Running"}}));
        let orphan = last_status(&running, true, now).expect("it has not ended");
        assert_eq!(orphan["metadata"]["uid"], "u");
        assert_eq!(orphan["status"]["phase"], "Failed");
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": "1970-01-01T00:00:00Z", "observedGeneration": 2});
        assert_eq!(orphan["status"]["conditions"][0], condition);
        assert_eq!(
            last_status(&running, false, now).expect("it has not ended")["status"],
            json!({"phase": "Failed"})
        );
        assert_eq!(last_status(&pod(json!({"status": {"phase": "Succeeded"}})), true, now), None);
    }

    const PODS: &str = "/api/v1/namespaces/default/pods";

    async fn has(server: &TestServer, name: &str) -> bool {
        server.get(&format!("{PODS}/{name}")).await.code == 200
    }

    async fn create(server: &TestServer, name: &str, node: Option<&str>) {
        let mut pod = fixtures::pod(name);
        pod["spec"]["nodeName"] = node.into();
        let made = server.create(PODS, &pod).await;
        assert_eq!(made.code, 201, "{}", made.text());
    }

    #[tokio::test]
    async fn the_pods_of_a_node_that_is_gone_are_collected() {
        let server = TestServer::start().await;
        for node in ["n1", "n2"] {
            server
                .create(
                    "/api/v1/nodes",
                    &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}),
                )
                .await;
        }
        create(&server, "a", Some("n1")).await;
        create(&server, "b", Some("n2")).await;
        create(&server, "stray", Some("n9")).await;
        create(&server, "free", None).await;
        let _running = testing::run(&server, "pod-garbage-collector-controller", |settings| {
            settings.missing_node_quarantine = Duration::from_millis(50);
        });
        eventually("the pod of no node is gone", || async { (!has(&server, "stray").await).then_some(()) })
            .await;
        server.delete("/api/v1/nodes/n1").await;
        eventually("the pod of the deleted node is gone", || async {
            (!has(&server, "a").await).then_some(())
        })
        .await;
        assert!(has(&server, "b").await && has(&server, "free").await, "others stay");
    }

    #[tokio::test]
    async fn a_pod_that_waits_for_a_finalizer_ends_with_its_node() {
        let server = TestServer::start().await;
        let mut kept = fixtures::pod("kept");
        kept["spec"]["nodeName"] = "n9".into();
        kept["metadata"]["finalizers"] = json!(["example.org/mine"]);
        server.create(PODS, &kept).await;
        let running = testing::run(&server, "podgc", |s| s.missing_node_quarantine = Duration::ZERO);
        let pod = eventually("the pod has failed", || async {
            let pod: Value = serde_json::from_slice(&server.get(&format!("{PODS}/kept")).await.body).ok()?;
            let is_to_go = !pod["metadata"]["deletionTimestamp"].is_null();
            (pod["status"]["phase"] == "Failed" && is_to_go).then_some(pod)
        })
        .await;
        let conditions = pod["status"]["conditions"].as_array().expect("conditions");
        assert!(
            conditions.iter().any(|c| c["type"] == "DisruptionTarget" && c["reason"] == "DeletionByPodGC")
        );
        assert!(running.metrics.reconciles("pod-garbage-collector-controller") < 20, "no hot loop");
    }
}
