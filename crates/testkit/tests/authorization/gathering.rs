//! Cluster roles that gather the rules of others follow them.

use std::sync::Arc;

use sampan_auth::authorization::rbac::{Rbac, aggregation};
use sampan_store::embedded::Embedded;
use sampan_testkit::{TestServer, eventually, user};
use serde_json::{Value, json};

use super::{RBAC, bind, rule};

#[tokio::test]
async fn a_role_that_is_labelled_for_another_is_gathered_as_long_as_it_is_there() {
    let store = Arc::new(Embedded::in_memory());
    let server = TestServer::over(store.clone()).await;
    let following = tokio::spawn(aggregation::follow(server.server().clone(), Arc::new(Rbac::new(store))));
    bind(&server, "jane", "view").await;
    let jane = server.asked_by(user("jane", &[]));
    let path = "/apis/batch/v1/namespaces/default/jobs/x/status";
    let extra = json!({
        "metadata": {"name": "extra", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [rule("patch", "batch", "jobs/status")],
    });
    let body = json!({});
    jane.patch(path, "merge-patch", &body).await.refused(403);
    server.create(&format!("{RBAC}/clusterroles"), &extra).await.ok();
    eventually("view, edit and admin gather the rule", || async {
        jane.patch(path, "merge-patch", &body).await.code.eq(&404).then_some(())
    })
    .await;
    let holds = |role: &Value| role["rules"].as_array().unwrap().contains(&extra["rules"][0]);
    eventually("the roles that gather view have it, too", || async {
        holds(&server.get(&format!("{RBAC}/clusterroles/admin")).await.ok()).then_some(())
    })
    .await;
    let view = server.get(&format!("{RBAC}/clusterroles/view")).await.ok();
    assert_eq!(view["metadata"]["managedFields"][0]["manager"], "clusterrole-aggregation-controller");
    server.delete(&format!("{RBAC}/clusterroles/extra")).await.ok();
    eventually("the rule is gone", || async {
        jane.patch(path, "merge-patch", &body).await.code.eq(&403).then_some(())
    })
    .await;
    following.abort();
}
