//! The rows of what rules others: RBAC, admission, flow control, certificates, priorities, aggregation.

use jiff::Timestamp;
use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

use super::cells::*;

pub(super) fn role_binding(o: &Value, now: Timestamp) -> Vec<Value> {
    let (mut users, mut groups, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    for subject in o.array_at(&["subjects"]) {
        let name = subject.str_at(&["name"]);
        match subject.str_at(&["kind"]) {
            "User" => users.push(name.to_owned()),
            "Group" => groups.push(name.to_owned()),
            "ServiceAccount" => accounts.push(format!("{}/{name}", subject.str_at(&["namespace"]))),
            _ => {}
        }
    }
    row![
        o.name(),
        format!("{}/{}", o.str_at(&["roleRef", "kind"]), o.str_at(&["roleRef", "name"])),
        age(o, now),
        users.join(", "),
        groups.join(", "),
        accounts.join(", "),
    ]
}

pub(super) fn signing_request(o: &Value, now: Timestamp) -> Vec<Value> {
    let conditions = o.array_at(&["status", "conditions"]);
    let has = |condition_type: &str| conditions.iter().any(|c| c.str_at(&["type"]) == condition_type);
    let mut status = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        status.push_str(",Failed");
    }
    if !o.str_at(&["status", "certificate"]).is_empty() {
        status.push_str(",Issued");
    }
    let seconds = o.at(&["spec", "expirationSeconds"]).and_then(Value::as_i64);
    row![
        o.name(),
        age(o, now),
        text_or(o, &["spec", "signerName"], NONE),
        o.str_at(&["spec", "username"]),
        seconds.map_or_else(|| NONE.to_owned(), human_duration),
        status,
    ]
}

fn count(o: &Value, path: &[&str]) -> i64 {
    i64::try_from(o.array_at(path).len()).unwrap_or(i64::MAX)
}

pub(super) fn webhooks(o: &Value, now: Timestamp) -> Vec<Value> {
    row![o.name(), count(o, &["webhooks"]), age(o, now)]
}

fn admission_policy(o: &Value, rules: i64, now: Timestamp) -> Vec<Value> {
    let kind = o.at(&["spec", "paramKind"]).filter(|p| !p.is_null()).map_or_else(
        || UNSET.to_owned(),
        |p| format!("{}/{}", p.str_at(&["apiVersion"]), p.str_at(&["kind"])),
    );
    row![o.name(), rules, kind, age(o, now)]
}

pub(super) fn validating_policy(o: &Value, now: Timestamp) -> Vec<Value> {
    admission_policy(o, count(o, &["spec", "validations"]), now)
}

pub(super) fn mutating_policy(o: &Value, now: Timestamp) -> Vec<Value> {
    admission_policy(o, count(o, &["spec", "mutations"]), now)
}

pub(super) fn policy_binding(o: &Value, now: Timestamp) -> Vec<Value> {
    let reference = o.at(&["spec", "paramRef"]).filter(|p| !p.is_null()).map_or_else(
        || UNSET.to_owned(),
        |p| match (p.str_at(&["namespace"]), p.str_at(&["name"])) {
            ("", "") => selector(p.get("selector")),
            ("", name) => format!("*/{name}"),
            (namespace, name) => format!("{namespace}/{name}"),
        },
    );
    row![o.name(), o.str_at(&["spec", "policyName"]), reference, age(o, now)]
}

pub(super) fn priority_class(o: &Value, now: Timestamp) -> Vec<Value> {
    row![
        o.name(),
        int(o, &["value"]),
        flag(o, &["globalDefault"]).unwrap_or(false),
        age(o, now),
        o.str_at(&["preemptionPolicy"]),
    ]
}

pub(super) fn runtime_class(o: &Value, now: Timestamp) -> Vec<Value> {
    row![o.name(), o.str_at(&["handler"]), age(o, now)]
}

pub(super) fn lease(o: &Value, now: Timestamp) -> Vec<Value> {
    row![o.name(), o.str_at(&["spec", "holderIdentity"]), age(o, now)]
}

pub(super) fn flow_schema(o: &Value, now: Timestamp) -> Vec<Value> {
    let dangling = match condition(o, "Dangling") {
        "" => "?",
        status => status,
    };
    row![
        o.name(),
        o.str_at(&["spec", "priorityLevelConfiguration", "name"]),
        int(o, &["spec", "matchingPrecedence"]),
        text_or(o, &["spec", "distinguisherMethod", "type"], NONE),
        age(o, now),
        dangling,
    ]
}

pub(super) fn priority_level(o: &Value, now: Timestamp) -> Vec<Value> {
    let number = |path: &[&str]| o.at(path).and_then(Value::as_i64).map_or_else(|| NONE.into(), Value::Int);
    let queuing = |field| number(&["spec", "limited", "limitResponse", "queuing", field]);
    row![
        o.name(),
        o.str_at(&["spec", "type"]),
        number(&["spec", "limited", "nominalConcurrencyShares"]),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        age(o, now),
    ]
}

pub(super) fn api_service(o: &Value, now: Timestamp) -> Vec<Value> {
    let service = o.at(&["spec", "service"]).filter(|s| !s.is_null()).map_or_else(
        || "Local".to_owned(),
        |s| format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])),
    );
    let conditions = o.array_at(&["status", "conditions"]);
    let available = conditions.iter().find(|c| c.str_at(&["type"]) == "Available").map_or_else(
        || "Unknown".to_owned(),
        |c| match (c.str_at(&["status"]), c.str_at(&["reason"])) {
            ("True", _) => "True".to_owned(),
            (status, "") => status.to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    );
    row![o.name(), service, available, age(o, now)]
}
