//! What the server itself writes of flow schemas and priority levels: whether a schema's level exists (condition `Dangling`), the
//! mandatory objects as soon as somebody deleted them, and once a minute everything that [`autoupdate`] says.
//!
//! Requests do not wait for it: they are classified by the objects as they are.

use std::sync::Arc;
use std::time::Duration;

use sampan_apiserver::http_io::query::{FieldValidation, WriteOptions};
use sampan_apiserver::registry::{Attributes, Change, DeleteOptions, Existing};
use sampan_apiserver::server::Server;
use sampan_apiserver::{Resource, User};
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::time::format_time;
use sampan_model::{Map, Status, Str, Value};
use sampan_store::{Error, Snapshot};

use super::autoupdate::{self, GROUP, MANDATORY};
use super::{PREFIX, parts, priority_level};

const RESOURCES: [&str; 2] = ["prioritylevelconfigurations", "flowschemas"];
/// How often the specs are looked at, as upstream does: servers of two versions beside each other change them to and fro no faster.
const PERIOD: Duration = Duration::from_mins(1);
/// The field manager under which upstream's controller writes.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

/// Keeps them up until the store is closed.
pub async fn follow(server: Server) {
    tokio::select! {
        () = follow_changes(&server) => {}
        () = follow_time(&server) => {}
    }
}

async fn follow_time(server: &Server) {
    // The first objects were looked at when the server started.
    let mut due = tokio::time::interval_at(tokio::time::Instant::now() + PERIOD, PERIOD);
    loop {
        due.tick().await;
        if let Err(status) = maintain(server).await {
            tracing::warn!(%status, "the suggested flow schemas and priority levels cannot be kept up");
        }
    }
}

/// Brings the mandatory and the suggested objects to what they should be, and deletes those of another version of the server.
/// Answers how many were written or deleted.
pub async fn maintain(server: &Server) -> Result<usize, Status> {
    let registry = server.registry();
    let wanted = wanted(server, |_| true);
    let names: Vec<(Str, String)> = wanted
        .iter()
        .map(|(resource, object)| (resource.gvr.resource.clone(), object.name().to_owned()))
        .collect();
    let mut count = registry.ensure(wanted, &autoupdate::outcome).await?;
    let snapshot = registry.store().snapshot();
    for resource in RESOURCES {
        for object in objects(&snapshot, resource) {
            let known = names.iter().any(|(of, name)| of == resource && name == object.name());
            if known || !autoupdate::is_abandoned(&object) {
                continue;
            }
            let attributes = attributes(server, resource, "", object.name())?;
            let seen = object.resource_version().to_owned();
            let options = DeleteOptions { resource_version: Some(seen), ..DeleteOptions::default() };
            match registry.delete(&attributes, &options).await {
                Ok(_) => count += 1,
                // It was changed just now, or is gone: the next time tells.
                Err(status) if matches!(status.code(), 404 | 409) => {}
                Err(status) => return Err(status),
            }
        }
    }
    Ok(count)
}

/// The objects that every cluster has, and that `which` picks by name.
fn wanted(server: &Server, which: impl Fn(&str) -> bool) -> Vec<(Arc<Resource>, Value)> {
    let catalog = server.registry().catalog();
    let first = crate::bootstrap::objects().into_iter();
    let ours = first.filter(|(gvr, object)| gvr.group == GROUP && which(object.name()));
    ours.filter_map(|(gvr, object)| {
        Some((catalog.resource(&gvr.group, &gvr.version, &gvr.resource)?.clone(), object))
    })
    .collect()
}

async fn follow_changes(server: &Server) {
    let store = server.registry().store();
    loop {
        let mut watcher = match store.watch(PREFIX, store.snapshot().revision()) {
            Ok(watcher) => watcher,
            Err(Error::Compacted { .. }) => continue,
            Err(_) => return,
        };
        loop {
            // What is written here comes back as a change; it ends when nothing is stale any more.
            let snapshot = store.snapshot();
            if let Err(status) = restore(server, &snapshot).await {
                tracing::warn!(%status, "the mandatory flow schemas and priority levels cannot be restored");
            }
            for (name, condition) in stale(&snapshot) {
                match write(server, &name, condition).await {
                    Err(status) if status.code() != 404 => {
                        tracing::warn!(flow_schema = %name, %status, "its condition cannot be written");
                    }
                    _ => {}
                }
            }
            match watcher.next().await {
                Ok(_) => {}
                Err(Error::Closed) => return,
                Err(_) => break,
            }
        }
    }
}

