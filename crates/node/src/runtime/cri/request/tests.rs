use std::path::PathBuf;

use super::*;
use crate::container::{ContainerId, Device, DnsConfig, IdRange, PortMapping};
use crate::runtime::fake::{container_config, sandbox_config};

fn uid() -> PodUid {
    PodUid::new("7d9c").unwrap()
}

fn plain_sandbox() -> SandboxConfig {
    sandbox_config(&uid(), "default", "web", Path::new("/logs/default_web_7d9c"))
}

fn full_sandbox() -> SandboxConfig {
    SandboxConfig {
        sysctls: BTreeMap::from([("net.core.somaxconn".to_owned(), "1024".to_owned())]),
        ports: vec![
            PortMapping {
                protocol: "TCP".into(),
                container_port: 80,
                host_port: 8080,
                host_ip: String::new(),
            },
            PortMapping {
                protocol: "UDP".into(),
                container_port: 53,
                host_port: 53,
                host_ip: "127.0.0.1".into(),
            },
        ],
        dns: Some(DnsConfig {
            servers: vec!["10.0.0.10".into()],
            searches: vec!["default.svc.cluster.local".into()],
            options: vec!["ndots:5".into()],
        }),
        resources: Resources {
            cpu_shares: Some(512),
            memory_limit_bytes: Some(64 << 20),
            ..Resources::default()
        },
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        ..plain_sandbox()
    }
}

fn id() -> ContainerId {
    ContainerId { pod: uid(), name: "main".into(), attempt: 2 }
}

fn full_container() -> ContainerConfig {
    ContainerConfig {
        image_id: "sha256:1234".into(),
        image: "busybox:1".into(),
        args: vec!["-c".into(), "exit".into()],
        environment: vec![("A".into(), "1".into()), ("B".into(), "2".into())],
        working_directory: Some("/work".into()),
        mounts: vec![Mount {
            host_path: "/pods/7d9c/volumes/data".into(),
            container_path: "/data".into(),
            read_only: true,
            recursive_read_only: true,
            propagation: Propagation::HostToContainer,
        }],
        devices: vec![Device {
            host_path: "/dev/loop0".into(),
            container_path: "/dev/block".into(),
            permissions: "mrw".into(),
        }],
        security: Security {
            user: Some(1000),
            group: Some(2000),
            supplemental_groups: vec![3000],
            strict_groups: true,
            read_only_root: true,
            no_new_privileges: true,
            add_capabilities: vec!["NET_ADMIN".into()],
            drop_capabilities: vec!["ALL".into()],
            seccomp: Seccomp::Localhost(PathBuf::from("/seccomp/strict.json")),
            apparmor: Some("tight".into()),
            oom_score_adj: 999,
            ..Security::default()
        },
        resources: Resources {
            cpu_shares: Some(102),
            cpu_quota_us: Some(20_000),
            cpu_period_us: Some(100_000),
            memory_limit_bytes: Some(32 << 20),
            hugepage_limits: BTreeMap::from([("2MB".to_owned(), 4 << 20)]),
            cpuset_cpus: "0-1".into(),
            ..Resources::default()
        },
        terminal: true,
        stdin: true,
        stdin_once: true,
        stop_signal: Some("SIGUSR1".into()),
        labels: BTreeMap::from([(POD_NAME.to_owned(), "web".to_owned())]),
        ..container_config(&id(), &["sh"])
    }
}

#[test]
fn sandboxes_are_asked_for_as_the_kubelet_does() {
    insta::assert_debug_snapshot!("plain_sandbox", sandbox(&plain_sandbox(), 0));
    insta::assert_debug_snapshot!("full_sandbox", sandbox(&full_sandbox(), 3));
}

