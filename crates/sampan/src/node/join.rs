//! `sampan node`: the node of this machine, in a cluster whose API server is elsewhere.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use jiff::Timestamp;
use sampan_auth::authentication::published::pem;
use sampan_node::server::tls;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::certificate::Certificate;
use super::credentials::Credentials;
use super::request::{Purpose, Wanted};
use super::rotation::{Exchangeable, Rotation, client_with};
use super::{Identity, Setup, bootstrap};
use crate::cli::Node;
use crate::data_dir::DataDir;
use crate::pki::{Pki, ServerNames};
use crate::up::{limits, signals};
use crate::{logging, private_file};

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
    let mut ended = pin!(signals.end());
    let identity = Identity::of(&options.flags, None);
    let name = identity.name.clone();
    if let Some(bootstrap) = &options.bootstrap_kubeconfig {
        tokio::select! {
            () = &mut ended => return Ok(()),
            joined = bootstrap::ensure(&options.kubeconfig, bootstrap, dir, &name) => joined?,
        }
    }
    let config = bootstrap::read(&options.kubeconfig).await?;
    let url = config.cluster_url.to_string();
    let authorities = match &options.client_ca_file {
        Some(file) => read(file)?,
        None => config.root_cert.iter().flatten().flat_map(|der| pem(der).into_bytes()).collect(),
    };
    let (client, rotation) = client(options, dir, config, &name)?;
    let (tls, keeping) = serving(options, dir, &identity, &client, &authorities)?;
    let setup =
        Setup { flags: &options.flags, dir, identity, client, tls, cluster_dns: vec![], services: None };
    let node = super::prepare(setup).await?;
    eprintln!("sampan node ready in {} ms: {name}, {url}", started.elapsed().as_millis());
    let rotated = async {
        match rotation {
            Some(rotation) => rotation.keep().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = ended => Ok(()),
        error = super::run(node.agent, CancellationToken::new()) => Err(error),
        error = rotated => Err(error),
        error = keeping.run() => Err(error),
    }
}

/// Speaks for the node. A certificate that the node has asked for itself is kept good.
fn client(
    options: &Node,
    dir: &DataDir,
    config: kube::Config,
    name: &str,
) -> Result<(kube::Client, Option<Rotation>)> {
    let file = bootstrap::client_file(dir);
    let is_own = config.auth_info.client_certificate.as_deref().is_some_and(|path| Path::new(path) == file);
    let current = is_own.then(|| Credentials::read(&file)).flatten();
    let Some(current) = current else {
        let unusable = || format!("the kubeconfig {} cannot be used", options.kubeconfig.display());
        return Ok((kube::Client::try_from(config).with_context(unusable)?, None));
    };
    ensure!(
        Timestamp::now() < current.not_after,
        "the node's client certificate has ended: start again with --bootstrap-kubeconfig"
    );
    let exchangeable = Exchangeable::new(client_with(&config, &current)?);
    let client = exchangeable.client();
    let wanted = Wanted { node: name.to_owned(), purpose: Purpose::Client };
    let take = move |next: &Credentials| {
        exchangeable.set(client_with(&config, next)?);
        Ok(())
    };
    let rotation =
        Rotation { client: client.clone(), wanted, file, current: Some(current), take: Box::new(take) };
    Ok((client, Some(rotation)))
}

type Shown = watch::Receiver<Arc<tls::ServerConfig>>;

/// What keeps good what the node's own API shows.
enum Keeping {
    /// It is given, and stays.
    Given,
    /// It is of the node's own authority.
    Own(Box<(Pki, Certificate)>),
    /// The cluster signs it.
    Signed(Box<Rotation>),
}

impl Keeping {
    async fn run(self) -> Error {
        match self {
            Self::Given => std::future::pending().await,
            Self::Own(own) => {
                let (pki, certificate) = *own;
                match certificate.keep(&pki).await {}
            }
            Self::Signed(rotation) => rotation.keep().await,
        }
    }
}

/// What the node's own API shows, and what keeps that good.
fn serving(
    options: &Node,
    dir: &DataDir,
    identity: &Identity,
    client: &kube::Client,
    authorities: &[u8],
) -> Result<(Shown, Keeping)> {
    if let (Some(chain), Some(key)) = (&options.tls_cert_file, &options.tls_private_key_file) {
        let config = tls::config(&read(chain)?, &read(key)?, authorities)?;
        // The sender may go: nobody will have another one.
        return Ok((watch::channel(config).1, Keeping::Given));
    }
    if options.rotate_server_certificates {
        return signed(dir, identity, client, authorities);
    }
    let pki = Pki::open(&dir.pki(), OffsetDateTime::now_utc())?;
    let (certificate, shown) = Certificate::make(&pki, &identity.name, &[identity.address], authorities)?;
    Ok((shown, Keeping::Own(Box::new((pki, certificate)))))
}

/// What the cluster has signed. Until it has, nobody can ask the node's own API.
fn signed(
    dir: &DataDir,
    identity: &Identity,
    client: &kube::Client,
    authorities: &[u8],
) -> Result<(Shown, Keeping)> {
    let directory = dir.pki();
    private_file::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let names = ServerNames::of_node_for_others(&identity.name, &[identity.address]);
    let file = bootstrap::serving_file(dir);
    let current =
        Credentials::read(&file).filter(|kept| kept.is_good(Timestamp::now()) && kept.names == names);
    let config = match &current {
        Some(kept) => tls::config(kept.certificate.as_bytes(), kept.key.as_bytes(), authorities)?,
        None => tls::without_certificate(authorities)?,
    };
    let (sender, shown) = watch::channel(config);
    let authorities = authorities.to_owned();
    let take = move |next: &Credentials| {
        let config = tls::config(next.certificate.as_bytes(), next.key.as_bytes(), &authorities)?;
        sender.send_replace(config);
        Ok(())
    };
    let wanted = Wanted { node: identity.name.clone(), purpose: Purpose::Serving(names) };
    let rotation = Rotation { client: client.clone(), wanted, file, current, take: Box::new(take) };
    Ok((shown, Keeping::Signed(Box::new(rotation))))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| anyhow!(error).context(format!("cannot read {}", path.display())))
}
