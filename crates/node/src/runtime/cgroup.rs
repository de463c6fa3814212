//! cgroups of either version, and of both at once: which there are (pure), what limits mean to them (pure), and the files themselves.
//!
//! A controller that the machine has not is passed over; `Machine::withheld` says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::container::Resources;
use crate::runtime::ContainerUsage;

/// The controllers of version 1 that libcontainer puts processes into.
const FIRST_VERSION: [&str; 12] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "hugetlb",
    "memory",
    "pids",
    "perf_event",
    "blkio",
    "net_prio",
    "net_cls",
    "freezer",
];

/// How long the kernel may take to let go of a cgroup whose processes have ended, in steps.
const REMOVAL_STEPS: u32 = 50;

/// What hierarchies there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Version 1: where each controller is mounted.
    first: BTreeMap<String, PathBuf>,
    /// Version 2, if its controllers are used.
    unified: Option<PathBuf>,
    controllers: BTreeSet<String>,
}

impl Layout {
    /// What is mounted on this machine.
    pub(super) fn look() -> io::Result<Self> {
        let mut layout = Self::parse(&fs::read_to_string("/proc/self/mounts")?);
        if let Some(root) = &layout.unified {
            let text = fs::read_to_string(root.join("cgroup.controllers"))?;
            layout.controllers = text.split_whitespace().map(str::to_owned).collect();
        }
        Ok(layout)
    }

    /// Reads the table of mounts. Where version 1 has controllers, version 2 is only looked on, as by libcontainer.
    fn parse(mounts: &str) -> Self {
        let mut layout = Self::default();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(path), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            // What is elsewhere is somebody's own.
            if !path.starts_with("/sys/fs/cgroup") {
                continue;
            }
            match kind {
                "cgroup" => {
                    for controller in options.split(',').filter(|option| FIRST_VERSION.contains(option)) {
                        layout.first.entry(controller.to_owned()).or_insert_with(|| path.into());
                    }
                }
                "cgroup2" => layout.unified = Some(path.into()),
                _ => {}
            }
        }
        if !layout.first.is_empty() {
            layout.unified = None;
        }
        layout
    }

    pub(super) fn is_unified(&self) -> bool {
        self.unified.is_some()
    }

    pub(super) fn has_first_version(&self, controller: &str) -> bool {
        self.first.contains_key(controller)
    }

    pub(super) fn has(&self, controller: &str) -> bool {
        self.first.contains_key(controller) || self.controllers.contains(controller)
    }

    /// Version 1: where a container sees its own cgroup of each controller below `/sys/fs/cgroup`, and where that is.
    pub(super) fn views(&self, path: &str) -> Vec<(String, PathBuf)> {
        let path = path.trim_start_matches('/');
        self.first.iter().map(|(controller, root)| (controller.clone(), root.join(path))).collect()
    }

    /// The directories of a cgroup, one a hierarchy.
    fn directories(&self, path: &str) -> BTreeSet<PathBuf> {
        let path = path.trim_start_matches('/');
        self.first.values().chain(&self.unified).map(|root| root.join(path)).collect()
    }

    /// A file of a controller, under its name in either version.
    fn file(&self, path: &str, controller: &str, first: &str, second: &str) -> Option<PathBuf> {
        let path = path.trim_start_matches('/');
        if let Some(root) = self.first.get(controller) {
            return (!first.is_empty()).then(|| root.join(path).join(first));
        }
        let known = controller.is_empty() || self.controllers.contains(controller);
        self.unified.as_ref().filter(|_| known && !second.is_empty()).map(|root| root.join(path).join(second))
    }
}

