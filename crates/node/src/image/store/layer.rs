//! Unpacked layers: each stack once, whatever images share it.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layout::{Layout, lock_named, sync_parent};
use crate::image::digest::{Digest, Hasher};
use crate::image::unpack::{Limits, unpack};
use crate::image::{Error, compression};

/// What is known of a layer: `layer.json` beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// What its archive's digest was, decompressed.
    pub(crate) diff_id: Digest,
    /// What it takes, roughly.
    pub(crate) disk_bytes: u64,
    /// Files, directories and links.
    pub(crate) entries: u64,
}

/// The directory that overlayfs gets.
pub(crate) fn tree(layout: &Layout, chain: &Digest) -> PathBuf {
    layout.layer(chain).join("fs")
}

/// Whether a stack is unpacked.
pub(crate) fn is_present(layout: &Layout, chain: &Digest) -> bool {
    layout.layer(chain).exists()
}

/// What a layer takes; 0 if nobody knows.
pub(crate) fn disk_bytes(layout: &Layout, chain: &Digest) -> u64 {
    let read = || -> Option<Facts> {
        serde_json::from_slice(&fs::read(layout.layer(chain).join("layer.json")).ok()?).ok()
    };
    read().map_or(0, |facts| facts.disk_bytes)
}

/// Unpacks the topmost layer of a stack from its blob. `chains` are the stacks' ids, the lowest first; all but the last are there.
pub(crate) fn make(
    layout: &Layout,
    blob: &Path,
    diff_id: &Digest,
    chains: &[Digest],
    limits: Limits,
) -> Result<(), Error> {
    let Some((chain, below)) = chains.split_last() else { return Ok(()) };
    let failed = |source: io::Error| Error::failed(format!("failed to extract layer {diff_id}"), source);
    let lock_path = layout.ingest().join(format!("{}.lock", chain.hex()));
    let _lock = lock_named(&lock_path).map_err(failed)?;
    let outcome = if is_present(layout, chain) {
        Ok(())
    } else {
        let place = layout.ingest().join(format!("{}.layer", chain.hex()));
        let made = fill(layout, &place, blob, diff_id, below, limits).and_then(|()| {
            fs::rename(&place, layout.layer(chain)).map_err(failed)?;
            sync_parent(&layout.layer(chain)).map_err(failed)
        });
        if made.is_err() {
            super::layout::delete(&place);
        }
        made
    };
    fs::remove_file(&lock_path).map_err(failed)?;
    outcome
}

fn fill(
    layout: &Layout,
    place: &Path,
    blob: &Path,
    diff_id: &Digest,
    below: &[Digest],
    limits: Limits,
) -> Result<(), Error> {
    let failed = |source: io::Error| Error::failed(format!("failed to extract layer {diff_id}"), source);
    // A crash may have left half of it.
    super::layout::delete(place);
    let fs = place.join("fs");
    fs::create_dir_all(&fs).map_err(failed)?;
    let open = |path: &Path| File::open(path).map(OwnedFd::from);
    let below: Vec<OwnedFd> = below
        .iter()
        .rev()
        .map(|chain| open(&tree(layout, chain)))
        .collect::<io::Result<_>>()
        .map_err(failed)?;
    let source = BufReader::with_capacity(256 << 10, File::open(blob).map_err(failed)?);
    let mut source = Hashed { source: compression::open(source).map_err(failed)?, hasher: Hasher::default() };
    let unpacked =
        unpack(&mut source, open(&fs).map_err(failed)?, &below, limits).map_err(refused(diff_id))?;
    let digest = source.hasher.finish();
    if digest != *diff_id {
        return Err(Error::Invalid(format!(
            "failed to extract layer {diff_id}: wrong diff id calculated on extraction {digest:?}"
        )));
    }
    let facts =
        Facts { diff_id: diff_id.clone(), disk_bytes: unpacked.disk_bytes, entries: unpacked.entries };
    let facts = serde_json::to_vec(&facts).expect("facts are JSON");
    fs::write(place.join("layer.json"), facts).map_err(failed)?;
    // One sync of everything is far cheaper than one of each file; a layer that has its name is whole after a loss of power too.
    rustix::fs::syncfs(open(place).map_err(failed)?).map_err(|errno| failed(errno.into()))
}

/// What is wrong with an archive is the image's fault; a full disk is not, nor a user who may not make devices.
fn refused(diff_id: &Digest) -> impl Fn(io::Error) -> Error + '_ {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    move |error| match error.kind() {
        StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied => {
            Error::failed(format!("failed to extract layer {diff_id}"), error)
        }
        _ => Error::Invalid(format!("failed to extract layer {diff_id}: {error}")),
    }
}

/// Computes the digest of what is read.
struct Hashed<R> {
    source: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
