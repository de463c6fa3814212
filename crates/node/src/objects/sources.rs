//! Fetches what containers refer to when they start: [`Sources`] for the workers.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::{Api, Client, Resource};
use rustix::fs::OFlags;
use serde::de::DeserializeOwned;

use super::Objects;
use super::keyring::Keyring;
use super::services::Services;
use crate::container::PodUid;
use crate::downward::PodFacts;
use crate::environment::{Environment, Inputs, environment, references};
use crate::image::Credentials;
use crate::pods::parts::{NodeFacts, Sources, Volumes};
use crate::volume::{open_beneath, open_root};
use crate::words::in_words;

/// The most of a file of variables that is read.
const FILE_BYTES: u64 = 64 << 10;

/// Fetches what environments and pulls refer to.
pub struct Fetcher {
    client: Client,
    services: Services,
    volumes: Arc<dyn Volumes>,
    node: Arc<NodeFacts>,
}

impl Fetcher {
    /// What fetches as the client of `objects` does; files of variables are in `volumes`.
    pub fn new(objects: &Objects, volumes: Arc<dyn Volumes>, node: Arc<NodeFacts>) -> Self {
        let client = objects.client().clone();
        Self { services: Services::new(client.clone()), client, volumes, node }
    }

    /// Objects by name; those that are not there are left out.
    async fn all<K>(
        &self,
        namespace: &str,
        names: impl IntoIterator<Item = String>,
    ) -> Result<BTreeMap<String, K>, String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let mut found = BTreeMap::new();
        for name in names {
            let object = api.get_opt(&name).await.map_err(|error| in_words(&error))?;
            found.extend(object.map(|object| (name, object)));
        }
        Ok(found)
    }

    /// The text of a file below a volume; `None` if there is none.
    fn file(&self, pod: &Pod, volume: &str, path: &str) -> Result<Option<String>, String> {
        let uid = PodUid::new(pod.metadata.uid.as_deref().unwrap_or_default()).ok_or("the pod has no uid")?;
        let Some(root) = self.volumes.path(&uid, volume) else { return Ok(None) };
        let failed =
            |error: std::io::Error| format!("failed to read file \"{path}\" of volume \"{volume}\": {error}");
        let opened = open_root(&root).and_then(|root| {
            // A pipe that a container put there does not stop the node.
            open_beneath(&root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
        });
        let file = match opened {
            Ok(file) => std::fs::File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(format!("failed to read file \"{path}\" of volume \"{volume}\": it is no file"));
        }
        let mut text = String::new();
        file.take(FILE_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES {
            return Err(format!("file \"{path}\" of volume \"{volume}\" is longer than {FILE_BYTES} bytes"));
        }
        Ok(Some(text))
    }
}

#[async_trait]
impl Sources for Fetcher {
    async fn environment(
        &self,
        pod: &Pod,
        container: &Container,
        pod_ips: &[IpAddr],
    ) -> Result<Environment, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let references = references(container);
        let services = self.services.of(namespace).await?;
        let config_maps = self.all::<ConfigMap>(namespace, references.config_maps).await?;
        let secrets = self.all::<Secret>(namespace, references.secrets).await?;
        let mut files = BTreeMap::new();
        for (volume, path) in references.files {
            if let Some(text) = self.file(pod, &volume, &path)? {
                files.insert((volume, path), text);
            }
        }
        let facts = PodFacts { pod_ips: pod_ips.to_vec(), host_ips: self.node.addresses.clone() };
        let inputs = Inputs {
            pod,
            facts: &facts,
            allocatable: &self.node.allocatable,
            services: &services,
            config_maps: &config_maps,
            secrets: &secrets,
            files: &files,
        };
        environment(container, inputs).map_err(|error| error.to_string())
    }

    async fn pull_credentials(&self, pod: &Pod, image: &str) -> Vec<Credentials> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let names = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
        let mut secrets = Vec::new();
        for name in names.map(|reference| reference.name.clone()) {
            match self.all::<Secret>(namespace, [name.clone()]).await {
                Ok(found) if !found.is_empty() => secrets.extend(found.into_values()),
                // The pull goes on without it, as the kubelet's does.
                Ok(_) => tracing::warn!(namespace, name, "a pull secret is not there"),
                Err(message) => tracing::warn!(namespace, name, message, "a pull secret cannot be had"),
            }
        }
        let (keyring, errors) = Keyring::new(&secrets);
        for message in errors {
            tracing::warn!(namespace, message, "a pull secret cannot be used");
        }
        keyring.find(image)
    }
}
