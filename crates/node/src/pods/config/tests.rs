#![allow(clippy::needless_pass_by_value, reason = "a row of a table is read once")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::*;
use crate::container::{ContainerConfig, SandboxConfig, Seccomp};
use crate::image::{Defaults, Image};

fn node() -> NodeFacts {
    NodeFacts {
        name: "n".into(),
        cluster_dns: vec!["10.96.0.10".parse().expect("an address")],
        cluster_domain: "cluster.local".into(),
        logs: PathBuf::from("/logs"),
        pods: PathBuf::from("/pods"),
        memory_bytes: 1 << 30,
        ..NodeFacts::default()
    }
}

fn pod(spec: Value) -> Pod {
    let object = json!({"metadata": {"name": "web-0", "namespace": "ns", "uid": "u"}, "spec": spec});
    serde_json::from_value(object).expect("a pod")
}

fn sandbox_of(spec: Value) -> SandboxConfig {
    sandbox(&pod(spec), &node()).expect("a sandbox")
}

fn image(user: &str) -> Image {
    Image {
        id: "sha256:1".into(),
        tags: Vec::new(),
        digests: Vec::new(),
        size_bytes: 1,
        defaults: Defaults { user: user.into(), ..Defaults::default() },
        last_used: SystemTime::UNIX_EPOCH,
    }
}

fn container_of(spec: Value, user: &str) -> Result<ContainerConfig, Error> {
    let pod = pod(spec);
    let first = &pod.spec.as_ref().expect("a spec").containers[0];
    let id = ContainerId { pod: PodUid::new("u").expect("a uid"), name: first.name.clone(), attempt: 2 };
    let places: Vec<PathBuf> =
        first.volume_mounts.iter().flatten().map(|m| PathBuf::from("/vol").join(&m.name)).collect();
    let environment = [("A".to_owned(), "1".to_owned())];
    let inputs = Inputs {
        pod: &pod,
        id: &id,
        image: &image(user),
        environment: &environment,
        mounts: &places,
        devices: &[],
        node: &node(),
    };
    container(first, &inputs)
}

fn with_container(fields: Value) -> Value {
    let mut container = json!({"name": "c", "image": "busybox"});
    for (key, value) in fields.as_object().expect("fields") {
        container[key] = value.clone();
    }
    json!({"containers": [container]})
}

