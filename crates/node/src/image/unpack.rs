//! Unpacks a layer into a directory of its own, as overlayfs wants to find it.
//!
//! The archive comes from anybody, and this runs as root: every path is resolved below the target, symbolic links included
//! (`tree`), and what it may take is bounded. Nobody else writes in the target meanwhile. What other images or containers
//! contain is none of its business; the layers below are only looked at.

mod tree;

use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, makedev,
};

use self::tree::{Tree, clean};
use super::tar::{Archive, Entry, Kind, Time};

/// Before the name of what a layer hides of those below.
const WHITEOUT: &[u8] = b".wh.";
/// In a directory that hides all that is below it.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS left behind.
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";

/// What an entry costs on the disk besides its content, and the unit in which content is kept.
const DISK_BLOCK: u64 = 4096;

/// What a layer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that it may unpack to.
    pub bytes: u64,
    /// Most files, directories and links.
    pub entries: u64,
    /// Most bytes of all names of its directories: they are kept in memory until the end.
    pub directory_names: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 2_000_000, directory_names: 64 << 20 }
    }
}

/// What a layer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Bytes on the disk, roughly.
    pub(crate) disk_bytes: u64,
    /// Files, directories and links.
    pub(crate) entries: u64,
}

/// Unpacks an archive into an empty directory. `below` are the roots of the layers beneath, the nearest first.
pub(crate) fn unpack(
    source: impl Read,
    target: OwnedFd,
    below: &[OwnedFd],
    limits: Limits,
) -> io::Result<Unpacked> {
    let mut unpacker = Unpacker {
        tree: Tree::new(target, below),
        limits,
        directories: Vec::new(),
        names: 0,
        took: Unpacked::default(),
    };
    unpacker.tree.inherit_root()?;
    let bounded = Bounded { source, left: limits.bytes, limit: limits.bytes };
    let mut archive = Archive::new(bounded);
    while let Some(entry) = archive.next()? {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        unpacker
            .entry(&entry, &mut archive)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot unpack {path:?}: {error}")))?;
    }
    unpacker.finish()?;
    // The digest of the whole stream is computed by the source, so all of it is read.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(unpacker.took)
}

/// A stream that ends with an error when it is too long: a few kilobytes may unpack to anything.
struct Bounded<R> {
    source: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!(
                "the layer unpacks to more than {} bytes, the most that is allowed",
                self.limit
            ))
        })?;
        Ok(read)
    }
}

