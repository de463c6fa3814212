//! NodeRestriction, TaintNodesByCondition, PodTopologyLabels: what nodes may do, and what comes from them.

use sampan_testkit::{Admitting, TestServer, user};
use serde_json::{Value, json};

use crate::{PODS, Says, expect, pod};

const NODES: &str = "/api/v1/nodes";

async fn cluster() -> (TestServer, TestServer) {
    // Everybody may do everything but ask for tokens of other audiences, so that what is refused is refused by the plug-in.
    let authorizer =
        Says(|a| a.info.verb != "request-serviceaccounts-token-audience" || a.info.resource == "granted");
    let server = Admitting::default().authorized_by(authorizer).start().await;
    for name in ["n1", "n2"] {
        let labels =
            json!({"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1", "other": "x"});
        server.create(NODES, &json!({"metadata": {"name": name, "labels": labels}})).await.ok();
    }
    for (name, node) in [("mine", "n1"), ("theirs", "n2")] {
        server.create(PODS, &pod(name, &json!({"nodeName": node}))).await.ok();
    }
    let node = server.asked_by(user("system:node:n1", &["system:nodes", "system:authenticated"]));
    (server, node)
}

#[tokio::test]
async fn a_node_changes_itself_only_and_not_what_places_workloads() {
    let (_, node) = cluster().await;
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    let rows = [
        ("its own label", "n1", labels(json!({"example.com/x": "y", "kubernetes.io/arch": "arm64"})), None),
        (
            "its kubelet's label",
            "n1",
            labels(json!({"sub.kubelet.kubernetes.io/x": "y", "node.kubernetes.io/y": "z"})),
            None,
        ),
        (
            "isolation",
            "n1",
            labels(
                json!({"node-restriction.kubernetes.io/x": "y", "a.node-restriction.kubernetes.io/x": "y"}),
            ),
            Some(
                "is not allowed to modify labels: a.node-restriction.kubernetes.io/x, node-restriction.kubernetes.io/x",
            ),
        ),
        (
            "a label of Kubernetes",
            "n1",
            labels(json!({"node-role.kubernetes.io/x": "", "x.k8s.io/y": ""})),
            Some("is not allowed to modify labels: node-role.kubernetes.io/x, x.k8s.io/y"),
        ),
        (
            "taints",
            "n1",
            json!({"spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}}),
            Some("node \"n1\" is not allowed to modify taints"),
        ),
        (
            "owners",
            "n1",
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "u"}]}}),
            Some("node \"n1\" is not allowed to modify ownerReferences"),
        ),
        (
            "another node",
            "n2",
            labels(json!({"example.com/x": "y"})),
            Some("node \"n1\" is not allowed to modify node \"n2\""),
        ),
    ];
    for (row, name, change, refusal) in rows {
        let message = refusal.map(|why| format!("nodes {name:?} is forbidden: {why}"));
        let reply = node.patch(&format!("{NODES}/{name}"), "merge-patch", &change).await;
        expect(row, &reply, message.as_deref());
    }
    let reply = node.delete(&format!("{NODES}/n2")).await;
    let message = "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"";
    expect("deletion of another", &reply, Some(message));
    let reply = node.create(NODES, &json!({"metadata": {"name": "n3"}})).await;
    let message = "nodes \"n3\" is forbidden: node \"n1\" is not allowed to modify node \"n3\"";
    expect("creation of another", &reply, Some(message));
}

