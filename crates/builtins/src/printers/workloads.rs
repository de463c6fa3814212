//! The rows of workloads: controllers of pods, jobs, autoscalers, disruption budgets.

use jiff::Timestamp;
use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

use super::cells::*;

fn with_containers(mut cells: Vec<Value>, pod_spec: Option<&Value>, selector: Option<String>) -> Vec<Value> {
    cells.extend(containers(pod_spec));
    cells.extend(selector.map(Value::from));
    cells
}

const POD_SPEC: &[&str] = &["spec", "template", "spec"];

pub(super) fn pod_template(o: &Value, _now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o.at(&["template", "spec"]));
    row![o.name(), names, images, labels(o.at(&["template", "metadata", "labels"]))]
}

fn replicas(o: &Value, now: Timestamp, selector: String) -> Vec<Value> {
    let cells = row![
        o.name(),
        int(o, &["spec", "replicas"]),
        int(o, &["status", "replicas"]),
        int(o, &["status", "readyReplicas"]),
        age(o, now),
    ];
    with_containers(cells, o.at(POD_SPEC), Some(selector))
}

pub(super) fn replication_controller(o: &Value, now: Timestamp) -> Vec<Value> {
    replicas(o, now, labels(o.at(&["spec", "selector"])))
}

pub(super) fn replica_set(o: &Value, now: Timestamp) -> Vec<Value> {
    replicas(o, now, selector(o.at(&["spec", "selector"])))
}

fn ready(o: &Value) -> String {
    format!("{}/{}", int(o, &["status", "readyReplicas"]), int(o, &["spec", "replicas"]))
}

pub(super) fn deployment(o: &Value, now: Timestamp) -> Vec<Value> {
    let cells = row![
        o.name(),
        ready(o),
        int(o, &["status", "updatedReplicas"]),
        int(o, &["status", "availableReplicas"]),
        age(o, now),
    ];
    let selector = o.at(&["spec", "selector"]).map(crate::subresources::label_selector).unwrap_or_default();
    with_containers(cells, o.at(POD_SPEC), Some(selector))
}

pub(super) fn stateful_set(o: &Value, now: Timestamp) -> Vec<Value> {
    with_containers(row![o.name(), ready(o), age(o, now)], o.at(POD_SPEC), None)
}

pub(super) fn daemon_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let status = |field| int(o, &["status", field]);
    let cells = row![
        o.name(),
        status("desiredNumberScheduled"),
        status("currentNumberScheduled"),
        status("numberReady"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
        labels(o.at(&["spec", "template", "spec", "nodeSelector"])),
        age(o, now),
    ];
    with_containers(cells, o.at(POD_SPEC), Some(selector(o.at(&["spec", "selector"]))))
}

pub(super) fn controller_revision(o: &Value, now: Timestamp) -> Vec<Value> {
    let owners = o.array_at(&["metadata", "ownerReferences"]);
    let controller = owners.iter().find(|r| flag(r, &["controller"]) == Some(true)).map_or_else(
        || NONE.to_owned(),
        |r| {
            let kind = r.str_at(&["kind"]).to_lowercase();
            let name = r.str_at(&["name"]);
            match r.str_at(&["apiVersion"]).split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{name}"),
                None => format!("{kind}/{name}"),
            }
        },
    );
    row![o.name(), controller, int(o, &["revision"]), age(o, now)]
}

pub(super) fn job(o: &Value, now: Timestamp) -> Vec<Value> {
    let succeeded = int(o, &["status", "succeeded"]);
    let parallelism = int(o, &["spec", "parallelism"]);
    let completions = match o.at(&["spec", "completions"]).and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    };
    let time = |field| o.str_at(&["status", field]).parse::<Timestamp>().ok();
    let duration = time("startTime").map_or_else(String::new, |start| {
        human_duration(time("completionTime").unwrap_or(now).as_second() - start.as_second())
    });
    let has = |condition_type| condition(o, condition_type) == "True";
    let status = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if o.is_deleting() {
        "Terminating"
    } else {
        ["Suspended", "FailureTarget", "SuccessCriteriaMet"].into_iter().find(|c| has(c)).unwrap_or("Running")
    };
    let cells = row![o.name(), status, completions, duration, age(o, now)];
    with_containers(cells, o.at(POD_SPEC), Some(selector(o.at(&["spec", "selector"]))))
}

