//! Makes sandboxes, and takes them down so that nothing is left.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags};
use sampan_shim::protocol::{self, Call, Setup};

use super::directories::PodDirectory;
use super::pod::{Known, Pod};
use super::record::{self, SandboxRecord};
use super::{Shared, blocking, bundle, cgroup, directories, failed, shim};
use crate::container::{DnsConfig, PodUid, Resources, SandboxConfig};
use crate::network;
use crate::runtime::{ContainerUsage, Error, Sandbox, Usage};

/// How long a shim may take to end what runs; then its cgroup is killed.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// The cgroup of all shims, in every hierarchy.
const SHIMS: &str = "/sampan";

/// What the kubelet gives the processes that hold a pod together.
const SHIM_OOM_SCORE_ADJ: &str = "-998";

/// Set in every network namespace that does not set them itself, as containerd does: unprivileged programs may use all ports, and ping.
const SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

pub(super) async fn start(shared: &Arc<Shared>, config: &SandboxConfig) -> Result<Sandbox, Error> {
    if config.namespaces.user.is_some() {
        return Err(Error::Config("this runtime has no user namespaces (hostUsers: false)".to_owned()));
    }
    let directory = PodDirectory::new(&shared.options.directory, &config.uid);
    let pod =
        {
            let mut pods = shared.pods.lock();
            Arc::clone(pods.entry(config.uid.clone()).or_insert_with(|| {
                Arc::new(Pod::new(config.uid.clone(), directory, new_record(shared, config)))
            }))
        };
    let _turn = pod.turn.lock().await;
    if !pod.is_ready() {
        // What an earlier attempt or an earlier sandbox of the pod left.
        if fs::exists(pod.directory.record()).unwrap_or(true) {
            take_down(shared, &pod).await?;
        }
        pod.lock().record = new_record(shared, config);
        if let Err(error) = make(shared, &pod, config).await {
            if let Err(error) = take_down(shared, &pod).await {
                tracing::warn!(pod = %pod.uid, %error, "a sandbox that could not be made cannot be taken down either");
            }
            return Err(error);
        }
        pod.changed(shared);
    }
    pod.describe().ok_or_else(|| Error::NotFound(format!("sandbox {}", config.uid)))
}

fn new_record(shared: &Shared, config: &SandboxConfig) -> SandboxRecord {
    SandboxRecord {
        namespace: config.namespace.clone(),
        name: config.name.clone(),
        created_ns: record::now_ns(),
        started: false,
        stopped: false,
        addresses: Vec::new(),
        cgroup: config.cgroup_parent.clone(),
        log_directory: config.log_directory.clone(),
        host_network: config.namespaces.host_network,
        host_pid: config.namespaces.host_pid,
        share_process: config.namespaces.share_process,
        host_ipc: config.namespaces.host_ipc,
        hostname: config.hostname.clone().unwrap_or_else(|| shared.machine.hostname.clone()),
        labels: config.labels.clone(),
        resources: Some(config.resources.clone()),
    }
}

/// The steps, in order; `take_down` undoes whichever were done.
async fn make(shared: &Arc<Shared>, pod: &Arc<Pod>, config: &SandboxConfig) -> Result<(), Error> {
    let directory = &pod.directory;
    fs::create_dir_all(directory.path()).map_err(failed("cannot make the pod's directory"))?;
    let record = pod.lock().record.clone();
    // First of all: a crash after this is known to have happened.
    pod.save(&record)?;
    make_cgroup(shared, config).await?;
    write_files(directory, config, &record).map_err(failed("cannot write the pod's files"))?;
    if !config.namespaces.host_ipc {
        make_shm(directory).map_err(failed("cannot make the pod's /dev/shm"))?;
    }

    record::write(&directory.shim_setup(), &setup(shared, config))
        .map_err(failed("cannot write the shim's configuration"))?;
    let pid = shim::spawn(&shared.options.executable, directory.path(), &directory.shim_log())
        .await
        .map_err(|error| Error::Failed {
            context: format!("cannot start the pod's shim: {error}"),
            source: Box::new(error),
        })?;
    cgroup::join(&shared.layout, &shim_cgroup(&config.uid), pid)
        .map_err(failed("cannot put the shim into its cgroup"))?;
    // Best effort: `About` says if the machine withholds it.
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), SHIM_OOM_SCORE_ADJ);

    let mut addresses = Vec::new();
    if !config.namespaces.host_network {
        let described = network::Pod {
            uid: config.uid.clone(),
            namespace: config.namespace.clone(),
            name: config.name.clone(),
        };
        let namespace = format!("/proc/{pid}/ns/net");
        addresses = shared
            .network
            .attach(&described, namespace.as_ref(), &config.ports)
            .await
            .map_err(Error::Network)?;
    }
    pod.connect(shared).await?;
    let record = SandboxRecord { started: true, addresses, ..record };
    pod.save(&record)?;
    pod.lock().record = record;
    Ok(())
}

