//! A node joins a cluster with a bootstrap token, and stays with a certificate of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use sampan_testkit::image::ImageBuilder;
use sampan_tests::cluster::binary;
use sampan_tests::node::Node;
use sampan_tests::tools::{Kubectl, runs};
use sampan_tests::{Cluster, leftovers, network};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
const TOKEN: &str = "apiVersion: v1
kind: Secret
metadata: {name: bootstrap-token-abcdef, namespace: kube-system}
type: bootstrap.kubernetes.io/token
stringData: {token-id: abcdef, token-secret: 0123456789abcdef, usage-bootstrap-authentication: 'true'}
";

#[track_caller]
fn eventually<T>(kubectl: &Kubectl, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if begun.elapsed() > PATIENCE {
            let told = kubectl.run_with(&["get", "csr,nodes,pods,events", "-A", "-o", "wide"], "").stdout;
            panic!("{what}: not within {PATIENCE:?}\n{}", String::from_utf8_lossy(&told));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn get(kubectl: &Kubectl, of: &[&str], template: &str) -> String {
    let template = format!("jsonpath={template}");
    let args = [&["get"], of, &["-o", &template]].concat();
    String::from_utf8_lossy(&kubectl.run_with(&args, "").stdout).into_owned()
}

/// A pod that says its name and stays.
fn pod(name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: c, image: busybox, imagePullPolicy: Never, command: [sh, -c, 'echo {name}; exec sleep 100000']}}]}}}}"
    )
}

/// Runs a pod, and reads what it says.
#[track_caller]
fn run(kubectl: &Kubectl, name: &str) {
    kubectl.apply(&["apply", "-f", "-"], &pod(name));
    eventually(kubectl, &format!("{name} runs"), || {
        let ready = get(kubectl, &["pod", name], "{.status.conditions[?(@.type==\"Ready\")].status}");
        (ready == "True").then_some(())
    });
    eventually(kubectl, &format!("{name} is read"), || {
        (kubectl.run_with(&["logs", name], "").stdout == format!("{name}\n").as_bytes()).then_some(())
    });
}

/// Names of the requests to a signer.
fn requests(kubectl: &Kubectl, signer: &str) -> Vec<String> {
    let template = format!("{{.items[?(@.spec.signerName==\"kubernetes.io/{signer}\")].metadata.name}}");
    get(kubectl, &["csr"], &template).split_whitespace().map(str::to_owned).collect()
}

/// A node that has `busybox` and does not run yet, and a kubeconfig with a bootstrap token.
fn newcomer(cluster: &Cluster, kubectl: &Kubectl) -> (Node, String) {
    kubectl.apply(&["apply", "-f", "-"], TOKEN);
    let node = Node::new().expect("a directory");
    let bootstrap = node.data_dir().join("bootstrap");
    let file = bootstrap.to_str().expect("a path");
    let authority = cluster.data_dir().join("pki/ca.crt");
    let authority = format!("--certificate-authority={}", authority.display());
    let (server, token) = (format!("--server={}", cluster.url()), "--token=abcdef.0123456789abcdef");
    for step in [
        &["set-cluster", "c", &server, &authority, "--embed-certs"][..],
        &["set-credentials", "u", token],
        &["set-context", "c", "--cluster=c", "--user=u"],
        &["use-context", "c"],
    ] {
        kubectl.run(&[&["--kubeconfig", file, "config"], step].concat());
    }
    let archive = node.data_dir().join("busybox.tar");
    std::fs::write(&archive, ImageBuilder::busybox().build().docker_archive(&["busybox:latest"]))
        .expect("an archive");
    let (data, archive) = (node.data_dir().to_str().expect("a path"), archive.to_str().expect("a path"));
    assert!(runs(&binary(), &["image", "load", "--data-dir", data, archive]));
    let file = file.to_owned();
    (node, file)
}

