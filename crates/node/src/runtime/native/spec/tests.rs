use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::container::{ContainerId, Mount, PodUid, Propagation, Resources, Security};

fn config() -> ContainerConfig {
    ContainerConfig {
        id: ContainerId { pod: PodUid::new("u").unwrap(), name: "c".to_owned(), attempt: 0 },
        image_id: "sha256:1".to_owned(),
        image: "busybox".to_owned(),
        command: Vec::new(),
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
        log_path: PathBuf::from("c/0.log"),
        labels: BTreeMap::new(),
    }
}

fn defaults() -> Defaults {
    Defaults {
        entrypoint: vec!["/entry".to_owned()],
        command: vec!["default".to_owned()],
        environment: vec!["PATH=/bin".to_owned(), "A=image".to_owned()],
        ..Defaults::default()
    }
}

fn machine() -> Machine {
    Machine {
        capabilities: capabilities::ALL.into_iter().collect(),
        device_filter: true,
        seccomp: true,
        apparmor: false,
        cgroup_namespace: false,
        open_files: 1 << 19,
        hostname: "host".to_owned(),
    }
}

fn built(config: &ContainerConfig, machine: &Machine, processes: Processes) -> Result<Value, String> {
    let files = PodFiles {
        hostname: "/p/hostname".into(),
        hosts: "/p/hosts".into(),
        resolv_conf: "/p/resolv.conf".into(),
        shm: "/p/shm".into(),
    };
    let views = [("memory".to_owned(), PathBuf::from("/sys/fs/cgroup/memory/kubepods/podu/c_0"))];
    let identity = Identity { uid: 5, gid: 6, groups: vec![6, 7], home: "/home/five".to_owned() };
    build(&Input {
        config,
        defaults: &defaults(),
        identity: &identity,
        files: &files,
        hostname: "pod-name",
        processes,
        cgroup: "/kubepods/podu/c_0",
        cgroup_views: if machine.cgroup_namespace { &[] } else { &views },
        devices: &[],
        seccomp_profile: None,
        machine,
    })
}

#[test]
fn an_ordinary_container() {
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&built(&config(), &machine(), Processes::Own).unwrap()).unwrap()
    );
}

#[test]
fn the_command_of_the_pod_replaces_that_of_the_image() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (name, command, args, expected) in [
        ("neither", &[][..], &[][..], &["/entry", "default"][..]),
        ("arguments", &[], &["a"], &["/entry", "a"]),
        ("a command", &["c"], &[], &["c"]),
        ("both", &["c"], &["a"], &["c", "a"]),
    ] {
        let config = ContainerConfig { command: words(command), args: words(args), ..config() };
        assert_eq!(super::command(&config, &defaults()), Ok(words(expected)), "{name}");
    }
    assert_eq!(super::command(&config(), &Defaults::default()), Err("no command specified".to_owned()));
}

