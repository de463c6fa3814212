//! A containerd for one test: its root, state, socket, network and cgroup are the test's own, and all of it goes with it, also after a panic.
//!
//! The network plugins are two small scripts that touch nothing outside of the pod's namespace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use sampan_node::container::*;
use sampan_node::cri::Client;
use sampan_node::image::Images as _;
use sampan_node::image::cri::CriImages;
use sampan_node::runtime::cri::{CriRuntime, Options};
use sampan_node::runtime::{Container, Error, Runtime, State};
use sampan_testkit::image::{BuiltImage, ImageBuilder};
use serde_json::json;
use tempfile::TempDir;

/// The image of the tests' containers.
pub(crate) const IMAGE: &str = "docker.io/tests/busybox:1";
const PAUSE: &str = "docker.io/tests/pause:1";
/// The address that the network plugin gives every pod.
pub(crate) const ADDRESS: &str = "198.18.77.2";

const PLUGIN: &str = r#"#!/bin/busybox sh
cat >/dev/null
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}' ;;
ADD)
  inside() { busybox nsenter "--net=$CNI_NETNS" busybox ip "$@"; }
  inside link set lo up >&2
  if [ "$CNI_IFNAME" != lo ]; then
    inside link add "$CNI_IFNAME" type veth peer name other >&2
    inside addr add ADDRESS/24 dev "$CNI_IFNAME" >&2
  fi
  address=ADDRESS; [ "$CNI_IFNAME" != lo ] || address=127.0.0.1
  echo "{\"cniVersion\":\"0.4.0\",\"interfaces\":[{\"name\":\"$CNI_IFNAME\",\"sandbox\":\"$CNI_NETNS\"}],\"ips\":[{\"version\":\"4\",\"interface\":0,\"address\":\"$address/24\"}],\"dns\":{}}"
  ;;
esac
exit 0
"#;

pub(crate) struct Containerd {
    directory: TempDir,
    cgroup: String,
    child: Option<Child>,
}

