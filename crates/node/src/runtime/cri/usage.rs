//! What pods use: of containers as the runtime counts it, of the pod as its cgroup does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sandboxes::{self, Found};
use super::{Shared, failed, refused, request};
use crate::container::PodUid;
use crate::cri::messages as cri;
use crate::runtime::{ContainerUsage, Error, Usage, cgroup};

pub(super) async fn of(shared: &Arc<Shared>, pod: &PodUid) -> Result<Usage, Error> {
    let sandbox = sandboxes::newest(shared, pod).await?;
    let containers = containers(shared, pod).await?;
    let network = network(shared, &sandbox).await?;
    let (owner, path) = (Arc::clone(shared), sandbox.kept.cgroup);
    let whole = tokio::task::spawn_blocking(move || cgroup::usage(&owner.layout, &path)).await;
    Ok(Usage {
        containers: containers.iter().filter_map(used).collect(),
        pod: whole.map_err(failed("cannot read the pod's cgroup"))?,
        network,
    })
}

pub(super) async fn written(shared: &Shared, pod: &PodUid) -> Result<BTreeMap<String, u64>, Error> {
    let stats = containers(shared, pod).await?;
    let written = stats.iter().filter_map(|stats| {
        let name = &stats.attributes.as_ref()?.metadata.as_ref()?.name;
        Some((name.clone(), number(stats.writable_layer.as_ref()?.used_bytes)))
    });
    Ok(written.collect())
}

async fn containers(shared: &Shared, pod: &PodUid) -> Result<Vec<cri::ContainerStats>, Error> {
    let filter = cri::ContainerStatsFilter { label_selector: request::of_pod(pod), ..Default::default() };
    let answer = shared.client.ask(cri::ListContainerStatsRequest { filter: Some(filter) }).await;
    Ok(answer.map_err(failed("cannot ask what containers use"))?.stats)
}

/// Only what runs has processor time.
fn used(stats: &cri::ContainerStats) -> Option<(String, ContainerUsage)> {
    let name = &stats.attributes.as_ref()?.metadata.as_ref()?.name;
    let (cpu, memory) = (stats.cpu.as_ref()?, stats.memory.as_ref()?);
    let usage = ContainerUsage {
        cpu_nanoseconds: number(cpu.usage_core_nano_seconds),
        memory_working_set_bytes: number(memory.working_set_bytes),
        memory_usage_bytes: number(memory.usage_bytes),
        memory_rss_bytes: number(memory.rss_bytes),
        // The protocol does not count them for a container.
        processes: 0,
    };
    Some((name.clone(), usage))
}

/// Bytes received and sent, where the runtime counts them.
async fn network(shared: &Shared, sandbox: &Found) -> Result<Option<(u64, u64)>, Error> {
    if sandbox.kept.host_network || !sandbox.ready {
        return Ok(None);
    }
    let filter = cri::PodSandboxStatsFilter { id: sandbox.id.clone(), ..Default::default() };
    let stats = match shared.client.ask(cri::ListPodSandboxStatsRequest { filter: Some(filter) }).await {
        Ok(answer) => answer.stats,
        Err(status) if sandboxes::is_unknown(&status) => return Ok(None),
        Err(status) => return Err(refused(status)),
    };
    let interface = stats.into_iter().find_map(|stats| stats.linux?.network?.default_interface);
    Ok(interface.map(|interface| (number(interface.rx_bytes), number(interface.tx_bytes))))
}

fn number(value: Option<cri::UInt64Value>) -> u64 {
    value.map_or(0, |value| value.value)
}
