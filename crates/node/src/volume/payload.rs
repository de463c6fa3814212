//! What a volume made of objects contains: its source and the objects -> files.
//!
//! Pure. What is not in a map is not there; whether that is an error is the source's `optional` to say.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::downward::{self, PodFacts};

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub data: Vec<u8>,
    /// Its permissions, before a file system group widens them.
    pub mode: u32,
    /// Its owner, where that is not root.
    pub user: Option<u32>,
}

/// The files of a volume by their paths in it.
pub type Payload = BTreeMap<String, File>;

/// What every such volume defaults to, in case the API server has not said so.
const DEFAULT_MODE: i32 = 0o644;

/// A token that a volume wants: audience and time as they are written.
pub(super) type TokenWish = (Option<String>, Option<i64>);

/// What a volume refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct References {
    pub(super) config_maps: Vec<String>,
    pub(super) secrets: Vec<String>,
    pub(super) tokens: Vec<TokenWish>,
}

/// What payloads are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Inputs {
    /// By name. A value that is an error could not be had.
    pub(super) config_maps: BTreeMap<String, Result<ConfigMap, String>>,
    pub(super) secrets: BTreeMap<String, Result<Secret, String>>,
    pub(super) tokens: BTreeMap<TokenWish, Result<String, String>>,
    pub(super) allocatable: BTreeMap<String, Quantity>,
}

/// What `volume` refers to; `None` if it is not made of objects.
pub(super) fn references(volume: &Volume) -> Option<References> {
    let mut found = References::default();
    for source in sources(volume)?.0 {
        found.config_maps.extend(source.config_map.map(|source| source.name));
        found.secrets.extend(source.secret.map(|source| source.name));
        found.tokens.extend(source.service_account_token.as_ref().map(wish));
    }
    Some(found)
}

/// The files of `volume`; `None` if it is not made of objects. What several sources lack is told of in one error.
pub(super) fn payload(volume: &Volume, pod: &Pod, inputs: &Inputs) -> Option<Result<Payload, String>> {
    let (sources, mode) = sources(volume)?;
    let mut making = Making { pod, inputs, mode, files: Payload::new(), errors: Vec::new() };
    for source in sources {
        making.take(&source);
    }
    let Making { files, mut errors, .. } = making;
    Some(match errors.len() {
        0 => Ok(files),
        1 => Err(errors.remove(0)),
        _ => Err(format!("[{}]", errors.join(", "))),
    })
}

/// Every such volume is a projected one: those of a single kind have one source. With the default mode.
fn sources(volume: &Volume) -> Option<(Vec<VolumeProjection>, u32)> {
    use k8s_openapi::api::core::v1::{ConfigMapProjection, DownwardAPIProjection, SecretProjection};
    let none = VolumeProjection::default;
    let (sources, mode) = if let Some(source) = volume.config_map.clone() {
        let config_map =
            ConfigMapProjection { items: source.items, name: source.name, optional: source.optional };
        (vec![VolumeProjection { config_map: Some(config_map), ..none() }], source.default_mode)
    } else if let Some(source) = volume.secret.clone() {
        let name = source.secret_name.unwrap_or_default();
        let secret = SecretProjection { items: source.items, name, optional: source.optional };
        (vec![VolumeProjection { secret: Some(secret), ..none() }], source.default_mode)
    } else if let Some(source) = volume.downward_api.clone() {
        let downward_api = DownwardAPIProjection { items: source.items };
        (vec![VolumeProjection { downward_api: Some(downward_api), ..none() }], source.default_mode)
    } else {
        let source = volume.projected.clone()?;
        (source.sources.unwrap_or_default(), source.default_mode)
    };
    Some((sources, bits(mode.unwrap_or(DEFAULT_MODE))))
}

/// The API server has checked that it is none but permissions.
fn bits(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or_default() & 0o777
}

fn wish(source: &ServiceAccountTokenProjection) -> TokenWish {
    (source.audience.clone().filter(|audience| !audience.is_empty()), source.expiration_seconds)
}

struct Making<'a> {
    pod: &'a Pod,
    inputs: &'a Inputs,
    mode: u32,
    files: Payload,
    errors: Vec<String>,
}

