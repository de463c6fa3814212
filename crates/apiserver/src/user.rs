//! Who makes a request.

use std::collections::BTreeMap;

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

impl User {
    /// The identity of requests without credentials.
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".into(),
            groups: vec!["system:unauthenticated".into()],
            ..Self::default()
        }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}
