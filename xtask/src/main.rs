//! The project's own chores, started by `cargo xtask <chore>`.

mod generate;
mod roots;
mod tidy;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask generate [--check] | tidy";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["generate"] => generate::write(&workspace_root()),
        ["generate", "--check"] => generate::check(&workspace_root()),
        ["tidy"] => tidy::run(&workspace_root()),
        _ => bail!(USAGE),
    }
}

/// The folder of the workspace, whatever folder the chore was started in.
fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}