/// What to write for limits, in order. `reset` also writes what is not limited (any more).
fn limits(layout: &Layout, path: &str, resources: &Resources, reset: bool) -> Vec<(PathBuf, String)> {
    let mut writes = Vec::new();
    let mut write = |controller: &str, first: &str, second: &str, value: (String, String)| {
        if let Some(file) = layout.file(path, controller, first, second) {
            let value = if layout.has_first_version(controller) { value.0 } else { value.1 };
            writes.push((file, value));
        }
    };
    let same = |value: String| (value.clone(), value);
    let or_max = |limit: Option<i64>, first_none: &str| match limit.filter(|limit| *limit >= 0) {
        Some(limit) => same(limit.to_string()),
        None => (first_none.to_owned(), "max".to_owned()),
    };
    if let Some(shares) = resources.cpu_shares {
        write("cpu", "cpu.shares", "cpu.weight", (shares.to_string(), weight(shares).to_string()));
    }
    let period = resources.cpu_period_us.unwrap_or(100_000);
    let quota = resources.cpu_quota_us.filter(|quota| *quota > 0);
    if quota.is_some() || reset {
        write("cpu", "cpu.cfs_period_us", "", same(period.to_string()));
        let quota = quota.map_or(("-1".to_owned(), "max".to_owned()), |quota| same(quota.to_string()));
        write("cpu", "cpu.cfs_quota_us", "", quota.clone());
        write("cpu", "", "cpu.max", same(format!("{} {period}", quota.1)));
    }
    if resources.memory_limit_bytes.is_some() || reset {
        write("memory", "memory.limit_in_bytes", "memory.max", or_max(resources.memory_limit_bytes, "-1"));
    }
    if resources.pids_limit.is_some() || reset {
        write("pids", "pids.max", "pids.max", or_max(resources.pids_limit, "max"));
    }
    for (size, limit) in &resources.hugepage_limits {
        write(
            "hugetlb",
            &format!("hugetlb.{size}.limit_in_bytes"),
            &format!("hugetlb.{size}.max"),
            same(limit.to_string()),
        );
    }
    if !resources.cpuset_cpus.is_empty() {
        write("cpuset", "cpuset.cpus", "cpuset.cpus", same(resources.cpuset_cpus.clone()));
    }
    writes
}

/// Version 1's shares (2 to 262,144, 1,024 is usual) as version 2's weight (1 to 10,000, 100 is usual): runc's curve through these three points.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both ranges are small"
)]
fn weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10_f64.powf(exponent).ceil() as u64
}

