//! Paths below a layer's root. Whatever they contain, they lead nowhere else: each step is one `openat2` that cannot leave the root,
//! and symbolic links are followed as if the root were `/`.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

/// How many symbolic links one path may lead through: the kernel's own limit.
const MAX_LINKS: u32 = 40;

/// The parts of a path as an archive writes it, without `.` and `..`, which never lead above the root.
pub(super) fn clean(path: &[u8]) -> Vec<&OsStr> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            name => parts.push(OsStr::from_bytes(name)),
        }
    }
    parts
}

/// A layer that is being made, and those below it.
pub(super) struct Tree<'a> {
    root: OwnedFd,
    below: &'a [OwnedFd],
    /// The directory that was asked for last: entries of one directory mostly come together.
    last: Option<(PathBuf, OwnedFd)>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: OwnedFd, below: &'a [OwnedFd]) -> Self {
        Self { root, below, last: None }
    }

    pub(super) fn open_root(&self) -> io::Result<OwnedFd> {
        open_directory(&self.root, Path::new("."))
    }

    /// The root begins as that of the layer below it.
    pub(super) fn inherit_root(&self) -> io::Result<()> {
        self.inherit(&self.root, Path::new("."))
    }

    /// Opens a directory, and makes what is missing of it as it is in the layers below.
    pub(super) fn directory(&mut self, parts: &[&OsStr]) -> io::Result<OwnedFd> {
        let path: PathBuf = parts.iter().collect();
        if let Some((last, directory)) = &self.last
            && *last == path
        {
            return directory.try_clone();
        }
        let directory = match resolve(&self.root, &path) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => self.make(parts)?,
            Err(error) => return Err(error.into()),
        };
        self.last = Some((path, directory.try_clone()?));
        Ok(directory)
    }

    /// Goes step by step, so that a link that leads to nothing leads to a directory afterwards.
    fn make(&self, parts: &[&OsStr]) -> io::Result<OwnedFd> {
        let mut todo: VecDeque<OsString> = parts.iter().map(|part| (*part).to_owned()).collect();
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                done.pop();
                continue;
            }
            let parent = step(&self.root, &done)?;
            match kind(&parent, &part)? {
                Some(FileType::Directory) => done.push(part),
                Some(FileType::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = fs::readlinkat(&parent, &part, Vec::new())?.into_bytes();
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    let parts =
                        target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
                    for part in parts.rev() {
                        todo.push_front(OsString::from_vec(part.to_vec()));
                    }
                }
                Some(_) => return Err(Errno::NOTDIR.into()),
                None => {
                    fs::mkdirat(&parent, &part, Mode::from_raw_mode(0o755))?;
                    done.push(part);
                    self.inherit(&step(&self.root, &done)?, &done)?;
                }
            }
        }
        Ok(step(&self.root, &done)?)
    }

    /// Owner, permissions and times of the same directory below: an archive need not name what it does not change.
    fn inherit(&self, directory: &OwnedFd, path: &Path) -> io::Result<()> {
        let stat = self.below.iter().find_map(|layer| fs::fstat(resolve(layer, path).ok()?).ok());
        let directory = open_directory(directory, Path::new("."))?;
        let Some(stat) = stat else {
            fs::fchmod(&directory, Mode::from_raw_mode(0o755))?;
            return Ok(());
        };
        let (uid, gid) = (fs::Uid::from_raw(stat.st_uid), fs::Gid::from_raw(stat.st_gid));
        fs::fchown(&directory, Some(uid), Some(gid))?;
        fs::fchmod(&directory, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        fs::futimens(&directory, &times(&stat))?;
        Ok(())
    }

    /// Whether any layer below has something at this path.
    pub(super) fn is_below(&self, path: &Path) -> bool {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.below.iter().any(|layer| fs::openat2(layer, path, flags, Mode::empty(), INSIDE).is_ok())
    }

    /// Removes whatever has that name in a directory of this layer.
    pub(super) fn remove(&mut self, directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
        self.last = None;
        match fs::unlinkat(directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                // Follows no symbolic links.
                let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
                std::fs::remove_dir_all(path)
            }
            other => Ok(other?),
        }
    }

    /// Sets the times of a directory, if it still is one.
    pub(super) fn set_times(&self, path: &Path, times: &Timestamps) -> io::Result<()> {
        match resolve(&self.root, path) {
            Ok(directory) => {
                let directory = open_directory(&directory, Path::new("."))?;
                Ok(fs::futimens(&directory, times)?)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What there is of that name in a directory of this layer.
pub(super) fn kind(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<FileType>> {
    Ok(stat(directory, name)?.map(|stat| FileType::from_raw_mode(stat.st_mode)))
}

/// Whether it is overlayfs' sign of something hidden.
pub(super) fn is_whiteout(directory: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let is_device = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    Ok(stat(directory, name)?.is_some_and(|stat| is_device(&stat) && stat.st_rdev == 0))
}

const INSIDE: ResolveFlags =
    ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);

/// The directory at a path, where `root` is `/`.
fn resolve(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat2(
        root,
        if path.as_os_str().is_empty() { Path::new(".") } else { path },
        flags,
        Mode::empty(),
        INSIDE,
    )
}

/// The directory at a path that has no symbolic links in it.
fn step(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let strict = INSIDE | ResolveFlags::NO_SYMLINKS;
    fs::openat2(
        root,
        if path.as_os_str().is_empty() { Path::new(".") } else { path },
        flags,
        Mode::empty(),
        strict,
    )
}

/// A directory whose descriptor can be used for more than a path.
fn open_directory(directory: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(directory, path, flags, Mode::empty())?)
}

fn stat(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[allow(clippy::cast_possible_wrap, reason = "nanoseconds are below a billion")]
fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leads_above_the_root() {
        let rows: [(&str, &[&str]); 8] = [
            ("a/b", &["a", "b"]),
            ("/a/b/", &["a", "b"]),
            ("./a/./b", &["a", "b"]),
            ("../../etc/passwd", &["etc", "passwd"]),
            ("a/../../b", &["b"]),
            ("a/b/..", &["a"]),
            ("./", &[]),
            ("..", &[]),
        ];
        for (path, want) in rows {
            assert_eq!(clean(path.as_bytes()), want, "{path}");
        }
    }
}