/// Not below the pod's: whatever a pod does to its limits, its shim can still end it.
fn shim_cgroup(uid: &PodUid) -> String {
    format!("{SHIMS}/pod{uid}")
}

async fn make_cgroup(shared: &Arc<Shared>, config: &SandboxConfig) -> Result<(), Error> {
    let (shared, path, own, resources) = (
        Arc::clone(shared),
        config.cgroup_parent.clone(),
        shim_cgroup(&config.uid),
        config.resources.clone(),
    );
    blocking(move || {
        for path in [&own, &path] {
            cgroup::create(&shared.layout, path).map_err(failed("cannot make the pod's cgroup"))?;
        }
        for (file, error) in cgroup::limit(&shared.layout, &path, &resources, false) {
            tracing::warn!(file = %file.display(), %error, "a limit of a pod cannot be set");
        }
        Ok(())
    })
    .await
}

fn setup(shared: &Shared, config: &SandboxConfig) -> Setup {
    let network = !config.namespaces.host_network;
    let mut sysctls = config.sysctls.clone();
    if network {
        for (name, value) in SYSCTLS {
            sysctls.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    Setup {
        hostname: config.hostname.clone().filter(|_| network),
        network,
        ipc: !config.namespaces.host_ipc,
        processes: config.namespaces.share_process && !config.namespaces.host_pid,
        sysctls,
        log_file_bytes: shared.options.log_file_bytes,
        log_files: shared.options.log_files,
    }
}

fn write_files(directory: &PodDirectory, config: &SandboxConfig, record: &SandboxRecord) -> io::Result<()> {
    fs::write(directory.hostname(), format!("{}\n", record.hostname))?;
    let copy = |from: &str| match fs::read(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        outcome => outcome,
    };
    fs::write(directory.hosts(), copy("/etc/hosts")?)?;
    let resolve = match &config.dns {
        Some(dns) => resolv_conf(dns).into_bytes(),
        None => copy("/etc/resolv.conf")?,
    };
    fs::write(directory.resolv_conf(), resolve)
}

/// In the order in which containerd writes it.
fn resolv_conf(dns: &DnsConfig) -> String {
    let line = |name: &str, words: &[String]| format!("{name} {}\n", words.join(" "));
    let searches = (!dns.searches.is_empty()).then(|| line("search", &dns.searches));
    let servers = dns.servers.iter().map(|server| line("nameserver", std::slice::from_ref(server)));
    let options = (!dns.options.is_empty()).then(|| line("options", &dns.options));
    searches.into_iter().chain(servers).chain(options).collect()
}

fn make_shm(directory: &PodDirectory) -> io::Result<()> {
    let path = directory.shm();
    fs::create_dir_all(&path)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount("shm", &path, "tmpfs", flags, Some(c"mode=1777,size=65536k"))?)
}

pub(super) async fn stop(shared: &Arc<Shared>, uid: &PodUid) -> Result<(), Error> {
    let Ok(pod) = shared.pod(uid) else { return Ok(()) };
    let _turn = pod.turn.lock().await;
    if pod.lock().record.stopped {
        return Ok(());
    }
    take_down(shared, &pod).await
}

/// Its shim is gone without having been told to.
pub(super) async fn lost(shared: &Arc<Shared>, pod: &Arc<Pod>) {
    let _turn = pod.turn.lock().await;
    // Somebody else may have had the turn before.
    if pod.is_ready() || pod.lock().record.stopped {
        return;
    }
    if let Err(error) = take_down(shared, pod).await {
        tracing::warn!(pod = %pod.uid, %error, "a pod without a shim cannot be taken down");
    }
}

/// Ends all that runs and takes away all that is not a file. Repeated, it does nothing more. The caller has the pod's turn.
pub(super) async fn take_down(shared: &Arc<Shared>, pod: &Arc<Pod>) -> Result<(), Error> {
    pod.lock().ending = true;
    let outcome = undo(shared, pod).await;
    pod.lock().ending = false;
    pod.changed(shared);
    outcome
}

async fn undo(shared: &Arc<Shared>, pod: &Arc<Pod>) -> Result<(), Error> {
    if pod.lock().shim.is_none() {
        // One that is not reached is killed with the cgroup.
        let _ = pod.connect(shared).await;
    }
    let shim = pod.lock().shim.clone();
    if let Some(shim) = shim {
        let _ = tokio::time::timeout(SHUTDOWN, shim.call(Call::Shutdown)).await;
    }
    let (path, host_network) = {
        let inner = pod.lock();
        (inner.record.cgroup.clone(), inner.record.host_network)
    };
    let (owner, own) = (Arc::clone(shared), shim_cgroup(&pod.uid));
    blocking(move || {
        cgroup::remove(&owner.layout, &path)?;
        cgroup::remove(&owner.layout, &own)
    })
    .await
    .map_err(failed("cannot remove the pod's cgroup"))?;

    let containers: Vec<_> = pod.lock().containers.keys().cloned().collect();
    for (name, attempt) in containers {
        let bundle = pod.directory.bundle(&name, attempt);
        let id = crate::container::ContainerId { pod: pod.uid.clone(), name, attempt };
        shared.rootfs.unmount(&id, &bundle.join(bundle::ROOTFS)).await;
    }
    if !host_network {
        shared.network.detach(&pod.uid).await.map_err(Error::Network)?;
    }
    let directory = &pod.directory;
    remove_shm(directory).map_err(failed("cannot unmount the pod's /dev/shm"))?;
    for path in [
        directory.shim_socket(),
        directory.shim_setup(),
        directory.shim_log(),
        directory.hostname(),
        directory.hosts(),
        directory.resolv_conf(),
    ] {
        absent(fs::remove_file(path)).map_err(failed("cannot remove the pod's files"))?;
    }
    absent(fs::remove_dir_all(directory.oci())).map_err(failed("cannot remove the pod's files"))?;

    let record = {
        let mut inner = pod.lock();
        inner.shim = None;
        inner.pid = None;
        inner.init = None;
        for ((name, attempt), known) in &mut inner.containers {
            settle(&directory.bundle(name, *attempt), &mut known.live);
        }
        inner.record.stopped = true;
        inner.record.clone()
    };
    if directory.record().exists() { pod.save(&record) } else { Ok(()) }
}

/// A container that ran has ended: as its shim wrote down, or, if that was killed, by a kill.
fn settle(bundle: &std::path::Path, live: &mut Option<protocol::Container>) {
    if let Ok(Some(written)) = sampan_shim::read_state(bundle)
        && (written.exit.is_some() || live.is_none())
    {
        *live = Some(written);
    }
    if let Some(live) = live
        && live.exit.is_none()
    {
        live.pid = None;
        live.exit = Some(protocol::Exit {
            code: 137,
            signal: 9,
            out_of_memory: false,
            finished_ns: record::now_ns(),
        });
        let _ = sampan_shim::write_state(bundle, live);
    }
}

fn remove_shm(directory: &PodDirectory) -> io::Result<()> {
    let path = directory.shm();
    match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
        // It is not mounted, or not there.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => absent(fs::remove_dir(path)),
        Err(errno) => Err(errno.into()),
    }
}

