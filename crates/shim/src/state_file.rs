//! What a shim knows of a container, beside its bundle: it outlives the shim, so that exit codes do until the container is removed.

use std::io;
use std::path::Path;

use crate::protocol::Container;

/// The file's name in the bundle.
pub const STATE_FILE: &str = "state.json";

/// Reads it; `None` if the container never was created.
pub fn read(bundle: &Path) -> io::Result<Option<Container>> {
    match std::fs::read(bundle.join(STATE_FILE)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map(Some)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces it whole: a reader never sees a half.
pub fn write(bundle: &Path, container: &Container) -> io::Result<()> {
    let new = bundle.join("state.json.new");
    std::fs::write(&new, serde_json::to_vec(container)?)?;
    std::fs::rename(new, bundle.join(STATE_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bundle = tempfile::tempdir().unwrap();
        assert_eq!(read(bundle.path()).unwrap(), None);
        let container = Container { pid: Some(7), created_ns: 1, started_ns: Some(2), exit: None };
        write(bundle.path(), &container).unwrap();
        assert_eq!(read(bundle.path()).unwrap(), Some(container));
    }
}
