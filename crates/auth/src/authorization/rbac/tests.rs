use sampan_apiserver::request_info::RequestInfo;
use sampan_model::Value;
use sampan_store::embedded::Embedded;
use sampan_store::{Expect, NewValue, Op, Txn};

use super::*;

async fn store(objects: &[(&str, &str)]) -> Arc<Embedded> {
    let store = Arc::new(Embedded::in_memory());
    put(&store, objects).await;
    store
}

async fn put(store: &Embedded, objects: &[(&str, &str)]) {
    let put = |(key, object): &(&str, &str)| Op::Put {
        key: format!("{}{key}", policy::PREFIX).into(),
        expect: Expect::Any,
        value: NewValue { bytes: (*object).into(), ..NewValue::default() },
    };
    store.commit(Txn { ops: objects.iter().map(put).collect() }).await.unwrap();
}

fn user(name: &str, groups: &[&str]) -> User {
    User { name: name.into(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..User::default() }
}

async fn decide(rbac: &Rbac, user: &User, namespace: &str) -> Verdict {
    let info = RequestInfo {
        is_resource: true,
        verb: "get".into(),
        resource: "pods".into(),
        namespace: namespace.into(),
        name: "p".into(),
        ..RequestInfo::default()
    };
    rbac.authorize(&Attributes { user, info: &info, selectors: None }).await
}

const PODS: &str =
    r#"{"metadata":{"name":"r"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}"#;

fn binding(namespace: &str, kind: &str, subjects: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"b","namespace":"{namespace}"}},"roleRef":{{"kind":"{kind}","name":"r"}},"subjects":[{subjects}]}}"#
    )
}