#[tokio::test]
async fn a_node_registers_with_labels_that_are_left_to_it() {
    let (server, node) = cluster().await;
    server.delete(&format!("{NODES}/n1")).await.ok();
    let labelled = |key: &str| json!({"metadata": {"name": "n1", "labels": {key: "x"}}});
    let message = "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: foo.kubernetes.io/x";
    expect("foreign", &node.create(NODES, &labelled("foo.kubernetes.io/x")).await, Some(message));
    let made = node.create(NODES, &labelled("kubernetes.io/hostname")).await.ok();
    assert_eq!(made["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready");
}

#[tokio::test]
async fn a_node_tells_of_its_own_pods_and_ends_them() {
    let (_, node) = cluster().await;
    let phase = json!({"status": {"phase": "Running"}});
    let rows = [
        ("mine", "status", phase.clone(), None),
        (
            "theirs",
            "status",
            phase.clone(),
            Some("node \"n1\" can only update pod status for pods with spec.nodeName set to itself"),
        ),
        (
            "mine",
            "status",
            json!({"metadata": {"labels": {"a": "b"}}}),
            Some("node \"n1\" cannot update labels through pod status"),
        ),
        (
            "mine",
            "status",
            json!({"status": {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "d"}]}}),
            Some("node \"n1\" cannot update resource claim statues"),
        ),
        (
            "mine",
            "status",
            json!({"status": {"extendedResourceClaimStatus": {"resourceClaimName": "d", "requestMappings": []}}}),
            Some("node \"n1\" cannot update extended resource claim status"),
        ),
        (
            "mine",
            "",
            json!({"metadata": {"labels": {"a": "b"}}}),
            Some("unexpected operation \"UPDATE\", node \"n1\" can only create and delete mirror pods"),
        ),
        (
            "mine",
            "ephemeralcontainers",
            json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}),
            Some(
                "unexpected pod subresource \"ephemeralcontainers\", only 'status' and 'eviction' are allowed",
            ),
        ),
    ];
    for (name, part, change, refusal) in rows {
        let message = refusal.map(|why| format!("pods {name:?} is forbidden: {why}"));
        let path = format!("{PODS}/{name}/{part}");
        let reply = node.patch(path.trim_end_matches('/'), "merge-patch", &change).await;
        expect(&path, &reply, message.as_deref());
    }
    let evict =
        |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let reply = node.create(&format!("{PODS}/theirs/eviction"), &evict("theirs")).await;
    let message =
        "pods \"theirs\" is forbidden: node n1 can only evict pods with spec.nodeName set to itself";
    expect("eviction of another's", &reply, Some(message));
    let reply = node.delete(&format!("{PODS}/theirs")).await;
    let message =
        "pods \"theirs\" is forbidden: node \"n1\" can only delete pods with spec.nodeName set to itself";
    expect("deletion of another's", &reply, Some(message));
    expect("deletion of its own", &node.delete(&format!("{PODS}/mine?gracePeriodSeconds=0")).await, None);
}

#[tokio::test]
async fn a_node_makes_mirror_pods_that_refer_to_nothing() {
    let (server, node) = cluster().await;
    let uid = server.get(&format!("{NODES}/n1")).await.ok()["metadata"]["uid"].clone();
    let mirror = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod("m", &json!({"nodeName": "n1"}));
        pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true}]);
        change(&mut pod);
        pod
    };
    let owner =
        |pod: &mut Value, field: &str, value: Value| pod["metadata"]["ownerReferences"][0][field] = value;
    let volume = |pod: &mut Value, source: Value| {
        pod["spec"]["volumes"] = json!([source]);
        pod["spec"]["volumes"][0]["name"] = json!("v");
    };
    let refers = |what: &str| Some(format!("node \"n1\" can not create pods that reference {what}"));
    let only = |what: &str| Some(format!("node \"n1\" can only create pods with {what} set to itself"));
    let uid_text = uid.as_str().unwrap();
    let rows: Vec<(&str, Value, Option<String>)> = vec![
        (
            "no mirror",
            mirror(&|p| p["metadata"]["annotations"] = json!({})),
            Some("pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods".into()),
        ),
        ("elsewhere", mirror(&|p| p["spec"]["nodeName"] = json!("n2")), only("spec.nodeName")),
        ("no owner", mirror(&|p| p["metadata"]["ownerReferences"] = json!([])), only("an owner reference")),
        ("another owner", mirror(&|p| owner(p, "name", json!("n2"))), only("an owner reference")),
        ("no controller", mirror(&|p| owner(p, "controller", json!(false))), only("a controller owner reference")),
        (
            "blocking",
            mirror(&|p| owner(p, "blockOwnerDeletion", json!(true))),
            Some("node \"n1\" must not set blockOwnerDeletion on an owner reference".into()),
        ),
        (
            "wrong uid",
            mirror(&|p| owner(p, "uid", json!("u"))),
            Some(format!("node n1 UID mismatch: expected u got {uid_text}")),
        ),
        ("config map", mirror(&|p| volume(p, json!({"configMap": {"name": "c"}}))), refers("configmaps")),
        ("claim", mirror(&|p| volume(p, json!({"persistentVolumeClaim": {"claimName": "c"}}))), refers("persistentvolumeclaims")),
        ("a good one", mirror(&|_| ()), None),
    ];
    for (row, pod, refusal) in rows {
        let message = refusal.map(|why| format!("pods \"m\" is forbidden: {why}"));
        expect(row, &node.create(PODS, &pod).await, message.as_deref());
    }
    let account = mirror(&|p| p["spec"]["serviceAccountName"] = json!("default"));
    let message = "pods \"m\" is forbidden: a mirror pod may not reference service accounts";
    expect(
        "an account, which ServiceAccount refuses before",
        &node.create(PODS, &account).await,
        Some(message),
    );
}

