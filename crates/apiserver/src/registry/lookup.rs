//! Other objects, for strategies and admission: one snapshot of the live state.

use sampan_model::{GroupResource, Value};
use sampan_store::Snapshot;

use super::object;
use crate::Lookup;

/// One snapshot. Keys are built from group and resource alone, as [`crate::Resource::key`] does.
pub(super) struct SnapshotLookup<'a>(pub(super) &'a Snapshot);

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
        self.0.get(&key).and_then(|entry| object::parse(entry).ok())
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        self.0
            .range(&prefix(resource, namespace), None)
            .filter_map(|entry| object::parse(entry).ok())
            .collect()
    }

    fn exists(&self, resource: &GroupResource, namespace: &str, name: &str) -> bool {
        self.has_key(&(prefix(resource, namespace) + name))
    }

    fn has_key(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        self.0.range(prefix, None).map(|entry| entry.key.to_string()).collect()
    }
}
