//! What can be said of `sampan image`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Place;

/// Where `hosts.toml` of registries are looked for.
pub(super) const HOSTS: &str = "/etc/sampan/certs.d";

/// `sampan image`.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Load the images of an archive: an OCI layout, or what `docker save` writes
    Load(Load),
    /// Bring an image from a registry
    Pull(Pull),
    /// List the images
    Ls(Ls),
    /// Remove images, or names of them
    Rm(Rm),
}

/// `sampan image load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) place: Place,
    /// A tar archive, compressed by gzip or zstd or not at all
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A name for the image, where the archive has none or only a tag
    #[arg(long, value_name = "REF")]
    pub(crate) name: Option<String>,
}

/// `sampan image pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The image: `busybox`, `registry.example/app:v1`, `registry.example/app@sha256:...`
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// User of the registry; the password is read from standard input
    #[arg(long, value_name = "USER", requires = "password_stdin")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
    /// Directory of REGISTRY/hosts.toml: mirrors, certificates, headers, as containerd has them
    #[arg(long, value_name = "DIR", default_value = HOSTS)]
    pub(crate) registry_config_dir: PathBuf,
}

/// `sampan image ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `sampan image rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Names, ids, or the beginnings of ids
    #[arg(value_name = "REF", required = true)]
    pub(crate) references: Vec<String>,
}
