//! Deletes what no image, no lease and no container needs. It is safe at any time and from any process: everything that is
//! needed is named by index.json or by a lease before it is looked for.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::index::Index;
use super::layout::{Layout, Locked, delete, try_lock_named};
use super::lease;
use crate::image::digest::Digest;

/// Moves away what is not needed; whoever asked deletes it with [`finish`] after letting go of the lock. What broke off in the
/// last `resumable` stays.
pub(crate) fn sweep(
    layout: &Layout,
    index: &Index,
    resumable: Duration,
    locked: &Locked,
) -> io::Result<Vec<PathBuf>> {
    let mut needed = index.needed();
    needed.extend(lease::protected(layout, resumable, locked)?);
    let mut away = Vec::new();
    for directory in [layout.blobs(), layout.layers()] {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if !is_needed(&needed, &entry.file_name().to_string_lossy()) {
                away.extend(layout.discard(&entry.path())?);
            }
        }
    }
    for entry in fs::read_dir(layout.ingest())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "layer") {
            let lock = path.with_extension("lock");
            // Without its lock nobody is at work on it.
            if !lock.exists() {
                away.extend(layout.discard(&path)?);
            }
        } else if let Some(_lock) = try_lock_named(&path)? {
            let resumable = Digest::from_hex(&name).is_some() && lease::is_younger(&entry, resumable);
            if !resumable {
                if path.extension().is_some_and(|extension| extension == "lock") {
                    away.extend(layout.discard(&path.with_extension("layer"))?);
                }
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(away)
}

/// Deletes what was moved away.
pub(crate) fn finish(away: &[PathBuf]) {
    for path in away {
        delete(path);
    }
}

fn is_needed(needed: &BTreeSet<Digest>, name: &str) -> bool {
    Digest::from_hex(name).is_some_and(|digest| needed.contains(&digest))
}
