//! Which mounts there are below a directory, and getting rid of them.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

/// Whether something is mounted at `path`.
pub(super) fn is_mounted(path: &Path) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match statx(CWD, path, flags, StatxFlags::empty()) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes away what is mounted at or below `directory`, the deepest and newest first, and what is not mounted then.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    if !directory.try_exists()? {
        return Ok(());
    }
    let real = directory.canonicalize()?;
    for path in below(&real)?.into_iter().rev() {
        detach(&path)?;
    }
    // Nothing is deleted through a mount that came meanwhile.
    if let Some(path) = below(&real)?.first() {
        return Err(io::Error::other(format!("{} is still mounted", path.display())));
    }
    fs::remove_dir_all(&real)
}

/// Shows the directory `source` at `target`, which is made; whether it was not there before.
pub(super) fn bind(source: &Path, target: &Path, read_only: bool) -> io::Result<bool> {
    fs::create_dir_all(target)?;
    if is_mounted(target)? {
        return Ok(false);
    }
    mount_bind(source, target)?;
    if read_only {
        mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, "")?;
    }
    Ok(true)
}

/// Unmounts what is at `path`, also while it is used.
pub(super) fn detach(path: &Path) -> io::Result<()> {
    match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // Not mounted: it went with what it was below.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Mount points at or below `directory`, in the order in which they came.
fn below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")?;
    let points = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    Ok(points.map(unescaped).filter(|point| point.starts_with(directory)).collect())
}

/// Blanks and the like are written `\040`.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(u8::is_ascii_digit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        for (written, path) in
            [("/a/b", "/a/b"), ("/a\\040b", "/a b"), ("/a\\134040", "/a\\040"), ("/a\\", "/a\\")]
        {
            assert_eq!(unescaped(written.as_bytes()), Path::new(path), "{written}");
        }
    }
}
