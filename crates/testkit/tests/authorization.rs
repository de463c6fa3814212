//! Who may do what, as clients see it: each request goes through the whole chain of a server with Node and RBAC.

#[path = "authorization/escalation.rs"]
mod escalation;
#[path = "authorization/first_objects.rs"]
mod first_objects;
#[path = "authorization/gathering.rs"]
mod gathering;
#[path = "authorization/nodes.rs"]
mod nodes;
#[path = "authorization/reviews.rs"]
mod reviews;
#[path = "authorization/routes.rs"]
mod routes;
#[path = "authorization/webhooks.rs"]
mod webhooks;
#[path = "authorization/wildcards.rs"]
mod wildcards;

use sampan_testkit::TestServer;
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A rule about resources: verbs, groups, resources, each a list in one word.
fn rule(verbs: &str, groups: &str, resources: &str) -> Value {
    let list = |words: &str| words.split(',').map(str::to_owned).collect::<Vec<_>>();
    json!({"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)})
}

fn cluster_role(name: &str, rules: &[Value]) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

/// Binds a user to a cluster role, everywhere.
async fn bind(server: &TestServer, user: &str, role: &str) {
    let binding = json!({
        "metadata": {"name": format!("{user}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    });
    server.create(&format!("{RBAC}/clusterrolebindings"), &binding).await.ok();
}

/// Lets a user do what the rules say, everywhere.
async fn grant(server: &TestServer, user: &str, rules: &[Value]) {
    let role = format!("{user}-may");
    server.create(&format!("{RBAC}/clusterroles"), &cluster_role(&role, rules)).await.ok();
    bind(server, user, &role).await;
}
