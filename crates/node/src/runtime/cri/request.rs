//! What we want as what a runtime is asked for. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use super::kept;
use crate::container::{
    ContainerConfig, Mount, Namespaces, PodUid, Propagation, Resources, SandboxConfig, Seccomp, Security,
};
use crate::cri::messages as cri;
use crate::runtime::hidden::{MASKED, READ_ONLY};

/// The labels by which the kubelet finds what is a pod's.
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(super) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// The annotation that tells the attempt.
const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";

/// What the kubelet gives the processes that hold a pod together.
const SANDBOX_OOM_SCORE_ADJ: i64 = -998;

/// Selects what is a pod's.
pub(super) fn of_pod(uid: &PodUid) -> BTreeMap<String, String> {
    BTreeMap::from([(POD_UID.to_owned(), uid.as_str().to_owned())])
}

/// A sandbox.
pub(super) fn sandbox(config: &SandboxConfig, attempt: u32) -> cri::PodSandboxConfig {
    let kept = kept::Sandbox::of(config);
    let mut labels = config.labels.clone();
    labels.extend([
        (POD_NAME.to_owned(), config.name.clone()),
        (POD_NAMESPACE.to_owned(), config.namespace.clone()),
        (POD_UID.to_owned(), config.uid.as_str().to_owned()),
    ]);
    let metadata = cri::PodSandboxMetadata {
        name: config.name.clone(),
        uid: config.uid.as_str().to_owned(),
        namespace: config.namespace.clone(),
        attempt,
    };
    let mut made = again(&kept, Some(metadata), labels);
    made.annotations = BTreeMap::from([kept::write(&kept)]);
    made.dns_config = config.dns.as_ref().map(|dns| cri::DnsConfig {
        servers: dns.servers.clone(),
        searches: dns.searches.clone(),
        options: dns.options.clone(),
    });
    made.port_mappings = config
        .ports
        .iter()
        .map(|port| cri::PortMapping {
            protocol: match port.protocol.as_str() {
                "UDP" => cri::Protocol::Udp,
                "SCTP" => cri::Protocol::Sctp,
                _ => cri::Protocol::Tcp,
            } as i32,
            container_port: port.container_port.into(),
            host_port: port.host_port.into(),
            host_ip: port.host_ip.clone(),
        })
        .collect();
    if let Some(linux) = &mut made.linux {
        linux.sysctls.clone_from(&config.sysctls);
        linux.resources = Some(resources(&config.resources, SANDBOX_OOM_SCORE_ADJ));
    }
    made
}

/// As much of a sandbox's configuration as its containers need.
pub(super) fn again(
    kept: &kept::Sandbox,
    metadata: Option<cri::PodSandboxMetadata>,
    labels: BTreeMap<String, String>,
) -> cri::PodSandboxConfig {
    let security = cri::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(kept)),
        seccomp: Some(profile(cri::ProfileType::RuntimeDefault, "")),
        ..Default::default()
    };
    cri::PodSandboxConfig {
        metadata,
        hostname: kept.hostname.clone(),
        log_directory: text(&kept.log_directory),
        labels,
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: kept.cgroup.clone(),
            security_context: Some(security),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn namespaces(kept: &kept::Sandbox) -> cri::NamespaceOption {
    use cri::NamespaceMode::{Container, Node, Pod};
    let of = |host: bool, else_| if host { Node } else { else_ } as i32;
    cri::NamespaceOption {
        network: of(kept.host_network, Pod),
        pid: of(kept.host_pid, if kept.share_process { Pod } else { Container }),
        ipc: of(kept.host_ipc, Pod),
        target_id: String::new(),
    }
}

/// A container of a sandbox. A group is refused without a user: then the user is the image's, as the kubelet names it.
pub(super) fn container(
    config: &ContainerConfig,
    sandbox: &kept::Sandbox,
    image: Option<&cri::Image>,
) -> cri::ContainerConfig {
    let mut labels = config.labels.clone();
    labels.insert(CONTAINER_NAME.to_owned(), config.id.name.clone());
    labels.insert(POD_UID.to_owned(), config.id.pod.as_str().to_owned());
    let restarts = (RESTART_COUNT.to_owned(), config.id.attempt.to_string());
    let environment = config.environment.iter().cloned();
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: config.id.name.clone(), attempt: config.id.attempt }),
        image: Some(cri::ImageSpec {
            image: config.image_id.clone(),
            user_specified_image: config.image.clone(),
            ..Default::default()
        }),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_directory.clone().unwrap_or_default(),
        envs: environment.map(|(key, value)| cri::KeyValue { key, value }).collect(),
        mounts: config.mounts.iter().map(mount).collect(),
        devices: config
            .devices
            .iter()
            .map(|device| cri::Device {
                container_path: text(&device.container_path),
                host_path: text(&device.host_path),
                permissions: device.permissions.clone(),
            })
            .collect(),
        labels,
        annotations: BTreeMap::from([restarts, kept::write(&kept::Container::of(config))]),
        log_path: text(&config.log_path),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.terminal,
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(resources(&config.resources, config.security.oom_score_adj.into())),
            security_context: Some(security(&config.security, namespaces(sandbox), image)),
        }),
        stop_signal: config.stop_signal.as_deref().map_or(0, cri::signal),
    }
}

