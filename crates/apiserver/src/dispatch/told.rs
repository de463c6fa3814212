//! Tells the audit log of answers in protobuf. (Answers in text are read off their bytes by the chain.)

use std::sync::Arc;

use sampan_model::{Map, Value};
use sampan_store::Entry;

use super::shape::{list_of, partial};
use crate::audit::{Level, MAX_KEPT_BODY, TRUNCATED};
use crate::http_io::media::Shape;
use crate::registry::{Attributes, ListAnswer, object};

/// A list, as the client gets it.
pub(super) fn list(a: &Attributes, list: &ListAnswer, meta: &Map, shape: Shape) {
    if a.audit.level() < Level::RequestResponse {
        return;
    }
    let mut size = 0;
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    list.items.clone().advance(|entry: &Arc<Entry>| {
        size += entry.value.len();
        entries.push(Arc::clone(entry));
        size <= MAX_KEPT_BODY
    });
    if size > MAX_KEPT_BODY {
        return a.audit.annotate(TRUNCATED, "true");
    }
    let trees = entries.iter().filter_map(|entry| {
        let bytes = object::bytes(&a.resource, entry).ok()?;
        serde_json::from_slice(&bytes).ok()
    });
    let told = match shape {
        Shape::PartialMetadata { version, .. } => {
            let items: Vec<Value> = trees.map(|tree: Value| partial(&tree, version)).collect();
            list_of("PartialObjectMetadataList", &format!("meta.k8s.io/{version}"), meta.clone(), items)
        }
        _ => list_of(
            &a.resource.list_kind,
            &a.resource.group_version().to_string(),
            meta.clone(),
            trees.collect(),
        ),
    };
    a.audit.response_body(told);
}
