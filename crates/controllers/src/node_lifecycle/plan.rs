//! What is to be written of nodes: pure functions of what they say of themselves, of when they last said anything, and of the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use super::Settings;
use crate::taints::is_same;

const PREFIX: &str = "node.kubernetes.io/";
/// The conditions that a kubelet writes.
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Conditions (of this status), and the taints that keep new pods away then.
const NO_SCHEDULE: [(&str, &str, &str); 6] = [
    ("Ready", "False", "not-ready"),
    ("Ready", "Unknown", "unreachable"),
    ("MemoryPressure", "True", "memory-pressure"),
    ("DiskPressure", "True", "disk-pressure"),
    ("NetworkUnavailable", "True", "network-unavailable"),
    ("PIDPressure", "True", "pid-pressure"),
];
const UNSCHEDULABLE: &str = "unschedulable";

/// The status of a condition, if the node has it.
pub(super) fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_ == kind)
}

pub(super) fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|c| c.status == "True")
}

/// How long a node may say nothing: a new one a little longer.
pub(super) fn grace(node: &Node, settings: &Settings) -> Duration {
    if condition(node, "Ready").is_some() { settings.monitor_grace } else { settings.startup_grace }
}

/// The conditions of a node that has said nothing for too long: those that are not unknown yet.
pub(super) fn unknown_conditions(node: &Node, now: Timestamp) -> Vec<NodeCondition> {
    let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    let unknown = |kind: &&str| match condition(node, kind) {
        None => Some(NodeCondition {
            type_: (*kind).into(),
            status: "Unknown".into(),
            reason: Some("NodeStatusNeverUpdated".into()),
            message: Some("Kubelet never posted node status.".into()),
            last_heartbeat_time: node.metadata.creation_timestamp.clone(),
            last_transition_time: Some(now.clone()),
        }),
        Some(there) if there.status != "Unknown" => Some(NodeCondition {
            status: "Unknown".into(),
            reason: Some("NodeStatusUnknown".into()),
            message: Some("Kubelet stopped posting node status.".into()),
            last_transition_time: Some(now.clone()),
            ..there.clone()
        }),
        Some(_) => None,
    };
    CONDITIONS.iter().filter_map(unknown).collect()
}

fn taint(name: &str, effect: &str) -> Taint {
    Taint { key: format!("{PREFIX}{name}"), effect: effect.into(), ..Taint::default() }
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default()
}

/// What becomes of the pods on a node that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    /// The taint that evicts them may be put on the node now.
    Allowed,
    /// Not now: too many are evicted already. One that is there stays.
    Later,
    /// All nodes are gone, so it is not they that are broken: nobody is evicted.
    Off,
}

/// The taint that evicts pods of a node in its state.
fn no_execute(node: &Node) -> Option<&'static str> {
    match condition(node, "Ready")?.status.as_str() {
        "False" => Some("not-ready"),
        "Unknown" => Some("unreachable"),
        _ => None,
    }
}

fn has_no_execute(node: &Node) -> bool {
    ["not-ready", "unreachable"].iter().any(|name| {
        let own = taint(name, "NoExecute");
        taints(node).iter().any(|there| is_same(there, &own))
    })
}

/// Whether a node waits for the taint that evicts its pods. To exchange one for the other needs no permission.
pub(super) fn awaits_eviction(node: &Node) -> bool {
    no_execute(node).is_some() && !has_no_execute(node)
}

