//! What registries and archives hold: indexes, manifests, configurations, in OCI's form and Docker's (schema 2). Pure.
//!
//! Read leniently where the two differ or builders are careless, strictly where it decides what is run.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::digest::Digest;
use super::platform::Platform;
use super::{Defaults, Error};

/// Most bytes of an index, manifest or configuration: what containerd takes.
pub(crate) const MAX_DOCUMENT: u64 = 8 << 20;
/// Most layers of an image. overlayfs takes 500, docker makes at most 127.
const MAX_LAYERS: usize = 500;

/// Media types that are asked for: manifests and indexes of both forms.
pub(crate) const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";
/// An OCI manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Refers to content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub(crate) media_type: String,
    /// Its address.
    pub(crate) digest: Digest,
    /// Its length.
    pub(crate) size: u64,
    /// What it was made for, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    /// Whatever a builder wrote beside it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Of some content.
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: BTreeMap::new() }
    }
}

/// A manifest: one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The configuration.
    pub(crate) config: Descriptor,
    /// The layers, the lowest first.
    pub(crate) layers: Vec<Descriptor>,
}

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// Several images to choose from.
    Index(Vec<Descriptor>),
    /// One.
    Image(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyDocument {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads a document. `media_type` is what the registry or the descriptor calls it, for documents that do not say it themselves.
    pub(crate) fn parse(bytes: &[u8], media_type: &str) -> Result<Self, Error> {
        let invalid = |what: &str| Error::Invalid(format!("invalid manifest: {what}"));
        let document: AnyDocument = serde_json::from_slice(bytes).map_err(|e| invalid(&e.to_string()))?;
        if document.schema_version != 2 {
            return Err(invalid(&format!("schema version {} is not supported", document.schema_version)));
        }
        let named = if document.media_type.is_empty() { media_type } else { &document.media_type };
        let named = named.split(';').next().unwrap_or_default().trim();
        // One that can be read both ways may be one thing to whoever checked it, and another here.
        let both = document.manifests.is_some() && (document.layers.is_some() || document.config.is_some());
        match (document.manifests, document.config, document.layers) {
            _ if both => Err(invalid("it has manifests and layers")),
            (Some(manifests), _, _) if !matches!(named, OCI_MANIFEST | DOCKER_MANIFEST) => {
                Ok(Self::Index(manifests))
            }
            (None, Some(config), layers) if !matches!(named, OCI_INDEX | DOCKER_INDEX) => {
                let layers = layers.unwrap_or_default();
                if layers.len() > MAX_LAYERS {
                    return Err(invalid(&format!(
                        "it has {} layers; {MAX_LAYERS} is the most",
                        layers.len()
                    )));
                }
                Ok(Self::Image(Manifest { config, layers }))
            }
            _ => Err(invalid(&format!("media type {named:?} does not say what it is"))),
        }
    }
}

impl Manifest {
    /// The manifest as OCI writes it.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let document = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.config,
            "layers": self.layers,
        });
        serde_json::to_vec(&document).expect("descriptors are JSON")
    }

    /// Compressed size of everything, the manifest included.
    pub(crate) fn size(&self, manifest: u64) -> u64 {
        self.layers
            .iter()
            .fold(manifest.saturating_add(self.config.size), |sum, layer| sum.saturating_add(layer.size))
    }
}

/// The part of an image's configuration that is used here.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    #[serde(default, deserialize_with = "or_default")]
    config: Execution,
    rootfs: Option<RootFs>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Execution {
    #[serde(deserialize_with = "or_default")]
    user: String,
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    working_dir: String,
    #[serde(deserialize_with = "or_default")]
    stop_signal: String,
}

#[derive(Clone, Debug, Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "or_default")]
    diff_ids: Vec<Digest>,
}