/// Makes a cgroup everywhere, with all above it.
pub(super) fn create(layout: &Layout, path: &str) -> io::Result<()> {
    for root in layout.first.values().chain(&layout.unified).collect::<BTreeSet<_>>() {
        let unified = layout.unified.as_ref() == Some(root);
        let mut directory = root.clone();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if unified {
                delegate(&directory, &layout.controllers);
            }
            let above = directory.clone();
            directory.push(name);
            match fs::create_dir(&directory) {
                Ok(()) => inherit_cpuset(&above, &directory),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Version 2: lets the cgroups below have limits. What does not go one by one does not go.
fn delegate(directory: &Path, controllers: &BTreeSet<String>) {
    let have = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
    for controller in controllers {
        if !have.split_whitespace().any(|name| name == controller) {
            let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

/// Version 1: a new cpuset is empty, and takes no process until it has processors and memory.
fn inherit_cpuset(above: &Path, directory: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = directory.join(file);
        if fs::read_to_string(&own).is_ok_and(|text| text.trim().is_empty())
            && let Ok(text) = fs::read_to_string(above.join(file))
        {
            let _ = fs::write(&own, text.trim());
        }
    }
}

/// Sets limits; returns what could not be set.
pub(super) fn limit(
    layout: &Layout,
    path: &str,
    resources: &Resources,
    reset: bool,
) -> Vec<(PathBuf, io::Error)> {
    limits(layout, path, resources, reset)
        .into_iter()
        .filter_map(|(file, value)| fs::write(&file, value).err().map(|error| (file, error)))
        .collect()
}

/// What only a container's cgroup has: no swap, all of it killed at once when its memory is used up.
pub(super) fn contain(layout: &Layout, path: &str) {
    for (file, value) in [("memory.swap.max", "0"), ("memory.oom.group", "1")] {
        if let Some(file) = layout.file(path, "memory", "", file) {
            let _ = fs::write(file, value);
        }
    }
}

/// Version 1: keeps a cgroup from all devices but these rules (`c 1:3 rwm`).
pub(super) fn filter_devices(layout: &Layout, path: &str, rules: &[String]) -> io::Result<()> {
    let Some(deny) = layout.file(path, "devices", "devices.deny", "") else { return Ok(()) };
    fs::write(&deny, "a")?;
    let allow = deny.with_file_name("devices.allow");
    for rule in rules {
        fs::write(&allow, rule)?;
    }
    Ok(())
}

/// Puts a process into a cgroup.
pub(super) fn join(layout: &Layout, path: &str, pid: i32) -> io::Result<()> {
    layout
        .directories(path)
        .into_iter()
        .try_for_each(|directory| fs::write(directory.join("cgroup.procs"), pid.to_string()))
}

/// Kills all that is in a cgroup and below, waits for it, and removes it. It blocks, and is repeated without harm.
pub(super) fn remove(layout: &Layout, path: &str) -> io::Result<()> {
    // The kernel takes 10 ms and more for each directory of version 1, and most of that is waiting.
    std::thread::scope(|scope| {
        let removals: Vec<_> = layout
            .directories(path)
            .into_iter()
            .map(|directory| {
                scope.spawn(move || {
                    kill_all(&directory);
                    remove_tree(&directory)
                })
            })
            .collect();
        removals
            .into_iter()
            .try_for_each(|removal| removal.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
    })
}

/// Lets what is killed end soon: it forks no more, and is not held up by limits of processor time, its own nor those above it. What it returns
/// is to be written back, once it has ended, for those who live on.
pub(super) fn hasten(layout: &Layout, above: &str, path: &str) -> Vec<(PathBuf, String)> {
    let quota = |path: &str| layout.file(path, "cpu", "cpu.cfs_quota_us", "cpu.max");
    let lift = |file: &Path| {
        let none = if layout.has_first_version("cpu") { "-1" } else { "max" };
        let before = fs::read_to_string(file).ok()?;
        fs::write(file, none).ok()?;
        Some(before)
    };
    if let Some(file) = layout.file(path, "pids", "pids.max", "pids.max") {
        let _ = fs::write(file, "0");
    }
    let held = quota(above).and_then(|file| lift(&file).map(|before| (file, before)));
    if let Some(file) = quota(path) {
        lift(&file);
    }
    held.into_iter().collect()
}

/// Writes back what [`hasten`] lifted.
pub(super) fn restore(held: Vec<(PathBuf, String)>) {
    for (file, before) in held {
        // Whoever is gone needs no limit.
        let _ = fs::write(file, before.trim_end());
    }
}

fn kill_all(directory: &Path) {
    if !directory.exists() {
        return;
    }
    // Version 2 kills all at once, whoever forks meanwhile included.
    let _ = fs::write(directory.join("cgroup.kill"), "1");
    // Of version 1 whoever forks could go on for ever: where processes are counted, there are no new ones from now on.
    // And what has no time to run has none to end.
    for (file, none) in [("pids.max", "0"), ("cpu.cfs_quota_us", "-1"), ("cpu.max", "max")] {
        for directory in subdirectories(directory).iter().map(PathBuf::as_path).chain([directory]) {
            let _ = fs::write(directory.join(file), none);
        }
    }
    loop {
        let handles: Vec<OwnedFd> = processes(directory)
            .into_iter()
            .filter_map(|pid| {
                let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
                pidfd_send_signal(&handle, Signal::KILL).ok()?;
                Some(handle)
            })
            .collect();
        if handles.is_empty() {
            return;
        }
        for handle in &handles {
            let mut wait = [rustix::event::PollFd::new(handle, rustix::event::PollFlags::IN)];
            let _ = rustix::event::poll(&mut wait, None);
        }
    }
}

fn processes(directory: &Path) -> Vec<i32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for below in subdirectories(directory) {
        all.extend(processes(&below));
    }
    all
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for below in subdirectories(directory) {
        remove_tree(&below)?;
    }
    let mut step = 0;
    loop {
        match fs::remove_dir(directory) {
            // The last of a process that has ended leaves its cgroup a moment later, and nothing tells of it.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && step < REMOVAL_STEPS => {
                step += 1;
                std::thread::sleep(Duration::from_millis(u64::from(step)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => return outcome,
        }
    }
}

/// What a cgroup uses.
pub(super) fn usage(layout: &Layout, path: &str) -> ContainerUsage {
    let read = |controller, first, second| {
        layout
            .file(path, controller, first, second)
            .and_then(|file| fs::read_to_string(file).ok())
            .unwrap_or_default()
    };
    let number = |text: &str| text.trim().parse().unwrap_or(0);
    // `cpu.stat` is there also where the controller is not.
    let cpu = if layout.has_first_version("cpuacct") {
        number(&read("cpuacct", "cpuacct.usage", ""))
    } else {
        value(&read("", "", "cpu.stat"), "usage_usec") * 1000
    };
    let stat = read("memory", "memory.stat", "memory.stat");
    let (inactive, anonymous) = if layout.has_first_version("memory") {
        ("total_inactive_file", "total_rss")
    } else {
        ("inactive_file", "anon")
    };
    let used: u64 = number(&read("memory", "memory.usage_in_bytes", "memory.current"));
    ContainerUsage {
        cpu_nanoseconds: cpu,
        memory_usage_bytes: used,
        memory_working_set_bytes: used.saturating_sub(value(&stat, inactive)),
        memory_rss_bytes: value(&stat, anonymous),
        processes: number(&read("pids", "pids.current", "pids.current")),
    }
}

/// The number in the line `NAME NUMBER`.
fn value(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                         cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n\
                         cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    const SECOND: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";

    fn second() -> Layout {
        let mut layout = Layout::parse(SECOND);
        layout.controllers = ["cpu", "memory", "pids", "hugetlb"].map(str::to_owned).into();
        layout
    }

    #[test]
    fn hierarchies_are_found() {
        let hybrid = Layout::parse(FIRST);
        assert!(!hybrid.is_unified());
        assert!(hybrid.has("memory") && !hybrid.has("devices"));
        assert_eq!(hybrid.directories("/a/b").len(), 3, "one a hierarchy, that without controllers left out");
        assert_eq!(Layout::parse(SECOND).unified.as_deref(), Some(Path::new("/sys/fs/cgroup")));
    }

    #[test]
    fn limits_have_a_form_in_either_version() {
        let all = Resources {
            cpu_shares: Some(1024),
            cpu_quota_us: Some(50_000),
            cpu_period_us: Some(100_000),
            memory_limit_bytes: Some(64 << 20),
            pids_limit: Some(10),
            hugepage_limits: [("2MB".to_owned(), 4 << 20)].into(),
            cpuset_cpus: "0-1".to_owned(),
        };
        let lines = |layout: &Layout, resources: &Resources, reset| -> Vec<String> {
            let root = "/sys/fs/cgroup/";
            limits(layout, "/p", resources, reset)
                .iter()
                .map(|(file, value)| format!("{}={value}", file.to_str().unwrap().trim_start_matches(root)))
                .collect()
        };
        for (name, layout, resources, reset, expected) in [
            (
                "version 1",
                Layout::parse(FIRST),
                &all,
                false,
                &[
                    "cpu,cpuacct/p/cpu.shares=1024",
                    "cpu,cpuacct/p/cpu.cfs_period_us=100000",
                    "cpu,cpuacct/p/cpu.cfs_quota_us=50000",
                    "memory/p/memory.limit_in_bytes=67108864",
                    "pids/p/pids.max=10",
                ][..],
            ),
            (
                "version 2",
                second(),
                &all,
                false,
                &[
                    "p/cpu.weight=100",
                    "p/cpu.max=50000 100000",
                    "p/memory.max=67108864",
                    "p/pids.max=10",
                    "p/hugetlb.2MB.max=4194304",
                ],
            ),
            ("no limits, new", second(), &Resources::default(), false, &[]),
            (
                "no limits any more, version 2",
                second(),
                &Resources::default(),
                true,
                &["p/cpu.max=max 100000", "p/memory.max=max", "p/pids.max=max"],
            ),
            (
                "no limits any more, version 1",
                Layout::parse(FIRST),
                &Resources::default(),
                true,
                &[
                    "cpu,cpuacct/p/cpu.cfs_period_us=100000",
                    "cpu,cpuacct/p/cpu.cfs_quota_us=-1",
                    "memory/p/memory.limit_in_bytes=-1",
                    "pids/p/pids.max=max",
                ],
            ),
        ] {
            assert_eq!(lines(&layout, resources, reset), expected, "{name}");
        }
    }

    #[test]
    fn shares_become_weights_as_runc_makes_them() {
        for (shares, expected) in [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (512, 59)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }

    #[test]
    fn counters_are_read_by_name() {
        let text = "inactive_file 5\ninactive_file_more 7\nanon 9\n";
        assert_eq!((value(text, "inactive_file"), value(text, "anon"), value(text, "none")), (5, 9, 0));
    }
}
