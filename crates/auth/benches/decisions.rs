//! What a decision costs, by the number of bindings.

use std::sync::Arc;

use divan::Bencher;
use futures::executor::block_on;
use sampan_apiserver::User;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer};
use sampan_apiserver::request_info::RequestInfo;
use sampan_auth::authorization::rbac::Rbac;
use sampan_store::embedded::Embedded;
use sampan_store::{Expect, NewValue, Op, Store as _, Txn};

fn main() {
    divan::main();
}

const PREFIX: &str = "/registry/rbac.authorization.k8s.io/";

/// So many roles and bindings in the namespace `n`: the i-th to the user `i`, and every tenth to the group `all`.
fn rbac(bindings: usize) -> Rbac {
    let store = Arc::new(Embedded::in_memory());
    let put = |key: String, object: String| Op::Put {
        key: key.into(),
        expect: Expect::Any,
        value: NewValue { bytes: object.into(), ..NewValue::default() },
    };
    let mut ops = Vec::new();
    for i in 0..bindings {
        ops.push(put(
            format!("{PREFIX}roles/n/r{i}"),
            format!(
                r#"{{"metadata":{{"name":"r{i}"}},"rules":[{{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","services"]}},{{"verbs":["*"],"apiGroups":["apps"],"resources":["deployments"]}}]}}"#
            ),
        ));
        let all = if i % 10 == 0 { r#",{"kind":"Group","name":"all"}"# } else { "" };
        ops.push(put(
            format!("{PREFIX}rolebindings/n/b{i}"),
            format!(
                r#"{{"metadata":{{"name":"b{i}","namespace":"n"}},"roleRef":{{"kind":"Role","name":"r{i}"}},"subjects":[{{"kind":"User","name":"u{i}"}}{all}]}}"#
            ),
        ));
    }
    while !ops.is_empty() {
        let some = ops.split_off(ops.len().saturating_sub(500));
        block_on(store.commit(Txn { ops: some })).expect("a store in memory takes them");
    }
    let rbac = Rbac::new(store);
    rbac.policy();
    rbac
}

fn decide(bencher: Bencher<'_, '_>, bindings: usize, groups: &[&str], resource: &str, allowed: bool) {
    let rbac = rbac(bindings);
    let groups = groups.iter().map(|g| (*g).to_owned()).collect();
    let user = User { name: "u7".into(), groups, ..User::default() };
    let info = RequestInfo {
        is_resource: true,
        verb: "get".into(),
        resource: resource.into(),
        namespace: "n".into(),
        name: "x".into(),
        ..RequestInfo::default()
    };
    bencher.bench_local(|| {
        let verdict = block_on(rbac.authorize(&Attributes { user: &user, info: &info, selectors: None }));
        assert_eq!(verdict.is_allowed(), allowed);
    });
}

/// One of so many bindings names the user.
#[divan::bench(args = [10, 1_000, 10_000])]
fn allowed_by_one_binding(bencher: Bencher<'_, '_>, bindings: usize) {
    decide(bencher, bindings, &["system:authenticated"], "pods", true);
}

/// A tenth of so many bindings names the user, and none allows.
#[divan::bench(args = [10, 1_000, 10_000])]
fn refused_by_a_tenth(bencher: Bencher<'_, '_>, bindings: usize) {
    decide(bencher, bindings, &["all", "system:authenticated"], "secrets", false);
}