impl Containerd {
    /// Starts one with the image of the tests in it.
    pub(crate) fn start(name: &str) -> Self {
        let mut started = Self {
            directory: tempfile::tempdir().expect("a directory can be made"),
            cgroup: format!("/sampan-cri-{name}"),
            child: None,
        };
        started.configure();
        started.launch();
        let pause = ImageBuilder::busybox().config(json!({"Entrypoint": ["/bin/sleep", "1000000"]}));
        started.import(PAUSE, &pause.build());
        started.import(IMAGE, &ImageBuilder::busybox().build());
        started
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self) {
        for directory in ["cni/bin", "cni/net", "opt"] {
            fs::create_dir_all(self.path(directory)).expect("directories can be made");
        }
        for plugin in ["loopback", "test"] {
            let path = self.path("cni/bin").join(plugin);
            fs::write(&path, PLUGIN.replace("ADDRESS", ADDRESS)).expect("files can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("modes can be set");
        }
        let list = json!({"cniVersion": "0.4.0", "name": "test", "plugins": [{"type": "test"}]});
        fs::write(self.path("cni/net/10-test.conflist"), list.to_string()).expect("files can be written");
        let at = |name: &str| self.path(name).display().to_string();
        let (root, state, socket) = (at("root"), at("state"), at("containerd.sock"));
        let (bin, net, opt) = (at("cni/bin"), at("cni/net"), at("opt"));
        let config = format!(
            r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{bin}"
    conf_dir = "{net}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{state}/runc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
"#
        );
        fs::write(self.path("config.toml"), config).expect("files can be written");
    }

    fn launch(&mut self) {
        let log = fs::File::create(self.path("log")).expect("files can be written");
        let child = Command::new("containerd")
            .arg("--config")
            .arg(self.path("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("containerd is there (scripts/test installs it)");
        self.child = Some(child);
        for _ in 0..1000 {
            let ready = Command::new("ctr")
                .arg("--address")
                .arg(self.path("containerd.sock"))
                .args(["--connect-timeout", "1s", "version"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if ready.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("containerd does not start: {}", self.log());
    }

    /// Ends it, not what it runs, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.launch();
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn import(&self, name: &str, image: &BuiltImage) {
        let archive = image.oci_archive(&json!({"io.containerd.image.name": name}));
        let path = self.path("image.tar");
        fs::write(&path, archive).expect("files can be written");
        let imported = Command::new("ctr")
            .arg("--address")
            .arg(self.path("containerd.sock"))
            .args(["--namespace", "k8s.io", "images", "import", "--all-platforms"])
            .arg(&path)
            .output()
            .expect("ctr is there");
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("unix://{}", self.path("containerd.sock").display())).expect("a good endpoint")
    }

    pub(crate) fn images(&self) -> CriImages {
        CriImages::new(self.client())
    }

    pub(crate) async fn open(&self) -> CriRuntime {
        let options = Options { log_file_bytes: 0, log_files: 5, limits: Resources::default() };
        CriRuntime::open(self.client(), options).await.expect("the runtime answers")
    }

    pub(crate) fn sandbox(&self, uid: &str) -> SandboxConfig {
        SandboxConfig {
            uid: PodUid::new(uid).expect("a good uid"),
            namespace: "default".to_owned(),
            name: format!("{uid}-name"),
            hostname: Some(uid.to_owned()),
            namespaces: Namespaces::default(),
            sysctls: BTreeMap::new(),
            ports: Vec::new(),
            dns: Some(DnsConfig { servers: vec!["10.0.0.10".to_owned()], ..DnsConfig::default() }),
            cgroup_parent: format!("{}/pod{uid}", self.cgroup),
            resources: Resources::default(),
            log_directory: self.path("logs").join(uid),
            labels: BTreeMap::new(),
        }
    }

    pub(crate) async fn container(&self, id: &ContainerId, script: &str) -> ContainerConfig {
        let image = self.images().get(IMAGE).await.expect("images are told").expect("the image is there");
        ContainerConfig {
            id: id.clone(),
            image_id: image.id,
            image: IMAGE.to_owned(),
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            args: Vec::new(),
            environment: Vec::new(),
            working_directory: None,
            mounts: Vec::new(),
            devices: Vec::new(),
            security: Security::default(),
            resources: Resources::default(),
            terminal: false,
            stdin: false,
            stdin_once: false,
            stop_signal: None,
            log_path: PathBuf::from(format!("{}/{}.log", id.name, id.attempt)),
            labels: BTreeMap::new(),
        }
    }

    pub(crate) fn log_of(&self, id: &ContainerId) -> String {
        let path = self.path("logs").join(id.pod.as_str()).join(&id.name).join(format!("{}.log", id.attempt));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// A file of a pod's cgroup, or of a container's below it.
    pub(crate) fn cgroup_file(&self, pod: &PodUid, below: &str, first: &str, second: &str) -> String {
        let path = format!("{}/pod{pod}/{below}", self.cgroup);
        let path = path.trim_matches('/');
        let memory = Path::new("/sys/fs/cgroup/memory").join(path).join(first);
        let unified = Path::new("/sys/fs/cgroup").join(path).join(second);
        let text = fs::read_to_string(memory).or_else(|_| fs::read_to_string(unified));
        text.unwrap_or_default().trim().to_owned()
    }

    /// Everything that must not be there after the pods.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let mounts = self.mounts();
        let mut left: Vec<String> = mounts.iter().map(|path| format!("mount {}", path.display())).collect();
        left.extend(self.processes().iter().map(|pid| {
            let command = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
            format!("process {}", String::from_utf8_lossy(&command).replace('\0', " "))
        }));
        left.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        left.extend(entries(&self.path("logs")).iter().map(|path| format!("file {}", path.display())));
        left
    }

    fn mounts(&self) -> Vec<PathBuf> {
        let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let targets = text.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
        targets.filter(|target| target.starts_with(self.directory.path())).collect()
    }

    /// Cgroups of pods, the inner ones last.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let roots = entries(Path::new("/sys/fs/cgroup")).into_iter().chain([PathBuf::from("/sys/fs/cgroup")]);
        for root in roots {
            let own = root.join(self.cgroup.trim_start_matches('/'));
            let mut waiting = entries(&own);
            while let Some(path) = waiting.pop() {
                if path.is_dir() {
                    waiting.extend(entries(&path));
                    found.push(path);
                }
            }
        }
        found
    }

    /// Shims of this containerd, and whatever runs in the cgroups of its pods.
    fn processes(&self) -> Vec<Pid> {
        let socket = self.path("containerd.sock").display().to_string();
        let mut found = Vec::new();
        for path in entries(Path::new("/proc")) {
            let pid = path.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
            let Some(pid) = pid else { continue };
            let command = fs::read(path.join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            let is_shim = command.contains("containerd-shim") && command.contains(&socket);
            if is_shim || cgroup.contains(&format!("{}/", self.cgroup)) {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.end();
        let state = self.path("state/io.containerd.runtime.v2.task/k8s.io");
        let sockets: Vec<String> = entries(&state)
            .iter()
            .filter_map(|bundle| fs::read_to_string(bundle.join("address")).ok())
            .collect();
        // A second look finds what the first one's victims had started meanwhile.
        for _ in 0..2 {
            for pid in self.processes() {
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for socket in sockets {
            let _ = fs::remove_file(socket.trim_start_matches("unix://"));
        }
        for path in self.mounts().iter().rev() {
            let _ = unmount(path, UnmountFlags::DETACH);
        }
        for path in self.cgroups().iter().rev() {
            let _ = fs::remove_dir(path);
        }
        for root in entries(Path::new("/sys/fs/cgroup")).into_iter().chain([PathBuf::from("/sys/fs/cgroup")])
        {
            let _ = fs::remove_dir(root.join(self.cgroup.trim_start_matches('/')));
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("containerd said, the last first:\n{}", lines.join("\n"));
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

pub(crate) fn id(pod: &SandboxConfig, name: &str, attempt: u32) -> ContainerId {
    ContainerId { pod: pod.uid.clone(), name: name.to_owned(), attempt }
}

pub(crate) async fn run(runtime: &CriRuntime, config: &ContainerConfig) -> Result<(), Error> {
    runtime.create_container(config).await?;
    runtime.start_container(&config.id).await
}

pub(crate) async fn look(runtime: &CriRuntime, id: &ContainerId) -> Container {
    let sandbox = runtime.sandbox(&id.pod).await.expect("the runtime answers").expect("the sandbox is there");
    sandbox.containers.into_iter().find(|container| container.id == *id).expect("the container is there")
}

/// Its end, when it has come.
pub(crate) async fn end(runtime: &CriRuntime, id: &ContainerId) -> State {
    let mut changes = runtime.changes();
    loop {
        let state = look(runtime, id).await.state;
        if matches!(state, State::Exited { .. }) {
            return state;
        }
        let _ = changes.recv().await;
    }
}

pub(crate) async fn end_code(runtime: &CriRuntime, id: &ContainerId) -> i32 {
    match end(runtime, id).await {
        State::Exited { code, .. } => code,
        other => panic!("{other:?} is no end"),
    }
}