impl Making<'_> {
    fn take(&mut self, source: &VolumeProjection) {
        if let Some(source) = &source.secret {
            let none = Secret::default();
            let optional = source.optional == Some(true);
            if let Some(secret) =
                self.object("secret", self.inputs.secrets.get(&source.name), &source.name, optional, &none)
            {
                let data =
                    secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
                let missing = "references non-existent secret key: ";
                self.keys(data.collect(), source.items.as_deref(), optional, missing);
            }
        }
        if let Some(source) = &source.config_map {
            let none = ConfigMap::default();
            let optional = source.optional == Some(true);
            let found = self.inputs.config_maps.get(&source.name);
            if let Some(map) = self.object("configmap", found, &source.name, optional, &none) {
                let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
                let bytes = map.binary_data.iter().flatten();
                let bytes = bytes.map(|(key, ByteString(value))| (key.as_str(), value.as_slice()));
                let missing = "configmap references non-existent config key: ";
                self.keys(text.chain(bytes).collect(), source.items.as_deref(), optional, missing);
            }
        }
        for item in source.downward_api.iter().flat_map(|source| source.items.iter().flatten()) {
            self.downward(item);
        }
        if let Some(source) = &source.service_account_token {
            self.token(source);
        }
        if source.cluster_trust_bundle.is_some() {
            self.errors.push("clusterTrustBundle projections are not supported by this node".into());
        }
        if source.pod_certificate.is_some() {
            self.errors.push("podCertificate projections are not supported by this node".into());
        }
    }

    fn object<'a, K>(
        &mut self,
        kind: &str,
        found: Option<&'a Result<K, String>>,
        name: &str,
        optional: bool,
        none: &'a K,
    ) -> Option<&'a K> {
        match found {
            Some(Ok(object)) => Some(object),
            Some(Err(message)) => {
                self.errors.push(message.clone());
                None
            }
            None if optional => Some(none),
            None => {
                self.errors.push(format!("{kind} \"{name}\" not found"));
                None
            }
        }
    }

    fn keys(
        &mut self,
        data: BTreeMap<&str, &[u8]>,
        items: Option<&[KeyToPath]>,
        optional: bool,
        missing: &str,
    ) {
        let file = |data: &[u8], mode| File { data: data.to_vec(), mode, user: None };
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            for (key, value) in data {
                self.files.insert(key.to_owned(), file(value, self.mode));
            }
            return;
        };
        for item in items {
            match data.get(item.key.as_str()) {
                Some(value) => {
                    let mode = item.mode.map_or(self.mode, bits);
                    self.files.insert(clean(&item.path), file(value, mode));
                }
                None if optional => {}
                None => {
                    self.errors.push(format!("{missing}{}", item.key));
                    return;
                }
            }
        }
    }

    fn downward(&mut self, item: &DownwardAPIVolumeFile) {
        let told = if let Some(field) = &item.field_ref {
            downward::field(self.pod, &PodFacts::default(), &field.field_path)
                .map_err(|error| error.to_string())
        } else if let Some(resource) = &item.resource_field_ref {
            downward::resource(self.pod, None, resource, &self.inputs.allocatable)
                .map_err(|error| error.to_string())
        } else {
            return;
        };
        match told {
            Ok(text) => {
                let mode = item.mode.map_or(self.mode, bits);
                self.files.insert(clean(&item.path), File { data: text.into_bytes(), mode, user: None });
            }
            Err(message) => self.errors.push(message),
        }
    }

    /// Whoever the containers run as can read the token and nobody else, where that is known.
    fn token(&mut self, source: &ServiceAccountTokenProjection) {
        let (user, group) = (fs_user(self.pod), fs_group(self.pod));
        let mode = if user.is_some() || group.is_some() { 0o600 } else { self.mode };
        match self.inputs.tokens.get(&wish(source)) {
            Some(Ok(token)) => {
                let file = File { data: token.clone().into_bytes(), mode, user };
                self.files.insert(clean(&source.path), file);
            }
            Some(Err(message)) => self.errors.push(message.clone()),
            None => self.errors.push("failed to fetch token: the pod has no service account".into()),
        }
    }
}

/// Without empty parts and `.`, so that no file has two names.
fn clean(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

/// The user that all containers run as, if it is one and written down.
fn fs_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut users = containers.map(|c| c.security_context.as_ref().and_then(|c| c.run_as_user).or(of_pod));
    let first = users.next()??;
    if users.all(|user| user == Some(first)) { u32::try_from(first).ok() } else { None }
}

/// The group of the pod's files.
pub(super) fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

#[cfg(test)]
mod tests;
