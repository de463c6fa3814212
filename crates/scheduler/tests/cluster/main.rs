//! The scheduler and a real API server, in one process: as the user that it is in a cluster, with no more rights than that has.

mod client;

use sampan_scheduler::Settings;
use sampan_testkit::{TestServer, eventually, fixtures, user};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

const PODS: &str = "/api/v1/namespaces/default/pods";

struct Cluster {
    server: TestServer,
    _stop: DropGuard,
}

fn scheduler(server: &TestServer) -> DropGuard {
    let stop = CancellationToken::new();
    let who = user("system:kube-scheduler", &["system:authenticated"]);
    let client = client::client(&server.asked_by(who));
    tokio::spawn(sampan_scheduler::run(client, Settings::new("here"), stop.clone()));
    stop.drop_guard()
}

impl Cluster {
    async fn start() -> Self {
        let server = TestServer::start().await;
        Self { _stop: scheduler(&server), server }
    }

    async fn node(&self, name: &str, cpu: &str) {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        let made = self.server.create("/api/v1/nodes", &node).await;
        assert!(matches!(made.code, 201 | 409), "{}", made.text());
        let status = json!({"status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "10"}}});
        let told = self
            .server
            .patch(&format!("/api/v1/nodes/{name}/status"), "strategic-merge-patch", &status)
            .await;
        assert_eq!(told.code, 200, "{}", told.text());
    }

    async fn pod(&self, name: &str, more: Value) {
        let mut pod = fixtures::pod(name);
        pod["spec"].as_object_mut().expect("a spec").extend(more.as_object().expect("an object").clone());
        let made = self.server.create(PODS, &pod).await;
        assert_eq!(made.code, 201, "{}", made.text());
    }

    async fn get(&self, name: &str) -> Value {
        let reply = self.server.get(&format!("{PODS}/{name}")).await;
        serde_json::from_slice(&reply.body).expect("an object")
    }

    async fn bound(&self, name: &str) -> String {
        eventually(&format!("{name} is bound"), || async {
            self.get(name).await["spec"]["nodeName"].as_str().map(str::to_owned)
        })
        .await
    }

    /// The condition `PodScheduled`, once its message is this.
    async fn told(&self, name: &str, message: &str) -> Value {
        eventually(&format!("{name} is told {message}"), || async {
            let pod = self.get(name).await;
            let conditions = pod["status"]["conditions"].as_array()?;
            conditions.iter().find(|c| c["type"] == "PodScheduled" && c["message"] == message).cloned()
        })
        .await
    }

    /// An event, once it is there.
    async fn event(&self, pod: &str, reason: &str) -> Value {
        eventually(&format!("{pod} has the event {reason}"), || async {
            let reply = self.server.get("/apis/events.k8s.io/v1/namespaces/default/events").await;
            let list: Value = serde_json::from_slice(&reply.body).ok()?;
            list["items"]
                .as_array()?
                .iter()
                .find(|e| e["regarding"]["name"] == pod && e["reason"] == reason)
                .cloned()
        })
        .await
    }
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "main", "image": "x", "resources": {"requests": {"cpu": amount}}}]})
}

#[tokio::test]
async fn a_pod_gets_a_node_and_is_told_so() {
    let cluster = Cluster::start().await;
    cluster.node("n1", "1").await;
    cluster.pod("a", json!({})).await;
    assert_eq!(cluster.bound("a").await, "n1");
    let pod = cluster.get("a").await;
    let conditions = pod["status"]["conditions"].as_array().expect("conditions");
    assert!(
        conditions.iter().any(|c| c["type"] == "PodScheduled" && c["status"] == "True"),
        "{conditions:?}"
    );
    let event = cluster.event("a", "Scheduled").await;
    assert_eq!(event["note"], "Successfully assigned default/a to n1");
    assert_eq!(event["type"], "Normal");
    assert_eq!(event["action"], "Binding");
    assert_eq!(event["reportingController"], "default-scheduler");
    assert_eq!(event["reportingInstance"], "default-scheduler-here");
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_why_until_it_fits() {
    let cluster = Cluster::start().await;
    cluster.pod("a", cpu("2")).await;
    cluster.told("a", "no nodes available to schedule pods").await;
    let event = cluster.event("a", "FailedScheduling").await;
    assert_eq!((&event["type"], &event["action"]), (&json!("Warning"), &json!("Scheduling")));
    assert_eq!(event["note"], "no nodes available to schedule pods");
    cluster.node("n1", "1").await;
    cluster.node("n1", "2").await;
    assert_eq!(cluster.bound("a").await, "n1");
    cluster.pod("b", cpu("1")).await;
    let condition = cluster.told("b", "0/1 nodes are available: 1 Insufficient cpu.").await;
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Unschedulable")));
    let path = format!("{PODS}/a?gracePeriodSeconds=0");
    cluster.server.delete(&path).await;
    assert_eq!(cluster.bound("b").await, "n1", "it waited for the room");
}

#[tokio::test]
async fn a_gated_pod_waits_for_its_gate() {
    let cluster = Cluster::start().await;
    cluster.node("n1", "1").await;
    cluster.pod("gated", json!({"schedulingGates": [{"name": "example.org/gate"}]})).await;
    cluster.pod("other", json!({"schedulerName": "another"})).await;
    cluster.pod("free", json!({})).await;
    cluster.bound("free").await;
    for name in ["gated", "other"] {
        assert_eq!(cluster.get(name).await["spec"]["nodeName"], Value::Null, "{name}");
    }
    let open = json!({"spec": {"schedulingGates": null}});
    let opened = cluster.server.patch(&format!("{PODS}/gated"), "merge-patch", &open).await;
    assert_eq!(opened.code, 200, "{}", opened.text());
    assert_eq!(cluster.bound("gated").await, "n1");
}

#[tokio::test]
async fn many_pods_share_the_nodes_and_no_node_is_over_full() {
    let cluster = Cluster::start().await;
    for node in ["n1", "n2", "n3"] {
        cluster.node(node, "1").await;
    }
    for number in 0..12 {
        cluster.pod(&format!("p{number}"), cpu("250m")).await;
    }
    let mut taken = std::collections::BTreeMap::<String, usize>::new();
    for number in 0..12 {
        *taken.entry(cluster.bound(&format!("p{number}")).await).or_default() += 1;
    }
    assert_eq!(taken.into_values().collect::<Vec<_>>(), [4, 4, 4]);
    cluster.pod("one-more", cpu("1m")).await;
    cluster.told("one-more", "0/3 nodes are available: 3 Insufficient cpu.").await;
}

#[tokio::test]
async fn a_scheduler_that_starts_anew_goes_on_where_the_other_ended() {
    let server = TestServer::start().await;
    let first = Cluster { _stop: scheduler(&server), server: server.clone() };
    first.node("n1", "1").await;
    first.pod("a", cpu("800m")).await;
    first.bound("a").await;
    drop(first);
    let second = Cluster { _stop: CancellationToken::new().drop_guard(), server: server.clone() };
    second.pod("b", cpu("800m")).await;
    second.pod("c", cpu("200m")).await;
    let second = Cluster { _stop: scheduler(&server), server };
    assert_eq!(second.bound("c").await, "n1");
    second.told("b", "0/1 nodes are available: 1 Insufficient cpu.").await;
}
