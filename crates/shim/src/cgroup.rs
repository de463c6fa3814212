//! A container's cgroup as its parent needs it: whether the kernel killed in it for want of memory, and how to kill all that is in it.
//!
//! The agent makes cgroups and sets their limits; this only finds them by one of their processes.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// The cgroup of one container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// A file with a line `oom_kill N`.
    memory_events: Option<PathBuf>,
    /// A file that lists its processes.
    processes: Option<PathBuf>,
}

impl Group {
    /// That of a process.
    pub(crate) fn of(pid: i32) -> Self {
        let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let unified = if Path::new(ROOT).join("cgroup.controllers").exists() {
            ROOT.to_owned()
        } else {
            format!("{ROOT}/unified")
        };
        find(&membership, &unified)
    }

    /// Whether the kernel ever killed in it for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        self.memory_events
            .as_ref()
            .and_then(|path| fs::read_to_string(path).ok())
            .is_some_and(|text| oom_kills(&text) > 0)
    }

    /// Its processes.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let text = self.processes.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

/// Finds it in `/proc/PID/cgroup`, where each line is `NUMBER:CONTROLLERS:PATH`, and the line without controllers is that of version 2.
fn find(membership: &str, unified: &str) -> Group {
    let mut group = Group::default();
    let mut second_version = None;
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        // A process at the root is in nobody's cgroup.
        if path == "/" {
            continue;
        }
        if controllers.is_empty() {
            second_version = Some(format!("{unified}{path}"));
        } else if controllers.split(',').any(|name| name == "memory") {
            let directory = PathBuf::from(format!("{ROOT}/{controllers}{path}"));
            group.memory_events = Some(directory.join("memory.oom_control"));
            group.processes = Some(directory.join("cgroup.procs"));
        }
    }
    if let Some(directory) = second_version.map(PathBuf::from)
        && group.memory_events.is_none()
    {
        group.memory_events = Some(directory.join("memory.events"));
        group.processes = Some(directory.join("cgroup.procs"));
    }
    group
}

fn oom_kills(text: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_cgroup_of_either_version_is_found() {
        let first = "5:devices:/\n4:memory:/kubepods/podx/a_0\n0::/\n";
        let group = find(first, "/sys/fs/cgroup/unified");
        assert_eq!(
            group.memory_events.unwrap(),
            Path::new("/sys/fs/cgroup/memory/kubepods/podx/a_0/memory.oom_control")
        );
        assert_eq!(
            group.processes.unwrap(),
            Path::new("/sys/fs/cgroup/memory/kubepods/podx/a_0/cgroup.procs")
        );

        let second = "0::/kubepods/podx/a_0\n";
        let group = find(second, "/sys/fs/cgroup");
        assert_eq!(group.memory_events.unwrap(), Path::new("/sys/fs/cgroup/kubepods/podx/a_0/memory.events"));

        assert_eq!(find("0::/\n", "/sys/fs/cgroup"), Group::default(), "the root is nobody's");
    }

    #[test]
    fn kills_are_counted_in_either_form() {
        for (name, text, kills) in [
            ("version 1", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
            ("version 2", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n", 1),
            ("none", "oom_kill 0\n", 0),
            ("an old kernel", "oom_kill_disable 0\nunder_oom 0\n", 0),
        ] {
            assert_eq!(oom_kills(text), kills, "{name}");
        }
    }
}