#[tokio::test]
async fn a_node_has_one_lease_one_csi_node_and_its_own_slices() {
    let (server, node) = cluster().await;
    server.create("/api/v1/namespaces", &json!({"metadata": {"name": "kube-node-lease"}})).await;
    let leases = |ns: &str| format!("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases");
    let csi = "/apis/storage.k8s.io/v1/csinodes";
    let named = |name: &str| json!({"metadata": {"name": name}, "spec": {}});
    let csi_node = |name: &str| json!({"metadata": {"name": name}, "spec": {"drivers": []}});
    let rows = [
        ("its lease", leases("kube-node-lease"), named("n1"), None),
        (
            "another's lease",
            leases("kube-node-lease"),
            named("n2"),
            Some(
                "leases.coordination.k8s.io \"n2\" is forbidden: can only access node lease with the same name as the requesting node",
            ),
        ),
        (
            "elsewhere",
            leases("default"),
            named("n1"),
            Some(
                "leases.coordination.k8s.io \"n1\" is forbidden: can only access leases in the \"kube-node-lease\" system namespace",
            ),
        ),
        ("its drivers", csi.to_owned(), csi_node("n1"), None),
        (
            "another's drivers",
            csi.to_owned(),
            csi_node("n2"),
            Some(
                "csinodes.storage.k8s.io \"n2\" is forbidden: can only access CSINode with the same name as the requesting node",
            ),
        ),
    ];
    for (row, path, object, refusal) in rows {
        expect(row, &node.create(&path, &object).await, refusal);
    }
    let slice = |node: &str| {
        json!({"metadata": {"name": format!("s-{node}")}, "spec": {
            "driver": "d.example.com", "nodeName": node, "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
        }})
    };
    let slices = "/apis/resource.k8s.io/v1/resourceslices";
    expect("its slice", &node.create(slices, &slice("n1")).await, None);
    let message = "resourceslices.resource.k8s.io \"s-n2\" is forbidden: can only create ResourceSlice with the same NodeName as the requesting node";
    expect("another's slice", &node.create(slices, &slice("n2")).await, Some(message));
    server.create(slices, &slice("n2")).await.ok();
    let message = "resourceslices.resource.k8s.io \"s-n2\" is forbidden: can only delete ResourceSlice with the same NodeName as the requesting node";
    expect("deletion of it", &node.delete(&format!("{slices}/s-n2")).await, Some(message));
}

