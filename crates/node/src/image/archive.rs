//! Images from a file: an OCI image layout in a tar archive, or what `docker save` writes (which may be both), compressed or not.
//!
//! The archive is read once, front to back. Whatever may be content goes into the store under its digest; what says how it
//! belongs together is read into memory, and is looked at in the end.

mod contents;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use self::contents::Contents;
use super::Error;
use super::compression;
use super::digest::Digest;
use super::manifest::{Config, Descriptor, Document, MAX_DOCUMENT, Manifest};
use super::platform::{Platform, choose};
use super::progress::{Event, Observer};
use super::reference::Reference;
use super::store::index::Record;
use super::store::lease::Lease;
use super::store::{Inner, ingest, layer, now};

/// How deep indexes may lead to indexes.
const MAX_DEPTH: u32 = 4;

/// An image that an archive has.
#[derive(Debug)]
struct Found {
    manifest: Manifest,
    /// The manifest as it is in the archive, and what its name stands for (it or an index); none if the manifest was made here.
    source: Option<Source>,
    names: BTreeSet<Reference>,
}

/// Where a manifest came from.
#[derive(Debug)]
struct Source {
    manifest: Digest,
    target: Digest,
}

/// Loads all images of an archive, and answers their ids.
pub(super) fn load(
    inner: &Inner,
    path: &Path,
    name: Option<&str>,
    observer: &Observer,
) -> Result<Vec<Digest>, Error> {
    let what = format!("cannot load {}", path.display());
    let name = name.map(Reference::parse).transpose()?;
    let failed = |error: io::Error| Error::failed("cannot read it", error);
    let work = |lease: &Lease| -> Result<Vec<Digest>, Error> {
        let file = BufReader::with_capacity(256 << 10, File::open(path).map_err(failed)?);
        let stream = compression::open(file).map_err(failed)?;
        let contents = Contents::read(&inner.layout, lease, stream, inner.options.limits)?;
        let images = find(inner, lease, &contents, name.as_ref())?;
        if images.is_empty() {
            return Err(Error::Invalid("there is no image in it".to_owned()));
        }
        let mut ids = Vec::new();
        for image in images {
            let id = keep(inner, lease, &image, &contents, observer)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    };
    let load = || {
        let lease = Lease::new(&inner.layout).map_err(failed)?;
        let outcome = work(&lease);
        // The archive is still there, so nothing of it needs to stay.
        inner.end(lease)?;
        outcome
    };
    load().map_err(|error| error.during(&what))
}

fn find(
    inner: &Inner,
    lease: &Lease,
    contents: &Contents,
    name: Option<&Reference>,
) -> Result<Vec<Found>, Error> {
    // Newer versions of `docker save` write both; the layout says more.
    if let Some(index) = contents.document("index.json") {
        let Document::Index(entries) = Document::parse(index, "")? else {
            return Err(Error::Invalid("its index.json is no index".to_owned()));
        };
        let alone = entries.len() == 1;
        let mut images = Vec::new();
        for entry in &entries {
            if entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown") {
                continue; // an attestation
            }
            let names = names(&entry.annotations, name.filter(|_| alone))?;
            let (manifest, digest) = descend(inner, contents, entry, MAX_DEPTH)?;
            let source = Source { manifest: digest, target: entry.digest.clone() };
            images.push(Found { manifest, source: Some(source), names });
        }
        return Ok(images);
    }
    if let Some(list) = contents.document("manifest.json") {
        return contents::docker(list, contents, inner, lease, name);
    }
    Err(Error::Invalid("it has neither an index.json nor a manifest.json".to_owned()))
}

/// The names of an image in a layout. Builders differ in where they write the whole name, and may write its tag only.
fn names(
    annotations: &std::collections::BTreeMap<String, String>,
    given: Option<&Reference>,
) -> Result<BTreeSet<Reference>, Error> {
    let whole = annotations.get("io.containerd.image.name");
    let short = annotations.get("org.opencontainers.image.ref.name");
    let name = match (whole, short) {
        (Some(whole), _) => Some(Reference::parse(whole)?),
        (None, Some(short)) if short.contains(['/', ':', '@']) => Some(Reference::parse(short)?),
        // Only a tag: the name has to be given.
        (None, Some(tag)) => match given {
            Some(given) => Some(Reference::parse(&format!("{}:{tag}", given.name()))?),
            None => None,
        },
        (None, None) => None,
    };
    Ok(name.into_iter().chain(given.cloned()).collect())
}

