//! Whether the user may: authorizers asked in order, and upstream's sentence for those who may not.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use sampan_model::field_error::go_quote;
use sampan_model::status::Details;
use sampan_model::{GroupResource, Reason, Status};

use crate::User;
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::request_info::RequestInfo;

/// What is to be decided: upstream's `authorizer.Attributes`.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// What for. Its `verb` may be one that no request has (`bind`, `impersonate`, `use`).
    pub info: &'a RequestInfo,
    /// The selectors of a list, watch or deletecollection (KEP-4601); authorizers may use them to allow less than all.
    pub selectors: Option<&'a Selectors>,
}

/// The selectors of a request, as authorizers that look at them see them.
#[derive(Debug, Clone, Default)]
pub struct Selectors {
    /// What the field selector demands.
    pub fields: sampan_model::field_selector::Selector,
    /// What the label selector demands.
    pub labels: sampan_model::label_selector::Selector,
}

impl Selectors {
    /// Those of a request. A selector that cannot be read counts as none here: it allows nothing that depends on it, and
    /// the request will fail by it.
    pub fn of(info: &RequestInfo, query: &Query) -> Option<Self> {
        if !info.is_resource || !matches!(info.verb.as_str(), "list" | "watch" | "deletecollection") {
            return None;
        }
        let (fields, labels) = (query.get("fieldSelector"), query.get("labelSelector"));
        if fields.is_empty() && labels.is_empty() {
            return None;
        }
        Some(Self {
            fields: sampan_model::field_selector::Selector::parse(fields).unwrap_or_default(),
            labels: sampan_model::label_selector::Selector::parse(labels).unwrap_or_default(),
        })
    }
}

/// What an authorizer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes; nobody else is asked.
    Allow,
    /// No; nobody else is asked.
    Deny,
    /// Nothing; the next is asked, and in the end it is no.
    NoOpinion,
}

/// A decision and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was decided.
    pub decision: Decision,
    /// Why (may be empty); part of the refusal that the client reads.
    pub reason: String,
    /// What failed on the way (a webhook that did not answer); access reviews show it, and a request that nobody allows
    /// fails by it.
    pub error: Option<String>,
}

impl Verdict {
    /// A decision for a reason.
    pub fn new(decision: Decision, reason: impl Into<String>) -> Self {
        Self { decision, reason: reason.into(), error: None }
    }

    /// Yes, for no reason that needs to be told.
    pub fn allow() -> Self {
        Self::new(Decision::Allow, "")
    }

    /// No opinion.
    pub fn no_opinion() -> Self {
        Self::new(Decision::NoOpinion, "")
    }

    /// The annotations that audit keeps of a decision.
    pub fn audit_annotations(&self) -> [(&'static str, &str); 2] {
        let decision = if self.is_allowed() { "allow" } else { "forbid" };
        [("authorization.k8s.io/decision", decision), ("authorization.k8s.io/reason", &self.reason)]
    }

    /// Whether it is a yes.
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allow
    }
}

/// Rules about resources that a user has (`authorization.k8s.io` `ResourceRule`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ResourceRule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub resource_names: Vec<String>,
}

/// Rules about paths that a user has (`authorization.k8s.io` `NonResourceRule`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NonResourceRule {
    pub verbs: Vec<String>,
    pub paths: Vec<String>,
}

/// Everything that a user may do in a namespace, as far as authorizers can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// About resources.
    pub resources: Vec<ResourceRule>,
    /// About paths.
    pub paths: Vec<NonResourceRule>,
    /// Whether there may be more than is listed.
    pub incomplete: bool,
    /// What went wrong on the way.
    pub errors: Vec<String>,
}

/// Decides whether a user may do what a request asks.
#[async_trait]
pub trait Authorizer: Send + Sync + Debug {
    /// Decides.
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict;

    /// What `user` may do in `namespace` (empty: cluster scope).
    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let _ = (user, namespace);
        Rules { incomplete: true, ..Rules::default() }
    }
}