#[test]
fn containers_are_asked_for_as_the_kubelet_does() {
    let kept = kept::Sandbox::of(&plain_sandbox());
    insta::assert_debug_snapshot!(
        "plain_container",
        container(&container_config(&id(), &["sh"]), &kept, None)
    );
    let full = container(&full_container(), &kept, None);
    insta::assert_debug_snapshot!("full_container", full);
    let values: Vec<&str> = full.envs.iter().map(|pair| pair.value.as_str()).collect();
    assert_eq!(values, ["1", "2"], "which are not shown");
}

#[test]
fn containers_are_in_the_namespaces_of_their_sandbox() {
    let (pod, own, host) = (cri::NamespaceMode::Pod, cri::NamespaceMode::Container, cri::NamespaceMode::Node);
    let none = Namespaces::default();
    for (name, namespaces_, network, pid, ipc) in [
        ("plain", none, pod, own, pod),
        ("host network", Namespaces { host_network: true, ..none }, host, own, pod),
        ("host processes", Namespaces { host_pid: true, ..none }, pod, host, pod),
        ("host IPC", Namespaces { host_ipc: true, ..none }, pod, own, host),
        ("shared processes", Namespaces { share_process: true, ..none }, pod, pod, pod),
    ] {
        let config = SandboxConfig { namespaces: namespaces_, ..plain_sandbox() };
        let made = sandbox(&config, 0);
        let kept: kept::Sandbox = kept::read(&made.annotations).unwrap();
        let expected = cri::NamespaceOption {
            network: network as i32,
            pid: pid as i32,
            ipc: ipc as i32,
            target_id: String::new(),
        };
        let of_sandbox = made.linux.unwrap().security_context.unwrap().namespace_options;
        let inside = container(&container_config(&id(), &["sh"]), &kept, None);
        let of_container = inside.linux.unwrap().security_context.unwrap().namespace_options;
        assert_eq!((of_sandbox, of_container), (Some(expected.clone()), Some(expected)), "{name}");
    }
}

#[test]
fn users_and_paths_are_as_the_security_says() {
    let numbered = cri::Image { uid: Some(cri::Int64Value { value: 33 }), ..Default::default() };
    let named = cri::Image { username: "web".into(), ..Default::default() };
    let nobody = cri::Image::default();
    let plain = Security::default();
    let group = Security { group: Some(7), ..plain.clone() };
    let open = Security { privileged: true, ..plain.clone() };
    let unmasked = Security { unmasked_proc: true, ..plain.clone() };
    for (name, security_, image, user, username, masked) in [
        ("the image's user is the runtime's to find", &plain, Some(&numbered), None, "", true),
        ("a group with a number", &group, Some(&numbered), Some(33), "", true),
        ("a group with a name", &group, Some(&named), None, "web", true),
        ("a group with root", &group, Some(&nobody), Some(0), "", true),
        ("privileged", &open, None, None, "", false),
        ("unmasked", &unmasked, None, None, "", false),
    ] {
        let made = security(security_, cri::NamespaceOption::default(), image);
        assert_eq!(made.run_as_user.map(|user| user.value), user, "{name}");
        assert_eq!(made.run_as_username, username, "{name}");
        assert_eq!(
            (made.masked_paths.is_empty(), made.readonly_paths.is_empty()),
            (!masked, !masked),
            "{name}"
        );
    }
}

#[test]
fn limits_that_are_gone_are_taken_back() {
    let made = changed_resources(&Resources { cpu_shares: Some(2), ..Resources::default() });
    assert_eq!((made.cpu_shares, made.cpu_quota, made.memory_limit_in_bytes), (2, -1, -1));
    let made = resources(&Resources::default(), 0);
    assert_eq!((made.cpu_shares, made.cpu_quota, made.memory_limit_in_bytes), (0, 0, 0));
}

#[test]
fn user_namespaces_are_refused() {
    let range = IdRange { first: 65_536, length: 65_536 };
    assert!(refusal(&Namespaces { user: Some(range), ..Namespaces::default() }).is_some());
    assert_eq!(refusal(&Namespaces::default()), None);
}
