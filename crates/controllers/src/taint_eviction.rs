//! taint-eviction-controller: deletes pods from nodes whose `NoExecute` taints they do not tolerate, or do not tolerate any longer.

use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Taint, Toleration};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::informer::{Informer, Informers, ObjectKey, key};
use crate::manager::Context;
use crate::pod_garbage_collector::{disruption, is_gone, is_terminating, node_name};
use crate::taints::tolerates;
use crate::work_queue::WorkQueue;

/// As many as upstream's `PodUpdateMaxWorkers`.
const WORKERS: usize = 8;

/// How long a pod may stay on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// As long as it likes.
    Always,
    /// From the time on when that became known.
    For(Duration),
}

/// Of the tolerations that tolerate the taints (the first one of each), the one that ends first counts. A taint that none tolerates ends it at once.
fn stay(taints: &[Taint], tolerations: &[Toleration]) -> Stay {
    let mut least = Stay::Always;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let Some(used) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else {
            return Stay::For(Duration::ZERO);
        };
        if let Some(seconds) = used.toleration_seconds {
            let tolerated = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            least = match least {
                Stay::For(shorter) if shorter <= tolerated => least,
                _ => Stay::For(tolerated),
            };
        }
    }
    least
}

/// When a pod is evicted. A time that is set stays: neither a second taint nor another toleration gives it more or less. But who may not stay at all goes now.
fn due(known: Option<Instant>, now: Instant, stay: Duration) -> Instant {
    match known {
        Some(at) if !stay.is_zero() => at,
        _ => now + stay,
    }
}

fn no_execute(node: &Node) -> Vec<&Taint> {
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    taints.iter().filter(|taint| taint.effect == "NoExecute").collect()
}

pub(crate) fn start(context: Context, informers: &mut Informers) -> BoxFuture<'static, ()> {
    let (pods, nodes) = (informers.of::<Pod>(), informers.of::<Node>());
    Evictor { context, pods, nodes, leaving: Mutex::default() }.run().boxed()
}

struct Evictor {
    context: Context,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    /// Pods that are to leave, with their UIDs, and when.
    leaving: Mutex<HashMap<ObjectKey, (String, Instant)>>,
}

impl Evictor {
    async fn run(self) {
        let queue = WorkQueue::<ObjectKey>::new(self.context.name, self.context.metrics());
        let sink = queue.clone();
        self.pods.on_change(move |before, now| {
            let of = |pod: &Pod| {
                (pod.metadata.uid.clone(), node_name(pod).map(str::to_owned), is_terminating(pod))
            };
            let tolerations = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.tolerations.clone());
            let is_same =
                before.zip(now).is_some_and(|(b, n)| of(b) == of(n) && tolerations(b) == tolerations(n));
            if let Some(pod) = now.or(before).filter(|pod| !is_same && node_name(pod).is_some()) {
                sink.add(key(pod));
            }
        });
        let (sink, pods) = (queue.clone(), self.pods.clone());
        self.nodes.on_change(move |before, now| {
            let taints = |node: Option<&Node>| {
                node.map(|node| no_execute(node).into_iter().cloned().collect::<Vec<_>>())
            };
            let (was, is) = (taints(before).unwrap_or_default(), taints(now).unwrap_or_default());
            let name = now.or(before).and_then(|node| node.metadata.name.clone());
            if was != is {
                pods.all()
                    .iter()
                    .filter(|pod| node_name(pod) == name.as_deref())
                    .for_each(|pod| sink.add(key(&**pod)));
            }
        });
        self.nodes.synced().await;
        self.pods.synced().await;
        let reconcile = async |key: ObjectKey| match self.reconcile(&key).await? {
            Some(wait) => {
                queue.add_after(key, wait);
                Ok(())
            }
            None => Ok(()),
        };
        queue.run(WORKERS, reconcile).await;
    }

    /// Evicts a pod whose time has come; else says when that is.
    async fn reconcile(&self, key: &ObjectKey) -> Result<Option<Duration>, kube::Error> {
        let pod = self.pods.get(&key.0, &key.1);
        let Some(pod) = pod.filter(|pod| !is_terminating(pod)) else {
            self.leaving.lock().remove(key);
            return Ok(None);
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let node = node_name(&pod).and_then(|name| self.nodes.get("", name));
        let taints: Vec<Taint> = node.iter().flat_map(|node| no_execute(node)).cloned().collect();
        let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default();
        let now = Instant::now();
        let at = {
            let mut leaving = self.leaving.lock();
            let known = leaving.get(key).filter(|(of, _)| *of == uid).map(|(_, at)| *at);
            match stay(&taints, tolerations) {
                Stay::Always => {
                    leaving.remove(key);
                    if known.is_some() {
                        self.tell(&pod, "Cancelling deletion of Pod");
                    }
                    return Ok(None);
                }
                Stay::For(time) => {
                    let at = due(known, now, time);
                    leaving.insert(key.clone(), (uid, at));
                    at
                }
            }
        };
        if at > now {
            return Ok(Some(at - now));
        }
        self.evict(&pod).await.map(|()| None)
    }

    async fn evict(&self, pod: &Pod) -> Result<(), kube::Error> {
        self.tell(pod, "Marking for deletion Pod");
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let api = Api::<Pod>::namespaced(self.context.client.clone(), namespace);
        let message = "Taint manager: deleting due to NoExecute taint";
        let condition = disruption(pod, "DeletionByTaintManager", message, Timestamp::now());
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
        let written = api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        if is_gone(written.map(|_| ()))? {
            return Ok(());
        }
        let preconditions = Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        is_gone(api.delete(name, &params).await.map(|_| ())).map(|_| ())
    }

    fn tell(&self, pod: &Pod, what: &str) {
        let meta = &pod.metadata;
        let (namespace, name) =
            (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let object = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            ..ObjectReference::default()
        };
        let message = format!("{what} {namespace}/{name}");
        self.context.recorder.event(object, "Normal", "TaintManagerEviction", &message);
    }
}