/// The taints of a node as they should be; None if they are. Those of others stay as they are.
pub(super) fn wanted_taints(node: &Node, eviction: Eviction, now: Timestamp) -> Option<Vec<Taint>> {
    let mut wanted: Vec<Taint> = NO_SCHEDULE
        .iter()
        .filter(|(kind, status, _)| condition(node, kind).is_some_and(|c| c.status == *status))
        .map(|(_, _, name)| taint(name, "NoSchedule"))
        .collect();
    // A node that never said anything keeps the taint with which it was made.
    let made = taint("not-ready", "NoSchedule");
    if condition(node, "Ready").is_none() && taints(node).iter().any(|t| is_same(t, &made)) {
        wanted.push(made);
    }
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        wanted.push(taint(UNSCHEDULABLE, "NoSchedule"));
    }
    if let Some(name) = no_execute(node)
        && eviction != Eviction::Off
        && (eviction == Eviction::Allowed || has_no_execute(node))
    {
        wanted.push(taint(name, "NoExecute"));
    }
    let is_ours = |there: &Taint| match there.effect.as_str() {
        "NoSchedule" => {
            let names = NO_SCHEDULE.iter().map(|(_, _, name)| *name).chain([UNSCHEDULABLE]);
            names.into_iter().any(|name| there.key.strip_prefix(PREFIX) == Some(name))
        }
        "NoExecute" => matches!(there.key.strip_prefix(PREFIX), Some("not-ready" | "unreachable")),
        _ => false,
    };
    let is_wanted = |there: &Taint| wanted.iter().any(|wanted| is_same(wanted, there));
    let kept: Vec<Taint> = taints(node).iter().filter(|t| !is_ours(t) || is_wanted(t)).cloned().collect();
    let added: Vec<Taint> = wanted
        .iter()
        .filter(|wanted| !kept.iter().any(|there| is_same(there, wanted)))
        .map(|wanted| Taint {
            time_added: Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now))),
            ..wanted.clone()
        })
        .collect();
    if added.is_empty() && kept.len() == taints(node).len() {
        return None;
    }
    Some(kept.into_iter().chain(added).collect())
}

/// The zone of a node, by its labels.
pub(super) fn zone(node: &Node) -> String {
    let label =
        |name: &str| node.metadata.labels.as_ref().and_then(|l| l.get(name)).map_or("", String::as_str);
    format!("{}:{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

/// How much of a zone works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) ready: usize,
    pub(super) not_ready: usize,
}

impl Zone {
    fn is_gone(self) -> bool {
        self.ready == 0 && self.not_ready > 0
    }

    /// The pause between two nodes whose pods are evicted; none: nobody is evicted. In a zone of which a large part is gone it is rather the network that is broken.
    fn pause(self, settings: &Settings) -> Option<Duration> {
        let all = self.ready + self.not_ready;
        #[allow(clippy::cast_precision_loss)]
        let part = self.not_ready as f64 / all.max(1) as f64;
        let is_partial = !self.is_gone() && self.not_ready > 2 && part >= settings.unhealthy_zone_threshold;
        let rate = match is_partial {
            false => settings.eviction_rate,
            true if all > settings.large_cluster_threshold => settings.secondary_eviction_rate,
            true => 0.0,
        };
        (rate > 0.0).then(|| Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX))
    }
}

/// The zones of a cluster. A node that never said anything is not ready.
pub(super) fn zones<'a>(nodes: impl Iterator<Item = &'a Node>) -> BTreeMap<String, Zone> {
    let mut zones = BTreeMap::<String, Zone>::new();
    for node in nodes {
        let zone = zones.entry(zone(node)).or_default();
        *if is_ready(node) { &mut zone.ready } else { &mut zone.not_ready } += 1;
    }
    zones
}

/// Whether there are nodes, and none of them is ready: upstream's "master disruption mode".
pub(super) fn is_all_gone(zones: &BTreeMap<String, Zone>) -> bool {
    !zones.is_empty() && zones.values().all(|zone| zone.is_gone())
}

/// Who may be evicted, and what is remembered for that: when the last node of each zone was.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    last: BTreeMap<String, Instant>,
}

impl Limiter {
    /// Which of the waiting nodes (name and zone, the longest waiting first) may be evicted now, and when to ask again.
    pub(super) fn admit(
        &mut self,
        waiting: &[(String, String)],
        zones: &BTreeMap<String, Zone>,
        settings: &Settings,
        now: Instant,
    ) -> (BTreeSet<String>, Option<Duration>) {
        let mut admitted = BTreeSet::new();
        let mut again: Option<Duration> = None;
        for (node, zone) in waiting {
            let Some(pause) = zones.get(zone).copied().unwrap_or_default().pause(settings) else { continue };
            let left = self
                .last
                .get(zone)
                .map_or(Duration::ZERO, |last| pause.saturating_sub(now.duration_since(*last)));
            if left.is_zero() {
                self.last.insert(zone.clone(), now);
                admitted.insert(node.clone());
            } else {
                again = Some(again.map_or(left, |again| again.min(left)));
            }
        }
        self.last.retain(|zone, _| zones.contains_key(zone));
        (admitted, again)
    }
}
