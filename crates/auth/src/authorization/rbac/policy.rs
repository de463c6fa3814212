//! All roles and bindings, found as decisions need them: roles by name, bindings by the subjects they name.

use std::sync::Arc;

use sampan_apiserver::User;
use sampan_apiserver::mirror::View;
use sampan_model::field_error::go_quote;
use sampan_model::label_selector::Selector;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Str, Value};
use sampan_store::Entry;

use super::rule::PolicyRule;

/// Everything that this view follows stands below it.
pub(super) const PREFIX: &str = "/registry/rbac.authorization.k8s.io/";

/// A role.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name.
    pub name: Str,
    /// Its labels, by which other roles gather it.
    pub labels: Map,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
    /// Which roles it gathers; `None`: its rules are its own.
    pub gathers: Option<Vec<Selector>>,
}

/// Whom a binding names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    kind: Str,
    /// As the binding has it; may be empty.
    namespace: Str,
    name: Str,
}

/// A binding.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Where it holds; empty: everywhere.
    pub namespace: Str,
    /// Its name.
    pub name: Str,
    /// `Role` or `ClusterRole`.
    pub role_kind: Str,
    /// The name of that role.
    pub role_name: Str,
    subjects: Vec<Subject>,
}

/// Bindings by name.
type Bindings = Arc<[Arc<Binding>]>;

/// The bindings of a namespace (or of none), by whom they name.
#[derive(Debug, Clone, Default)]
struct Scope {
    users: imbl::HashMap<Str, Bindings>,
    groups: imbl::HashMap<Str, Bindings>,
}

/// All roles and bindings. A clone shares everything.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// By namespace and name; cluster roles have the empty namespace.
    roles: imbl::HashMap<Str, imbl::HashMap<Str, Arc<Role>>>,
    /// By namespace; the empty one has the cluster role bindings.
    scopes: imbl::HashMap<Str, Scope>,
    /// By key, so that one that goes is found at all its subjects.
    bindings: imbl::HashMap<Str, Arc<Binding>>,
}

impl Policy {
    /// A policy of objects that are not stored, each with its key.
    #[doc(hidden)]
    pub fn of(objects: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut policy = Self::default();
        for (key, object) in objects {
            policy.put_object(&key, &object);
        }
        policy
    }

    /// A role.
    pub fn role(&self, namespace: &str, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(namespace)?.get(name)
    }

    /// The role that a binding names.
    pub fn role_of(&self, binding: &Binding) -> Option<&Arc<Role>> {
        let namespace = if binding.role_kind == "Role" { binding.namespace.as_str() } else { "" };
        self.role(namespace, &binding.role_name)
    }

    /// All cluster roles, in no order.
    pub fn cluster_roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.get("").into_iter().flat_map(imbl::HashMap::values)
    }

    /// The bindings in one scope that name a user. One that names the user in several ways comes several times.
    pub(super) fn each_binding<'a>(
        &'a self,
        user: &'a User,
        scope: &str,
    ) -> impl Iterator<Item = &'a Arc<Binding>> + 'a {
        self.scopes.get(scope).into_iter().flat_map(move |scope| {
            let of_groups = user.groups.iter().filter_map(|group| scope.groups.get(group.as_str()));
            scope.users.get(user.name.as_str()).into_iter().chain(of_groups).flat_map(|list| list.iter())
        })
    }

    /// The bindings that hold for a user in a namespace, each once: those of the cluster, then the namespace's, by name.
    pub(super) fn bindings_of(&self, user: &User, namespace: &str) -> Vec<Arc<Binding>> {
        let mut all = Vec::new();
        let scopes: &[&str] = if namespace.is_empty() { &[""] } else { &["", namespace] };
        for scope in scopes {
            let mut some: Vec<_> = self.each_binding(user, scope).cloned().collect();
            some.sort_by(|a, b| a.name.cmp(&b.name));
            some.dedup_by(|a, b| Arc::ptr_eq(a, b));
            all.append(&mut some);
        }
        all
    }

    pub(super) fn put_object(&mut self, key: &str, object: &Value) {
        let Some((resource, namespace, name)) = parts(key) else { return };
        match resource {
            "roles" | "clusterroles" => {
                let role = Arc::new(Role::read(object));
                self.roles.entry(namespace.into()).or_default().insert(name.into(), role);
            }
            "rolebindings" | "clusterrolebindings" => {
                self.remove(key);
                let binding = Arc::new(Binding::read(object));
                self.bindings.insert(key.into(), Arc::clone(&binding));
                let scope = self.scopes.entry(namespace.into()).or_default();
                for subject in &binding.subjects {
                    scope.change(subject, &binding.namespace, |list| {
                        // One that names a subject twice stands there once.
                        if let Err(at) = list.binary_search_by(|b| b.name.cmp(&binding.name)) {
                            list.insert(at, Arc::clone(&binding));
                        }
                    });
                }
            }
            _ => {}
        }
    }
}

