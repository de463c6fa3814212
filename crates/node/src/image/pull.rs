//! Brings an image from a registry: resolves its name, chooses its platform, fetches layers (some at once, each resumed where it
//! broke off), and unpacks them in their order while others still come.

mod download;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use self::download::Download;
use super::digest::Digest;
use super::manifest::{Config, Document, MAX_DOCUMENT, Manifest};
use super::platform::{Platform, choose};
use super::progress::{Event, Observer};
use super::reference::Reference;
use super::registry::Registry;
use super::store::index::Record;
use super::store::lease::Lease;
use super::store::{Inner, blocking, ingest, layer, now};
use super::{Credentials, Error, hosts};

/// Pulls an image with the first credentials that are good for it, and answers its id.
pub(super) async fn pull(
    inner: &Arc<Inner>,
    reference: &Reference,
    credentials: &[Credentials],
    observer: &Observer,
) -> Result<Digest, Error> {
    let what = format!("failed to pull and unpack image \"{reference}\"");
    let found = {
        let (inner, domain) = (inner.clone(), reference.domain().to_owned());
        blocking(move || hosts::load(inner.options.hosts.as_deref(), &domain)).await
    };
    let hosts = found.map_err(|error| error.during(&what))?;
    let mut outcome = Err(Error::NotFound(reference.to_string()));
    // Without any, the registry is asked as anybody.
    let attempts =
        if credentials.is_empty() { vec![None] } else { credentials.iter().cloned().map(Some).collect() };
    for who in attempts {
        let registry =
            Arc::new(Registry::new(reference, hosts.clone(), who).map_err(|error| error.during(&what))?);
        let pull = Pull { inner: inner.clone(), reference, registry, observer };
        outcome = pull.run().await.map_err(|error| error.during(&what));
        // Some registries hide what may not be seen.
        if !matches!(outcome, Err(Error::Unauthorized(_) | Error::NotFound(_))) {
            break;
        }
    }
    outcome
}

struct Pull<'a> {
    inner: Arc<Inner>,
    reference: &'a Reference,
    registry: Arc<Registry>,
    observer: &'a Observer,
}

/// What a name has led to.
struct Resolved {
    /// Of what the name itself stands for: an index or a manifest.
    digest: Digest,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
}

