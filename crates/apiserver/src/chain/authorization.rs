//! Whether the user may: authorizers asked in order, and upstream's sentence for those who may not.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use sampan_model::status::Details;
use sampan_model::{Reason, Status};

use crate::User;
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
    /// What went wrong on the way (a role that is not there); access reviews show it.
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

/// `system:masters` may do everything, everybody may see health and version, and nobody else may do anything.
#[derive(Debug)]
pub struct MastersOnly;

/// What the `system:public-info-viewer` role shows to everybody.
const PUBLIC: [&str; 6] = ["/healthz", "/livez", "/readyz", "/version", "/version/", "/healthz/"];

#[async_trait]
impl Authorizer for MastersOnly {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        let public = !a.info.is_resource && a.info.verb == "get" && PUBLIC.contains(&a.info.path.as_str());
        if public || a.user.in_group("system:masters") { Verdict::allow() } else { Verdict::no_opinion() }
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
}

/// 403 in upstream's words.
pub fn forbidden(user: &User, info: &RequestInfo, reason: &str) -> Status {
    let who = &user.name;
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if !info.is_resource {
        let message = format!("forbidden: User \"{who}\" cannot {} path \"{}\"{why}", info.verb, info.path);
        return Status::failure(403, Reason::Forbidden, message).with_details(Details::default());
    }
    let mut resource = info.resource.clone();
    let mut full = resource.clone();
    if !info.subresource.is_empty() {
        full = format!("{full}/{}", info.subresource);
    }
    if !info.group.is_empty() {
        resource = format!("{resource}.{}", info.group);
    }
    let scope = if info.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", info.namespace)
    };
    let object = if info.name.is_empty() {
        format!("{resource} is")
    } else {
        format!("{resource} \"{}\" is", info.name)
    };
    let message = format!(
        "{object} forbidden: User \"{who}\" cannot {} resource \"{full}\" in API group \"{}\" {scope}{why}",
        info.verb, info.group
    );
    Status::failure(403, Reason::Forbidden, message).with_details(Details {
        name: info.name.clone(),
        group: info.group.clone(),
        kind: info.resource.clone(),
        ..Details::default()
    })
}
