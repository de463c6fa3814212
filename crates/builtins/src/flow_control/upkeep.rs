//! What the server itself writes of flow schemas: whether their level exists (condition `Dangling`), and the mandatory objects when
//! somebody deleted them.
//!
//! Requests do not wait for it: they are classified by the objects as they are.

use std::sync::Arc;

use sampan_apiserver::User;
use sampan_apiserver::http_io::query::{FieldValidation, WriteOptions};
use sampan_apiserver::registry::{Attributes, Change, Existing};
use sampan_apiserver::server::Server;
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::time::format_time;
use sampan_model::{Map, Status, Value};
use sampan_store::{Error, Snapshot};

use super::{PREFIX, parts, priority_level};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// The field manager under which upstream's controller writes.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
/// Those that are never missing.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// Keeps them up until the store is closed.
pub async fn follow(server: Server) {
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
            if let Err(status) = restore(&server, &snapshot).await {
                tracing::warn!(%status, "the mandatory flow schemas and priority levels cannot be restored");
            }
            for (name, condition) in stale(&snapshot) {
                match write(&server, &name, condition).await {
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
    let resources = ["prioritylevelconfigurations", "flowschemas"];
    if !resources.iter().any(|resource| MANDATORY.iter().any(|name| missing(resource, name))) {
        return Ok(0);
    }
    let catalog = server.registry().catalog();
    let objects = crate::bootstrap::objects()
        .into_iter()
        .filter(|(gvr, object)| gvr.group == GROUP && MANDATORY.contains(&object.name()))
        .filter_map(|(gvr, object)| {
            Some((catalog.resource(&gvr.group, &gvr.version, &gvr.resource)?.clone(), object))
        });
    server.registry().ensure(objects.collect(), &|_, _, _| Existing::Keep).await
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
    let objects = |resource: &str| -> Vec<Value> {
        let entries = snapshot.range(&format!("{PREFIX}{resource}/"), None);
        entries
            .filter(|e| parts(&e.key).is_some())
            .filter_map(|e| serde_json::from_slice(&e.value).ok())
            .collect()
    };
    let levels = objects("prioritylevelconfigurations");
    let found =
        |name: &str| levels.iter().any(|level| level.name() == name && priority_level(level).is_some());
    let mut stale = Vec::new();
    for schema in objects("flowschemas") {
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
    let resource = registry
        .catalog()
        .resource(GROUP, "v1", "flowschemas")
        .cloned()
        .ok_or_else(Status::path_not_found)?;
    let attributes = Attributes {
        storage: Arc::clone(&resource),
        subresource: "status".into(),
        namespace: "".into(),
        name: name.into(),
        user: Arc::new(User::apiserver()),
        default_manager: MANAGER.into(),
        audit: sampan_apiserver::audit::Recorder::default(),
        patches: true,
        resource,
    };
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
