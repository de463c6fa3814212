//! Cluster roles that gather the rules of others (`aggregationRule`).
//!
//! Upstream's controller manager fills their `rules`. As long as there are no controllers here, this task does it as that
//! controller would: it follows the cluster roles, and applies what has changed as the controller's service account, which
//! is authorized like anybody. It needs nothing but the API, and moves to the controllers when they exist.

use std::sync::Arc;

use sampan_apiserver::User;
use sampan_apiserver::http_io::query::{FieldValidation, WriteOptions};
use sampan_apiserver::registry::{Attributes, Change};
use sampan_apiserver::server::Server;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Status, Str, Value};
use sampan_store::Error;

use super::policy::{Policy, Role};
use super::rule::PolicyRule;
use super::{GROUP, Rbac, policy};

const MANAGER: &str = "clusterrole-aggregation-controller";

/// The rules of a cluster role that gathers others: theirs, by name, each once. `None`: its rules are its own.
pub fn gathered(policy: &Policy, role: &Role) -> Option<Vec<PolicyRule>> {
    let selectors = role.gathers.as_ref()?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let mut others: Vec<&Arc<Role>> = policy
            .cluster_roles()
            .filter(|other| other.name != role.name && selector.matches_map(Some(&other.labels)))
            .collect();
        others.sort_by(|a, b| a.name.cmp(&b.name));
        for rule in others.iter().flat_map(|other| &other.rules) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    Some(rules)
}

/// A cluster role whose rules are not what it gathers, with what they should be. One at a time: two that gather each other
/// would else exchange their rules for ever.
fn stale(policy: &Policy, except: &[Str]) -> Option<(Str, Vec<PolicyRule>)> {
    let roles = policy.cluster_roles().filter(|role| !except.contains(&role.name));
    let mut roles = roles.filter_map(|role| Some((role, gathered(policy, role)?)));
    roles.find(|(role, rules)| role.rules != *rules).map(|(role, rules)| (role.name.clone(), rules))
}

/// Fills the `rules` of new cluster roles that gather others among them, so that a new cluster begins complete.
/// A role may gather one that gathers, so it goes on until nothing changes.
pub fn complete(roles: &mut [Value]) {
    let key = |role: &Value| format!("{}clusterroles/{}", policy::PREFIX, role.name());
    let mut policy = Policy::of(roles.iter().map(|role| (key(role), role.clone())));
    while let Some((name, rules)) = stale(&policy, &[]) {
        let role = roles.iter_mut().find(|role| role.name() == name).expect("the policy is of these roles");
        if let Value::Object(map) = role {
            map.insert("rules", rules.iter().map(PolicyRule::to_value).collect::<Vec<_>>());
        }
        policy.put_object(&key(role), role);
    }
}

/// Keeps the rules of gathering roles up to date until the store is closed.
pub async fn follow(server: Server, rbac: Arc<Rbac>) {
    let prefix = format!("{}clusterroles/", policy::PREFIX);
    loop {
        let store = server.registry().store();
        let mut watcher = match store.watch(&prefix, store.snapshot().revision()) {
            Ok(watcher) => watcher,
            Err(Error::Compacted { .. }) => continue,
            Err(_) => return,
        };
        loop {
            // What is written here comes back as a change; it ends when nothing is stale any more.
            let mut refused = Vec::new();
            while let Some((name, rules)) = stale(&rbac.policy(), &refused) {
                if let Err(status) = apply(&server, &name, &rules).await {
                    tracing::warn!(role = %name, %status, "a cluster role cannot gather its rules");
                    refused.push(name);
                }
            }
            match watcher.next().await {
                Ok(_) => {}
                Err(Error::Closed) => return,
                Err(_) => break,
            }
        }
    }
}

async fn apply(server: &Server, name: &str, rules: &[PolicyRule]) -> Result<(), Status> {
    let registry = server.registry();
    let resource = registry
        .catalog()
        .resource(GROUP, "v1", "clusterroles")
        .cloned()
        .ok_or_else(Status::path_not_found)?;
    let attributes = Attributes {
        storage: Arc::clone(&resource),
        subresource: "".into(),
        namespace: "".into(),
        name: name.into(),
        user: Arc::new(controller()),
        default_manager: MANAGER.into(),
        audit: sampan_apiserver::audit::Recorder::default(),
        patches: true,
        resource,
    };
    let meta: Map = [("name", name)].into_iter().collect();
    let config: Map = [
        ("apiVersion", Value::from(format!("{GROUP}/v1"))),
        ("kind", "ClusterRole".into()),
        ("metadata", meta.into()),
        ("rules", rules.iter().map(PolicyRule::to_value).collect::<Vec<_>>().into()),
    ]
    .into_iter()
    .collect();
    let options = WriteOptions {
        dry_run: false,
        field_manager: MANAGER.into(),
        field_validation: FieldValidation::Strict,
        force: Some(true),
    };
    registry.update(&attributes, Change::Apply(config.into()), &options).await.map(|_| ())
}

/// The identity under which upstream's controller does it.
fn controller() -> User {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    User {
        name: format!("system:serviceaccount:kube-system:{MANAGER}"),
        groups: groups.map(str::to_owned).to_vec(),
        ..User::default()
    }
}
