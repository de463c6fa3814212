//! What pods and the node use: `/stats/summary` and `/metrics/resource`.
//!
//! Figures of pods come from the runtime, those of the machine from `machine`. A rate is the difference to the last time that
//! somebody asked: nothing is measured while nobody does.

mod machine;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

use super::Server;
use super::pods::Found;
use crate::runtime::{ContainerUsage, Sandbox, State, Usage};
use machine::Machine;

/// The shortest time over which a rate is worth telling.
const SHORTEST: Duration = Duration::from_secs(1);

/// Processor times of earlier requests, by whose they are.
#[derive(Default)]
pub(super) struct Rates(HashMap<String, Sample>);

#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    nanoseconds: u64,
    rate: Option<u64>,
}

impl Rates {
    /// Nanoseconds of processor time a second, since the last time; `None` the first time.
    fn rate(&mut self, whose: &str, nanoseconds: u64, at: Instant) -> Option<u64> {
        let Some(sample) = self.0.get_mut(whose) else {
            self.0.insert(whose.to_owned(), Sample { at, nanoseconds, rate: None });
            return None;
        };
        let passed = at.duration_since(sample.at);
        if passed < SHORTEST {
            return sample.rate;
        }
        let used = u128::from(nanoseconds.saturating_sub(sample.nanoseconds));
        let rate = u64::try_from(used * 1_000_000_000 / passed.as_nanos()).ok();
        *sample = Sample { at, nanoseconds, rate };
        rate
    }

    /// Forgets whoever is not there any more.
    fn retain(&mut self, at: Instant) {
        self.0.retain(|_, sample| at.duration_since(sample.at) < Duration::from_mins(10));
    }
}

/// A pod that runs, with what it uses.
struct Using {
    pod: Arc<Pod>,
    sandbox: Sandbox,
    usage: Usage,
}

async fn all(server: &Server) -> (Vec<Using>, bool) {
    let (mut list, mut complete) = (Vec::new(), true);
    let sandboxes = server.0.runtime.sandboxes().await.unwrap_or_else(|error| {
        tracing::warn!(error = %crate::words::in_words(&error), "the runtime does not say what runs");
        complete = false;
        Vec::new()
    });
    for sandbox in sandboxes.into_iter().filter(|sandbox| sandbox.ready) {
        let found: Option<Found> = server.0.pods.find(&sandbox.namespace, &sandbox.name);
        let Some(found) = found.filter(|found| found.uid == sandbox.uid) else { continue };
        match server.0.runtime.usage(&sandbox.uid).await {
            Ok(usage) => list.push(Using { pod: found.pod, sandbox, usage }),
            // It may have ended in between.
            Err(crate::runtime::Error::NotFound(_)) => {}
            Err(error) => {
                tracing::debug!(pod = %sandbox.uid, %error, "what a pod uses is not known");
                complete = false;
            }
        }
    }
    (list, complete)
}

