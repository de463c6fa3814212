//! Configurations and providers, from the file to the bytes.

mod at_rest;
mod configuration;
mod format;

use std::fmt::Write as _;
use std::path::Path;

use crate::{Encryption, Error};

/// A key of 32 bytes in base64.
pub(crate) fn key(fill: u8) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode([fill; 32])
}

/// A provider with one key.
pub(crate) fn provider(kind: &str, name: &str, fill: u8) -> String {
    format!("{{{kind}: {{keys: [{{name: {name}, secret: \"{}\"}}]}}}}", key(fill))
}

/// A configuration with rules `(resources, providers)`.
pub(crate) fn configuration(rules: &[(&str, &[String])]) -> String {
    let mut text =
        String::from("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n");
    for (resources, providers) in rules {
        let _ = writeln!(text, "- resources: [{resources}]\n  providers: [{}]", providers.join(", "));
    }
    text
}

pub(crate) fn load(text: &str) -> Result<Encryption, Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Encryption::load(file.path(), "")
}

/// The error with its causes, without the file's name.
pub(crate) fn complaint(text: &str) -> String {
    let path = Path::new("/etc/enc.yaml");
    match crate::config::parse(text, path)
        .and_then(|c| crate::rules::Rules::new(&c, &crate::metrics::Metrics::default()))
    {
        Err(error) => error.to_string(),
        Ok(rules) => panic!("{rules:?} were made of\n{text}"),
    }
}
