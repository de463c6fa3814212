//! What images there are, and which names they have: the content of index.json. Pure, but for reading and replacing that file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};

use super::layout::{Layout, Locked};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::image::{Defaults, Error};

const VERSION: u32 = 1;

/// All images by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    version: u32,
    pub(crate) images: BTreeMap<Digest, Record>,
}

impl Default for Index {
    fn default() -> Self {
        Self { version: VERSION, images: BTreeMap::new() }
    }
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) manifest: Digest,
    pub(crate) size_bytes: u64,
    /// `docker.io/library/busybox:latest`
    pub(crate) tags: BTreeSet<String>,
    /// `docker.io/library/busybox@sha256:...`
    pub(crate) digests: BTreeSet<String>,
    /// Ids of the stacks, the lowest first.
    pub(crate) layers: Vec<Digest>,
    pub(crate) defaults: Defaults,
    /// Seconds since 1970.
    pub(crate) added: u64,
}

/// How an image is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// `sha256:HEX`, or the digits alone.
    Id(Digest),
    /// A name.
    Name(Reference),
}

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let id = Digest::parse(text).ok().or_else(|| Digest::from_hex(text));
        id.map_or_else(|| Reference::parse(text).map(Self::Name), |id| Ok(Self::Id(id)))
    }
}

impl Index {
    /// Reads index.json; none is an empty one.
    pub(crate) fn read(layout: &Layout) -> Result<Self, Error> {
        let path = layout.index();
        let problem = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::failed(format!("cannot read the list of images {}", path.display()), source)
        };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(problem(error.into())),
        };
        let index: Self = serde_json::from_slice(&text).map_err(|error| problem(error.into()))?;
        if index.version > VERSION {
            return Err(problem(format!("version {} was written by a newer sampan", index.version).into()));
        }
        Ok(index)
    }

    /// Replaces index.json.
    pub(crate) fn write(&self, layout: &Layout, locked: &Locked) -> Result<(), Error> {
        let text = serde_json::to_vec(self).expect("an index is JSON");
        layout
            .replace(&layout.index(), &text, locked)
            .map_err(|error| Error::failed("cannot write the list of images", error))
    }

    /// The id of an image.
    pub(crate) fn find(&self, query: &Query) -> Option<&Digest> {
        match query {
            Query::Id(id) => self.images.get_key_value(id).map(|(id, _)| id),
            Query::Name(reference) => {
                let name = reference.to_string();
                let has = |record: &Record| record.tags.contains(&name) || record.digests.contains(&name);
                self.images.iter().find(|(_, record)| has(record)).map(|(id, _)| id)
            }
        }
    }

    /// Adds an image, or names to one that is there. A tag belongs to the image that had it last.
    pub(crate) fn add(&mut self, id: &Digest, record: Record) {
        for other in self.images.values_mut() {
            other.tags.retain(|tag| !record.tags.contains(tag));
        }
        match self.images.get_mut(id) {
            Some(known) => {
                known.tags.extend(record.tags);
                known.digests.extend(record.digests);
            }
            None => {
                self.images.insert(id.clone(), record);
            }
        }
    }

    /// Removes an image by its id or its last name, or one of its names. Answers the id of an image that is gone.
    pub(crate) fn remove(
        &mut self,
        query: &Query,
        in_use: &BTreeSet<Digest>,
    ) -> Result<Option<Digest>, Error> {
        let missing = |name: String| Error::NotFound(format!("image {name:?}: not found"));
        let id = self.find(query).cloned();
        let (id, last) = match (id, query) {
            (Some(id), Query::Id(_)) => (id, true),
            (Some(id), Query::Name(reference)) => {
                let record = &self.images[&id];
                let last = record.tags.len() + record.digests.len() <= 1
                    // The names with digests of a repository go with its last tag there.
                    || (reference.tag().is_some() && record.only_named(reference));
                (id, last)
            }
            (None, Query::Id(id)) => return Err(missing(id.to_string())),
            (None, Query::Name(reference)) => return Err(missing(reference.to_string())),
        };
        if last {
            if in_use.contains(&id) {
                return Err(Error::InUse(id.to_string()));
            }
            self.images.remove(&id);
            return Ok(Some(id));
        }
        if let (Query::Name(reference), Some(record)) = (query, self.images.get_mut(&id)) {
            record.tags.remove(&reference.to_string());
            record.digests.remove(&reference.to_string());
        }
        Ok(None)
    }

    /// Every blob and layer that an image needs.
    pub(crate) fn needed(&self) -> BTreeSet<Digest> {
        let of = |(id, record): (&Digest, &Record)| {
            [id.clone(), record.manifest.clone()].into_iter().chain(record.layers.clone()).collect::<Vec<_>>()
        };
        self.images.iter().flat_map(of).collect()
    }
}

