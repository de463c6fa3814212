//! Joins a cluster: with a kubeconfig that may do little else (a bootstrap token) the node asks for a client certificate, and writes a kubeconfig that shows it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use rcgen::KeyPair;
use sampan_auth::authentication::published::pem;
use serde_json::json;

use super::credentials;
use super::request::{self, Purpose, Wanted};
use crate::data_dir::DataDir;
use crate::{pki, private_file};

/// The pauses between two attempts to reach the API server.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where the client certificate and its key are.
pub(super) fn client_file(dir: &DataDir) -> PathBuf {
    dir.pki().join("kubelet-client-current.pem")
}

/// Where the certificate of the node's own API and its key are, if the cluster has signed it.
pub(super) fn serving_file(dir: &DataDir) -> PathBuf {
    dir.pki().join("kubelet-server-current.pem")
}

/// Reads a kubeconfig and what it names.
pub(super) async fn read(file: &Path) -> Result<kube::Config> {
    let shown = file.display();
    let kubeconfig =
        Kubeconfig::read_from(file).with_context(|| format!("cannot read the kubeconfig {shown}"))?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("the kubeconfig {shown} cannot be used"))
}

/// Sees to it that the kubeconfig is there and good, which may take as long as an administrator takes.
pub(super) async fn ensure(kubeconfig: &Path, bootstrap: &Path, dir: &DataDir, node: &str) -> Result<()> {
    if kubeconfig.exists() {
        match read(kubeconfig).await.and_then(|config| is_good(&config.auth_info, Timestamp::now())) {
            Ok(true) => return Ok(()),
            Ok(false) => tracing::warn!("the node's client certificate has ended: it asks for another one"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(
                    error,
                    "the node's kubeconfig cannot be used: it asks for another certificate"
                );
            }
        }
    }
    let config = read(bootstrap).await?;
    let client = kube::Client::try_from(config.clone())
        .with_context(|| format!("the kubeconfig {} cannot be used", bootstrap.display()))?;
    private_file::create_dir(&dir.pki()).with_context(|| format!("cannot make {}", dir.pki().display()))?;
    let wanted = Wanted { node: node.to_owned(), purpose: Purpose::Client };
    let key_file = dir.pki().join("kubelet-client.key.tmp");
    let key = key(&key_file)?;
    let name = ask(&client, &wanted, &key).await?;
    tracing::info!(request = name, "the node waits for its client certificate");
    let outcome = request::wait(&client, &name, &key).await;
    // Nobody needs it any more: it has its certificate, or will never have one.
    let forgotten =
        || std::fs::remove_file(&key_file).with_context(|| format!("cannot remove {}", key_file.display()));
    let credentials = match outcome {
        Ok(credentials) => credentials,
        Err(error) => {
            forgotten()?;
            return Err(error.context("the node has no client certificate"));
        }
    };
    let file = client_file(dir);
    credentials.write(&file)?;
    private_file::write_durably(kubeconfig, text(&config, &file)?.as_bytes())
        .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
    forgotten()
}

