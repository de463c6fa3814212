//! Which resource a key belongs to, and how resources are named in the configuration.

/// Groups of the API without a dot in their name. Every other group, those of custom resources included, has one, and
/// no resource has.
const SHORT_GROUPS: [&str; 5] = ["apps", "autoscaling", "batch", "extensions", "policy"];

/// A group and a resource; either may be `*` in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupResource<'a> {
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
}

impl<'a> GroupResource<'a> {
    /// `deployments.apps`, `secrets`, `*.apps`, `*.` (the core group), `*.*`: up to the first dot it is the resource.
    pub(crate) fn parse(text: &'a str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Self { group, resource }
    }

    /// Of `/registry/<group>/<resource>/...`, where the core group is left out.
    pub(crate) fn of_key(key: &'a str) -> Option<Self> {
        let path = key.strip_prefix("/registry/")?;
        let (first, rest) = path.split_once('/')?;
        if !first.contains('.') && !SHORT_GROUPS.contains(&first) {
            return Some(Self { group: "", resource: first });
        }
        Some(Self { group: first, resource: rest.split_once('/')?.0 })
    }

    pub(crate) fn is_any(self) -> bool {
        self.group == "*" && self.resource == "*"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_resource() {
        let rows = [
            ("/registry/secrets/default/a", Some(("", "secrets"))),
            ("/registry/namespaces/default", Some(("", "namespaces"))),
            ("/registry/apps/deployments/default/a", Some(("apps", "deployments"))),
            ("/registry/storage.k8s.io/storageclasses/fast", Some(("storage.k8s.io", "storageclasses"))),
            ("/registry/example.com/apps/default/a", Some(("example.com", "apps"))),
            ("/registry/secrets/apps/a", Some(("", "secrets"))),
            ("/registry/secrets", None),
            ("/elsewhere/secrets/default/a", None),
        ];
        for (key, want) in rows {
            assert_eq!(GroupResource::of_key(key).map(|r| (r.group, r.resource)), want, "{key}");
        }
    }

    #[test]
    fn a_rule_is_a_resource_and_a_group() {
        let rows = [
            ("secrets", ("", "secrets")),
            ("deployments.apps", ("apps", "deployments")),
            ("*.apps", ("apps", "*")),
            ("*.", ("", "*")),
            ("*.*", ("*", "*")),
            ("leases.coordination.k8s.io", ("coordination.k8s.io", "leases")),
        ];
        for (text, (group, resource)) in rows {
            assert_eq!(GroupResource::parse(text), GroupResource { group, resource }, "{text}");
        }
    }
}
