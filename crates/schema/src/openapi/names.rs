//! The names that upstream makes of groups, versions and resources: `readAppsV1NamespacedDeploymentScale`.

use sampan_model::GroupVersion;

/// A word with a capital.
pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A subresource or a resource in camel case: `port-forward` is `PortForward`.
pub(super) fn camel(words: &str) -> String {
    words.split(['-', '.', '_']).map(capital).collect()
}

/// A group in camel case, without its domain if that is Kubernetes': `RbacAuthorization`, `Core`.
pub(super) fn group(group: &str) -> String {
    match group {
        "" => "Core".into(),
        group => camel(group.strip_suffix(".k8s.io").unwrap_or(group)),
    }
}

/// The tag of a group and version: `rbacAuthorization_v1`.
pub(super) fn tag(gv: &GroupVersion) -> String {
    format!("{}_{}", lower(&group(&gv.group)), gv.version)
}

/// The tag of a group: `apps`.
pub(super) fn lower(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// What stands between the verb and the scope: `AppsV1`.
pub(super) fn stem(gv: &GroupVersion) -> String {
    format!("{}{}", group(&gv.group), capital(&gv.version))
}
