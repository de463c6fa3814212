//! Events of the controllers, as `kubectl describe` shows them. Written one after the other by one task a controller; what comes while its queue is full is counted and dropped.
//!
//! An event that was told before is counted, not written again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use prometheus_client::metrics::counter::Counter;
use quick_cache::unsync::Cache;
use serde_json::json;
use tokio::sync::mpsc;

use crate::Metrics;

/// Events that may wait: as many as upstream's.
const QUEUE: usize = 1000;
/// Events that are remembered.
const REMEMBERED: usize = 4096;
/// How often an event is tried when the API does not answer, and how long it waits in between: upstream's.
const TRIES: u32 = 12;
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Takes events. Clones are the same recorder.
#[derive(Clone)]
pub(crate) struct Recorder {
    component: &'static str,
    queue: mpsc::Sender<Event>,
    dropped: Counter,
}

impl Recorder {
    /// A recorder, and the task that writes what it takes: `run` it.
    pub(crate) fn new(client: kube::Client, component: &'static str, metrics: &Metrics) -> (Self, Writer) {
        let (queue, events) = mpsc::channel(QUEUE);
        let recorder = Self { component, queue, dropped: metrics.dropped_events.clone() };
        (recorder, Writer { client, events, known: Cache::new(REMEMBERED) })
    }

    /// Something happened to an object. `kind` is `Normal` or `Warning`.
    pub(crate) fn event(&self, object: ObjectReference, kind: &str, reason: &str, message: &str) {
        let event = event(self.component, object, kind, reason, message, Timestamp::now());
        if self.queue.try_send(event).is_err() {
            self.dropped.inc();
            tracing::warn!(reason, message, "an event was dropped: too many wait");
        }
    }
}

/// Events of what has no namespace are in `default`.
fn event(
    component: &str,
    object: ObjectReference,
    kind: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Event {
    let second = Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now)));
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:x}", object.name.as_deref().unwrap_or_default(), now.as_nanosecond())),
            namespace: Some(object.namespace.clone().unwrap_or_else(|| "default".into())),
            ..ObjectMeta::default()
        },
        involved_object: object,
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        source: Some(EventSource { component: Some(component.to_owned()), host: None }),
        reporting_component: Some(component.to_owned()),
        type_: Some(kind.to_owned()),
        count: Some(1),
        first_timestamp: second.clone(),
        last_timestamp: second,
        ..Event::default()
    }
}

/// See the module.
pub(crate) struct Writer {
    client: kube::Client,
    events: mpsc::Receiver<Event>,
    /// Names and counts of events, by what they say of whom.
    known: Cache<String, (String, i32)>,
}

impl Writer {
    /// Runs until nobody can record any more.
    pub(crate) async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            for _ in 0..TRIES {
                match self.write(&event).await {
                    Ok(()) => break,
                    // The server has looked at it and will not have it: a namespace that goes.
                    Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => {
                        tracing::debug!(error = %status, "the server rejected an event");
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "an event could not be written"
                        );
                        tokio::time::sleep(RETRY_AFTER).await;
                    }
                }
            }
        }
    }

    async fn write(&mut self, event: &Event) -> Result<(), kube::Error> {
        let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let of = &event.involved_object;
        let parts = [&of.kind, &of.namespace, &of.name, &of.uid, &event.reason, &event.message];
        let key = parts.map(|part| part.as_deref().unwrap_or_default()).join("\n");
        if let Some((name, count)) = self.known.get(&key).cloned() {
            let count = count.saturating_add(1);
            let change = Patch::Strategic(json!({"count": count, "lastTimestamp": event.last_timestamp}));
            match api.patch(&name, &PatchParams::default(), &change).await {
                // It has expired: it begins anew.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                patched => {
                    patched?;
                    self.known.insert(key, (name, count));
                    return Ok(());
                }
            }
        }
        api.create(&PostParams::default(), event).await?;
        self.known.insert(key, (event.metadata.name.clone().unwrap_or_default(), 1));
        Ok(())
    }
}
