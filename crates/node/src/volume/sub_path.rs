//! A path below a volume, pinned: resolved once without a way out of the volume, and bind-mounted from the opened file, so that nothing that a container does to the
//! volume meanwhile changes what is mounted.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, fchmod, fstat, mkdirat, statx};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::{beneath, mounts};

/// Why a path cannot be one below a volume, in the kubelet's words.
pub(super) fn check(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("unable to provision SubPath `{path}`: must not contain '..'"));
    }
    Ok(())
}

/// Opens `path` below `volume`; directories that are missing are made, with the mode of the volume's root.
pub(super) fn open(volume: &Path, path: &str) -> io::Result<OwnedFd> {
    let root = beneath::root(volume)?;
    match beneath::open(&root, path, OFlags::PATH) {
        Err(Errno::NOENT) => make(&root, path),
        done => Ok(done?),
    }
}

fn make(root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(fstat(root)?.st_mode & 0o7777);
    let mut so_far = String::new();
    let mut here = root.try_clone()?;
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        so_far = if so_far.is_empty() { part.to_owned() } else { format!("{so_far}/{part}") };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        here = match beneath::open(root, &so_far, flags) {
            Err(Errno::NOENT) => {
                let is_ours = match mkdirat(&here, part, mode) {
                    Ok(()) => true,
                    Err(Errno::EXIST) => false,
                    Err(error) => return Err(error.into()),
                };
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let new = beneath::open(&here, part, flags)?;
                // Whatever the umask.
                if is_ours {
                    fchmod(&new, mode)?;
                }
                new
            }
            done => done?,
        };
    }
    Ok(here)
}

/// Mounts what was opened at `target`, which is made; what another volume left there goes.
pub(super) fn bind(opened: &OwnedFd, target: &Path) -> io::Result<()> {
    if mounts::is_mounted(target)? {
        if same(opened, target)? {
            return Ok(());
        }
        mounts::detach(target)?;
    }
    let is_directory = FileType::from_raw_mode(fstat(opened)?.st_mode) == FileType::Directory;
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() == is_directory => {}
        Ok(found) if found.is_dir() => fs::remove_dir(target)?,
        Ok(_) => fs::remove_file(target)?,
        Err(_) => {}
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if is_directory {
        fs::create_dir_all(target)?;
    } else {
        fs::OpenOptions::new().create(true).append(true).open(target)?;
    }
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(opened.as_fd(), "", flags)?;
    move_mount(tree.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Whether `target` shows what was opened.
fn same(opened: &OwnedFd, target: &Path) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let (left, right) = (
        statx(opened, "", flags, StatxFlags::INO)?,
        statx(CWD, target, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO)?,
    );
    let key = |found: &rustix::fs::Statx| (found.stx_dev_major, found.stx_dev_minor, found.stx_ino);
    Ok(key(&left) == key(&right))
}
