//! `cargo xtask tidy`: checks what the compiler does not: the arrows between crates, who may use what from
//! outside, the reasons of dependencies, the sizes of files.

mod arrows;
mod files;
mod reasons;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::MetadataCommand;

/// Runs every check; all complaints come together.
pub(crate) fn run(root: &Path) -> Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("asking cargo for the crates of the workspace")?;
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).context("reading Cargo.toml")?;
    let mut complaints = arrows::check(&metadata);
    complaints.extend(reasons::check(&manifest));
    complaints.extend(files::check(root)?);
    if !complaints.is_empty() {
        bail!("not tidy:\n  {}", complaints.join("\n  "));
    }
    Ok(())
}
