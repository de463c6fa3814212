//! What each mode of impersonation asks the authorizer.

use sampan_model::field_error::go_quote;
use sampan_model::name::{is_domain_prefixed_path, name_is_dns_subdomain};
use sampan_model::{FieldPath, Status};

use crate::User;
use crate::chain::authentication::{AUTHENTICATED, UNAUTHENTICATED};
use crate::chain::authorization::{Attributes, Authorizer, Verdict, forbidden};
use crate::request_info::RequestInfo;
use crate::user::{NODE_NAME_KEY, service_account_groups, split_service_account};

/// One way to be somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A service account is the node that it runs on.
    AssociatedNode,
    /// Any node.
    ArbitraryNode,
    /// A service account.
    ServiceAccount,
    /// Every other user, with groups, uid and extra.
    UserInfo,
    /// Anybody, by the single verb that there was before v1.36.
    Legacy,
}

/// The modes in the order in which they are asked.
pub(super) const ALL: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

/// From so many values on, a constrained mode first asks for all of them at once.
const MANY: usize = 4;
const MASTERS: &str = "system:masters";
const NODE_PREFIX: &str = "system:node:";
const NODES: &str = "system:nodes";

impl Mode {
    /// The verb that allows to be somebody in this mode, for audit; empty for the old mode.
    pub(super) fn constraint(self) -> &'static str {
        match self {
            Mode::Legacy => "",
            mode => mode.verb(),
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Mode::AssociatedNode => "impersonate:associated-node",
            Mode::ArbitraryNode => "impersonate:arbitrary-node",
            Mode::ServiceAccount => "impersonate:serviceaccount",
            Mode::UserInfo => "impersonate:user-info",
            Mode::Legacy => "impersonate",
        }
    }

    fn is_constrained(self) -> bool {
        self != Mode::Legacy
    }

    /// Whether the mode is about such a user at all.
    fn applies(self, wanted: &User, requestor: &User) -> bool {
        let name_only = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = node_name(&wanted.name);
        let account = split_service_account(&wanted.name);
        match self {
            Mode::AssociatedNode => name_only && node.is_some_and(|node| runs_on(requestor, node)),
            Mode::ArbitraryNode => name_only && node.is_some(),
            Mode::ServiceAccount => name_only && account.is_some(),
            Mode::UserInfo => node.is_none() && account.is_none(),
            Mode::Legacy => true,
        }
    }
}

/// The user that the requestor becomes, or the refusal; `None` when the mode is not about such a user.
pub(super) async fn check(
    mode: Mode,
    authorizer: &dyn Authorizer,
    request: &Attributes<'_>,
    wanted: &User,
) -> Option<Result<User, Status>> {
    if !mode.applies(wanted, request.user) {
        return None;
    }
    // Which node it is may not change what is decided, so only the names of what is known of the account are shown.
    let shown = (mode == Mode::AssociatedNode).then(|| without_extra_values(request.user));
    let check = Check { mode, authorizer, requestor: shown.as_ref().unwrap_or(request.user) };
    Some(check.run(request, wanted).await)
}

struct Check<'a> {
    mode: Mode,
    authorizer: &'a dyn Authorizer,
    requestor: &'a User,
}

