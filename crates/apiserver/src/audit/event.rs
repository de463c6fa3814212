//! One audit event, and the two forms in which it is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_model::field_error::go_quote;
use sampan_model::time::format_micro_time;
use sampan_model::{Map, Value};

use super::level::{Level, Stage};
use crate::User;

/// What is told of a request at one stage (`audit.k8s.io/v1` `Event`).
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Event {
    pub level: Level,
    pub audit_id: String,
    pub stage: Stage,
    pub request_uri: String,
    pub verb: String,
    /// `None` when nobody could be authenticated.
    pub user: Option<Arc<User>>,
    pub impersonated_user: Option<Arc<User>>,
    /// The verb that allowed it, in the constrained forms.
    pub impersonation_constraint: &'static str,
    pub source_ips: Vec<String>,
    pub user_agent: String,
    pub object_ref: Option<ObjectRef>,
    /// A `Status`, of which every answer has at least the code.
    pub response_status: Option<Map>,
    pub request_object: Option<Value>,
    pub response_object: Option<Value>,
    pub received: Timestamp,
    pub stage_time: Timestamp,
    pub annotations: BTreeMap<String, String>,
}

/// What a request is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ObjectRef {
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub api_group: String,
    pub api_version: String,
    pub resource_version: String,
    pub subresource: String,
}

impl ObjectRef {
    fn to_map(&self) -> Map {
        strings(&[
            ("resource", &self.resource),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("uid", &self.uid),
            ("apiGroup", &self.api_group),
            ("apiVersion", &self.api_version),
            ("resourceVersion", &self.resource_version),
            ("subresource", &self.subresource),
        ])
    }
}

/// The fields that are not empty.
fn strings(fields: &[(&str, &String)]) -> Map {
    fields.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (*k, Value::from(v.as_str()))).collect()
}

fn list(items: &[String]) -> Value {
    Value::Array(items.iter().map(|item| Value::from(item.as_str())).collect())
}

fn user(user: &User) -> Map {
    let mut map = strings(&[("username", &user.name), ("uid", &user.uid)]);
    if !user.groups.is_empty() {
        map.insert("groups", list(&user.groups));
    }
    if !user.extra.is_empty() {
        let extra: Map = user.extra.iter().map(|(k, v)| (k.as_str(), list(v))).collect();
        map.insert("extra", extra);
    }
    map
}

impl Event {
    /// The event as an object of the API, without its type, as a list has it.
    pub fn to_value(&self) -> Value {
        let mut map = strings(&[
            ("auditID", &self.audit_id),
            ("requestURI", &self.request_uri),
            ("verb", &self.verb),
            ("userAgent", &self.user_agent),
        ]);
        map.insert("level", self.level.as_str());
        map.insert("stage", self.stage.as_str());
        map.insert("user", self.user.as_deref().map(user).unwrap_or_default());
        if let Some(impersonated) = &self.impersonated_user {
            map.insert("impersonatedUser", user(impersonated));
        }
        if !self.impersonation_constraint.is_empty() {
            let mut metadata = Map::new();
            metadata.insert("impersonationConstraint", self.impersonation_constraint);
            map.insert("authenticationMetadata", metadata);
        }
        if !self.source_ips.is_empty() {
            map.insert("sourceIPs", list(&self.source_ips));
        }
        if let Some(object) = &self.object_ref {
            map.insert("objectRef", object.to_map());
        }
        if let Some(status) = &self.response_status {
            map.insert("responseStatus", status.clone());
        }
        for (key, object) in
            [("requestObject", &self.request_object), ("responseObject", &self.response_object)]
        {
            if let Some(object) = object {
                map.insert(key, object.clone());
            }
        }
        map.insert("requestReceivedTimestamp", format_micro_time(self.received));
        map.insert("stageTimestamp", format_micro_time(self.stage_time));
        if !self.annotations.is_empty() {
            let all: Map = self.annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            map.insert("annotations", all);
        }
        Value::Object(map)
    }

    /// One line of JSON.
    pub fn json_line(&self) -> Vec<u8> {
        let mut value = self.to_value();
        if let Value::Object(map) = &mut value {
            map.insert("kind", "Event");
            map.insert("apiVersion", "audit.k8s.io/v1");
        }
        let mut line = Vec::with_capacity(1024);
        crate::encode::write_object(&value, &mut line, false);
        line.push(b'\n');
        line
    }

    /// One line of the older form, which has no bodies.
    pub fn legacy_line(&self) -> Vec<u8> {
        let name = |user: Option<&User>| user.map(|u| u.name.clone()).filter(|name| !name.is_empty());
        let groups = |user: Option<&User>| {
            let groups = user.map(|u| u.groups.as_slice()).filter(|groups| !groups.is_empty())?;
            Some(groups.iter().map(|g| go_quote(g)).collect::<Vec<_>>().join(","))
        };
        let or = |text: Option<String>, other: &str| text.unwrap_or_else(|| other.to_owned());
        let (who, acting) = (self.user.as_deref(), self.impersonated_user.as_deref());
        let namespace = self.object_ref.as_ref().map(|o| o.namespace.clone()).filter(|n| !n.is_empty());
        let code = self.response_status.as_ref().and_then(|s| s.get("code")).and_then(Value::as_i64);
        let fields = [
            ("id", self.audit_id.clone()),
            ("stage", self.stage.as_str().to_owned()),
            ("ip", or(self.source_ips.first().cloned(), "<unknown>")),
            ("method", self.verb.clone()),
            ("user", or(name(who), "<none>")),
            ("groups", or(groups(who), "<none>")),
            ("as", or(acting.map(|u| u.name.clone()), "<self>")),
            ("asgroups", or(groups(acting), "<lookup>")),
            ("user-agent", self.user_agent.clone()),
            ("namespace", or(namespace, "<none>")),
            ("uri", self.request_uri.clone()),
        ];
        let mut line = format!("{} AUDIT:", self.received);
        for (key, value) in fields {
            let _ = write!(line, " {key}={}", go_quote(&value));
        }
        let _ = writeln!(line, " response=\"{}\"", or(code.map(|c| c.to_string()), "<deferred>"));
        line.into_bytes()
    }
}
