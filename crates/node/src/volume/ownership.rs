//! Gives the files of a volume to a pod's `fsGroup`, as the kubelet does: the group is theirs, may do what the owner may, and what is made in their directories is its too.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;

/// What the group may with files, with what can only be read, and with directories besides.
const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const SEARCH: u32 = 0o110;
const SET_GROUP: u32 = 0o2000;

/// The mode with which the group may what it has to.
pub(super) fn widened(mode: u32, is_directory: bool, read_only: bool) -> u32 {
    let mask = if read_only { READ_ONLY } else { READ_WRITE };
    mode | mask | if is_directory { SET_GROUP | SEARCH } else { 0 }
}

/// Gives all below `root`, and it, to `group`. `on_root_mismatch` leaves a root that is right as it is, with all that is below.
pub(super) fn give(root: &Path, group: u32, read_only: bool, on_root_mismatch: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(root)?;
    let mode = meta.permissions().mode() & 0o7777;
    if on_root_mismatch && meta.gid() == group && widened(mode, true, read_only) == mode {
        return Ok(());
    }
    // The root comes last, so that a walk that was cut short is seen as one.
    let mut left = vec![root.to_owned()];
    let mut directories = Vec::new();
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            } else {
                give_one(&entry.path(), group, read_only)?;
            }
        }
        directories.push(directory);
    }
    directories.iter().rev().try_for_each(|directory| give_one(directory, group, read_only))
}

fn give_one(path: &Path, group: u32, read_only: bool) -> io::Result<()> {
    lchown(path, None, Some(group))?;
    let meta = fs::symlink_metadata(path)?;
    // A link has no mode of its own.
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = widened(meta.permissions().mode() & 0o7777, meta.is_dir(), read_only);
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_group_may_what_the_kubelet_lets_it() {
        let rows = [
            ("a file", 0o644, false, false, 0o664),
            ("a file of a volume that is only read", 0o400, false, true, 0o440),
            ("a program", 0o700, false, false, 0o760),
            ("a directory", 0o755, true, false, 0o2775),
            ("a directory in memory", 0o1777, true, true, 0o3777),
        ];
        for (name, mode, is_directory, read_only, expected) in rows {
            assert_eq!(widened(mode, is_directory, read_only), expected, "{name}");
        }
    }

    #[test]
    fn a_volume_is_given_to_a_group_as_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("volume");
        let outside = directory.path().join("outside");
        fs::create_dir_all(root.join("a")).unwrap();
        for path in [&outside, &root.join("a/b")] {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        symlink(&outside, root.join("link")).unwrap();
        let group = |path: &Path| fs::symlink_metadata(path).unwrap().gid();
        give(&root, 77, false, false).unwrap();
        for path in ["", "a", "a/b", "link"] {
            assert_eq!(group(&root.join(path)), 77, "{path}");
        }
        assert_eq!(fs::metadata(root.join("a/b")).unwrap().mode() & 0o7777, 0o660);
        assert_eq!((group(&outside), fs::metadata(&outside).unwrap().mode() & 0o7777), (0, 0o600));

        lchown(root.join("a/b"), None, Some(5)).unwrap();
        give(&root, 77, false, true).unwrap();
        assert_eq!(group(&root.join("a/b")), 5, "the root is right, so nothing is looked at");
        give(&root, 77, false, false).unwrap();
        assert_eq!(group(&root.join("a/b")), 77);
    }
}