#[tokio::test]
async fn who_is_bound_may_and_is_told_by_what() {
    let account = r#"{"kind":"ServiceAccount","name":"sa"}"#;
    let group = r#"{"kind":"User","name":"other"},{"kind":"Group","name":"g"}"#;
    let rows: [(&str, &str, User, &str, &str); 7] = [
        (
            "clusterrolebindings/b",
            &binding("", "ClusterRole", r#"{"kind":"User","name":"u"}"#),
            user("u", &[]),
            "x",
            r#"RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "u""#,
        ),
        (
            "clusterrolebindings/b",
            &binding("", "ClusterRole", group),
            user("u", &["g"]),
            "",
            r#"RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "g""#,
        ),
        (
            "rolebindings/n/b",
            &binding("n", "ClusterRole", account),
            user("system:serviceaccount:n:sa", &[]),
            "n",
            r#"RBAC: allowed by RoleBinding "b/n" of ClusterRole "r" to ServiceAccount "sa/n""#,
        ),
        (
            "rolebindings/n/b",
            &binding("n", "Role", r#"{"kind":"ServiceAccount","namespace":"m","name":"sa"}"#),
            user("system:serviceaccount:m:sa", &[]),
            "n",
            r#"RBAC: allowed by RoleBinding "b/n" of Role "r" to ServiceAccount "sa/m""#,
        ),
        (
            "rolebindings/n/b",
            &binding("n", "Role", account),
            user("system:serviceaccount:n:sa", &[]),
            "m",
            "",
        ),
        ("rolebindings/n/b", &binding("n", "Role", account), user("system:serviceaccount:n:sa", &[]), "", ""),
        (
            "clusterrolebindings/b",
            &binding("", "ClusterRole", account),
            user("system:serviceaccount::sa", &[]),
            "n",
            "",
        ),
    ];
    for (key, binding, user, namespace, want) in rows {
        let rbac = Rbac::new(store(&[("clusterroles/r", PODS), ("roles/n/r", PODS), (key, binding)]).await);
        let verdict = decide(&rbac, &user, namespace).await;
        assert_eq!(
            (verdict.is_allowed(), verdict.reason.as_str()),
            (!want.is_empty(), want),
            "{key} {binding}"
        );
    }
}

#[tokio::test]
async fn a_change_of_roles_and_bindings_decides_the_next_request() {
    let bound = binding("", "ClusterRole", r#"{"kind":"Group","name":"g"}"#);
    let store = store(&[("clusterrolebindings/b", &bound)]).await;
    let rbac = Rbac::new(store.clone());
    let user = user("u", &["g"]);
    let verdict = decide(&rbac, &user, "n").await;
    assert_eq!(verdict.decision, Decision::NoOpinion);
    assert_eq!(verdict.reason, r#"RBAC: clusterrole.rbac.authorization.k8s.io "r" not found"#);
    assert_eq!(verdict.error, None, "a role that is not there is no failure of the server");
    put(&store, &[("clusterroles/r", PODS)]).await;
    assert!(decide(&rbac, &user, "n").await.is_allowed());
    let other = binding("", "ClusterRole", r#"{"kind":"Group","name":"h"}"#);
    put(&store, &[("clusterrolebindings/b", &other)]).await;
    assert!(!decide(&rbac, &user, "n").await.is_allowed());
    put(&store, &[("clusterrolebindings/b", &bound)]).await;
    assert!(decide(&rbac, &user, "n").await.is_allowed());
    let key = format!("{}clusterrolebindings/b", policy::PREFIX);
    let delete = Op::Delete { key: key.into(), expect: Expect::Present, last: None };
    store.commit(Txn { ops: vec![delete] }).await.unwrap();
    let verdict = decide(&rbac, &user, "n").await;
    assert_eq!((verdict.is_allowed(), verdict.reason.as_str()), (false, ""));
}

#[tokio::test]
async fn the_rules_of_a_user_are_those_of_all_bindings_each_once() {
    let paths = r#"{"metadata":{"name":"p"},"rules":[{"verbs":["get"],"nonResourceURLs":["/x"]}]}"#;
    let twice = binding("", "ClusterRole", r#"{"kind":"Group","name":"g"},{"kind":"User","name":"u"}"#);
    let to_paths = r#"{"metadata":{"name":"c"},"roleRef":{"kind":"ClusterRole","name":"p"},"subjects":[{"kind":"User","name":"u"}]}"#;
    let dangling = r#"{"metadata":{"name":"d","namespace":"n"},"roleRef":{"kind":"Role","name":"none"},"subjects":[{"kind":"User","name":"u"}]}"#;
    let store = store(&[
        ("clusterroles/r", PODS),
        ("clusterroles/p", paths),
        ("clusterrolebindings/b", &twice),
        ("clusterrolebindings/c", to_paths),
        ("rolebindings/n/d", dangling),
    ])
    .await;
    let rules = Rbac::new(store).rules(&user("u", &["g"]), "n");
    assert_eq!(rules.resources.len(), 1);
    assert_eq!(rules.resources[0].resources, ["pods"]);
    assert_eq!(rules.paths[0].paths, ["/x"]);
    assert_eq!(rules.errors, [r#"role.rbac.authorization.k8s.io "none" not found"#]);
    assert!(!rules.incomplete);
}

#[test]
fn roles_gather_the_rules_of_others_through_each_other() {
    let role = |name: &str, label: &str, gathers: &str, verb: &str| -> Value {
        let gathers = match gathers {
            "" => String::new(),
            label => format!(
                r#""aggregationRule":{{"clusterRoleSelectors":[{{"matchLabels":{{"{label}":"true"}}}}]}},"#
            ),
        };
        let rules = match verb {
            "" => String::new(),
            verb => format!(r#"{{"verbs":["{verb}"],"apiGroups":[""],"resources":["pods"]}}"#),
        };
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"{label}":"true"}}}},{gathers}"rules":[{rules}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    let mut roles = [
        role("admin", "none", "to-admin", ""),
        role("edit", "to-admin", "to-edit", ""),
        role("a", "to-edit", "", "update"),
        role("b", "to-admin", "", "delete"),
        // These two gather each other, and end.
        role("x", "to-x", "to-y", "get"),
        role("y", "to-y", "to-x", "list"),
    ];
    aggregation::complete(&mut roles);
    let verbs = |role: &Value| {
        PolicyRule::read_all(role).iter().map(|r| r.verbs[0].to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(verbs(&roles[0]), "delete update");
    assert_eq!(verbs(&roles[1]), "update");
    assert_eq!(verbs(&roles[4]), verbs(&roles[5]));
}
