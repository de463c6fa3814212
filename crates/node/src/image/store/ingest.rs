//! Content on its way into the store: written to a file of its own, verified, then renamed to its digest. What broke off goes on where
//! it was, in this process or the next. One writer a blob: the file is locked, in whatever process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::layout::{Layout, lock_named, sync_parent, unique};
use super::lease::Lease;
use crate::image::Error;
use crate::image::digest::{Digest, Hasher};

/// What became of wanting to write a blob.
pub(crate) enum Ingest {
    /// It is here.
    Present,
    /// It is to be written.
    Partial(Partial),
}

/// A blob of a known digest that is being written.
pub(crate) struct Partial {
    layout: Layout,
    digest: Digest,
    size: u64,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    offset: u64,
}

/// Waits until nobody else writes this blob.
pub(crate) fn open(layout: &Layout, digest: &Digest, size: u64) -> io::Result<Ingest> {
    if layout.blob(digest).exists() {
        return Ok(Ingest::Present);
    }
    let path = layout.ingest().join(digest.hex());
    let mut file = lock_named(&path)?;
    if layout.blob(digest).exists() {
        fs::remove_file(&path)?;
        return Ok(Ingest::Present);
    }
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 << 10];
    let mut offset = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => {
                hasher.update(&buffer[..read]);
                offset += read as u64;
            }
        }
    }
    let digest = digest.clone();
    Ok(Ingest::Partial(Partial { layout: layout.clone(), digest, size, path, file, hasher, offset }))
}

impl Partial {
    /// How much is there.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether all of it is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.offset == self.size
    }

    /// Writes what comes next.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        let left = self.size - self.offset;
        if piece.len() as u64 > left {
            self.abandon();
            return Err(Error::Invalid(format!(
                "unexpected commit size: {} has more than {} bytes: failed precondition",
                self.digest, self.size
            )));
        }
        self.file.write_all(piece).map_err(|e| Error::failed("cannot write a part of an image", e))?;
        self.hasher.update(piece);
        self.offset += piece.len() as u64;
        Ok(())
    }

    /// Begins anew: whoever sends it cannot go on in the middle.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        let reset = || -> io::Result<()> {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            Ok(())
        };
        let mut reset = reset;
        reset().map_err(|e| Error::failed("cannot write a part of an image", e))?;
        self.hasher = Hasher::default();
        self.offset = 0;
        Ok(())
    }

    /// Verifies it and gives it its name.
    pub(crate) fn commit(self) -> Result<(), Error> {
        if self.offset != self.size {
            return Err(Error::Invalid(format!(
                "unexpected commit size {}, expected {}: failed precondition",
                self.offset, self.size
            )));
        }
        let digest = self.hasher.clone().finish();
        if digest != self.digest {
            self.abandon();
            return Err(Error::Invalid(format!(
                "unexpected commit digest {digest}, expected {}: failed precondition",
                self.digest
            )));
        }
        publish(&self.layout, &self.file, &self.path, &digest)
            .map_err(|e| Error::failed("cannot keep a part of an image", e))
    }

    /// What is wrong would be wrong again.
    fn abandon(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn publish(layout: &Layout, file: &File, path: &std::path::Path, digest: &Digest) -> io::Result<()> {
    file.sync_all()?;
    let place = layout.blob(digest);
    fs::rename(path, &place)?;
    sync_parent(&place)
}

/// Keeps content that is in memory.
pub(crate) fn put(layout: &Layout, content: &[u8]) -> Result<Digest, Error> {
    let digest = Digest::of(content);
    let opened = open(layout, &digest, content.len() as u64);
    match opened.map_err(|e| Error::failed("cannot keep a part of an image", e))? {
        Ingest::Present => {}
        Ingest::Partial(mut partial) => {
            if !partial.is_complete() {
                partial.restart()?;
                partial.write(content)?;
            }
            partial.commit()?;
        }
    }
    Ok(digest)
}

/// Content whose digest is not known before its end.
pub(crate) struct Unnamed {
    layout: Layout,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    /// Its length so far.
    pub(crate) size: u64,
}

impl Unnamed {
    pub(crate) fn new(layout: &Layout) -> io::Result<Self> {
        // Locked before anybody who sweeps can see it.
        let _locked = layout.lock()?;
        let path = layout.ingest().join(format!("load-{}", unique()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(Self { layout: layout.clone(), path, file, hasher: Hasher::default(), size: 0 })
    }

    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        Ok(())
    }

    pub(crate) fn commit(self, lease: &Lease) -> io::Result<Digest> {
        let digest = self.hasher.clone().finish();
        lease.protect([&digest])?;
        publish(&self.layout, &self.file, &self.path, &digest)?;
        Ok(digest)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        // Renamed by now, if all went well.
        let _ = fs::remove_file(&self.path);
    }
}
