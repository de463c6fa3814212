//! Publishes the API: OpenAPI v3, one document a group and version, and OpenAPI v2 as JSON and protobuf.
//!
//! Input is plain data: a set of types, what is served of them, and descriptions. Documents are made when
//! asked for and cost milliseconds, so whoever serves them keeps them.

mod definitions;
mod names;
mod operations;
mod parameters;
mod paths;
mod protobuf;
mod well_known;

use std::collections::BTreeMap;

use sampan_model::{GroupVersion, GroupVersionKind, Map, Str, Value};

use crate::types::SchemaSet;

/// Where descriptions come from.
pub trait Descriptions {
    /// The description of a type, or of a field of it.
    fn of(&self, type_name: &str, field: Option<&str>) -> Option<&str>;

    /// The values that a field may have, or an element of its list or map; none if there is no such list.
    /// They are only told: nothing is validated by them.
    fn values(&self, _type_name: &str, _field: &str) -> &[Value] {
        &[]
    }
}

/// No descriptions.
impl Descriptions for () {
    fn of(&self, _: &str, _: Option<&str>) -> Option<&str> {
        None
    }
}

/// A map from type names to maps from field names to texts; the empty field is the type itself.
impl Descriptions for Value {
    fn of(&self, type_name: &str, field: Option<&str>) -> Option<&str> {
        self.get(type_name)?.get(field.unwrap_or(""))?.as_str()
    }
}

/// A resource that is served.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools)] // plain facts of a table, each with its name
pub struct PublishedResource {
    /// The API group; empty for the core.
    pub group: Str,
    /// The version.
    pub version: Str,
    /// The kind.
    pub kind: Str,
    /// The resource, as it stands in paths.
    pub plural: Str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What discovery says can be done with it.
    pub verbs: Vec<Str>,
    /// The published name of its type, `io.k8s.api.core.v1.Pod`.
    pub type_name: Str,
    /// The published name of its list type; `None` if it is the name of its type and `List`.
    pub list_type_name: Option<Str>,
    /// Whether it can be patched strategically.
    pub strategic_merge: bool,
    /// Whether it is also written in protobuf.
    pub protobuf: bool,
    /// Whether a deletion is answered with the object rather than with a Status.
    pub delete_returns_object: bool,
    /// A custom resource's schema, published as it was written rather than from the set.
    pub raw_schema: Option<Value>,
    /// Its subresources.
    pub subresources: Vec<PublishedSubresource>,
}

/// A subresource that is served.
#[derive(Debug, Clone, Default)]
pub struct PublishedSubresource {
    /// Its name, as it stands in paths: `status`.
    pub name: Str,
    /// The kind that it takes and gives.
    pub kind: GroupVersionKind,
    /// The published name of that kind's type; empty for one that gives text.
    pub type_name: Str,
    /// What discovery says can be done with it.
    pub verbs: Vec<Str>,
    /// The methods by which clients connect to it (exec, proxy); then the verbs do not count.
    pub connect: Vec<Str>,
    /// Whether a path may follow (proxy).
    pub with_path: bool,
    /// Parameters of its own.
    pub parameters: Vec<PublishedParameter>,
}

/// A parameter in the query of a subresource.
#[derive(Debug, Clone, Default)]
pub struct PublishedParameter {
    /// Its name.
    pub name: Str,
    /// `string`, `integer` or `boolean`.
    pub ty: Str,
    /// What it does.
    pub description: Str,
}

/// Everything that is published.
pub struct Published<'a> {
    /// The types.
    pub set: &'a SchemaSet,
    /// What is served of them.
    pub resources: &'a [PublishedResource],
    /// What they mean.
    pub descriptions: &'a dyn Descriptions,
    /// The server's version, `v1.36.2`.
    pub version: &'a str,
}

/// The dialect of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

