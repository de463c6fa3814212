//! Encryption at rest, seen from outside: what lies in the files, what a rotation needs, what a wrong key does.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams, PostParams};
use sampan_tests::Cluster;
use sampan_tests::tools::Kubectl;

/// In base64 it would look otherwise; `stringData` becomes `data`, so both are looked for.
const CONFIDENTIAL: &str = "the-password-nobody-may-read";
const IN_BASE64: &str = "dGhlLXBhc3N3b3JkLW5vYm9keS1tYXktcmVhZA==";

/// A key of 32 bytes, each of which is a letter, in base64.
fn key(letter: char) -> &'static str {
    match letter {
        'a' => "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=",
        'b' => "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=",
        other => panic!("no key {other}"),
    }
}

fn write_config(file: &Path, providers: &[String]) {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers:\n  - {}\n",
        providers.join("\n  - ")
    );
    // At once, so that a server which follows the file never sees half of it.
    let half = file.with_extension("half");
    fs::write(&half, text).unwrap();
    fs::rename(half, file).unwrap();
}

fn provider(kind: &str, name: &str, letter: char) -> String {
    format!("{kind}: {{keys: [{{name: {name}, secret: \"{}\"}}]}}", key(letter))
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

/// Which files of the directory contain a text.
fn files_with(dir: &Path, text: &str) -> Vec<PathBuf> {
    let contains = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    all_files(dir).into_iter().filter(contains).collect()
}

fn secret() -> Secret {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": "login"},
        "stringData": {"password": CONFIDENTIAL},
    }))
    .unwrap()
}

fn config_map() -> ConfigMap {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": "open"},
        "data": {"text": "everybody may read this"},
    }))
    .unwrap()
}

#[tokio::test]
async fn secrets_lie_on_the_disk_encrypted_through_rotations_and_a_wrong_key_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encryption.yaml");
    let first = [provider("aesgcm", "key1", 'a'), "identity: {}".to_owned()];
    write_config(&file, &first);
    let mut cluster = Cluster::start_with(&["--encryption-provider-config", file.to_str().unwrap()]);
    let dir = cluster.data_dir().to_owned();
    let client = cluster.client().await;
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let created = secrets.create(&PostParams::default(), &secret()).await.unwrap();
    maps.create(&PostParams::default(), &config_map()).await.unwrap();
    let nowhere = |dir: &Path| {
        for text in [CONFIDENTIAL, IN_BASE64] {
            assert_eq!(files_with(dir, text), [] as [PathBuf; 0], "{text}");
        }
    };
    nowhere(&dir);
    cluster.stop();
    nowhere(&dir);
    assert!(!files_with(&dir, "k8s:enc:aesgcm:v1:key1:").is_empty());
    assert!(!files_with(&dir, "everybody may read this").is_empty(), "what is in no rule is plain");

    // A wrong key: one line that names the object and the cause. Nothing is lost.
    for (providers, cause) in [
        (vec![provider("aesgcm", "key1", 'b')], "message authentication failed"),
        (vec![provider("secretbox", "key1", 'a')], "no matching prefix found"),
    ] {
        write_config(&file, &providers);
        let error = cluster.restart().unwrap_err().to_string();
        assert!(error.contains("unable to transform key \"/registry/secrets/default/login\""), "{error}");
        assert!(error.contains(cause) && error.contains("in which nothing was changed"), "{error}");
        assert!(!error.contains(key('a')) && !error.contains(key('b')), "{error}");
    }

    // The new key comes before the old one; a replacement that changes nothing writes the secret with it.
    let second = [provider("secretbox", "key2", 'b'), provider("aesgcm", "key1", 'a')];
    write_config(&file, &second);
    cluster.restart().unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(cluster.client().await);
    let read = secrets.get("login").await.unwrap();
    assert_eq!(read.data.as_ref().unwrap()["password"].0, CONFIDENTIAL.as_bytes());
    assert_eq!(read.metadata.resource_version, created.metadata.resource_version);
    let written = secrets.replace("login", &PostParams::default(), &read).await.unwrap();
    assert_ne!(written.metadata.resource_version, read.metadata.resource_version, "it is written anew");
    let again = secrets.replace("login", &PostParams::default(), &written).await.unwrap();
    assert_eq!(again.metadata.resource_version, written.metadata.resource_version, "but once");
    cluster.stop();
    assert!(!files_with(&dir, "k8s:enc:secretbox:v1:key2:").is_empty());

    // The old key may go.
    write_config(&file, &second[..1]);
    cluster.restart().unwrap();
    let client = cluster.client().await;
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let read = secrets.get("login").await.unwrap();
    assert_eq!(read.data.unwrap()["password"].0, CONFIDENTIAL.as_bytes());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    cluster.stop();
    nowhere(&dir);
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encryption.yaml");
    write_config(&file, &["aesgcm: {keys: [{name: key1, secret: \"c2hvcnQ=\"}]}".to_owned()]);
    let path = file.to_str().unwrap();
    let dir = folder.path().join("data");
    let output = std::process::Command::new(sampan_tests::cluster::binary())
        .args(["up", "--no-node", "--no-controllers", "--listen", "127.0.0.1:0"])
        .args(["--encryption-provider-config", path, "--data-dir", dir.to_str().unwrap()])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    let last = stderr.lines().last().unwrap();
    assert_eq!(
        last,
        format!(
            "sampan: cannot use --encryption-provider-config {path}: error while parsing file: \
             resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the \
             expected length, got 5, expected one of [16 24 32]"
        )
    );
}