struct Unpacker<'a> {
    tree: Tree<'a>,
    limits: Limits,
    /// Directories and their times, which are set last: whatever is made in a directory changes them.
    directories: Vec<(PathBuf, Timestamps)>,
    names: u64,
    took: Unpacked,
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut impl Read) -> io::Result<()> {
        self.took.entries += 1;
        self.took.disk_bytes += DISK_BLOCK;
        if self.took.entries > self.limits.entries {
            return Err(io::Error::other(format!(
                "the layer has more than {} entries, the most that is allowed",
                self.limits.entries
            )));
        }
        let path = clean(&entry.path);
        let Some((name, parent)) = path.split_last() else {
            // `./`, the root itself.
            if entry.kind == Kind::Directory {
                let root = self.tree.open_root()?;
                set_metadata(root.as_fd(), entry)?;
                self.remember(PathBuf::new(), entry)?;
            }
            return Ok(());
        };
        let parent_path: PathBuf = parent.iter().collect();
        let parent = self.tree.directory(parent)?;
        if name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(name, &parent_path, &parent);
        }
        let there = tree::kind(&parent, name)?;
        if let Kind::Directory = entry.kind {
            return self.directory(entry, &parent, &parent_path, name, there);
        }
        if let Kind::HardLink { target } = &entry.kind {
            return self.hard_link(target, &path, &parent, name, there);
        }
        if there.is_some() {
            self.tree.remove(&parent, name)?;
        }
        self.create(entry, &parent, name, content)
    }

    fn directory(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        parent_path: &std::path::Path,
        name: &OsStr,
        there: Option<FileType>,
    ) -> io::Result<()> {
        if there != Some(FileType::Directory) {
            let hides = tree::is_whiteout(parent, name)?;
            if there.is_some() {
                self.tree.remove(parent, name)?;
            }
            fs::mkdirat(parent, name, Mode::RWXU)?;
            if hides {
                let made = open_directory(parent.as_fd(), name)?;
                fs::fsetxattr(&made, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())?;
            }
        }
        let directory = open_directory(parent.as_fd(), name)?;
        set_metadata(directory.as_fd(), entry)?;
        self.remember(parent_path.join(name), entry)
    }

    fn remember(&mut self, path: PathBuf, entry: &Entry) -> io::Result<()> {
        self.names += path.as_os_str().len() as u64 + 64;
        if self.names > self.limits.directory_names {
            return Err(io::Error::other(format!(
                "the names of the layer's directories take more than {} bytes, the most that is allowed",
                self.limits.directory_names
            )));
        }
        self.directories.push((path, timestamps(entry)));
        Ok(())
    }

    /// A link to a file of this layer. Like the archive's other paths, its target is one below the root.
    fn hard_link(
        &mut self,
        target: &[u8],
        path: &[&OsStr],
        parent: &OwnedFd,
        name: &OsStr,
        there: Option<FileType>,
    ) -> io::Result<()> {
        let target = clean(target);
        let Some((target_name, target_parent)) = target.split_last() else {
            return Err(io::Error::other("a hard link to the root"));
        };
        if target == path {
            return Ok(());
        }
        let source = self.tree.directory(target_parent)?;
        if there.is_some() {
            self.tree.remove(parent, name)?;
        }
        fs::linkat(&source, *target_name, parent, name, AtFlags::empty())?;
        Ok(())
    }

    /// Hides a name of the layers below: overlayfs knows it by a character device 0/0, or an attribute of a directory.
    fn whiteout(&mut self, name: &OsStr, parent_path: &std::path::Path, parent: &OwnedFd) -> io::Result<()> {
        if name.as_bytes() == OPAQUE {
            let directory = open_directory(parent.as_fd(), OsStr::new("."))?;
            fs::fsetxattr(&directory, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())?;
            return Ok(());
        }
        if name.as_bytes().starts_with(WHITEOUT_META) {
            return Ok(());
        }
        let hidden = OsStr::from_bytes(&name.as_bytes()[WHITEOUT.len()..]);
        if matches!(hidden.as_bytes(), b"" | b"." | b"..") {
            return Err(io::Error::other("a whiteout without a name"));
        }
        match tree::kind(parent, hidden)? {
            // A whiteout concerns the layers below; what this layer has of that name stays.
            Some(FileType::Directory) => {
                let directory = open_directory(parent.as_fd(), hidden)?;
                fs::fsetxattr(&directory, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())?;
            }
            Some(_) => {}
            // In a directory that no other layer has, overlayfs would show the device.
            None if !self.tree.is_below(&parent_path.join(hidden)) => {}
            None => fs::mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?,
        }
        Ok(())
    }

    fn create(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        name: &OsStr,
        content: &mut impl Read,
    ) -> io::Result<()> {
        let mode = Mode::from_raw_mode(entry.mode);
        match &entry.kind {
            Kind::File { size } => {
                self.took.disk_bytes += size.next_multiple_of(DISK_BLOCK);
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = std::fs::File::from(fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
                copy(content, &mut file)?;
                set_metadata(file.as_fd(), entry)?;
                fs::futimens(&file, &timestamps(entry))?;
                return Ok(());
            }
            Kind::Symlink { target } => fs::symlinkat(OsStr::from_bytes(target), parent, name)?,
            Kind::Character { major, minor } => {
                fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), makedev(*major, *minor))?;
            }
            Kind::Block { major, minor } => {
                fs::mknodat(parent, name, FileType::BlockDevice, Mode::empty(), makedev(*major, *minor))?;
            }
            Kind::Fifo => fs::mknodat(parent, name, FileType::Fifo, Mode::empty(), 0)?,
            Kind::Directory | Kind::HardLink { .. } => unreachable!("made by functions of their own"),
        }
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if !matches!(entry.kind, Kind::Symlink { .. }) {
            // Follows symbolic links, but this is what was made two calls ago, and nobody else writes here.
            fs::chmodat(parent, name, mode, AtFlags::empty())?;
        }
        fs::utimensat(parent, name, &timestamps(entry), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        for (path, times) in std::mem::take(&mut self.directories) {
            // One that was replaced since has no times to set.
            self.tree.set_times(&path, &times)?;
        }
        Ok(())
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(parent, name, flags, Mode::empty())?)
}

fn copy(content: &mut impl Read, file: &mut std::fs::File) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(()),
            read => file.write_all(&buffer[..read])?,
        }
    }
}

/// Owner, then attributes (a new owner takes capabilities away), then permissions (it takes setuid away too).
fn set_metadata(file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    for (name, value) in entry.attributes.iter().filter(|(name, _)| is_wanted(name)) {
        match fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
            // Not every file system has all of them.
            Err(rustix::io::Errno::NOTSUP) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
    }
    fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    Ok(())
}

/// Attributes that a layer may bring: those of users, capabilities, access lists. overlayfs' own would let it point anywhere in
/// the layers below; labels of security modules are this machine's.
fn is_wanted(name: &str) -> bool {
    let users = name.starts_with("user.") && !name.starts_with("user.overlay.");
    users || matches!(name, "security.capability" | "system.posix_acl_access" | "system.posix_acl_default")
}

fn timestamps(entry: &Entry) -> Timestamps {
    let timespec = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps {
        last_access: timespec(entry.accessed.unwrap_or(entry.modified)),
        last_modification: timespec(entry.modified),
    }
}

#[cfg(test)]
mod tests;