fn mount(mount: &Mount) -> cri::Mount {
    cri::Mount {
        container_path: text(&mount.container_path),
        host_path: text(&mount.host_path),
        readonly: mount.read_only,
        propagation: match mount.propagation {
            Propagation::Private => cri::MountPropagation::Private,
            Propagation::HostToContainer => cri::MountPropagation::HostToContainer,
            Propagation::Bidirectional => cri::MountPropagation::Bidirectional,
        } as i32,
        recursive_read_only: mount.recursive_read_only,
    }
}

fn security(
    security: &Security,
    namespaces: cri::NamespaceOption,
    image: Option<&cri::Image>,
) -> cri::LinuxContainerSecurityContext {
    let of_image = image.filter(|_| security.user.is_none() && security.group.is_some());
    let username = of_image.filter(|image| image.uid.is_none()).map(|image| image.username.clone());
    let username = username.unwrap_or_default();
    // An image that names nobody runs as root.
    let uid = of_image.filter(|_| username.is_empty()).map(|image| image.uid.unwrap_or_default());
    let id = |id: u32| cri::Int64Value { value: id.into() };
    let open = security.privileged || security.unmasked_proc;
    let paths = |list: &[&str]| if open { Vec::new() } else { list.iter().map(|&p| p.to_owned()).collect() };
    let policy = if security.strict_groups {
        cri::SupplementalGroupsPolicy::Strict
    } else {
        cri::SupplementalGroupsPolicy::Merge
    };
    cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability {
            add_capabilities: security.add_capabilities.clone(),
            drop_capabilities: security.drop_capabilities.clone(),
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces),
        run_as_user: security.user.map(id).or(uid),
        run_as_username: username,
        run_as_group: security.group.map(id),
        readonly_rootfs: security.read_only_root,
        supplemental_groups: security.supplemental_groups.iter().map(|&group| group.into()).collect(),
        supplemental_groups_policy: policy as i32,
        no_new_privs: security.no_new_privileges,
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(match &security.seccomp {
            Seccomp::Unconfined => profile(cri::ProfileType::Unconfined, ""),
            Seccomp::RuntimeDefault => profile(cri::ProfileType::RuntimeDefault, ""),
            Seccomp::Localhost(path) => profile(cri::ProfileType::Localhost, &text(path)),
        }),
        apparmor: security.apparmor.as_deref().map(|name| profile(cri::ProfileType::Localhost, name)),
    }
}

fn profile(kind: cri::ProfileType, name: &str) -> cri::SecurityProfile {
    cri::SecurityProfile { profile_type: kind as i32, localhost_ref: name.to_owned() }
}

/// Limits of what is made: 0 leaves the kernel's.
pub(super) fn resources(resources: &Resources, oom_score_adj: i64) -> cri::LinuxContainerResources {
    let signed = |value: Option<u64>| value.map_or(0, |value| i64::try_from(value).unwrap_or(i64::MAX));
    cri::LinuxContainerResources {
        cpu_period: signed(resources.cpu_period_us),
        cpu_quota: resources.cpu_quota_us.unwrap_or(0),
        cpu_shares: signed(resources.cpu_shares),
        memory_limit_in_bytes: resources.memory_limit_bytes.unwrap_or(0),
        oom_score_adj,
        cpuset_cpus: resources.cpuset_cpus.clone(),
        hugepage_limits: resources
            .hugepage_limits
            .iter()
            .map(|(page_size, &limit)| cri::HugepageLimit { page_size: page_size.clone(), limit })
            .collect(),
    }
}

/// Limits of what runs: 0 would leave what is there, so what is not limited any more is -1.
pub(super) fn changed_resources(wanted: &Resources) -> cri::LinuxContainerResources {
    let mut changed = resources(wanted, 0);
    if changed.cpu_quota == 0 {
        changed.cpu_quota = -1;
    }
    if changed.memory_limit_in_bytes == 0 {
        changed.memory_limit_in_bytes = -1;
    }
    changed
}

/// What this runtime cannot do, in words.
pub(super) fn refusal(namespaces: &Namespaces) -> Option<String> {
    namespaces.user.map(|_| "this runtime has no user namespaces (hostUsers: false)".to_owned())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