/// From a descriptor to the manifest for this machine.
fn descend(
    inner: &Inner,
    contents: &Contents,
    entry: &Descriptor,
    depth: u32,
) -> Result<(Manifest, Digest), Error> {
    let bytes = blob(inner, contents, &entry.digest)?;
    match Document::parse(&bytes, &entry.media_type)? {
        Document::Image(manifest) => Ok((manifest, entry.digest.clone())),
        Document::Index(entries) if depth > 0 => {
            let chosen =
                choose(&entries, &Platform::here()).ok_or_else(|| Error::Platform("not found".to_owned()))?;
            descend(inner, contents, chosen, depth - 1)
        }
        Document::Index(_) => Err(Error::Invalid("its indexes are nested too deeply".to_owned())),
    }
}

fn blob(inner: &Inner, contents: &Contents, digest: &Digest) -> Result<Vec<u8>, Error> {
    let size = contents
        .size(digest)
        .ok_or_else(|| Error::Invalid(format!("it refers to {digest}, which it does not have")))?;
    if size > MAX_DOCUMENT {
        return Err(Error::Invalid(format!(
            "{digest} has {size} bytes; {MAX_DOCUMENT} is the most for a document"
        )));
    }
    std::fs::read(inner.layout.blob(digest))
        .map_err(|error| Error::failed(format!("cannot read {digest}"), error))
}

/// Unpacks an image and names it.
fn keep(
    inner: &Inner,
    lease: &Lease,
    image: &Found,
    contents: &Contents,
    observer: &Observer,
) -> Result<Digest, Error> {
    let manifest = &image.manifest;
    let config = Config::parse(&blob(inner, contents, &manifest.config.digest)?, manifest.layers.len())?;
    let chains = config.chains();
    let failed = |error: io::Error| Error::failed("cannot use the image store", error);
    lease.protect(&chains).map_err(failed)?;
    let name = image.names.first().map_or_else(|| manifest.config.digest.to_string(), ToString::to_string);
    let layers = manifest.layers.iter().map(|layer| (layer.digest.clone(), layer.size)).collect();
    observer(&Event::Resolved { name, layers });
    for (i, descriptor) in manifest.layers.iter().enumerate() {
        if layer::is_present(&inner.layout, &chains[i]) {
            observer(&Event::Present(descriptor.digest.clone()));
            continue;
        }
        if contents.size(&descriptor.digest).is_none() {
            return Err(Error::Invalid(format!(
                "it refers to {}, which it does not have",
                descriptor.digest
            )));
        }
        observer(&Event::Unpacking(descriptor.digest.clone()));
        let blob = inner.layout.blob(&descriptor.digest);
        layer::make(&inner.layout, &blob, &config.diff_ids()[i], &chains[..=i], inner.options.limits)?;
        observer(&Event::Unpacked(descriptor.digest.clone()));
    }
    let (kept, length) = if let Some(source) = &image.source {
        (source.manifest.clone(), contents.size(&source.manifest).unwrap_or_default())
    } else {
        let json = manifest.to_json();
        lease.protect([&Digest::of(&json)]).map_err(failed)?;
        (ingest::put(&inner.layout, &json)?, json.len() as u64)
    };
    let target = image.source.as_ref().map(|source| &source.target);
    let digests =
        target.iter().flat_map(|target| image.names.iter().map(|name| name.with_digest(target).to_string()));
    let record = Record {
        manifest: kept,
        size_bytes: manifest.size(length),
        tags: image.names.iter().filter(|name| name.tag().is_some()).map(ToString::to_string).collect(),
        digests: digests.collect(),
        layers: chains,
        defaults: config.defaults(),
        added: now(),
    };
    let id = manifest.config.digest.clone();
    // Further images of the archive may need what this one does, so the lease stays.
    inner.change(|index, _| {
        index.add(&id, record);
        Ok(())
    })?;
    inner.touch(&id).map_err(failed)?;
    Ok(id)
}
