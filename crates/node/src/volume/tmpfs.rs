//! Volumes in memory: `emptyDir` with `medium: Memory`, and all that holds secrets.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, mount};

use super::mounts::is_mounted;

/// Mounts a file system in memory on `directory`, unless one is there. It is not swapped out where the kernel can do that (6.4 and later): it may hold secrets.
pub(super) fn make(directory: &Path, size_bytes: Option<u64>) -> io::Result<()> {
    if is_mounted(directory)? {
        return Ok(());
    }
    let size = size_bytes.map(|bytes| format!("size={bytes}"));
    let attempt = |options: Vec<String>| {
        let options = CString::new(options.join(",")).unwrap_or_default();
        mount("tmpfs", directory, "tmpfs", MountFlags::empty(), options.as_c_str())
    };
    let options: Vec<String> = size.into_iter().collect();
    let without_swap = options.iter().cloned().chain(["noswap".to_owned()]).collect();
    match attempt(without_swap) {
        Err(rustix::io::Errno::INVAL) => Ok(attempt(options)?),
        done => Ok(done?),
    }
}