#[cfg(test)]
mod tests {
    use sampan_testkit::{TestServer, eventually, fixtures};
    use serde_json::Value;

    use super::*;
    use crate::testing;

    #[test]
    fn a_pod_stays_as_long_as_its_shortest_toleration_says() {
        let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
        let a = || taint("a", "NoExecute");
        let always = |key: &str| json!({"key": key, "operator": "Exists"});
        let seconds = |key: &str, seconds: i64| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let is = |seconds| Stay::For(Duration::from_secs(seconds));
        let rows = [
            ("no taints", json!([]), json!([]), Stay::Always),
            ("a taint of another effect", json!([taint("a", "NoSchedule")]), json!([]), Stay::Always),
            ("not tolerated", json!([a()]), json!([]), is(0)),
            ("tolerated", json!([a()]), json!([always("a")]), Stay::Always),
            ("tolerated for a while", json!([a()]), json!([seconds("a", 300)]), is(300)),
            ("below nothing", json!([a()]), json!([seconds("a", -5)]), is(0)),
            ("one of two", json!([a(), taint("b", "NoExecute")]), json!([seconds("a", 300)]), is(0)),
            (
                "the shorter one",
                json!([a(), taint("b", "NoExecute")]),
                json!([seconds("a", 300), seconds("b", 30)]),
                is(30),
            ),
            (
                "one for good",
                json!([a(), taint("b", "NoExecute")]),
                json!([seconds("a", 300), always("b")]),
                is(300),
            ),
            ("the first one that fits", json!([a()]), json!([seconds("a", 300), always("a")]), is(300)),
        ];
        for (name, taints, tolerations, expected) in rows {
            let taints: Vec<Taint> = serde_json::from_value(taints).expect(name);
            let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).expect(name);
            assert_eq!(stay(&taints, &tolerations), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_is_set_stays() {
        let (begun, seconds) = (Instant::now(), Duration::from_secs);
        let first = due(None, begun, seconds(300));
        assert_eq!(first, begun + seconds(300));
        let later = begun + seconds(100);
        assert_eq!(due(Some(first), later, seconds(600)), first, "a longer one changes nothing");
        assert_eq!(due(Some(first), later, seconds(30)), first, "nor does a shorter one");
        assert_eq!(due(Some(first), later, Duration::ZERO), later, "but who may not stay goes");
    }

    const PODS: &str = "/api/v1/namespaces/default/pods";

    #[tokio::test]
    async fn pods_leave_a_node_whose_taint_they_do_not_tolerate() {
        let server = TestServer::start().await;
        server
            .create("/api/v1/nodes", &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}))
            .await;
        let tolerate = |seconds: Value| json!([{"key": "example.org/broken", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
        for (name, tolerations) in [
            ("goes", json!([])),
            ("waits", tolerate(json!(1))),
            ("stays", tolerate(Value::Null)),
            ("hopes", tolerate(json!(600))),
        ] {
            let mut pod = fixtures::pod(name);
            pod["spec"]["nodeName"] = "n1".into();
            pod["spec"]["tolerations"] = tolerations;
            // So that it is seen what became of it.
            pod["metadata"]["finalizers"] = json!(["example.org/mine"]);
            let made = server.create(PODS, &pod).await;
            assert_eq!(made.code, 201, "{}", made.text());
        }
        let running = testing::run(&server, "taint-eviction-controller", |_| {});
        let taint = |taints: Value| {
            let server = server.clone();
            async move {
                let patch = json!({"spec": {"taints": taints}});
                let done = server.patch("/api/v1/nodes/n1", "merge-patch", &patch).await;
                assert_eq!(done.code, 200, "{}", done.text());
            }
        };
        taint(json!([{"key": "example.org/broken", "effect": "NoExecute"}])).await;
        let get = |name: &'static str| {
            let server = server.clone();
            async move {
                let reply = server.get(&format!("{PODS}/{name}")).await;
                serde_json::from_slice::<Value>(&reply.body).expect("a pod")
            }
        };
        for name in ["goes", "waits"] {
            let pod = eventually(&format!("{name} is evicted"), || async {
                Some(get(name).await).filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
            })
            .await;
            let conditions = pod["status"]["conditions"].as_array().expect("conditions");
            assert!(
                conditions
                    .iter()
                    .any(|c| c["type"] == "DisruptionTarget" && c["reason"] == "DeletionByTaintManager")
            );
        }
        let event = |message: &'static str| {
            let server = server.clone();
            async move {
                let list = server.get("/api/v1/namespaces/default/events").await;
                list.text().contains(message).then_some(())
            }
        };
        eventually("it is told", || event("Marking for deletion Pod default/goes")).await;
        taint(Value::Null).await;
        eventually("that it may stay is told too", || event("Cancelling deletion of Pod default/hopes"))
            .await;
        for name in ["stays", "hopes"] {
            assert_eq!(get(name).await["metadata"]["deletionTimestamp"], Value::Null, "{name}");
        }
        assert!(running.metrics.reconciles("taint-eviction-controller") < 40, "no hot loop");
    }
}
