//! What the machine gives and withholds: read once, when the agent starts.

use std::collections::BTreeSet;
use std::fs;

use super::capabilities;
use super::cgroup::Layout;

/// What specifications depend on.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent facts")]
pub(super) struct Machine {
    /// The capabilities that the agent has, and so may give.
    pub(super) capabilities: BTreeSet<&'static str>,
    /// Whether containers can be kept from devices.
    pub(super) device_filter: bool,
    /// Whether the kernel filters system calls.
    pub(super) seccomp: bool,
    /// Whether AppArmor is on.
    pub(super) apparmor: bool,
    /// Whether a container gets a namespace of cgroups: with version 2 it does.
    pub(super) cgroup_namespace: bool,
    /// The most open files that a process may be allowed.
    pub(super) open_files: u64,
    pub(super) hostname: String,
}

impl Machine {
    pub(super) fn look(layout: &Layout) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            capabilities: capabilities::of_mask(
                field(&status, "CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0),
            ),
            device_filter: layout.has_first_version("devices"),
            seccomp: field(&status, "Seccomp:").is_some(),
            apparmor: fs::read_to_string("/sys/module/apparmor/parameters/enabled")
                .is_ok_and(|text| text.starts_with('Y')),
            cgroup_namespace: layout.is_unified(),
            open_files: limit.maximum.unwrap_or(1 << 20),
            hostname,
        }
    }

    /// One sentence for each thing that it withholds.
    pub(super) fn withheld(&self, layout: &Layout) -> Vec<String> {
        let mut sentences = Vec::new();
        let mut say = |missing: bool, sentence: &str| {
            if missing {
                sentences.push(sentence.to_owned());
            }
        };
        say(
            !self.capabilities.contains("SYS_RESOURCE"),
            "oom_score_adj cannot be lowered, since CAP_SYS_RESOURCE is missing",
        );
        say(!self.seccomp, "the kernel does not filter system calls (seccomp)");
        say(
            self.apparmor,
            "AppArmor's default profile is not loaded by Sampan; only profiles that are on the machine can be used",
        );
        say(
            !self.device_filter,
            "devices cannot be filtered (no devices controller of cgroup version 1), so only privileged containers may make them",
        );
        for controller in ["cpu", "memory", "pids"] {
            say(
                !layout.has(controller),
                &format!("the cgroup controller {controller} is missing, so its limits are not enforced"),
            );
        }
        sentences
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
