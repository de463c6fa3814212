//! All services, in one watch for the whole node: environments tell of those of a pod's namespace. Of each, only what is told is kept.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::OnceCell;

/// How long a container waits for the first list.
const PATIENCE: Duration = Duration::from_secs(10);

/// The services of the cluster, watched from the first question on.
pub(super) struct Services {
    client: Client,
    following: OnceCell<Following>,
}

struct Following {
    store: Store<Service>,
    task: tokio::task::AbortHandle,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Services {
    pub(super) fn new(client: Client) -> Self {
        Self { client, following: OnceCell::new() }
    }

    /// Those of `namespace`, and `kubernetes` of `default`.
    pub(super) async fn of(&self, namespace: &str) -> Result<Vec<Service>, String> {
        let following = self.following.get_or_init(|| async { follow(self.client.clone()) }).await;
        let is_ready = tokio::time::timeout(PATIENCE, following.store.wait_until_ready()).await;
        if !matches!(is_ready, Ok(Ok(()))) {
            return Err("services have not yet been read at least once, cannot construct envvars".into());
        }
        let is_wanted = |service: &Service| {
            let (of, name) = (service.metadata.namespace.as_deref(), service.metadata.name.as_deref());
            of == Some(namespace) || (of == Some("default") && name == Some("kubernetes"))
        };
        let mut found: Vec<Service> =
            following.store.state().iter().filter(|s| is_wanted(s)).map(|s| (**s).clone()).collect();
        found.sort_by(|left, right| left.metadata.name.cmp(&right.metadata.name));
        Ok(found)
    }
}

fn follow(client: Client) -> Following {
    let (store, writer) = reflector::store();
    let task = tokio::spawn(async move {
        let services = watcher(Api::<Service>::all(client), watcher::Config::default());
        let services = services.default_backoff().modify(trim).reflect(writer);
        let mut services = pin!(services);
        while let Some(event) = services.next().await {
            if let Err(error) = event {
                tracing::warn!(%error, "services cannot be watched");
            }
        }
    });
    Following { store, task: task.abort_handle() }
}

fn trim(service: &mut Service) {
    let meta = std::mem::take(&mut service.metadata);
    service.metadata = ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        ..ObjectMeta::default()
    };
    service.status = None;
    if let Some(spec) = service.spec.take() {
        service.spec = Some(ServiceSpec {
            cluster_ip: spec.cluster_ip,
            cluster_ips: spec.cluster_ips,
            ports: spec.ports,
            type_: spec.type_,
            ..ServiceSpec::default()
        });
    }
}
