//! Whether the user may: a list of authorizers, and upstream's sentence for those who may not.

use std::fmt::Debug;

use sampan_model::status::Details;
use sampan_model::{Reason, Status};

use crate::User;
use crate::request_info::RequestInfo;

/// What an authorizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No, and why (may be empty).
    Refuse(String),
}

/// Decides whether a user may do what a request asks.
pub trait Authorizer: Send + Sync + Debug {
    /// Decides.
    fn authorize(&self, user: &User, info: &RequestInfo) -> Decision;
}

/// `system:masters` may do everything, everybody may see health and version, and nobody else may do anything.
#[derive(Debug)]
pub struct MastersOnly;

/// What the `system:public-info-viewer` role shows to everybody.
const PUBLIC: [&str; 6] = ["/healthz", "/livez", "/readyz", "/version", "/version/", "/healthz/"];

impl Authorizer for MastersOnly {
    fn authorize(&self, user: &User, info: &RequestInfo) -> Decision {
        let public = !info.is_resource && info.verb == "get" && PUBLIC.contains(&info.path.as_str());
        if public || user.in_group("system:masters") {
            Decision::Allow
        } else {
            Decision::Refuse(String::new())
        }
    }
}

/// Everybody may do everything (`--authorization-mode=AlwaysAllow`).
#[derive(Debug)]
pub struct AlwaysAllow;

impl Authorizer for AlwaysAllow {
    fn authorize(&self, _user: &User, _info: &RequestInfo) -> Decision {
        Decision::Allow
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
