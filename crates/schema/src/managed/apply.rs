//! Server-side apply: merges a configuration into a live object, and takes out what its manager applied
//! before but no more.

use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupVersion, Map, Str, Value};

use super::entries::{Entries, Operation, entry, fields, fields_mut};
use super::{
    Conflict, Error, FieldSet, Manager, compare, last_applied, merge, remove, set, to_set, typed, update,
};
use crate::complete::complete;
use crate::decode;
use crate::types::Schema;

/// Server-side apply: merges `config` into `live` and returns the merged object, its managed fields up to
/// date. The caller defaults and validates it. `reset` holds the fields that this endpoint does not let
/// the writer own.
#[allow(clippy::needless_pass_by_value)] // the configuration is the caller's to give away
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    config: Value,
    manager: &Manager<'_>,
    force: bool,
    now: &str,
    reset: Option<&FieldSet>,
) -> Result<Value, Error> {
    check(schema, &config, manager)?;
    let empty = Value::Object(Map::new());
    let before = live.unwrap_or(&empty);
    let mut entries = live
        .and_then(|live| live.at(&["metadata", "managedFields"]))
        .map(|list| Entries::checked(list.clone()))
        .transpose()
        .map_err(|e| Error::Invalid(format!("failed to decode managed fields: {e}")))?
        .unwrap_or_default();
    if entries.is_empty() {
        let nobody = Manager { name: "before-first-apply", ..*manager };
        update::track(&mut entries, schema, &empty, before, &nobody, now, reset)
            .map_err(|e| Error::Invalid(format!("failed to create manager for existing fields: {e}")))?;
    }
    let applying = Applying { schema, live: before, config: &config, manager, now, reset };
    let mut result = applying.run(entries.clone(), force);
    if let Err(Error::Conflicts(conflicts)) = &result
        && manager.name == "kubectl"
    {
        match last_applied::remaining_conflicts(schema, before, conflicts) {
            Some(others) if others.is_empty() => result = applying.run(entries, true),
            Some(others) => return Err(Error::Conflicts(others)),
            None => {}
        }
    }
    let mut object = result?;
    if manager.name == "kubectl" {
        last_applied::refresh(before, &config, &mut object);
    }
    Ok(object)
}

/// An object as upstream's messages name it: `default/a; apps/v1, Kind=Deployment`.
fn describe(object: &Value) -> String {
    let gv = GroupVersion::parse(object.str_at(&["apiVersion"])).unwrap_or_default();
    format!("{}/{}; {}", object.namespace(), object.name(), describe_kind(object, &gv))
}

fn describe_kind(object: &Value, gv: &GroupVersion) -> String {
    format!("{}/{}, Kind={}", gv.group, gv.version, object.str_at(&["kind"]))
}

/// Refuses configurations that cannot be applied.
fn check(schema: &Schema, config: &Value, manager: &Manager<'_>) -> Result<(), Error> {
    let version = config.str_at(&["apiVersion"]);
    if version != manager.api_version {
        let gv = GroupVersion::parse(version).unwrap_or_default();
        return Err(Error::BadRequest(format!("invalid object type: {}", describe_kind(config, &gv))));
    }
    if config.at(&["metadata", "managedFields"]).is_some_and(|v| !v.is_null()) {
        return Err(Error::BadRequest("metadata.managedFields must be nil".into()));
    }
    match typed::check(schema.set(), schema.id(), config) {
        None => Ok(()),
        Some(complaints) => Err(Error::Invalid(format!(
            "failed to create typed patch object ({}): {complaints}",
            describe(config)
        ))),
    }
}

struct Applying<'a> {
    schema: &'a Schema,
    live: &'a Value,
    config: &'a Value,
    manager: &'a Manager<'a>,
    now: &'a str,
    reset: Option<&'a FieldSet>,
}

