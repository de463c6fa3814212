//! Where pods are: names, addresses, the host's namespaces, static pods, and what is mounted.

use super::rig::{cluster, cluster_with};

#[test]
fn pods_have_names_addresses_and_hosts_of_their_own_as_root() {
    let Some(rig) = cluster() else { return };
    rig.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  hostname: alpha
  subdomain: sub
  terminationGracePeriodSeconds: 0
  hostAliases: [{ip: 10.1.2.3, hostnames: [one.example, two.example]}]
  dnsPolicy: ClusterFirst
  dnsConfig: {options: [{name: ndots, value: "3"}], searches: [more.example]}
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "80"}]}
  containers:
  - name: serve
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "exec nc -ll -p 8080 -e echo here"]
    ports: [{containerPort: 8080, hostPort: 18080}]
  - name: look
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "9999"]
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, "9999"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  hostNetwork: true
  hostPID: true
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, "9999"]}]
"#,
    );
    for pod in ["a", "b", "host"] {
        rig.wait_ready(pod);
    }
    let exec = |pod: &str, container: &str, script: &str| {
        rig.kubectl.run(&["exec", pod, "-c", container, "--", "sh", "-c", script])
    };
    let ip = rig.get("pod a", "{.status.podIP}");
    assert!(ip.starts_with("10.244.0."), "{ip}");
    assert_eq!(exec("a", "look", "hostname"), "alpha\n");
    let hosts = exec("a", "look", "cat /etc/hosts");
    assert!(hosts.contains(&format!("{ip}\talpha.sub.default.svc.cluster.local\talpha\n")), "{hosts}");
    assert!(hosts.contains("10.1.2.3\tone.example\ttwo.example\n"), "{hosts}");
    let resolv = exec("a", "look", "cat /etc/resolv.conf");
    assert_eq!(
        resolv,
        "search default.svc.cluster.local svc.cluster.local cluster.local more.example\nnameserver 10.96.0.10\noptions ndots:3\n"
    );
    assert_eq!(exec("a", "look", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "80\n");
    // Containers of a pod share its network; other pods and the machine reach it by its address, the machine by the host port too.
    assert_eq!(exec("a", "look", "nc 127.0.0.1 8080"), "here\n");
    assert_eq!(exec("b", "c", &format!("nc {ip} 8080")), "here\n");
    assert_eq!(exec("host", "c", &format!("nc {ip} 8080")), "here\n");
    assert_eq!(exec("host", "c", "nc 127.0.0.1 18080"), "here\n");
    assert_eq!(exec("host", "c", "nc 192.168.77.2 18080"), "here\n");
    assert_eq!(rig.get("pod host", "{.status.podIP}"), "192.168.77.2");
    // The API server listens on the machine's loopback only, and is reached by its service.
    let reached =
        "echo | nc -w 2 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT > /dev/null && echo reached";
    assert_eq!(exec("b", "c", reached), "reached\n");
    assert!(exec("host", "c", "ls /proc").lines().count() > 20, "the machine's processes are seen");
    let uids = rig.uids();
    rig.end(&uids);
    let links = sampan_tests::network::links();
    assert!(!links.iter().any(|link| link.starts_with("veth") && link != "veth0"), "{links:?}");
}

#[test]
fn static_pods_come_and_go_with_their_manifests_as_root() {
    let manifests = tempfile::tempdir().expect("a directory");
    let path = manifests.path().to_str().expect("a path");
    let Some(rig) = cluster_with(&["--pod-manifest-path", path]) else { return };
    let file = manifests.path().join("web.yaml");
    let manifest = |word: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  terminationGracePeriodSeconds: 0\n  automountServiceAccountToken: false\n  containers:\n  - {{name: c, image: busybox, imagePullPolicy: Never, command: [sh, -c, 'echo {word}; sleep 9999']}}\n"
        )
    };
    let node = rig.get("nodes", "{.items[0].metadata.name}");
    let mirror = format!("web-{node}");
    std::fs::write(&file, manifest("first")).expect("a file");
    rig.wait_ready(&mirror);
    assert_eq!(rig.kubectl.run(&["logs", &mirror]), "first\n");
    std::fs::write(&file, manifest("second")).expect("a file");
    rig.eventually("the new one runs", || {
        String::from_utf8_lossy(&rig.kubectl.run_with(&["logs", &mirror], "").stdout) == "second\n"
    });
    std::fs::remove_file(&file).expect("a file");
    rig.eventually("it is gone", || rig.get("pods", "{.items}") == "[]");
    rig.eventually("nothing runs", || rig.shims().is_empty());
}

#[test]
fn volumes_are_shared_owned_and_bounded_as_root() {
    let Some(rig) = cluster() else { return };
    rig.kubectl.run(&["create", "configmap", "map", "--from-literal=key=one"]);
    rig.kubectl.run(&["create", "secret", "generic", "secret", "--from-literal=word=hidden"]);
    rig.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000}
  volumes:
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: map, configMap: {name: map}}
  - {name: secret, secret: {secretName: secret, defaultMode: 0400}}
  containers:
  - name: c
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "9999"]
    volumeMounts:
    - {name: disk, mountPath: /disk}
    - {name: disk, mountPath: /part, subPath: part/below}
    - {name: memory, mountPath: /memory}
    - {name: map, mountPath: /map}
    - {name: secret, mountPath: /secret, readOnly: true}
"#,
    );
    rig.wait_ready("p");
    let exec = |script: &str| rig.kubectl.run(&["exec", "p", "--", "sh", "-c", script]);
    assert_eq!(exec("echo x > /part/file; cat /disk/part/below/file; stat -c %g /disk"), "x\n2000\n");
    assert!(exec("head -c 2m /dev/zero > /memory/big; ls -l /memory/big").contains(" 1048576 "));
    assert_eq!(exec("cat /secret/word; stat -Lc %a /secret/word"), "hidden440\n");
    assert_eq!(exec("echo x > /map/new || echo refused"), "refused\n");
    rig.kubectl.run(&["patch", "configmap", "map", "-p", "{\"data\":{\"key\":\"two\"}}"]);
    rig.eventually("the map is followed", || exec("cat /map/key") == "two");
    // A link out of a volume leads nowhere when it is mounted as a part of it.
    exec("ln -s /etc /disk/out");
    rig.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: hostile}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  volumes: [{name: v, hostPath: {path: /tmp}}]
  initContainers:
  - {name: link, image: busybox, imagePullPolicy: Never, command: [sh, -c, "ln -sfn / /v/sampan-test-link"], volumeMounts: [{name: v, mountPath: /v}]}
  containers:
  - {name: c, image: busybox, imagePullPolicy: Never, command: [ls, /v/etc], volumeMounts: [{name: v, mountPath: /v, subPath: sampan-test-link}]}
"#,
    );
    rig.eventually("it is refused", || {
        rig.get("pod hostile", "{.status.containerStatuses[0].state.waiting.reason}")
            == "CreateContainerConfigError"
    });
    std::fs::remove_file("/tmp/sampan-test-link").expect("the link is there");
    let uids = rig.uids();
    rig.end(&uids);
}
