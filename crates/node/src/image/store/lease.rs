//! What a pull or a load under way needs: nobody deletes it, in whatever process, though index.json does not name it yet.
//!
//! A lease holds while its file is locked, so it cannot outlive its process by mistake. One of a pull that failed or was killed holds for
//! a while longer ([`RESUMABLE`]), since the next attempt needs the same; it is not in the way when the disk is full.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::layout::{Layout, Locked, try_lock_named, unique};
use crate::image::digest::Digest;

/// For how long a transfer that broke off can be resumed.
pub(super) const RESUMABLE: Duration = Duration::from_hours(1);

/// Protects content.
#[derive(Debug)]
pub(crate) struct Lease {
    layout: Layout,
    path: PathBuf,
    file: File,
}

impl Lease {
    pub(crate) fn new(layout: &Layout) -> io::Result<Self> {
        let _locked = layout.lock()?;
        let path = layout.leases().join(unique());
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(Self { layout: layout.clone(), path, file })
    }

    /// From here on these blobs and layers stay, if they are there or come. The first of all says what the lease is for.
    pub(crate) fn protect<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> io::Result<()> {
        let lines: String = digests
            .into_iter()
            .flat_map(|digest| {
                [
                    digest.hex(),
                    "
",
                ]
            })
            .collect();
        let _locked = self.layout.lock()?;
        (&self.file).write_all(lines.as_bytes())
    }

    /// It is done: neither this lease nor those of earlier attempts at the same are needed.
    pub(crate) fn release(self, _locked: &Locked) -> io::Result<()> {
        let mine = purpose(&self.path);
        for entry in fs::read_dir(self.layout.leases())? {
            let path = entry?.path();
            if path != self.path && purpose(&path) == mine && try_lock_named(&path)?.is_some() {
                fs::remove_file(&path)?;
            }
        }
        fs::remove_file(&self.path)
    }
}

fn purpose(path: &Path) -> Option<Digest> {
    fs::read_to_string(path).ok()?.lines().next().and_then(Digest::from_hex)
}

/// What all leases protect, those that ended without success in the last `resumable` included. Older ones are deleted.
pub(super) fn protected(
    layout: &Layout,
    resumable: Duration,
    _locked: &Locked,
) -> io::Result<BTreeSet<Digest>> {
    let mut protected = BTreeSet::new();
    for entry in fs::read_dir(layout.leases())? {
        let entry = entry?;
        let path = entry.path();
        if try_lock_named(&path)?.is_some() && !is_younger(&entry, resumable) {
            fs::remove_file(&path)?;
            continue;
        }
        match fs::read_to_string(&path) {
            Ok(lines) => protected.extend(lines.lines().filter_map(Digest::from_hex)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(protected)
}

/// Whether a file was written in the last `age`.
pub(super) fn is_younger(entry: &fs::DirEntry, age: Duration) -> bool {
    let since = || SystemTime::now().duration_since(entry.metadata().ok()?.modified().ok()?).ok();
    since().is_some_and(|since| since < age)
}
