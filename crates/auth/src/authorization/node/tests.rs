use sampan_apiserver::chain::authorization::Selectors;
use sampan_apiserver::request_info::RequestInfo;
use sampan_model::field_selector;
use sampan_store::embedded::Embedded;
use sampan_store::{Expect, NewValue, Op, Txn};

use super::*;

async fn authorizer() -> Node {
    let pod = r#"{"metadata":{"name":"p","namespace":"n"},"spec":{"nodeName":"a","serviceAccountName":"sa","volumes":[{"configMap":{"name":"used"}}]}}"#;
    let store = Arc::new(Embedded::in_memory());
    let value = NewValue { bytes: pod.into(), ..NewValue::default() };
    let put = Op::Put { key: "/registry/pods/n/p".into(), expect: Expect::Any, value };
    store.commit(Txn { ops: vec![put] }).await.unwrap();
    let services = PolicyRule {
        verbs: vec!["get".into(), "list".into()],
        api_groups: vec!["".into()],
        resources: vec!["services".into()],
        ..PolicyRule::default()
    };
    Node::new(store, vec![services])
}

fn user(name: &str) -> User {
    User { name: name.into(), groups: vec!["system:nodes".into()], ..User::default() }
}

/// `verb group/resource/subresource namespace/name [field selector]`, `-` for what is empty.
async fn decide(node: &Node, user: &User, text: &str) -> Verdict {
    let words: Vec<&str> = text.split(' ').collect();
    let part =
        |word: &str, i: usize| word.split('/').nth(i).filter(|w| *w != "-").unwrap_or_default().to_owned();
    let info = RequestInfo {
        is_resource: true,
        verb: words[0].into(),
        group: part(words[1], 0),
        resource: part(words[1], 1),
        subresource: part(words[1], 2),
        namespace: part(words[2], 0),
        name: part(words[2], 1),
        ..RequestInfo::default()
    };
    let selectors = words.get(3).map(|text| Selectors {
        fields: field_selector::Selector::parse(text).unwrap(),
        ..Selectors::default()
    });
    node.authorize(&Attributes { user, info: &info, selectors: selectors.as_ref() }).await
}

#[tokio::test]
async fn a_node_may_what_its_own_pods_need() {
    let (node, user) = (authorizer().await, user("system:node:a"));
    let no_relation = "no relationship found between node 'a' and this object";
    let allowed = "(allowed)";
    let rows = [
        ("get -/configmaps n/used", allowed),
        ("watch -/configmaps n/used", allowed),
        ("get -/configmaps n/unused", no_relation),
        ("list -/configmaps n/-", "No Object name found"),
        ("list -/configmaps -/used", "can only read namespaced object of this type"),
        ("delete -/configmaps n/used", "can only read resources of this type"),
        ("get -/secrets n/used", no_relation),
        ("get -/secrets/x n/used", "cannot read subresource"),
        ("create -/serviceaccounts/token n/sa", allowed),
        ("create -/serviceaccounts/token n/other", no_relation),
        ("create -/serviceaccounts/token n/-", "can only create tokens for individual service accounts"),
        ("create -/serviceaccounts/x n/sa", "can only create token subresource of service account"),
        ("get -/serviceaccounts n/sa", allowed),
        ("list -/persistentvolumes -/-", "can only get individual resources of this type"),
        ("get -/persistentvolumes -/v", no_relation),
        ("get -/persistentvolumeclaims/status n/c", "can only get/update/patch this type"),
        ("get -/pods n/p", allowed),
        ("get -/pods n/q", no_relation),
        ("list -/pods -/- spec.nodeName=a", allowed),
        ("watch -/pods -/- spec.nodeName=b", "can only list/watch pods with spec.nodeName field selector"),
        ("list -/pods -/- spec.nodeName!=a", "can only list/watch pods with spec.nodeName field selector"),
        ("list -/pods n/-", "can only list/watch pods with spec.nodeName field selector"),
        ("list -/pods n/p", allowed),
        ("update -/pods/status n/other", allowed),
        ("create -/pods/eviction n/other", allowed),
        ("update -/pods n/p", ""),
        ("get -/nodes -/a", allowed),
        ("get -/nodes -/b", "node 'a' cannot read 'b', only its own Node object"),
        ("list -/nodes -/-", "node 'a' cannot read all nodes, only its own Node object"),
        ("patch -/nodes/status -/b", allowed),
        ("delete -/nodes -/a", ""),
        ("update coordination.k8s.io/leases kube-node-lease/a", allowed),
        ("create coordination.k8s.io/leases kube-node-lease/-", allowed),
        (
            "update coordination.k8s.io/leases kube-node-lease/b",
            "can only access node lease with the same name as the requesting node",
        ),
        (
            "update coordination.k8s.io/leases kube-system/a",
            "can only access leases in the \"kube-node-lease\" system namespace",
        ),
        (
            "list coordination.k8s.io/leases kube-node-lease/-",
            "can only get, create, update, patch, or delete a node lease",
        ),
        ("get storage.k8s.io/csinodes -/a", allowed),
        (
            "get storage.k8s.io/csinodes -/b",
            "can only access CSINode with the same name as the requesting node",
        ),
        ("list resource.k8s.io/resourceslices -/- spec.nodeName=a", allowed),
        (
            "list resource.k8s.io/resourceslices -/-",
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
        ("get resource.k8s.io/resourceslices -/x", no_relation),
        ("list -/services -/-", allowed),
        ("delete -/services n/x", ""),
    ];
    for (request, want) in rows {
        let verdict = decide(&node, &user, request).await;
        let got = if verdict.is_allowed() { allowed } else { &verdict.reason };
        assert_eq!(got, want, "{request}");
        assert_ne!(verdict.decision, Decision::Deny, "RBAC may still allow it");
    }
}

#[tokio::test]
async fn who_is_no_node_is_none_of_its_business() {
    let node = authorizer().await;
    let in_no_group = User { groups: Vec::new(), ..user("system:node:a") };
    for (who, reason) in [
        (user("jane"), ""),
        (in_no_group, ""),
        (user("system:node:"), "unknown node for user \"system:node:\""),
    ] {
        let verdict = decide(&node, &who, "list -/services -/-").await;
        assert_eq!((verdict.decision, verdict.reason.as_str()), (Decision::NoOpinion, reason), "{who:?}");
    }
}