#[tokio::test]
async fn without_the_plugin_the_other_resources_work_and_the_health_check_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encryption.yaml");
    let socket = folder.path().join("kms.sock");
    let kms = format!("kms: {{apiVersion: v2, name: vault, endpoint: \"unix://{}\"}}", socket.display());
    write_config(&file, &[kms, "identity: {}".to_owned()]);
    let cluster = Cluster::start_with(&["--encryption-provider-config", file.to_str().unwrap()]);
    let client = cluster.client().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.create(&PostParams::default(), &config_map()).await.unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    match secrets.create(&PostParams::default(), &secret()).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"));
            assert!(status.message.starts_with("Internal error occurred: "), "{}", status.message);
        }
        other => panic!("{other:?}"),
    }
    for (path, code) in
        [("/readyz", 500), ("/livez/kms-providers", 500), ("/readyz?exclude=kms-providers", 200)]
    {
        let request = http_get(&client, path).await;
        assert_eq!(request, code, "{path}");
    }
}

async fn http_get(client: &kube::Client, path: &str) -> u16 {
    let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
    client.send(request).await.unwrap().status().as_u16()
}

/// The documented rotation, without a restart: the new key behind the old one, then before it, then everything is replaced by
/// what it is, then the old key goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encryption.yaml");
    let (old, new) = (provider("aesgcm", "key1", 'a'), provider("aescbc", "key2", 'b'));
    write_config(&file, &[old.clone(), "identity: {}".to_owned()]);
    let mut cluster = Cluster::start_with(&[
        "--encryption-provider-config",
        file.to_str().unwrap(),
        "--encryption-provider-config-automatic-reload",
    ]);
    let dir = cluster.data_dir().to_owned();
    let client = cluster.client().await;
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    secrets.create(&PostParams::default(), &secret()).await.unwrap();
    let metrics =
        async || client.request_text(http::Request::get("/metrics").body(Vec::new()).unwrap()).await.unwrap();
    let reloads = async |status: &str, count: usize| {
        let line =
            format!("apiserver_encryption_config_controller_automatic_reloads_total{{status=\"{status}\",");
        let is =
            |text: &str| text.lines().any(|l| l.starts_with(&line) && l.ends_with(&format!("}} {count}")));
        while !is(&metrics().await) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };

    // Without the old key what is there could not be read: the configuration in force stays.
    write_config(&file, std::slice::from_ref(&new));
    reloads("failure", 1).await;
    assert!(metrics().await.contains("automatic_reload_last_timestamp_seconds{status=\"failure\""));
    secrets.get("login").await.unwrap();
    write_config(&file, &[old.clone(), new.clone()]);
    reloads("success", 1).await;
    write_config(&file, &[new.clone(), old]);
    reloads("success", 2).await;

    if let Some(kubectl) = Kubectl::all(&cluster).first() {
        let all = kubectl.run(&["get", "secrets", "--all-namespaces", "-o", "json"]);
        let replaced = kubectl.run_with(&["replace", "-f", "-"], &all);
        let said = String::from_utf8_lossy(&replaced.stdout).into_owned();
        assert!(replaced.status.success() && said.contains("secret/login replaced"), "{said}");
    } else {
        let all = secrets.list(&ListParams::default()).await.unwrap();
        for secret in &all.items {
            let name = secret.metadata.name.as_ref().unwrap();
            secrets.replace(name, &PostParams::default(), secret).await.unwrap();
        }
    }
    // Only now can the old key go.
    write_config(&file, &[new]);
    reloads("success", 3).await;
    let read = secrets.get("login").await.unwrap();
    assert_eq!(read.data.unwrap()["password"].0, CONFIDENTIAL.as_bytes());
    cluster.stop();
    assert!(!files_with(&dir, "k8s:enc:aescbc:v1:key2:").is_empty());
    cluster.restart().unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(cluster.client().await);
    let read = secrets.get("login").await.unwrap();
    assert_eq!(read.data.unwrap()["password"].0, CONFIDENTIAL.as_bytes());
}
