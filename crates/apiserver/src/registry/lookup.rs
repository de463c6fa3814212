//! Other objects, for strategies and admission: one snapshot of the live state.

use std::sync::Arc;

use sampan_model::{GroupResource, Value};
use sampan_store::Snapshot;

use super::{Registry, object};
use crate::Lookup;
use crate::catalog::Catalog;

/// One snapshot. Keys are built from group and resource alone, as [`crate::Resource::key`] does.
#[derive(Debug)]
pub struct SnapshotLookup<'a> {
    snapshot: &'a Snapshot,
    catalog: Option<&'a arc_swap::ArcSwap<Catalog>>,
}

impl<'a> SnapshotLookup<'a> {
    /// The objects of a snapshot; it knows no resources.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, catalog: None }
    }
}

impl Registry {
    /// The objects of a snapshot, and the resources that are served.
    pub(super) fn lookup<'a>(&'a self, snapshot: &'a Snapshot) -> SnapshotLookup<'a> {
        SnapshotLookup { snapshot, catalog: Some(&self.catalog) }
    }
}

fn prefix(resource: &GroupResource, namespace: &str) -> String {
    let mut key = String::from("/registry/");
    for part in [resource.group.as_str(), resource.resource.as_str(), namespace] {
        if !part.is_empty() {
            key.push_str(part);
            key.push('/');
        }
    }
    key
}

impl Lookup for SnapshotLookup<'_> {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value> {
        let key = prefix(resource, namespace) + name;
        self.snapshot.get(&key).and_then(|entry| object::parse(entry).ok())
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        self.snapshot
            .range(&prefix(resource, namespace), None)
            .filter_map(|entry| object::parse(entry).ok())
            .collect()
    }

    fn exists(&self, resource: &GroupResource, namespace: &str, name: &str) -> bool {
        self.has_key(&(prefix(resource, namespace) + name))
    }

    fn has_key(&self, key: &str) -> bool {
        self.snapshot.get(key).is_some()
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        self.snapshot.range(prefix, None).map(|entry| entry.key.to_string()).collect()
    }
    fn catalog(&self) -> Option<Arc<Catalog>> {
        self.catalog.map(arc_swap::ArcSwap::load_full)
    }
}
