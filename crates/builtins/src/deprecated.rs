//! What is served although it is deprecated, and what clients are told about it.

use std::sync::Arc;

use sampan_apiserver::{Behaviour, Resource, Subresource};
use sampan_model::{GroupVersionKind, Str};
use sampan_schema::SchemaSet;

use crate::{printers, resources, selectable, strategy, subresources};

/// The `Warning` of a deprecated kind.
pub(crate) fn warning(gvk: &GroupVersionKind) -> Option<String> {
    let text = match (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()) {
        ("", "v1", "Endpoints") => {
            "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
        }
        ("", "v1", "ComponentStatus") => "v1 ComponentStatus is deprecated in v1.19+",
        ("batch", "v1beta1", "CronJob") => {
            "batch/v1beta1 CronJob is deprecated in v1.21+, unavailable in v1.25+; use batch/v1 CronJob"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// Adds versions that the resource table lacks: `batch/v1beta1` CronJob, which upstream stopped serving in
/// v1.25, for old manifests. Its fields are those of `batch/v1`, and so are its stored objects.
pub(crate) fn add(types: &Arc<SchemaSet>, all: &mut Vec<Resource>) {
    let Some(at) = all.iter().rposition(|r| r.gvr.group == "batch") else { return };
    let Some(v1) = all.iter().find(|r| r.gvr.group == "batch" && r.gvr.resource == "cronjobs") else {
        return;
    };
    let mut gvr = v1.gvr.clone();
    gvr.version = Str::const_new("v1beta1");
    let kind = GroupVersionKind::new(gvr.group.clone(), gvr.version.clone(), v1.kind.clone());
    let old = Resource {
        kind: v1.kind.clone(),
        list_kind: v1.list_kind.clone(),
        singular: v1.singular.clone(),
        short_names: v1.short_names.clone(),
        categories: v1.categories.clone(),
        namespaced: v1.namespaced,
        verbs: v1.verbs,
        schema: resources::schema(types, &v1.gvk()),
        storage: v1.storage.clone(),
        storage_version: v1.storage_version.clone(),
        storage_version_hash: v1.storage_version_hash.clone(),
        strategy: strategy::of_kind(&v1.gvk()),
        table: printers::convertor("batch", "v1", "cronjobs"),
        selectable_fields: selectable::fields("batch", "cronjobs"),
        subresources: v1.subresources.iter().map(|s| copy(s, v1, &kind)).collect(),
        conversion: None,
        virtual_resource: None,
        deprecation_warning: warning(&kind),
        gvr,
    };
    all.insert(at + 1, old);
}

fn copy(of: &Subresource, parent: &Resource, kind: &GroupVersionKind) -> Subresource {
    let behaviour: Behaviour = subresources::behaviour(parent, &of.name);
    Subresource {
        name: of.name.clone(),
        kind: kind.clone(),
        verbs: of.verbs,
        schema: of.schema.clone(),
        behaviour,
    }
}