/// Asks, as soon as the API server can be reached. What it refuses it would refuse again.
async fn ask(client: &kube::Client, wanted: &Wanted, key: &KeyPair) -> Result<String> {
    let mut pause = FIRST_PAUSE;
    loop {
        match request::ask(client, wanted, key, Some(wanted.name_of(key))).await {
            Ok(name) => return Ok(name),
            Err(request::Error::Api(error)) if !matches!(error, kube::Error::Api(_)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the API server cannot be asked for a certificate yet");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The key of a start that was killed, so that its request is found again, or a new one.
fn key(file: &Path) -> Result<KeyPair> {
    if let Some(key) = std::fs::read_to_string(file).ok().and_then(|text| KeyPair::from_pem(&text).ok()) {
        return Ok(key);
    }
    let key = pki::new_key()?;
    private_file::write_durably(file, key.serialize_pem().as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(key)
}

/// Whether a user's certificate is good. What has none has no end either.
fn is_good(info: &AuthInfo, now: Timestamp) -> Result<bool> {
    let pem = match (&info.client_certificate_data, &info.client_certificate) {
        (Some(data), _) => BASE64_STANDARD.decode(data).context("its client certificate cannot be read")?,
        (None, Some(file)) => std::fs::read(file).with_context(|| format!("cannot read {file}"))?,
        (None, None) => return Ok(true),
    };
    let pem = String::from_utf8_lossy(&pem);
    let Some(der) = pki::first_certificate(&pem) else { bail!("there is no client certificate in it") };
    let (_, parsed) = x509_parser::parse_x509_certificate(&der)?;
    let (not_before, not_after) = credentials::validity(&parsed)?;
    Ok(not_before <= now && now < not_after)
}

/// The kubeconfig of a node that shows what is in this file, and asks the same server as `bootstrap`. It is JSON, which is YAML.
fn text(bootstrap: &kube::Config, credentials: &Path) -> Result<String> {
    let credentials = std::path::absolute(credentials).context("the data directory has no absolute path")?;
    let authorities: String = bootstrap.root_cert.iter().flatten().map(|der| pem(der)).collect();
    let mut cluster = json!({"server": bootstrap.cluster_url.to_string()});
    if !authorities.is_empty() {
        cluster["certificate-authority-data"] = BASE64_STANDARD.encode(authorities).into();
    }
    if bootstrap.accept_invalid_certs {
        cluster["insecure-skip-tls-verify"] = true.into();
    }
    if let Some(name) = &bootstrap.tls_server_name {
        cluster["tls-server-name"] = name.as_str().into();
    }
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default-cluster", "cluster": cluster}],
        "users": [{"name": "default-auth", "user": {"client-certificate": credentials, "client-key": credentials}}],
        "contexts": [{"name": "default-context", "context": {"cluster": "default-cluster", "user": "default-auth", "namespace": "default"}}],
        "current-context": "default-context",
    });
    Ok(serde_json::to_string_pretty(&kubeconfig)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::super::credentials::tests::credentials;
    use super::*;

    #[tokio::test]
    async fn the_kubeconfig_shows_what_is_in_the_file_to_the_same_server() {
        let dir = tempfile::tempdir().unwrap();
        let (file, kubeconfig) = (dir.path().join("current.pem"), dir.path().join("kubeconfig"));
        let own = credentials(1_000_000, 2_000_000);
        own.write(&file).unwrap();
        let mut bootstrap = kube::Config::new("https://192.0.2.1:6443".parse().unwrap());
        bootstrap.root_cert = Some(vec![pki::first_certificate(&own.certificate).unwrap().to_vec()]);
        std::fs::write(&kubeconfig, text(&bootstrap, &file).unwrap()).unwrap();
        let config = read(&kubeconfig).await.unwrap();
        assert_eq!(config.cluster_url, bootstrap.cluster_url);
        assert_eq!(config.root_cert, bootstrap.root_cert);
        assert_eq!(config.auth_info.client_certificate.as_deref(), file.to_str());
        for (second, good) in [(999_999, false), (1_500_000, true), (2_000_000, false)] {
            let now = Timestamp::from_second(second).unwrap();
            assert_eq!(is_good(&config.auth_info, now).unwrap(), good, "{second}");
        }
        std::fs::write(&file, "").unwrap();
        assert!(is_good(&config.auth_info, Timestamp::now()).is_err(), "a loss of power");
    }

    #[test]
    fn a_key_is_kept_until_it_has_its_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let first = key(&file).unwrap();
        assert_eq!(key(&file).unwrap().public_key_raw(), first.public_key_raw());
        std::fs::write(&file, "").unwrap();
        assert_ne!(key(&file).unwrap().public_key_raw(), first.public_key_raw());
    }
}
