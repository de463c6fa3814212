//! What the API has of one kind, kept up by a watch that all controllers share. As upstream's shared informers, it asks as the controller manager itself,
//! not as one of the controllers: those may only write.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use futures::TryStreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Resource};
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::work_queue::WorkQueue;

/// Namespace (empty for what has none) and name.
pub(crate) type ObjectKey = (String, String);

/// What can be watched.
pub(crate) trait Object:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
}

impl<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Object for K {}

/// Told of an object before and after a change; one of both is there.
type Handler<K> = Box<dyn Fn(Option<&K>, Option<&K>) + Send>;

/// See the module. Clones are the same.
pub(crate) struct Informer<K>(Arc<Shared<K>>);

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<K> {
    objects: RwLock<HashMap<ObjectKey, Arc<K>>>,
    /// Held while the objects change, so that whoever comes is told of each object once.
    handlers: Mutex<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
}

pub(crate) fn key<K: Object>(object: &K) -> ObjectKey {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

impl<K: Object> Informer<K> {
    fn new() -> Self {
        let synced = watch::Sender::new(false);
        Self(Arc::new(Shared { objects: RwLock::default(), handlers: Mutex::default(), synced }))
    }

    /// Calls `handler` for every object that is there, and from then on for every change. It must not wait.
    pub(crate) fn on_change(&self, handler: impl Fn(Option<&K>, Option<&K>) + Send + 'static) {
        let mut handlers = self.0.handlers.lock();
        for object in self.all() {
            handler(None, Some(&object));
        }
        handlers.push(Box::new(handler));
    }

    /// Gives every object that comes or changes a turn in a queue, by its name: for kinds without namespaces.
    pub(crate) fn names_to(&self, queue: &WorkQueue<String>) {
        let sink = queue.clone();
        self.on_change(move |_, now| {
            if let Some(name) = now.and_then(|object| object.meta().name.clone()) {
                sink.add(name);
            }
        });
    }

    /// Waits until everything was seen once.
    pub(crate) async fn synced(&self) {
        let mut synced = self.0.synced.subscribe();
        // The sender lives as long as this does.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.0.objects.read().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.0.objects.read().values().cloned().collect()
    }

    fn set(&self, mut object: K) {
        // Nobody asks for it, and it is often half of an object.
        object.meta_mut().managed_fields = None;
        let handlers = self.0.handlers.lock();
        let object = Arc::new(object);
        let before = self.0.objects.write().insert(key(&*object), Arc::clone(&object));
        handlers.iter().for_each(|handler| handler(before.as_deref(), Some(&object)));
    }

    fn remove(&self, key: &ObjectKey) {
        let handlers = self.0.handlers.lock();
        let before = self.0.objects.write().remove(key);
        if before.is_some() {
            handlers.iter().for_each(|handler| handler(before.as_deref(), None));
        }
    }

    fn apply(&self, event: Event<K>, listed: &mut HashSet<ObjectKey>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(key(&object));
                self.set(object);
            }
            Event::InitDone => {
                let gone: Vec<_> =
                    self.0.objects.read().keys().filter(|key| !listed.contains(*key)).cloned().collect();
                for key in &gone {
                    self.remove(key);
                }
                *listed = HashSet::new();
                self.0.synced.send_replace(true);
            }
            Event::Apply(object) => self.set(object),
            Event::Delete(object) => self.remove(&key(&object)),
        }
    }

    /// Failures of the watch are tried again, with ever longer pauses.
    async fn follow(self, client: kube::Client, fields: &'static str) {
        let config = if fields.is_empty() { Config::default() } else { Config::default().fields(fields) };
        let mut events = pin!(watcher(Api::<K>::all(client), config).default_backoff());
        let mut listed = HashSet::new();
        loop {
            match events.try_next().await {
                Ok(Some(event)) => self.apply(event, &mut listed),
                Ok(None) => return,
                Err(error) => {
                    let kind = K::plural(&());
                    tracing::warn!(error = &error as &dyn std::error::Error, "the {kind} cannot be watched");
                }
            }
        }
    }
}

/// All informers. Each is started when the first controller asks for it, and ends with this.
pub(crate) struct Informers {
    client: kube::Client,
    started: HashMap<(TypeId, &'static str), Box<dyn Any + Send>>,
    tasks: JoinSet<()>,
}

impl Informers {
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client, started: HashMap::new(), tasks: JoinSet::new() }
    }

    /// The objects of a kind, of all namespaces.
    pub(crate) fn of<K: Object>(&mut self) -> Informer<K> {
        self.with_fields("")
    }

    /// The objects that a field selector selects.
    pub(crate) fn with_fields<K: Object>(&mut self, fields: &'static str) -> Informer<K> {
        let started = self.started.entry((TypeId::of::<K>(), fields)).or_insert_with(|| {
            let informer = Informer::<K>::new();
            self.tasks.spawn(informer.clone().follow(self.client.clone(), fields));
            Box::new(informer)
        });
        started.downcast_ref::<Informer<K>>().expect("it is kept by its type").clone()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn object(name: &str, value: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n"}, "data": {"k": value}}))
            .expect("an object")
    }

    #[tokio::test]
    async fn a_handler_is_told_of_each_change_once_whenever_it_comes() {
        let informer = Informer::<ConfigMap>::new();
        let mut listed = HashSet::new();
        for event in [
            Event::Init,
            Event::InitApply(object("a", "1")),
            Event::InitApply(object("b", "1")),
            Event::InitDone,
        ] {
            informer.apply(event, &mut listed);
        }
        informer.synced().await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        informer.on_change(move |before, after| {
            let value = |o: Option<&ConfigMap>| {
                o.and_then(|o| o.data.as_ref()?.get("k").cloned()).unwrap_or_default()
            };
            let name = before.or(after).and_then(|o| o.metadata.name.clone()).unwrap_or_default();
            sink.lock().push(format!("{name}: {}-{}", value(before), value(after)));
        });
        told.lock().sort();
        informer.apply(Event::Apply(object("a", "2")), &mut listed);
        // The watch broke, and somebody deleted one meanwhile.
        for event in [Event::Init, Event::InitApply(object("a", "3")), Event::InitDone] {
            informer.apply(event, &mut listed);
        }
        informer.apply(Event::Delete(object("a", "3")), &mut listed);
        assert_eq!(*told.lock(), ["a: -1", "b: -1", "a: 1-2", "a: 2-3", "b: 1-", "a: 3-"]);
        assert!(informer.all().is_empty());
    }
}
