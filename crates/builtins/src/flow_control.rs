//! Flow schemas and priority levels, read for the engine that classifies and limits requests.
//!
//! A mirror of what is stored, so a change holds from the next request on.

pub mod autoupdate;
mod upkeep;

use std::sync::{Arc, OnceLock};

use sampan_apiserver::flow_control::config::{
    Configuration, Distinguisher, FlowSchema, PathRule, PriorityLevel, Queuing, ResourceRule, Response, Rule,
    Source, Subject,
};
use sampan_apiserver::mirror::{Mirror, View};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Str, Value};
use sampan_store::{Entry, Store};

pub use upkeep::{follow, maintain};

const PREFIX: &str = "/registry/flowcontrol.apiserver.k8s.io/";

/// The stored schemas and levels.
#[derive(Debug)]
pub struct Objects(Mirror<Stored>);

impl Objects {
    /// Those of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(Mirror::new(store, vec![PREFIX.to_owned()], Stored::default()))
    }
}

impl Source for Objects {
    fn current(&self) -> Arc<Configuration> {
        let stored = self.0.read();
        Arc::clone(stored.made.get_or_init(|| Arc::new(stored.make())))
    }
}

/// Them by name. A clone shares everything.
#[derive(Debug, Clone, Default)]
struct Stored {
    schemas: imbl::OrdMap<Str, Arc<FlowSchema>>,
    levels: imbl::OrdMap<Str, Arc<PriorityLevel>>,
    /// Made when it is asked for, once for each state.
    made: OnceLock<Arc<Configuration>>,
}

impl Stored {
    fn make(&self) -> Configuration {
        Configuration {
            schemas: self.schemas.values().cloned().collect(),
            levels: self.levels.values().cloned().collect(),
        }
    }
}

impl View for Stored {
    fn put(&mut self, entry: &Entry) {
        let Some((resource, name)) = parts(&entry.key) else { return };
        let object: Value = match serde_json::from_slice(&entry.value) {
            Ok(object) => object,
            Err(error) => {
                tracing::error!(key = %entry.key, %error, "a flow schema or priority level cannot be read");
                return self.remove(&entry.key);
            }
        };
        self.made = OnceLock::new();
        match resource {
            "flowschemas" => {
                self.schemas.insert(name.into(), Arc::new(flow_schema(&object)));
            }
            "prioritylevelconfigurations" => match priority_level(&object) {
                Some(level) => {
                    self.levels.insert(name.into(), Arc::new(level));
                }
                None => self.remove(&entry.key),
            },
            _ => {}
        }
    }

    fn remove(&mut self, key: &str) {
        self.made = OnceLock::new();
        match parts(key) {
            Some(("flowschemas", name)) => {
                self.schemas.remove(name);
            }
            Some(("prioritylevelconfigurations", name)) => {
                self.levels.remove(name);
            }
            _ => {}
        }
    }
}

/// The resource and the name of a key.
fn parts(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(PREFIX)?.split_once('/')
}

fn strings(object: &Value, field: &str) -> Vec<Str> {
    object.array_at(&[field]).iter().filter_map(Value::as_str).map(Str::from).collect()
}

fn number(object: &Value, path: &[&str]) -> Option<u32> {
    object.at(path).and_then(Value::as_i64).and_then(|n| u32::try_from(n).ok())
}

fn flow_schema(object: &Value) -> FlowSchema {
    FlowSchema {
        name: object.name().into(),
        uid: object.uid().into(),
        precedence: object.at(&["spec", "matchingPrecedence"]).and_then(Value::as_i64).unwrap_or(1000),
        level: object.str_at(&["spec", "priorityLevelConfiguration", "name"]).into(),
        distinguisher: match object.str_at(&["spec", "distinguisherMethod", "type"]) {
            "ByUser" => Some(Distinguisher::ByUser),
            "ByNamespace" => Some(Distinguisher::ByNamespace),
            _ => None,
        },
        rules: object.array_at(&["spec", "rules"]).iter().map(rule).collect(),
    }
}

