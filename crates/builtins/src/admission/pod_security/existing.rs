//! The pods that are in a namespace already, held against a level that is to be enforced from now on.
//!
//! They stay; their owner is told of them. One pod of each controller is looked at before the others, and so many and so
//! long as upstream does: a namespace may be large, and its label is to be written soon.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use sampan_apiserver::Lookup;
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Value};
use sampan_validation::pod_security::{LevelVersion, reasons};

use super::config::Exemptions;

/// How many pods are looked at.
const MAX_PODS: usize = 3000;
/// How long.
const MAX_TIME: Duration = Duration::from_secs(1);
/// After how many pods other tasks of the thread get their turn.
const TURN: usize = 64;

/// What is to be said of the existing pods of `namespace` when `at` is enforced.
pub(super) async fn warnings(
    lookup: &dyn Lookup,
    namespace: &str,
    at: LevelVersion,
    exemptions: &Exemptions,
) -> Vec<String> {
    let began = Instant::now();
    let pods = GroupResource::new("", "pods");
    let prefix = format!("/registry/pods/{namespace}/");
    let names: Vec<String> =
        lookup.keys(&prefix).iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect();
    let mut review = Review::new(at);
    // One pod of each controller first; the names of the others are kept, not the pods.
    let (mut total, mut others) = (names.len(), Vec::new());
    let mut controllers = HashSet::new();
    for (i, name) in names.into_iter().enumerate() {
        if review.checked >= MAX_PODS || (review.checked > 0 && began.elapsed() >= MAX_TIME) {
            break;
        }
        if i % TURN == TURN - 1 {
            give_way().await;
        }
        let Some(pod) = lookup.get(&pods, namespace, &name) else { continue };
        if exemptions.runtime_class(&pod) {
            total -= 1;
            continue;
        }
        match controller(&pod) {
            Some(uid) if !controllers.insert(uid.to_owned()) => others.push(name),
            _ => review.look_at(&pod),
        }
    }
    for (i, name) in others.iter().enumerate() {
        if review.checked >= MAX_PODS || began.elapsed() >= MAX_TIME {
            break;
        }
        if i % TURN == TURN - 1 {
            give_way().await;
        }
        if let Some(pod) = lookup.get(&pods, namespace, name) {
            review.look_at(&pod);
        }
    }
    review.sentences(namespace, total)
}

/// The uid of the controller that owns an object.
fn controller(object: &Value) -> Option<&str> {
    let owners = object.array_at(&["metadata", "ownerReferences"]);
    let owner = owners.iter().find(|o| o.get("controller").and_then(Value::as_bool) == Some(true))?;
    Some(owner.str_at(&["uid"]))
}

/// Lets other tasks of the thread run.
async fn give_way() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// What was found so far: for each set of reasons, the first pod by name and how many there are.
struct Review {
    at: LevelVersion,
    checked: usize,
    found: BTreeMap<String, (String, usize)>,
}

impl Review {
    fn new(at: LevelVersion) -> Self {
        Self { at, checked: 0, found: BTreeMap::new() }
    }

    fn look_at(&mut self, pod: &Value) {
        self.checked += 1;
        let violations = super::violations(self.at, pod);
        if violations.is_empty() {
            return;
        }
        let (first, count) =
            self.found.entry(reasons(&violations)).or_insert_with(|| (pod.name().to_owned(), 0));
        *count += 1;
        if pod.name() < first.as_str() {
            pod.name().clone_into(first);
        }
    }

    fn sentences(self, namespace: &str, total: usize) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.checked < total {
            sentences.push(format!(
                "new PodSecurity enforce level only checked against the first {} of {total} existing pods",
                self.checked
            ));
        }
        if !self.found.is_empty() {
            sentences.push(format!(
                "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{}\"",
                self.at
            ));
        }
        let mut pods: Vec<String> = self
            .found
            .into_iter()
            .map(|(reasons, (name, count))| match count {
                1 => format!("{name}: {reasons}"),
                2 => format!("{name} (and 1 other pod): {reasons}"),
                count => format!("{name} (and {} other pods): {reasons}", count - 1),
            })
            .collect();
        pods.sort();
        sentences.extend(pods);
        sentences
    }
}