impl View for Policy {
    fn put(&mut self, entry: &Entry) {
        match serde_json::from_slice(&entry.value) {
            Ok(object) => self.put_object(&entry.key, &object),
            // What cannot be read grants nothing.
            Err(error) => {
                tracing::error!(key = %entry.key, %error, "a role or binding cannot be read");
                self.remove(&entry.key);
            }
        }
    }

    fn remove(&mut self, key: &str) {
        let Some((resource, namespace, name)) = parts(key) else { return };
        if matches!(resource, "roles" | "clusterroles") {
            if let Some(roles) = self.roles.get_mut(namespace) {
                roles.remove(name);
                if roles.is_empty() {
                    self.roles.remove(namespace);
                }
            }
            return;
        }
        let Some(binding) = self.bindings.remove(key) else { return };
        let Some(scope) = self.scopes.get_mut(namespace) else { return };
        for subject in &binding.subjects {
            scope.change(subject, &binding.namespace, |list| list.retain(|b| !Arc::ptr_eq(b, &binding)));
        }
        if scope.users.is_empty() && scope.groups.is_empty() {
            self.scopes.remove(namespace);
        }
    }
}

impl Scope {
    fn change(&mut self, subject: &Subject, namespace: &str, change: impl FnOnce(&mut Vec<Arc<Binding>>)) {
        let (map, name) = match subject.kind.as_str() {
            "Group" => (&mut self.groups, subject.name.clone()),
            "User" => (&mut self.users, subject.name.clone()),
            "ServiceAccount" => match subject.account(namespace) {
                Some(name) => (&mut self.users, name),
                None => return,
            },
            _ => return,
        };
        let mut list: Vec<Arc<Binding>> = map.get(&name).map(|list| list.to_vec()).unwrap_or_default();
        change(&mut list);
        if list.is_empty() {
            map.remove(&name);
        } else {
            map.insert(name, list.into());
        }
    }
}

/// The resource, the namespace and the name of a key.
fn parts(key: &str) -> Option<(&str, &str, &str)> {
    let (resource, rest) = key.strip_prefix(PREFIX)?.split_once('/')?;
    let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
    Some((resource, namespace, name))
}

impl Role {
    fn read(object: &Value) -> Self {
        let gathers = object.get("aggregationRule").filter(|a| !a.is_null()).map(|rule| {
            let selectors = rule.array_at(&["clusterRoleSelectors"]).iter();
            selectors.map(|s| Selector::from_object(Some(s)).unwrap_or(Selector::NOTHING)).collect()
        });
        Self {
            name: object.name().into(),
            labels: object.labels().cloned().unwrap_or_default(),
            rules: PolicyRule::read_all(object),
            gathers,
        }
    }
}

impl Subject {
    /// The user name of a service account; accounts of the binding's own namespace need not name it.
    fn account(&self, namespace: &str) -> Option<Str> {
        let namespace = if self.namespace.is_empty() { namespace } else { &self.namespace };
        (!namespace.is_empty()).then(|| format!("system:serviceaccount:{namespace}:{}", self.name).into())
    }

    fn is(&self, user: &User, namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => self.name == user.name,
            "Group" => user.in_group(&self.name),
            "ServiceAccount" => self.account(namespace).is_some_and(|name| name == user.name),
            _ => false,
        }
    }
}

impl Binding {
    fn read(object: &Value) -> Self {
        let subject = |s: &Value| Subject {
            kind: s.str_at(&["kind"]).into(),
            namespace: s.str_at(&["namespace"]).into(),
            name: s.str_at(&["name"]).into(),
        };
        Self {
            namespace: object.namespace().into(),
            name: object.name().into(),
            role_kind: object.str_at(&["roleRef", "kind"]).into(),
            role_name: object.str_at(&["roleRef", "name"]).into(),
            subjects: object.array_at(&["subjects"]).iter().map(subject).collect(),
        }
    }

    /// The binding and its first subject that is the user, in upstream's words.
    pub(super) fn describe(&self, user: &User) -> String {
        let subject = self.subjects.iter().find(|s| s.is(user, &self.namespace));
        let subject = subject.map_or_else(String::new, |s| {
            let name = match s.kind.as_str() {
                "ServiceAccount" if s.namespace.is_empty() => format!("{}/{}", s.name, self.namespace),
                "ServiceAccount" => format!("{}/{}", s.name, s.namespace),
                _ => s.name.to_string(),
            };
            format!("{} {}", s.kind, go_quote(&name))
        });
        let (kind, name) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", self.name.to_string())
        } else {
            ("RoleBinding", format!("{}/{}", self.name, self.namespace))
        };
        let (name, role) = (go_quote(&name), go_quote(&self.role_name));
        format!("{kind} {name} of {} {role} to {subject}", self.role_kind)
    }
}