fn rule(object: &Value) -> Rule {
    let resource = |rule: &Value| ResourceRule {
        verbs: strings(rule, "verbs"),
        groups: strings(rule, "apiGroups"),
        resources: strings(rule, "resources"),
        cluster_scope: rule.at(&["clusterScope"]).and_then(Value::as_bool).unwrap_or(false),
        namespaces: strings(rule, "namespaces"),
    };
    let path =
        |rule: &Value| PathRule { verbs: strings(rule, "verbs"), paths: strings(rule, "nonResourceURLs") };
    Rule {
        subjects: object.array_at(&["subjects"]).iter().filter_map(subject).collect(),
        resources: object.array_at(&["resourceRules"]).iter().map(resource).collect(),
        paths: object.array_at(&["nonResourceRules"]).iter().map(path).collect(),
    }
}

fn subject(object: &Value) -> Option<Subject> {
    match object.str_at(&["kind"]) {
        "User" => Some(Subject::User(object.str_at(&["user", "name"]).into())),
        "Group" => Some(Subject::Group(object.str_at(&["group", "name"]).into())),
        "ServiceAccount" => Some(Subject::ServiceAccount {
            namespace: object.str_at(&["serviceAccount", "namespace"]).into(),
            name: object.str_at(&["serviceAccount", "name"]).into(),
        }),
        _ => None,
    }
}

/// `None` for one that contradicts itself, which validation lets nobody write.
fn priority_level(object: &Value) -> Option<PriorityLevel> {
    let (how, response) = match object.str_at(&["spec", "type"]) {
        "Exempt" => ("exempt", Response::Exempt),
        "Limited" => ("limited", limit_response(object)?),
        _ => return None,
    };
    let of = |field: &str| number(object, &["spec", how, field]);
    // What is left out is what the API defaults to.
    let shares = of("nominalConcurrencyShares").unwrap_or(if how == "exempt" { 0 } else { 30 });
    Some(PriorityLevel {
        name: object.name().into(),
        uid: object.uid().into(),
        shares,
        lendable_percent: of("lendablePercent").unwrap_or(0),
        borrowing_limit_percent: of("borrowingLimitPercent"),
        response,
    })
}

fn limit_response(object: &Value) -> Option<Response> {
    let queuing = |field: &str| number(object, &["spec", "limited", "limitResponse", "queuing", field]);
    match object.str_at(&["spec", "limited", "limitResponse", "type"]) {
        "Reject" => Some(Response::Reject),
        "Queue" => Some(Response::Queue(Queuing {
            queues: queuing("queues").unwrap_or(64).max(1),
            hand_size: queuing("handSize").unwrap_or(8).max(1),
            length_limit: queuing("queueLengthLimit").unwrap_or(50).max(1),
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(json: &serde_json::Value) -> Value {
        serde_json::from_str(&json.to_string()).unwrap()
    }

    #[test]
    fn a_level_is_read_with_the_defaults_of_the_api() {
        let level = priority_level(&value(&json!({
            "metadata": {"name": "mine", "uid": "u"},
            "spec": {"type": "Limited", "limited": {"lendablePercent": 40, "borrowingLimitPercent": 0,
                "limitResponse": {"type": "Queue", "queuing": {"queues": 3}}}},
        })))
        .unwrap();
        assert_eq!((level.name.as_str(), level.uid.as_str(), level.shares), ("mine", "u", 30));
        assert_eq!((level.lendable_percent, level.borrowing_limit_percent), (40, Some(0)));
        assert_eq!(level.response, Response::Queue(Queuing { queues: 3, hand_size: 8, length_limit: 50 }));
    }

    #[test]
    fn every_first_schema_leads_to_a_first_level() {
        let (mut schemas, mut levels) = (Vec::new(), Vec::new());
        for (gvr, object) in crate::bootstrap::objects() {
            match gvr.resource.as_str() {
                "flowschemas" => schemas.push(flow_schema(&object)),
                "prioritylevelconfigurations" => levels.push(priority_level(&object).unwrap()),
                _ => {}
            }
        }
        assert_eq!((schemas.len(), levels.len()), (11, 8));
        for schema in schemas {
            assert!(levels.iter().any(|level| level.name == schema.level), "{}", schema.name);
            assert!(schema.rules.iter().all(|rule| !rule.subjects.is_empty()), "{}", schema.name);
        }
    }
}
