//! What the tests of the native runtime share: an image of busybox, a network with nothing but its loopback, and a look at what is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::mount::{MountFlags, UnmountFlags};
use sampan_node::container::*;
use sampan_node::image::{self, Defaults};
use sampan_node::network::{self, PodNetwork};
use sampan_node::runtime::native::rootfs::RootFilesystems;
use sampan_node::runtime::native::{NativeRuntime, Options};
use sampan_node::runtime::{Container, Error, Runtime, State};

/// Images that are directories; what a container writes is beside its root.
pub(crate) struct Overlays {
    pub(crate) images: PathBuf,
}

#[async_trait]
impl RootFilesystems for Overlays {
    async fn mount(&self, image_id: &str, _: &ContainerId, target: &Path) -> Result<Defaults, image::Error> {
        let failed =
            |source| image::Error::Failed { context: "mount".to_owned(), source: Box::new(source) as _ };
        let beside = target.parent().expect("a target has a parent");
        let (upper, work) = (beside.join("upper"), beside.join("work"));
        for directory in [&upper, &work] {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.images.join(image_id).display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).expect("paths have no zeros");
        rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str()))
            .map_err(|errno| failed(errno.into()))?;
        Ok(Defaults {
            environment: vec!["PATH=/bin".to_owned()],
            user: "root".to_owned(),
            ..Defaults::default()
        })
    }

    async fn written(&self, _: &ContainerId) -> u64 {
        0
    }

    async fn unmount(&self, _: &ContainerId, target: &Path) {
        let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
    }
}

/// A network whose pods reach themselves.
pub(crate) struct Loopback;

#[async_trait]
impl PodNetwork for Loopback {
    async fn attach(
        &self,
        _: &network::Pod,
        namespace: &Path,
        _: &[PortMapping],
    ) -> Result<Vec<IpAddr>, network::Error> {
        let mut argument = std::ffi::OsString::from("--net=");
        argument.push(namespace);
        let status =
            Command::new("nsenter").arg(argument).args(["busybox", "ip", "link", "set", "lo", "up"]).status();
        assert!(status.is_ok_and(|status| status.success()), "the loopback can be brought up");
        Ok(vec!["127.0.0.1".parse().expect("an address")])
    }

    async fn detach(&self, _: &PodUid) -> Result<(), network::Error> {
        Ok(())
    }

    async fn retain(&self, _: &[PodUid]) -> Result<(), network::Error> {
        Ok(())
    }
}

/// A directory for everything, and names of cgroups that no other test has.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) cgroup: String,
}

impl Place {
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let place = Self { directory: directory.to_owned(), cgroup: format!("/sampan-test-{name}") };
        let image = place.images().join("busybox");
        if !image.exists() {
            make_image(&image);
        }
        place
    }

    fn images(&self) -> PathBuf {
        self.directory.join("images")
    }

    pub(crate) async fn open(&self, change: impl FnOnce(&mut Options)) -> Result<NativeRuntime, Error> {
        let mut options = Options {
            executable: helper(),
            directory: self.directory.clone(),
            log_file_bytes: 0,
            log_files: 5,
            limits: Resources::default(),
        };
        change(&mut options);
        NativeRuntime::open(options, Arc::new(Overlays { images: self.images() }), Arc::new(Loopback)).await
    }

    pub(crate) fn sandbox(&self, uid: &str) -> SandboxConfig {
        SandboxConfig {
            uid: PodUid::new(uid).expect("a good uid"),
            namespace: "default".to_owned(),
            name: uid.to_owned(),
            hostname: Some(uid.to_owned()),
            namespaces: Namespaces::default(),
            sysctls: BTreeMap::new(),
            ports: Vec::new(),
            dns: Some(DnsConfig { servers: vec!["10.0.0.10".to_owned()], ..DnsConfig::default() }),
            cgroup_parent: format!("{}/pod{uid}", self.cgroup),
            resources: Resources::default(),
            log_directory: self.directory.join("logs").join(uid),
            labels: BTreeMap::new(),
        }
    }

    pub(crate) fn log(&self, id: &ContainerId) -> String {
        fs::read_to_string(self.log_path(id)).unwrap_or_default()
    }

    pub(crate) fn log_path(&self, id: &ContainerId) -> PathBuf {
        self.directory.join("logs").join(id.pod.as_str()).join(&id.name).join(format!("{}.log", id.attempt))
    }

    /// What its containers said, without times, streams and tags.
    pub(crate) fn output(&self, id: &ContainerId) -> String {
        self.log(id)
            .lines()
            .map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned() + "\n")
            .collect()
    }

    /// Everything that must not be there any more.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let at = self.directory.to_str().expect("a path in UTF-8");
        let mut left = Vec::new();
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts can be read");
        left.extend(mounts.lines().filter(|line| line.contains(at)).map(|line| format!("mount {line}")));
        for entry in fs::read_dir("/proc").expect("processes can be read").flatten() {
            let path = entry.path();
            let command = fs::read(path.join("cmdline")).unwrap_or_default();
            let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            if command.contains(&format!("shim {at}")) || cgroup.contains(&format!("{}/", self.cgroup)) {
                left.push(format!("process {command}"));
            }
        }
        let hierarchies =
            fs::read_dir("/sys/fs/cgroup").expect("cgroups can be read").flatten().map(|entry| entry.path());
        for root in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]) {
            let cgroup = root.join(self.cgroup.trim_start_matches('/'));
            left.extend(
                fs::read_dir(&cgroup)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter(|entry| entry.path().is_dir())
                    .map(|entry| format!("cgroup {}", entry.path().display())),
            );
            // That above the pods' is the test's own.
            let _ = fs::remove_dir(cgroup);
        }
        left.extend(
            fs::read_dir(self.directory.join("pods"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| format!("file {}", entry.path().display())),
        );
        left.extend(
            fs::read_dir(self.directory.join("logs"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| format!("file {}", entry.path().display())),
        );
        left
    }
}

