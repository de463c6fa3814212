//! The objects that pods of this node refer to: ConfigMaps and Secrets, watched one by one and shared between the pods that use them; tokens of service accounts;
//! services. An ordinary client of the API; knows neither volumes' directories nor containers.

mod followed;
mod keyring;
mod services;
mod sources;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret};
use kube::{Api, Client};

use crate::words::in_words;

pub use followed::Followed;
pub use sources::Fetcher;
pub use tokens::{Token, Tokens};

use followed::Shared;

/// The objects that pods of this node refer to.
pub struct Objects {
    client: Client,
    config_maps: Shared<ConfigMap>,
    secrets: Shared<Secret>,
    tokens: Tokens,
}

impl Objects {
    /// Those that `client` may see.
    pub fn new(client: Client) -> Self {
        Self {
            config_maps: Shared::new("configmap"),
            secrets: Shared::new("secret"),
            tokens: Tokens::new(client.clone()),
            client,
        }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A ConfigMap, watched while somebody holds what is returned.
    pub fn config_map(&self, namespace: &str, name: &str) -> Arc<Followed<ConfigMap>> {
        self.config_maps.follow(&self.client, namespace, name)
    }

    /// A Secret, watched while somebody holds what is returned.
    pub fn secret(&self, namespace: &str, name: &str) -> Arc<Followed<Secret>> {
        self.secrets.follow(&self.client, namespace, name)
    }

    /// Tokens of the pods' service accounts.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// A claim, as it is now.
    pub(crate) async fn claim(&self, namespace: &str, name: &str) -> Result<PersistentVolumeClaim, String> {
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), namespace);
        api.get(name)
            .await
            .map_err(|error| format!("failed to fetch PVC from API server: {}", in_words(&error)))
    }

    /// A volume of the cluster, as it is now.
    pub(crate) async fn volume(&self, name: &str) -> Result<PersistentVolume, String> {
        let found = Api::<PersistentVolume>::all(self.client.clone()).get(name).await;
        found.map_err(|error| format!("failed to fetch PV {name} from API server: {}", in_words(&error)))
    }
}