/// What is gone need not be removed.
pub(super) fn absent(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

pub(super) async fn remove(shared: &Arc<Shared>, uid: &PodUid) -> Result<(), Error> {
    let Ok(pod) = shared.pod(uid) else { return Ok(()) };
    let _turn = pod.turn.lock().await;
    if !pod.lock().record.stopped {
        take_down(shared, &pod).await?;
    }
    let containers: Vec<_> =
        pod.lock().containers.iter().map(|(key, known)| (key.clone(), known.record.log.clone())).collect();
    for ((name, attempt), log) in containers {
        bundle::remove(shared, &pod, &name, attempt, Some(&log)).await?;
    }
    // Only what is empty: the other files of the pod are not the runtime's.
    let _ = fs::remove_dir(pod.directory.containers());
    let log_directory = pod.lock().record.log_directory.clone();
    let _ = fs::remove_dir(log_directory);
    absent(fs::remove_file(pod.directory.record())).map_err(failed("cannot remove the sandbox's record"))?;
    let _ = fs::remove_dir(pod.directory.path());
    shared.pods.lock().remove(uid);
    pod.changed(shared);
    Ok(())
}

pub(super) async fn update(shared: &Arc<Shared>, uid: &PodUid, resources: &Resources) -> Result<(), Error> {
    let pod = shared.pod(uid)?;
    let _turn = pod.turn.lock().await;
    let (path, ended, record) = {
        let inner = pod.lock();
        // Not those that were made and are to start yet.
        let has_ended = |known: &Known| known.live.as_ref().is_some_and(|live| live.exit.is_some());
        let ended = inner.containers.iter().filter(|(_, known)| has_ended(known));
        let ended: Vec<_> = ended.map(|((name, attempt), _)| format!("{name}_{attempt}")).collect();
        (inner.record.cgroup.clone(), ended, inner.record.clone())
    };
    // Version 1 takes no quota that is smaller than that of a cgroup below, and what ended is still there. Whether it has one matters to nobody.
    let (owner, below) = (Arc::clone(shared), path.clone());
    blocking(move || {
        for name in ended {
            let _ = cgroup::limit(&owner.layout, &format!("{below}/{name}"), &Resources::default(), true);
        }
    })
    .await;
    set_limits(shared, path, resources).await?;
    let record = SandboxRecord { resources: Some(resources.clone()), ..record };
    pod.save(&record)?;
    pod.lock().record = record;
    pod.changed(shared);
    Ok(())
}

/// Sets limits of what runs already, where a failure is one.
pub(super) async fn set_limits(
    shared: &Arc<Shared>,
    path: String,
    resources: &Resources,
) -> Result<(), Error> {
    let (shared, resources) = (Arc::clone(shared), resources.clone());
    let refused = blocking(move || cgroup::limit(&shared.layout, &path, &resources, true)).await;
    match refused.into_iter().next() {
        Some((file, error)) => Err(failed(format!("cannot set {}", file.display()))(error)),
        None => Ok(()),
    }
}

pub(super) fn usage(shared: &Shared, pod: &Pod) -> Usage {
    let (path, pid, host_network, running) = {
        let inner = pod.lock();
        let running: Vec<_> = inner
            .containers
            .iter()
            .filter(|(_, known)| known.is_running())
            .map(|(key, _)| key.clone())
            .collect();
        (inner.record.cgroup.clone(), inner.pid, inner.record.host_network, running)
    };
    let containers = running.into_iter().map(|(name, attempt)| {
        let used = cgroup::usage(&shared.layout, &format!("{path}/{name}_{attempt}"));
        (name, used)
    });
    let containers: Vec<(String, ContainerUsage)> = containers.collect();
    let network =
        pid.filter(|_| !host_network).and_then(|pid| fs::read_to_string(format!("/proc/{pid}/net/dev")).ok());
    Usage {
        containers,
        pod: cgroup::usage(&shared.layout, &path),
        network: network.map(|text| traffic(&text)),
    }
}

/// Bytes received and sent by all interfaces but the loopback (`/proc/net/dev`).
fn traffic(text: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for (name, counters) in text.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() != "lo" {
            let counters: Vec<u64> =
                counters.split_whitespace().map(|number| number.parse().unwrap_or(0)).collect();
            sum.0 += counters.first().copied().unwrap_or(0);
            sum.1 += counters.get(8).copied().unwrap_or(0);
        }
    }
    sum
}

/// The names of a pod's containers as a file's, or why not.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if directories::is_safe(name) {
        Ok(())
    } else {
        Err(Error::Config(format!("invalid container name {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_written_in_order() {
        let dns = DnsConfig {
            servers: vec!["10.0.0.10".to_owned(), "1.1.1.1".to_owned()],
            searches: vec!["a.svc".to_owned(), "svc".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        assert_eq!(
            resolv_conf(&dns),
            "search a.svc svc\nnameserver 10.0.0.10\nnameserver 1.1.1.1\noptions ndots:5\n"
        );
        assert_eq!(resolv_conf(&DnsConfig::default()), "");
    }

    #[test]
    fn traffic_is_that_of_all_but_the_loopback() {
        let text = "Inter-|   Receive\n face |bytes packets\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 50 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(text), (100, 50));
    }
}
