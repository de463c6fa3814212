//! The downward API, by environment and by volume, as a tutorial shows it.

use super::rig::{cluster, cluster_with_registry};

const ENVIRONMENT: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: downward
spec:
  containers:
  - name: main
    image: busybox
    command: ["sleep", "9999"]
    resources:
      requests:
        cpu: 15m
        memory: 500Ki
      limits:
        cpu: 100m
        memory: 8Mi
    env:
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    - name: POD_IP
      valueFrom:
        fieldRef:
          fieldPath: status.podIP
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: SERVICE_ACCOUNT
      valueFrom:
        fieldRef:
          fieldPath: spec.serviceAccountName
    - name: CONTAINER_CPU_REQUEST_MILLICORES
      valueFrom:
        resourceFieldRef:
          resource: requests.cpu
          divisor: 1m
    - name: CONTAINER_MEMORY_LIMIT_KIBIBYTES
      valueFrom:
        resourceFieldRef:
          resource: limits.memory
          divisor: 1Ki
"#;

const VOLUME: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: downward
  labels:
    foo: bar
  annotations:
    key1: value1
    key2: |
      multi
      line
      value
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: ["sleep", "9999"]
    resources:
      requests:
        cpu: 15m
        memory: 500Ki
      limits:
        cpu: 100m
        memory: 8Mi
    volumeMounts:
    - name: downward
      mountPath: /etc/downward
  volumes:
  - name: downward
    downwardAPI:
      items:
      - path: "podName"
        fieldRef:
          fieldPath: metadata.name
      - path: "podNamespace"
        fieldRef:
          fieldPath: metadata.namespace
      - path: "labels"
        fieldRef:
          fieldPath: metadata.labels
      - path: "annotations"
        fieldRef:
          fieldPath: metadata.annotations
      - path: "containerCpuRequestMilliCores"
        resourceFieldRef:
          containerName: main
          resource: requests.cpu
          divisor: 1m
      - path: "containerMemoryLimitBytes"
        resourceFieldRef:
          containerName: main
          resource: limits.memory
          divisor: 1
"#;

#[test]
fn the_environment_tells_a_pod_of_itself_as_root() {
    let Some(rig) = cluster_with_registry() else { return };
    rig.apply(ENVIRONMENT);
    rig.wait_ready("downward");
    let environment = rig.kubectl.run(&["exec", "downward", "--", "env"]);
    let pod_ip = rig.get("pod downward", "{.status.podIP}");
    let node = rig.get("pod downward", "{.spec.nodeName}");
    for line in [
        "SERVICE_ACCOUNT=default",
        "CONTAINER_CPU_REQUEST_MILLICORES=15",
        "CONTAINER_MEMORY_LIMIT_KIBIBYTES=8192",
        "POD_NAME=downward",
        "POD_NAMESPACE=default",
        "KUBERNETES_SERVICE_HOST=10.96.0.1",
        "KUBERNETES_SERVICE_PORT=443",
        &format!("POD_IP={pod_ip}"),
        &format!("NODE_NAME={node}"),
    ] {
        assert!(environment.lines().any(|l| l == line), "{line}\n{environment}");
    }
    assert!(!pod_ip.is_empty() && !node.is_empty());
}

#[test]
fn the_volume_tells_a_pod_of_itself_and_follows_its_labels_as_root() {
    let Some(rig) = cluster() else { return };
    rig.apply(VOLUME);
    rig.wait_ready("downward");
    let listed = rig.kubectl.run(&["exec", "downward", "--", "ls", "-lL", "/etc/downward"]);
    // kubectl's own annotation of an apply is as long as the manifest; the others are as the tutorial shows them.
    let rows = [
        ("containerCpuRequestMilliCores", "2"),
        ("containerMemoryLimitBytes", "7"),
        ("labels", "9"),
        ("podName", "8"),
        ("podNamespace", "7"),
    ];
    for (name, size) in rows {
        let line = listed.lines().find(|line| line.ends_with(&format!(" {name}"))).expect(name);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[0], words[2], words[3], words[4]), ("-rw-r--r--", "root", "root", size), "{line}");
    }
    let cat =
        |name: &str| rig.kubectl.run(&["exec", "downward", "--", "cat", &format!("/etc/downward/{name}")]);
    assert_eq!(cat("labels"), "foo=\"bar\"");
    assert!(cat("annotations").contains("key1=\"value1\"\nkey2=\"multi\\nline\\nvalue\\n\"\n"));
    rig.kubectl.run(&["label", "pod", "downward", "foo=baz", "--overwrite"]);
    rig.kubectl.run(&["annotate", "pod", "downward", "key1=other", "--overwrite"]);
    rig.eventually("the files follow", || {
        cat("labels") == "foo=\"baz\"" && cat("annotations").contains("key1=\"other\"")
    });
    let uids = rig.uids();
    rig.end(&uids);
}

#[test]
fn a_token_an_authority_and_a_namespace_are_in_every_pod_as_root() {
    let Some(rig) = cluster() else { return };
    rig.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, '9999']}]}}",
    );
    rig.wait_ready("p");
    let cat = |name: &str| {
        let path = format!("/var/run/secrets/kubernetes.io/serviceaccount/{name}");
        rig.kubectl.run(&["exec", "p", "--", "cat", &path])
    };
    assert_eq!(cat("namespace"), "default");
    let authority =
        std::fs::read_to_string(rig.cluster.data_dir().join("pki/ca.crt")).expect("a certificate");
    assert_eq!(cat("ca.crt").trim(), authority.trim());
    let review = serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": cat("token")}});
    let ask = || rig.kubectl.apply(&["create", "-o", "json", "-f", "-"], &review.to_string());
    let answer: serde_json::Value = serde_json::from_str(&ask()).expect("JSON");
    assert_eq!(answer["status"]["user"]["username"], "system:serviceaccount:default:default");
    assert_eq!(answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"][0], "p");
    let uids = rig.uids();
    rig.end(&uids);
    let answer: serde_json::Value = serde_json::from_str(&ask()).expect("JSON");
    assert!(!answer["status"]["authenticated"].as_bool().unwrap_or_default(), "{answer}");
}