/// Several errors in one sentence, as Go's aggregates have it: each once, in brackets when they are many.
pub fn aggregate(errors: &[String]) -> String {
    let mut each: Vec<&str> = Vec::with_capacity(errors.len());
    for error in errors {
        if !each.contains(&error.as_str()) {
            each.push(error);
        }
    }
    match each.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// Several authorizers: the first that has an opinion decides.
#[derive(Debug)]
pub struct Union(pub Vec<Arc<dyn Authorizer>>);

#[async_trait]
impl Authorizer for Union {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        let (mut reasons, mut errors) = (Vec::new(), Vec::new());
        for authorizer in &self.0 {
            let verdict = authorizer.authorize(a).await;
            if verdict.decision != Decision::NoOpinion {
                return verdict;
            }
            reasons.extend(Some(verdict.reason).filter(|r| !r.is_empty()));
            errors.extend(verdict.error);
        }
        let error = (!errors.is_empty()).then(|| aggregate(&errors));
        Verdict { decision: Decision::NoOpinion, reason: reasons.join("\n"), error }
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut all = Rules::default();
        for authorizer in &self.0 {
            let rules = authorizer.rules(user, namespace);
            all.resources.extend(rules.resources);
            all.paths.extend(rules.paths);
            all.incomplete |= rules.incomplete;
            all.errors.extend(rules.errors);
        }
        all
    }
}

/// `system:masters` may do everything (upstream's `NewPrivilegedGroups`).
#[derive(Debug)]
pub struct Masters;

#[async_trait]
impl Authorizer for Masters {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        if a.user.in_group("system:masters") { Verdict::allow() } else { Verdict::no_opinion() }
    }

    fn rules(&self, _user: &User, _namespace: &str) -> Rules {
        Rules::default()
    }
}

/// Everybody may do everything (`--authorization-mode=AlwaysAllow`).
#[derive(Debug)]
pub struct AlwaysAllow;

#[async_trait]
impl Authorizer for AlwaysAllow {
    async fn authorize(&self, _a: &Attributes<'_>) -> Verdict {
        Verdict::allow()
    }

    fn rules(&self, _user: &User, _namespace: &str) -> Rules {
        let all = || vec!["*".to_owned()];
        Rules {
            resources: vec![ResourceRule {
                verbs: all(),
                api_groups: all(),
                resources: all(),
                resource_names: Vec::new(),
            }],
            paths: vec![NonResourceRule { verbs: all(), paths: all() }],
            ..Rules::default()
        }
    }
}

/// Nobody may do anything (`--authorization-mode=AlwaysDeny`).
#[derive(Debug)]
pub struct AlwaysDeny;

#[async_trait]
impl Authorizer for AlwaysDeny {
    async fn authorize(&self, _a: &Attributes<'_>) -> Verdict {
        Verdict::new(Decision::NoOpinion, "Everything is forbidden.")
    }

    fn rules(&self, _user: &User, _namespace: &str) -> Rules {
        Rules::default()
    }
}

/// Who may not is told so: 403, or the answer 500 when an authorizer failed that might have said yes.
pub(super) fn refused(
    user: &User,
    info: &RequestInfo,
    uri: &http::Uri,
    verdict: &Verdict,
) -> Result<Status, Box<Answer>> {
    let Some(error) = &verdict.error else {
        return Ok(forbidden(user, info, &verdict.reason));
    };
    tracing::error!(user = %user.name, path = %info.path, %error, "a request could not be authorized");
    let uri = go_quote(&uri.to_string());
    let text = format!("Internal Server Error: {uri}: {error}\n");
    Err(Box::new(respond::bytes(500, "text/plain; charset=utf-8", sanitized(&text))))
}

