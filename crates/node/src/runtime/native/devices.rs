//! Devices of the machine that a container gets: named ones, or for a privileged container all of them. Version 1's rules for them.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::spec;
use crate::container::ContainerConfig;

/// What a container may do with devices that every container has, as runc allows it: make any, use harmless ones.
const USUAL: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// Directories and links of `/dev` that are a container's own.
const OWN: [&str; 8] = ["console", "fd", "mqueue", "ptmx", "pts", "shm", "core", ".udev"];

/// How deep `/dev` is gone through.
const DEPTH: u32 = 4;

/// The devices of a container besides the usual ones.
pub(super) fn wanted(config: &ContainerConfig) -> io::Result<Vec<spec::Device>> {
    let mut devices = Vec::new();
    if config.security.privileged {
        collect(Path::new("/dev"), Path::new("/dev"), "rwm", DEPTH, &mut devices)?;
        devices.retain(|device| {
            !OWN.iter().any(|own| {
                device
                    .path
                    .strip_prefix("/dev/")
                    .is_some_and(|path| path == *own || path.starts_with(&format!("{own}/")))
            })
        });
    }
    for wanted in &config.devices {
        devices.retain(|device| Path::new(&device.path) != wanted.container_path);
        collect(&wanted.host_path, &wanted.container_path, &wanted.permissions, DEPTH, &mut devices)?;
    }
    Ok(devices)
}

/// A device, or all in a directory.
fn collect(
    host: &Path,
    inside: &Path,
    access: &str,
    depth: u32,
    devices: &mut Vec<spec::Device>,
) -> io::Result<()> {
    let metadata = fs::symlink_metadata(host).and_then(|found| {
        if found.is_symlink() && depth == DEPTH { fs::metadata(host) } else { Ok(found) }
    })?;
    if metadata.is_dir() {
        if depth > 0 && !OWN.iter().any(|own| host == Path::new("/dev").join(own)) {
            for entry in fs::read_dir(host)?.flatten() {
                // What goes away meanwhile is not there.
                let _ = collect(&entry.path(), &inside.join(entry.file_name()), access, depth - 1, devices);
            }
        }
        return Ok(());
    }
    devices.extend(device(&metadata, inside, access));
    Ok(())
}

fn device(metadata: &Metadata, inside: &Path, access: &str) -> Option<spec::Device> {
    let kind = metadata.file_type();
    (kind.is_char_device() || kind.is_block_device()).then(|| spec::Device {
        path: inside.to_string_lossy().into_owned(),
        block: kind.is_block_device(),
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
        mode: metadata.mode() & 0o777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        access: access.to_owned(),
    })
}

/// The rules of the filter.
pub(super) fn rules(devices: &[spec::Device]) -> Vec<String> {
    let own = devices.iter().map(|device| {
        format!(
            "{} {}:{} {}",
            if device.block { 'b' } else { 'c' },
            device.major,
            device.minor,
            device.access
        )
    });
    USUAL.into_iter().map(str::to_owned).chain(own).collect()
}