#[test]
fn variables_of_the_pod_win() {
    let config = ContainerConfig {
        terminal: true,
        environment: [("A", "pod"), ("HOSTNAME", "mine"), ("A", "pod again"), ("HOME", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..config()
    };
    let spec = built(&config, &machine(), Processes::Own).unwrap();
    assert_eq!(
        spec["process"]["env"],
        json!(["PATH=/bin", "A=pod again", "HOSTNAME=mine", "TERM=xterm", "HOME=/home/five"])
    );
}

#[test]
fn working_directories_are_absolute() {
    for (name, pod, image, expected) in [
        ("neither", None, "", "/"),
        ("the image's", None, "/app", "/app"),
        ("a relative one", None, "app", "/app"),
        ("the pod's", Some("/data"), "/app", "/data"),
    ] {
        let config = ContainerConfig { working_directory: pod.map(str::to_owned), ..config() };
        let defaults = Defaults { working_directory: image.to_owned(), ..Defaults::default() };
        assert_eq!(working_directory(&config, &defaults), expected, "{name}");
    }
}

#[test]
fn mounts_above_come_before_mounts_below() {
    let mount = |host: &str, container: &str| Mount {
        host_path: host.into(),
        container_path: container.into(),
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Private,
    };
    let mounts = vec![
        mount("/1", "/a/b/c"),
        Mount { read_only: true, recursive_read_only: true, ..mount("/2", "/a/") },
        Mount { propagation: Propagation::HostToContainer, ..mount("/3", "/etc/hosts") },
        Mount { propagation: Propagation::Bidirectional, ..mount("/4", "/z") },
    ];
    let spec = built(&ContainerConfig { mounts, ..config() }, &machine(), Processes::Own).unwrap();
    let all = spec["mounts"].as_array().unwrap();
    let lines: Vec<String> = all
        .iter()
        .filter(|mount| mount["type"] == "bind" && !mount["source"].as_str().unwrap().starts_with("/sys"))
        .map(|mount| {
            let options: Vec<&str> =
                mount["options"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            format!(
                "{} {} {}",
                mount["destination"].as_str().unwrap(),
                mount["source"].as_str().unwrap(),
                options.join(",")
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "/etc/hostname /p/hostname rbind,rprivate,rw",
            "/etc/resolv.conf /p/resolv.conf rbind,rprivate,rw",
            "/dev/shm /p/shm rbind,rprivate,rw",
            "/a /2 rbind,rprivate,ro,rro",
            "/z /4 rbind,rshared,rw",
            "/etc/hosts /3 rbind,rslave,rw",
            "/a/b/c /1 rbind,rprivate,rw",
        ]
    );
    assert_eq!(spec["linux"]["rootfsPropagation"], "shared");

    for path in ["/", "", "/a/../b"] {
        assert!(
            built(
                &ContainerConfig { mounts: vec![mount("/1", path)], ..config() },
                &machine(),
                Processes::Own
            )
            .is_err(),
            "{path:?}"
        );
    }
}

#[test]
fn security_decides_what_a_container_sees() {
    let spec = |security: Security, processes| {
        built(&ContainerConfig { security, ..config() }, &machine(), processes).unwrap()
    };
    let privileged = spec(
        Security { privileged: true, seccomp: Seccomp::RuntimeDefault, ..Security::default() },
        Processes::Host,
    );
    assert_eq!(privileged["linux"]["maskedPaths"], json!([]));
    assert_eq!(privileged["linux"]["namespaces"], json!([{"type": "mount"}]));
    assert_eq!(privileged["linux"].get("seccomp"), None, "nothing is filtered");
    assert_eq!(privileged["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 41);
    let sys =
        privileged["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == "/sys").unwrap();
    assert!(sys["options"].as_array().unwrap().contains(&json!("rw")));

    let filtered =
        spec(Security { seccomp: Seccomp::RuntimeDefault, ..Security::default() }, Processes::Of(7));
    assert!(filtered["linux"]["seccomp"].is_object());
    assert_eq!(filtered["linux"]["namespaces"][1]["path"], "/proc/7/ns/pid");
    let has = |set: &str| {
        filtered["process"]["capabilities"][set].as_array().unwrap().contains(&json!("CAP_SYS_ADMIN"))
    };
    assert!(has("permitted") && !has("bounding"), "to install the filter, and not longer");

    let strict = spec(
        Security {
            seccomp: Seccomp::RuntimeDefault,
            no_new_privileges: true,
            read_only_root: true,
            ..Security::default()
        },
        Processes::Own,
    );
    assert_eq!(strict["process"]["noNewPrivileges"], true);
    assert_eq!(strict["root"]["readonly"], true);
    assert!(
        !strict["process"]["capabilities"]["permitted"].as_array().unwrap().contains(&json!("CAP_SYS_ADMIN"))
    );

    let open = spec(Security { unmasked_proc: true, ..Security::default() }, Processes::Own);
    assert_eq!(open["linux"]["readonlyPaths"], json!([]));
}
