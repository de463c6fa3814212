//! `sampan node`: the node of this machine, in a cluster whose API server is elsewhere.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use sampan_node::server::tls;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::certificate::Certificate;
use super::{Identity, Setup};
use crate::cli::Node;
use crate::data_dir::DataDir;
use crate::logging;
use crate::pki::Pki;
use crate::up::{limits, signals};

/// Runs until a signal ends it.
pub(crate) fn run(options: &Node) -> Result<()> {
    let started = Instant::now();
    logging::start(&options.log_level)?;
    ensure!(rustix::process::geteuid().is_root(), "only root can run pods: run this as root");
    limits::raise_open_files();
    let dir = DataDir::of(&options.place)?;
    dir.create()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("sampan").build();
    runtime.context("cannot start the threads of the node")?.block_on(serve(options, &dir, started))
}

async fn serve(options: &Node, dir: &DataDir, started: Instant) -> Result<()> {
    let signals = signals::Signals::listen()?;
    let file = options.kubeconfig.display();
    let kubeconfig = Kubeconfig::read_from(&options.kubeconfig)
        .with_context(|| format!("cannot read the kubeconfig {file}"))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("the kubeconfig {file} cannot be used"))?;
    let url = config.cluster_url.to_string();
    let authorities = match &options.client_ca_file {
        Some(file) => read(file)?,
        None => config.root_cert.iter().flatten().flat_map(|der| pem(der).into_bytes()).collect(),
    };
    let client =
        kube::Client::try_from(config).with_context(|| format!("the kubeconfig {file} cannot be used"))?;
    let identity = Identity::of(&options.flags, None);
    let name = identity.name.clone();
    let (tls, keeping) = serving(options, dir, &identity, &authorities)?;
    let setup = Setup { flags: &options.flags, dir, identity, client, tls, cluster_dns: vec![] };
    let node = super::prepare(setup).await?;
    eprintln!("sampan node ready in {} ms: {name}, {url}", started.elapsed().as_millis());
    let stop = CancellationToken::new();
    let kept = async {
        match keeping {
            Some((pki, certificate)) => certificate.keep(&pki).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signals.end() => Ok(()),
        error = super::run(node, stop.clone()) => Err(error),
        never = kept => match never {},
    }
}

type Shown = watch::Receiver<std::sync::Arc<tls::ServerConfig>>;

/// What the node's own API shows, and what keeps that good if it is of the node's own making.
fn serving(
    options: &Node,
    dir: &DataDir,
    identity: &Identity,
    authorities: &[u8],
) -> Result<(Shown, Option<(Pki, Certificate)>)> {
    if let (Some(chain), Some(key)) = (&options.tls_cert_file, &options.tls_private_key_file) {
        let config = tls::config(&read(chain)?, &read(key)?, authorities)?;
        // The sender may go: nobody will have another one.
        return Ok((watch::channel(config).1, None));
    }
    let pki = Pki::open(&dir.pki(), OffsetDateTime::now_utc())?;
    let (certificate, shown) = Certificate::make(&pki, &identity.name, &[identity.address], authorities)?;
    Ok((shown, Some((pki, certificate))))
}

/// A certificate as PEM.
fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line));
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    lines.for_each(|line| pem.extend([&*line, "\n"]));
    pem + "-----END CERTIFICATE-----\n"
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| anyhow!(error).context(format!("cannot read {}", path.display())))
}
