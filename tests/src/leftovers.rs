//! What nodes leave behind: looked for after their pods are gone, and taken away after a test that failed.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

/// What is there of the pods of a node whose directory this is, one line a thing.
pub fn look(node: &Path, pods: &[String]) -> Vec<String> {
    let mut found: Vec<String> =
        mounts(node).iter().map(|path| format!("mount {}", path.display())).collect();
    found.extend(
        processes(node, pods).iter().map(|(pid, name)| format!("process {} {name}", pid.as_raw_nonzero())),
    );
    found.extend(cgroups(pods).iter().map(|path| format!("cgroup {}", path.display())));
    for directory in ["pods", "logs", "images/roots"] {
        found.extend(entries(&node.join(directory)).iter().map(|path| format!("file {}", path.display())));
    }
    found
}

/// Takes all of that away. What cannot be is left.
pub fn remove(node: &Path) {
    let pods: Vec<String> = entries(&node.join("pods"))
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    // A second look finds what the first one's victims had started meanwhile.
    for _ in 0..2 {
        for (pid, _) in processes(node, &pods) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for path in mounts(node).iter().rev() {
        let _ = unmount(path, UnmountFlags::DETACH);
    }
    // The inner ones first.
    for path in cgroups(&pods).iter().rev() {
        let _ = fs::remove_dir(path);
    }
}

/// The shims of a node.
pub fn shims(node: &Path) -> Vec<u32> {
    let shims = processes(node, &[]);
    shims.iter().filter_map(|(pid, _)| pid.as_raw_nonzero().get().try_into().ok()).collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn mounts(node: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let targets = text.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    targets.filter(|target| target.starts_with(node)).collect()
}

/// Shims of this node, and whatever runs in the cgroups of its pods.
fn processes(node: &Path, pods: &[String]) -> Vec<(Pid, String)> {
    let is_shim = |command: &str| command.contains(&format!("shim {}/", node.display()));
    let mut found = Vec::new();
    for path in entries(Path::new("/proc")) {
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        if is_shim(&command) || pods.iter().any(|pod| cgroup.contains(&format!("/pod{pod}"))) {
            found.push((pid, command.trim().to_owned()));
        }
    }
    found
}

/// Those of the pods, the outer ones before the inner ones.
fn cgroups(pods: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in entries(Path::new("/sys/fs/cgroup")).iter().chain([&PathBuf::from("/sys/fs/cgroup")]) {
        for class in ["sampan", "kubepods", "kubepods/burstable", "kubepods/besteffort"] {
            for pod in pods {
                let path = hierarchy.join(class).join(format!("pod{pod}"));
                if path.is_dir() {
                    let inner = entries(&path).into_iter().filter(|path| path.is_dir());
                    found.push(path.clone());
                    found.extend(inner);
                }
            }
        }
    }
    found
}
