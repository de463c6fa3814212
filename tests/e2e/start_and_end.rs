//! How the binary starts and ends, and what it tells its user.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;
use sampan_tests::{Cluster, cluster::binary};

fn sampan(args: &[&str]) -> (bool, String, String) {
    let output = Command::new(binary()).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_ready_line_names_the_time_the_url_and_the_kubeconfig() {
    let cluster = Cluster::start();
    let line = cluster.ready_line();
    let rest = line.strip_prefix("sampan ready in ").unwrap();
    let (milliseconds, rest) = rest.split_once(" ms: ").unwrap();
    assert!(milliseconds.parse::<u32>().is_ok(), "{line}");
    let want = format!("{}, kubectl --kubeconfig {}", cluster.url(), cluster.kubeconfig().display());
    assert_eq!(rest, want);
}

#[tokio::test]
async fn keys_and_kubeconfig_are_readable_by_their_owner_only() {
    let cluster = Cluster::start();
    account_key_is_made(&cluster).await;
    for name in ["admin.kubeconfig", "pki/ca.key", "pki/apiserver.key", "pki/admin.key", "pki/sa.key"] {
        let mode = fs::metadata(cluster.data_dir().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut cluster = Cluster::start();
        let ended = cluster.end(signal);
        assert!(ended.status.success(), "{signal:?}: {ended:?}");
    }
}

#[tokio::test]
async fn sigterm_ends_watches_that_are_open() {
    use futures::{StreamExt as _, TryStreamExt as _};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{Api, WatchParams};
    let mut cluster = Cluster::start();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    let mut watch = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    api.create(&kube::api::PostParams::default(), &config_map("a")).await.unwrap();
    assert!(watch.try_next().await.unwrap().is_some());
    let ended = tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stderr.contains("were cut"), "the watch was cut, not ended: {}", ended.stderr);
    while let Some(Ok(_)) = watch.next().await {}
}

fn config_map(name: &str) -> k8s_openapi::api::core::v1::ConfigMap {
    serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap()
}

#[test]
fn a_second_start_on_one_directory_is_refused_in_one_sentence() {
    let cluster = Cluster::start();
    let dir = cluster.data_dir().to_str().unwrap();
    let (success, _, stderr) =
        sampan(&["up", "--data-dir", dir, "--listen", "127.0.0.1:0", "--no-node", "--no-controllers"]);
    assert!(!success);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("sampan: another sampan is running on "), "{stderr}");
}

#[test]
fn a_port_that_is_taken_is_refused_in_one_sentence() {
    let cluster = Cluster::start();
    let other = tempfile::tempdir().unwrap();
    let address = cluster.url().replace("https://", "");
    let dir = other.path().to_str().unwrap();
    let (success, _, stderr) =
        sampan(&["up", "--data-dir", dir, "--listen", &address, "--no-node", "--no-controllers"]);
    assert!(!success);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("choose another address with --listen"), "{stderr}");
}

/// Waits for the key of service account tokens, which is made beside the start: the document of its public half needs it.
async fn account_key_is_made(cluster: &Cluster) {
    let request = http::Request::get("/openid/v1/jwks").body(Vec::new()).unwrap();
    cluster.client().await.request_text(request).await.unwrap();
}

#[tokio::test]
async fn a_further_start_keeps_the_certificates() {
    let mut cluster = Cluster::start();
    account_key_is_made(&cluster).await;
    let read = |cluster: &Cluster| {
        ["ca.crt", "ca.key", "apiserver.crt", "admin.crt", "sa.key"]
            .map(|name| fs::read(cluster.data_dir().join("pki").join(name)).unwrap())
    };
    let before = (read(&cluster), fs::read(cluster.kubeconfig()).unwrap());
    cluster.stop();
    cluster.restart().unwrap();
    assert!(before == (read(&cluster), fs::read(cluster.kubeconfig()).unwrap()));
}

#[test]
fn the_kubeconfig_is_printed_once_there_is_a_cluster() {
    let cluster = Cluster::start();
    let (success, stdout, _) = sampan(&["kubeconfig", "--data-dir", cluster.data_dir().to_str().unwrap()]);
    assert!(success);
    assert_eq!(stdout, fs::read_to_string(cluster.kubeconfig()).unwrap());
    let empty = tempfile::tempdir().unwrap();
    let (success, _, stderr) = sampan(&["kubeconfig", "--data-dir", empty.path().to_str().unwrap()]);
    assert!(!success);
    assert!(stderr.starts_with("sampan: there is no cluster in "), "{stderr}");
}

#[test]
fn who_is_not_root_is_told_that_there_is_no_node_as_root() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody, to whom the directory is given.
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let mut child = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(binary())
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok).take(2).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines[0].starts_with("sampan: only root can run pods"), "{lines:?}");
    assert!(lines[1].starts_with("sampan ready in "), "{lines:?}");
}

#[test]
fn completions_and_version_are_printed() {
    let (success, stdout, _) = sampan(&["completion", "bash"]);
    assert!(success && stdout.contains("complete -F _sampan"));
    let (success, stdout, _) = sampan(&["version"]);
    assert!(success && stdout.starts_with("sampan ") && stdout.contains("Kubernetes v1.36"), "{stdout}");
}
