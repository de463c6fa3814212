//! The rows of pods: what `kubectl get pods` calls their status.

use jiff::Timestamp;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};

use super::cells::*;

/// Ready containers, restarts and the word for the state of a pod, while its containers are gone through.
struct Tally {
    reason: String,
    ready: i64,
    restarts: i64,
    last_restart: String,
}

impl Tally {
    fn restart(&mut self, status: &Value) {
        self.restarts += int(status, &["restartCount"]);
        let finished = status.str_at(&["lastState", "terminated", "finishedAt"]);
        // RFC 3339 in UTC sorts as text.
        if finished > self.last_restart.as_str() {
            finished.clone_into(&mut self.last_restart);
        }
    }
}

/// The cells of a pod.
pub(super) fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let init = pod.array_at(&["spec", "initContainers"]);
    let sidecars = init.iter().filter(|c| is_sidecar(c)).count();
    let total = pod.array_at(&["spec", "containers"]).len() + sidecars;
    let tally = tally(pod);
    let mut restarts = tally.restarts.to_string();
    if tally.restarts != 0 && !tally.last_restart.is_empty() {
        restarts = format!("{restarts} ({} ago)", since(&tally.last_restart, now));
    }
    let ip = match pod.array_at(&["status", "podIPs"]).first() {
        Some(first) => text_or(first, &["ip"], NONE),
        None => text_or(pod, &["status", "podIP"], NONE),
    };
    row![
        pod.name(),
        format!("{}/{total}", tally.ready),
        tally.reason,
        restarts,
        age(pod, now),
        ip,
        text_or(pod, &["spec", "nodeName"], NONE),
        text_or(pod, &["status", "nominatedNodeName"], NONE),
        readiness_gates(pod),
    ]
}

fn is_sidecar(container: &Value) -> bool {
    container.str_at(&["restartPolicy"]) == "Always"
}

fn tally(pod: &Value) -> Tally {
    let phase = pod.str_at(&["status", "phase"]);
    let mut tally = Tally {
        reason: text_or(pod, &["status", "reason"], phase),
        ready: 0,
        restarts: 0,
        last_restart: String::new(),
    };
    let gated =
        |c: &Value| c.str_at(&["type"]) == "PodScheduled" && c.str_at(&["reason"]) == "SchedulingGated";
    if pod.array_at(&["status", "conditions"]).iter().any(gated) {
        tally.reason = "SchedulingGated".into();
    }
    let (initializing, sidecars) = init_containers(pod, &mut tally);
    if !initializing || condition(pod, "Initialized") == "True" {
        tally.restarts = sidecars.restarts;
        tally.last_restart = sidecars.last_restart;
        app_containers(pod, &mut tally);
    }
    if pod.is_deleting() {
        if pod.str_at(&["status", "reason"]) == "NodeLost" {
            tally.reason = "Unknown".into();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            tally.reason = "Terminating".into();
        }
    }
    tally
}

/// Goes through the init containers; whether one of them still holds the pod, and the restarts of sidecars alone.
fn init_containers(pod: &Value, tally: &mut Tally) -> (bool, Tally) {
    let specs = pod.array_at(&["spec", "initContainers"]);
    let mut sidecars = Tally { reason: String::new(), ready: 0, restarts: 0, last_restart: String::new() };
    for (i, status) in pod.array_at(&["status", "initContainerStatuses"]).iter().enumerate() {
        tally.restart(status);
        let name = status.str_at(&["name"]);
        let sidecar = specs.iter().any(|c| c.str_at(&["name"]) == name && is_sidecar(c));
        if sidecar {
            sidecars.restart(status);
        }
        let terminated = status.at(&["state", "terminated"]).filter(|t| !t.is_null());
        if terminated.is_some_and(|t| int(t, &["exitCode"]) == 0) {
            continue;
        }
        if sidecar && flag(status, &["started"]) == Some(true) {
            tally.ready += i64::from(flag(status, &["ready"]) == Some(true));
            continue;
        }
        let waiting = status.str_at(&["state", "waiting", "reason"]);
        tally.reason = match terminated {
            Some(terminated) => format!("Init:{}", end(terminated)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{i}/{}", specs.len()),
        };
        return (true, sidecars);
    }
    (false, sidecars)
}

/// Why a container ended.
fn end(terminated: &Value) -> String {
    match terminated.str_at(&["reason"]) {
        "" if int(terminated, &["signal"]) != 0 => format!("Signal:{}", int(terminated, &["signal"])),
        "" => format!("ExitCode:{}", int(terminated, &["exitCode"])),
        reason => reason.into(),
    }
}

fn app_containers(pod: &Value, tally: &mut Tally) {
    let mut has_running = false;
    for status in pod.array_at(&["status", "containerStatuses"]).iter().rev() {
        tally.restart(status);
        let waiting = status.str_at(&["state", "waiting", "reason"]);
        let is = |state: &str| status.at(&["state", state]).is_some_and(|s| !s.is_null());
        if !waiting.is_empty() {
            tally.reason = waiting.into();
        } else if is("terminated") {
            tally.reason = status.at(&["state", "terminated"]).map(end).unwrap_or_default();
        } else if flag(status, &["ready"]) == Some(true) && is("running") {
            has_running = true;
            tally.ready += 1;
        }
    }
    if tally.reason == "Completed" && has_running {
        tally.reason = if condition(pod, "Ready") == "True" { "Running" } else { "NotReady" }.into();
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = pod.array_at(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return NONE.into();
    }
    let open = gates.iter().filter(|g| condition(pod, g.str_at(&["conditionType"])) == "True").count();
    format!("{open}/{}", gates.len())
}

/// A pod that has ended is marked so: clients grey it out, or leave it out.
pub(super) fn conditions(pod: &Value) -> Vec<Value> {
    let (reason, message) = match pod.str_at(&["status", "phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    let condition: Map =
        [("type", "Completed"), ("status", "True"), ("reason", reason), ("message", message)]
            .into_iter()
            .collect();
    vec![condition.into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: &str) -> String {
        let pod: Value = serde_json::from_str(json).unwrap();
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let cells = super::pod(&pod, now);
        cells[1..4].iter().map(|c| c.as_str().unwrap()).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn the_state_of_a_pod_is_the_word_that_kubectl_prints() {
        let spec = r#""metadata":{"name":"p"},"spec":{"containers":[{"name":"a"}]}"#;
        let rows = [
            ("a new pod", r#"{"phase":"Pending"}"#, "0/1 | Pending | 0"),
            (
                "a pod that waits after a restart",
                r#"{"phase":"Running","containerStatuses":[{"name":"a","restartCount":3,"ready":false,
                    "state":{"waiting":{"reason":"CrashLoopBackOff"}},
                    "lastState":{"terminated":{"exitCode":1,"finishedAt":"2026-01-01T00:55:00Z"}}}]}"#,
                "0/1 | CrashLoopBackOff | 3 (5m ago)",
            ),
            (
                "a pod that runs",
                r#"{"phase":"Running","containerStatuses":[{"name":"a","restartCount":0,"ready":true,"state":{"running":{}}}]}"#,
                "1/1 | Running | 0",
            ),
            (
                "a pod whose container was killed",
                r#"{"phase":"Failed","containerStatuses":[{"name":"a","restartCount":0,"state":{"terminated":{"exitCode":0,"signal":9}}}]}"#,
                "0/1 | Signal:9 | 0",
            ),
        ];
        for (name, status, want) in rows {
            assert_eq!(words(&format!("{{{spec},\"status\":{status}}}")), want, "{name}");
        }
    }
}
