//! Keeps `managedFields` at every write that is no apply.

use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};

use super::entries::{Entries, Operation, entry, fields, fields_mut};
use super::{Error, FieldSet, Manager, compare, set};
use crate::types::Schema;

/// After a create, an update or a patch that is no apply: sets `metadata.managedFields` of `new` from its
/// difference to `old` (`None` on create). If nothing changed, not even the time of an entry does.
/// `reset` holds the fields that this endpoint does not let the writer own.
///
/// Like upstream, this never fails a write: if the objects cannot be compared, the live entries stay.
pub fn update(
    schema: &Schema,
    old: Option<&Value>,
    new: &mut Value,
    manager: &Manager<'_>,
    now: &str,
    reset: Option<&FieldSet>,
) -> Result<(), Error> {
    let sent = new
        .get("metadata")
        .and_then(|m| m.get("managedFields"))
        .is_some()
        .then(|| new.meta_mut().remove("managedFields").unwrap_or_default());
    let live = old.and_then(|old| old.at(&["metadata", "managedFields"]));
    let mut entries = current(sent, live, manager);
    if entries.is_empty() && old.is_some_and(|old| !old.uid().is_empty()) {
        // Nobody asked for this object to be tracked.
        return Ok(());
    }
    let empty = Value::Object(Map::new());
    if track(&mut entries, schema, old.unwrap_or(&empty), new, manager, now, reset).is_err() {
        entries = live.cloned().map(Entries::trusted).unwrap_or_default();
    }
    store(new, entries);
    Ok(())
}

/// Puts the entries into the object.
pub(super) fn store(object: &mut Value, entries: Entries) {
    match entries.encode() {
        Value::Null => {
            if object.meta().is_some() {
                object.meta_mut().remove("managedFields");
            }
        }
        list => drop(object.meta_mut().insert("managedFields", list)),
    }
}

/// The entries to begin with: those that the client sent if they are sound, else the live ones.
fn current(sent: Option<Value>, live: Option<&Value>, manager: &Manager<'_>) -> Entries {
    let live_entries = || live.cloned().map(Entries::trusted).unwrap_or_default();
    match sent {
        Some(sent) if manager.subresource.is_empty() => {
            if Some(&sent) == live {
                return Entries::trusted(sent);
            }
            if Entries::is_reset(&sent) {
                return Entries::default();
            }
            match Entries::checked(sent) {
                Ok(entries) if !entries.is_empty() => entries,
                _ => live_entries(),
            }
        }
        // Managed fields cannot be set through a subresource.
        _ => live_entries(),
    }
}

/// Moves what changed between two objects to the manager.
pub(super) fn track(
    entries: &mut Entries,
    schema: &Schema,
    old: &Value,
    new: &Value,
    manager: &Manager<'_>,
    now: &str,
    reset: Option<&FieldSet>,
) -> Result<(), String> {
    let (mut changed, mut removed) = compare::compare(schema.set(), schema.id(), old, new)?;
    if let Some(reset) = reset {
        set::subtract_recursively(&mut changed, &reset.0);
        set::subtract_recursively(&mut removed, &reset.0);
    }
    release(entries, &changed, &removed, None);
    compare::strip(&mut changed);
    if !changed.is_empty() {
        match entries.position(manager, Operation::Update) {
            Some(at) => {
                let own = &mut entries.0[at];
                let union = set::union(std::mem::take(fields_mut(own)), &changed);
                *fields_mut(own) = union;
                own.insert("time", now);
            }
            None => entries.0.push(entry(manager, Operation::Update, Some(now), changed)),
        }
    }
    entries.drop_empty();
    entries.cap();
    Ok(())
}

/// Takes what changed or is gone from all entries but one. Entries left with nothing stay for now.
pub(super) fn release(entries: &mut Entries, changed: &Map, removed: &Map, but: Option<usize>) {
    for (i, entry) in entries.0.iter_mut().enumerate() {
        if Some(i) == but {
            continue;
        }
        for gone in [changed, removed] {
            if !gone.is_empty() && set::intersects(fields(entry), gone) {
                set::subtract(fields_mut(entry), gone);
            }
        }
    }
}
