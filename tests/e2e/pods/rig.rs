//! A cluster with a node, and what tests ask of it.

use std::time::{Duration, Instant};

use sampan_testkit::image::ImageBuilder;
use sampan_testkit::registry::Registry;
use sampan_tests::cluster::binary;
use sampan_tests::tools::{Kubectl, runs};
use sampan_tests::{Cluster, leftovers, network};
use serde_json::Value;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster with a node that has the image `busybox`.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    pub(crate) kubectl: Kubectl,
    /// Where `busybox` is pulled from, if a test wanted that.
    _registry: Option<Registry>,
}

/// A cluster whose node has `busybox` loaded; `None`, with a line that says why, where it cannot be.
pub(crate) fn cluster() -> Option<Rig> {
    cluster_with(&[])
}

/// The same with further arguments.
pub(crate) fn cluster_with(args: &[&str]) -> Option<Rig> {
    network::enter_own().expect("a network of its own");
    let rig = Rig::start(Cluster::start_whole(args), None)?;
    let archive = rig.cluster.data_dir().join("busybox.tar");
    std::fs::write(&archive, ImageBuilder::busybox().build().docker_archive(&["busybox:latest"]))
        .expect("an archive");
    let (data, archive) = (rig.cluster.data_dir(), archive.to_str().expect("a path"));
    assert!(runs(&binary(), &["image", "load", "--data-dir", data.to_str().expect("a path"), archive]));
    Some(rig)
}

/// A cluster whose node pulls from a registry that stands for Docker Hub, and has `busybox`.
pub(crate) fn cluster_with_registry() -> Option<Rig> {
    network::enter_own().expect("a network of its own");
    let registry = Registry::start()?;
    registry.push("library/busybox", "latest", &ImageBuilder::busybox().build());
    let hosts = tempfile::tempdir().expect("a directory");
    let mirror = hosts.path().join("docker.io");
    std::fs::create_dir(&mirror).expect("a directory");
    let text =
        format!("server = \"http://{}\"\n", registry.reference("").split('/').next().expect("an address"));
    std::fs::write(mirror.join("hosts.toml"), text).expect("a file");
    let cluster = Cluster::start_whole(&["--registry-config-dir", hosts.keep().to_str().expect("a path")]);
    Rig::start(cluster, Some(registry))
}

impl Rig {
    fn start(cluster: Cluster, registry: Option<Registry>) -> Option<Self> {
        let kubectl = Kubectl::all(&cluster).into_iter().next()?;
        let rig = Self { cluster, kubectl, _registry: registry };
        rig.eventually("the node is ready", || {
            rig.get("nodes", "{.items[*].status.conditions[?(@.type==\"Ready\")].status}") == "True"
        });
        Some(rig)
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn eventually(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", self.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What an operator would look at.
    fn told(&self) -> String {
        let shown = [&["get", "pods", "-A", "-o", "yaml"][..], &["get", "events", "-A"]];
        shown
            .map(|args| String::from_utf8_lossy(&self.kubectl.run_with(args, "").stdout).into_owned())
            .join("\n")
    }

    pub(crate) fn apply(&self, manifest: &str) {
        self.kubectl.apply(&["apply", "-f", "-"], manifest);
    }

    /// A field of an object, as a JSONPath template says.
    pub(crate) fn get(&self, of: &str, template: &str) -> String {
        let words: Vec<&str> = of.split(' ').collect();
        let template = format!("jsonpath={template}");
        let args = [&["get"], &words[..], &["-o", &template]].concat();
        String::from_utf8_lossy(&self.kubectl.run_with(&args, "").stdout).into_owned()
    }

    pub(crate) fn json(&self, of: &str) -> Value {
        let words: Vec<&str> = of.split(' ').collect();
        let text = self.kubectl.run(&[&["get"], &words[..], &["-o", "json"]].concat());
        serde_json::from_str(&text).expect("JSON")
    }

    #[track_caller]
    pub(crate) fn wait_ready(&self, pod: &str) {
        self.eventually(&format!("{pod} is ready"), || {
            self.get(&format!("pod {pod}"), "{.status.conditions[?(@.type==\"Ready\")].status}") == "True"
        });
    }

    #[track_caller]
    pub(crate) fn wait_phase(&self, pod: &str, phase: &str) {
        self.eventually(&format!("{pod} is {phase}"), || {
            self.get(&format!("pod {pod}"), "{.status.phase}") == phase
        });
    }

    /// The shims of the node's pods.
    pub(crate) fn shims(&self) -> Vec<u32> {
        leftovers::shims(&self.cluster.node_dir())
    }

    /// UIDs of all pods.
    pub(crate) fn uids(&self) -> Vec<String> {
        self.get("pods -A", "{.items[*].metadata.uid}").split_whitespace().map(str::to_owned).collect()
    }

    /// Deletes all pods of the default namespace, and sees that nothing of these is left.
    #[track_caller]
    pub(crate) fn end(&self, uids: &[String]) {
        self.kubectl.run(&["delete", "pods", "--all", "--wait=true"]);
        self.expect_nothing_of(uids);
    }

    #[track_caller]
    pub(crate) fn expect_nothing_of(&self, uids: &[String]) {
        let node = self.cluster.node_dir();
        let mut left = vec![];
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            left = leftovers::look(&node, uids);
            if left.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("left behind:\n{}", left.join("\n"));
    }
}

/// How many files a process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// How many children a process has, those included that ended and were not waited for.
pub(crate) fn children(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().count()
}
