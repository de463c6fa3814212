//! A container's environment, as the kubelet puts it together: `envFrom`, then `env` in order, then what tells of services.
//!
//! Pure: [`references`] says what has to be fetched, [`environment`] works it out. The image's own variables come before all of these, and are the
//! runtime's business.

pub mod env_file;
mod expansion;
mod service;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapKeySelector, Container, EnvFromSource, EnvVarSource, FileKeySelector, Pod, Secret,
    SecretKeySelector, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sampan_model::name::is_relaxed_env_var_name;

pub use expansion::expand;
pub use service::variables as service_variables;

use crate::downward::{self, FieldError, PodFacts, ResourceError};

/// A file of variables: the volume it is in, and its path there.
pub type File = (String, String);

/// What a container's environment refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Names of ConfigMaps of the pod's namespace.
    pub config_maps: BTreeSet<String>,
    /// Names of its Secrets.
    pub secrets: BTreeSet<String>,
    /// Files of variables.
    pub files: BTreeSet<File>,
}

/// What `container`'s environment refers to.
pub fn references(container: &Container) -> References {
    let mut found = References::default();
    for from in container.env_from.iter().flatten() {
        found.config_maps.extend(from.config_map_ref.as_ref().map(|r| r.name.clone()));
        found.secrets.extend(from.secret_ref.as_ref().map(|r| r.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        found.config_maps.extend(source.config_map_key_ref.as_ref().map(|r| r.name.clone()));
        found.secrets.extend(source.secret_key_ref.as_ref().map(|r| r.name.clone()));
        found.files.extend(source.file_key_ref.as_ref().map(|r| (r.volume_name.clone(), r.path.clone())));
    }
    found
}

/// What an environment is worked out of. What is not in a map is not there.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What the node knows of it.
    pub facts: &'a PodFacts,
    /// What the node can give.
    pub allocatable: &'a BTreeMap<String, Quantity>,
    /// Services: those of the pod's namespace, and `kubernetes` of `default`.
    pub services: &'a [Service],
    /// ConfigMaps of the pod's namespace by name.
    pub config_maps: &'a BTreeMap<String, ConfigMap>,
    /// Its Secrets by name.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// Texts of the files of variables.
    pub files: &'a BTreeMap<File, String>,
}

/// An environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Names and values; no name twice.
    pub variables: Vec<(String, String)>,
    /// What was left out, for an event `InvalidEnvironmentVariableNames`: one sentence a source.
    pub skipped: Vec<String>,
}

/// Why a container's environment cannot be worked out: its `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An object is missing.
    #[error("{kind} \"{name}\" not found")]
    NoObject {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A key is missing.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The key.
        key: String,
        /// The object's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A file of variables, or a variable in it, is missing.
    #[error("environment variable key \"{key}\" not found in file \"{path}\" of volume \"{volume}\"")]
    NoFileKey {
        /// The variable.
        key: String,
        /// The file.
        path: String,
        /// The volume it is in.
        volume: String,
    },
    /// A file of variables cannot be read.
    #[error(transparent)]
    File(#[from] env_file::Error),
    /// A field cannot be told.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A resource cannot be told.
    #[error("{0}")]
    Resource(String),
    /// The API server did not say whether there are to be variables of services.
    #[error("nil pod.spec.enableServiceLinks encountered, cannot construct envvars")]
    NoServiceLinks,
}

impl From<ResourceError> for Error {
    fn from(error: ResourceError) -> Self {
        Self::Resource(error.to_string())
    }
}

/// The environment of `container`.
pub fn environment(container: &Container, inputs: Inputs<'_>) -> Result<Environment, Error> {
    let links = inputs.pod.spec.as_ref().and_then(|s| s.enable_service_links).ok_or(Error::NoServiceLinks)?;
    let namespace = inputs.pod.metadata.namespace.as_deref().unwrap_or_default();
    let services = service_variables(inputs.services, namespace, links);
    let mut made = Making { inputs, namespace, variables: Variables::default(), skipped: Vec::new() };
    for from in container.env_from.iter().flatten() {
        made.take_all(from)?;
    }
    for variable in container.env.iter().flatten() {
        let value = match (variable.value.as_deref().unwrap_or_default(), &variable.value_from) {
            ("", Some(source)) => made.value_of(container, source)?,
            (text, _) => {
                Some(expand(text, |name| made.variables.get(name).or_else(|| look_up(&services, name))))
            }
        };
        if let Some(value) = value {
            made.variables.set(&variable.name, value);
        }
    }
    let Making { mut variables, skipped, .. } = made;
    for (name, value) in services {
        if variables.get(&name).is_none() {
            variables.set(&name, value);
        }
    }
    Ok(Environment { variables: variables.0, skipped })
}

fn look_up<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// In the order in which they were named first; the last value holds.
#[derive(Debug, Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        look_up(&self.0, name)
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

struct Making<'a> {
    inputs: Inputs<'a>,
    namespace: &'a str,
    variables: Variables,
    skipped: Vec<String>,
}

