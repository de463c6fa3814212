//! The Node object, worked out of what the machine is and has.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec,
    NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::machine::Machine;
use crate::image::Image;
use crate::pressure::State;
use crate::pressure::thresholds::{Signal, Thresholds};
use crate::runtime::About;
use crate::status::time;

/// The most images that are told, as the kubelet's `nodeStatusMaxImages`.
const MOST_IMAGES: usize = 50;

/// What is said of a node besides what the machine is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Labels of its own.
    pub labels: BTreeMap<String, String>,
    /// Taints that it begins with.
    pub taints: Vec<Taint>,
    /// Its addresses, the first one first.
    pub addresses: Vec<IpAddr>,
    /// Port of the node's own API.
    pub port: u16,
    /// The most pods.
    pub max_pods: u32,
    /// Below how much of something pods are evicted: what they are not to have.
    pub thresholds: Thresholds,
    /// What is kept for the system, by resource.
    pub reserved: BTreeMap<String, u64>,
    /// The version that it says it is, such as `v1.36.2`.
    pub version: String,
}

/// A node as it registers: what is there already keeps what others have written into it.
pub fn registered(settings: &Settings, machine: &Machine) -> Node {
    let mut labels = settings.labels.clone();
    for prefix in ["kubernetes.io", "beta.kubernetes.io"] {
        labels.insert(format!("{prefix}/os"), "linux".into());
        labels.insert(format!("{prefix}/arch"), machine.architecture.clone());
    }
    labels.insert("kubernetes.io/hostname".into(), machine.hostname.clone());
    let annotation = ("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned());
    let taints = (!settings.taints.is_empty()).then(|| settings.taints.clone());
    Node {
        metadata: ObjectMeta {
            name: Some(settings.name.clone()),
            labels: Some(labels),
            annotations: Some([annotation].into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec { taints, ..NodeSpec::default() }),
        status: None,
    }
}

/// What a status is made of.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What is said of it.
    pub settings: &'a Settings,
    /// What the machine is and has.
    pub machine: &'a Machine,
    /// What of that is short.
    pub pressure: State,
    /// The runtime.
    pub runtime: &'a About,
    /// Why the node cannot run pods, if it cannot.
    pub trouble: Option<&'a str>,
    /// The images that are there.
    pub images: &'a [Image],
    /// The conditions that the API has.
    pub live: &'a [NodeCondition],
    /// The time.
    pub now: SystemTime,
}

/// The status of the node.
pub fn status(view: View<'_>) -> NodeStatus {
    let (settings, machine) = (view.settings, view.machine);
    let mut addresses: Vec<NodeAddress> =
        settings.addresses.iter().map(|ip| address("InternalIP", &ip.to_string())).collect();
    addresses.push(address("Hostname", &machine.hostname));
    let capacity = capacity(settings, machine);
    let port = DaemonEndpoint { port: settings.port.into() };
    NodeStatus {
        addresses: Some(addresses),
        allocatable: Some(quantities(&allocatable(settings, &capacity))),
        capacity: Some(quantities(&capacity)),
        conditions: Some(conditions(view)),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(port) }),
        images: Some(images(view.images)),
        node_info: Some(NodeSystemInfo {
            architecture: machine.architecture.clone(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: format!("{}://{}", view.runtime.name, view.runtime.version),
            kernel_version: machine.kernel_version.clone(),
            kubelet_version: settings.version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".into(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

fn address(kind: &str, address: &str) -> NodeAddress {
    NodeAddress { type_: kind.to_owned(), address: address.to_owned() }
}

/// In bytes, or pieces.
fn capacity(settings: &Settings, machine: &Machine) -> BTreeMap<String, u64> {
    let mut capacity = BTreeMap::from([
        ("cpu".to_owned(), machine.processors),
        ("memory".to_owned(), machine.memory_bytes),
        ("ephemeral-storage".to_owned(), machine.disk_bytes),
        ("pods".to_owned(), settings.max_pods.into()),
    ]);
    capacity.extend(machine.huge_pages.iter().map(|(size, bytes)| (format!("hugepages-{size}"), *bytes)));
    capacity
}

/// What pods may use of the node, as its status says it.
pub fn allocatable_of(settings: &Settings, machine: &Machine) -> BTreeMap<String, Quantity> {
    quantities(&allocatable(settings, &capacity(settings, machine)))
}

/// What is left for pods: less what is reserved, what eviction begins at, and the memory that huge pages hold.
fn allocatable(settings: &Settings, capacity: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let huge: u64 =
        capacity.iter().filter(|(name, _)| name.starts_with("hugepages-")).map(|(_, bytes)| bytes).sum();
    let kept = |name: &str, amount: u64| match name {
        "memory" => settings.thresholds.of(Signal::Memory, amount).saturating_add(huge),
        "ephemeral-storage" => settings.thresholds.of(Signal::Disk, amount),
        _ => 0,
    };
    let left = |(name, amount): (&String, &u64)| {
        let reserved = settings.reserved.get(name).copied().unwrap_or_default();
        (name.clone(), amount.saturating_sub(kept(name, *amount)).saturating_sub(reserved))
    };
    capacity.iter().map(left).collect()
}

/// As the kubelet writes them: memory in `Ki`, disk capacity in `Ki`, the rest as plain numbers.
fn quantities(amounts: &BTreeMap<String, u64>) -> BTreeMap<String, Quantity> {
    let text = |(name, amount): (&String, &u64)| {
        let binary = (name == "memory" || name == "ephemeral-storage") && amount % 1024 == 0;
        let text = if binary { format!("{}Ki", amount / 1024) } else { amount.to_string() };
        (name.clone(), Quantity(text))
    };
    amounts.iter().map(text).collect()
}

/// The largest ones first.
fn images(images: &[Image]) -> Vec<ContainerImage> {
    let mut sorted: Vec<&Image> = images.iter().collect();
    sorted.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.id.cmp(&b.id)));
    let told = |image: &&Image| ContainerImage {
        names: Some(image.digests.iter().chain(&image.tags).take(5).cloned().collect()),
        size_bytes: i64::try_from(image.size_bytes).ok(),
    };
    sorted.iter().take(MOST_IMAGES).map(told).collect()
}

fn conditions(view: View<'_>) -> Vec<NodeCondition> {
    let State { memory, disk, processes: pids } = view.pressure;
    let pressure = |kind: &str, under: bool, what: &str, yes: &str, no: &str| {
        let (status, reason, verb) =
            if under { ("True", yes, "has insufficient") } else { ("False", no, "has sufficient") };
        let message = match (what, under) {
            ("disk", true) => "kubelet has disk pressure".to_owned(),
            ("disk", false) => "kubelet has no disk pressure".to_owned(),
            _ => format!("kubelet {verb} {what} available"),
        };
        (kind.to_owned(), status, reason.to_owned(), message)
    };
    let ready = match view.trouble {
        None => ("True", "KubeletReady", "kubelet is posting ready status".to_owned()),
        Some(trouble) => ("False", "KubeletNotReady", trouble.to_owned()),
    };
    let all = [
        pressure(
            "MemoryPressure",
            memory,
            "memory",
            "KubeletHasInsufficientMemory",
            "KubeletHasSufficientMemory",
        ),
        pressure("DiskPressure", disk, "disk", "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
        pressure("PIDPressure", pids, "PID", "KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
        ("Ready".to_owned(), ready.0, ready.1.to_owned(), ready.2),
    ];
    let told = |(kind, status, reason, message): (String, &str, String, String)| {
        let before = view.live.iter().find(|c| c.type_ == kind && c.status == status);
        NodeCondition {
            last_heartbeat_time: Some(time(view.now)),
            last_transition_time: before
                .and_then(|c| c.last_transition_time.clone())
                .or_else(|| Some(time(view.now))),
            status: status.to_owned(),
            reason: Some(reason),
            message: Some(message),
            type_: kind,
        }
    };
    all.into_iter().map(told).collect()
}

/// Whether the API has all of this, but for heartbeats. What others keep there (conditions of theirs, attached volumes) is not looked at, and amounts may be written in another way.
pub fn is_told(live: &NodeStatus, wanted: &NodeStatus) -> bool {
    let condition = |wanted: &NodeCondition| {
        let live = live.conditions.iter().flatten().find(|live| live.type_ == wanted.type_);
        live.is_some_and(|live| {
            let heartbeat = wanted.last_heartbeat_time.clone();
            NodeCondition { last_heartbeat_time: heartbeat, ..live.clone() } == *wanted
        })
    };
    let amounts = |live: &Option<BTreeMap<String, Quantity>>, wanted: &Option<BTreeMap<String, Quantity>>| {
        let has = |(name, wanted): (&String, &Quantity)| {
            live.as_ref().and_then(|live| live.get(name)).is_some_and(|live| is_same_amount(live, wanted))
        };
        wanted.iter().flatten().all(has)
    };
    // A patch takes away no address of others, nor what they know of swap.
    let is_there = |address| live.addresses.iter().flatten().any(|live| live == address);
    let info = |live: &NodeSystemInfo, wanted: &NodeSystemInfo| {
        NodeSystemInfo { swap: live.swap.clone(), ..wanted.clone() } == *live
    };
    wanted.addresses.iter().flatten().all(is_there)
        && live.daemon_endpoints == wanted.daemon_endpoints
        && live.node_info.as_ref().zip(wanted.node_info.as_ref()).is_some_and(|(l, w)| info(l, w))
        && live.images.iter().flatten().eq(wanted.images.iter().flatten())
        && amounts(&live.capacity, &wanted.capacity)
        && amounts(&live.allocatable, &wanted.allocatable)
        && wanted.conditions.iter().flatten().all(condition)
}

fn is_same_amount(a: &Quantity, b: &Quantity) -> bool {
    let read = |text: &Quantity| text.0.parse::<sampan_model::Quantity>().ok();
    a == b || read(a).zip(read(b)).is_some_and(|(a, b)| a.cmp(&b).is_eq())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn machine() -> Machine {
        Machine {
            architecture: "amd64".into(),
            hostname: "box".into(),
            processors: 2,
            memory_bytes: 4 << 30,
            disk_bytes: 100 << 30,
            huge_pages: BTreeMap::from([("2Mi".to_owned(), 64 << 20)]),
            ..Machine::default()
        }
    }

    fn told(pressure: State, trouble: Option<&str>, told: &[NodeCondition], now: u64) -> NodeStatus {
        let addresses = vec!["192.0.2.7".parse().expect("an address")];
        let settings =
            Settings { name: "n".into(), addresses, max_pods: 110, port: 10250, ..Settings::default() };
        let runtime = About { name: "sampan".into(), version: "0.1.0".into(), withheld: Vec::new() };
        status(View {
            settings: &settings,
            machine: &machine(),
            pressure,
            runtime: &runtime,
            trouble,
            images: &[],
            live: told,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(now),
        })
    }

    fn condition(status: &NodeStatus, kind: &str) -> Value {
        let found = status.conditions.iter().flatten().find(|c| c.type_ == kind);
        serde_json::to_value(found.expect(kind)).expect("JSON")
    }

    #[test]
    fn a_node_says_what_the_machine_has_and_what_of_it_pods_may_use() {
        let status = serde_json::to_value(told(State::default(), None, &[], 1)).expect("JSON");
        let capacity = json!({"cpu": "2", "memory": "4194304Ki", "ephemeral-storage": "104857600Ki", "pods": "110", "hugepages-2Mi": "67108864"});
        assert_eq!(status["capacity"], capacity);
        assert_eq!(status["allocatable"]["memory"], "4026368Ki", "less 100 Mi and the huge pages");
        assert_eq!(
            status["addresses"],
            json!([{"type": "InternalIP", "address": "192.0.2.7"}, {"type": "Hostname", "address": "box"}])
        );
        assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
        assert_eq!(status["nodeInfo"]["containerRuntimeVersion"], "sampan://0.1.0");
    }

    #[test]
    fn pressure_and_trouble_are_told_in_the_kubelets_words() {
        let well = told(State::default(), None, &[], 1);
        for (kind, status, reason) in [
            ("Ready", "True", "KubeletReady"),
            ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ] {
            let told = condition(&well, kind);
            assert_eq!((&told["status"], &told["reason"]), (&json!(status), &json!(reason)), "{kind}");
        }
        let ill =
            told(State { memory: true, disk: true, processes: false }, Some("the runtime is down"), &[], 1);
        assert_eq!(condition(&ill, "Ready")["message"], "the runtime is down");
        assert_eq!(condition(&ill, "MemoryPressure")["message"], "kubelet has insufficient memory available");
        assert_eq!(condition(&ill, "DiskPressure")["reason"], "KubeletHasDiskPressure");
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_change() {
        let first = told(State::default(), None, &[], 1);
        let conditions = first.conditions.clone().expect("conditions");
        let later = told(State::default(), None, &conditions, 60);
        assert_eq!(condition(&later, "Ready")["lastTransitionTime"], "1970-01-01T00:00:01Z");
        assert_eq!(condition(&later, "Ready")["lastHeartbeatTime"], "1970-01-01T00:01:00Z");
        assert!(is_told(&first, &later));
        let ill = told(State::default(), Some("no"), &conditions, 60);
        assert_eq!(condition(&ill, "Ready")["lastTransitionTime"], "1970-01-01T00:01:00Z");
        assert!(!is_told(&first, &ill));
    }

    #[test]
    fn only_what_the_node_says_itself_is_compared() {
        type Change<'a> = &'a dyn Fn(&mut Value);
        let wanted = told(State::default(), None, &[], 1);
        let change = |change: &dyn Fn(&mut Value)| -> NodeStatus {
            let mut live = serde_json::to_value(&wanted).expect("JSON");
            change(&mut live);
            serde_json::from_value(live).expect("a status")
        };
        let rows: [(&str, Change<'_>, bool); 7] = [
            ("the same", &|_| {}, true),
            ("another way to write it", &|s| s["capacity"]["memory"] = "4Gi".into(), true),
            ("a resource of others", &|s| s["capacity"]["example.com/gpu"] = "2".into(), true),
            ("volumes", &|s| s["volumesInUse"] = json!(["v"]), true),
            ("less memory", &|s| s["capacity"]["memory"] = "3Gi".into(), false),
            ("no address", &|s| s["addresses"] = json!([]), false),
            ("another word", &|s| s["conditions"][3]["status"] = "Unknown".into(), false),
        ];
        for (name, how, expected) in rows {
            assert_eq!(is_told(&change(how), &wanted), expected, "{name}");
        }
    }

    #[test]
    fn a_node_registers_with_its_labels() {
        let node = registered(&Settings { name: "n".into(), ..Settings::default() }, &machine());
        let labels = node.metadata.labels.expect("labels");
        assert_eq!(labels["kubernetes.io/arch"], "amd64");
        assert_eq!(labels["beta.kubernetes.io/os"], "linux");
        assert_eq!(labels["kubernetes.io/hostname"], "box");
    }
}
