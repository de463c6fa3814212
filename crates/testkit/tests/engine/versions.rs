//! What another release has stored in a version of its own is not shown as something that it is not.

use sampan_store::{Expect, NewValue, Op, Txn};
use sampan_testkit::TestServer;

#[tokio::test]
async fn a_start_over_objects_of_an_unknown_version_names_one_and_fails() {
    let server = TestServer::start().await;
    let registry = server.server().registry();
    registry.ensure(Vec::new(), &sampan_builtins::bootstrap::reconcile).await.unwrap();
    let bytes = br#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v9","metadata":{"name":"a"}}"#.to_vec();
    let value = NewValue { bytes, ..NewValue::default() };
    let key = "/registry/coordination.k8s.io/leases/default/a";
    let put = Op::Put { key: key.into(), expect: Expect::Absent, value };
    registry.store().commit(Txn { ops: vec![put] }).await.unwrap();
    let refused = registry.ensure(Vec::new(), &sampan_builtins::bootstrap::reconcile).await.unwrap_err();
    assert!(
        refused.to_string().contains(&format!("{key} is not a Lease of coordination.k8s.io/v1")),
        "{refused}"
    );
}