impl Making<'_> {
    fn take_all(&mut self, from: &EnvFromSource) -> Result<(), Error> {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(source) = &from.config_map_ref {
            match self.inputs.config_maps.get(&source.name) {
                Some(map) => {
                    let entries = map.data.iter().flatten().map(|(key, value)| (key, value.clone()));
                    self.take(prefix, "configMap", &source.name, entries);
                }
                None => absent(source.optional, "configmap", &source.name)?,
            }
        } else if let Some(source) = &from.secret_ref {
            match self.inputs.secrets.get(&source.name) {
                Some(secret) => {
                    let entries = secret.data.iter().flatten().map(|(key, value)| (key, text(value)));
                    self.take(prefix, "secret", &source.name, entries);
                }
                None => absent(source.optional, "secret", &source.name)?,
            }
        }
        Ok(())
    }

    fn take<'k>(
        &mut self,
        prefix: &str,
        kind: &str,
        object: &str,
        entries: impl Iterator<Item = (&'k String, String)>,
    ) {
        let mut invalid = Vec::new();
        for (key, value) in entries {
            let name = format!("{prefix}{key}");
            if is_relaxed_env_var_name(&name).is_empty() {
                self.variables.set(&name, value);
            } else {
                invalid.push(name);
            }
        }
        if !invalid.is_empty() {
            self.skipped.push(format!(
                "Keys [{}] from the EnvFrom {kind} {}/{object} were skipped since they are considered invalid environment variable names.",
                invalid.join(", "),
                self.namespace
            ));
        }
    }

    /// `None` where something optional is not there: then there is no such variable.
    fn value_of(&self, container: &Container, source: &EnvVarSource) -> Result<Option<String>, Error> {
        let Inputs { pod, facts, allocatable, .. } = self.inputs;
        if let Some(field) = &source.field_ref {
            return Ok(Some(downward::field(pod, facts, &field.field_path)?));
        }
        if let Some(resource) = &source.resource_field_ref {
            return Ok(Some(downward::resource(pod, Some(container), resource, allocatable)?));
        }
        if let Some(selector) = &source.config_map_key_ref {
            return self.config_map_key(selector);
        }
        if let Some(selector) = &source.secret_key_ref {
            return self.secret_key(selector);
        }
        source.file_key_ref.as_ref().map_or(Ok(Some(String::new())), |selector| self.file_key(selector))
    }

    fn config_map_key(&self, selector: &ConfigMapKeySelector) -> Result<Option<String>, Error> {
        let ConfigMapKeySelector { key, name, optional } = selector;
        let Some(map) = self.inputs.config_maps.get(name) else {
            return absent(*optional, "configmap", name).map(|()| None);
        };
        let value = map.data.as_ref().and_then(|data| data.get(key)).cloned();
        self.found(value, *optional, ("ConfigMap", name, key))
    }

    fn secret_key(&self, selector: &SecretKeySelector) -> Result<Option<String>, Error> {
        let SecretKeySelector { key, name, optional } = selector;
        let Some(secret) = self.inputs.secrets.get(name) else {
            return absent(*optional, "secret", name).map(|()| None);
        };
        let value = secret.data.as_ref().and_then(|data| data.get(key)).map(text);
        self.found(value, *optional, ("Secret", name, key))
    }

    fn found(
        &self,
        value: Option<String>,
        optional: Option<bool>,
        (kind, name, key): (&'static str, &str, &str),
    ) -> Result<Option<String>, Error> {
        if value.is_some() || optional == Some(true) {
            return Ok(value);
        }
        let namespace = self.namespace.to_owned();
        Err(Error::NoKey { kind, key: key.to_owned(), namespace, name: name.to_owned() })
    }

    fn file_key(&self, selector: &FileKeySelector) -> Result<Option<String>, Error> {
        let FileKeySelector { key, path, volume_name, optional } = selector;
        let text = self.inputs.files.get(&(volume_name.clone(), path.clone()));
        let value = text.map(|text| env_file::value(text, key)).transpose()?.flatten();
        if value.is_some() || *optional == Some(true) {
            return Ok(value);
        }
        Err(Error::NoFileKey { key: key.clone(), path: path.clone(), volume: volume_name.clone() })
    }
}

fn absent(optional: Option<bool>, kind: &'static str, name: &str) -> Result<(), Error> {
    if optional == Some(true) { Ok(()) } else { Err(Error::NoObject { kind, name: name.to_owned() }) }
}

/// As every runtime would: what is no UTF-8 is marked.
fn text(bytes: &ByteString) -> String {
    String::from_utf8_lossy(&bytes.0).into_owned()
}

#[cfg(test)]
mod tests;