impl Check<'_> {
    async fn run(&self, request: &Attributes<'_>, wanted: &User) -> Result<User, Status> {
        if self.mode.is_constrained() {
            let mode = self.mode.verb().trim_start_matches("impersonate:");
            let verb = format!("impersonate-on:{mode}:{}", request.info.verb);
            let info = RequestInfo { verb, ..request.info.clone() };
            self.ask(&Attributes { user: self.requestor, info: &info, selectors: request.selectors }).await?;
        }
        let mut user = wanted.clone();
        self.name(&mut user).await?;
        if !wanted.uid.is_empty() {
            self.may(&self.about("authentication.k8s.io", "uids", &wanted.uid)).await?;
        }
        self.groups(&wanted.groups).await?;
        self.extra(wanted).await?;
        let group = if user.name == "system:anonymous" {
            UNAUTHENTICATED
        } else if user.in_group(UNAUTHENTICATED) {
            return Ok(user);
        } else {
            AUTHENTICATED
        };
        if !user.in_group(group) {
            user.groups.push(group.into());
        }
        Ok(user)
    }

    async fn name(&self, user: &mut User) -> Result<(), Status> {
        let mut info = self.about(self.group(), "users", &user.name);
        if let Some(node) = node_name(&user.name).filter(|_| self.mode.is_constrained()) {
            info.resource = "nodes".into();
            // One decision for the account on every node.
            info.name = if self.mode == Mode::AssociatedNode { "*".into() } else { node.into() };
            user.groups = vec![NODES.into()];
        }
        if let Some((namespace, name)) = split_service_account(&user.name) {
            info.resource = "serviceaccounts".into();
            info.namespace = namespace.into();
            info.name = name.into();
            if user.groups.is_empty() {
                user.groups = service_account_groups(namespace);
            }
        }
        self.may(&info).await
    }

    async fn groups(&self, groups: &[String]) -> Result<(), Status> {
        let mut info = self.about(self.group(), "groups", "");
        if self.mode.is_constrained() {
            if groups.iter().any(String::is_empty) {
                return Err(self.refused(&info, "impersonating the empty string group is not allowed"));
            }
            if groups.iter().any(|g| g == MASTERS) {
                info.name = MASTERS.into();
                return Err(self.refused(&info, "impersonating the system:masters group is not allowed"));
            }
            if groups.len() >= MANY {
                info.name = "*".into();
                if self.may(&info).await.is_ok() {
                    return Ok(());
                }
            }
        }
        for group in groups {
            info.name.clone_from(group);
            self.may(&info).await?;
        }
        Ok(())
    }

    async fn extra(&self, wanted: &User) -> Result<(), Status> {
        let mut info = self.about("authentication.k8s.io", "userextras", "");
        if self.mode.is_constrained() && !wanted.extra.is_empty() {
            if let Some(why) = wanted.extra.iter().find_map(|(key, values)| extra_complaint(key, values)) {
                return Err(self.refused(&info, &why));
            }
            let values: usize = wanted.extra.values().map(Vec::len).sum();
            if values >= MANY {
                info.subresource = "*".into();
                info.name = "*".into();
                if self.may(&info).await.is_ok() {
                    return Ok(());
                }
            }
        }
        for (key, values) in &wanted.extra {
            info.subresource.clone_from(key);
            for value in values {
                info.name.clone_from(value);
                self.may(&info).await?;
            }
        }
        Ok(())
    }

    /// The group of the resources that stand for names and groups.
    fn group(&self) -> &'static str {
        if self.mode.is_constrained() { "authentication.k8s.io" } else { "" }
    }

    fn about(&self, group: &str, resource: &str, name: &str) -> RequestInfo {
        RequestInfo {
            is_resource: true,
            verb: self.mode.verb().into(),
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            name: name.into(),
            ..RequestInfo::default()
        }
    }

    async fn may(&self, info: &RequestInfo) -> Result<(), Status> {
        self.ask(&Attributes { user: self.requestor, info, selectors: None }).await
    }

    async fn ask(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let verdict = self.authorizer.authorize(attributes).await;
        if verdict.is_allowed() {
            return Ok(());
        }
        Err(forbidden(attributes.user, attributes.info, &why(verdict)))
    }

    fn refused(&self, info: &RequestInfo, why: &str) -> Status {
        forbidden(self.requestor, info, why)
    }
}

fn why(verdict: Verdict) -> String {
    match (verdict.error, verdict.reason) {
        (Some(error), reason) if reason.is_empty() => error,
        (Some(error), reason) => format!("{error}: {reason}"),
        (None, reason) => reason,
    }
}

fn node_name(user: &str) -> Option<&str> {
    user.strip_prefix(NODE_PREFIX).filter(|name| name_is_dns_subdomain(name, false).is_empty())
}

/// Whether the requestor is a service account whose token says that it runs on the node.
fn runs_on(requestor: &User, node: &str) -> bool {
    let says = requestor.extra.get(NODE_NAME_KEY).map(Vec::as_slice);
    split_service_account(&requestor.name).is_some() && matches!(says, Some([name]) if name == node)
}

fn without_extra_values(user: &User) -> User {
    let keys = user.extra.keys().cloned().collect();
    let extra = [("authentication.kubernetes.io/associated-node-keys".to_owned(), keys)].into();
    User { extra, ..user.clone() }
}

/// What a constrained mode does not take in extra fields.
fn extra_complaint(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".into());
    }
    let complaints = is_domain_prefixed_path(&FieldPath::field("extra").child("key"), key);
    if !complaints.is_empty() {
        let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        let all = if let [one] = complaints.as_slice() {
            one.clone()
        } else {
            format!("[{}]", complaints.join(", "))
        };
        return Some(format!("impersonating an invalid key in extra is not allowed: {all}"));
    }
    if key != key.to_lowercase() {
        return Some(format!("impersonating a non-lowercase key in extra is not allowed: {}", go_quote(key)));
    }
    if values.is_empty() {
        return Some("impersonating empty values in extra is not allowed".into());
    }
    values
        .iter()
        .any(String::is_empty)
        .then(|| "impersonating the empty string value in extra is not allowed".into())
}