/// The OpenAPI v3 document of one group and version.
pub fn v3(published: &Published<'_>, group_version: &GroupVersion) -> Vec<u8> {
    let resources: Vec<&PublishedResource> = published
        .resources
        .iter()
        .filter(|r| r.group == group_version.group && r.version == group_version.version)
        .collect();
    let items = paths::of(group_version, &resources);
    encode(&v3_document(published, items))
}

/// The OpenAPI v3 document of the paths that list what is served: `api`, `apis`, `apis/{group}`, `version`.
pub fn v3_discovery(published: &Published<'_>, path: &str) -> Option<Vec<u8>> {
    paths::discovery(path).map(|item| encode(&v3_document(published, vec![item])))
}

/// The OpenAPI v2 document of everything.
pub fn v2(published: &Published<'_>) -> Vec<u8> {
    encode(&v2_document(published))
}

/// The same in the protobuf encoding that older clients ask for
/// (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`).
pub fn v2_protobuf(published: &Published<'_>) -> Vec<u8> {
    protobuf::document(&v2_document(published))
}

fn encode(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

fn info(published: &Published<'_>) -> Value {
    object([("title", "Kubernetes".into()), ("version", published.version.into())])
}

fn bearer_token() -> Value {
    let scheme = object([
        ("description", "Bearer Token authentication".into()),
        ("in", "header".into()),
        ("name", "authorization".into()),
        ("type", "apiKey".into()),
    ]);
    object([("BearerToken", scheme)])
}

fn v3_document(published: &Published<'_>, items: Vec<paths::Item>) -> Value {
    let mut definitions = definitions::Definitions::new(published, Dialect::V3);
    let paths: Map = items
        .into_iter()
        .map(|item| (Str::from(item.path.as_str()), operations::v3(&item, &mut definitions)))
        .collect();
    let components =
        object([("schemas", Value::Object(definitions.finish())), ("securitySchemes", bearer_token())]);
    object([
        ("openapi", "3.0.0".into()),
        ("info", info(published)),
        ("paths", Value::Object(paths)),
        ("components", components),
    ])
}

fn v2_document(published: &Published<'_>) -> Value {
    let mut definitions = definitions::Definitions::new(published, Dialect::V2);
    let mut by_version: BTreeMap<GroupVersion, Vec<&PublishedResource>> = BTreeMap::new();
    for resource in published.resources {
        let gv = GroupVersion { group: resource.group.clone(), version: resource.version.clone() };
        by_version.entry(gv).or_default().push(resource);
    }
    let mut items: Vec<paths::Item> =
        ["api", "apis", "version"].into_iter().filter_map(paths::discovery).collect();
    let mut groups: Vec<&str> =
        by_version.keys().map(|gv| gv.group.as_str()).filter(|g| !g.is_empty()).collect();
    groups.dedup();
    items.extend(groups.into_iter().filter_map(|group| paths::discovery(&format!("apis/{group}"))));
    for (gv, resources) in &by_version {
        items.extend(paths::of(gv, resources));
    }
    let paths: Map = items
        .into_iter()
        .map(|item| (Str::from(item.path.as_str()), operations::v2(&item, &mut definitions)))
        .collect();
    object([
        ("swagger", "2.0".into()),
        ("info", info(published)),
        ("paths", Value::Object(paths)),
        ("definitions", Value::Object(definitions.finish())),
        ("securityDefinitions", bearer_token()),
        ("security", Value::Array(vec![object([("BearerToken", Value::Array(Vec::new()))])])),
    ])
}

/// A map of these entries.
fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().collect())
}

/// A list of these strings.
fn strings<'a>(items: impl IntoIterator<Item = &'a str>) -> Value {
    Value::Array(items.into_iter().map(Value::from).collect())
}

/// A kind as extensions name it.
fn kind_value(kind: &GroupVersionKind) -> Value {
    object([
        ("group", kind.group.clone().into()),
        ("kind", kind.kind.clone().into()),
        ("version", kind.version.clone().into()),
    ])
}

#[cfg(test)]
mod tests;
