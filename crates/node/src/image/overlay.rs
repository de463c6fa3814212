//! Mounts overlayfs. Mount options of the old call are limited to a page, and images have many layers: the new calls take one layer at
//! a time; kernels that do not know them so get short names for long paths.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

/// What `mount` shows as the source.
const SOURCE: &str = "overlay";
/// Longest text that the new calls take for an option.
const MAX_OPTION: usize = 255;

/// The parts of a root file system.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    /// Read-only, the topmost first.
    pub(crate) lower: Vec<PathBuf>,
    /// What the container writes.
    pub(crate) upper: PathBuf,
    /// Of the kernel's own, on the same file system as `upper`.
    pub(crate) work: PathBuf,
}

/// Mounts. Device nodes of an image or made in it are no devices there: a container's own `/dev` has those it may use.
pub(crate) fn mount(overlay: &Overlay, target: &Path) -> io::Result<()> {
    match mount_layer_by_layer(overlay, target) {
        // Before Linux 6.8 there is no `lowerdir+`.
        Err(Errno::INVAL | Errno::NOSYS) => mount_at_once(overlay, target),
        other => Ok(other?),
    }
}

fn mount_layer_by_layer(overlay: &Overlay, target: &Path) -> Result<(), Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", SOURCE)?;
    // Paths that are too long go by open files, which have to be open until the mount is made.
    let mut open = Vec::new();
    for layer in &overlay.lower {
        fsconfig_set_string(&context, "lowerdir+", short(layer, &mut open)?)?;
    }
    fsconfig_set_string(&context, "upperdir", short(&overlay.upper, &mut open)?)?;
    fsconfig_set_string(&context, "workdir", short(&overlay.work, &mut open)?)?;
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    move_mount(&mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn mount_at_once(overlay: &Overlay, target: &Path) -> io::Result<()> {
    let mut open = Vec::new();
    let mut name = |path: &Path| by_descriptor(path, &mut open);
    let layers: Vec<String> = overlay.lower.iter().map(|path| name(path)).collect::<Result<_, _>>()?;
    let (upper, work) = (name(&overlay.upper)?, name(&overlay.work)?);
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", layers.join(":"));
    let options = std::ffi::CString::new(options).expect("numbers and slashes have no NUL");
    rustix::mount::mount(SOURCE, target, "overlay", MountFlags::NODEV, options.as_c_str())?;
    Ok(())
}

fn short(path: &Path, open: &mut Vec<OwnedFd>) -> Result<PathBuf, Errno> {
    let length = path.as_os_str().len();
    if length <= MAX_OPTION { Ok(path.to_owned()) } else { by_descriptor(path, open).map(PathBuf::from) }
}

fn by_descriptor(path: &Path, open: &mut Vec<OwnedFd>) -> Result<String, Errno> {
    let directory = File::open(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
    open.push(directory.into());
    Ok(name)
}

/// Whether something is mounted at a directory.
pub(crate) fn is_mounted(target: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
    match statx(CWD, target, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Unmounts everything that is mounted at a directory. What is still used goes when its last user does.
pub(crate) fn unmount_all(target: &Path) -> io::Result<()> {
    while is_mounted(target)? {
        match unmount(target, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) => unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?,
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type Mount = fn(&Overlay, &Path) -> io::Result<()>;

    fn mounts() -> usize {
        fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .lines()
            .filter(|line| line.contains(" - overlay "))
            .count()
    }

    #[test]
    fn a_root_of_more_layers_than_a_page_can_name_is_mounted_by_either_way_as_root() {
        let before = mounts();
        let dir = tempfile::tempdir().unwrap();
        // So long that neither a page nor an option of the new calls takes the paths.
        let deep = dir.path().join("d".repeat(150)).join("e".repeat(150));
        let by_layer: Mount = |overlay, target| Ok(mount_layer_by_layer(overlay, target)?);
        for (name, mount) in [("layer by layer", by_layer), ("at once", mount_at_once as Mount)] {
            let make = |part: &str| {
                let path = deep.join(name).join(part);
                fs::create_dir_all(&path).unwrap();
                path
            };
            let lower: Vec<PathBuf> = (0..120).map(|i| make(&format!("layer{i}"))).collect();
            for (i, layer) in lower.iter().enumerate() {
                fs::write(layer.join(format!("file{i}")), "").unwrap();
                fs::write(layer.join("topmost"), i.to_string()).unwrap();
            }
            let overlay = Overlay { lower, upper: make("upper"), work: make("work") };
            let target = make("target");
            assert!(!is_mounted(&target).unwrap());
            mount(&overlay, &target).unwrap();
            assert!(is_mounted(&target).unwrap());
            assert_eq!(fs::read_dir(&target).unwrap().count(), 121, "{name}");
            assert_eq!(fs::read_to_string(target.join("topmost")).unwrap(), "0", "{name}");
            fs::write(target.join("new"), "").unwrap();
            assert!(overlay.upper.join("new").exists());
            unmount_all(&target).unwrap();
            unmount_all(&target).unwrap();
        }
        assert_eq!(mounts(), before);
    }
}