impl Config {
    /// Reads a configuration, and checks that it speaks of as many layers as the manifest.
    pub(crate) fn parse(bytes: &[u8], layers: usize) -> Result<Self, Error> {
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|e| Error::Invalid(format!("invalid image configuration: {e}")))?;
        if config.diff_ids().len() != layers {
            return Err(Error::Invalid(format!(
                "mismatched image rootfs and manifest layers: {} and {layers}",
                config.diff_ids().len()
            )));
        }
        Ok(config)
    }

    /// What each layer unpacks to, the lowest first.
    pub(crate) fn diff_ids(&self) -> &[Digest] {
        self.rootfs.as_ref().map_or(&[], |rootfs| &rootfs.diff_ids)
    }

    /// The names of the stacks that end with each layer.
    pub(crate) fn chains(&self) -> Vec<Digest> {
        let mut chains: Vec<Digest> = Vec::with_capacity(self.diff_ids().len());
        for layer in self.diff_ids() {
            chains.push(Digest::chain(chains.last(), layer));
        }
        chains
    }

    /// What it says about containers.
    pub(crate) fn defaults(&self) -> Defaults {
        let it = self.config.clone();
        Defaults {
            user: it.user,
            entrypoint: it.entrypoint,
            command: it.cmd,
            environment: it.env,
            working_directory: it.working_dir,
            stop_signal: Some(it.stop_signal).filter(|signal| !signal.is_empty()),
        }
    }
}

/// Builders write `null` for what is empty.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn descriptor() -> serde_json::Value {
        json!({"mediaType": "x", "digest": Digest::of(b"x").to_string(), "size": 1})
    }

    #[test]
    fn documents_are_told_apart_and_ambiguous_ones_refused() {
        let d = descriptor();
        let rows = [
            (
                "docker",
                json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": d, "layers": [d]}),
                "",
                "image",
            ),
            (
                "OCI, named by the registry",
                json!({"schemaVersion": 2, "config": d, "layers": [d]}),
                OCI_MANIFEST,
                "image",
            ),
            ("no layers", json!({"schemaVersion": 2, "config": d, "layers": null}), OCI_MANIFEST, "image"),
            (
                "not named at all",
                json!({"schemaVersion": 2, "config": d, "layers": []}),
                "text/plain; charset=utf-8",
                "image",
            ),
            (
                "docker's list",
                json!({"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": [d]}),
                "",
                "index",
            ),
            ("index", json!({"schemaVersion": 2, "manifests": []}), OCI_INDEX, "index"),
            (
                "both",
                json!({"schemaVersion": 2, "manifests": [d], "config": d, "layers": [d]}),
                "",
                "invalid manifest: it has manifests and layers",
            ),
            (
                "schema 1",
                json!({"schemaVersion": 1}),
                "",
                "invalid manifest: schema version 1 is not supported",
            ),
            (
                "an index that says it is none",
                json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "manifests": [d]}),
                "",
                "invalid manifest: media type \"application/vnd.oci.image.manifest.v1+json\" does not say what it is",
            ),
        ];
        for (name, document, media_type, want) in rows {
            let got = match Document::parse(document.to_string().as_bytes(), media_type) {
                Ok(Document::Image(_)) => "image".to_owned(),
                Ok(Document::Index(_)) => "index".to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, want, "{name}");
        }
        let many = json!({"schemaVersion": 2, "config": d, "layers": vec![d.clone(); 501]});
        let error = Document::parse(many.to_string().as_bytes(), "").unwrap_err();
        assert_eq!(error.to_string(), "invalid manifest: it has 501 layers; 500 is the most");
    }

    #[test]
    fn a_configuration_may_leave_out_everything_or_say_null() {
        let rows = [
            ("nothing", json!({"rootfs": {"type": "layers"}}), Defaults::default()),
            ("null", json!({"config": null, "rootfs": {"diff_ids": null}}), Defaults::default()),
            (
                "fields that are null",
                json!({"config": {"Env": null, "Cmd": null, "User": null}}),
                Defaults::default(),
            ),
            (
                "all",
                json!({"config": {"User": "1:2", "Env": ["A=b"], "Entrypoint": ["/e"], "Cmd": ["c"], "WorkingDir": "/w",
                    "StopSignal": "SIGINT", "ExposedPorts": {"80/tcp": {}}}}),
                Defaults {
                    user: "1:2".into(),
                    entrypoint: vec!["/e".into()],
                    command: vec!["c".into()],
                    environment: vec!["A=b".into()],
                    working_directory: "/w".into(),
                    stop_signal: Some("SIGINT".into()),
                },
            ),
        ];
        for (name, config, want) in rows {
            assert_eq!(Config::parse(config.to_string().as_bytes(), 0).unwrap().defaults(), want, "{name}");
        }
        let error = Config::parse(b"{}", 2).unwrap_err();
        assert_eq!(error.to_string(), "mismatched image rootfs and manifest layers: 0 and 2");
    }
}
