//! Events: what `kubectl describe pod` shows. Written in the order of their coming by one task; what comes while its queue is full is counted and dropped.

mod correlator;

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::mpsc;

use self::correlator::{Correlator, Sighting};
use crate::pods::parts::Kind;
use crate::words::in_words;

/// Events that may wait: as many as upstream's.
const QUEUE: usize = 1000;
/// How often an event is tried when the API does not answer, and how long it waits in between: upstream's.
const TRIES: u32 = 12;
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Takes events. Clones are the same recorder.
#[derive(Clone)]
pub struct Recorder {
    node: String,
    queue: mpsc::Sender<Event>,
    dropped: Counter,
}

impl Recorder {
    /// A recorder, and the task that writes what it takes: `run` it.
    pub fn new(client: kube::Client, node: &str) -> (Self, Writer) {
        let (queue, events) = mpsc::channel(QUEUE);
        let recorder = Self { node: node.to_owned(), queue, dropped: Counter::default() };
        (recorder, Writer { client, events, correlator: Correlator::default() })
    }

    /// Puts what it counts into a registry of the node.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Events that were dropped since too many waited";
        registry.register("sampan_node_events_dropped", help, self.dropped.clone());
    }

    /// Something happened to a pod, or to a container of it.
    pub fn event(&self, pod: &Pod, container: Option<&str>, kind: Kind, reason: &str, message: &str) {
        let event = event(&self.node, pod, container, kind, reason, message, SystemTime::now());
        if self.queue.try_send(event).is_err() {
            self.dropped.inc();
            tracing::warn!(reason, message, "an event was dropped: too many wait");
        }
    }
}

/// An event as the kubelet makes it.
fn event(
    node: &str,
    pod: &Pod,
    container: Option<&str>,
    kind: Kind,
    reason: &str,
    message: &str,
    now: SystemTime,
) -> Event {
    let meta = &pod.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let namespace = meta.namespace.clone().unwrap_or_else(|| "default".into());
    let time = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let second = crate::status::time(now);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", time.as_nanosecond())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(name),
            namespace: Some(namespace),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            field_path: container.and_then(|container| field_path(pod, container)),
        },
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        source: Some(EventSource { component: Some("kubelet".into()), host: Some(node.to_owned()) }),
        reporting_component: Some("kubelet".into()),
        reporting_instance: Some(node.to_owned()),
        type_: Some(if kind == Kind::Normal { "Normal" } else { "Warning" }.into()),
        count: Some(1),
        first_timestamp: Some(second.clone()),
        last_timestamp: Some(second),
        ..Event::default()
    }
}

/// Where a container is in its pod.
fn field_path(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let field = if spec.containers.iter().any(|c| c.name == container) {
        "containers"
    } else if spec.init_containers.iter().flatten().any(|c| c.name == container) {
        "initContainers"
    } else if spec.ephemeral_containers.iter().flatten().any(|c| c.name == container) {
        "ephemeralContainers"
    } else {
        return None;
    };
    Some(format!("spec.{field}{{{container}}}"))
}

/// Writes events. See the module.
pub struct Writer {
    client: kube::Client,
    events: mpsc::Receiver<Event>,
    correlator: Correlator,
}

impl Writer {
    /// Runs until nobody can record any more.
    pub async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            let now = SystemTime::now();
            if let Some(sighting) = self.correlator.see(event, now) {
                self.write(sighting).await;
            }
        }
    }

    async fn write(&self, sighting: Sighting) {
        for _ in 0..TRIES {
            match self.try_write(&sighting).await {
                Ok(()) => return,
                // The server has looked at it and will not have it: a namespace that goes, a name that is taken.
                Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => {
                    tracing::debug!(error = %status, "the server rejected an event");
                    return;
                }
                Err(error) => {
                    tracing::debug!(error = in_words(&error), "an event could not be written");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    async fn try_write(&self, sighting: &Sighting) -> Result<(), kube::Error> {
        let event = &sighting.event;
        let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let name = event.metadata.name.as_deref().unwrap_or_default();
        if sighting.is_known {
            let last: Option<&Time> = event.last_timestamp.as_ref();
            let changes = json!({"count": event.count, "lastTimestamp": last, "message": event.message});
            match api.patch(name, &PatchParams::default(), &Patch::Strategic(changes)).await {
                // It has expired: it begins anew.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                patched => return patched.map(|_| ()),
            }
        }
        api.create(&PostParams::default(), event).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