impl Record {
    /// Whether this is its only tag, and it has digests of that repository only.
    fn only_named(&self, reference: &Reference) -> bool {
        let prefix = format!("{}@", reference.name());
        self.tags.len() == 1 && self.digests.iter().all(|digest| digest.starts_with(&prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// name, tags, digests, in use, asked, what comes of it
    type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], bool, &'a str, &'a str);

    fn record(tags: &[&str], digests: &[&str]) -> Record {
        let set = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Record {
            manifest: Digest::of(b"m"),
            size_bytes: 1,
            tags: set(tags),
            digests: set(digests),
            layers: vec![Digest::of(b"l")],
            defaults: Defaults::default(),
            added: 0,
        }
    }

    fn query(text: &str) -> Query {
        Query::parse(text).unwrap()
    }

    #[test]
    fn a_tag_moves_to_the_image_that_had_it_last() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let mut index = Index::default();
        index.add(&a, record(&["docker.io/library/x:latest"], &[]));
        index.add(&b, record(&["docker.io/library/x:latest"], &[]));
        index.add(&b, record(&["docker.io/library/y:1"], &[]));
        assert_eq!(index.find(&query("x")), Some(&b));
        assert_eq!(index.find(&query("y:1")), Some(&b));
        assert_eq!(index.find(&query(a.hex())), Some(&a));
        assert_eq!(index.find(&query("z")), None);
        assert!(index.images[&a].tags.is_empty());
    }

    #[test]
    fn removal_takes_a_name_or_the_image_but_nothing_that_is_in_use() {
        let id = Digest::of(b"a");
        let hex = Digest::of(b"content");
        let at = format!("docker.io/library/x@{hex}");
        let two = ["docker.io/library/x:1", "docker.io/library/x:2"];
        let rows: [Row<'_>; 7] = [
            ("by id", &two, &[], false, id.hex(), "gone"),
            ("one of two tags", &two, &[], true, "x:1", "1 left"),
            ("the last name", &two[..1], &[], false, "x:1", "gone"),
            ("the last tag of a pulled image", &two[..1], &[&at], false, "x:1", "gone"),
            ("in use", &two[..1], &[], true, "x:1", "in use"),
            ("in use, by id", &two, &[], true, id.hex(), "in use"),
            ("unknown", &two, &[], false, "nope", "not found"),
        ];
        for (name, tags, digests, used, asked, want) in rows {
            let mut index = Index::default();
            index.add(&id, record(tags, digests));
            let in_use = used.then(|| id.clone()).into_iter().collect();
            let got = match index.remove(&query(asked), &in_use) {
                Ok(Some(_)) => "gone".to_owned(),
                Ok(None) => format!("{} left", index.images[&id].tags.len()),
                Err(Error::InUse(_)) => "in use".to_owned(),
                Err(Error::NotFound(_)) => "not found".to_owned(),
                Err(other) => panic!("{name}: {other}"),
            };
            assert_eq!(got, want, "{name}");
        }
    }
}
