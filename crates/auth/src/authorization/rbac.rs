//! RBAC: a user may do what the rules of the roles say that are bound to the user, to a group, or to the service account.
//!
//! The roles and bindings are a [`Mirror`] of what is stored, found by subject, so a decision looks only at the bindings
//! of the one who asks. Reasons are upstream's sentences, letter by letter: clients and audit logs show them.

pub mod aggregation;
pub mod covers;
pub mod escalation;
pub mod policy;
pub mod reconcile;
pub mod rule;

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::User;
use sampan_apiserver::chain::authorization::Decision;
use sampan_apiserver::chain::authorization::{
    Attributes, Authorizer, NonResourceRule, ResourceRule, Rules, Verdict, aggregate,
};
use sampan_apiserver::mirror::Mirror;
use sampan_model::field_error::go_quote;
use sampan_store::Store;

use policy::{Binding, Policy};
use rule::PolicyRule;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// The authorizer.
#[derive(Debug)]
pub struct Rbac(Mirror<Policy>);

impl Rbac {
    /// An authorizer by the roles and bindings of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(Mirror::new(store, vec![policy::PREFIX.to_owned()], Policy::default()))
    }

    /// The roles and bindings as of now.
    pub fn policy(&self) -> Arc<Policy> {
        self.0.read()
    }

    /// All rules that a user has in a namespace (empty: cluster scope), and what could not be found on the way.
    pub fn rules_for(&self, user: &User, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        let policy = self.policy();
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for binding in policy.bindings_of(user, namespace) {
            match policy.role_of(&binding) {
                Some(role) => rules.extend(role.rules.iter().cloned()),
                None => errors.push(missing(&binding)),
            }
        }
        (rules, errors)
    }
}

/// Upstream's sentence for a role that is bound and not there.
fn missing(binding: &Binding) -> String {
    format!("{}.{GROUP} {} not found", binding.role_kind.to_lowercase(), go_quote(&binding.role_name))
}

#[async_trait]
impl Authorizer for Rbac {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        let policy = self.policy();
        let mut errors = Vec::new();
        let scopes = ["", a.info.namespace.as_str()];
        let scopes = if a.info.namespace.is_empty() { &scopes[..1] } else { &scopes[..] };
        for binding in scopes.iter().flat_map(|scope| policy.each_binding(a.user, scope)) {
            match policy.role_of(binding) {
                Some(role) if role.rules.iter().any(|rule| rule.allows(a.info)) => {
                    let reason = format!("RBAC: allowed by {}", binding.describe(a.user));
                    return Verdict::new(Decision::Allow, reason);
                }
                Some(_) => {}
                None => errors.push(missing(binding)),
            }
        }
        let reason = if errors.is_empty() { String::new() } else { format!("RBAC: {}", aggregate(&errors)) };
        Verdict::new(Decision::NoOpinion, reason)
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let (rules, errors) = self.rules_for(user, namespace);
        let mut all = Rules::default();
        let strings = |list: &[sampan_model::Str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        for rule in &rules {
            if !rule.resources.is_empty() {
                all.resources.push(ResourceRule {
                    verbs: strings(&rule.verbs),
                    api_groups: strings(&rule.api_groups),
                    resources: strings(&rule.resources),
                    resource_names: strings(&rule.resource_names),
                });
            }
            if !rule.non_resource_urls.is_empty() {
                let (verbs, paths) = (strings(&rule.verbs), strings(&rule.non_resource_urls));
                all.paths.push(NonResourceRule { verbs, paths });
            }
        }
        all.errors = (!errors.is_empty()).then(|| aggregate(&errors)).into_iter().collect();
        all
    }
}

#[cfg(test)]
mod tests;