/// The program that is a shim when it is told to: the tests' helper, which itself has this module too.
fn helper() -> PathBuf {
    option_env!("CARGO_BIN_EXE_sampan-node-test-helper")
        .map_or_else(|| std::env::current_exe().expect("a program has a path"), PathBuf::from)
}

fn make_image(image: &Path) {
    for directory in ["bin", "etc", "tmp", "proc", "sys", "dev"] {
        fs::create_dir_all(image.join(directory)).expect("directories can be made");
    }
    fs::copy("/bin/busybox", image.join("bin/busybox")).expect("busybox-static is installed");
    let list =
        Command::new("/bin/busybox").arg("--list").stdout(Stdio::piped()).output().expect("busybox runs");
    for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", image.join("bin").join(name)).expect("links can be made");
    }
    fs::write(image.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/tmp:/bin/sh\n")
        .expect("files can be written");
    fs::write(image.join("etc/group"), "root:x:0:\nweb:x:34:\nlogs:x:40:web\n")
        .expect("files can be written");
}

pub(crate) fn id(pod: &SandboxConfig, name: &str, attempt: u32) -> ContainerId {
    ContainerId { pod: pod.uid.clone(), name: name.to_owned(), attempt }
}

pub(crate) fn container(id: &ContainerId, command: &[&str]) -> ContainerConfig {
    ContainerConfig {
        id: id.clone(),
        image_id: "busybox".to_owned(),
        image: "busybox:latest".to_owned(),
        command: command.iter().map(ToString::to_string).collect(),
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

pub(crate) fn shell(id: &ContainerId, script: &str) -> ContainerConfig {
    container(id, &["/bin/sh", "-c", script])
}

pub(crate) async fn run(runtime: &NativeRuntime, config: &ContainerConfig) -> Result<(), Error> {
    runtime.create_container(config).await?;
    runtime.start_container(&config.id).await
}

pub(crate) async fn look(runtime: &NativeRuntime, id: &ContainerId) -> Container {
    let sandbox = runtime.sandbox(&id.pod).await.expect("the runtime answers").expect("the sandbox is there");
    sandbox.containers.into_iter().find(|container| container.id == *id).expect("the container is there")
}

/// How it ended, when it has: exit code, signal, whether for want of memory.
pub(crate) async fn end(runtime: &NativeRuntime, id: &ContainerId) -> (i32, i32, bool) {
    let mut changes = runtime.changes();
    loop {
        if let State::Exited { code, signal, out_of_memory, .. } = look(runtime, id).await.state {
            return (code, signal, out_of_memory);
        }
        let _ = changes.recv().await;
    }
}

/// Until the container has written this to its log: nothing else tells of it.
pub(crate) async fn written(place: &Place, id: &ContainerId, text: &str) {
    while !place.output(id).contains(text) {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