#[test]
fn a_node_joins_with_a_bootstrap_token_and_goes_on_with_its_own_certificate_as_root() {
    network::enter_own().expect("a network of its own");
    let cluster = Cluster::start_without_node(&["--enable-bootstrap-token-auth"]);
    let Some(kubectl) = Kubectl::all(&cluster).into_iter().next() else { return };
    // Anybody is told where the cluster is.
    let path = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
    let info = kubectl.run(&["get", "--raw", path, "--as", "system:anonymous"]);
    assert!(info.contains(&format!("server: {}\\n", cluster.url())), "{info}");

    let (mut node, bootstrap) = newcomer(&cluster, &kubectl);
    let args = ["--hostname-override", "joiner", "--rotate-server-certificates"];
    node.start(&[&args[..], &["--bootstrap-kubeconfig", &bootstrap]].concat()).expect("it joins");
    let client = requests(&kubectl, "kube-apiserver-client-kubelet");
    assert_eq!(client.len(), 1, "{client:?}");
    assert_eq!(
        get(&kubectl, &["csr", &client[0]], "{.spec.username} {.status.conditions[0].message}"),
        "system:bootstrap:abcdef Auto approving kubelet client certificate after SubjectAccessReview."
    );
    for private in ["kubeconfig", "pki/kubelet-client-current.pem"] {
        let mode = std::fs::metadata(node.data_dir().join(private)).expect(private).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{private}");
    }
    eventually(&kubectl, "the node is ready", || {
        let ready = get(&kubectl, &["node", "joiner"], "{.status.conditions[?(@.type==\"Ready\")].status}");
        (ready == "True").then_some(())
    });
    // Until the cluster has signed what it shows, the API server does not believe the node.
    let serving = eventually(&kubectl, "the node asks for a serving certificate", || {
        requests(&kubectl, "kubelet-serving").pop()
    });
    assert_eq!(get(&kubectl, &["csr", &serving], "{.spec.username}"), "system:node:joiner");
    kubectl.run(&["certificate", "approve", &serving]);
    run(&kubectl, "first");

    // What it has now must do.
    kubectl.run(&["delete", "secret", "bootstrap-token-abcdef", "-n", "kube-system"]);
    let container = "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}";
    let before = get(&kubectl, &["pod", "first"], container);
    node.kill();
    node.start(&args).expect("it goes on");
    run(&kubectl, "second");
    assert_eq!(get(&kubectl, &["pod", "first"], container), before);
    assert_eq!(kubectl.run(&["logs", "first"]), "first\n");
    assert_eq!(
        requests(&kubectl, "kube-apiserver-client-kubelet"),
        client,
        "it asks for nothing that it has"
    );
    assert_eq!(requests(&kubectl, "kubelet-serving"), [serving]);

    let uids = get(&kubectl, &["pods", "-A"], "{.items[*].metadata.uid}");
    let uids: Vec<String> = uids.split_whitespace().map(str::to_owned).collect();
    kubectl.run(&["delete", "pods", "--all", "--wait=true"]);
    eventually(&kubectl, "nothing is left", || {
        leftovers::look(&node.node_dir(), &uids).is_empty().then_some(())
    });
}

#[test]
fn a_running_node_goes_on_with_the_next_certificate_when_the_first_has_ended_as_root() {
    network::enter_own().expect("a network of its own");
    let cluster =
        Cluster::start_without_node(&["--enable-bootstrap-token-auth", "--cluster-signing-duration", "10s"]);
    let Some(kubectl) = Kubectl::all(&cluster).into_iter().next() else { return };
    let (mut node, bootstrap) = newcomer(&cluster, &kubectl);
    node.start(&["--hostname-override", "joiner", "--bootstrap-kubeconfig", &bootstrap]).expect("it joins");
    let begun = Instant::now();
    kubectl.run(&["delete", "secret", "bootstrap-token-abcdef", "-n", "kube-system"]);
    let self_approved = "{.items[?(@.spec.username==\"system:node:joiner\")].status.conditions[0].message}";
    eventually(&kubectl, "the node asks for itself", || {
        let said = get(&kubectl, &["csr"], self_approved);
        said.contains("Auto approving self kubelet client certificate").then_some(())
    });
    eventually(&kubectl, "the first certificate ends", || {
        (begun.elapsed() > Duration::from_secs(12)).then_some(())
    });
    // With what it had at first it could neither see the pod nor say that it runs.
    kubectl.apply(&["apply", "-f", "-"], &pod("late"));
    eventually(&kubectl, "late runs", || {
        let ready = get(&kubectl, &["pod", "late"], "{.status.conditions[?(@.type==\"Ready\")].status}");
        (ready == "True").then_some(())
    });
    kubectl.run(&["delete", "pods", "--all", "--wait=true"]);
}
