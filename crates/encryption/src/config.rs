//! The file: apiserver.config.k8s.io/v1, kind EncryptionConfiguration.

mod validate;

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::Error;

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Configuration {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default, deserialize_with = "list")]
    pub(crate) resources: Vec<ResourceConfiguration>,
}

/// Providers for some resources.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceConfiguration {
    #[serde(default, deserialize_with = "list")]
    pub(crate) resources: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    pub(crate) providers: Vec<ProviderConfiguration>,
}

/// One provider: exactly one field is set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderConfiguration {
    pub(crate) aesgcm: Option<Keys>,
    pub(crate) aescbc: Option<Keys>,
    pub(crate) secretbox: Option<Keys>,
    pub(crate) identity: Option<Identity>,
    pub(crate) kms: Option<KmsConfiguration>,
}

/// `identity: {}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {}

/// Keys of a provider; the first one writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    #[serde(default, deserialize_with = "list")]
    pub(crate) keys: Vec<Key>,
}

/// A key with its name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) secret: Secret,
}

/// A text that is never shown, and wiped when it is no longer needed.
#[derive(Default)]
pub(crate) struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("REDACTED")
    }
}

impl Secret {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that it says in base64. Go's decoder skips the ends of lines.
    pub(crate) fn decode(&self) -> Option<Zeroizing<Vec<u8>>> {
        use base64::Engine as _;
        let text = Zeroizing::new(self.0.replace(['\r', '\n'], ""));
        base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).ok().map(Zeroizing::new)
    }
}

/// A plugin that holds the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct KmsConfiguration {
    /// Without one it is v1, as upstream's defaults say.
    #[serde(default = "v1")]
    pub(crate) api_version: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default, rename = "cachesize")]
    pub(crate) cache_size: Option<i32>,
    #[serde(default)]
    pub(crate) endpoint: String,
    /// In Go's form; without one it is three seconds.
    #[serde(default = "three_seconds")]
    pub(crate) timeout: String,
}

/// A list, which is empty when it is null, as for Go's decoder.
fn list<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn v1() -> String {
    "v1".to_owned()
}

fn three_seconds() -> String {
    "3s".to_owned()
}

impl KmsConfiguration {
    /// How long the plugin may take for one call. `None`: that is no positive time.
    pub(crate) fn timeout(&self) -> Option<std::time::Duration> {
        let timeout = sampan_model::time::parse_go_duration(&self.timeout).ok()?;
        std::time::Duration::try_from(timeout).ok().filter(|timeout| !timeout.is_zero())
    }

    /// The path of the plugin's socket. Upstream takes `unix:///path` and `unix:///@name`.
    pub(crate) fn socket(&self) -> Option<&str> {
        let path = self.endpoint.strip_prefix("unix:")?;
        Some(path.strip_prefix("//").unwrap_or(path))
    }
}

/// What is in the file, which must not be empty.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if text.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(text) }
}

/// Decodes and validates. `path` is for messages.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Configuration, Error> {
    let decode = |detail: String| Error::Decode { path: path.to_owned(), detail };
    // No piece of the text belongs into a message: there are keys in it.
    let options = serde_saphyr::options! { with_snippet: false };
    let configuration: Configuration = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| decode(format!("strict decoding error: {}", error.without_snippet())))?;
    let Configuration { api_version, kind, .. } = &configuration;
    if kind.is_empty() {
        return Err(decode("Object 'Kind' is missing".to_owned()));
    }
    if api_version.is_empty() {
        return Err(decode("Object 'apiVersion' is missing".to_owned()));
    }
    if api_version != "apiserver.config.k8s.io/v1" || kind != "EncryptionConfiguration" {
        return Err(decode(format!("no kind {kind:?} is registered for version {api_version:?}")));
    }
    let errors = validate::validate(&configuration);
    if errors.is_empty() { Ok(configuration) } else { Err(Error::Invalid(errors)) }
}
