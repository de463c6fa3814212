//! Nobody grants what they do not have: writes of roles and bindings are checked against the rules of who writes.
//!
//! Upstream wraps the storage of the four kinds (`policybased`). Here it is an admission plug-in that is always there and
//! runs after all others have changed the object: it sees what would be stored, on every way a write can come (create,
//! update, each kind of patch, apply), and decides before validation as upstream does.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer};
use sampan_apiserver::request_info::RequestInfo;
use sampan_apiserver::{Context, User, Verb};
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

use super::covers::{describe, go_list, missing};
use super::rule::PolicyRule;
use super::{GROUP, Rbac};

/// The plug-in.
#[derive(Debug)]
pub struct Escalation {
    rbac: Arc<Rbac>,
    authorizer: Arc<dyn Authorizer>,
}

impl Escalation {
    /// A check by the rules of `rbac`; the verbs `escalate` and `bind` are asked of `authorizer`.
    pub fn new(rbac: Arc<Rbac>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { rbac, authorizer }
    }

    async fn may(&self, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let info = RequestInfo {
            is_resource: true,
            verb: verb.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..RequestInfo::default()
        };
        self.authorizer.authorize(&Attributes { user, info: &info, selectors: None }).await.is_allowed()
    }

    /// Why `user` may not grant `rules` in a namespace.
    fn refuse(&self, user: &User, namespace: &str, rules: &[PolicyRule]) -> Result<(), String> {
        let (owned, errors) = self.rbac.rules_for(user, namespace);
        let missing = missing(&owned, rules);
        if missing.is_empty() {
            return Ok(());
        }
        let mut why = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            go_quote(&user.name),
            go_list(&user.groups),
            describe(missing)
        );
        if !errors.is_empty() {
            use std::fmt::Write as _;
            let _ = write!(why, "; resolution errors: [{}]", errors.join(" "));
        }
        Err(why)
    }

    async fn role(&self, cx: &Context<'_>, role: &Value, old: Option<&Value>) -> Result<(), Status> {
        let resource = cx.resource.gvr.resource.as_str();
        if self.may(cx.user, "escalate", resource, cx.namespace, cx.name).await {
            return Ok(());
        }
        let forbidden = |why: &str| Status::forbidden(&cx.resource.group_resource(), role.name(), why);
        self.refuse(cx.user, cx.namespace, &PolicyRule::read_all(role)).map_err(|why| forbidden(&why))?;
        let gathers = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
        if gathers(role) || old.is_some_and(gathers) {
            // It could gather anything, now or later.
            self.refuse(cx.user, cx.namespace, &everything())
                .map_err(|_| forbidden("must have cluster-admin privileges to use the aggregationRule"))?;
        }
        Ok(())
    }

    async fn binding(&self, cx: &Context<'_>, binding: &Value) -> Result<(), Status> {
        let (kind, name) = (binding.str_at(&["roleRef", "kind"]), binding.str_at(&["roleRef", "name"]));
        let (resource, namespace) = match kind {
            "ClusterRole" => ("clusterroles", ""),
            "Role" => ("roles", cx.namespace),
            _ => {
                return Err(Status::internal(format!("unsupported role reference kind: {}", go_quote(kind))));
            }
        };
        if self.may(cx.user, "bind", resource, cx.namespace, name).await {
            return Ok(());
        }
        let policy = self.rbac.policy();
        let Some(role) = policy.role(namespace, name) else {
            return Err(Status::not_found(&GroupResource::new(GROUP, kind.to_lowercase()), name));
        };
        self.refuse(cx.user, cx.namespace, &role.rules)
            .map_err(|why| Status::forbidden(&cx.resource.group_resource(), binding.name(), why))
    }
}

/// All that can be allowed.
fn everything() -> [PolicyRule; 2] {
    let all = || vec!["*".into()];
    [
        PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
    ]
}

/// Whether a change is about owners and finalizers alone (upstream's `IsOnlyMutatingGCFields`): the garbage collector may
/// make it without the role's rules.
pub fn collects_garbage(object: &Value, old: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        let meta = object.meta_mut();
        for field in ["ownerReferences", "finalizers", "managedFields"] {
            meta.remove(field);
        }
        meta.retain(|_, value| !value.is_empty());
        if let Value::Object(map) = &mut object {
            map.retain(|_, value| !value.is_empty());
        }
        object
    };
    bare(object) == bare(old)
}

#[async_trait]
impl Admission for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        cx.resource.gvr.group == GROUP
            && cx.subresource.is_empty()
            && matches!(verb, Verb::Create | Verb::Update)
            && !cx.user.in_group("system:masters")
    }

    async fn admit(
        &self,
        cx: &Context<'_>,
        _verb: Verb,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if old.is_some_and(|old| collects_garbage(object, old)) {
            return Ok(());
        }
        match cx.resource.gvr.resource.as_str() {
            "roles" | "clusterroles" => self.role(cx, object, old).await,
            "rolebindings" | "clusterrolebindings" => self.binding(cx, object).await,
            _ => Ok(()),
        }
    }
}
