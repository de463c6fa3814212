//! The documents of `/openapi`, made of the resource table and the type tables when someone first asks.
//!
//! A document takes milliseconds to make and megabytes to hold, and is asked for by one command now and
//! then: it is kept compressed.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use parking_lot::Mutex;
use sampan_apiserver::discovery::Discovery;
use sampan_apiserver::openapi::Source;
use sampan_apiserver::{Behaviour, Resource, Subresource, Verb};
use sampan_model::{GroupVersion, Str};
use sampan_schema::SchemaSet;
use sampan_schema::openapi::{self, Published, PublishedResource, PublishedSubresource};

use crate::version;

/// The paths whose documents list what is served, rather than serve it.
const DISCOVERY_PATHS: [&str; 3] = ["api", "apis", "version"];

/// The documents.
pub(crate) struct Documents {
    types: Arc<SchemaSet>,
    resources: Vec<PublishedResource>,
    /// The paths of v3, each with the hash of its document; needs all of them made once.
    paths: OnceLock<Vec<(String, String)>>,
    made: Mutex<BTreeMap<String, Compressed>>,
}

/// A document as it is kept.
#[derive(Clone)]
struct Compressed(Bytes);

impl Compressed {
    fn new(document: &[u8]) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(5));
        encoder.write_all(document).expect("writing into memory does not fail");
        Self(encoder.finish().expect("writing into memory does not fail").into())
    }

    fn open(&self) -> Bytes {
        let mut document = Vec::new();
        let read = DeflateDecoder::new(&*self.0).read_to_end(&mut document);
        read.expect("what was compressed here can be opened");
        document.into()
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents")
            .field("made", &self.made.lock().keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Documents {
    /// The documents of what `resources` serve.
    pub(crate) fn new<'a>(types: Arc<SchemaSet>, resources: impl Iterator<Item = &'a Resource>) -> Self {
        let resources = resources.map(published).collect();
        Self { types, resources, paths: OnceLock::new(), made: Mutex::default() }
    }

    /// The document of that name: one that was made before, or the one that `make` makes.
    fn document(&self, name: &str, make: impl FnOnce(&Published<'_>) -> Option<Vec<u8>>) -> Option<Bytes> {
        if let Some(made) = self.made.lock().get(name).cloned() {
            return Some(made.open());
        }
        let descriptions = sampan_builtins::descriptions();
        let document = make(&Published {
            set: &self.types,
            resources: &self.resources,
            descriptions: &descriptions,
            version: version::KUBERNETES,
        })?;
        self.made.lock().insert(name.to_owned(), Compressed::new(&document));
        Some(document.into())
    }

    fn group_versions(&self) -> Vec<GroupVersion> {
        let mut list: Vec<GroupVersion> =
            self.resources.iter().map(|r| GroupVersion::new(r.group.clone(), r.version.clone())).collect();
        list.sort();
        list.dedup();
        list
    }
}

/// `api/v1`, `apis/apps/v1`.
fn path(gv: &GroupVersion) -> String {
    if gv.group.is_empty() {
        format!("api/{}", gv.version)
    } else {
        format!("apis/{}/{}", gv.group, gv.version)
    }
}

impl Source for Documents {
    fn v2_json(&self) -> Bytes {
        self.document("v2", |published| Some(openapi::v2(published))).unwrap_or_default()
    }

    fn v2_protobuf(&self) -> Bytes {
        self.document("v2.pb", |published| Some(openapi::v2_protobuf(published))).unwrap_or_default()
    }

    fn v3_paths(&self) -> Vec<(String, String)> {
        let make = || {
            let groups = self.group_versions();
            let mut paths: Vec<String> = DISCOVERY_PATHS.map(str::to_owned).into();
            for gv in &groups {
                if !gv.group.is_empty() {
                    paths.push(format!("apis/{}", gv.group));
                }
                paths.push(path(gv));
            }
            paths.sort();
            paths.dedup();
            paths
                .into_iter()
                .filter_map(|path| {
                    let hash = Discovery::etag(&self.v3(&path)?);
                    Some((path, hash.trim_matches('"').to_owned()))
                })
                .collect()
        };
        self.paths.get_or_init(make).clone()
    }

    fn v3(&self, wanted: &str) -> Option<Bytes> {
        let gv = self.group_versions().into_iter().find(|gv| path(gv) == wanted);
        self.document(wanted, |published| match gv {
            Some(gv) => Some(openapi::v3(published, &gv)),
            None => openapi::v3_discovery(published, wanted),
        })
    }
}

fn verbs(verbs: sampan_apiserver::Verbs) -> Vec<Str> {
    verbs.iter().map(|verb| verb.as_str().into()).collect()
}

fn type_name(schema: &sampan_schema::Schema) -> Str {
    schema.ty().name.clone().unwrap_or_default()
}

fn published(resource: &Resource) -> PublishedResource {
    PublishedResource {
        group: resource.gvr.group.clone(),
        version: resource.gvr.version.clone(),
        kind: resource.kind.clone(),
        plural: resource.gvr.resource.clone(),
        namespaced: resource.namespaced,
        verbs: verbs(resource.verbs),
        type_name: type_name(&resource.schema),
        list_type_name: None,
        strategic_merge: true,
        protobuf: resource.schema.set().has_protobuf(),
        delete_returns_object: resource.strategy.delete_returns_object(),
        raw_schema: None,
        subresources: resource.subresources.iter().map(published_part).collect(),
    }
}

fn published_part(sub: &Subresource) -> PublishedSubresource {
    let connects = matches!(sub.behaviour, Behaviour::Connect(_)) && sub.name != "log";
    let methods = |verb: Verb| match verb {
        Verb::Get => Some("get"),
        Verb::Create => Some("post"),
        Verb::Update => Some("put"),
        Verb::Patch => Some("patch"),
        Verb::Delete => Some("delete"),
        _ => None,
    };
    PublishedSubresource {
        name: sub.name.clone(),
        kind: sub.kind.clone(),
        type_name: if matches!(sub.behaviour, Behaviour::Connect(_)) {
            Str::default()
        } else {
            type_name(&sub.schema)
        },
        verbs: verbs(sub.verbs),
        connect: if connects {
            sub.verbs.iter().filter_map(methods).map(Str::from).collect()
        } else {
            Vec::new()
        },
        with_path: sub.name == "proxy",
        parameters: Vec::new(),
    }
}
