//! The descriptors of all built-in resources, from the resource table.

use std::sync::Arc;

use sampan_apiserver::{Resource, Subresource, Verbs};
use sampan_model::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource, Str};
use sampan_schema::{Schema, SchemaSet};

use crate::{conversion, deprecated, printers, selectable, strategy, subresources, virtuals};

static TABLE: &str = include_str!("../data/resources-v1.36.tsv");

/// One line of the resource table.
pub(crate) struct Row {
    /// Group and version under which it is served.
    pub(crate) group_version: GroupVersion,
    /// The plural.
    pub(crate) resource: &'static str,
    /// The subresource, or empty.
    pub(crate) subresource: &'static str,
    singular: &'static str,
    kind: &'static str,
    kind_group_version: Option<GroupVersion>,
    namespaced: bool,
    verbs: Verbs,
    short_names: &'static str,
    categories: &'static str,
    storage_version_hash: &'static str,
}

impl Row {
    fn parse(line: &'static str) -> Self {
        let mut columns = line.split('\t').map(|c| if c == "-" { "" } else { c });
        let mut next = || columns.next().unwrap_or("");
        let group_version = group_version(next());
        let (resource, subresource) = {
            let path = next();
            path.split_once('/').unwrap_or((path, ""))
        };
        Self {
            group_version,
            resource,
            subresource,
            singular: next(),
            kind: next(),
            kind_group_version: Some(next()).filter(|c| !c.is_empty()).map(group_version_of),
            namespaced: next() == "namespaced",
            verbs: Verbs::parse(next()).expect("the table's verbs are known"),
            short_names: next(),
            categories: next(),
            storage_version_hash: next(),
        }
    }

    /// The kind of the row's bodies.
    pub(crate) fn gvk(&self) -> GroupVersionKind {
        let GroupVersion { group, version } =
            self.kind_group_version.clone().unwrap_or_else(|| self.group_version.clone());
        GroupVersionKind { group, version, kind: Str::const_new(self.kind) }
    }
}

fn group_version(text: &'static str) -> GroupVersion {
    let (group, version) = text.split_once('/').unwrap_or(("", text));
    GroupVersion { group: Str::const_new(group), version: Str::const_new(version) }
}

fn group_version_of(text: &'static str) -> GroupVersion {
    group_version(text)
}

fn list(words: &'static str) -> Vec<Str> {
    words.split(',').filter(|w| !w.is_empty()).map(Str::const_new).collect()
}

/// The name under which the type of a kind is published.
pub fn schema_name(gvk: &GroupVersionKind) -> String {
    let package = match gvk.group.as_str() {
        "" => "api.core",
        "apiextensions.k8s.io" => "apiextensions-apiserver.pkg.apis.apiextensions",
        "apiregistration.k8s.io" => "kube-aggregator.pkg.apis.apiregistration",
        group => {
            let short = group.split('.').next().unwrap_or(group);
            return format!("io.k8s.api.{short}.{}.{}", gvk.version, gvk.kind);
        }
    };
    format!("io.k8s.{package}.{}.{}", gvk.version, gvk.kind)
}

/// The schema of a kind; of kinds that have none (options of connections), one that takes anything.
pub(crate) fn schema(types: &Arc<SchemaSet>, gvk: &GroupVersionKind) -> Schema {
    let id = types
        .find(&schema_name(gvk))
        .or_else(|| types.find("io.k8s.apimachinery.pkg.runtime.RawExtension"))
        .expect("the types have one that takes anything");
    types.schema(id)
}

/// All built-in resources, in the order of discovery.
pub fn resources(types: &Arc<SchemaSet>) -> Vec<Resource> {
    let mut resources: Vec<Resource> = Vec::with_capacity(80);
    for row in TABLE.lines().filter(|l| !l.starts_with('#')).map(Row::parse) {
        if row.subresource.is_empty() {
            resources.push(resource(types, &row));
        } else {
            let parent = resources
                .iter_mut()
                .rev()
                .find(|r| r.gvr.resource == row.resource && r.group_version() == row.group_version)
                .expect("the table names a resource before what is below it");
            let subresource = subresource(types, &row, parent);
            parent.subresources.push(subresource);
        }
    }
    deprecated::add(types, &mut resources);
    resources
}

fn resource(types: &Arc<SchemaSet>, row: &Row) -> Resource {
    let GroupVersion { group, version } = row.group_version.clone();
    let gvk = row.gvk();
    let (storage, storage_version) = storage(&group, &version, row.resource);
    Resource {
        gvr: GroupVersionResource { group: group.clone(), version, resource: Str::const_new(row.resource) },
        kind: gvk.kind.clone(),
        list_kind: format!("{}List", row.kind).into(),
        singular: Str::const_new(row.singular),
        short_names: list(row.short_names),
        categories: list(row.categories),
        namespaced: row.namespaced,
        verbs: row.verbs,
        schema: schema(types, &gvk),
        storage,
        storage_version,
        storage_version_hash: Str::const_new(row.storage_version_hash),
        strategy: strategy::of_kind(&gvk),
        table: printers::convertor(&row.group_version.group, &row.group_version.version, row.resource),
        selectable_fields: selectable::fields(&group, row.resource),
        subresources: Vec::new(),
        conversion: conversion::of_kind(&gvk),
        virtual_resource: virtuals::of_kind(&gvk),
        deprecation_warning: deprecated::warning(&gvk),
    }
}

/// Where the objects of a resource are stored: two groups have events, two versions have autoscalers.
fn storage(group: &Str, version: &Str, resource: &'static str) -> (GroupResource, GroupVersion) {
    match (group.as_str(), resource) {
        ("events.k8s.io", "events") => (GroupResource::new("", resource), GroupVersion::new("", "v1")),
        ("autoscaling", _) => {
            (GroupResource::new(group.clone(), resource), GroupVersion::new(group.clone(), "v2"))
        }
        _ => (
            GroupResource { group: group.clone(), resource: Str::const_new(resource) },
            GroupVersion { group: group.clone(), version: version.clone() },
        ),
    }
}

fn subresource(types: &Arc<SchemaSet>, row: &Row, parent: &Resource) -> Subresource {
    let kind = row.gvk();
    Subresource {
        name: Str::const_new(row.subresource),
        schema: schema(types, &kind),
        verbs: row.verbs,
        behaviour: subresources::behaviour(parent, row.subresource),
        kind,
    }
}
