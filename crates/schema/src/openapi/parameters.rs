//! The parameters of operations.

use sampan_model::Value;

use super::{Dialect, PublishedParameter, object};

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

/// A parameter.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    name: String,
    place: Place,
    ty: String,
    description: String,
}

impl Parameter {
    fn query(name: &str, ty: &str, description: &str) -> Self {
        Self { name: name.into(), place: Place::Query, ty: ty.into(), description: description.into() }
    }

    pub(super) fn path(name: &str, description: &str) -> Self {
        Self { name: name.into(), place: Place::Path, ty: "string".into(), description: description.into() }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// In the form of a document.
    pub(super) fn render(&self, dialect: Dialect) -> Value {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
        };
        let mut value = object([
            ("description", self.description.as_str().into()),
            ("in", place.into()),
            ("name", self.name.as_str().into()),
        ]);
        let ty = [("type", Value::from(self.ty.as_str())), ("uniqueItems", true.into())];
        if let Value::Object(map) = &mut value {
            if self.place == Place::Path {
                map.insert("required", true);
            }
            match dialect {
                Dialect::V3 => drop(map.insert("schema", object(ty))),
                Dialect::V2 => {
                    for (key, value) in ty {
                        map.insert(key, value);
                    }
                }
            }
        }
        value
    }
}

impl From<&PublishedParameter> for Parameter {
    fn from(parameter: &PublishedParameter) -> Self {
        Self::query(&parameter.name, &parameter.ty, &parameter.description)
    }
}

pub(super) fn pretty() -> Parameter {
    Parameter::query("pretty", "string", "If 'true', the answer is indented.")
}

/// Of a list or watch.
pub(super) fn list() -> Vec<Parameter> {
    let rows = [
        ("allowWatchBookmarks", "boolean", "Asks for events of type BOOKMARK in a watch."),
        ("continue", "string", "The token of an earlier answer, to get the next part of a list."),
        ("fieldSelector", "string", "Restricts the list to objects with these fields."),
        ("labelSelector", "string", "Restricts the list to objects with these labels."),
        ("limit", "integer", "How many objects an answer may have; the rest follows by `continue`."),
        ("resourceVersion", "string", "From which version of the data the answer may come."),
        ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
        ("sendInitialEvents", "boolean", "Begins a watch with the objects that exist, ended by a bookmark."),
        ("timeoutSeconds", "integer", "How long the call may take, whether anything happens or not."),
        ("watch", "boolean", "Streams changes rather than listing objects."),
    ];
    rows.into_iter().map(|(name, ty, text)| Parameter::query(name, ty, text)).collect()
}

/// Of a create, a replacement or a patch.
pub(super) fn write(patch: bool) -> Vec<Parameter> {
    let mut rows = vec![
        dry_run(),
        Parameter::query("fieldManager", "string", "The name under which the written fields are managed."),
        Parameter::query(
            "fieldValidation",
            "string",
            "What becomes of unknown and duplicate fields: Ignore, Warn or Strict.",
        ),
    ];
    if patch {
        rows.push(Parameter::query(
            "force",
            "boolean",
            "Takes over fields that others manage; only for patches of the type apply.",
        ));
    }
    rows
}

fn dry_run() -> Parameter {
    Parameter::query("dryRun", "string", "`All`: everything is done but storing.")
}

/// Of a deletion.
pub(super) fn delete() -> Vec<Parameter> {
    vec![
        dry_run(),
        Parameter::query("gracePeriodSeconds", "integer", "How long the object may take to end."),
        Parameter::query(
            "ignoreStoreReadErrorWithClusterBreakingPotential",
            "boolean",
            "Deletes objects that cannot be read, without regard to what depends on them.",
        ),
        Parameter::query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
        Parameter::query(
            "propagationPolicy",
            "string",
            "What becomes of dependents: Orphan, Background or Foreground.",
        ),
    ]
}