/// Text as upstream shows it to browsers that might take it for HTML.
fn sanitized(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// 403 in upstream's words.
pub fn forbidden(user: &User, info: &RequestInfo, reason: &str) -> Status {
    let [who, verb, group] = [&user.name, &info.verb, &info.group].map(|word| go_quote(word));
    let verb = verb.trim_matches('"');
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if !info.is_resource {
        let what = sanitized(&format!("User {who} cannot {verb} path {}", go_quote(&info.path)));
        return Status::failure(403, Reason::Forbidden, format!("forbidden: {what}{why}"))
            .with_details(Details::default());
    }
    let mut full = info.resource.clone();
    if !info.subresource.is_empty() {
        full = format!("{full}/{}", info.subresource);
    }
    let scope = if info.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {}", go_quote(&info.namespace))
    };
    let full = go_quote(&full);
    let what = sanitized(&format!("User {who} cannot {verb} resource {full} in API group {group} {scope}"));
    let resource = GroupResource::new(info.group.as_str(), info.resource.as_str());
    Status::forbidden(&resource, &info.name, format!("{what}{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verb group/resource/subresource namespace/name`, or `verb /path`; `-` for what is empty.
    fn info(text: &str) -> RequestInfo {
        let words: Vec<&str> = text.split(' ').collect();
        let part = |word: &str, i: usize| {
            word.split('/').nth(i).filter(|w| *w != "-").unwrap_or_default().to_owned()
        };
        let verb = words[0].to_owned();
        match words[1..] {
            [path] => RequestInfo { verb, path: path.into(), ..RequestInfo::default() },
            [what, place] => RequestInfo {
                verb,
                is_resource: true,
                group: part(what, 0),
                resource: part(what, 1),
                subresource: part(what, 2),
                namespace: part(place, 0),
                name: part(place, 1),
                ..RequestInfo::default()
            },
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn a_refusal_says_who_cannot_do_what_and_where() {
        let rows = [
            ("get /metrics", "", r#"forbidden: User "u<v>" cannot get path "/metrics""#),
            ("post /a&b", "r", r#"forbidden: User "u<v>" cannot post path "/a&b": r"#),
            (
                "list -/pods -/-",
                "",
                r#"pods is forbidden: User "u<v>" cannot list resource "pods" in API group "" at the cluster scope"#,
            ),
            (
                "get apps/deployments n/d",
                "",
                r#"deployments.apps "d" is forbidden: User "u<v>" cannot get resource "deployments" in API group "apps" in the namespace "n""#,
            ),
            (
                "create -/pods/exec n/p",
                "RBAC: x",
                r#"pods "p" is forbidden: User "u<v>" cannot create resource "pods/exec" in API group "" in the namespace "n": RBAC: x"#,
            ),
            (
                "delete -/nodes -/n",
                "",
                r#"nodes "n" is forbidden: User "u<v>" cannot delete resource "nodes" in API group "" at the cluster scope"#,
            ),
        ];
        let user = User { name: "u<v>".into(), ..User::default() };
        for (request, reason, want) in rows {
            let status = forbidden(&user, &info(request), reason);
            let want = want.replace("u<v>", "u&lt;v&gt;").replace("a&b", "a&amp;b");
            assert_eq!((status.code(), status.message()), (403, want.as_str()), "{request}");
        }
    }

    #[derive(Debug)]
    struct Says(Verdict);

    #[async_trait]
    impl Authorizer for Says {
        async fn authorize(&self, _a: &Attributes<'_>) -> Verdict {
            self.0.clone()
        }
    }

    #[tokio::test]
    async fn the_first_opinion_decides_and_the_reasons_of_those_without_are_joined() {
        let says = |decision, reason: &str, error: Option<&str>| -> Arc<dyn Authorizer> {
            Arc::new(Says(Verdict { decision, reason: reason.into(), error: error.map(str::to_owned) }))
        };
        let none = |reason: &str, error| says(Decision::NoOpinion, reason, error);
        let rows = [
            (vec![], Decision::NoOpinion, "", None),
            (vec![none("a", None), none("", None), none("b", None)], Decision::NoOpinion, "a\nb", None),
            (vec![none("", Some("x")), none("", Some("y"))], Decision::NoOpinion, "", Some("[x, y]")),
            (vec![none("a", Some("x")), says(Decision::Allow, "c", None)], Decision::Allow, "c", None),
            (
                vec![says(Decision::Deny, "no", None), says(Decision::Allow, "", None)],
                Decision::Deny,
                "no",
                None,
            ),
        ];
        let (user, info) = (User::default(), RequestInfo::default());
        for (list, decision, reason, error) in rows {
            let verdict =
                Union(list).authorize(&Attributes { user: &user, info: &info, selectors: None }).await;
            assert_eq!(
                (verdict.decision, verdict.reason.as_str(), verdict.error.as_deref()),
                (decision, reason, error)
            );
        }
    }
}
