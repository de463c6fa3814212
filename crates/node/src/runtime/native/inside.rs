//! Files of a container's root, reached so that no link in it leads out of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Most that is read of a file.
const MAX_BYTES: u64 = 1 << 20;

fn open(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(
        root,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

fn root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Reads a file; one that is not there, or no file, is empty.
pub(super) fn read(rootfs: &Path, path: &str) -> String {
    let read = || -> io::Result<String> {
        // What is not a regular file must not block whoever opens it.
        let file = File::from(open(&root(rootfs)?, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK)?);
        if !file.metadata()?.is_file() {
            return Ok(String::new());
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// Makes a directory with all above it, as runc does for a working directory that the image has not.
pub(super) fn make_directory(rootfs: &Path, path: &Path) -> io::Result<()> {
    let root = root(rootfs)?;
    let mut below = Path::new("/").to_owned();
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        let above = below.clone();
        below.push(name);
        match open(&root, &below, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) => {}
            Err(Errno::NOENT) => make(&root, &above, name)?,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn make(root: &OwnedFd, above: &Path, name: &OsStr) -> io::Result<()> {
    let above = open(root, above, OFlags::PATH | OFlags::DIRECTORY)?;
    match rustix::fs::mkdirat(above, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_do_not_lead_out() {
        let directory = tempfile::tempdir().unwrap();
        let rootfs = directory.path().join("rootfs");
        std::fs::create_dir_all(rootfs.join("etc")).unwrap();
        std::fs::write(directory.path().join("secret"), "secret").unwrap();
        std::fs::write(rootfs.join("etc/real"), "real").unwrap();
        symlink("../../secret", rootfs.join("etc/out")).unwrap();
        symlink("/etc/real", rootfs.join("etc/absolute")).unwrap();
        symlink("../..", rootfs.join("up")).unwrap();
        for (path, expected) in
            [("etc/real", "real"), ("/etc/absolute", "real"), ("etc/out", ""), ("etc/none", ""), ("etc", "")]
        {
            assert_eq!(read(&rootfs, path), expected, "{path}");
        }
        make_directory(&rootfs, Path::new("/up/made/below")).unwrap();
        assert!(rootfs.join("made/below").is_dir());
        assert!(!directory.path().join("made").exists());
        make_directory(&rootfs, Path::new("/up/made/below")).unwrap();
    }
}
