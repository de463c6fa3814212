//! All resources that are served, found by the words of a path.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sampan_model::{GroupResource, GroupVersion, Str};

use crate::Resource;
use crate::http_io::protobuf::Protobuf;

/// The resources of one version of a group, by plural.
pub type Version = BTreeMap<Str, Arc<Resource>>;

/// A group's versions, the preferred one first.
#[derive(Debug, Default)]
pub struct Group {
    /// Version and its resources.
    pub versions: Vec<(Str, Version)>,
}

/// All resources that are served. Immutable: a change makes another catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    groups: Vec<(Str, Group)>,
    /// The version in which each resource is stored.
    stored: HashMap<GroupResource, Arc<Resource>>,
}

impl Catalog {
    /// The catalog of `resources`. Groups and versions stand in the order in which they first occur.
    pub fn new(resources: impl IntoIterator<Item = Resource>) -> Self {
        let mut catalog = Self::default();
        for resource in resources {
            let gvr = resource.gvr.clone();
            let group = if let Some(i) = catalog.groups.iter().position(|(name, _)| *name == gvr.group) {
                &mut catalog.groups[i].1
            } else {
                catalog.groups.push((gvr.group.clone(), Group::default()));
                &mut catalog.groups.last_mut().expect("it was pushed just above").1
            };
            let version = if let Some(i) = group.versions.iter().position(|(name, _)| *name == gvr.version) {
                &mut group.versions[i].1
            } else {
                group.versions.push((gvr.version.clone(), Version::new()));
                &mut group.versions.last_mut().expect("it was pushed just above").1
            };
            let resource = Arc::new(resource);
            if resource.group_version() == resource.storage_version {
                catalog.stored.insert(resource.storage.clone(), Arc::clone(&resource));
            }
            version.insert(gvr.resource, resource);
        }
        catalog
    }

    /// A group.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|(n, _)| n == name).map(|(_, g)| g)
    }

    /// All groups in order.
    pub fn groups(&self) -> impl Iterator<Item = (&Str, &Group)> {
        self.groups.iter().map(|(n, g)| (n, g))
    }

    /// The resources of a version of a group.
    pub fn version(&self, group: &str, version: &str) -> Option<&Version> {
        self.group(group)?.versions.iter().find(|(n, _)| n == version).map(|(_, v)| v)
    }

    /// A resource.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.version(group, version)?.get(plural)
    }

    /// All resources.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups.iter().flat_map(|(_, g)| g.versions.iter()).flat_map(|(_, v)| v.values())
    }

    /// How documents that belong to no resource are written in protobuf: as the built-in resources are.
    pub fn protobuf(&self) -> Option<Protobuf> {
        self.resources().find(|r| r.schema.set().has_protobuf()).and_then(|r| r.protobuf())
    }

    /// The resource whose objects are of a kind.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.version(group, version)?.values().find(|r| r.kind == kind)
    }

    /// All groups and versions, in order.
    pub fn group_versions(&self) -> impl Iterator<Item = GroupVersion> {
        self.groups
            .iter()
            .flat_map(|(name, g)| g.versions.iter().map(|(v, _)| GroupVersion::new(name.clone(), v.clone())))
    }

    /// The resource that stores its objects under `storage`, in the version in which they are stored.
    pub fn by_storage(&self, storage: &GroupResource) -> Option<&Arc<Resource>> {
        self.stored.get(storage)
    }
}