fn time(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn started(sandbox: &Sandbox, name: &str) -> Option<SystemTime> {
    sandbox.containers.iter().rev().filter(|c| c.id.name == name).find_map(|container| {
        match container.state {
            State::Running { started_at } => Some(started_at),
            _ => None,
        }
    })
}

/// A `stats.k8s.io` `Summary`.
pub(super) async fn summary(server: &Server) -> Value {
    let (list, _) = all(server).await;
    let machine = Machine::read(&server.0.data_directory);
    let now = time(SystemTime::now());
    let at = Instant::now();
    let mut rates = server.0.rates.lock();
    rates.retain(at);
    let cpu = |rates: &mut Rates, whose: &str, nanoseconds: u64| {
        let mut value = Map::new();
        value.insert("time".into(), now.clone().into());
        if let Some(rate) = rates.rate(whose, nanoseconds, at) {
            value.insert("usageNanoCores".into(), rate.into());
        }
        value.insert("usageCoreNanoSeconds".into(), nanoseconds.into());
        Value::Object(value)
    };
    let memory = |usage: &ContainerUsage| {
        json!({
            "time": now, "usageBytes": usage.memory_usage_bytes, "workingSetBytes": usage.memory_working_set_bytes,
            "rssBytes": usage.memory_rss_bytes,
        })
    };
    let mut pods = Vec::new();
    for Using { pod, sandbox, usage } in &list {
        let uid = sandbox.uid.as_str();
        let mut containers = Vec::new();
        for (name, used) in &usage.containers {
            containers.push(json!({
                "name": name,
                "startTime": started(sandbox, name).map(time),
                "cpu": cpu(&mut rates, &format!("{uid}/{name}"), used.cpu_nanoseconds),
                "memory": memory(used),
            }));
        }
        let mut value = json!({
            "podRef": {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
            "startTime": time(sandbox.created_at),
            "containers": containers,
            "cpu": cpu(&mut rates, uid, usage.pod.cpu_nanoseconds),
            "memory": memory(&usage.pod),
            "process_stats": {"process_count": usage.pod.processes},
        });
        if let Some((received, sent)) = usage.network {
            value["network"] = json!({"time": now, "name": "eth0", "rxBytes": received, "txBytes": sent});
        }
        pods.push(value);
    }
    json!({
        "node": {
            "nodeName": server.0.node,
            "startTime": machine.booted_at.map(time),
            "cpu": cpu(&mut rates, "", machine.cpu_nanoseconds),
            "memory": {
                "time": now, "availableBytes": machine.memory_available_bytes, "usageBytes": machine.memory_usage_bytes,
                "workingSetBytes": machine.memory_working_set_bytes(),
            },
            "fs": machine.file_system.as_ref().map(|fs| json!({
                "time": now, "availableBytes": fs.available_bytes, "capacityBytes": fs.capacity_bytes,
                "usedBytes": fs.used_bytes, "inodesFree": fs.inodes_free, "inodes": fs.inodes,
                "inodesUsed": fs.inodes.saturating_sub(fs.inodes_free),
            })),
        },
        "pods": pods,
    })
}

/// The metrics that the metrics server reads.
pub(super) async fn resource_metrics(server: &Server) -> String {
    let (list, complete) = all(server).await;
    let machine = Machine::read(&server.0.data_directory);
    let now = Timestamp::now().as_millisecond();
    let mut rows: [Family; 7] = [
        Family::new(
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the container in core-seconds",
        ),
        Family::new(
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set of the container in bytes",
        ),
        Family::new(
            "container_start_time_seconds",
            "gauge",
            "Start time of the container since unix epoch in seconds",
        ),
        Family::new(
            "node_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the node in core-seconds",
        ),
        Family::new("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes"),
        Family::new(
            "pod_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the pod in core-seconds",
        ),
        Family::new("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes"),
    ];
    let [cpu, memory, start, node_cpu, node_memory, pod_cpu, pod_memory] = &mut rows;
    for Using { pod, sandbox, usage } in &list {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for (container, used) in &usage.containers {
            let labels = format!("{{container=\"{container}\",namespace=\"{namespace}\",pod=\"{name}\"}}");
            cpu.seconds(&labels, used.cpu_nanoseconds, now);
            memory.bytes(&labels, used.memory_working_set_bytes, now);
            let since =
                started(sandbox, container).and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            if let Some(since) = since {
                start.row(&labels, since.as_secs_f64(), None);
            }
        }
        let labels = format!("{{namespace=\"{namespace}\",pod=\"{name}\"}}");
        pod_cpu.seconds(&labels, usage.pod.cpu_nanoseconds, now);
        pod_memory.bytes(&labels, usage.pod.memory_working_set_bytes, now);
    }
    node_cpu.seconds("", machine.cpu_nanoseconds, now);
    node_memory.bytes("", machine.memory_working_set_bytes(), now);
    let mut failed = Family::new(
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
    );
    failed.row("", if complete { 0.0 } else { 1.0 }, None);
    rows.into_iter().chain([failed]).map(Family::text).collect()
}

/// The rows of one metric.
struct Family {
    name: &'static str,
    head: String,
    rows: String,
}

impl Family {
    fn new(name: &'static str, kind: &str, help: &str) -> Self {
        let head = format!("# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}\n");
        Self { name, head, rows: String::new() }
    }

    fn row(&mut self, labels: &str, value: f64, at: Option<i64>) {
        let at = at.map_or_else(String::new, |at| format!(" {at}"));
        let _ = writeln!(self.rows, "{}{labels} {value}{at}", self.name);
    }

    #[allow(clippy::cast_precision_loss, reason = "metrics are floating point numbers")]
    fn seconds(&mut self, labels: &str, nanoseconds: u64, at: i64) {
        self.row(labels, nanoseconds as f64 / 1e9, Some(at));
    }

    #[allow(clippy::cast_precision_loss, reason = "metrics are floating point numbers")]
    fn bytes(&mut self, labels: &str, bytes: u64, at: i64) {
        self.row(labels, bytes as f64, Some(at));
    }

    fn text(self) -> String {
        if self.rows.is_empty() { String::new() } else { self.head + &self.rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_time_between_requests() {
        let (mut rates, begin) = (Rates::default(), Instant::now());
        let after = |ms| begin + Duration::from_millis(ms);
        assert_eq!(rates.rate("a", 1_000_000_000, begin), None);
        assert_eq!(rates.rate("a", 1_000_000_500, after(10)), None, "too soon to say");
        assert_eq!(rates.rate("a", 2_000_000_000, after(2000)), Some(500_000_000));
        assert_eq!(rates.rate("a", 2_000_000_000, after(2010)), Some(500_000_000), "as it was told before");
        assert_eq!(rates.rate("a", 0, after(4000)), Some(0), "it began anew");
        rates.retain(after(4000) + Duration::from_mins(11));
        assert!(rates.0.is_empty());
    }
}
