//! What makes a kind: the descriptor from which the engine serves it.

use std::fmt;
use std::sync::Arc;

use sampan_model::{
    GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource, Str, Value,
};
use sampan_schema::Schema;

use crate::http_io::protobuf::Protobuf;
use crate::{Strategy, Subresource, TableConvertor, subresource::Virtual};

/// A verb of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Verb {
    Create,
    Get,
    List,
    Watch,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// To connect to something by way of the object, whatever the method: admission alone knows this one.
    Connect,
}

impl Verb {
    /// All verbs that a resource may have, in the order in which discovery lists them.
    pub const ALL: [Verb; 8] = [
        Verb::Create,
        Verb::Delete,
        Verb::DeleteCollection,
        Verb::Get,
        Verb::List,
        Verb::Patch,
        Verb::Update,
        Verb::Watch,
    ];

    /// The word that discovery, authorization and audit use.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Connect => "connect",
        }
    }
}

/// A set of verbs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Verbs(u16);

impl Verbs {
    /// No verb.
    pub const NONE: Verbs = Verbs(0);

    /// The set with `verb` too.
    #[must_use]
    pub const fn with(self, verb: Verb) -> Self {
        Self(self.0 | 1 << verb as u8)
    }

    /// The set of words as the resource table writes them: `create,get,list`. `None` for an unknown word.
    pub fn parse(list: &str) -> Option<Self> {
        list.split(',').filter(|w| !w.is_empty() && *w != "-").try_fold(Self::NONE, |set, word| {
            Verb::ALL.iter().find(|v| v.as_str() == word).map(|v| set.with(*v))
        })
    }

    /// Whether `verb` is in the set.
    pub const fn contains(self, verb: Verb) -> bool {
        self.0 & 1 << verb as u8 != 0
    }

    /// The verbs in discovery's order.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |v| self.contains(*v))
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Verb::as_str)).finish()
    }
}

/// Everything that the engine knows of one resource in one version.
#[derive(Debug)]
pub struct Resource {
    /// Group, version and plural.
    pub gvr: GroupVersionResource,
    /// The kind of one object.
    pub kind: Str,
    /// The kind of a list.
    pub list_kind: Str,
    /// The singular, `pod`.
    pub singular: Str,
    /// Short names, `po`.
    pub short_names: Vec<Str>,
    /// Categories, `all`.
    pub categories: Vec<Str>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Verbs,
    /// What an object looks like.
    pub schema: Schema,
    /// Group and resource under which its objects are stored: two versions of one resource share it.
    pub storage: GroupResource,
    /// The group and version in which its objects are stored.
    pub storage_version: GroupVersion,
    /// The hash of the storage version that discovery shows; empty for what is not stored.
    pub storage_version_hash: Str,
    /// What the kind does differently.
    pub strategy: Arc<dyn Strategy>,
    /// Its columns in a table.
    pub table: Arc<dyn TableConvertor>,
    /// The fields that field selectors know besides `metadata.name` and `metadata.namespace`.
    pub selectable_fields: Vec<SelectableField>,
    /// Its subresources.
    pub subresources: Vec<Subresource>,
    /// How its objects differ from those that are stored; `None` when only `apiVersion` does.
    pub conversion: Option<Conversion>,
    /// What answers instead of the store, for resources that are not stored.
    pub virtual_resource: Option<Arc<dyn Virtual>>,
    /// The `Warning` that answers carry because this version is deprecated.
    pub deprecation_warning: Option<String>,
}

/// The way between a version and the one that is stored. Neither direction touches `apiVersion` and `kind`.
#[derive(Debug, Clone, Copy)]
pub struct Conversion {
    /// From this version to the stored one.
    pub to_storage: fn(Value) -> Value,
    /// From the stored version to this one.
    pub from_storage: fn(Value) -> Value,
}

/// A field that field selectors know.
#[derive(Debug, Clone)]
pub struct SelectableField {
    /// As selectors name it, `spec.nodeName`.
    pub name: Str,
    /// Its value in an object; empty when there is none.
    pub get: fn(&Value) -> Str,
}

impl Resource {
    /// Group, version and kind.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.gvr.group.clone(), self.gvr.version.clone(), self.kind.clone())
    }

    /// Group and version.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(self.gvr.group.clone(), self.gvr.version.clone())
    }

    /// Group and kind, as validation errors name it.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.gvr.group.clone(), self.kind.clone())
    }

    /// Group and resource, as other errors name it.
    pub fn group_resource(&self) -> GroupResource {
        self.gvr.group_resource()
    }

    /// How its objects are written in protobuf; `None` for what is written in JSON and YAML only.
    pub fn protobuf(&self) -> Option<Protobuf> {
        self.schema.set().protobuf().map(Protobuf)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// The prefix of the keys of all its objects; `namespace` narrows it.
    pub fn key_prefix(&self, namespace: &str) -> String {
        let mut key = String::with_capacity(64);
        key.push_str("/registry/");
        if !self.storage.group.is_empty() {
            key.push_str(&self.storage.group);
            key.push('/');
        }
        key.push_str(&self.storage.resource);
        key.push('/');
        if !namespace.is_empty() {
            key.push_str(namespace);
            key.push('/');
        }
        key
    }

    /// The key of one object.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        let mut key = self.key_prefix(namespace);
        key.push_str(name);
        key
    }
}
