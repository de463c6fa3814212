//! Discovery: which groups, versions and resources there are.
//!
//! The documents follow from the catalog alone, and are made when they are asked for.

use std::fmt::Write as _;

use sampan_model::{Map, Value};
use sha2::{Digest, Sha256};

use crate::catalog::{Catalog, Group, Version};
use crate::{Resource, Verbs};

/// Makes discovery documents of a catalog.
#[derive(Debug)]
pub struct Discovery;

impl Discovery {
    /// `/api`
    pub fn api_versions(catalog: &Catalog, address: &str) -> Value {
        let versions: Vec<Value> = catalog
            .group("")
            .map_or_else(Vec::new, |g| g.versions.iter().map(|(v, _)| Value::from(v.clone())).collect());
        object([
            ("kind", "APIVersions".into()),
            ("versions", Value::Array(versions)),
            (
                "serverAddressByClientCIDRs",
                Value::Array(vec![object([
                    ("clientCIDR", "0.0.0.0/0".into()),
                    ("serverAddress", address.into()),
                ])]),
            ),
        ])
    }

    /// `/apis`
    pub fn group_list(catalog: &Catalog) -> Value {
        let groups = catalog
            .groups()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, group)| group_fields(name, group));
        object([
            ("kind", "APIGroupList".into()),
            ("apiVersion", "v1".into()),
            ("groups", Value::Array(groups.collect())),
        ])
    }

    /// `/apis/<group>`
    pub fn group(name: &str, group: &Group) -> Value {
        let mut value = group_fields(name, group);
        if let Value::Object(map) = &mut value {
            map.insert("kind", "APIGroup");
            map.insert("apiVersion", "v1");
        }
        value
    }

    /// `/api/v1`, `/apis/<group>/<version>`
    pub fn resource_list(group: &str, version: &str, resources: &Version) -> Value {
        let mut list = Vec::new();
        for resource in resources.values() {
            list.push(resource_entry(resource));
            let mut subresources: Vec<_> = resource.subresources.iter().collect();
            subresources.sort_by(|a, b| a.name.cmp(&b.name));
            for sub in subresources {
                let mut entry = Map::new();
                entry.insert("name", format!("{}/{}", resource.gvr.resource, sub.name));
                entry.insert("singularName", "");
                entry.insert("namespaced", resource.namespaced);
                if sub.kind.group != resource.gvr.group || sub.kind.version != resource.gvr.version {
                    entry.insert("group", sub.kind.group.clone());
                    entry.insert("version", sub.kind.version.clone());
                }
                entry.insert("kind", sub.kind.kind.clone());
                entry.insert("verbs", verbs(sub.verbs));
                list.push(Value::Object(entry));
            }
        }
        let gv = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let mut value = object([
            ("kind", "APIResourceList".into()),
            ("groupVersion", gv.into()),
            ("resources", Value::Array(list)),
        ]);
        if let (false, Value::Object(map)) = (group.is_empty(), &mut value) {
            map.insert("apiVersion", "v1");
        }
        value
    }

    /// Aggregated discovery of the core group (`/api`) or of all others (`/apis`), in a version of `apidiscovery.k8s.io`.
    pub fn aggregated(catalog: &Catalog, core: bool, api_version: &str) -> Value {
        let items = catalog.groups().filter(|(name, _)| name.is_empty() == core).map(|(name, group)| {
            let mut meta = Map::new();
            if !core {
                meta.insert("name", name.clone());
            }
            let versions = group.versions.iter().map(|(version, resources)| {
                let resources = resources.values().map(|r| aggregated_entry(r)).collect();
                object([
                    ("version", version.clone().into()),
                    ("resources", Value::Array(resources)),
                    ("freshness", "Current".into()),
                ])
            });
            object([("metadata", Value::Object(meta)), ("versions", Value::Array(versions.collect()))])
        });
        object([
            ("kind", "APIGroupDiscoveryList".into()),
            ("apiVersion", format!("apidiscovery.k8s.io/{api_version}").into()),
            ("metadata", Value::Object(Map::new())),
            ("items", Value::Array(items.collect())),
        ])
    }

    /// The ETag of a document.
    pub fn etag(document: &[u8]) -> String {
        let mut text = String::with_capacity(66);
        text.push('"');
        for byte in Sha256::digest(document) {
            let _ = write!(text, "{byte:02X}");
        }
        text.push('"');
        text
    }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().collect())
}

fn verbs(verbs: Verbs) -> Vec<Value> {
    verbs.iter().map(|v| v.as_str().into()).collect()
}

fn group_version(name: &str, version: &str) -> Value {
    object([("groupVersion", format!("{name}/{version}").into()), ("version", version.into())])
}

fn group_fields(name: &str, group: &Group) -> Value {
    let versions: Vec<Value> = group.versions.iter().map(|(v, _)| group_version(name, v)).collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    object([("name", name.into()), ("versions", Value::Array(versions)), ("preferredVersion", preferred)])
}

fn strings(list: &[sampan_model::Str]) -> Vec<Value> {
    list.iter().map(|s| s.clone().into()).collect()
}

fn resource_entry(resource: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("name", resource.gvr.resource.clone());
    entry.insert("singularName", resource.singular.clone());
    entry.insert("namespaced", resource.namespaced);
    entry.insert("kind", resource.kind.clone());
    entry.insert("verbs", verbs(resource.verbs));
    if !resource.short_names.is_empty() {
        entry.insert("shortNames", strings(&resource.short_names));
    }
    if !resource.categories.is_empty() {
        entry.insert("categories", strings(&resource.categories));
    }
    if !resource.storage_version_hash.is_empty() {
        entry.insert("storageVersionHash", resource.storage_version_hash.clone());
    }
    Value::Object(entry)
}

fn response_kind(group: &str, version: &str, kind: &str) -> Value {
    object([("group", group.into()), ("version", version.into()), ("kind", kind.into())])
}

fn scope(resource: &Resource) -> &'static str {
    if resource.namespaced { "Namespaced" } else { "Cluster" }
}

fn aggregated_entry(resource: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("resource", resource.gvr.resource.clone());
    entry.insert("responseKind", response_kind("", "", &resource.kind));
    entry.insert("scope", scope(resource));
    entry.insert("singularResource", resource.singular.clone());
    entry.insert("verbs", verbs(resource.verbs));
    if !resource.short_names.is_empty() {
        entry.insert("shortNames", strings(&resource.short_names));
    }
    if !resource.categories.is_empty() {
        entry.insert("categories", strings(&resource.categories));
    }
    if !resource.subresources.is_empty() {
        let mut subresources: Vec<_> = resource.subresources.iter().collect();
        subresources.sort_by(|a, b| a.name.cmp(&b.name));
        let list = subresources.iter().map(|sub| {
            let own = sub.kind.group == resource.gvr.group && sub.kind.version == resource.gvr.version;
            let kind = if own {
                response_kind("", "", &sub.kind.kind)
            } else {
                response_kind(&sub.kind.group, &sub.kind.version, &sub.kind.kind)
            };
            object([
                ("subresource", sub.name.clone().into()),
                ("responseKind", kind),
                ("verbs", Value::Array(verbs(sub.verbs))),
            ])
        });
        entry.insert("subresources", Value::Array(list.collect()));
    }
    Value::Object(entry)
}
