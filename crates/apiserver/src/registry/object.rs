//! Stored bytes to trees and other versions, and what selectors look at.

use std::sync::Arc;

use bytes::Bytes;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Str, Value};
use sampan_store::Entry;
use smallvec::SmallVec;

use crate::encode;
use crate::{Resource, SelectableField};

/// The tree of an entry, in the stored version.
pub fn parse(entry: &Entry) -> Result<Value, Status> {
    serde_json::from_slice(&entry.value)
        .map_err(|error| Status::internal(format!("the stored object {} cannot be read: {error}", entry.key)))
}

/// A tree in the stored version, turned into `resource`'s version.
pub fn from_storage(resource: &Resource, mut object: Value) -> Value {
    if resource.group_version() == resource.storage_version {
        return object;
    }
    if let Some(conversion) = &resource.conversion {
        object = (conversion.from_storage)(object);
    }
    set_type(resource, &mut object);
    object
}

/// A tree in `resource`'s version, turned into the stored one.
pub fn to_storage(resource: &Resource, storage: &Resource, mut object: Value) -> Value {
    if resource.group_version() != resource.storage_version {
        if let Some(conversion) = &resource.conversion {
            object = (conversion.to_storage)(object);
        }
        set_type(storage, &mut object);
    }
    object
}

/// Writes `kind` and `apiVersion` of a resource into a tree.
pub fn set_type(resource: &Resource, object: &mut Value) {
    if let Value::Object(map) = object {
        map.insert("kind", resource.kind.clone());
        map.insert("apiVersion", resource.group_version().to_string());
    }
}

/// The bytes of an entry as an object of `resource`: the stored bytes themselves when the version is the stored one.
pub fn bytes(resource: &Resource, entry: &Entry) -> Result<Bytes, Status> {
    if resource.group_version() == resource.storage_version {
        return Ok(entry.value.clone());
    }
    let object = from_storage(resource, parse(entry)?);
    Ok(encoded(&object))
}

/// The bytes of a tree that carries its own resourceVersion.
pub fn encoded(object: &Value) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    encode::write_object(object, &mut out, false);
    out.push(b'\n');
    out.into()
}

/// An object's bytes without kind and apiVersion, as an item of a list: after the first `{`.
pub fn item<'a>(object: &'a [u8], prefix: &str) -> &'a [u8] {
    let end = object.len() - usize::from(object.ends_with(b"\n"));
    object.get(prefix.len()..end).unwrap_or(&[])
}

/// What selectors look at, kept beside an entry's bytes.
///
/// A list with a selector looks at one of these for every object, so what most objects have (a few short
/// labels) lies within it: one cache miss less for each.
#[derive(Debug, Default)]
pub struct View {
    labels: SmallVec<[(Str, Str); 2]>,
    fields: Box<[Str]>,
}

impl View {
    /// The view of an object in the stored version.
    pub fn new(storage: &Resource, object: &Value) -> Self {
        let labels = object.labels().map_or_else(SmallVec::new, |labels| {
            labels.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").into())).collect()
        });
        let fields = storage.selectable_fields.iter().map(|field| (field.get)(object)).collect();
        Self { labels, fields }
    }

    /// The view of an entry, made from its bytes if it was not kept yet. An entry that cannot be read has an empty one.
    pub fn of<'a>(storage: &Resource, entry: &'a Entry) -> Option<&'a View> {
        entry.memo.get_or_init(|| Arc::new(parse(entry).map(|o| View::new(storage, &o)).unwrap_or_default()))
    }

    /// Reads a little of the first and the last label, so that what lies around it is fetched from memory.
    pub(super) fn touch(&self) -> usize {
        let ends = [self.labels.first(), self.labels.last()];
        ends.into_iter().flatten().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// The labels, sorted by key.
    pub fn labels(&self) -> &[(Str, Str)] {
        &self.labels
    }

    /// The value of a selectable field.
    pub fn field(&self, fields: &[SelectableField], name: &str) -> Option<&str> {
        fields.iter().position(|f| f.name == name).and_then(|i| self.fields.get(i)).map(Str::as_str)
    }
}

/// Namespace and name, as the end of a key has them.
pub fn names<'a>(storage: &Resource, key: &'a str) -> (&'a str, &'a str) {
    let rest = key.get(storage.key_prefix("").len()..).unwrap_or("");
    if storage.namespaced { rest.split_once('/').unwrap_or(("", rest)) } else { ("", rest) }
}