/// Writes those of the mandatory objects that are not there.
async fn restore(server: &Server, snapshot: &Snapshot) -> Result<usize, Status> {
    let missing = |resource: &str, name: &str| snapshot.get(&format!("{PREFIX}{resource}/{name}")).is_none();
    if !RESOURCES.iter().any(|resource| MANDATORY.iter().any(|name| missing(resource, name))) {
        return Ok(0);
    }
    let wanted = wanted(server, |name| MANDATORY.contains(&name));
    server.registry().ensure(wanted, &|_, _, _| Existing::Keep).await
}

/// The stored objects of a resource.
fn objects(snapshot: &Snapshot, resource: &str) -> Vec<Value> {
    let entries = snapshot.range(&format!("{PREFIX}{resource}/"), None);
    entries
        .filter(|e| parts(&e.key).is_some())
        .filter_map(|e| serde_json::from_slice(&e.value).ok())
        .collect()
}

/// What is to be said of a schema: the condition's status, reason and message.
type Condition = (&'static str, &'static str, String);

/// The condition of a schema that names `level`.
fn condition(level: &str, found: bool) -> Condition {
    let about =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {}", go_quote(level));
    if found {
        ("False", "Found", format!("{about} and it exists"))
    } else {
        ("True", "NotFound", format!("{about} but there is no such object"))
    }
}

/// The schemas whose condition is not what it should be.
fn stale(snapshot: &Snapshot) -> Vec<(String, Condition)> {
    let levels = objects(snapshot, "prioritylevelconfigurations");
    let found =
        |name: &str| levels.iter().any(|level| level.name() == name && priority_level(level).is_some());
    let mut stale = Vec::new();
    for schema in objects(snapshot, "flowschemas") {
        let level = schema.str_at(&["spec", "priorityLevelConfiguration", "name"]);
        let wanted = condition(level, found(level));
        let mut conditions = schema.array_at(&["status", "conditions"]).iter();
        let there = conditions.find(|c| c.str_at(&["type"]) == "Dangling");
        let is = |field: &str, want: &str| there.is_some_and(|c| c.str_at(&[field]) == want);
        if !(is("status", wanted.0) && is("reason", wanted.1) && is("message", &wanted.2)) {
            stale.push((schema.name().to_owned(), wanted));
        }
    }
    stale
}

async fn write(server: &Server, name: &str, (status, reason, message): Condition) -> Result<(), Status> {
    let registry = server.registry();
    let attributes = attributes(server, "flowschemas", "status", name)?;
    let now = format_time(registry.now());
    let condition: Map = [
        ("type", Value::from("Dangling")),
        ("status", status.into()),
        ("lastTransitionTime", now.into()),
        ("reason", reason.into()),
        ("message", message.into()),
    ]
    .into_iter()
    .collect();
    let meta: Map = [("name", name)].into_iter().collect();
    let conditions: Map = [("conditions", Value::from(vec![Value::from(condition)]))].into_iter().collect();
    let config: Map = [
        ("apiVersion", Value::from(format!("{GROUP}/v1"))),
        ("kind", "FlowSchema".into()),
        ("metadata", meta.into()),
        ("status", conditions.into()),
    ]
    .into_iter()
    .collect();
    let options = WriteOptions {
        dry_run: false,
        field_manager: MANAGER.into(),
        field_validation: FieldValidation::Strict,
        force: Some(true),
    };
    registry.update(&attributes, Change::Apply(config.into()), &options).await.map(|_| ())
}

/// What the server itself asks of one of the objects.
fn attributes(server: &Server, resource: &str, subresource: &str, name: &str) -> Result<Attributes, Status> {
    let catalog = server.registry().catalog();
    let resource = catalog.resource(GROUP, "v1", resource).cloned().ok_or_else(Status::path_not_found)?;
    Ok(Attributes {
        storage: Arc::clone(&resource),
        subresource: subresource.into(),
        namespace: "".into(),
        name: name.into(),
        user: Arc::new(User::apiserver()),
        default_manager: MANAGER.into(),
        audit: sampan_apiserver::audit::Recorder::default(),
        patches: true,
        resource,
    })
}
