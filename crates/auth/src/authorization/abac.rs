//! The mode ABAC: a file of policies, one a line, that say which user or group may do what.
//!
//! Lines are policies of `abac.authorization.kubernetes.io/v1beta1`, or in the form without a version that was before it. The
//! file is read at the start.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::AUTHENTICATED;
use sampan_apiserver::chain::authorization::{
    Attributes, Authorizer, NonResourceRule, ResourceRule, Rules, Verdict,
};
use sampan_apiserver::request_info::RequestInfo;
use serde::Deserialize;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {path} (--authorization-policy-file)")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is no policy.
    #[error("error reading policy file {path}, line {line}: {why}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

const API_VERSION: &str = "abac.authorization.kubernetes.io/v1beta1";
const READING: [&str; 3] = ["get", "list", "watch"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned {
    api_version: String,
    kind: String,
    #[serde(default)]
    spec: Policy,
}

/// Who may do what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    api_group: String,
    resource: String,
    namespace: String,
    non_resource_path: String,
}

/// The form without a version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Unversioned {
    user: String,
    group: String,
    readonly: bool,
    resource: String,
    namespace: String,
}

impl From<Unversioned> for Policy {
    fn from(old: Unversioned) -> Self {
        let or_all = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
        let is_everything = old.namespace.is_empty() && old.resource.is_empty();
        let policy = Self {
            group: if old.user.is_empty() && old.group.is_empty() { AUTHENTICATED.into() } else { old.group },
            user: old.user,
            readonly: old.readonly,
            api_group: "*".into(),
            resource: or_all(&old.resource),
            namespace: or_all(&old.namespace),
            non_resource_path: if is_everything { "*".into() } else { String::new() },
        };
        policy.of_authenticated()
    }
}

impl Policy {
    /// A star means everybody whose credentials are known, not everybody.
    fn of_authenticated(self) -> Self {
        if self.user != "*" && self.group != "*" {
            return self;
        }
        Self { user: String::new(), group: AUTHENTICATED.into(), ..self }
    }

    fn parse(line: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        if value.get("apiVersion").is_none() && value.get("kind").is_none() {
            return serde_json::from_value::<Unversioned>(value).map(Self::from).map_err(|e| e.to_string());
        }
        let versioned: Versioned = serde_json::from_value(value).map_err(|e| e.to_string())?;
        if versioned.api_version != API_VERSION || versioned.kind != "Policy" {
            return Err(format!(
                "it is {} {}, and must be {API_VERSION} Policy",
                versioned.api_version, versioned.kind
            ));
        }
        Ok(versioned.spec.of_authenticated())
    }

    fn is_about(&self, user: &User) -> bool {
        let names_user = !self.user.is_empty();
        let names_group = !self.group.is_empty();
        (names_user || names_group)
            && (!names_user || self.user == user.name)
            && (!names_group || user.in_group(&self.group))
    }

    fn allows(&self, info: &RequestInfo) -> bool {
        if self.readonly && !READING.contains(&info.verb.as_str()) {
            return false;
        }
        let fits = |rule: &str, word: &str| rule == "*" || rule == word;
        if info.is_resource {
            return fits(&self.namespace, &info.namespace)
                && fits(&self.resource, &info.resource)
                && fits(&self.api_group, &info.group);
        }
        match self.non_resource_path.strip_suffix('*') {
            Some(prefix) => info.path.starts_with(prefix.trim_end_matches('*')),
            None => self.non_resource_path == info.path && !info.path.is_empty(),
        }
    }
}

/// The authorizer.
#[derive(Debug)]
pub struct Abac(Vec<Policy>);

impl Abac {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut policies = Vec::new();
        for (i, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let policy =
                Policy::parse(line).map_err(|why| Error::Line { path: path.to_owned(), line: i + 1, why })?;
            policies.push(policy);
        }
        Ok(Self(policies))
    }
}

#[async_trait]
impl Authorizer for Abac {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        if self.0.iter().any(|policy| policy.is_about(a.user) && policy.allows(a.info)) {
            return Verdict::allow();
        }
        Verdict { reason: "No policy matched.".into(), ..Verdict::no_opinion() }
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut rules = Rules::default();
        for policy in self.0.iter().filter(|policy| policy.is_about(user)) {
            let verbs = || {
                let verbs: &[&str] = if policy.readonly { &READING } else { &["*"] };
                verbs.iter().map(|verb| (*verb).to_owned()).collect()
            };
            if !policy.resource.is_empty() && (policy.namespace == "*" || policy.namespace == namespace) {
                rules.resources.push(ResourceRule {
                    verbs: verbs(),
                    api_groups: vec![policy.api_group.clone()],
                    resources: vec![policy.resource.clone()],
                    resource_names: Vec::new(),
                });
            }
            if !policy.non_resource_path.is_empty() {
                let paths = vec![policy.non_resource_path.clone()];
                rules.paths.push(NonResourceRule { verbs: verbs(), paths });
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
# The administrators.
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"group":"admins","apiGroup":"*","resource":"*","namespace":"*","nonResourcePath":"*"}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"alice","apiGroup":"apps","resource":"deployments","namespace":"one"}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"*","readonly":true,"nonResourcePath":"/version*"}}
{"user":"bob","readonly":true,"resource":"pods","namespace":"two"}
"#;

    fn resource(verb: &str, group: &str, resource: &str, namespace: &str) -> RequestInfo {
        RequestInfo {
            is_resource: true,
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            ..RequestInfo::default()
        }
    }

    fn path(verb: &str, path: &str) -> RequestInfo {
        RequestInfo { verb: verb.into(), path: path.into(), ..RequestInfo::default() }
    }

    #[tokio::test]
    async fn the_first_policy_that_fits_allows_and_others_have_no_opinion() {
        let abac = Abac::parse(Path::new("f"), FILE).unwrap();
        let rows = [
            ("a group", "root", "admins", resource("delete", "", "nodes", ""), true),
            ("a group, any path", "root", "admins", path("post", "/x"), true),
            ("a user", "alice", "", resource("delete", "apps", "deployments", "one"), true),
            ("another namespace", "alice", "", resource("get", "apps", "deployments", "two"), false),
            ("another group of the API", "alice", "", resource("get", "", "deployments", "one"), false),
            ("an old line", "bob", "", resource("list", "", "pods", "two"), true),
            ("an old line only reads", "bob", "", resource("create", "", "pods", "two"), false),
            ("everybody who is known", "eve", AUTHENTICATED, path("get", "/version/x"), true),
            ("nobody else", "system:anonymous", "system:unauthenticated", path("get", "/version"), false),
            ("another path", "eve", AUTHENTICATED, path("get", "/api"), false),
        ];
        for (name, user, group, info, is_allowed) in rows {
            let user = User { name: user.into(), groups: vec![group.into()], ..User::default() };
            let verdict = abac.authorize(&Attributes { user: &user, info: &info, selectors: None }).await;
            assert_eq!(verdict.is_allowed(), is_allowed, "{name}: {verdict:?}");
        }
        let alice = User { name: "alice".into(), ..User::default() };
        assert_eq!(abac.rules(&alice, "one").resources[0].resources, ["deployments"]);
        assert!(abac.rules(&alice, "two").resources.is_empty());
    }

    #[test]
    fn a_line_that_is_no_policy_is_told_with_its_number() {
        let rows = [
            ("x", "line 1"),
            (r#"{"apiVersion":"v1","kind":"Pod"}"#, "it is v1 Pod"),
            ("{\"user\":\"a\"}\n\n{\"user\":1}", "line 3"),
        ];
        for (text, want) in rows {
            let error = Abac::parse(Path::new("f"), text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
