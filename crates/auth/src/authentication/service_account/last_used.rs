//! The day on which the token of a secret was used last, as a label of the secret, so that those that nobody uses can be found
//! and removed (upstream's LegacyServiceAccountTokenTracking).
//!
//! Authentication does not wait for it: it tells of a use, and a task writes the label, at most once a day. What does not
//! fit into the queue is told again by the next use.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use sampan_apiserver::User;
use sampan_apiserver::http_io::query::{FieldValidation, WriteOptions};
use sampan_apiserver::registry::{Attributes, Change, Existing, PatchType};
use sampan_apiserver::server::Server;
use sampan_model::{Map, Status, Value};
use tokio::sync::mpsc;

/// The label.
pub(super) const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
/// The ConfigMap of `kube-system` that says since when this is done.
const SINCE: &str = "kube-apiserver-legacy-service-account-token-tracking";
/// How many uses may wait.
const QUEUE: usize = 64;

/// A secret whose token was used.
#[derive(Debug)]
struct Use {
    namespace: String,
    secret: String,
    /// So that another secret of the name is not labelled.
    uid: String,
}

/// Where uses are told; nowhere by default.
#[derive(Debug, Clone, Default)]
pub struct Uses(Option<mpsc::Sender<Use>>);

/// Uses that were told.
#[derive(Debug)]
pub struct Told(mpsc::Receiver<Use>);

/// Where uses are told, and where they arrive.
pub fn channel() -> (Uses, Told) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Uses(Some(sender)), Told(receiver))
}

impl Uses {
    pub(super) fn tell(&self, namespace: &str, secret: &str, uid: &str) {
        if let Some(sender) = &self.0 {
            let [namespace, secret, uid] = [namespace, secret, uid].map(str::to_owned);
            let _ = sender.try_send(Use { namespace, secret, uid });
        }
    }
}

/// A day in UTC, so many after that of `now`.
pub(super) fn day(now: Timestamp, after: i64) -> String {
    let date = now.to_zoned(TimeZone::UTC).date();
    date.checked_add(after.days()).unwrap_or(date).to_string()
}

/// Writes what is told, until nobody can tell any more.
pub async fn follow(server: Server, mut told: Told) {
    if let Err(status) = since(&server).await {
        tracing::warn!(%status, "the ConfigMap {SINCE} cannot be written");
    }
    while let Some(used) = told.0.recv().await {
        if let Err(status) = label(&server, &used).await
            && !matches!(status.code(), 404 | 409)
        {
            let Use { namespace, secret, .. } = used;
            tracing::warn!(namespace, secret, %status, "the last use of a secret's token cannot be written");
        }
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Map {
    entries.into_iter().collect()
}

/// Writes down since when uses are, unless that is known.
async fn since(server: &Server) -> Result<(), Status> {
    let registry = server.registry();
    let resource = registry.catalog().resource("", "v1", "configmaps").cloned();
    let resource = resource.ok_or_else(Status::path_not_found)?;
    let object = map([
        ("apiVersion", "v1".into()),
        ("kind", "ConfigMap".into()),
        ("metadata", map([("name", SINCE.into()), ("namespace", "kube-system".into())]).into()),
        ("data", map([("since", day(registry.now(), 0).into())]).into()),
    ]);
    registry.ensure(vec![(resource, object.into())], &|_, _, _| Existing::Keep).await.map(|_| ())
}

async fn label(server: &Server, used: &Use) -> Result<(), Status> {
    let registry = server.registry();
    let resource = registry.catalog().resource("", "v1", "secrets").cloned();
    let resource = resource.ok_or_else(Status::path_not_found)?;
    let today = day(registry.now(), 0);
    let attributes = Attributes {
        storage: Arc::clone(&resource),
        subresource: "".into(),
        namespace: used.namespace.as_str().into(),
        name: used.secret.as_str().into(),
        user: Arc::new(User::apiserver()),
        default_manager: "kube-apiserver".into(),
        audit: sampan_apiserver::audit::Recorder::default(),
        patches: true,
        resource,
    };
    let labels = map([(LAST_USED, today.into())]);
    let meta = map([("uid", used.uid.as_str().into()), ("labels", labels.into())]);
    let patch = map([("metadata", meta.into())]);
    let options = WriteOptions {
        dry_run: false,
        field_manager: String::new(),
        field_validation: FieldValidation::Ignore,
        force: None,
    };
    registry.update(&attributes, Change::Patch(PatchType::Merge, patch.into()), &options).await.map(|_| ())
}
