//! Events: what `kubectl describe pod` shows of the scheduler. Written one after the other by one task; what comes while its queue is full is counted and dropped.
//!
//! An event that was told within the last minutes is counted in its series, as `events.k8s.io` wants it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use quick_cache::unsync::Cache;
use serde_json::json;
use tokio::sync::mpsc;

use crate::pod::PodInfo;
use crate::{Metrics, Settings};

/// Events that may wait: as many as upstream's.
const QUEUE: usize = 1000;
/// Events that are remembered.
const REMEMBERED: usize = 4096;
/// After this time a series is over: upstream's `finishTime`.
const SERIES_ENDS: SignedDuration = SignedDuration::from_mins(6);
/// The most bytes of a note: validation refuses more.
const NOTE: usize = 1024;
/// How often an event is tried when the API does not answer, and how long it waits in between: upstream's.
const TRIES: u32 = 12;
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What happened to a pod.
#[derive(Debug)]
pub(crate) struct Happening {
    pub(crate) pod: Arc<PodInfo>,
    pub(crate) kind: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: String,
}

/// Takes events.
pub(crate) struct Recorder {
    queue: mpsc::Sender<Happening>,
    metrics: Metrics,
}

impl Recorder {
    /// A recorder, and the task that writes what it takes: `run` it.
    pub(crate) fn new(client: kube::Client, settings: &Settings) -> (Self, Writer) {
        let (queue, events) = mpsc::channel(QUEUE);
        let writer = Writer {
            client,
            controller: settings.scheduler_name.clone(),
            instance: settings.instance.clone(),
            events,
            known: Cache::new(REMEMBERED),
        };
        (Self { queue, metrics: settings.metrics.clone() }, writer)
    }

    pub(crate) fn record(&self, happening: Happening) {
        if self.queue.try_send(happening).is_err() {
            self.metrics.dropped_events.inc();
            tracing::warn!("an event was dropped: too many wait");
        }
    }
}

/// Which event it is the same as.
type Key = (Arc<str>, &'static str, String);

/// An event that was written.
#[derive(Clone)]
struct Known {
    name: String,
    count: i32,
    last: Timestamp,
}

/// See the module.
pub(crate) struct Writer {
    client: kube::Client,
    controller: String,
    instance: String,
    events: mpsc::Receiver<Happening>,
    known: Cache<Key, Known>,
}

impl Writer {
    /// Runs until nobody can record any more.
    pub(crate) async fn run(mut self) {
        while let Some(happening) = self.events.recv().await {
            for _ in 0..TRIES {
                match self.write(&happening).await {
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

    async fn write(&mut self, happening: &Happening) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &happening.pod.namespace);
        let key = (Arc::clone(&happening.pod.uid), happening.reason, happening.note.clone());
        if let Some(known) =
            self.known.get(&key).filter(|k| now.duration_since(k.last) < SERIES_ENDS).cloned()
        {
            let known = Known { count: known.count.saturating_add(1), last: now, ..known };
            let series = EventSeries { count: known.count, last_observed_time: MicroTime(now) };
            let series = Patch::Merge(json!({"series": series}));
            match api.patch(&known.name, &PatchParams::default(), &series).await {
                // It has expired: it begins anew.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                patched => {
                    patched?;
                    self.known.insert(key, known);
                    return Ok(());
                }
            }
        }
        let event = self.event(happening, now);
        api.create(&PostParams::default(), &event).await?;
        let name = event.metadata.name.unwrap_or_default();
        self.known.insert(key, Known { name, count: 1, last: now });
        Ok(())
    }

    fn event(&self, happening: &Happening, now: Timestamp) -> Event {
        let pod = &happening.pod;
        let mut note = happening.note.clone();
        if note.len() > NOTE {
            note.truncate(note.floor_char_boundary(NOTE));
        }
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", pod.name, now.as_nanosecond())),
                namespace: Some(pod.namespace.clone()),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(pod.name.clone()),
                namespace: Some(pod.namespace.clone()),
                uid: Some(pod.uid.to_string()),
                resource_version: pod.resource_version.clone(),
                ..ObjectReference::default()
            }),
            event_time: Some(MicroTime(now)),
            type_: Some(happening.kind.into()),
            reason: Some(happening.reason.into()),
            action: Some(happening.action.into()),
            note: Some(note),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}
