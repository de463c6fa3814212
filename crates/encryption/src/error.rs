//! Why a configuration cannot be used, and why a value cannot be written or read.

use std::path::PathBuf;

use sampan_model::FieldError;

/// A configuration that cannot be used. The sentences are those of kube-apiserver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("error reading encryption provider configuration file {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing in the file.
    #[error("encryption provider configuration file {0:?} is empty")]
    Empty(PathBuf),
    /// The file is no EncryptionConfiguration.
    #[error("error decoding encryption provider configuration file {path:?}: {detail}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The file says something that makes no sense.
    #[error("error while parsing file: {}", aggregate(.0))]
    Invalid(Vec<FieldError>),
    /// A rule can never be reached.
    #[error("error while building transformers: resource {resource:?} is masked by earlier rule {rule:?}")]
    Masked {
        /// What the rule is for.
        resource: String,
        /// The earlier rule.
        rule: String,
    },
    /// The first version of KMS is off, as it is by default in kube-apiserver.
    #[error(
        "error while building transformers: KMSv1 is deprecated and will only receive security updates going \
         forward. Use KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature."
    )]
    KmsV1,
    /// A key is not one.
    #[error("error while creating cipher for named key {0}")]
    Key(String),
    /// The part that talks to a plugin cannot be started.
    #[error("could not configure KMSv2-Plugin's probe {name:?}")]
    Kms {
        /// The provider.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A plugin of a new configuration does not work.
    #[error("{0}")]
    Unhealthy(String),
    /// A new configuration could not read what has been written under the old one.
    #[error(
        "the new configuration has no key for {key:?} (and for {others} more): keep the old key behind the new one \
         until all has been written anew"
    )]
    Unreadable {
        /// One object that could not be read.
        key: String,
        /// How many others.
        others: usize,
    },
}

/// Several complaints as one, as upstream's `Aggregate` shows them.
fn aggregate(errors: &[FieldError]) -> String {
    match errors {
        [one] => one.to_string(),
        many => format!("[{}]", many.iter().map(FieldError::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Why a value cannot be sealed or opened. The sentences are those of kube-apiserver, but for what a cipher says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("no matching prefix found")]
    NoProvider,
    #[error("identity transformer tried to read encrypted data")]
    Encrypted,
    #[error("no matching key was found for the provided {0} transformer")]
    NoKey(&'static str),
    #[error("the stored data was shorter than the required size")]
    TooShort,
    #[error("the stored data is not a multiple of the block size")]
    BlockSize,
    #[error("invalid padding on input")]
    Padding,
    #[error("cipher: message authentication failed")]
    Authentication,
    #[error("the value cannot be encrypted")]
    Cipher,
    #[error("{0}")]
    Kms(String),
}
