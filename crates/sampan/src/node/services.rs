//! Services as the pod network has them: follows Services and EndpointSlices, and tells it all of them whenever something has changed.
//!
//! An ordinary client of the API, as kube-proxy is, with kube-proxy's rights. The endpoint of `kubernetes` is where the API server of this process listens: an address
//! of the loopback, which no EndpointSlice may name, is one too.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use sampan_net::pods::Network;
use sampan_net::service::{Protocol, ServicePort};
use serde::de::DeserializeOwned;

/// Whom a service's slices name as theirs.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

type Key = (String, String);

/// What the API has of a kind.
struct Seen<K> {
    objects: BTreeMap<Key, K>,
    listed: BTreeMap<Key, K>,
    complete: bool,
}

impl<K: Resource<DynamicType = ()> + Clone> Seen<K> {
    fn new() -> Self {
        Self { objects: BTreeMap::new(), listed: BTreeMap::new(), complete: false }
    }

    /// Whether there is something new to tell.
    fn take(&mut self, event: Event<K>) -> bool {
        let key = |object: &K| {
            let meta = object.meta();
            (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
        };
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.insert(key(&object), object);
            }
            Event::InitDone => {
                self.objects = std::mem::take(&mut self.listed);
                self.complete = true;
                return true;
            }
            Event::Apply(object) => {
                self.objects.insert(key(&object), object);
                return true;
            }
            Event::Delete(object) => return self.objects.remove(&key(&object)).is_some(),
        }
        false
    }
}

/// Follows services for as long as it is run. `api` is where the API server listens.
pub(crate) async fn follow(client: Client, network: Network, api: SocketAddr) {
    let mut services = pin!(events::<Service>(client.clone()));
    let mut slices = pin!(events::<EndpointSlice>(client));
    let (mut known_services, mut known_slices) = (Seen::new(), Seen::new());
    loop {
        let news = tokio::select! {
            event = services.try_next() => told(event).is_some_and(|event| known_services.take(event)),
            event = slices.try_next() => told(event).is_some_and(|event| known_slices.take(event)),
        };
        if !news || !known_services.complete || !known_slices.complete {
            continue;
        }
        let ports = ports(known_services.objects.values(), known_slices.objects.values(), api);
        if let Err(error) = network.set_services(ports).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "services cannot be reached as they are to be"
            );
        }
    }
}

fn events<K>(client: Client) -> impl futures::Stream<Item = Result<Event<K>, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff()
}

/// Failures are tried again by the watcher, with ever longer pauses.
fn told<K>(event: Result<Option<Event<K>>, watcher::Error>) -> Option<Event<K>> {
    event.unwrap_or_else(|error| {
        tracing::warn!(%error, "services cannot be watched");
        None
    })
}

/// The ports of all services that have addresses. Pure.
fn ports<'a>(
    services: impl Iterator<Item = &'a Service>,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    api: SocketAddr,
) -> Vec<ServicePort> {
    let mut of: BTreeMap<Key, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let labels = slice.metadata.labels.as_ref();
        if let Some(name) = labels.and_then(|labels| labels.get(SERVICE_NAME)) {
            of.entry((slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
                .or_default()
                .push(slice);
        }
    }
    let mut ports = Vec::new();
    for service in services {
        let meta = &service.metadata;
        let key = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        let Some(spec) = &service.spec else { continue };
        let given = spec.cluster_ips.iter().flatten().chain(spec.external_ips.iter().flatten());
        // `None` is how a headless service says that it has no address.
        let addresses: Vec<IpAddr> = given.filter_map(|text| text.parse().ok()).collect();
        if addresses.is_empty() {
            continue;
        }
        let slices = of.get(&key).map(Vec::as_slice).unwrap_or_default();
        let is_api = key == ("default".into(), "kubernetes".into());
        for port in spec.ports.iter().flatten() {
            let (Some(protocol), Ok(number)) =
                (Protocol::from_name(port.protocol.as_deref().unwrap_or_default()), u16::try_from(port.port))
            else {
                continue;
            };
            let name = port.name.as_deref().unwrap_or_default();
            let endpoints = if is_api { vec![api] } else { endpoints(slices, name) };
            let node_port = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
            ports.push(ServicePort {
                protocol,
                addresses: addresses.clone(),
                port: number,
                node_port,
                endpoints,
            });
        }
    }
    ports
}

/// Who answers on the port of that name: the ready ones, or, if there are none, those that end and still serve.
fn endpoints(slices: &[&EndpointSlice], name: &str) -> Vec<SocketAddr> {
    let (mut ready, mut serving) = (Vec::new(), Vec::new());
    for slice in slices {
        let port = slice.ports.iter().flatten().find(|port| port.name.as_deref().unwrap_or_default() == name);
        let Some(port) = port.and_then(|port| u16::try_from(port.port?).ok()) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let conditions = endpoint.conditions.as_ref();
            let is_ready = conditions.and_then(|c| c.ready) != Some(false);
            let serves = conditions.and_then(|c| c.serving).unwrap_or(is_ready);
            let addresses = endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok());
            let all = addresses.map(|address| SocketAddr::new(address, port));
            if is_ready {
                ready.extend(all);
            } else if serves {
                serving.extend(all);
            }
        }
    }
    if ready.is_empty() { serving } else { ready }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_have_the_endpoints_that_are_ready_and_kubernetes_has_the_api_server() {
        let service = |value| serde_json::from_value::<Service>(value).expect("a service");
        let services = [
            service(json!({"metadata": {"namespace": "default", "name": "kubernetes"},
                "spec": {"clusterIPs": ["10.96.0.1"], "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}})),
            service(
                json!({"metadata": {"namespace": "n", "name": "web"}, "spec": {"clusterIPs": ["10.96.0.7"],
                "ports": [{"port": 80, "nodePort": 30080}, {"name": "dns", "port": 53, "protocol": "UDP"}]}}),
            ),
            service(json!({"metadata": {"namespace": "n", "name": "headless"},
                "spec": {"clusterIPs": ["None"], "ports": [{"port": 80}]}})),
        ];
        let slice = json!({"metadata": {"namespace": "n", "name": "s", "labels": {SERVICE_NAME: "web"}}, "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.0.2"]}, {"addresses": ["10.244.0.3"], "conditions": {"ready": false}}]});
        let slices = [serde_json::from_value::<EndpointSlice>(slice).expect("a slice")];
        let ports = ports(services.iter(), slices.iter(), "127.0.0.1:6443".parse().expect("an address"));
        let told: Vec<_> = ports
            .iter()
            .map(|p| {
                (
                    p.addresses[0].to_string(),
                    p.port,
                    p.node_port,
                    p.endpoints.iter().map(ToString::to_string).collect(),
                )
            })
            .collect::<Vec<(String, u16, Option<u16>, Vec<String>)>>();
        assert_eq!(
            told,
            [
                ("10.96.0.1".into(), 443, None, vec!["127.0.0.1:6443".into()]),
                ("10.96.0.7".into(), 80, Some(30080), vec!["10.244.0.2:8080".into()]),
                ("10.96.0.7".into(), 53, None, vec![]),
            ]
        );
    }

    #[test]
    fn whoever_ends_serves_only_while_nobody_else_does() {
        let slice = |ready: bool| -> EndpointSlice {
            serde_json::from_value(json!({"addressType": "IPv4", "ports": [{"name": "p", "port": 1}], "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": ready, "serving": ready}}]}))
            .expect("a slice")
        };
        let of = |ready| endpoints(&[&slice(ready)], "p").iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of(true), ["10.0.0.2:1"]);
        assert_eq!(of(false), ["10.0.0.1:1"]);
    }
}
