//! The objects of a new cluster, with what the command line says of them.

use anyhow::{Context as _, Result, anyhow};
use sampan_apiserver::Resource;
use sampan_apiserver::server::Server;
use sampan_model::{GroupVersionResource, Value};

use super::joining;
use crate::service_range::ServiceRange;

/// Writes those objects that are missing, in one commit, and adds to roles and bindings what they lack. `joining` are those for newcomers.
pub(super) async fn ensure(
    server: &Server,
    range: &ServiceRange,
    port: u16,
    joining: Vec<(GroupVersionResource, Value)>,
) -> Result<()> {
    let registry = server.registry();
    let catalog = registry.catalog();
    let objects = sampan_builtins::bootstrap::objects()
        .into_iter()
        .chain(joining)
        .map(|(gvr, mut object)| {
            configure(&gvr, &mut object, range, port);
            let resource = catalog
                .resource(&gvr.group, &gvr.version, &gvr.resource)
                .with_context(|| format!("{} of the first objects is not served", gvr.resource))?;
            Ok((resource.clone(), object))
        })
        .collect::<Result<Vec<_>>>()?;
    let reconcile = |resource: &Resource, existing: &Value, wanted: &Value| {
        joining::reconcile(existing, wanted)
            .unwrap_or_else(|| sampan_builtins::bootstrap::reconcile(resource, existing, wanted))
    };
    let written = registry
        .ensure(objects, &reconcile)
        .await
        .map_err(|s| anyhow!("cannot write the first objects: {s}"))?;
    tracing::debug!(written, "the first objects are there");
    Ok(())
}

/// The service `kubernetes` points at this server, and the range is the one that was asked for.
fn configure(gvr: &GroupVersionResource, object: &mut Value, range: &ServiceRange, port: u16) {
    let Value::Object(map) = object else { return };
    match gvr.resource.as_str() {
        "servicecidrs" => {
            map.object_mut("spec").insert("cidrs", vec![range.to_string()]);
        }
        "services" => {
            let spec = map.object_mut("spec");
            let address = range.first().to_string();
            spec.insert("clusterIPs", vec![address.clone()]);
            spec.insert("clusterIP", address);
            if let Some(Value::Array(ports)) = spec.get_mut("ports")
                && let Some(Value::Object(first)) = ports.first_mut()
            {
                first.insert("targetPort", i64::from(port));
            }
        }
        _ => {}
    }
}
