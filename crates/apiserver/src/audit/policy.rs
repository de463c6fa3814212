//! The rules of an audit policy, and which of them a request meets first.

mod file;
#[cfg(test)]
mod tests;

use super::level::{Level, Stage};
use crate::User;
use crate::request_info::RequestInfo;

pub use file::Error;

/// An audit policy: the first rule that a request meets decides; a request that meets none is not audited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    omit_managed_fields: bool,
}

/// One rule. An empty list is met by everything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    level: Level,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    non_resource_urls: Vec<String>,
    /// Those of the policy too.
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

/// Resources of one group, and names of their objects.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// What is decided of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How much is told.
    pub level: Level,
    /// When nothing is told.
    pub omit_stages: Vec<Stage>,
    /// Whether bodies are told without `metadata.managedFields`.
    pub omit_managed_fields: bool,
}

impl Policy {
    /// Decides what is told of a request. `user` is `None` when nobody could be authenticated.
    pub fn decide(&self, user: Option<&User>, info: &RequestInfo) -> Decision {
        match self.rules.iter().find(|rule| rule.is_met_by(user, info)) {
            Some(rule) => Decision {
                level: rule.level,
                omit_stages: rule.omit_stages.clone(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
            None => Decision { level: Level::None, omit_stages: Vec::new(), omit_managed_fields: false },
        }
    }
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|item| item == text)
}

impl Rule {
    fn is_met_by(&self, user: Option<&User>, info: &RequestInfo) -> bool {
        let by_user = self.users.is_empty() || user.is_some_and(|u| has(&self.users, &u.name));
        let by_group = self.user_groups.is_empty()
            || user.is_some_and(|u| u.groups.iter().any(|group| has(&self.user_groups, group)));
        let by_verb = self.verbs.is_empty() || has(&self.verbs, &info.verb);
        by_user && by_group && by_verb && self.is_about(info)
    }

    fn is_about(&self, info: &RequestInfo) -> bool {
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.is_resource
                && (self.namespaces.is_empty() || has(&self.namespaces, &info.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|r| r.has(info)));
        }
        self.non_resource_urls.is_empty()
            || (!info.is_resource && self.non_resource_urls.iter().any(|spec| is_path(&info.path, spec)))
    }
}

fn is_path(path: &str, spec: &str) -> bool {
    let prefix = spec.trim_end_matches('*');
    spec == "*" || path == spec || (spec.ends_with('*') && path.starts_with(prefix))
}

impl GroupResources {
    fn has(&self, info: &RequestInfo) -> bool {
        if self.group != info.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let by_name = self.resource_names.is_empty() || has(&self.resource_names, &info.name);
        by_name && self.resources.iter().any(|resource| Self::is_resource(resource, info))
    }

    /// `pods`, `pods/log`, `pods/*`, `*/scale`, `*`. A resource alone does not mean its subresources.
    fn is_resource(spec: &str, info: &RequestInfo) -> bool {
        if spec == "*" {
            return true;
        }
        match spec.split_once('/') {
            None => spec == info.resource && info.subresource.is_empty(),
            Some((resource, "*")) if resource == info.resource => true,
            Some((resource, subresource)) => {
                !info.subresource.is_empty()
                    && subresource == info.subresource
                    && (resource == "*" || resource == info.resource)
            }
        }
    }
}
