//! What a container is to be, after everything that the API says indirectly has been worked out: the input of every runtime.
//!
//! Plain values. Nothing here knows the API's types, nor how a runtime carries it out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The UID of a pod: also the name of its sandbox and of its directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(String);

impl PodUid {
    /// `None` unless it may be the name of a file: letters, digits, `-`, `.` and `_`, and not only dots.
    pub fn new(uid: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let named = !uid.is_empty() && uid.len() <= 253 && !uid.bytes().all(|byte| byte == b'.');
        (named && uid.bytes().all(fits)).then(|| Self(uid.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One start of one container of a pod. A restart is a new container with the next attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// The pod.
    pub pod: PodUid,
    /// The container's name in the pod's spec.
    pub name: String,
    /// 0 for the first start: the restart count.
    pub attempt: u32,
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.pod, self.name, self.attempt)
    }
}

/// What the containers of a pod share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// The pod.
    pub uid: PodUid,
    /// Its namespace and name: for logs, labels and the network.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The host name inside; `None` on the host's network.
    pub hostname: Option<String>,
    /// The namespaces that it shares with the host, and whether its containers share one of processes.
    pub namespaces: Namespaces,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Ports of the host that lead to it.
    pub ports: Vec<PortMapping>,
    /// Contents of `/etc/resolv.conf`; `None` takes the host's.
    pub dns: Option<DnsConfig>,
    /// Path of the pod's cgroup below every hierarchy, such as `/kubepods/burstable/podUID`.
    pub cgroup_parent: String,
    /// Limits of the pod as a whole.
    pub resources: Resources,
    /// Where the containers' logs go.
    pub log_directory: PathBuf,
    /// Labels that a runtime keeps beside it.
    pub labels: BTreeMap<String, String>,
}

/// Whose namespaces a pod's containers are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent switches of the API")]
pub struct Namespaces {
    /// The host's network.
    pub host_network: bool,
    /// The host's processes.
    pub host_pid: bool,
    /// The host's IPC.
    pub host_ipc: bool,
    /// One namespace of processes for all containers.
    pub share_process: bool,
    /// A user namespace of its own (`hostUsers: false`): how many ids, and where they begin on the host.
    pub user: Option<IdRange>,
}

/// Ids of the host that a pod's user namespace maps, from its 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first on the host.
    pub first: u32,
    /// How many.
    pub length: u32,
}

/// A port of the host that leads to a port of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Inside.
    pub container_port: u16,
    /// On the host.
    pub host_port: u16,
    /// The host's address; every one if empty.
    pub host_ip: String,
}

/// What stands in `/etc/resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// The `search` line.
    pub searches: Vec<String>,
    /// The `options` line.
    pub options: Vec<String>,
}

/// A container to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerConfig {
    /// Which.
    pub id: ContainerId,
    /// The id of its image, as `Images` gave it.
    pub image_id: String,
    /// The reference by which the pod names it.
    pub image: String,
    /// Replaces the image's entry point, unless empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments, unless empty.
    pub args: Vec<String>,
    /// In order; later ones of a name win. The image's own come before them.
    pub environment: Vec<(String, String)>,
    /// Replaces the image's, unless `None`.
    pub working_directory: Option<String>,
    /// In order.
    pub mounts: Vec<Mount>,
    /// Devices of the host: raw block volumes.
    pub devices: Vec<Device>,
    /// Who it runs as, and what it may.
    pub security: Security,
    /// Its limits.
    pub resources: Resources,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether its standard input is kept open for whoever attaches.
    pub stdin: bool,
    /// Whether its standard input ends with the first who attached.
    pub stdin_once: bool,
    /// The signal that asks it to end; the image's or SIGTERM if `None`.
    pub stop_signal: Option<String>,
    /// Relative to the sandbox's log directory.
    pub log_path: PathBuf,
    /// Labels that a runtime keeps beside it.
    pub labels: BTreeMap<String, String>,
}

/// A file or directory of the host that appears in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// On the host.
    pub host_path: PathBuf,
    /// Inside.
    pub container_path: PathBuf,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whether the mounts below it cannot be written either.
    pub recursive_read_only: bool,
    /// Which mounts pass between the two.
    pub propagation: Propagation,
}

/// Which mounts pass between host and container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// None.
    #[default]
    Private,
    /// The host's to the container.
    HostToContainer,
    /// Both ways.
    Bidirectional,
}

/// A device of the host that appears in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// On the host.
    pub host_path: PathBuf,
    /// Inside.
    pub container_path: PathBuf,
    /// Of `r`, `w`, `m`.
    pub permissions: String,
}

/// Who a container runs as, and what it may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent switches of the API")]
pub struct Security {
    /// Replaces the image's user.
    pub user: Option<u32>,
    /// Replaces the group of that user.
    pub group: Option<u32>,
    /// Further groups.
    pub supplemental_groups: Vec<u32>,
    /// Whether groups that the image's `/etc/group` gives the user are left out (`supplementalGroupsPolicy: Strict`).
    pub strict_groups: bool,
    /// Everything that root may.
    pub privileged: bool,
    /// Whether the root file system cannot be written.
    pub read_only_root: bool,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// Capabilities besides the default ones, without `CAP_`; `ALL` is all.
    pub add_capabilities: Vec<String>,
    /// Capabilities less than the default ones.
    pub drop_capabilities: Vec<String>,
    /// The filter of system calls.
    pub seccomp: Seccomp,
    /// Name of the AppArmor profile, if one is asked for.
    pub apparmor: Option<String>,
    /// Whether `/proc` shows all of itself.
    pub unmasked_proc: bool,
    /// `oom_score_adj` of its processes.
    pub oom_score_adj: i32,
}

/// A filter of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// None.
    #[default]
    Unconfined,
    /// That of the runtime.
    RuntimeDefault,
    /// A profile on the host, as a path.
    Localhost(PathBuf),
}

/// Limits of a container or a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// Relative weight of processor time, 2 to 262,144 (cgroup v1's scale); `None` leaves the kernel's.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time per period; `None` has no limit.
    pub cpu_quota_us: Option<i64>,
    /// Length of that period.
    pub cpu_period_us: Option<u64>,
    /// Most memory; `None` has no limit.
    pub memory_limit_bytes: Option<i64>,
    /// Most processes; `None` has no limit.
    pub pids_limit: Option<i64>,
    /// Limits of huge pages by size (`2MB`), in bytes.
    pub hugepage_limits: BTreeMap<String, u64>,
    /// Processors it may use (`0-1,3`); empty is all.
    pub cpuset_cpus: String,
}