#[tokio::test]
async fn a_node_gets_tokens_of_its_pods_for_audiences_that_they_declare() {
    let (server, node) = cluster().await;
    let volume = json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}]);
    server.create(PODS, &pod("wants", &json!({"nodeName": "n1", "volumes": volume}))).await.ok();
    let uid = async |name: &str| server.get(&format!("{PODS}/{name}")).await.ok()["metadata"]["uid"].clone();
    let request = |pod: &str, uid: &Value, audiences: Value| json!({"spec": {"audiences": audiences, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}}});
    let drive = json!([
        {"name": "d", "csi": {"driver": "csi.test"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "gone"}},
    ]);
    server.create(PODS, &pod("drives", &json!({"nodeName": "n1", "volumes": drive}))).await.ok();
    let (wants, theirs, drives) = (uid("wants").await, uid("theirs").await, uid("drives").await);
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let not_found =
        "not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience";
    let rows = [
        ("unbound", json!({"spec": {"audiences": ["vault"]}}), "node requested token not bound to a pod".to_owned()),
        ("no uid", request("wants", &json!(""), json!(["vault"])), "node requested token with a pod binding without a uid".into()),
        (
            "another uid",
            request("wants", &json!("u"), json!(["vault"])),
            "the UID in the bound object reference (u) does not match the UID in record. The object might have been deleted and then recreated".into(),
        ),
        (
            "another's pod",
            request("theirs", &theirs, json!(["vault"])),
            "node requested token bound to a pod scheduled on a different node".into(),
        ),
        ("two audiences", request("wants", &wants, json!(["vault", "b"])), "node may only request 0 or 1 audiences".into()),
        ("another audience", request("wants", &wants, json!(["other"])), format!("audience \"other\" {not_found}")),
        (
            "volumes that cannot be looked at",
            request("drives", &drives, json!(["granted"])),
            "error validating audience \"granted\": [csidriver.storage.k8s.io \"csi.test\" not found, persistentvolumeclaim \"gone\" not found]".into(),
        ),
    ];
    for (row, request, why) in rows {
        let message = format!("serviceaccounts \"default\" is forbidden: {why}");
        expect(row, &node.create(path, &request).await, Some(&message));
    }
    for audience in ["vault", "", "granted"] {
        let audiences = if audience.is_empty() { json!([]) } else { json!([audience]) };
        let reply = node.create(path, &request("wants", &wants, audiences)).await;
        assert_ne!(reply.code, 403, "{audience}: {}", reply.text());
    }
    let csi = json!({"metadata": {"name": "csi.test"}, "spec": {"tokenRequests": [{"audience": "disk"}]}});
    server.create("/apis/storage.k8s.io/v1/csidrivers", &csi).await.ok();
    let reply = node.create(path, &request("drives", &drives, json!(["disk"]))).await;
    assert_ne!(reply.code, 403, "{}", reply.text());
}

#[tokio::test]
async fn a_node_tells_how_far_a_volume_has_grown_and_nothing_else_of_a_claim() {
    let (server, node) = cluster().await;
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    server.create(claims, &claim).await.ok();
    let status = format!("{claims}/c/status");
    let grown = json!({"status": {"capacity": {"storage": "1Gi"}}});
    expect("capacity", &node.patch(&status, "merge-patch", &grown).await, None);
    let bound = json!({"status": {"phase": "Bound"}, "metadata": {"labels": {"a": "b"}}});
    let message = "persistentvolumeclaims \"c\" is forbidden: node \"n1\" is not allowed to update fields other than status.quantity and status.conditions: metadata.labels, status.phase";
    expect("phase", &node.patch(&status, "merge-patch", &bound).await, Some(message));
    let message = "persistentvolumeclaims \"c\" is forbidden: may only update PVC status";
    let main =
        node.patch(&format!("{claims}/c"), "merge-patch", &json!({"metadata": {"labels": {"a": "b"}}})).await;
    expect("the claim itself", &main, Some(message));
}

#[tokio::test]
async fn a_user_of_the_nodes_group_without_a_nodes_name_is_no_node_and_one_without_the_group_neither() {
    let (server, _) = cluster().await;
    for other in [user("jane", &["system:nodes"]), user("system:node:n1", &["system:authenticated"])] {
        let label = json!({"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}});
        let reply = server.asked_by(other).patch(&format!("{NODES}/n2"), "merge-patch", &label).await;
        expect("no node", &reply, None);
    }
    let nameless = server.asked_by(user("system:node:", &["system:nodes"]));
    let reply = nameless
        .patch(&format!("{NODES}/n2"), "merge-patch", &json!({"metadata": {"labels": {"a": "b"}}}))
        .await;
    expect(
        "nameless",
        &reply,
        Some("nodes \"n2\" is forbidden: could not determine node from user \"system:node:\""),
    );
}

#[tokio::test]
async fn a_pod_gets_the_zone_and_the_region_of_its_node() {
    let (server, _) = cluster().await;
    let topology = json!({"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1"});
    let labels =
        async |name: &str| server.get(&format!("{PODS}/{name}")).await.ok()["metadata"]["labels"].clone();
    assert_eq!(labels("mine").await, topology);
    server.create(PODS, &pod("later", &json!({}))).await.ok();
    assert_eq!(labels("later").await, Value::Null);
    let binding = json!({"metadata": {"name": "later"}, "target": {"kind": "Node", "name": "n1"}});
    server.create(&format!("{PODS}/later/binding"), &binding).await.ok();
    assert_eq!(labels("later").await, topology);
}
