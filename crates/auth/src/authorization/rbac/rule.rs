//! One rule of a role, and what it allows.

use sampan_apiserver::request_info::RequestInfo;
use sampan_model::{Map, Str, Value};

/// A rule (`rbac.authorization.k8s.io` `PolicyRule`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PolicyRule {
    pub verbs: Vec<Str>,
    pub api_groups: Vec<Str>,
    pub resources: Vec<Str>,
    pub resource_names: Vec<Str>,
    pub non_resource_urls: Vec<Str>,
}

/// The word that stands for all.
pub(super) const ALL: &str = "*";

pub(super) fn has(list: &[Str], word: &str) -> bool {
    list.iter().any(|w| w == word)
}

fn has_or_all(list: &[Str], word: &str) -> bool {
    list.iter().any(|w| w == ALL || w == word)
}

/// Whether a path of a rule, which may end in a star, covers a path.
pub(super) fn covers_path(owner: &str, path: &str) -> bool {
    owner == path || (owner.ends_with('*') && path.starts_with(owner.trim_end_matches('*')))
}

impl PolicyRule {
    /// The rule in an object.
    pub fn read(value: &Value) -> Self {
        let list =
            |field: &str| value.array_at(&[field]).iter().filter_map(Value::as_str).map(Str::from).collect();
        Self {
            verbs: list("verbs"),
            api_groups: list("apiGroups"),
            resources: list("resources"),
            resource_names: list("resourceNames"),
            non_resource_urls: list("nonResourceURLs"),
        }
    }

    /// The rules of a role's object.
    pub fn read_all(role: &Value) -> Vec<Self> {
        role.array_at(&["rules"]).iter().map(Self::read).collect()
    }

    /// The rule as it stands in an object.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("verbs", self.verbs.clone());
        let rest = [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ];
        for (field, list) in rest.into_iter().filter(|(_, list)| !list.is_empty()) {
            map.insert(field, list.clone());
        }
        map.into()
    }

    /// Whether it allows a request (upstream's `RuleAllows`).
    pub fn allows(&self, info: &RequestInfo) -> bool {
        if !has_or_all(&self.verbs, &info.verb) {
            return false;
        }
        if !info.is_resource {
            return self.non_resource_urls.iter().any(|url| url == ALL || covers_path(url, &info.path));
        }
        has_or_all(&self.api_groups, &info.group)
            && self.resources.iter().any(|r| names_resource(r, &info.resource, &info.subresource))
            && (self.resource_names.is_empty() || has(&self.resource_names, &info.name))
    }
}

/// Whether a word of `resources` means that resource: all, exactly it, or any resource's subresource of that name.
fn names_resource(word: &str, resource: &str, subresource: &str) -> bool {
    if word == ALL {
        return true;
    }
    if subresource.is_empty() {
        return word == resource;
    }
    let Some((owner, part)) = word.split_once('/') else { return false };
    part == subresource && (owner == ALL || owner == resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Str> {
        text.split(' ')
            .filter(|w| !w.is_empty())
            .map(|w| if w == "-" { "".into() } else { w.into() })
            .collect()
    }

    #[test]
    fn a_rule_allows_what_its_words_and_stars_say() {
        // Verbs, groups (- is the core group), resources, names; and verb, group, resource/subresource, name.
        let rows = [
            ("get", "-", "pods", "", "get", "", "pods", "a", true),
            ("get", "-", "pods", "", "list", "", "pods", "", false),
            ("get", "-", "pods", "", "get", "apps", "pods", "a", false),
            ("get", "-", "pods", "", "get", "", "pods/log", "a", false),
            ("get", "-", "pods/log", "", "get", "", "pods/log", "a", true),
            ("get", "-", "pods/log", "", "get", "", "pods", "a", false),
            ("get", "-", "pods/*", "", "get", "", "pods/log", "a", false),
            ("update", "apps", "*/scale", "", "update", "apps", "deployments/scale", "a", true),
            ("update", "apps", "*/scale", "", "update", "apps", "deployments/status", "a", false),
            ("update", "apps", "*/scale", "", "update", "apps", "scale", "a", false),
            ("*", "*", "*", "", "bind", "x", "y/z", "a", true),
            ("*", "*", "pods", "", "deletecollection", "x", "pods", "", true),
            ("get list", "- apps", "pods services", "", "list", "apps", "services", "", true),
            ("get", "-", "configmaps", "mine", "get", "", "configmaps", "mine", true),
            ("get", "-", "configmaps", "mine", "get", "", "configmaps", "other", false),
            ("list", "-", "configmaps", "mine", "list", "", "configmaps", "", false),
            ("get", "-", "configmaps", "*", "get", "", "configmaps", "other", false),
            ("get", "", "pods", "", "get", "", "pods", "a", false),
        ];
        for (verbs, groups, resources, names, verb, group, resource, name, allowed) in rows {
            let rule = PolicyRule {
                verbs: words(verbs),
                api_groups: words(groups),
                resources: words(resources),
                resource_names: words(names),
                ..PolicyRule::default()
            };
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let info = RequestInfo {
                is_resource: true,
                verb: verb.into(),
                group: group.into(),
                resource: resource.into(),
                subresource: subresource.into(),
                name: name.into(),
                ..RequestInfo::default()
            };
            assert_eq!(
                rule.allows(&info),
                allowed,
                "{rule:?} {verb} {group} {resource}/{subresource} {name}"
            );
        }
    }

    #[test]
    fn a_rule_of_paths_allows_what_begins_as_it_does() {
        let rows = [
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/etcd", false),
            ("/healthz/*", "/healthz/etcd", true),
            ("/healthz/*", "/healthz", false),
            ("/health*", "/healthz", true),
            ("*", "/anything", true),
            ("/*/x", "/a/x", false),
        ];
        for (url, path, allowed) in rows {
            let rule =
                PolicyRule { verbs: words("get"), non_resource_urls: words(url), ..PolicyRule::default() };
            let info = RequestInfo { verb: "get".into(), path: path.into(), ..RequestInfo::default() };
            assert_eq!(rule.allows(&info), allowed, "{url} {path}");
            let other = RequestInfo { verb: "post".into(), ..info.clone() };
            assert!(!rule.allows(&other));
            let resource = RequestInfo { is_resource: true, ..info };
            assert!(!rule.allows(&resource), "a rule of paths says nothing of resources");
        }
    }
}
