//! Who makes a request.

use std::collections::BTreeMap;

use crate::chain::authentication::{AUTHENTICATED, UNAUTHENTICATED};

/// The identity that authentication found (`authentication.k8s.io` `UserInfo`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name, `system:admin`.
    pub name: String,
    /// A lasting identifier; may be empty.
    pub uid: String,
    /// The groups, `system:masters`.
    pub groups: Vec<String>,
    /// What the authenticator knows besides.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The name of whoever shows no credentials.
const ANONYMOUS: &str = "system:anonymous";

impl User {
    /// The identity of requests without credentials.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// Puts whoever was authenticated into the group of those; but nobody who says that they were not.
    pub fn count_as_authenticated(&mut self) {
        if self.name != ANONYMOUS && !self.in_group(AUTHENTICATED) && !self.in_group(UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.into());
        }
    }

    /// The identity under which the server itself writes.
    pub fn apiserver() -> Self {
        Self {
            name: "system:apiserver".into(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            ..Self::default()
        }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// The extra field that names the node of a pod whose token was shown.
pub const NODE_NAME_KEY: &str = "authentication.kubernetes.io/node-name";
/// The extra field that names its uid.
pub const NODE_UID_KEY: &str = "authentication.kubernetes.io/node-uid";
/// The extra field that names the pod of a token.
pub const POD_NAME_KEY: &str = "authentication.kubernetes.io/pod-name";
/// The extra field that names its uid.
pub const POD_UID_KEY: &str = "authentication.kubernetes.io/pod-uid";
/// The extra field that names the credential itself, so that audit can tell two of one user apart.
pub const CREDENTIAL_ID_KEY: &str = "authentication.kubernetes.io/credential-id";

const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// The user name of a service account.
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// The groups of a service account.
pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")]
}

/// Namespace and name of the service account that a user name means.
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    use sampan_model::name::{name_is_dns_label, name_is_dns_subdomain};
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    let valid =
        name_is_dns_label(namespace, false).is_empty() && name_is_dns_subdomain(name, false).is_empty();
    valid.then_some((namespace, name))
}
