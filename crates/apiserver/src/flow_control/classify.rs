//! Which schema a request belongs to: the first, in order, of which a rule matches.
//!
//! Rules are found by whom they name, so a decision looks only at those that concern the user and the user's groups. It
//! allocates nothing.

use std::collections::HashMap;
use std::sync::Arc;

use sampan_model::Str;

use super::config::{CATCH_ALL, FlowSchema, PathRule, ResourceRule, Rule, Subject};
use crate::User;
use crate::request_info::RequestInfo;

const ACCOUNT: &str = "system:serviceaccount:";

/// A rule: its schema's place in the order, and its own within the schema.
type Place = (u32, u32);

/// The schemas in order, and an index of their rules.
#[derive(Debug, Default)]
pub(super) struct Classifier {
    schemas: Vec<Arc<FlowSchema>>,
    users: HashMap<Str, Vec<Place>>,
    groups: HashMap<Str, Vec<Place>>,
    /// By namespace: rules for all its accounts.
    accounts: HashMap<Str, Vec<Place>>,
    /// Rules for every user, and for everybody who is in any group.
    everybody: Vec<Place>,
    any_group: Vec<Place>,
    catch_all: usize,
}

impl Classifier {
    /// Of schemas in the order in which they are asked.
    pub(super) fn new(schemas: Vec<Arc<FlowSchema>>) -> Self {
        let mut index = Self {
            catch_all: schemas.iter().position(|s| s.name == CATCH_ALL).unwrap_or(0),
            ..Self::default()
        };
        for (i, schema) in (0..).zip(&schemas) {
            for (j, rule) in (0..).zip(&schema.rules) {
                for subject in &rule.subjects {
                    let list = index.list(subject);
                    // Rules come in order, so one that names a subject twice is the last of the list.
                    if list.last() != Some(&(i, j)) {
                        list.push((i, j));
                    }
                }
            }
        }
        index.schemas = schemas;
        index
    }

    fn list(&mut self, subject: &Subject) -> &mut Vec<Place> {
        match subject {
            Subject::User(name) if name == "*" => &mut self.everybody,
            Subject::User(name) => self.users.entry(name.clone()).or_default(),
            Subject::Group(name) if name == "*" => &mut self.any_group,
            Subject::Group(name) => self.groups.entry(name.clone()).or_default(),
            Subject::ServiceAccount { namespace, name } if name == "*" => {
                self.accounts.entry(namespace.clone()).or_default()
            }
            Subject::ServiceAccount { namespace, name } => {
                self.users.entry(format!("{ACCOUNT}{namespace}:{name}").into()).or_default()
            }
        }
    }

    /// The place of the schema of a request.
    pub(super) fn classify(&self, user: &User, info: &RequestInfo) -> usize {
        let mut best = u32::MAX;
        let mut look = |list: Option<&Vec<Place>>| {
            for &(i, j) in list.into_iter().flatten() {
                if i >= best {
                    return;
                }
                if asks(&self.schemas[i as usize].rules[j as usize], info) {
                    best = i;
                    return;
                }
            }
        };
        look(Some(&self.everybody));
        look(self.users.get(user.name.as_str()));
        if let Some((namespace, _)) = user.name.strip_prefix(ACCOUNT).and_then(|rest| rest.split_once(':')) {
            look(self.accounts.get(namespace));
        }
        for group in &user.groups {
            look(self.groups.get(group.as_str()));
        }
        if !user.groups.is_empty() {
            look(Some(&self.any_group));
        }
        if best == u32::MAX { self.catch_all } else { best as usize }
    }
}

/// Whether a rule is about what is asked for.
fn asks(rule: &Rule, info: &RequestInfo) -> bool {
    if info.is_resource {
        rule.resources.iter().any(|r| is_of(r, info))
    } else {
        rule.paths.iter().any(|p| is_path(p, info))
    }
}

fn has(list: &[Str], word: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == word)
}

fn is_of(rule: &ResourceRule, info: &RequestInfo) -> bool {
    has(&rule.verbs, &info.verb)
        && has(&rule.groups, &info.group)
        && rule.resources.iter().any(|r| r == "*" || names(r, info))
        && if info.namespace.is_empty() { rule.cluster_scope } else { has(&rule.namespaces, &info.namespace) }
}

/// Whether `entry` is the resource, or `resource/subresource`.
fn names(entry: &str, info: &RequestInfo) -> bool {
    match entry.split_once('/') {
        Some((resource, part)) => resource == info.resource && part == info.subresource,
        None => info.subresource.is_empty() && entry == info.resource,
    }
}