#[test]
fn a_sandbox_is_named_and_placed_as_the_pod_says() {
    let made = sandbox_of(json!({"hostname": "h", "containers": [{"name": "c", "ports": [
        {"containerPort": 80, "hostPort": 8080}, {"containerPort": 90}]}]}));
    assert_eq!(made.hostname.as_deref(), Some("h"));
    assert_eq!(made.cgroup_parent, "/kubepods/besteffort/podu");
    assert_eq!(made.log_directory, PathBuf::from("/logs/ns_web-0_u"));
    assert_eq!(made.ports.len(), 1);
    assert_eq!((made.ports[0].host_port, made.ports[0].protocol.as_str()), (8080, "TCP"));
    let dns = made.dns.expect("the cluster's");
    assert_eq!(dns.servers, ["10.96.0.10"]);
    assert_eq!(dns.searches[..3], ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local"]);
    assert_eq!(dns.options, ["ndots:5"]);

    let on_host = sandbox_of(json!({"hostNetwork": true, "containers": []}));
    assert_eq!((on_host.hostname, on_host.dns), (None, None));
    let full = sandbox_of(json!({"subdomain": "s", "setHostnameAsFQDN": true, "containers": []}));
    assert_eq!(full.hostname.as_deref(), Some("web-0.s.ns.svc.cluster.local"));
}

#[test]
fn the_pods_own_dns_comes_beside_the_clusters_or_alone() {
    let own = json!({"nameservers": ["192.0.2.9"], "searches": ["x.example"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    let beside = sandbox_of(json!({"dnsConfig": own, "containers": []})).dns.expect("both");
    assert_eq!(beside.servers, ["10.96.0.10", "192.0.2.9"]);
    assert_eq!(beside.options, ["ndots:2", "edns0"]);
    let alone =
        sandbox_of(json!({"dnsPolicy": "None", "dnsConfig": own, "containers": []})).dns.expect("its own");
    assert_eq!((alone.servers, alone.searches), (vec!["192.0.2.9".to_owned()], vec!["x.example".to_owned()]));
}

#[test]
fn limits_are_told_in_the_kernels_units() {
    let resources =
        |r: Value| container_of(with_container(json!({"resources": r})), "").expect("a container").resources;
    let tutorial = resources(
        json!({"requests": {"cpu": "15m", "memory": "500Ki"}, "limits": {"cpu": "100m", "memory": "8Mi"}}),
    );
    assert_eq!(
        (tutorial.cpu_shares, tutorial.cpu_quota_us, tutorial.cpu_period_us),
        (Some(15), Some(10_000), Some(100_000))
    );
    assert_eq!(tutorial.memory_limit_bytes, Some(8 << 20));
    let nothing = resources(json!({}));
    assert_eq!((nothing.cpu_shares, nothing.cpu_quota_us, nothing.memory_limit_bytes), (Some(2), None, None));
    let small = resources(json!({"limits": {"cpu": "1m"}}));
    assert_eq!((small.cpu_shares, small.cpu_quota_us), (Some(2), Some(1_000)));
    let pages = resources(json!({"limits": {"hugepages-2Mi": "4Mi"}}));
    assert_eq!(pages.hugepage_limits, BTreeMap::from([("2MB".to_owned(), 4 << 20)]));
    assert_eq!(
        container_of(with_container(json!({"resources": {"limits": {"cpu": "x"}}})), ""),
        Err(Error::Quantity("x".into()))
    );
}

#[test]
fn a_pods_limits_are_the_sums_of_its_containers_unless_one_has_none() {
    let limited = |name: &str, cpu: &str, memory: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu, "memory": memory}}});
    let made = sandbox_of(json!({"containers": [limited("a", "500m", "1Mi"), limited("b", "250m", "2Mi")]}))
        .resources;
    assert_eq!(
        (made.cpu_shares, made.cpu_quota_us, made.memory_limit_bytes),
        (Some(768), Some(75_000), Some(3 << 20))
    );
    let init =
        json!({"initContainers": [limited("i", "2", "9Mi")], "containers": [limited("a", "500m", "1Mi")]});
    assert_eq!(sandbox_of(init).resources.memory_limit_bytes, Some(9 << 20));
    let one_free = json!({"containers": [limited("a", "500m", "1Mi"), {"name": "b"}]});
    assert_eq!(sandbox_of(one_free).resources.memory_limit_bytes, None);
}

#[test]
fn classes_decide_over_cgroups_and_over_who_is_killed_first() {
    let guaranteed =
        json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1Mi"}}}]});
    let burstable = json!({"containers": [{"name": "c", "resources": {"requests": {"memory": "256Mi"}}}]});
    let best_effort = json!({"containers": [{"name": "c"}]});
    for (spec, cgroup, adjustment) in [
        (guaranteed, "/kubepods/podu", -997),
        (burstable, "/kubepods/burstable/podu", 750),
        (best_effort, "/kubepods/besteffort/podu", 1000),
    ] {
        assert_eq!(sandbox_of(spec.clone()).cgroup_parent, cgroup);
        assert_eq!(
            container_of(spec, "").expect("a container").security.oom_score_adj,
            adjustment,
            "{cgroup}"
        );
    }
}

#[test]
fn the_containers_word_holds_before_the_pods() {
    let mut spec = with_container(json!({"securityContext": {
        "runAsUser": 7, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}));
    spec["securityContext"] =
        json!({"runAsUser": 5, "runAsGroup": 6, "fsGroup": 100, "supplementalGroups": [101]});
    let security = container_of(spec, "").expect("a container").security;
    assert_eq!((security.user, security.group), (Some(7), Some(6)));
    assert_eq!(security.supplemental_groups, [100, 101]);
    assert!(security.no_new_privileges && security.read_only_root && !security.privileged);
    assert_eq!(
        (security.add_capabilities, security.drop_capabilities),
        (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()])
    );
    assert_eq!(security.seccomp, Seccomp::RuntimeDefault);
}

