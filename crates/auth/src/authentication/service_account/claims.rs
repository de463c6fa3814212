//! What a token of a service account claims, field for field as upstream's do.

use sampan_apiserver::User;
use sampan_apiserver::user::{
    CREDENTIAL_ID_KEY, NODE_NAME_KEY, NODE_UID_KEY, POD_NAME_KEY, POD_UID_KEY, service_account_groups,
    service_account_user,
};
use serde::{Deserialize, Serialize};

use crate::authentication::jwt::{Audiences, NumericDate};

/// Name and uid of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl Reference {
    /// An object.
    pub fn new(name: impl Into<String>, uid: impl Into<String>) -> Self {
        Self { name: name.into(), uid: uid.into() }
    }
}

/// What a token lives and dies with, beside its account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Bound {
    /// Nothing.
    #[default]
    Nothing,
    /// A pod; and the node that it runs on, as far as that is known.
    Pod(Reference, Option<Reference>),
    /// A secret.
    Secret(Reference),
    /// A node.
    Node(Reference),
}

/// The claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// For whom it is.
    #[serde(default, serialize_with = "list")]
    pub aud: Audiences,
    /// When it ends.
    pub exp: Option<NumericDate>,
    /// When it was made.
    pub iat: Option<NumericDate>,
    /// Who has made it.
    #[serde(default)]
    pub iss: String,
    /// Its own name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// What only Kubernetes knows.
    #[serde(rename = "kubernetes.io", default)]
    pub kubernetes: Kubernetes,
    /// When it begins.
    pub nbf: Option<NumericDate>,
    /// Whose it is.
    #[serde(default)]
    pub sub: String,
}

fn list<S: serde::Serializer>(audiences: &Audiences, serializer: S) -> Result<S::Ok, S::Error> {
    audiences.0.serialize(serializer)
}

/// The claims that only Kubernetes knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Kubernetes {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    #[serde(default)]
    pub serviceaccount: Reference,
    /// From when on the use of the token is to be warned of: it is one of an old client, which would not renew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<NumericDate>,
}

impl Kubernetes {
    /// The claims about an account and what its token is bound to.
    pub(super) fn new(namespace: &str, account: Reference, bound: Bound) -> Self {
        let mut claims = Self { namespace: namespace.into(), serviceaccount: account, ..Self::default() };
        match bound {
            Bound::Nothing => {}
            Bound::Pod(pod, node) => {
                claims.pod = Some(pod);
                claims.node = node;
            }
            Bound::Secret(secret) => claims.secret = Some(secret),
            Bound::Node(node) => claims.node = Some(node),
        }
        claims
    }
}

/// The name of a credential, as audit and reviews show it.
pub(super) fn credential_id(jti: &str) -> String {
    if jti.is_empty() { String::new() } else { format!("JTI={jti}") }
}

impl Claims {
    /// The user whom the claims describe.
    pub fn user(&self) -> User {
        let k = &self.kubernetes;
        let mut user = User {
            name: service_account_user(&k.namespace, &k.serviceaccount.name),
            uid: k.serviceaccount.uid.clone(),
            groups: service_account_groups(&k.namespace),
            ..User::default()
        };
        let mut extra = |key: &str, value: &str| {
            if !value.is_empty() {
                user.extra.insert(key.into(), vec![value.into()]);
            }
        };
        if let Some(pod) = k.pod.as_ref().filter(|pod| !pod.name.is_empty() && !pod.uid.is_empty()) {
            extra(POD_NAME_KEY, &pod.name);
            extra(POD_UID_KEY, &pod.uid);
        }
        extra(CREDENTIAL_ID_KEY, &credential_id(&self.jti));
        if let Some(node) = k.node.as_ref().filter(|node| !node.name.is_empty()) {
            extra(NODE_NAME_KEY, &node.name);
            extra(NODE_UID_KEY, &node.uid);
        }
        user
    }
}