impl Pull<'_> {
    async fn run(&self) -> Result<Digest, Error> {
        let resolving = format!("failed to resolve reference \"{}\"", self.reference);
        let resolved = self.resolve().await.map_err(|error| error.during(&resolving))?;
        let lease = self.lease().await?;
        let manifest = &resolved.manifest;
        let config = self.config(&resolved, &lease).await?;
        let chains = config.chains();
        let lease = {
            let layers: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest.clone()).collect();
            let chains = chains.clone();
            blocking(move || {
                let protected = lease.protect(layers.iter().chain(&chains));
                protected
                    .map(|()| lease)
                    .map_err(|error| Error::failed("cannot hold the image's layers", error))
            })
            .await?
        };
        let layers = manifest.layers.iter().map(|layer| (layer.digest.clone(), layer.size)).collect();
        (self.observer)(&Event::Resolved { name: self.reference.to_string(), layers });
        self.layers(manifest, &config, &chains).await?;
        self.publish(&resolved, &config, chains, lease).await
    }

    async fn resolve(&self) -> Result<Resolved, Error> {
        let top = self.registry.manifest(self.reference).await?;
        let (digest, fetched) = match Document::parse(&top.bytes, &top.media_type)? {
            Document::Image(manifest) => {
                return Ok(Resolved { digest: top.digest, manifest, manifest_bytes: top.bytes });
            }
            Document::Index(entries) => {
                let entry = choose(&entries, &Platform::here())
                    .ok_or_else(|| Error::Platform("not found".to_owned()))?;
                let fetched = self.registry.manifest(&self.reference.with_digest(&entry.digest)).await?;
                (top.digest, fetched)
            }
        };
        match Document::parse(&fetched.bytes, &fetched.media_type)? {
            Document::Image(manifest) => Ok(Resolved { digest, manifest, manifest_bytes: fetched.bytes }),
            Document::Index(_) => {
                Err(Error::Invalid("invalid manifest: an index within an index".to_owned()))
            }
        }
    }

    async fn lease(&self) -> Result<Lease, Error> {
        let layout = self.inner.layout.clone();
        blocking(move || Lease::new(&layout).map_err(|e| Error::failed("cannot use the image store", e)))
            .await
    }

    /// Fetches the configuration, and keeps it and the manifest.
    async fn config(&self, resolved: &Resolved, lease: &Lease) -> Result<Config, Error> {
        let descriptor = &resolved.manifest.config;
        if descriptor.size > MAX_DOCUMENT {
            return Err(Error::Invalid(format!(
                "the image configuration has {} bytes; {MAX_DOCUMENT} is the most",
                descriptor.size
            )));
        }
        let manifest = Digest::of(&resolved.manifest_bytes);
        // The lock is held for moments only, by anybody.
        lease
            .protect([&manifest, &descriptor.digest])
            .map_err(|e| Error::failed("cannot use the image store", e))?;
        let download = Download {
            layout: self.inner.layout.clone(),
            registry: self.registry.clone(),
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            observer: super::progress::nobody(),
        };
        download.run().await?;
        let (layout, bytes) = (self.inner.layout.clone(), resolved.manifest_bytes.clone());
        let (digest, layers) = (descriptor.digest.clone(), resolved.manifest.layers.len());
        blocking(move || {
            ingest::put(&layout, &bytes)?;
            let config = std::fs::read(layout.blob(&digest));
            Config::parse(
                &config.map_err(|e| Error::failed("cannot read the image configuration", e))?,
                layers,
            )
        })
        .await
    }

    /// Fetches and unpacks what is not here.
    async fn layers(&self, manifest: &Manifest, config: &Config, chains: &[Digest]) -> Result<(), Error> {
        let at_once = Arc::new(Semaphore::new(self.inner.options.layers_at_once.max(1)));
        let mut coming = Vec::with_capacity(manifest.layers.len());
        for (descriptor, chain) in manifest.layers.iter().zip(chains) {
            if layer::is_present(&self.inner.layout, chain) {
                (self.observer)(&Event::Present(descriptor.digest.clone()));
                coming.push(None);
                continue;
            }
            let download = Download {
                layout: self.inner.layout.clone(),
                registry: self.registry.clone(),
                digest: descriptor.digest.clone(),
                size: descriptor.size,
                observer: self.observer.clone(),
            };
            let at_once = at_once.clone();
            coming.push(Some(AbortOnDropHandle::new(tokio::spawn(async move {
                let _permit = at_once.acquire_owned().await.expect("the semaphore is never closed");
                download.run().await
            }))));
        }
        for (i, handle) in coming.into_iter().enumerate() {
            let Some(handle) = handle else { continue };
            let fetched = handle.await.map_err(|error| Error::failed("a download ended early", error))?;
            let digest = manifest.layers[i].digest.clone();
            fetched.map_err(|error| error.during(&format!("failed to fetch layer {digest}")))?;
            (self.observer)(&Event::Unpacking(digest.clone()));
            let (inner, stack, diff_id) =
                (self.inner.clone(), chains[..=i].to_vec(), config.diff_ids()[i].clone());
            let blob = inner.layout.blob(&digest);
            blocking(move || layer::make(&inner.layout, &blob, &diff_id, &stack, inner.options.limits))
                .await?;
            (self.observer)(&Event::Unpacked(digest));
        }
        Ok(())
    }

    async fn publish(
        &self,
        resolved: &Resolved,
        config: &Config,
        chains: Vec<Digest>,
        lease: Lease,
    ) -> Result<Digest, Error> {
        let id = resolved.manifest.config.digest.clone();
        let at = self.reference.with_digest(&resolved.digest).to_string();
        let record = Record {
            manifest: Digest::of(&resolved.manifest_bytes),
            size_bytes: resolved.manifest.size(resolved.manifest_bytes.len() as u64),
            tags: self.reference.tag().map(|_| self.reference.to_string()).into_iter().collect(),
            digests: [at].into(),
            layers: chains,
            defaults: config.defaults(),
            added: now(),
        };
        let inner = self.inner.clone();
        blocking(move || inner.publish(&id, record, lease).map(|()| id)).await
    }
}