#[test]
fn a_container_that_must_not_be_root_is_refused_where_it_would_be() {
    let spec = |user: Option<i64>| {
        with_container(json!({"securityContext": {"runAsNonRoot": true, "runAsUser": user}}))
    };
    let pod = "(pod: \"web-0_ns(u)\", container: c)";
    for (user, image, message) in [
        (None, "", format!("container has runAsNonRoot and image will run as root {pod}")),
        (None, "0:0", format!("container has runAsNonRoot and image will run as root {pod}")),
        (
            None,
            "app",
            format!(
                "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root {pod}"
            ),
        ),
        (Some(0), "5", format!("container's runAsUser breaks non-root policy {pod}")),
    ] {
        assert_eq!(container_of(spec(user), image).expect_err(image).to_string(), message);
    }
    assert!(container_of(spec(None), "1000:1000").is_ok());
    assert!(container_of(spec(Some(3)), "").is_ok());
}

#[test]
fn a_container_finds_its_volumes_its_hosts_and_a_place_for_its_last_words() {
    let made = container_of(
        with_container(json!({
            "command": ["echo", "$(A) $(B)"], "args": ["$$(A)"], "terminationMessagePath": "/dev/termination-log",
            "volumeMounts": [{"name": "v", "mountPath": "/data", "readOnly": true}, {"name": "w", "mountPath": "rel"}],
        })),
        "",
    )
    .expect("a container");
    assert_eq!(
        (made.command, made.args),
        (vec!["echo".to_owned(), "1 $(B)".to_owned()], vec!["$(A)".to_owned()])
    );
    let mounts: Vec<String> = made
        .mounts
        .iter()
        .map(|m| format!("{} {} {}", m.host_path.display(), m.container_path.display(), m.read_only))
        .collect();
    let expected = [
        "/vol/v /data true",
        "/vol/w /rel false",
        "/pods/u/etc-hosts /etc/hosts false",
        "/pods/u/containers/c/2/termination-log /dev/termination-log false",
    ];
    assert_eq!(mounts, expected);
    assert_eq!(made.log_path, PathBuf::from("c/2.log"));
}

#[test]
fn no_container_writes_to_a_volume_that_is_made_of_objects() {
    let rows = [
        (json!({"emptyDir": {}}), false),
        (json!({"configMap": {"name": "m"}}), true),
        (json!({"secret": {"secretName": "s"}}), true),
        (json!({"downwardAPI": {}}), true),
        (json!({"projected": {}}), true),
        (json!({"persistentVolumeClaim": {"claimName": "c"}}), false),
        (json!({"persistentVolumeClaim": {"claimName": "c", "readOnly": true}}), true),
    ];
    for (source, expected) in rows {
        let mut spec = with_container(json!({"volumeMounts": [{"name": "v", "mountPath": "/data"}]}));
        let mut volume = source.clone();
        volume["name"] = "v".into();
        spec["volumes"] = json!([volume]);
        let made = container_of(spec, "").expect("a container");
        assert_eq!(
            (made.mounts[0].read_only, made.mounts[0].recursive_read_only),
            (expected, false),
            "{source}"
        );
    }
}

#[test]
fn hosts_name_the_pod_and_its_aliases() {
    let pod = pod(
        json!({"subdomain": "s", "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a", "b"]}], "containers": []}),
    );
    let ips = ["10.1.0.2".parse().expect("an address")];
    let file = hosts::file(&pod, pod.spec.as_ref().expect("a spec"), &ips, "", "cluster.local");
    assert!(file.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
    assert!(file.ends_with("10.1.0.2\tweb-0.s.ns.svc.cluster.local\tweb-0\n\n# Entries added by HostAliases.\n192.0.2.1\ta\tb\n"), "{file}");
}

#[test]
fn durations_are_written_as_go_writes_them() {
    for (millis, text) in [
        (0, "0ms"),
        (56, "56ms"),
        (1_000, "1s"),
        (1_234, "1.234s"),
        (61_500, "1m1.5s"),
        (3_600_000, "1h0m0s"),
    ] {
        assert_eq!(go_duration(Duration::from_millis(millis)), text);
    }
}