pub(super) fn cron_job(o: &Value, now: Timestamp) -> Vec<Value> {
    let last = match o.str_at(&["status", "lastScheduleTime"]) {
        "" => NONE.to_owned(),
        time => since(time, now),
    };
    let cells = row![
        o.name(),
        o.str_at(&["spec", "schedule"]),
        text_or(o, &["spec", "timeZone"], NONE),
        bool_word(flag(o, &["spec", "suspend"])),
        i64::try_from(o.array_at(&["status", "active"]).len()).unwrap_or(i64::MAX),
        last,
        age(o, now),
    ];
    let job = o.at(&["spec", "jobTemplate", "spec"]);
    let pods = job.and_then(|j| j.at(&["template", "spec"]));
    with_containers(cells, pods, Some(selector(job.and_then(|j| j.get("selector")))))
}

pub(super) fn disruption_budget(o: &Value, now: Timestamp) -> Vec<Value> {
    let limit = |field| scalar(o, &["spec", field]).unwrap_or_else(|| "N/A".into());
    row![
        o.name(),
        limit("minAvailable"),
        limit("maxUnavailable"),
        int(o, &["status", "disruptionsAllowed"]),
        age(o, now),
    ]
}

/// Autoscalers of either version: an old one is turned into the new form first.
pub(super) fn autoscaler(o: &Value, now: Timestamp) -> Vec<Value> {
    let converted;
    let o = if o.str_at(&["apiVersion"]) == "autoscaling/v1" {
        converted = crate::conversion::autoscalers::v1_to_v2(o.clone());
        &converted
    } else {
        o
    };
    let target = |field| o.str_at(&["spec", "scaleTargetRef", field]);
    row![
        o.name(),
        format!("{}/{}", target("kind"), target("name")),
        metrics(o),
        scalar(o, &["spec", "minReplicas"]).unwrap_or_else(|| UNSET.into()),
        int(o, &["spec", "maxReplicas"]),
        int(o, &["status", "currentReplicas"]),
        age(o, now),
    ]
}

fn metrics(autoscaler: &Value) -> String {
    let statuses = autoscaler.array_at(&["status", "currentMetrics"]);
    let specs = autoscaler.array_at(&["spec", "metrics"]);
    if specs.is_empty() {
        return NONE.into();
    }
    let words: Vec<String> =
        specs.iter().enumerate().map(|(i, spec)| metric(spec, statuses.get(i))).collect();
    some_of(&words, 2, ", ")
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let (field, resource) = match spec.str_at(&["type"]) {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".into(),
    };
    let target = |name: &str| scalar(spec, &[field, "target", name]);
    let current = |name: &str| {
        status.and_then(|s| scalar(s, &[field, "current", name])).unwrap_or_else(|| "<unknown>".into())
    };
    let average = target("averageValue").map(|t| (current("averageValue"), t));
    if resource {
        let name = spec.str_at(&[field, "name"]);
        let (current, target) = average.unwrap_or_else(|| {
            let percent = |value: String| if value == "<unknown>" { value } else { format!("{value}%") };
            let target = target("averageUtilization").map_or_else(|| "<auto>".into(), percent);
            (percent(current("averageUtilization")), target)
        });
        return format!("{name}: {current}/{target}");
    }
    match average {
        Some((current, target)) if field == "pods" => format!("{current}/{target}"),
        Some((current, target)) => format!("{current}/{target} (avg)"),
        None => format!("{}/{}", current("value"), target("value").unwrap_or_else(|| "<auto>".into())),
    }
}