fn is_path(rule: &PathRule, info: &RequestInfo) -> bool {
    let matches = |entry: &Str| match entry.strip_suffix('*') {
        Some(start) => info.path.starts_with(start),
        None => *entry == info.path,
    };
    has(&rule.verbs, &info.verb) && rule.paths.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<Str> {
        words.iter().map(|w| (*w).into()).collect()
    }

    fn resources(
        verbs: &[&str],
        groups: &[&str],
        resources: &[&str],
        namespaces: &[&str],
        cluster: bool,
    ) -> ResourceRule {
        ResourceRule {
            verbs: strings(verbs),
            groups: strings(groups),
            resources: strings(resources),
            namespaces: strings(namespaces),
            cluster_scope: cluster,
        }
    }

    fn schema(
        name: &str,
        subject: Subject,
        resources: Vec<ResourceRule>,
        paths: Vec<PathRule>,
    ) -> Arc<FlowSchema> {
        let rules = vec![Rule { subjects: vec![subject], resources, paths }];
        Arc::new(FlowSchema { name: name.into(), rules, ..FlowSchema::default() })
    }

    fn world() -> Classifier {
        let group = |name: &str| Subject::Group(name.into());
        let account = |namespace: &str, name: &str| Subject::ServiceAccount {
            namespace: namespace.into(),
            name: name.into(),
        };
        let everything = || vec![resources(&["*"], &["*"], &["*"], &["*"], true)];
        let paths = |paths: &[&str]| vec![PathRule { verbs: strings(&["get"]), paths: strings(paths) }];
        Classifier::new(vec![
            schema("probes", group("system:unauthenticated"), vec![], paths(&["/healthz", "/livez/*"])),
            schema(
                "leases",
                account("kube-system", "*"),
                vec![resources(&["get", "update"], &["coordination.k8s.io"], &["leases"], &["*"], false)],
                vec![],
            ),
            schema("one-account", account("a", "b"), everything(), vec![]),
            schema(
                "log",
                Subject::User("eve".into()),
                vec![resources(&["get"], &[""], &["pods/log"], &["x", "y"], false)],
                vec![],
            ),
            schema(
                "nodes-of-all",
                Subject::User("*".into()),
                vec![resources(&["list"], &[""], &["nodes"], &[], true)],
                vec![],
            ),
            schema("accounts", group("system:serviceaccounts"), everything(), vec![]),
            schema(
                "any-group",
                group("*"),
                vec![resources(&["deletecollection"], &["*"], &["*"], &["*"], true)],
                vec![],
            ),
            schema("catch-all", group("system:authenticated"), everything(), paths(&["*"])),
        ])
    }

    /// Name and groups.
    type Who = (String, Vec<&'static str>);

    #[test]
    fn requests_are_classified_by_the_first_schema_that_matches() {
        let account = |name: &str| {
            (format!("system:serviceaccount:{name}"), vec!["system:serviceaccounts", "system:authenticated"])
        };
        let named = |name: &str| (name.to_owned(), vec!["system:authenticated"]);
        let rows: Vec<(&str, Who, &str, &str, &str)> = vec![
            ("a path", (String::new(), vec!["system:unauthenticated"]), "GET", "/healthz", "probes"),
            (
                "a path by its beginning",
                (String::new(), vec!["system:unauthenticated"]),
                "GET",
                "/livez/ping",
                "probes",
            ),
            (
                "a verb that is not named",
                (String::new(), vec!["system:unauthenticated"]),
                "POST",
                "/healthz",
                "catch-all",
            ),
            (
                "all accounts of a namespace",
                account("kube-system:x"),
                "GET",
                "/apis/coordination.k8s.io/v1/namespaces/n/leases/l",
                "leases",
            ),
            (
                "the same without a namespace",
                account("kube-system:x"),
                "GET",
                "/apis/coordination.k8s.io/v1/leases",
                "accounts",
            ),
            (
                "a namespace with the same beginning",
                account("kube-system2:x"),
                "GET",
                "/apis/coordination.k8s.io/v1/namespaces/n/leases/l",
                "accounts",
            ),
            ("one account", account("a:b"), "GET", "/api/v1/pods", "one-account"),
            ("another account", account("a:c"), "GET", "/api/v1/pods", "accounts"),
            ("a subresource", named("eve"), "GET", "/api/v1/namespaces/x/pods/p/log", "log"),
            ("the resource above it", named("eve"), "GET", "/api/v1/namespaces/x/pods/p", "catch-all"),
            ("another namespace", named("eve"), "GET", "/api/v1/namespaces/z/pods/p/log", "catch-all"),
            ("every user", named("bob"), "GET", "/api/v1/nodes", "nodes-of-all"),
            ("everybody in a group", named("bob"), "DELETE", "/api/v1/namespaces/n/pods", "any-group"),
            ("nobody in particular", ("nobody".into(), vec![]), "GET", "/api/v1/pods", "catch-all"),
        ];
        let world = world();
        for (row, (name, groups), method, path, want) in rows {
            let user =
                User { name, groups: groups.into_iter().map(str::to_owned).collect(), ..User::default() };
            let info = RequestInfo::parse(&method.parse().unwrap(), path, false, None);
            assert_eq!(world.schemas[world.classify(&user, &info)].name, want, "{row}");
        }
    }
}
