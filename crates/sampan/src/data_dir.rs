//! The data directory: where it is unless the user says so, and what its files are called.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cli::Place;

/// The data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The directory that the user named, or the default of this user.
    pub(crate) fn of(place: &Place) -> Result<Self> {
        let path = match &place.data_dir {
            Some(path) => path.clone(),
            None => default_path(rustix::process::geteuid().is_root(), |name| {
                std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
            })
            .context("there is no home directory to keep data in: name one with --data-dir")?,
        };
        let path = std::path::absolute(&path)
            .with_context(|| format!("the data directory {} has no absolute path", path.display()))?;
        Ok(Self(path))
    }

    /// Makes the directory, readable by its owner only, if it does not exist.
    pub(crate) fn create(&self) -> Result<()> {
        crate::private_file::create_dir(&self.0).with_context(|| {
            format!("cannot make the data directory {}: choose another with --data-dir", self.0.display())
        })?;
        // One that exists keeps its mode: it may be a mount that others need to pass. All files in it are private, so that who can
        // read the directory reads only names; but who can write into it could put others in their place.
        let mode = std::fs::metadata(&self.0).map_or(0, |found| found.permissions().mode());
        if mode & 0o022 != 0 {
            tracing::warn!(
                "others may write into the data directory {} (mode {:04o}): chmod 700 closes it",
                self.0.display(),
                mode & 0o7777
            );
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Certificates and keys.
    pub(crate) fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    /// What the node keeps.
    pub(crate) fn node(&self) -> PathBuf {
        self.0.join("node")
    }

    /// The images of the node.
    pub(crate) fn images(&self) -> PathBuf {
        self.node().join("images")
    }

    /// The kubeconfig of the administrator.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.0.join("admin.kubeconfig")
    }
}

fn default_path(root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if root {
        return Some("/var/lib/sampan".into());
    }
    let data_home = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
    Some(data_home?.join("sampan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_depends_on_who_asks() {
        let rows = [
            ("root", true, Some("/root"), None, Some("/var/lib/sampan")),
            ("a user", false, Some("/home/a"), None, Some("/home/a/.local/share/sampan")),
            ("a user with XDG", false, Some("/home/a"), Some("/data/a"), Some("/data/a/sampan")),
            ("nobody", false, None, None, None),
        ];
        for (name, root, home, data_home, want) in rows {
            let variable = |wanted: &str| match wanted {
                "HOME" => home.map(PathBuf::from),
                _ => data_home.map(PathBuf::from),
            };
            assert_eq!(default_path(root, variable), want.map(PathBuf::from), "{name}");
        }
    }
}
