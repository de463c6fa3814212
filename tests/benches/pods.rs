//! How fast pods start and what they cost: the figures of `docs/performance.md`. Not a test: it measures, and prints.
//!
//!     cargo build --release -p sampan
//!     SAMPAN_BIN=target/release/sampan cargo bench -p sampan-tests --bench pods
//!
//! As root, on a quiet machine: it starts a cluster in a network of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use sampan_testkit::image::ImageBuilder;
use sampan_tests::cluster::binary;
use sampan_tests::tools::runs;
use sampan_tests::{Cluster, network};
use serde_json::json;

/// Pods that start one after the other.
const ALONE: usize = 20;
/// Pods that are created at once.
const TOGETHER: usize = 50;
/// Pods of an idle node.
const IDLE: usize = 20;
/// For how long it is idle.
const QUIET: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    // Everything that is started after this is in the network too.
    network::enter_own()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let cluster = Cluster::start_whole(&[]);
    let archive = cluster.data_dir().join("busybox.tar");
    std::fs::write(&archive, ImageBuilder::busybox().build().docker_archive(&["busybox:latest"]))?;
    let (data, archive) = (cluster.data_dir(), archive.to_str().context("a path")?);
    ensure!(runs(&binary(), &["image", "load", "--data-dir", data.to_str().context("a path")?, archive]));
    runtime.block_on(measure(&cluster))
}

async fn measure(cluster: &Cluster) -> Result<()> {
    let client = cluster.client().await;
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client);
    // A node is scheduled to when its taint is gone.
    let ready = |node: &Node| {
        let spec = node.spec.as_ref();
        spec.is_none_or(|spec| spec.taints.as_ref().is_none_or(Vec::is_empty))
    };
    while !nodes.list(&ListParams::default()).await?.items.iter().any(ready) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = cluster.pid();
    println!("agent before any pod: {} KiB resident", resident_kib(pid));

    let mut times = Vec::new();
    for i in 0..ALONE {
        let name = format!("alone-{i}");
        let begun = Instant::now();
        pods.create(&PostParams::default(), &pod(&name)?).await?;
        while phase(&pods.get(&name).await?) != "Running" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(begun.elapsed());
        delete(&pods, &[name]).await?;
    }
    times.sort();
    println!(
        "create to Running, one pod: p50 {:?}, p90 {:?}, worst {:?}",
        times[ALONE / 2],
        times[ALONE * 9 / 10],
        times[ALONE - 1]
    );

    let names: Vec<String> = (0..TOGETHER).map(|i| format!("together-{i}")).collect();
    let (begun, used) = (Instant::now(), cpu_seconds(pid));
    for name in &names {
        pods.create(&PostParams::default(), &pod(name)?).await?;
    }
    loop {
        let list = pods.list(&ListParams::default()).await?;
        if list.items.iter().filter(|pod| phase(pod) == "Running").count() == TOGETHER {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "{TOGETHER} pods at once: all Running after {:?}, {:.2} s of CPU of the agent",
        begun.elapsed(),
        cpu_seconds(pid) - used
    );
    report_memory(pid, cluster.data_dir(), TOGETHER);
    delete(&pods, &names[IDLE..]).await?;

    tokio::time::sleep(Duration::from_secs(5)).await;
    let used = cpu_seconds(pid) + shims(cluster.data_dir()).iter().map(|pid| cpu_seconds(*pid)).sum::<f64>();
    tokio::time::sleep(QUIET).await;
    let used =
        cpu_seconds(pid) + shims(cluster.data_dir()).iter().map(|pid| cpu_seconds(*pid)).sum::<f64>() - used;
    println!("idle with {IDLE} pods: {:.2} % of one core", used / QUIET.as_secs_f64() * 100.0);
    delete(&pods, &names[..IDLE]).await
}

fn pod(name: &str) -> Result<Pod> {
    Ok(serde_json::from_value(
        json!({"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "busybox", "imagePullPolicy": "Never", "command": ["sleep", "999999"]}]}}),
    )?)
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Deletes pods, and waits until they are gone.
async fn delete(pods: &Api<Pod>, names: &[String]) -> Result<()> {
    for name in names {
        pods.delete(name, &DeleteParams::default()).await?;
    }
    let names: BTreeSet<&String> = names.iter().collect();
    loop {
        let list = pods.list(&ListParams::default()).await?;
        if !list.items.iter().filter_map(|pod| pod.metadata.name.as_ref()).any(|name| names.contains(name)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn report_memory(pid: u32, data: &Path, pods: usize) {
    let shims: Vec<u64> = shims(data).iter().map(|pid| proportional_kib(*pid)).collect();
    let all: u64 = shims.iter().sum();
    println!(
        "with {pods} pods: agent {} KiB resident; a shim {} KiB (its share of what it shares, {} shims)",
        resident_kib(pid),
        all / shims.len().max(1) as u64,
        shims.len()
    );
}

/// The shims of the pods of a node.
fn shims(data: &Path) -> Vec<u32> {
    let wanted = format!("shim {}/", data.display());
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            String::from_utf8_lossy(&command).replace('\0', " ").contains(&wanted).then_some(pid)
        })
        .collect()
}

fn resident_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

fn proportional_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.trim().parse().ok());
    value.unwrap_or_default()
}

fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may have spaces: state is the first, user and system time the 12th and 13th.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |place: usize| {
        rest.split_whitespace().nth(place).and_then(|t| t.parse::<u32>().ok()).unwrap_or_default()
    };
    f64::from(ticks(11) + ticks(12))
        / f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100))
}
