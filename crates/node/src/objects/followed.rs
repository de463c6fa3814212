//! One object, watched while somebody uses it: whoever asks for the same object shares one watch, which ends with its last user.
//!
//! So a node sees those Secrets only that its pods name, which is also all that the node authorizer lets it see. What is immutable is not watched on once it was seen.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// How long somebody waits for a first answer, as in the kubelet.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of an object.
#[derive(Clone, Debug)]
pub(crate) enum State<K> {
    /// Nothing yet.
    Unknown,
    /// There is none.
    Absent,
    /// It is this.
    Present(Arc<K>),
}

/// An object that may say that it never changes.
pub(crate) trait Watched:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    fn is_immutable(&self) -> bool;
}

impl Watched for ConfigMap {
    fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }
}

impl Watched for Secret {
    fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }
}

/// An object under watch. The watch ends when this is dropped.
pub struct Followed<K> {
    kind: &'static str,
    state: watch::Receiver<State<K>>,
    task: tokio::task::AbortHandle,
}

impl<K> Drop for Followed<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K: Send + Sync> Followed<K> {
    /// The object as it was last seen; `None` if there is none. Waits a second for a first answer of the server.
    pub async fn get(&self) -> Result<Option<Arc<K>>, String> {
        let mut state = self.state.clone();
        let known = state.wait_for(|state| !matches!(state, State::Unknown));
        match tokio::time::timeout(PATIENCE, known).await {
            Ok(Ok(state)) => match &*state {
                State::Present(object) => Ok(Some(Arc::clone(object))),
                _ => Ok(None),
            },
            _ => Err(format!("failed to sync {} cache: timed out waiting for the condition", self.kind)),
        }
    }

    /// Changes from now on. It is closed if there can be none any more.
    pub(crate) fn changes(&self) -> watch::Receiver<State<K>> {
        let mut state = self.state.clone();
        state.mark_unchanged();
        state
    }
}

/// By namespace and name.
type ByName<K> = HashMap<(String, String), Weak<Followed<K>>>;

/// The objects of a kind that are under watch.
pub(super) struct Shared<K> {
    kind: &'static str,
    objects: Mutex<ByName<K>>,
}

impl<K: Watched> Shared<K> {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, objects: Mutex::default() }
    }

    pub(super) fn follow(&self, client: &Client, namespace: &str, name: &str) -> Arc<Followed<K>> {
        let mut objects = self.objects.lock();
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(known) = objects.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        objects.retain(|_, followed| followed.strong_count() > 0);
        let (told, state) = watch::channel(State::Unknown);
        let api = Api::<K>::namespaced(client.clone(), namespace);
        let task = tokio::spawn(follow(api, self.kind, key.clone(), told)).abort_handle();
        let followed = Arc::new(Followed { kind: self.kind, state, task });
        objects.insert(key, Arc::downgrade(&followed));
        followed
    }
}

async fn follow<K: Watched>(
    api: Api<K>,
    kind: &str,
    (namespace, name): (String, String),
    told: watch::Sender<State<K>>,
) {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher(api, config).default_backoff());
    // Of a list that is under way; at its end, what was not in it is not there.
    let mut listed = None;
    while let Some(event) = events.next().await {
        let state = match event {
            Ok(Event::Init) => {
                listed = None;
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listed = Some(object);
                continue;
            }
            Ok(Event::InitDone) => {
                listed.take().map_or(State::Absent, |object| State::Present(Arc::new(object)))
            }
            Ok(Event::Apply(object)) => State::Present(Arc::new(object)),
            Ok(Event::Delete(_)) => State::Absent,
            Err(error) => {
                tracing::warn!(kind, namespace, name, %error, "an object that a pod refers to cannot be watched");
                continue;
            }
        };
        let is_final = matches!(&state, State::Present(object) if object.is_immutable());
        told.send_if_modified(|known| {
            let is_news = !is_same(known, &state);
            *known = state;
            is_news
        });
        if is_final {
            return;
        }
    }
}

/// A list that begins a new watch tells mostly what is known.
fn is_same<K: Resource>(left: &State<K>, right: &State<K>) -> bool {
    match (left, right) {
        (State::Absent, State::Absent) => true,
        (State::Present(left), State::Present(right)) => {
            let (left, right) = (left.meta(), right.meta());
            left.uid == right.uid && left.resource_version == right.resource_version
        }
        _ => false,
    }
}