impl Applying<'_> {
    fn run(&self, mut entries: Entries, force: bool) -> Result<Value, Error> {
        let (set, id) = (self.schema.set(), self.schema.id());
        let mut live = self.live.clone();
        if live.meta().is_some() {
            live.meta_mut().remove("managedFields");
        }
        let mut merged = merge::merge(set, id, &live, self.config)
            .map_err(|e| Error::Invalid(format!("failed to merge config: {e}")))?;
        let mut applied = to_set::of(set, Some(id), self.config);
        if let Some(reset) = self.reset {
            set::subtract_recursively(&mut applied, &reset.0);
        }
        let own = entries.position(self.manager, Operation::Apply);
        let last = own.map(|at| std::mem::take(fields_mut(&mut entries.0[at]))).unwrap_or_default();
        merged = self.prune(merged, &entries, &applied, &last);
        // Compared as applied: 0 where the live object leaves a zero out is a change.
        let (mut changed, mut removed) = compare::compare(set, id, &live, &merged)
            .map_err(|e| Error::Invalid(format!("failed to compare objects: {e}")))?;
        if let Some(reset) = self.reset {
            set::subtract_recursively(&mut changed, &reset.0);
            set::subtract_recursively(&mut removed, &reset.0);
        }
        if !force {
            let conflicts = conflicts(&entries, &changed, own);
            if !conflicts.is_empty() {
                return Err(Error::Conflicts(conflicts));
            }
        }
        update::release(&mut entries, &changed, &removed, own);
        compare::strip(&mut applied);
        let is_change = self.differ(&live, &merged);
        if let Some(own) = own.map(|at| &mut entries.0[at]) {
            *fields_mut(own) = applied;
            own.insert("apiVersion", self.manager.api_version);
            if is_change {
                own.insert("time", self.now);
            }
        } else {
            let time = is_change.then_some(self.now);
            entries.0.push(entry(self.manager, Operation::Apply, time, applied));
        }
        entries.drop_empty();
        let mut object = self.convert(merged)?;
        update::store(&mut object, entries);
        Ok(object)
    }

    /// Whether the merged object differs from the live one at all.
    fn differ(&self, live: &Value, merged: &Value) -> bool {
        if live == merged {
            return false;
        }
        let (mut live, mut merged) = (live.clone(), merged.clone());
        complete(self.schema, &mut live);
        complete(self.schema, &mut merged);
        live != merged
    }

    /// The merged tree as its types hold it.
    fn convert(&self, merged: Value) -> Result<Value, Error> {
        let decoded = decode::value(self.schema, merged).map_err(|e| {
            let object = describe(self.config);
            Error::Invalid(format!("failed to convert new typed object ({object}) to object: {e}"))
        })?;
        Ok(decoded.value)
    }

    /// Takes out what the manager applied last time, does not apply now, and no one else owns.
    fn prune(&self, merged: Value, entries: &Entries, applied: &Map, last: &Map) -> Value {
        if last.is_empty() {
            return merged;
        }
        let (set, id) = (self.schema.set(), Some(self.schema.id()));
        let named = |fields: &Map| to_set::with_named_fields(set, id, fields);
        let last = named(last);
        let owned = entries.0.iter().fold(applied.clone(), |all, entry| set::union(all, fields(entry)));
        let owned = named(&owned);
        let mut given_up = last.clone();
        set::subtract(&mut given_up, &owned);
        if given_up.is_empty() {
            return merged;
        }
        let all = named(&to_set::of(set, id, &merged));
        // What is left without all that was applied last time, and without what no one owns.
        let pruned = remove::remove(set, id, merged.clone(), &last);
        let mut unowned = all.clone();
        set::subtract(&mut unowned, &named(&to_set::of(set, id, &pruned)));
        set::subtract(&mut unowned, &owned);
        let pruned = remove::remove(set, id, merged.clone(), &unowned);
        // Of that only what this manager owned may go.
        let mut gone = all;
        set::subtract(&mut gone, &named(&to_set::of(set, id, &pruned)));
        remove::remove(set, id, merged, &set::intersection(&gone, &last))
    }
}

/// Fields that change although someone else manages them.
fn conflicts(entries: &Entries, changed: &Map, own: Option<usize>) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for (i, entry) in entries.0.iter().enumerate() {
        if Some(i) == own || !set::intersects(fields(entry), changed) {
            continue;
        }
        let both = FieldSet(set::intersection(fields(entry), changed));
        conflicts.extend(both.paths().into_iter().map(|path| Conflict {
            manager: entry.str("manager").into(),
            applied: entry.str("operation") == "Apply",
            subresource: entry.str("subresource").into(),
            api_version: entry.str("apiVersion").into(),
            time: entry.get("time").and_then(Value::as_str).map(Str::from),
            path,
        }));
    }
    conflicts
}
