//! Switches of the kernel's network, of the namespace in which the thread is.

use std::fs;

use crate::Error;
use crate::error::failed;

/// Sets a switch, if it is not set already: some machines let it be read only.
pub(crate) fn set(name: &str, value: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/{name}");
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    let context =
        format!("cannot set net.{} to {value}: pods have no network without it", name.replace('/', "."));
    fs::write(path, value).map_err(failed(context))
}
