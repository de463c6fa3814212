//! The files of an archive of images: where each of them went in the store.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::Deserialize;

use super::Found;
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, MAX_DOCUMENT, Manifest};
use crate::image::reference::Reference;
use crate::image::store::Inner;
use crate::image::store::ingest::Unnamed;
use crate::image::store::layout::Layout;
use crate::image::store::lease::Lease;
use crate::image::tar::{Archive, Kind};
use crate::image::{Error, Limits};

/// Files that say how the others belong together.
const DOCUMENTS: [&str; 2] = ["index.json", "manifest.json"];
/// Most files of an archive: each is remembered by name.
const MAX_FILES: usize = 20_000;
/// Longest name of a file.
const MAX_NAME: usize = 1024;

/// What an archive has.
#[derive(Debug, Default)]
pub(super) struct Contents {
    documents: BTreeMap<String, Vec<u8>>,
    files: BTreeMap<String, Digest>,
    sizes: BTreeMap<Digest, u64>,
}

impl Contents {
    /// Reads an archive; blobs go into the store, protected by the lease.
    pub(super) fn read(
        layout: &Layout,
        lease: &Lease,
        stream: impl Read,
        limits: Limits,
    ) -> Result<Self, Error> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::PermissionDenied => {
                Error::failed("cannot read it", error)
            }
            _ => Error::Invalid(error.to_string()),
        };
        let mut contents = Self::default();
        let mut archive = Archive::new(stream);
        let mut left = limits.bytes;
        while let Some(entry) = archive.next().map_err(failed)? {
            let name = String::from_utf8_lossy(&entry.path).trim_start_matches("./").to_owned();
            if name.len() > MAX_NAME {
                return Err(Error::Invalid(format!(
                    "it has a file whose name has more than {MAX_NAME} bytes"
                )));
            }
            if contents.files.len() >= MAX_FILES {
                return Err(Error::Invalid(format!("it has more than {MAX_FILES} files")));
            }
            match entry.kind {
                Kind::File { size } if DOCUMENTS.contains(&name.as_str()) => {
                    if size > MAX_DOCUMENT {
                        return Err(Error::Invalid(format!(
                            "its {name} has {size} bytes; {MAX_DOCUMENT} is the most"
                        )));
                    }
                    let mut bytes = Vec::new();
                    archive.read_to_end(&mut bytes).map_err(failed)?;
                    contents.documents.insert(name, bytes);
                }
                Kind::File { size } => {
                    left = left.checked_sub(size).ok_or_else(|| {
                        Error::Invalid(format!(
                            "it unpacks to more than {} bytes, the most that is allowed",
                            limits.bytes
                        ))
                    })?;
                    let mut file = Unnamed::new(layout).map_err(failed)?;
                    let mut buffer = vec![0; 128 << 10];
                    loop {
                        match archive.read(&mut buffer).map_err(failed)? {
                            0 => break,
                            read => file.write(&buffer[..read]).map_err(failed)?,
                        }
                    }
                    let digest = file.commit(lease).map_err(failed)?;
                    let claimed = name.strip_prefix("blobs/sha256/").and_then(Digest::from_hex);
                    if claimed.is_some_and(|claimed| claimed != digest) {
                        return Err(Error::Invalid(format!(
                            "its {name} is not what its name says, but {digest}"
                        )));
                    }
                    contents.sizes.insert(digest.clone(), size);
                    contents.files.insert(name, digest);
                }
                // Older versions of `docker save` write a layer that two images share once.
                Kind::Symlink { target } | Kind::HardLink { target } => {
                    contents.link(&name, &String::from_utf8_lossy(&target));
                }
                Kind::Directory | Kind::Character { .. } | Kind::Block { .. } | Kind::Fifo => {}
            }
        }
        Ok(contents)
    }

    /// A name for a file that was read before. A link to anything else is no content.
    fn link(&mut self, name: &str, target: &str) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        // A hard link's target is a path of the archive, a symbolic link's is relative.
        let found =
            self.files.get(&parts.join("/")).or_else(|| self.files.get(target.trim_start_matches("./")));
        if let Some(digest) = found.cloned() {
            self.files.insert(name.to_owned(), digest);
        }
    }

    /// A file that says how the others belong together.
    pub(super) fn document(&self, name: &str) -> Option<&[u8]> {
        self.documents.get(name).map(Vec::as_slice)
    }

    /// How long a blob of the archive is.
    pub(super) fn size(&self, digest: &Digest) -> Option<u64> {
        self.sizes.get(digest).copied()
    }
}

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The images of what `docker save` wrote. It has no manifests, so they are made.
pub(super) fn docker(
    list: &[u8],
    contents: &Contents,
    inner: &Inner,
    lease: &Lease,
    name: Option<&Reference>,
) -> Result<Vec<Found>, Error> {
    let saved: Vec<Saved> = serde_json::from_slice(list)
        .map_err(|error| Error::Invalid(format!("its manifest.json: {error}")))?;
    let alone = saved.len() == 1;
    let descriptor = |file: &str, media_type: &str| {
        let missing = || Error::Invalid(format!("it refers to {file}, which it does not have"));
        let digest = contents.files.get(file.trim_start_matches("./")).ok_or_else(missing)?;
        Ok::<_, Error>(Descriptor::new(
            media_type,
            digest.clone(),
            contents.size(digest).ok_or_else(missing)?,
        ))
    };
    let mut images = Vec::new();
    for image in saved {
        let layers = image.layers.unwrap_or_default();
        let layers = layers.iter().map(|file| descriptor(file, media_type(inner, contents, file)));
        let manifest = Manifest {
            config: descriptor(&image.config, "application/vnd.oci.image.config.v1+json")?,
            layers: layers.collect::<Result<_, _>>()?,
        };
        lease
            .protect([&manifest.config.digest])
            .map_err(|e| Error::failed("cannot use the image store", e))?;
        let tags = image.repo_tags.unwrap_or_default();
        let names = tags.iter().map(|tag| Reference::parse(tag)).collect::<Result<Vec<_>, _>>()?;
        let names = names.into_iter().chain(name.filter(|_| alone).cloned()).collect();
        images.push(Found { manifest, source: None, names });
    }
    Ok(images)
}

/// What a layer is, by its first bytes.
fn media_type(inner: &Inner, contents: &Contents, file: &str) -> &'static str {
    let mut start = [0; 4];
    let read = |start: &mut [u8; 4]| -> Option<()> {
        let digest = contents.files.get(file.trim_start_matches("./"))?;
        std::fs::File::open(inner.layout.blob(digest)).ok()?.read_exact(start).ok()
    };
    match read(&mut start).map(|()| start) {
        Some([0x1f, 0x8b, ..]) => "application/vnd.oci.image.layer.v1.tar+gzip",
        Some([0x28, 0xb5, 0x2f, 0xfd]) => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => "application/vnd.oci.image.layer.v1.tar",
    }
}
